//! What can go wrong on a simulated disk when a test asks for it.

use std::time::Duration;

use crate::sim::errno::Errno;
use crate::sim::random::Random;

/// Rules of one disk that may stand at the same time.
const FAULTS_MAX: usize = 64;

/// A kind of operation on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskOperation {
    /// Every kind.
    Any,
    /// Opening, and creating by opening.
    Open,
    /// A read of a file.
    Read,
    /// A write, durable or not.
    Write,
    /// A sync of a file or a directory, and a write that must be durable.
    Sync,
    /// Taking space ahead of writes, and changing the length.
    Allocate,
    /// Creating a directory, renaming and removing.
    Name,
    /// Listing a directory.
    List,
}

/// When a fault strikes, among the operations that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Every time.
    Always,
    /// The n-th matching operation from now, counted from 1, and only that one.
    Nth(u64),
    /// So many times in a thousand.
    PerMille(u32),
}

/// What a fault does to the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskEffect {
    /// Fails. A write may have been done in part; a failed sync may have lost what it was to keep.
    Error(Errno),
    /// A write or read moves fewer bytes than asked and says so.
    Short,
    /// Takes this much longer.
    Delay(Duration),
}

/// A rule for one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFault {
    /// Strikes only operations of this kind.
    pub operation: DiskOperation,
    /// Strikes only where the path contains this; empty for every path.
    pub path_contains: String,
    /// Strikes then.
    pub trigger: Trigger,
    /// What happens.
    pub effect: DiskEffect,
}

#[derive(Debug)]
struct Rule {
    fault: DiskFault,
    matched: u64,
    spent: bool,
}

/// The rules of one disk.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: DiskFault) {
        self.rules.retain(|rule| !rule.spent);
        assert!(self.rules.len() < FAULTS_MAX, "a disk takes at most {FAULTS_MAX} fault rules");
        self.rules.push(Rule { fault, matched: 0, spent: false });
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The first rule that strikes this operation. All matching rules count it.
    pub(super) fn strike(
        &mut self,
        operations: &[DiskOperation],
        path: &str,
        random: &mut Random,
    ) -> Option<DiskEffect> {
        let mut struck = None;
        for rule in &mut self.rules {
            let wanted = rule.fault.operation;
            let matches = wanted == DiskOperation::Any || operations.contains(&wanted);
            if rule.spent || !matches || !path.contains(&rule.fault.path_contains) {
                continue;
            }
            rule.matched += 1;
            let strikes = match rule.fault.trigger {
                Trigger::Always => true,
                Trigger::Nth(n) => rule.matched == n,
                Trigger::PerMille(per_mille) => random.chance(per_mille),
            };
            rule.spent |= strikes && matches!(rule.fault.trigger, Trigger::Nth(_));
            if strikes && struck.is_none() {
                struck = Some(rule.fault.effect);
            }
        }
        struck
    }
}

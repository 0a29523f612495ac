//! Partitions that a request makes and deletes, within the quota of its client (KIP-599).

use std::time::Duration;

use ringlog_storage::types::Nanos;

use super::{Charge, Usages};

/// What becomes of changes beyond the quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enforcement {
    /// They are refused.
    Strict,
    /// They are made, and the client is throttled: requests of old versions have no error for it.
    Permissive,
}

/// What one request may change.
#[derive(Debug)]
pub struct MutationQuota<'a> {
    counted: Option<Counted<'a>>,
    throttled: Duration,
}

#[derive(Debug)]
struct Counted<'a> {
    usages: &'a mut Usages,
    charge: Charge,
    enforcement: Enforcement,
    now: Nanos,
}

impl<'a> MutationQuota<'a> {
    /// As much as it likes.
    pub fn unlimited() -> Self {
        Self { counted: None, throttled: Duration::ZERO }
    }

    /// As much as is left of a quota; the amount of the charge does not count.
    pub fn new(usages: &'a mut Usages, charge: Charge, enforcement: Enforcement, now: Nanos) -> Self {
        Self { counted: Some(Counted { usages, charge, enforcement, now }), throttled: Duration::ZERO }
    }

    /// Counts partitions that are about to be made or deleted. The error tells when there will be something left.
    pub fn take(&mut self, partitions: usize) -> Result<(), Duration> {
        let Some(Counted { usages, charge, enforcement, now }) = &mut self.counted else { return Ok(()) };
        // There is a limit to the partitions of a cluster.
        charge.amount = f64::from(u32::try_from(partitions).unwrap_or(u32::MAX));
        let taken = match enforcement {
            Enforcement::Strict => usages.record_strictly(charge, *now),
            Enforcement::Permissive => {
                self.throttled = self.throttled.max(usages.record(std::slice::from_ref(charge), *now));
                Ok(())
            }
        };
        if let Err(throttled) = taken {
            self.throttled = self.throttled.max(throttled);
        }
        taken
    }

    /// For how long the client is throttled.
    pub fn throttled(&self) -> Duration {
        self.throttled
    }
}

//! From what a machine gives to what a broker takes: shards and their cores, memory, journals, rings. Pure, and the one
//! place where this is decided.

mod cores;
mod sizes;

use std::fmt;

use ringlog_reactor::Limits;
use serde::Serialize;

use crate::machine::Resources;

/// The most shards of a broker. Every two of them have a ring of messages each way, so their number counts twice.
pub const SHARDS_MAX: usize = 128;

/// Which cores run a shard.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum CoreChoice {
    /// As many as the machine and its limits give.
    #[default]
    Auto,
    /// This many.
    Count(usize),
    /// Exactly these, ascending.
    These(Vec<usize>),
}

/// Which NUMA nodes come first when not all cores are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NodePolicy {
    /// One node after the other: shards are near each other's memory.
    #[default]
    Fill,
    /// All in turn: shards have the bandwidth of every node.
    Spread,
}

/// What is asked for, and what the broker is made of.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// `ringlog.cores`.
    pub cores: CoreChoice,
    /// `ringlog.numa`.
    pub nodes: NodePolicy,
    /// `ringlog.memory`, all shards together; `None` follows the machine.
    pub memory_bytes: Option<u64>,
    /// `ringlog.journal.bytes`, of one shard; `None` follows the file system.
    pub journal_bytes: Option<u64>,
    /// The least memory that a shard works with.
    pub shard_memory_bytes_min: u64,
    /// A message between two shards.
    pub message_bytes: u64,
}

/// One shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Shard {
    /// The processor that its thread is pinned to; `None` where none is known.
    pub cpu: Option<usize>,
    /// The NUMA node of that processor.
    pub node: Option<usize>,
}

/// A sentence of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PlanLine {
    /// What is decided.
    pub what: &'static str,
    /// How.
    pub value: String,
    /// Why, in a sentence.
    pub because: String,
}

/// What a broker takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The shards; at least one.
    pub shards: Vec<Shard>,
    /// Memory of each of them, in bytes.
    pub shard_memory_bytes: u64,
    /// The most that the journal of each of them takes on the disk, in bytes.
    pub journal_bytes: u64,
    /// Files that each of them keeps open.
    pub open_files_max: usize,
    /// Limits of the reactor of each.
    pub limits: Limits,
    /// Whether there are fewer shards than processors that this process may use, and nobody asked for that.
    pub is_reduced: bool,
    /// All of this, for people, with reasons: shards and cores first.
    pub lines: Vec<PlanLine>,
}

/// Why what is asked for cannot be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// More cores than there are.
    #[error("ringlog.cores={wanted}: this process may use {available}; give a smaller count")]
    TooManyCores {
        /// How many are asked for.
        wanted: usize,
        /// Which there are.
        available: Available,
    },
    /// A core that is not there.
    #[error("ringlog.cores: core {core} is not available, this process may use {available}; name others")]
    NoSuchCore {
        /// Which is asked for.
        core: usize,
        /// Which there are.
        available: Available,
    },
    /// More shards than a broker has.
    #[error("ringlog.cores names {wanted} cores: a broker has at most {SHARDS_MAX} shards; name fewer")]
    TooManyShards {
        /// How many are asked for.
        wanted: usize,
    },
    /// Too little memory for the shards that are asked for.
    #[error("ringlog.memory={given}: {shards} shards need {needed} bytes at least; give more, or fewer cores")]
    TooLittleMemory {
        /// What is asked for.
        given: u64,
        /// How many shards are asked for.
        shards: usize,
        /// What they need.
        needed: u64,
    },
}

/// Processors that may be used, as words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Available(crate::CpuSet);

impl fmt::Display for Available {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "core" } else { "cores" };
        if self.0.is_empty() { f.write_str("none") } else { write!(f, "{noun} {}", self.0) }
    }
}

/// Makes a plan. What is unknown of the machine counts as no limit, but for processors: without any there is one shard.
pub fn plan(resources: &Resources, wishes: &Wishes) -> Result<Plan, PlanError> {
    let memory = sizes::budget(resources, wishes);
    let cores = cores::choose(resources, wishes, &memory)?;
    let shards = cores.shards.len();
    let shard_memory = sizes::of_shard(&memory, wishes, shards)?;
    let journal = sizes::journal(resources, wishes, shards);
    let rings = sizes::rings(resources, wishes, shards, shard_memory.bytes);
    let descriptors = sizes::descriptors(resources, shards, rings.limits);
    let mut lines = vec![cores.count, cores.which];
    lines.extend([shard_memory.line, journal.line]);
    lines.extend(rings.lines);
    lines.extend(descriptors.lines);
    Ok(Plan {
        shards: cores.shards,
        shard_memory_bytes: shard_memory.bytes,
        journal_bytes: journal.bytes,
        open_files_max: descriptors.open_files_max,
        limits: descriptors.limits,
        is_reduced: cores.is_reduced,
        lines,
    })
}

/// A number of bytes as people say it: `16 KiB`. What is no whole number of a unit has a digit behind the point.
pub fn bytes(number: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        None => format!("{number} bytes"),
        Some((unit, name)) if number.is_multiple_of(unit) => format!("{} {name}", number / unit),
        Some((unit, name)) => {
            let tenths = (u128::from(number) * 10 + u128::from(unit) / 2) / u128::from(unit);
            match (tenths / 10, tenths % 10) {
                (whole, 0) => format!("{whole} {name}"),
                (whole, tenth) => format!("{whole}.{tenth} {name}"),
            }
        }
    }
}

/// `1 shard`, `2 shards`
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_in_their_unit() {
        for (number, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (16 << 10, "16 KiB"),
            (1536, "1.5 KiB"),
            (256 << 20, "256 MiB"),
            ((24 << 30) + (100 << 20), "24.1 GiB"),
            (u64::MAX, "17179869184 GiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}

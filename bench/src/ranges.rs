//! The ranges of numbers on the command line: what clap refuses names the option, the value and the range.

use std::ops::RangeInclusive;

use clap::builder::RangedU64ValueParser;

pub(crate) const RUNS: RangeInclusive<u64> = 1..=1_000;
pub(crate) const WARM_UP_MS: RangeInclusive<u64> = 0..=600_000;
pub(crate) const SECONDS: RangeInclusive<u64> = 1..=3_600;
pub(crate) const CONNECTIONS: RangeInclusive<u64> = 1..=100_000;
pub(crate) const CONSUMERS: RangeInclusive<u64> = 1..=1_000;
pub(crate) const IN_FLIGHT: RangeInclusive<u64> = 1..=100;
pub(crate) const PARTITIONS: RangeInclusive<u64> = 1..=10_000;
pub(crate) const ROUNDS: RangeInclusive<u64> = 1..=100;
pub(crate) const WARM_UP_RECORDS: RangeInclusive<u64> = 0..=1_000_000_000;
/// The kernel's processes have no numbers beyond it, and 0 is nobody's.
pub(crate) const PROCESS: RangeInclusive<u64> = 1..=4_194_304;

/// A number within a range, of any type that holds all of it.
pub(crate) fn within<T>(range: RangeInclusive<u64>) -> RangedU64ValueParser<T>
where
    T: TryFrom<u64>,
{
    RangedU64ValueParser::new().range(range)
}

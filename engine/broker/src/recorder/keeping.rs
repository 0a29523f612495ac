//! Which requests are kept, and those that were.

use std::num::NonZeroU32;

use ringlog_cluster::config::RecorderConfig;

use super::record::{Reason, Record};
use super::ring::{Cursor, Ring, Wanted};
use super::trail::Trail;

/// Slow requests do not push out those of the sample, nor the other way round.
#[derive(Debug)]
pub(super) struct Keeping {
    config: RecorderConfig,
    /// What takes more nanoseconds is slow.
    slow_nanos: u64,
    /// Requests until the next one of the sample.
    until_sample: u32,
    slow: Ring,
    sampled: Ring,
}

impl Keeping {
    pub(super) fn new(config: RecorderConfig) -> Self {
        let slow_nanos = slow_nanos(config);
        Self { config, slow_nanos, until_sample: 0, slow: Ring::default(), sampled: Ring::default() }
    }

    pub(super) fn set(&mut self, config: RecorderConfig) {
        if config != self.config {
            self.config = config;
            self.slow_nanos = slow_nanos(config);
            self.until_sample = 0;
        }
    }

    pub(super) fn config(&self) -> RecorderConfig {
        self.config
    }

    /// Whether a request that has ended is kept, and why. `dice` is any number, of which the next one of the sample follows:
    /// requests that come in turns all have their share of it.
    pub(super) fn judge(&mut self, trail: &Trail, dice: impl FnOnce() -> u64) -> Option<Reason> {
        let is_sampled = self.config.sample_every.is_some_and(|every| self.is_next_of_sample(every, dice));
        if trail.blamed_nanos() > self.slow_nanos {
            return Some(Reason::Slow { is_sampled });
        }
        is_sampled.then_some(Reason::Sampled)
    }

    fn is_next_of_sample(&mut self, every: NonZeroU32, dice: impl FnOnce() -> u64) -> bool {
        if self.until_sample > 0 {
            self.until_sample -= 1;
            return false;
        }
        // From none to twice as many as there are between two on average.
        let pause = dice() % (2 * u64::from(every.get()) - 1);
        self.until_sample = u32::try_from(pause).unwrap_or(u32::MAX);
        true
    }

    pub(super) fn keep(&mut self, record: Record) {
        match record.reason {
            Reason::Slow { .. } => self.slow.push(record),
            Reason::Sampled => self.sampled.push(record),
        }
    }

    /// Up to `limit` records from a cursor on, in the order in which they ended.
    pub(super) fn read(&self, wanted: Wanted, from: Cursor, limit: usize) -> Vec<Record> {
        let mut slow = self.slow.from(from.slow).filter(|_| wanted != Wanted::Sampled).peekable();
        let mut sampled = self.sampled.from(from.sampled).filter(|_| wanted != Wanted::Slow).peekable();
        let next = || match (slow.peek(), sampled.peek()) {
            (Some(one), Some(other)) if one.ended_at() > other.ended_at() => sampled.next(),
            (Some(_), _) => slow.next(),
            (None, _) => sampled.next(),
        };
        std::iter::from_fn(next).take(limit).cloned().collect()
    }
}

fn slow_nanos(config: RecorderConfig) -> u64 {
    config.slow.map_or(u64::MAX, |slow| u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::super::trail::Phase;
    use super::*;
    use ringlog_storage::types::Nanos;
    use std::time::Duration;

    fn config(slow_us: u64, sample_every: u32) -> RecorderConfig {
        RecorderConfig {
            slow: Some(Duration::from_micros(slow_us)).filter(|slow| !slow.is_zero()),
            sample_every: NonZeroU32::new(sample_every),
        }
    }

    fn trail(phases: &[(Phase, u64)]) -> Trail {
        let mut trail = Trail::new(Nanos::new(1000));
        for (phase, micros) in phases {
            trail.until(*phase, trail.at().saturating_add(Duration::from_micros(*micros)));
        }
        trail
    }

    #[test]
    fn slow_is_what_takes_longer_without_the_client_s_doing() {
        let mut keeping = Keeping::new(config(100, 0));
        let slow = Some(Reason::Slow { is_sampled: false });
        for (phases, expected) in [
            (&[(Phase::Handle, 100)][..], None),
            (&[(Phase::Handle, 101)][..], slow),
            (&[(Phase::Receive, 50), (Phase::Flush, 20), (Phase::Send, 31)][..], slow),
            (&[(Phase::Purgatory, 1_000_000), (Phase::Throttle, 1_000_000), (Phase::Handle, 100)][..], None),
            (&[(Phase::Purgatory, 1_000_000), (Phase::Handle, 101)][..], slow),
        ] {
            assert_eq!(keeping.judge(&trail(phases), || 0), expected, "{phases:?}");
        }
        keeping.set(config(0, 0));
        assert_eq!(keeping.judge(&trail(&[(Phase::Handle, 1 << 40)]), || 0), None);
    }

    #[test]
    fn one_of_so_many_is_kept_on_average_and_not_every_so_many_th() {
        let mut dice = any_dice();
        for every in [1, 2, 7, 128] {
            let mut keeping = Keeping::new(config(100, every));
            let kept: Vec<u32> =
                (0..20_000).filter(|_| keeping.judge(&trail(&[]), &mut dice) == Some(Reason::Sampled)).collect();
            let expected = 20_000 / every;
            let count = u32::try_from(kept.len()).expect("few");
            assert!(count >= expected - expected / 4 && count <= expected + expected / 4, "{count} of {expected}");
            if every > 1 {
                let even = kept.iter().filter(|number| *number % 2 == 0).count();
                assert!(even > kept.len() / 4 && even < kept.len() - kept.len() / 4, "{even} of {count}");
            }
        }
        let mut keeping = Keeping::new(config(100, 1));
        assert_eq!(keeping.judge(&trail(&[(Phase::Handle, 101)]), dice), Some(Reason::Slow { is_sampled: true }));
    }

    /// Numbers that look like any.
    fn any_dice() -> impl FnMut() -> u64 {
        let mut state = 1_u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        }
    }

    #[test]
    fn both_kinds_are_read_in_the_order_of_their_ends() {
        let mut keeping = Keeping::new(config(100, 1));
        for (number, is_slow) in [(1, true), (2, false), (3, false), (4, true), (5, false)] {
            let reason = if is_slow { Reason::Slow { is_sampled: false } } else { Reason::Sampled };
            keeping.keep(Record { reason, ..record(number) });
        }
        let check = |wanted, slow, sampled, limit, expected: &[i32]| {
            let records = keeping.read(wanted, Cursor { slow, sampled }, limit);
            let numbers: Vec<_> = records.iter().map(|record| record.correlation_id).collect();
            assert_eq!(numbers, expected);
        };
        check(Wanted::All, 0, 0, 10, &[1, 2, 3, 4, 5]);
        check(Wanted::All, 0, 0, 3, &[1, 2, 3]);
        check(Wanted::All, 1, 2, 3, &[4, 5]);
        check(Wanted::Slow, 0, 0, 10, &[1, 4]);
        check(Wanted::Sampled, 0, 1, 10, &[3, 5]);
        check(Wanted::All, 2, 3, 10, &[]);
    }

    #[test]
    fn records_of_one_kind_do_not_push_out_the_other() {
        let mut keeping = Keeping::new(config(100, 1));
        keeping.keep(Record { reason: Reason::Slow { is_sampled: false }, ..record(1) });
        for number in 0..5000 {
            keeping.keep(Record { reason: Reason::Sampled, ..record(number) });
        }
        let count = |wanted| keeping.read(wanted, Cursor::default(), 10_000).len();
        assert_eq!((count(Wanted::Slow), count(Wanted::Sampled), count(Wanted::All)), (1, 2048, 2049));
    }
}

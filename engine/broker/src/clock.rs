//! Whether the wall clock was set. Records get their times from it, and retention goes by them.

use ringlog_cluster::group::Now;

/// The wall clock may go this much further or less far than the monotonic one, between two looks, without a word.
const JUMP_MS_MIN: i64 = 1000;

/// Both clocks, as they were when somebody last looked.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Now,
}

impl Clock {
    pub(crate) fn new(now: Now) -> Self {
        Self { last: now }
    }

    /// By how many milliseconds the wall clock was set since the last look: forward, or back if it is below 0.
    pub(crate) fn look(&mut self, now: Now) -> Option<i64> {
        let last = std::mem::replace(&mut self.last, now);
        let passed = i64::try_from(now.monotonic.since(last.monotonic).as_millis()).unwrap_or(i64::MAX);
        let set = now.wall.get().saturating_sub(last.wall.get()).saturating_sub(passed);
        (set.saturating_abs() >= JUMP_MS_MIN).then_some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_storage::types::{Millis, Nanos};

    #[test]
    fn only_what_is_no_passing_of_time_is_a_jump() {
        let now =
            |monotonic_ms: u64, wall| Now { monotonic: Nanos::new(monotonic_ms * 1_000_000), wall: Millis::new(wall) };
        let mut clock = Clock::new(now(0, 100_000));
        assert_eq!(clock.look(now(1000, 101_000)), None);
        assert_eq!(clock.look(now(61_000, 161_999)), None, "less than a second is slewing");
        assert_eq!(clock.look(now(62_000, 3_762_999)), Some(3_600_000));
        assert_eq!(clock.look(now(63_000, 3_763_999)), None, "it is told once");
        assert_eq!(clock.look(now(64_000, 3_762_999)), Some(-2000));
    }
}

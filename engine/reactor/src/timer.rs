//! Timers of one shard, ordered by deadline and, within one, by age.

use std::collections::BTreeMap;
use std::task::Waker;

use crate::time::Instant;

/// Names one timer while it runs.
pub(crate) type TimerKey = (Instant, u64);

/// The running timers. A B-tree and not a wheel: a shard has a few timers per connection at most, and most of them
/// are set and removed at the far end, where the tree's nodes are warm.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_deadline: BTreeMap<TimerKey, Waker>,
    next_number: u64,
}

impl Timers {
    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        let key = (deadline, self.next_number);
        self.next_number += 1;
        self.by_deadline.insert(key, waker);
        key
    }

    /// Changes who is woken. Answers whether the timer still runs.
    pub(crate) fn rewake(&mut self, key: TimerKey, waker: &Waker) -> bool {
        let Some(slot) = self.by_deadline.get_mut(&key) else { return false };
        slot.clone_from(waker);
        true
    }

    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.by_deadline.remove(&key)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Removes the first timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        let entry = self.by_deadline.first_entry()?;
        if entry.key().0 > now { None } else { Some(entry.remove()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_by_deadline_then_age_and_a_removed_one_never() {
        let waker = Waker::noop();
        let mut timers = Timers::default();
        let late = timers.insert(Instant::from_nanos(30), waker.clone());
        let early = timers.insert(Instant::from_nanos(10), waker.clone());
        let gone = timers.insert(Instant::from_nanos(5), waker.clone());
        assert!(timers.remove(gone).is_some());
        assert_eq!(timers.next_deadline(), Some(Instant::from_nanos(10)));
        assert!(timers.pop_due(Instant::from_nanos(9)).is_none());
        assert!(timers.pop_due(Instant::from_nanos(10)).is_some());
        assert!(!timers.rewake(early, waker));
        assert!(timers.rewake(late, waker));
        assert!(timers.pop_due(Instant::from_nanos(29)).is_none());
        assert!(timers.pop_due(Instant::from_nanos(31)).is_some());
        assert_eq!(timers.next_deadline(), None);
    }
}

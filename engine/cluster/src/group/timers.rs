//! When the groups of one coordinator want to be looked at.

use std::collections::BTreeSet;

use ringlog_storage::types::Nanos;

use super::{GroupId, MemberId};

/// One timer: of a group, or of one of its members.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Alarm {
    /// When it goes off.
    due: Option<Nanos>,
    /// Its place in the queue. Never later than `due`, and often earlier: a heartbeat moves the alarm without a look at the
    /// queue.
    queued: Option<Nanos>,
}

/// Whose alarm it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Owner {
    pub(super) group: GroupId,
    /// `None` for the group's own.
    pub(super) member: Option<MemberId>,
}

/// The alarms of all groups, in order. An alarm has one place here at most.
#[derive(Clone, Default, Debug)]
pub(super) struct Timers(BTreeSet<(Nanos, Owner)>);

impl Timers {
    /// When to look again.
    pub(super) fn next(&self) -> Option<Nanos> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the next alarm whose time may have come.
    pub(super) fn pop(&mut self, now: Nanos) -> Option<Owner> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, owner)| owner)
    }

    /// Sets an alarm, or moves it.
    pub(super) fn set(&mut self, alarm: &mut Alarm, due: Nanos, owner: impl FnOnce() -> Owner) {
        alarm.due = Some(due);
        match alarm.queued {
            Some(queued) if queued <= due => {}
            queued => {
                let owner = owner();
                if let Some(queued) = queued {
                    self.0.remove(&(queued, owner.clone()));
                }
                self.0.insert((due, owner));
                alarm.queued = Some(due);
            }
        }
    }

    /// Forgets an alarm whose owner goes.
    pub(super) fn remove(&mut self, alarm: &Alarm, owner: Owner) {
        if let Some(queued) = alarm.queued {
            self.0.remove(&(queued, owner));
        }
    }

    /// Whether it is time for an alarm that was taken out of the queue. If not, it goes back.
    pub(super) fn is_due(&mut self, alarm: &mut Alarm, now: Nanos, owner: impl FnOnce() -> Owner) -> bool {
        alarm.queued = None;
        match alarm.due {
            Some(due) if due > now => {
                self.set(alarm, due, owner);
                false
            }
            due => {
                alarm.due = None;
                due.is_some()
            }
        }
    }
}

impl Alarm {
    /// It does not go off.
    pub(super) fn clear(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { group: "g".into(), member: Some("m".into()) }
    }

    #[test]
    fn an_alarm_that_was_moved_goes_off_at_its_new_time_and_once() {
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.set(&mut alarm, Nanos::new(10), owner);
        timers.set(&mut alarm, Nanos::new(30), owner);
        assert_eq!(timers.next(), Some(Nanos::new(10)));
        assert_eq!(timers.pop(Nanos::new(9)), None);
        assert_eq!(timers.pop(Nanos::new(10)), Some(owner()));
        assert!(!timers.is_due(&mut alarm, Nanos::new(10), owner));
        assert_eq!(timers.next(), Some(Nanos::new(30)));
        timers.set(&mut alarm, Nanos::new(20), owner);
        assert_eq!(timers.next(), Some(Nanos::new(20)));
        assert_eq!(timers.pop(Nanos::new(20)), Some(owner()));
        assert!(timers.is_due(&mut alarm, Nanos::new(20), owner));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn an_alarm_that_was_cleared_or_removed_does_not_go_off() {
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.set(&mut alarm, Nanos::new(10), owner);
        alarm.clear();
        assert_eq!(timers.pop(Nanos::new(10)), Some(owner()));
        assert!(!timers.is_due(&mut alarm, Nanos::new(10), owner));
        timers.set(&mut alarm, Nanos::new(20), owner);
        timers.remove(&alarm, owner());
        assert_eq!(timers.next(), None);
    }
}

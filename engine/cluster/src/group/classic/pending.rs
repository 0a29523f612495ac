//! Ids that were given out, and not used yet to join.

use std::collections::BTreeMap;

use crate::group::MemberId;
use crate::group::timers::Alarm;

/// Those of one group.
#[derive(Clone, Default, Debug)]
pub(super) struct Pending {
    alarms: BTreeMap<MemberId, Alarm>,
    bytes: usize,
}

impl Pending {
    pub(super) fn insert(&mut self, id: MemberId, alarm: Alarm) {
        let bytes = id.len();
        if self.alarms.insert(id, alarm).is_none() {
            self.bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, id: &MemberId) -> Option<Alarm> {
        let alarm = self.alarms.remove(id)?;
        self.bytes -= id.len();
        Some(alarm)
    }

    pub(super) fn alarm(&mut self, id: &MemberId) -> Option<&mut Alarm> {
        self.alarms.get_mut(id)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.alarms.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.alarms.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    /// What the ids take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&MemberId, &Alarm)> {
        self.alarms.iter()
    }
}

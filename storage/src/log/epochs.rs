//! Leader epochs of a partition and the offsets where they began (KIP-101, KIP-279).

use crate::answer::EpochEnd;
use crate::limits::LEADER_EPOCHS_MAX;
use crate::types::{LeaderEpoch, Offset};

/// An epoch and its first offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EpochStart {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) start: Offset,
}

/// Epochs in order; both columns grow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    pub(crate) fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that a batch of this epoch stands at `start`. Older epochs than the latest are not noted.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if epoch < LeaderEpoch::FIRST || self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        if self.entries.len() == LEADER_EPOCHS_MAX {
            self.entries.remove(0);
        }
        // An epoch in which nothing was appended has no entry: the new one takes its place.
        while self.entries.last().is_some_and(|last| last.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start });
    }

    /// Where `wanted` ends: the largest epoch not above it, and the start of the one after (or the log's end).
    pub(crate) fn end_of(&self, wanted: LeaderEpoch, log_end: Offset) -> EpochEnd {
        let after = self.entries.partition_point(|entry| entry.epoch <= wanted);
        match after.checked_sub(1).and_then(|at| self.entries.get(at)) {
            // The epoch asked for is newer than all that is here, or unknown.
            _ if wanted < LeaderEpoch::FIRST || self.latest().is_none_or(|latest| wanted > latest) => {
                EpochEnd { leader_epoch: LeaderEpoch::UNKNOWN, end_offset: Offset::UNKNOWN }
            }
            Some(entry) => EpochEnd {
                leader_epoch: entry.epoch,
                end_offset: self.entries.get(after).map_or(log_end, |next| next.start),
            },
            // Older than the first: its records are gone, all that is left begins with the first entry.
            None => {
                EpochEnd { leader_epoch: wanted, end_offset: self.entries.first().map_or(log_end, |first| first.start) }
            }
        }
    }

    /// Forgets epochs that ended before `log_start`; the one that holds it starts there now.
    pub(crate) fn trim_start(&mut self, log_start: Offset) {
        let after = self.entries.partition_point(|entry| entry.start <= log_start);
        if let Some(holder) = after.checked_sub(1) {
            self.entries.drain(..holder);
            if let Some(first) = self.entries.first_mut() {
                first.start = first.start.max(log_start);
            }
        }
    }

    /// Forgets what lies at or behind `end`.
    pub(crate) fn trim_end(&mut self, end: Offset) {
        self.entries.retain(|entry| entry.start < end);
    }
}

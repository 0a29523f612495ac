//! Partitions that were removed, and segments whose records are all deleted: their files may be gone already, and nothing
//! of them is wanted any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::facts::Facts;
use super::{Purpose, Recovery, RecoveryNews, file_name, folder};
use crate::checkpoint::{PartitionState, SegmentState};
use crate::directory::{LogDir, folder_of};
use crate::io::IoOp;
use crate::journal::format::PartitionKey;
use crate::log::mark::Mark;
use crate::log::producers::Producers;
use crate::types::Offset;

impl Recovery {
    /// Partitions that were removed are gone; those first heard of in a journal get a state.
    pub(super) fn forget_removed(&mut self) {
        for (key, facts) in &self.survey.partitions {
            if facts.removed || self.removed.contains(key) {
                let known = self.states.remove(key).map(|(_, state)| folder(&state));
                let named = || Some(folder_of(facts.topic.as_ref()?, key.partition));
                self.left_behind.extend(known.or_else(named));
                continue;
            }
            if !self.states.contains_key(key) {
                let first = facts.segments.first().copied();
                let (Some(topic), Some(base)) = (&facts.topic, first) else {
                    if facts.touched {
                        self.news.push(RecoveryNews::Nameless { partition: *key });
                    }
                    continue;
                };
                self.states.insert(*key, (0, PartitionState::empty(*key, topic.clone(), base)));
            }
            if let Some((_, state)) = self.states.get_mut(key) {
                state.log_start = state.log_start.max(facts.log_start);
                state.placement = state.placement.or_later(facts.placement);
            }
        }
    }

    /// A checkpoint tells that the partition was removed.
    pub(super) fn forget(&mut self, key: PartitionKey) {
        let known = self.states.remove(&key);
        self.left_behind.extend(known.map(|(_, state)| folder(&state)));
    }

    /// Removes the folders of removed partitions: the process may have ended before it renamed them, and nothing in them is
    /// of the next partition of that name. That may have come already, and then the folder is its own.
    pub(super) fn remove_left_behind(&mut self) {
        let folders = std::mem::take(&mut self.left_behind);
        let mut paths: BTreeMap<Arc<str>, LogDir> = BTreeMap::new();
        for folder in &folders {
            let places = self.folders.get(folder).into_iter().flatten();
            paths.extend(places.map(|dir| (dir.path(folder), *dir)));
        }
        if paths.is_empty() {
            return;
        }
        for (_, state) in self.states.values() {
            paths.remove(&*self.dir_of(state));
        }
        let roots: BTreeSet<LogDir> = paths.values().copied().collect();
        let removals = paths.into_keys().map(|path| IoOp::RemoveDir { path });
        let syncs = roots.into_iter().map(|dir| IoOp::SyncDir { path: dir.path("") });
        let script: Vec<IoOp> = removals.chain(syncs).collect();
        if !script.is_empty() {
            self.queue.start_script(script, Purpose::Step("the folders of deleted partitions".into()));
        }
    }

    /// Once the journals have told where logs start.
    pub(super) fn forget_deleted(&mut self) {
        let is_damaged = self.news.iter().any(|news| matches!(news, RecoveryNews::JournalDamaged { .. }));
        let mut none = Facts::default();
        for (key, (_, state)) in &mut self.states {
            let facts = self.survey.partitions.get_mut(key).unwrap_or(&mut none);
            let mut gone = forget(state, &mut facts.segments);
            // Of a damaged journal nobody knows what else it has named.
            if !is_damaged && begin_anew(state, &facts.segments, &mut gone) {
                facts.touched = false;
            }
            if !gone.is_empty() {
                self.deleted.insert(*key, gone);
            }
        }
    }

    /// Removes what there still is of their files.
    pub(super) fn remove_deleted(&mut self) {
        for (key, bases) in std::mem::take(&mut self.deleted) {
            let (_, state) = &self.states[&key];
            if !state.dir_exists {
                continue;
            }
            let dir = self.dir_of(state);
            let mut script = Vec::with_capacity(2 * bases.len() + 1);
            for (base, kind) in bases.iter().flat_map(|base| [(*base, "log"), (*base, "index")]) {
                let file = self.queue.file(format!("{dir}/{}", file_name(base, kind)));
                script.push(IoOp::RemoveFile { file });
            }
            script.push(IoOp::SyncDir { path: Arc::clone(&dir) });
            self.queue.start_script(script, Purpose::Step(dir));
        }
    }
}

/// Takes such segments out of what the checkpoint knows of a partition, and out of those that the journals name. Answers
/// which they were.
fn forget(state: &mut PartitionState, journaled: &mut BTreeSet<Offset>) -> BTreeSet<Offset> {
    let known: BTreeSet<Offset> = state.segments.iter().map(|segment| segment.base).chain(journaled.clone()).collect();
    // The segment in which the log starts.
    let Some(first) = known.range(..=state.log_start).next_back().copied() else { return BTreeSet::new() };
    journaled.retain(|base| *base >= first);
    state.segments.retain(|segment| segment.base >= first);
    state.rot.retain(|range| range.next_good > state.log_start);
    if state.segments.is_empty() {
        state.segments.push(SegmentState::empty(first));
    }
    if state.durable.segment < first {
        if state.durable.offset < first {
            // What lies between is not read, so the places of its producers are not known. What is known of them, and of
            // all others, is of deleted records: they may go on with any sequence.
            state.producers = Producers::default();
        }
        state.durable = Mark::at_segment(first);
    }
    known.range(..first).copied().collect()
}

/// Has a log of which nothing is left go on in a new segment, and answers whether it does: the last one that is known may have
/// been deleted because of a next one of which nobody has told. What may be in that one's file was never committed.
fn begin_anew(state: &mut PartitionState, journaled: &BTreeSet<Offset>, gone: &mut BTreeSet<Offset>) -> bool {
    let (last, start) = (state.durable.segment, state.log_start);
    if state.durable.offset > start || last == start || journaled.last().is_some_and(|base| *base >= last) {
        return false;
    }
    if state.durable.offset < start {
        state.producers = Producers::default();
    }
    gone.extend(state.segments.drain(..).map(|segment| segment.base));
    gone.insert(start);
    state.segments.push(SegmentState::empty(start));
    state.durable = Mark::at_segment(start);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::producers::Producer;
    use crate::types::{Millis, PartitionIndex, ProducerEpoch, ProducerId, Uuid};

    fn offsets(offsets: &[i64]) -> BTreeSet<Offset> {
        offsets.iter().copied().map(Offset::new).collect()
    }

    #[test]
    fn what_lies_wholly_before_the_log_start_is_forgotten() {
        let key = PartitionKey { topic_id: Uuid::from_u128(7), partition: PartitionIndex::new(0) };
        for (log_start, gone, left) in [
            (0, &[][..], &[0, 10, 20, 30][..]),
            (9, &[], &[0, 10, 20, 30]),
            (10, &[0], &[10, 20, 30]),
            (25, &[0, 10], &[20, 30]),
            (99, &[0, 10, 20], &[30]),
        ] {
            let mut state = PartitionState::empty(key, "topic".into(), Offset::ZERO);
            state.segments.push(SegmentState::empty(Offset::new(10)));
            state.durable = Mark { segment: Offset::new(10), position: 5, offset: Offset::new(12) };
            state.log_start = Offset::new(log_start);
            let mut journaled = offsets(&[10, 20, 30]);
            assert_eq!(forget(&mut state, &mut journaled), offsets(gone), "{log_start}");
            let bases = state.segments.iter().map(|segment| segment.base);
            assert_eq!(bases.chain(journaled).collect::<BTreeSet<_>>(), offsets(left), "{log_start}");
            let first = offsets(left).first().copied().expect("the log has a begin");
            assert!(state.durable.segment >= first && state.segments[0].base >= first);
        }
    }

    #[test]
    fn a_log_without_records_goes_on_in_a_new_segment() {
        let key = PartitionKey { topic_id: Uuid::from_u128(7), partition: PartitionIndex::new(0) };
        // Up to where the log was durable, where it starts, what the journals name, which files go, and where it goes on.
        for (durable, log_start, journaled, gone, first) in [
            (20, 20, &[][..], Some(&[10, 20][..]), 20),
            (20, 25, &[5], Some(&[10, 25]), 25),
            (20, 19, &[], None, 10),
            (20, 20, &[10], None, 10),
            (10, 10, &[], None, 10),
        ] {
            let mut state = PartitionState::empty(key, "topic".into(), Offset::new(10));
            state.durable = Mark { segment: Offset::new(10), position: 5, offset: Offset::new(durable) };
            state.log_start = Offset::new(log_start);
            state.producers.restore(ProducerId::new(3), Producer::new(ProducerEpoch::new(0), Millis::new(1)));
            let mut found = BTreeSet::new();
            let is_new = begin_anew(&mut state, &offsets(journaled), &mut found);
            assert_eq!(is_new.then_some(found), gone.map(offsets), "{log_start} {journaled:?}");
            assert_eq!(state.segments.iter().map(|segment| segment.base).collect::<Vec<_>>(), [Offset::new(first)]);
            assert_eq!(state.durable.segment, Offset::new(first));
            assert_eq!(state.producers.len(), usize::from(log_start != 25), "those of records that nobody has read");
        }
    }

    #[test]
    fn producers_are_forgotten_where_batches_are_passed_over() {
        let key = PartitionKey { topic_id: Uuid::from_u128(7), partition: PartitionIndex::new(0) };
        for (durable, log_start, producers) in [(10, 25, 0), (12, 19, 1), (12, 25, 0), (20, 25, 1), (20, 30, 0)] {
            let mut state = PartitionState::empty(key, "topic".into(), Offset::new(10));
            state.durable = Mark { segment: Offset::new(10), position: 5, offset: Offset::new(durable) };
            state.log_start = Offset::new(log_start);
            state.producers.restore(ProducerId::new(3), Producer::new(ProducerEpoch::new(0), Millis::new(1)));
            forget(&mut state, &mut offsets(&[10, 20, 30]));
            assert_eq!(state.producers.len(), producers, "durable up to {durable}, log start {log_start}");
        }
    }
}

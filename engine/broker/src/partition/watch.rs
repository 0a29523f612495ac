//! Fetches that wait for data: who is woken when a partition's high watermark moves.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ringlog_storage::answer::PartitionId;
use ringlog_storage::types::Offset;

use crate::event::Event;

/// Names a waiting fetch on the shard that received it; never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct WatchId(u64);

/// The fetches of this shard that wait. Beyond the limit a fetch is answered with what there is.
#[derive(Debug)]
pub(crate) struct Watches {
    limit: usize,
    waiting: BTreeMap<WatchId, Rc<Event>>,
    next: u64,
}

impl Watches {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, waiting: BTreeMap::new(), next: 0 }
    }

    /// Begins a wait; `None` when too many wait already.
    pub(crate) fn open(&mut self) -> Option<(WatchId, Rc<Event>)> {
        if self.waiting.len() >= self.limit {
            return None;
        }
        let id = WatchId(self.next);
        self.next += 1;
        let event = Rc::new(Event::default());
        self.waiting.insert(id, Rc::clone(&event));
        Some((id, event))
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Wakes the fetch, if it still waits.
    pub(crate) fn wake(&self, id: WatchId) {
        if let Some(event) = self.waiting.get(&id) {
            event.ring();
        }
    }

    /// Ends a wait.
    pub(crate) fn close(&mut self, id: WatchId) {
        self.waiting.remove(&id);
    }
}

/// A fetch that waits, and the shard that it waits on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Watcher {
    pub(crate) shard: usize,
    pub(crate) watch: WatchId,
}

/// Which of this shard's partitions are watched, and from which offset on.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    by_partition: BTreeMap<(PartitionId, Watcher), Offset>,
    by_watcher: BTreeSet<(Watcher, PartitionId)>,
    crowded_out: CrowdedOut,
}

/// Fetches that found too many reads of the disk under way, and the turn of each.
#[derive(Debug, Default)]
struct CrowdedOut {
    by_turn: BTreeMap<u64, Watcher>,
    turns: BTreeMap<Watcher, u64>,
    next: u64,
}

impl Watched {
    /// Wakes `watcher` once the high watermark of `partition` lies beyond `seen`.
    pub(crate) fn add(&mut self, partition: PartitionId, watcher: Watcher, seen: Offset) {
        self.by_partition.insert((partition, watcher), seen);
        self.by_watcher.insert((watcher, partition));
    }

    /// Those to wake now that the high watermark of `partition` is `high_watermark`. Each is forgotten altogether.
    pub(crate) fn advanced(&mut self, partition: PartitionId, high_watermark: Offset) -> Vec<Watcher> {
        self.take(partition, |seen| seen < high_watermark)
    }

    /// Those that watch a partition which is gone or closed.
    pub(crate) fn ended(&mut self, partition: PartitionId) -> Vec<Watcher> {
        self.take(partition, |_| true)
    }

    fn take(&mut self, partition: PartitionId, due: impl Fn(Offset) -> bool) -> Vec<Watcher> {
        if self.by_partition.is_empty() {
            return Vec::new();
        }
        let first = Watcher { shard: 0, watch: WatchId(0) };
        let of_partition = self.by_partition.range((partition, first)..).take_while(|((id, _), _)| *id == partition);
        let watchers: Vec<_> = of_partition.filter(|(_, seen)| due(**seen)).map(|((_, watcher), _)| *watcher).collect();
        for watcher in &watchers {
            self.remove(*watcher);
        }
        watchers
    }

    /// Wakes `watcher` once there is room for its read.
    pub(crate) fn add_crowded_out(&mut self, watcher: Watcher) {
        let CrowdedOut { by_turn, turns, next } = &mut self.crowded_out;
        if let Entry::Vacant(turn) = turns.entry(watcher) {
            by_turn.insert(*turn.insert(*next), watcher);
            *next += 1;
        }
    }

    /// A read has ended and `left` are under way: who waits the longest is to be woken. If none is left to wake another
    /// one, that is everybody: some may not want to read any more.
    pub(crate) fn read_ended(&mut self, left: usize) -> Vec<Watcher> {
        let count = if left == 0 { usize::MAX } else { 1 };
        let due: Vec<_> = self.crowded_out.by_turn.values().take(count).copied().collect();
        for watcher in &due {
            self.remove(*watcher);
        }
        due
    }

    /// Forgets a fetch.
    pub(crate) fn remove(&mut self, watcher: Watcher) {
        if let Some(turn) = self.crowded_out.turns.remove(&watcher) {
            self.crowded_out.by_turn.remove(&turn);
        }
        let first = (watcher, PartitionId::MIN);
        while let Some(&(of, partition)) = self.by_watcher.range(first..).next().filter(|(of, _)| *of == watcher) {
            self.by_watcher.remove(&(of, partition));
            self.by_partition.remove(&(partition, watcher));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn watcher(shard: usize, watch: u64) -> Watcher {
        Watcher { shard, watch: WatchId(watch) }
    }

    fn has_rung(event: &Event) -> bool {
        pin!(event.wait()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_wait_is_woken_until_it_ends() {
        let mut watches = Watches::new(10);
        let (first, event) = watches.open().expect("few wait");
        let (second, other) = watches.open().expect("few wait");
        assert_ne!(first, second);
        watches.wake(first);
        assert_eq!((has_rung(&event), has_rung(&other)), (true, false));
        watches.close(first);
        watches.wake(first);
        assert!(!has_rung(&event));
    }

    #[test]
    fn too_many_waits_are_refused_and_places_come_back() {
        let mut watches = Watches::new(10);
        let opened: Vec<_> = (0..10).filter_map(|_| watches.open()).collect();
        assert_eq!(opened.len(), 10);
        assert!(watches.open().is_none());
        watches.close(opened[0].0);
        let (again, _) = watches.open().expect("a place is free");
        assert!(opened.iter().all(|(id, _)| *id != again), "ids are never given twice");
    }

    /// The partitions that ids stand for are made by a store: here, two of an empty one.
    fn partitions() -> [PartitionId; 2] {
        use ringlog_storage::config::{LogConfig, StoreConfig};
        use ringlog_storage::types::{PartitionIndex, ShardId, TopicPartition, Uuid};
        use ringlog_storage::{LogDir, RecoveredShard, Store};

        let shard = ShardId::new(0);
        let mut store = Store::new(StoreConfig::new(shard), RecoveredShard::empty(shard));
        [0, 1].map(|index| {
            let name = TopicPartition::new("topic", PartitionIndex::new(index));
            store.create_partition(name, Uuid::from_u128(1), LogConfig::default(), LogDir::HOME).expect("there is room")
        })
    }

    #[test]
    fn only_what_lies_beyond_the_seen_high_watermark_wakes() {
        let [one, _] = partitions();
        let mut watched = Watched::default();
        watched.add(one, watcher(0, 1), Offset::new(5));
        watched.add(one, watcher(1, 1), Offset::new(6));
        assert_eq!(watched.advanced(one, Offset::new(5)), []);
        assert_eq!(watched.advanced(one, Offset::new(6)), [watcher(0, 1)]);
        assert_eq!(watched.advanced(one, Offset::new(7)), [watcher(1, 1)]);
        assert_eq!(watched.advanced(one, Offset::new(8)), []);
    }

    #[test]
    fn who_was_crowded_out_first_is_woken_first_and_nobody_is_left_behind() {
        let [one, _] = partitions();
        let mut watched = Watched::default();
        for watch in [3, 1, 2, 4, 1] {
            watched.add_crowded_out(watcher(0, watch));
        }
        watched.remove(watcher(0, 1));
        watched.add(one, watcher(0, 3), Offset::new(5));
        assert_eq!(watched.read_ended(7), [watcher(0, 3)]);
        assert_eq!(watched.advanced(one, Offset::new(6)), [], "it is forgotten altogether");
        assert_eq!(watched.read_ended(0), [watcher(0, 2), watcher(0, 4)]);
        assert_eq!(watched.read_ended(0), []);
    }

    #[test]
    fn a_fetch_that_is_woken_by_one_partition_is_forgotten_by_the_others() {
        let [one, other] = partitions();
        let mut watched = Watched::default();
        for partition in [one, other] {
            watched.add(partition, watcher(0, 1), Offset::new(5));
            watched.add(partition, watcher(0, 2), Offset::new(5));
            // Looking again does not watch twice.
            watched.add(partition, watcher(0, 2), Offset::new(5));
        }
        watched.remove(watcher(0, 2));
        assert_eq!(watched.ended(other), [watcher(0, 1)]);
        assert_eq!(watched.advanced(one, Offset::new(6)), []);
        assert!(watched.by_partition.is_empty() && watched.by_watcher.is_empty());
    }
}

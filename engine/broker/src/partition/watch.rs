//! Fetches that wait for data: who is woken when a partition's high watermark moves.

use std::collections::BTreeMap;
use std::rc::Rc;

use ringlog_storage::answer::PartitionId;
use ringlog_storage::types::Offset;

use crate::event::Event;

/// Fetches of one shard that may wait at a time. Beyond, a fetch is answered with what there is.
pub(crate) const WATCHES_MAX: usize = 65_536;

/// Names a waiting fetch on the shard that received it; never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct WatchId(u64);

/// The fetches of this shard that wait.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    waiting: BTreeMap<WatchId, Rc<Event>>,
    next: u64,
}

impl Watches {
    /// Begins a wait; `None` when too many wait already.
    pub(crate) fn open(&mut self) -> Option<(WatchId, Rc<Event>)> {
        if self.waiting.len() >= WATCHES_MAX {
            return None;
        }
        let id = WatchId(self.next);
        self.next += 1;
        let event = Rc::new(Event::default());
        self.waiting.insert(id, Rc::clone(&event));
        Some((id, event))
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
    by_watcher: BTreeMap<Watcher, Vec<PartitionId>>,
}

impl Watched {
    /// Wakes `watcher` once the high watermark of `partition` lies beyond `seen`.
    pub(crate) fn add(&mut self, partition: PartitionId, watcher: Watcher, seen: Offset) {
        if self.by_partition.insert((partition, watcher), seen).is_none() {
            self.by_watcher.entry(watcher).or_default().push(partition);
        }
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

    /// Forgets a fetch.
    pub(crate) fn remove(&mut self, watcher: Watcher) {
        for partition in self.by_watcher.remove(&watcher).unwrap_or_default() {
            self.by_partition.remove(&(partition, watcher));
        }
    }
}

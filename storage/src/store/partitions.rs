//! The partitions of a store: opened, looked at, configured, removed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::commit::AfterNotice;
use super::maintenance::Doomed;
use super::{Purpose, Store, index};
use crate::answer::{ActiveProducer, EpochEnd, PartitionId, PartitionOffsets, StoreEvent};
use crate::checkpoint::PartitionState;
use crate::config::LogConfig;
use crate::directory::{LogDir, delete_of, folder_of};
use crate::io::{IoErrorKind, IoOp};
use crate::journal::format::{Entry, EntryKind, PartitionKey};
use crate::log::partition::{Busy, Flush, Hold, Partition};
use crate::log::segment::{Seal, Segment, file_name};
use crate::log::tail::Tail;
use crate::statistics::PartitionExtent;
use crate::types::{LeaderEpoch, Millis, Offset, TopicPartition, Uuid};

impl Store {
    /// Opens a partition: the one that recovery found under this topic id, or a new, empty one, which will lie in
    /// `log_dir`. Files come into being when the first batch is written to them. `None` when the store has no
    /// [`room`](Self::room). A partition that is open keeps its id.
    pub fn create_partition(
        &mut self,
        name: TopicPartition,
        topic_id: Uuid,
        config: LogConfig,
        log_dir: LogDir,
    ) -> Option<PartitionId> {
        let key = PartitionKey { topic_id, partition: name.partition };
        if let Some(open) = self.by_key.get(&key) {
            return Some(*open);
        }
        (self.room() > 0).then(|| self.add_partition(name, key, config, log_dir))
    }

    /// How many more partitions can be opened. One that is removed, or has gone to another store, takes its room until its id
    /// is free.
    pub fn room(&self) -> usize {
        let taken = self.partitions.len() - self.free.len();
        self.config.partitions_max.saturating_sub(taken)
    }

    /// Opens a partition, whether there is room or not.
    fn add_partition(
        &mut self,
        name: TopicPartition,
        key: PartitionKey,
        config: LogConfig,
        log_dir: LogDir,
    ) -> PartitionId {
        let id = self.free.pop().unwrap_or_else(|| {
            let id = u32::try_from(self.partitions.len()).expect("recovery finds fewer partitions than 32 bits count");
            self.partitions.push(None);
            PartitionId::new(id)
        });
        self.stirred = true;
        let state = self.recovered.remove(&key);
        if state.as_ref().is_some_and(|state| state.dir_exists) && !self.handovers.is_untold(key) {
            self.leftovers.look_at(key);
        }
        let partition = self.open(name, key, config, state, log_dir);
        let unsealed = partition.unsealed > 0;
        let rot = partition.rot.clone();
        self.by_dir.insert(partition.dir.clone(), id);
        self.partitions[index(id)] = Some(partition);
        self.by_key.insert(key, id);
        for range in rot {
            self.events.push_back(StoreEvent::RotFound { partition: id, from: range.from, next_good: range.next_good });
        }
        if unsealed {
            self.drive(id);
        }
        if let Some(to) = self.moves.resumed.remove(&key) {
            // A store that has failed already moves nothing.
            let _ = self.move_partition(id, to);
        }
        id
    }

    fn open(
        &mut self,
        name: TopicPartition,
        key: PartitionKey,
        config: LogConfig,
        state: Option<PartitionState>,
        log_dir: LogDir,
    ) -> Partition {
        let found =
            state.as_ref().map(|state| self.dirs.find(state.placement.directory).expect("recovery has found it"));
        let folder = folder_of(&name.topic, name.partition);
        // One that ended before its first batch was durable goes on in the folder that it has.
        let orphan = self.take_orphan(&folder);
        let log_dir = found.or(orphan).unwrap_or(log_dir);
        let dir = log_dir.path(&folder);
        let interval = config.index_interval_bytes;
        let known = state.is_some();
        let state = state.unwrap_or_else(|| PartitionState::empty(key, name.topic.clone(), Offset::ZERO));
        let end = state.durable;
        let mut segments: VecDeque<Segment> = VecDeque::with_capacity(state.segments.len());
        for found in state.segments {
            let file = self.queue.file(format!("{dir}/{}", file_name(found.base, "log")));
            let mut segment = Segment::new(found.base, file, interval, Tail::at(found.bytes));
            segment.bytes = found.bytes;
            segment.times = found.times;
            // The last one takes appends, also where it was sealed and nothing came to be committed behind it.
            if found.sealed && found.base != end.segment {
                segment.seal = Seal::Sealed;
                segment.index = None;
                segment.allocated = Some(found.bytes);
            } else if !found.index.entries().is_empty() {
                segment.index = Some(found.index);
            }
            segments.push_back(segment);
        }
        let unsealed = segments.iter().filter(|one| one.seal != Seal::Sealed && one.base != end.segment).count();
        Partition {
            name,
            key,
            log_dir,
            placed: log_dir,
            move_count: state.placement.move_count,
            move_to: None,
            hold: Hold::None,
            dir,
            dir_exists: state.dir_exists,
            has_orphan: orphan == Some(log_dir),
            config,
            log_start: state.log_start,
            segments,
            end,
            issued: end,
            committed: end,
            written: end,
            durable: end,
            high_watermark: end.offset,
            epochs: state.epochs,
            producers: state.producers,
            journaled_since: None,
            journaled_after_flush: None,
            busy: Busy::Idle,
            flush_to: end.offset,
            sync_wanted: false,
            flush: Flush::None,
            data_syncing: false,
            room_wanted: false,
            unwritten_noted: false,
            is_evictable: false,
            queued: false,
            lazy_due: None,
            recovered: known,
            journal_knows_name: known && !self.handovers.is_untold(key),
            is_of_controller: false,
            records_since_flush: 0,
            fenced: None,
            removing: false,
            operations: 0,
            unsealed,
            rot: state.rot,
            last_append: Millis::NONE,
        }
    }

    fn take_orphan(&mut self, folder: &str) -> Option<LogDir> {
        if !self.orphans.contains_key(folder) {
            return None;
        }
        Arc::make_mut(&mut self.orphans).remove(folder)
    }

    /// Another store opens the partition of this name, and takes the folder for its own that was found without anything being
    /// known of it. To be told for every partition that other shards open.
    pub fn forget_orphan(&mut self, name: &TopicPartition) {
        if !self.orphans.is_empty() {
            self.take_orphan(&folder_of(&name.topic, name.partition));
        }
    }

    /// The partition's offsets; `None` if there is no such partition.
    pub fn partition(&self, id: PartitionId) -> Option<PartitionOffsets> {
        self.get(id).filter(|partition| !partition.removing).map(Partition::offsets)
    }

    /// Whether what is in the partition's log comes to be committed: no write of it has failed.
    pub fn commits(&self, id: PartitionId) -> bool {
        let partition = self.get(id).filter(|partition| !partition.removing);
        self.fenced.is_none() && partition.is_some_and(|partition| partition.fenced.is_none())
    }

    /// The id of an open partition.
    pub fn partition_id(&self, key: PartitionKey) -> Option<PartitionId> {
        self.by_key.get(&key).copied()
    }

    /// Sets the log configuration; appends follow it from now on.
    pub fn set_config(&mut self, id: PartitionId, config: LogConfig) {
        if let Some(partition) = self.get_mut(id) {
            partition.config = config;
        }
    }

    /// The latest leader epoch of the log, [`LeaderEpoch::UNKNOWN`] if it has none.
    pub fn latest_epoch(&self, id: PartitionId) -> LeaderEpoch {
        self.get(id).and_then(|partition| partition.epochs.latest()).unwrap_or(LeaderEpoch::UNKNOWN)
    }

    /// Bytes of the partition's batches, as far as their segments are kept; `None` if there is no such partition.
    pub fn partition_bytes(&self, id: PartitionId) -> Option<u64> {
        self.partition_extent(id).map(|extent| extent.bytes)
    }

    /// What the partition has in the log; `None` if there is no such partition.
    pub fn partition_extent(&self, id: PartitionId) -> Option<PartitionExtent> {
        let partition = self.get(id).filter(|partition| !partition.removing)?;
        let bytes = partition.segments.iter().map(|segment| segment.bytes).sum();
        Some(PartitionExtent { offsets: partition.offsets(), bytes, segments: partition.segments.len() })
    }

    /// The producers that the partition remembers; `None` if there is no such partition.
    pub fn producers(&self, id: PartitionId) -> Option<Vec<ActiveProducer>> {
        self.get(id).map(|partition| partition.producers.active().collect())
    }

    /// Where `epoch` ends in this log (KIP-101, KIP-279); `None` if there is no such partition.
    pub fn end_offset_for_epoch(&self, id: PartitionId, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.get(id).map(|partition| partition.epochs.end_of(epoch, partition.end.offset))
    }

    /// Keys of partitions that recovery found and nobody has opened. When the cluster's metadata is known and all of
    /// its partitions are open, what is left is to be removed with [`remove_unclaimed`](Self::remove_unclaimed).
    pub fn unclaimed(&self) -> impl Iterator<Item = (PartitionKey, TopicPartition)> + '_ {
        self.recovered.values().map(|state| (state.key, TopicPartition::new(state.topic.clone(), state.key.partition)))
    }

    /// Removes a partition that recovery found and the cluster does not know, be there room for it or not. Answers under which
    /// id, for [`StoreEvent::Removed`]; `None` if there is nothing to wait for: recovery has not found it, or its folder is
    /// that of a newer one of its name.
    pub fn remove_unclaimed(&mut self, key: PartitionKey) -> Option<PartitionId> {
        let state = self.recovered.get(&key)?;
        let name = TopicPartition::new(state.topic.clone(), key.partition);
        let log_dir = self.dirs.find(state.placement.directory).expect("recovery has found it");
        let dir = log_dir.path(&folder_of(&name.topic, name.partition));
        if self.by_dir.contains_key(&dir) || self.removing.contains_key(&dir) {
            // The folder belongs to a newer topic of that name by now.
            self.recovered.remove(&key);
            self.removed_keys.insert(key);
            return None;
        }
        let id = self.add_partition(name, key, LogConfig::default(), log_dir);
        self.remove_partition(id);
        Some(id)
    }

    /// Removes a partition: it is gone at once. When a crash cannot bring it back any more its folder is renamed, and then
    /// [`StoreEvent::Removed`] tells that its id and its folder's name are free; the files go when `file.delete.delay.ms` is
    /// over, or with the next start. A partition of the same name may be created in this store at once, and waits for the
    /// folder by itself; in another shard's store it must not be created before that event. A store that
    /// [is fenced](Self::is_fenced) may never tell it: then the next start finds either the partition again, or that it was
    /// removed, and removes its folder.
    pub fn remove_partition(&mut self, id: PartitionId) {
        if self.get(id).is_none_or(|partition| partition.removing) {
            return;
        }
        self.give_unwritten_up(id);
        let partition = self.known(id);
        partition.removing = true;
        let (key, at, lazy) = (partition.key, partition.end, partition.lazy_due.take());
        let (dir, recovered) = (partition.dir.clone(), partition.recovered);
        self.by_key.remove(&key);
        if self.by_dir.get(&dir) == Some(&id) {
            self.by_dir.remove(&dir);
        }
        *self.removing.entry(dir).or_default() += 1;
        if recovered {
            self.removed_keys.insert(key);
        }
        if let Some(due) = lazy {
            self.lazy.remove(&(due, id));
        }
        self.leave_writeback(id);
        self.commit.notice(Entry::fact(EntryKind::Removed, key, at));
        self.fail_reads_of(id);
        let partition = self.known(id);
        // Its folder stays until the journal tells that it is removed: recovery must not meet another one there.
        partition.operations += 1;
        self.commit.after_notices.push(AfterNotice::Removed(id));
    }

    /// Counts down what is out for the partition's files; a removed one goes on its way when nothing is.
    pub(super) fn operation_ended(&mut self, id: PartitionId) {
        let partition = self.known(id);
        partition.operations -= 1;
        if !partition.removing || partition.operations > 0 {
            return;
        }
        let (from, topic_id, exists) = (partition.dir.clone(), partition.key.topic_id, partition.may_have_folder());
        if !exists {
            return self.removed_renamed(id, Ok(()));
        }
        partition.operations += 1;
        let to = deleted(&from, topic_id);
        let root = partition.log_dir.path("");
        let script = [IoOp::Rename { from, to }, IoOp::SyncDir { path: root }];
        self.queue.start_script(script, Purpose::RenameRemoved(id));
    }

    /// Whether the folder that this partition wants still belongs to a removed one.
    pub(super) fn is_renaming(&self, id: PartitionId) -> bool {
        self.get(id).is_some_and(|wanting| self.removing.contains_key(&wanting.dir))
    }

    pub(super) fn removed_renamed(&mut self, id: PartitionId, result: Result<(), IoErrorKind>) {
        let mut partition = self.partitions[index(id)].take().expect("a removed partition stays until it is renamed");
        for segment in &mut partition.segments {
            segment.tail.clear(&mut self.tail_memory);
            self.queue.start(IoOp::Close { file: segment.file.clone() }, Purpose::Delete);
        }
        // Its id will be another one's.
        if partition.is_evictable {
            self.evictable.retain(|other| *other != id);
        }
        if partition.unwritten_noted {
            self.writeback.forget_unwritten(id);
        }
        self.free.push(id);
        self.events.push_back(StoreEvent::Removed { partition: id });
        if partition.may_have_folder() && result.is_ok() {
            let delay = std::time::Duration::from_millis(partition.config.file_delete_delay_ms);
            let path = deleted(&partition.dir, partition.key.topic_id);
            self.deletions.insert((self.clock.saturating_add(delay), Doomed::Directory(path.to_string())));
        }
        self.free_folder(&partition.dir);
    }

    /// A removed partition does not need its folder's name any more.
    pub(super) fn free_folder(&mut self, dir: &Arc<str>) {
        let others = self.removing.get_mut(dir).expect("it was counted when it was removed");
        *others -= 1;
        if *others > 0 {
            return;
        }
        self.removing.remove(dir);
        // A partition of the same name may wait for the folder.
        if let Some(waiting) = self.by_dir.get(dir).copied() {
            self.drive(waiting);
        }
    }
}

/// What the folder of a removed partition is called until it is deleted.
fn deleted(dir: &str, topic_id: Uuid) -> Arc<str> {
    let (log_dir, folder) = LogDir::of_path(dir);
    log_dir.path(&delete_of(folder, topic_id.as_u128()))
}

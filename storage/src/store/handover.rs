//! A partition's way from the store of one shard to that of another, while both run.
//!
//! The giving store brings all of it into its segments, lets go of its files, and tells what it knows of it. The taking
//! store goes on from there at once. Until a checkpoint of the taking store tells of the partition those of the giving
//! store do: so at any time some checkpoint, and the journals written since, have all of it. Where two checkpoints tell of
//! it recovery believes the one that reaches further.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Purpose, Store, index};
use crate::answer::{PartitionId, StoreEvent};
use crate::checkpoint::PartitionState;
use crate::directory::folder_of;
use crate::io::IoOp;
use crate::journal::format::PartitionKey;
use crate::limits::ADOPTION_GATHER_MS;
use crate::log::partition::{Busy, Flush, Partition};
use crate::log::segment::Seal;
use crate::types::{Nanos, Offset};

/// That a store let go of a partition, told apart from all other times that it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    key: PartitionKey,
    number: u64,
}

/// All that a store knew of a partition when it let go of it.
#[derive(Debug)]
pub struct Handover {
    release: Release,
    state: PartitionState,
    has_orphan: bool,
    /// What a process before has left in its folder is still to be removed.
    is_unseen: bool,
}

impl Handover {
    /// Which partition it is.
    pub fn key(&self) -> PartitionKey {
        self.state.key
    }

    /// What the giving store is to be told with when a checkpoint tells of the partition.
    pub fn release(&self) -> Release {
        self.release
    }
}

/// Partitions that are given and taken.
#[derive(Debug, Default)]
pub(crate) struct Handovers {
    /// To be brought into their segments up to these offsets, before they leave.
    preparing: BTreeMap<PartitionId, Offset>,
    /// On their way out of this store.
    leaving: BTreeSet<PartitionId>,
    /// Let go of, and told by the checkpoints of this store as long as no other one's does.
    released: BTreeMap<PartitionKey, (Release, PartitionId, PartitionState)>,
    /// The number of the next release.
    next_release: u64,
    /// Taken over, and not in a checkpoint of this store yet.
    adopted: BTreeSet<PartitionKey>,
    /// No checkpoint is written for the sake of those before this time.
    checkpoint_at: Nanos,
}

impl Handovers {
    /// When a checkpoint is to be written for their sake, if one is.
    pub(super) fn checkpoint_due(&self) -> Option<Nanos> {
        (!self.adopted.is_empty()).then_some(self.checkpoint_at)
    }

    /// What the checkpoints of this store tell although it has let go of it.
    pub(super) fn released(&self) -> impl Iterator<Item = &PartitionState> {
        self.released.values().map(|(_, _, state)| state)
    }

    /// Whether the journal or a checkpoint of this store may tell the name of a partition that it has taken up.
    pub(super) fn is_untold(&self, key: PartitionKey) -> bool {
        self.adopted.contains(&key)
    }
}

impl Store {
    /// Brings what is committed of a partition into its segments while it is used, so that letting go of it takes little time
    /// behind that. [`StoreEvent::Prepared`] tells that there is no more to be done before.
    pub fn prepare_release(&mut self, id: PartitionId) {
        let Some(partition) = self.get(id).filter(|partition| !partition.removing) else { return };
        let committed = partition.committed.offset;
        if is_unsynced(partition) {
            self.request_sync(id);
        }
        self.stirred = true;
        self.handovers.preparing.insert(id, committed);
    }

    /// Nobody waits for preparations any more.
    pub fn end_preparations(&mut self) {
        self.handovers.preparing.clear();
    }

    /// Tells which partitions are prepared. Who waits for one waits for all, so that the order does not matter.
    pub(super) fn advance_preparations(&mut self) {
        while let Some((id, committed)) = self.handovers.preparing.first_key_value().map(|(id, to)| (*id, *to)) {
            let has_failed = self.fenced.is_some();
            let waits = |partition: &Partition| {
                let can_be_synced = !has_failed && partition.fenced.is_none() && !partition.removing;
                can_be_synced && partition.durable.offset < committed
            };
            if self.get(id).is_some_and(waits) {
                return;
            }
            self.handovers.preparing.pop_first();
            self.events.push_back(StoreEvent::Prepared { partition: id });
        }
    }

    /// Begins to let go of a partition: commits what was appended, brings it into the segments, and then tells
    /// [`StoreEvent::Released`]. Nothing more is to be appended or read meanwhile. What is told may be waited for without
    /// end while the device is full; [`keep_partition`](Self::keep_partition) ends that.
    pub fn release_partition(&mut self, id: PartitionId) {
        if self.get(id).is_some_and(|partition| !partition.removing) {
            self.stirred = true;
            self.handovers.leaving.insert(id);
        }
    }

    /// The partition stays, unless [`StoreEvent::Released`] was told already.
    pub fn keep_partition(&mut self, id: PartitionId) {
        self.handovers.leaving.remove(&id);
    }

    /// Takes a partition over from another store, to be opened with [`create_partition`](Self::create_partition).
    /// [`StoreEvent::Adopted`] tells when a checkpoint has it.
    pub fn adopt_partition(&mut self, handover: Box<Handover>) {
        let Handover { release: _, state, has_orphan, is_unseen } = *handover;
        let key = state.key;
        assert!(!self.by_key.contains_key(&key), "a partition is in one store at a time");
        // From an earlier time here, which the store that gives it has taken over.
        self.free.extend(self.handovers.released.remove(&key).map(|(_, id, _)| id));
        // What a checkpoint that is being written tells of it is of that time, too.
        self.checkpointing.forget_named(key);
        if self.handovers.adopted.is_empty() {
            // Others follow, as a rule.
            let gathering = Duration::from_millis(ADOPTION_GATHER_MS);
            self.handovers.checkpoint_at = self.clock.saturating_add(gathering);
        }
        self.handovers.adopted.insert(key);
        if has_orphan {
            let dir = self.dirs.find(state.placement.directory).expect("all stores have the same directories");
            Arc::make_mut(&mut self.orphans).insert(folder_of(&state.topic, key.partition), dir);
        }
        if is_unseen {
            self.leftovers.look_at(key);
        }
        self.recovered.insert(key, state);
        self.stirred = true;
    }

    /// Another store's checkpoint tells of a partition that this one has let go of. Its id may be another one's from now on.
    /// Nothing happens if the partition has been here again since: that comes too late.
    pub fn forget_released(&mut self, release: Release) {
        if self.handovers.released.get(&release.key).is_some_and(|(last, ..)| *last == release) {
            self.free.extend(self.handovers.released.remove(&release.key).map(|(_, id, _)| id));
        }
    }

    /// Takes partitions further on their way out.
    pub(super) fn advance_handovers(&mut self) {
        if self.handovers.leaving.is_empty() {
            return;
        }
        for id in self.handovers.leaving.clone() {
            let fenced = self.fenced;
            let Some(partition) = self.get(id).filter(|partition| !partition.removing) else {
                self.handovers.leaving.remove(&id);
                continue;
            };
            let is_moving = partition.move_to.is_some() || self.moves.is_about(id);
            if fenced.or(partition.fenced).is_some() || is_moving {
                self.end_release(id, None);
            } else if partition.has_uncommitted() {
                self.queue_commit(id);
            } else if self.handovers.adopted.contains(&partition.key) {
                // Until a checkpoint here tells of it the one before has what a start needs, and forgets that when the next one
                // takes over: so one move is told of before another begins.
                self.handovers.checkpoint_at = self.handovers.checkpoint_at.min(self.clock);
            } else if is_at_rest(partition) {
                self.let_go(id);
            } else if is_unsynced(partition) && partition.flush == Flush::None && partition.busy == Busy::Idle {
                self.request_sync(id);
            }
        }
    }

    fn let_go(&mut self, id: PartitionId) {
        let mut partition = self.partitions[index(id)].take().expect("looked up before");
        let state = super::checkpoint::state_of(&partition, self.dirs.id(partition.placed));
        for segment in &mut partition.segments {
            segment.tail.clear(&mut self.tail_memory);
            self.queue.start(IoOp::Close { file: segment.file.clone() }, Purpose::Delete);
        }
        self.by_key.remove(&partition.key);
        self.by_dir.remove(&partition.dir);
        if partition.is_evictable {
            self.evictable.retain(|other| *other != id);
        }
        if partition.unwritten_noted {
            self.writeback.forget_unwritten(id);
        }
        let release = Release { key: state.key, number: self.handovers.next_release };
        self.handovers.next_release += 1;
        self.handovers.released.insert(state.key, (release, id, state.clone()));
        let is_unseen = self.leftovers.leave(state.key);
        let handover = Handover { release, state, has_orphan: partition.has_orphan, is_unseen };
        self.end_release(id, Some(Box::new(handover)));
    }

    fn end_release(&mut self, id: PartitionId, handover: Option<Box<Handover>>) {
        self.handovers.leaving.remove(&id);
        self.events.push_back(StoreEvent::Released { partition: id, handover });
    }

    /// A checkpoint tells of these partitions, or that they are removed. Answers whether one of them was taken over.
    pub(super) fn tell_adopted(&mut self, told: &[PartitionKey]) -> bool {
        let before = self.events.len();
        for key in told.iter().filter(|key| self.handovers.adopted.remove(key)) {
            self.events.push_back(StoreEvent::Adopted { key: *key });
        }
        self.events.len() > before
    }
}

/// Whether something of it is not durable in its segments.
fn is_unsynced(partition: &Partition) -> bool {
    partition.journaled_since.is_some() || partition.normal(partition.durable) != partition.normal(partition.end)
}

/// Whether all of it is in its segments, and nothing is out for it.
fn is_at_rest(partition: &Partition) -> bool {
    let is_quiet = partition.operations == 0
        && partition.busy == Busy::Idle
        && partition.flush == Flush::None
        && !partition.data_syncing
        && !partition.room_wanted
        && !partition.queued;
    is_quiet
        && !is_unsynced(partition)
        && partition.unsealed == 0
        && partition.segments.iter().all(|segment| segment.seal != Seal::Sealing)
}

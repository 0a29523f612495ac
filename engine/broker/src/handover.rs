//! Partitions on their way from one shard to another: how this one lets them go, and takes others over.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use ringlog_storage::answer::PartitionId;
use ringlog_storage::{Handover, Release};

use crate::countdown::Countdown;
use crate::group;
use crate::message::Message;
use crate::metrics::counters::Traffic;
use crate::partition::append::{note_gone, refuse_deferred};
use crate::partition::table::PartitionKey;
use crate::shard::Shard;
use crate::state::State;
use crate::topology::{self, TopicConfigs};

/// A partition between two shards: what the store knew of it, and what has passed through it.
#[derive(Debug)]
pub(crate) struct Moved {
    storage: Box<Handover>,
    traffic: Traffic,
}

impl Moved {
    /// Which partition it is.
    pub(crate) fn key(&self) -> PartitionKey {
        self.storage.key()
    }
}

/// What this shard knows of partitions on their way.
#[derive(Debug, Default)]
pub(crate) struct Handovers {
    /// Those that are prepared, and who waits for that.
    preparing: BTreeMap<PartitionId, Rc<Countdown>>,
    /// Those that are to leave, and have not.
    leaving: BTreeSet<PartitionId>,
    /// Those that have.
    left: Vec<Moved>,
    /// Those that cannot: they stay.
    stuck: Vec<PartitionId>,
    /// Counts those that are to leave.
    count: Rc<Countdown>,
    /// Those that were taken over, from these shards, which keep what they know of them until a checkpoint of this one does.
    taken: BTreeMap<PartitionKey, (usize, Release)>,
    /// What those shards may forget, and what the first one may move.
    notes: Vec<(usize, Message)>,
}

impl Handovers {
    /// What shards are to be told.
    pub(crate) fn take_notes(&mut self) -> Vec<(usize, Message)> {
        std::mem::take(&mut self.notes)
    }

    /// A checkpoint of this shard tells of the partition.
    pub(crate) fn adopted(&mut self, key: PartitionKey) {
        self.notes.extend(self.taken.remove(&key).map(|(from, release)| (from, Message::Adopted(release))));
    }

    /// The store has done what it can before the partition leaves.
    pub(crate) fn prepared(&mut self, id: PartitionId) {
        if let Some(count) = self.preparing.remove(&id) {
            count.settle_one();
        }
    }

    /// The partition is not on its way to another data directory any more.
    pub(crate) fn settled(&mut self, key: PartitionKey) {
        self.notes.push((0, Message::Settled(key)));
    }
}

/// Has the store bring partitions of this shard into their segments while they are served, so that requests wait for a short
/// time when they leave. Ends when it has, or when `time_max` is over.
pub(crate) async fn prepare(shard: Shard, keys: Vec<PartitionKey>, time_max: Duration) {
    let count = Rc::new(Countdown::default());
    shard.with(|state| {
        for id in keys.iter().filter_map(|key| state.table.id(*key)).collect::<Vec<_>>() {
            count.begin();
            state.handovers.preparing.insert(id, Rc::clone(&count));
            state.store.prepare_release(id);
        }
    });
    // What is not prepared by then takes longer to leave.
    let _ = shard.reactor().timeout(count.settled(), time_max).await;
    shard.with(|state| {
        state.handovers.preparing.clear();
        state.store.end_preparations();
    });
}

/// Lets partitions of this shard go, and answers those that have left when all have, or when `time_max` is over. From now on
/// nobody may send requests for them here.
pub(crate) async fn release(shard: Shard, keys: Vec<PartitionKey>, time_max: Duration) -> Vec<Moved> {
    let count = shard.with(|state| {
        for id in keys.iter().filter_map(|key| state.table.id(*key)).collect::<Vec<_>>() {
            begin_to_leave(state, id, &shard);
        }
        Rc::clone(&state.handovers.count)
    });
    // What has not left by then stays.
    let _ = shard.reactor().timeout(count.settled(), time_max).await;
    shard.with(|state| {
        for id in std::mem::take(&mut state.handovers.leaving) {
            state.store.keep_partition(id);
            state.handovers.count.settle_one();
            state.handovers.stuck.push(id);
        }
        for id in std::mem::take(&mut state.handovers.stuck) {
            stay(state, id, &shard);
        }
        std::mem::take(&mut state.handovers.left)
    })
}

fn begin_to_leave(state: &mut State, id: PartitionId, shard: &Shard) {
    let slot = state.table.get(id).expect("a partition that is found has its slot");
    let (key, is_group_log) = (slot.key, slot.is_group_log());
    // While it is found: its producers are told apart from new ones where it goes.
    refuse_deferred(state, key, shard.wall_clock());
    state.table.leave(id);
    if is_group_log {
        state.groups.remove(key.partition);
    }
    state.wake_watchers(id);
    state.handovers.leaving.insert(id);
    state.handovers.count.begin();
    state.store.release_partition(id);
}

fn stay(state: &mut State, id: PartitionId, shard: &Shard) {
    let slot = state.table.stay(id);
    let (key, is_group_log) = (slot.key, slot.is_group_log());
    if is_group_log {
        state.groups.add(key.partition, id);
        shard.reactor().spawn(group::load(shard.clone(), key, id));
    }
}

/// The store has let go of a partition, or cannot.
pub(crate) fn released(state: &mut State, id: PartitionId, handover: Option<Box<Handover>>) {
    if !state.handovers.leaving.remove(&id) {
        return;
    }
    match handover {
        Some(storage) => {
            let traffic = state.table.remove(id).map_or_else(Traffic::default, |slot| slot.traffic);
            note_gone(state, id);
            // A read that was under way has put some to sleep since it began to leave.
            state.wake_watchers(id);
            state.handovers.left.push(Moved { storage, traffic });
        }
        None => state.handovers.stuck.push(id),
    }
    state.handovers.count.settle_one();
}

/// Takes over what the shard `from` has let go of.
pub(crate) fn adopt(shard: &Shard, from: usize, moved: Vec<Moved>) {
    shard.with(|state| {
        let mut configs = TopicConfigs::default();
        for Moved { storage, traffic } in moved {
            let key = storage.key();
            state.handovers.taken.insert(key, (from, storage.release()));
            state.store.adopt_partition(storage);
            topology::open_adopted(shard, state, key, &mut configs);
            if let Some(id) = state.table.id(key)
                && let Some(slot) = state.table.get_mut(id)
            {
                slot.traffic = traffic;
            }
        }
    });
}

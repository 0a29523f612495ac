//! The group sync: at most one is in flight; whoever wants something synced meanwhile is part of the next one.
//!
//! Partitions take to segments in crowds: a checkpoint has to have all of them synced, and their files are made when the
//! first writeback comes. A sync for each would cost as many flushes of the device as there are partitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Purpose, Store};
use crate::answer::PartitionId;
use crate::io::{FileRef, IoErrorKind, IoOp};
use crate::limits::GROUP_SYNC_MAX;
use crate::log::partition::Flush;
use crate::log::segment::{Seal, Segment};
use crate::types::Offset;

/// The syncs of a shard.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    /// Each partition stands here at most once: it is busy until its sync has ended.
    waiting: Vec<SyncMember>,
    in_flight: bool,
}

/// A partition's part of a group sync.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncMember {
    pub(super) id: PartitionId,
    pub(super) part: SyncPart,
}

/// What is to be synced of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SyncPart {
    /// The names that lead to a segment's new file, in which this much space is reserved.
    Names(Offset, u64),
    /// What was written to its segments.
    Data,
}

impl Store {
    /// Has the partition synced with the next group. It must stay busy until then; its flush needs no turn meanwhile.
    pub(super) fn join_sync(&mut self, id: PartitionId, part: SyncPart) {
        let partition = self.known(id);
        if partition.flush == Flush::UnderWay {
            partition.flush = Flush::Syncing;
            self.writeback.give_turn_back();
        }
        self.syncs.waiting.push(SyncMember { id, part });
    }

    /// Begins the next group, if none is in flight and something waits.
    pub(super) fn start_sync(&mut self) {
        if self.syncs.in_flight || self.syncs.waiting.is_empty() {
            return;
        }
        let count = self.syncs.waiting.len().min(GROUP_SYNC_MAX);
        let members: Vec<SyncMember> = self.syncs.waiting.drain(..count).collect();
        let mut files: Vec<FileRef> = Vec::new();
        let mut dirs: BTreeSet<Arc<str>> = BTreeSet::new();
        for member in &members {
            let partition = self.known(member.id);
            match member.part {
                SyncPart::Data => files.extend(unsynced(&partition.segments).map(|segment| segment.file.clone())),
                SyncPart::Names(..) => {
                    dirs.insert(partition.dir.clone());
                    if !partition.dir_exists {
                        dirs.insert("".into());
                    }
                }
            }
        }
        self.syncs.in_flight = true;
        let op = IoOp::SyncAll { files, dirs: dirs.into_iter().collect() };
        self.queue.start(op, Purpose::SyncAll(members));
    }

    /// The group is synced. Of a failure nobody knows whom it hit, so it hits all.
    pub(super) fn all_synced(&mut self, members: Vec<SyncMember>, result: Result<(), IoErrorKind>) {
        self.syncs.in_flight = false;
        for SyncMember { id, part } in members {
            match part {
                SyncPart::Names(base, allocated) => self.prepared(id, base, allocated, result),
                SyncPart::Data => self.data_synced(id, result),
            }
        }
    }
}

/// The segments that a sync has to cover. Those that are being sealed are synced with that.
pub(super) fn unsynced<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> impl Iterator<Item = &'a Segment> {
    segments.into_iter().filter(|segment| segment.needs_sync && segment.seal == Seal::Open)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use crate::answer::StoreEvent;
    use crate::io::IoOp;
    use crate::simulation::{Shape, World};

    #[test]
    fn many_partitions_are_synced_together() {
        const PARTITIONS: usize = 300;
        let partitions = u32::try_from(PARTITIONS).expect("few");
        let mut world = World::new(1, Shape { partitions, journal_file_bytes: 1 << 20, ..Shape::default() });
        world.start(1);
        world.append(0, 100);
        world.settle(100);
        (0..partitions).for_each(|partition| assert!(world.append(partition, 100)));
        world.stores[0].shutdown();
        let (mut out, mut groups, mut synced) = (VecDeque::new(), 0, [0, 0]);
        loop {
            while let Some(io) = world.stores[0].poll_io(world.now) {
                if let IoOp::SyncAll { files, dirs } = &io.op {
                    groups += 1;
                    synced = [synced[0] + files.len(), synced[1] + dirs.len()];
                }
                out.push_back(io);
            }
            // The oldest ends first, as on a disk whose every operation takes as long as the next.
            let Some(io) = out.pop_front() else { break };
            let result = world.disk.perform(&io.op);
            world.stores[0].io_done(io.id, result, world.now);
        }
        let closed =
            std::iter::from_fn(|| world.stores[0].poll_event()).any(|event| matches!(event, StoreEvent::Closed));
        assert!(closed, "everything is in the segments");
        assert_eq!(synced[0], PARTITIONS, "each file once");
        assert!(synced[1] > PARTITIONS, "each folder, and theirs");
        assert!(groups <= (synced[0] + synced[1]) / 10, "{groups} groups");
    }
}

//! The group sync: of each data directory at most one is in flight; whoever wants something synced meanwhile is part of the next one, which
//! waits a little for those who are still being written, unless a commit waits for it.
//!
//! Partitions take to segments in crowds: a checkpoint has to have all of them synced, and their files are made when the
//! first writeback comes. A sync for each would cost as many flushes of the device as there are partitions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Purpose, Store, nanos};
use crate::answer::PartitionId;
use crate::directory::LogDir;
use crate::io::{FileRef, IoErrorKind, IoOp};
use crate::limits::{GROUP_SYNC_MAX, SYNC_GATHER_MS};
use crate::log::partition::{Flush, Partition};
use crate::log::segment::{Seal, Segment};
use crate::types::{Nanos, Offset};

/// The syncs of a shard.
#[derive(Debug)]
pub(crate) struct Syncs(Vec<DirSyncs>);

/// Those of one data directory: what fails in one says nothing about another.
#[derive(Debug, Default)]
struct DirSyncs {
    /// Each partition stands here at most twice: for its data, and for the names of its next file.
    waiting: Vec<SyncMember>,
    /// Until when others may join those who wait.
    gather_until: Nanos,
    /// A commit waits for one of them.
    is_urgent: bool,
    in_flight: bool,
    began: Nanos,
}

impl Syncs {
    /// The syncs of so many data directories.
    pub(super) fn new(dirs: usize) -> Self {
        Self((0..dirs).map(|_| DirSyncs::default()).collect())
    }

    fn of(&mut self, dir: LogDir) -> &mut DirSyncs {
        &mut self.0[dir.index()]
    }

    /// A commit waits for somebody's names in this directory, who may have joined or may be about to.
    pub(super) fn hurry(&mut self, dir: LogDir) {
        self.of(dir).is_urgent = true;
    }

    /// When the next group begins at the latest.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        let waits = |syncs: &&DirSyncs| !syncs.in_flight && !syncs.waiting.is_empty();
        self.0.iter().filter(waits).map(|syncs| syncs.gather_until).min()
    }
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
    /// Has the partition synced with the next group.
    pub(super) fn join_sync(&mut self, id: PartitionId, part: SyncPart) {
        let gather_until = self.clock.saturating_add(Duration::from_millis(SYNC_GATHER_MS));
        let partition = self.known(id);
        let (dir, room_wanted) = (partition.log_dir, partition.room_wanted);
        let syncs = self.syncs.of(dir);
        if syncs.waiting.is_empty() {
            syncs.gather_until = gather_until;
        }
        syncs.is_urgent |= room_wanted;
        syncs.waiting.push(SyncMember { id, part });
        self.wait_for_sync(id);
    }

    /// The partition's flush needs no turn until a sync has ended.
    pub(super) fn wait_for_sync(&mut self, id: PartitionId) {
        let partition = self.known(id);
        if partition.flush == Flush::UnderWay {
            partition.flush = Flush::Syncing;
            self.writeback.give_turn_back();
        }
    }

    /// Begins the next groups.
    pub(super) fn start_syncs(&mut self) {
        for dir in self.dirs.iter() {
            self.start_sync(dir);
        }
    }

    /// Begins the next group of a directory, if none is in flight and everybody is there, or it is time.
    fn start_sync(&mut self, dir: LogDir) {
        let may_gather = !self.writeback.is_idle() && self.fenced.is_none();
        let clock = self.clock;
        let syncs = self.syncs.of(dir);
        if syncs.in_flight || syncs.waiting.is_empty() {
            return;
        }
        if may_gather && !syncs.is_urgent && clock < syncs.gather_until {
            return;
        }
        syncs.is_urgent = false;
        syncs.in_flight = true;
        let count = syncs.waiting.len().min(GROUP_SYNC_MAX);
        let members: Vec<SyncMember> = syncs.waiting.drain(..count).collect();
        let mut files: Vec<FileRef> = Vec::new();
        let mut dirs: BTreeSet<Arc<str>> = BTreeSet::new();
        for member in &members {
            let partition = self.known(member.id);
            match member.part {
                SyncPart::Data => {
                    for segment in partition.segments.iter_mut().filter(|segment| is_unsynced(segment)) {
                        (segment.needs_sync, segment.syncing) = (false, true);
                        files.push(segment.file.clone());
                    }
                }
                SyncPart::Names(..) => {
                    dirs.insert(partition.dir.clone());
                    if !partition.dir_exists {
                        dirs.insert(dir.path(""));
                    }
                }
            }
        }
        self.syncs.of(dir).began = self.clock;
        let op = IoOp::SyncAll { files, dirs: dirs.into_iter().collect() };
        self.queue.start(op, Purpose::SyncAll(dir, members));
    }

    /// The group is synced. Of a failure nobody knows whom it hit, so it hits all: whoever has written something in that
    /// directory that is not synced as well, since files may be synced with their whole file system, and what failed once is not tried again.
    pub(super) fn all_synced(&mut self, dir: LogDir, members: Vec<SyncMember>, result: Result<(), IoErrorKind>) {
        self.syncs.of(dir).in_flight = false;
        let began = self.syncs.of(dir).began;
        self.statistics.sync_time.record(nanos(self.clock.since(began)));
        for SyncMember { id, part } in members {
            match part {
                SyncPart::Names(base, allocated) => self.prepared(id, base, allocated, result),
                SyncPart::Data => self.data_synced(id, result),
            }
        }
        if let Err(reason) = result {
            let is_hit =
                |of: &Option<Partition>| of.as_ref().is_some_and(|of| of.log_dir == dir && of.may_lose_writes());
            let hit: Vec<_> = (0..).zip(&self.partitions).filter(|(_, of)| is_hit(of)).map(|(id, _)| id).collect();
            for id in hit {
                self.fence_partition(PartitionId::new(id), reason);
            }
        }
    }
}

/// Whether a sync has to cover the segment. Those that are being sealed are synced with that.
pub(super) fn is_unsynced(segment: &Segment) -> bool {
    segment.needs_sync && segment.seal == Seal::Open
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use crate::answer::StoreEvent;
    use crate::io::{Io, IoErrorKind, IoOp};
    use crate::limits::SYNC_GATHER_MS;
    use crate::simulation::{Shape, World};
    use crate::types::Offset;

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
        assert!(synced[1] >= PARTITIONS, "each folder that was made, and theirs");
        assert!(groups <= 8, "{groups} groups");
    }

    #[test]
    fn trap_19_a_group_sync_that_fails_hits_whatever_was_written_and_not_synced() {
        let mut world = World::new(1, Shape { partitions: 2, ..Shape::default() });
        world.start(1);
        let ids = [world.ids[&0].1, world.ids[&1].1];
        world.append(0, 100);
        assert!(go_on(&mut world).is_none());
        world.stores[0].request_flush(ids[0]);
        assert!(go_on(&mut world).is_none(), "it is written, and nobody has asked for a sync of it");
        // Another one gets its first file, whose names cannot be synced.
        world.append(1, 100);
        assert!(go_on(&mut world).is_none(), "the batch is in the journal");
        world.stores[0].request_flush(ids[1]);
        let mut failed = 0;
        world.now = world.now.saturating_add(Duration::from_millis(SYNC_GATHER_MS));
        while let Some(io) = world.stores[0].poll_io(world.now) {
            let fails = matches!(&io.op, IoOp::SyncAll { .. });
            failed += usize::from(fails);
            let result = if fails { Err(IoErrorKind::Other(5)) } else { world.disk.perform(&io.op) };
            world.stores[0].io_done(io.id, result, world.now);
        }
        assert!(failed > 0, "the names were to be synced");
        assert!(ids.iter().all(|id| world.stores[0].known(*id).fenced.is_some()), "what the first wrote may be lost");
    }

    #[test]
    fn trap_19_a_group_sync_that_fails_hits_what_is_being_written() {
        let mut world = World::new(1, Shape { partitions: 2, ..Shape::default() });
        world.start(1);
        let ids = [world.ids[&0].1, world.ids[&1].1];
        let is_to_segment = |io: &Io| matches!(&io.op, IoOp::Write { file, .. } if file.path.ends_with(".log"));
        let (mut write, mut failed) = (None, false);
        for (partition, id) in (0..).zip(ids) {
            assert!(world.append(partition, 100));
            while world.stores[0].known(id).committed.offset == Offset::ZERO {
                let io = world.stores[0].poll_io(world.now).expect("the batch is written to the journal");
                end(&mut world, &io);
            }
            world.stores[0].request_flush(id);
            while let Some(io) = world.stores[0].poll_io(world.now) {
                if is_to_segment(&io) {
                    write = Some(io);
                    continue;
                }
                // While the first is being written, the names of the other's file cannot be synced.
                let fails = write.is_some() && matches!(&io.op, IoOp::SyncAll { .. });
                failed |= fails;
                let result = if fails { Err(IoErrorKind::Other(5)) } else { world.disk.perform(&io.op) };
                world.stores[0].io_done(io.id, result, world.now);
                world.now = world.now.saturating_add(Duration::from_millis(SYNC_GATHER_MS));
            }
        }
        assert!(failed, "the names were to be synced");
        end(&mut world, &write.expect("the first was to be written"));
        assert!(ids.iter().all(|id| world.stores[0].known(*id).fenced.is_some()), "what the first wrote may be lost");
        assert!(world.stores[0].known(ids[0]).journaled_since.is_some(), "so the journal keeps it");
    }

    /// Performs everything but syncs of data, of which it gives back the first.
    fn go_on(world: &mut World) -> Option<Io> {
        let mut held = None;
        while let Some(io) = world.stores[0].poll_io(world.now) {
            if matches!(&io.op, IoOp::SyncAll { files, .. } if !files.is_empty()) {
                held = Some(io);
                continue;
            }
            let result = world.disk.perform(&io.op);
            world.stores[0].io_done(io.id, result, world.now);
        }
        held
    }

    fn end(world: &mut World, io: &Io) {
        let result = world.disk.perform(&io.op);
        world.stores[0].io_done(io.id, result, world.now);
    }

    #[test]
    fn what_is_written_while_a_sync_is_under_way_waits_for_the_next() {
        let mut world = World::new(1, Shape { partitions: 1, ..Shape::default() });
        world.start(1);
        let (_, id) = world.ids[&0];
        world.append(0, 100);
        assert!(go_on(&mut world).is_none(), "the batch is in the journal");
        world.stores[0].request_sync(id);
        let first = go_on(&mut world).expect("it is written, and being synced");
        world.append(0, 100);
        assert!(go_on(&mut world).is_none(), "the next batch is in the journal");
        world.stores[0].request_flush(id);
        assert!(go_on(&mut world).is_none(), "it is written while the first is being synced");
        let committed = world.stores[0].known(id).committed;
        assert_eq!(world.stores[0].known(id).written, committed);
        end(&mut world, &first);
        assert!(world.stores[0].known(id).durable.offset < committed.offset, "no sync covers the second");
        let second = go_on(&mut world).expect("it is synced too");
        assert!(world.stores[0].known(id).durable.offset < committed.offset);
        end(&mut world, &second);
        assert_eq!(world.stores[0].known(id).durable, committed);
        assert!(world.stores[0].journaled.is_empty());
    }
}

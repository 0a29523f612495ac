//! Worlds whose disk begins to fail while they run: whoever waits for a commit gets it, or is told that it will not come.

use super::{Shape, Stored, World, for_seeds, work};
use crate::answer::{AppendError, AppendOrigin, NewBatch, StorageError};
use crate::batch::BatchView;
use crate::config::LogConfig;
use crate::io::{IoErrorKind, IoOp, IoResult, WriteDurability};
use crate::types::{LeaderEpoch, Millis};

/// What fails.
const FAULTS: [fn(&IoOp) -> Option<IoErrorKind>; 4] = [
    |op| match op {
        IoOp::Write { file, durability: WriteDurability::Durable, .. } if is_of_segment(&file.path) => EIO,
        _ => None,
    },
    |op| match op {
        IoOp::Write { file, .. } | IoOp::Sync { file } if is_of_segment(&file.path) => EIO,
        _ => None,
    },
    |op| match op {
        IoOp::Write { file, .. } if file.path.ends_with(".journal") => Some(IoErrorKind::ShortWrite),
        _ => None,
    },
    |op| match op {
        IoOp::Write { .. } | IoOp::Sync { .. } => EIO,
        _ => None,
    },
];

const EIO: Option<IoErrorKind> = Some(IoErrorKind::Other(5));

fn is_of_segment(path: &str) -> bool {
    path.starts_with("topic0-0/")
}

impl World {
    /// An operation of a store, on a disk that may fail a sync of everything, and lose what it was to keep.
    pub(super) fn perform(&mut self, op: &IoOp) -> IoResult {
        if self.disk.loses_group_syncs && matches!(op, IoOp::SyncAll { .. }) && self.dice.one_in(3) {
            self.disk.lose_unsynced(&mut self.dice);
            return Err(IoErrorKind::Other(5));
        }
        self.disk.perform(op)
    }

    /// Sends the last batches again: they are known, but for those of deleted records.
    pub(super) fn check_duplicates(&mut self, partition: u32) {
        let (shard, id) = self.ids[&partition];
        let model = &self.models[&partition];
        let is_known = |stored: &&Stored| !stored.may_be_forgotten && stored.base >= model.log_start;
        let remembered = model.log.iter().rev().filter(is_known);
        let again: Vec<Stored> = remembered.cloned().collect();
        for stored in again {
            let (view, _) = BatchView::parse(&stored.bytes).expect("stored");
            let answer = self.stores[shard].append(
                id,
                NewBatch::from(&view),
                AppendOrigin::Client,
                LeaderEpoch::new(0),
                Millis::new(1000),
            );
            let appended = answer.expect("a duplicate is a success");
            assert!(appended.duplicate, "partition {partition}: {stored:?} is known");
            assert_eq!((appended.base_offset, appended.last_offset), (stored.base, stored.last));
        }
    }

    /// The producers of a partition send again what they have no answer for, as they do after an error or in its place.
    fn send_again(&mut self, partition: u32) {
        let (shard, id) = self.ids[&partition];
        let model = &self.models[&partition];
        let unanswered: Vec<_> = model.log.iter().filter(|stored| stored.last >= model.acked).cloned().collect();
        for stored in unanswered {
            let (view, _) = BatchView::parse(&stored.bytes).expect("stored");
            let (batch, epoch) = (NewBatch::from(&view), LeaderEpoch::new(0));
            match self.stores[shard].append(id, batch, AppendOrigin::Client, epoch, Millis::new(1000)) {
                Ok(appended) => {
                    assert!(appended.duplicate, "what is in the log is not appended twice");
                    assert_eq!((appended.base_offset, appended.last_offset), (stored.base, stored.last));
                    if !appended.committed {
                        self.waiting.insert((partition, appended.last_offset));
                    }
                }
                Err(AppendError::Storage(StorageError::Fenced(_))) => {}
                Err(other) => panic!("a batch that is known is refused: {other}"),
            }
            self.take_events(shard);
        }
    }
}

fn live(seed: u64) {
    let mut world = World::new(seed, Shape { partitions: 2, ..Shape::default() });
    for _ in 0..=world.dice.below(3) {
        let shards = 1 + u16::try_from(world.dice.below(2)).expect("small");
        world.start(shards);
        for _ in 0..world.dice.below(200) {
            work(&mut world, shards);
        }
        world.disk.fault = FAULTS[world.dice.index(FAULTS.len())];
        world.faulty = true;
        for _ in 0..world.dice.below(200) {
            match world.dice.below(8) {
                0 => world.send_again(0),
                1 => world.send_again(1),
                _ => work(&mut world, shards),
            }
        }
        for _ in 0..2 {
            world.settle(200);
            world.send_again(0);
            world.send_again(1);
        }
        world.settle(200);
        assert!(world.waiting.is_empty(), "{:?} wait for ever", world.waiting);
        match world.dice.below(3) {
            0 => world.shut_down(),
            1 => world.crash(false),
            _ => world.crash(true),
        }
        world.disk.fault = |_| None;
        world.faulty = false;
    }
    world.start(1);
}

#[test]
fn whoever_waits_for_a_commit_is_told_when_the_disk_fails() {
    for_seeds(500_000, 200, live);
}

/// Nothing is read meanwhile: what is lost in a segment is in the journal, and it takes a restart to bring it back.
fn lose_group_syncs(seed: u64) {
    let partitions = 1 + u32::try_from(seed % 6).expect("small");
    let mut world = World::new(seed, Shape { partitions, ..Shape::default() });
    for _ in 0..3 {
        world.start(1);
        (world.disk.loses_group_syncs, world.faulty) = (true, true);
        for _ in 0..world.dice.below(800) {
            let partition = u32::try_from(world.dice.below(u64::from(partitions))).expect("small");
            let (small, large) = (1 + world.dice.index(3000), 1 + world.dice.index(40_000));
            match world.dice.below(12) {
                0 => world.append_of_any(partition, large),
                1..=3 => world.append_of_any(partition, small),
                _ => world.step(0),
            }
        }
        let power_too = world.dice.one_in(2);
        world.crash(power_too);
        (world.disk.loses_group_syncs, world.faulty) = (false, false);
    }
    world.start(1);
}

#[test]
fn what_is_committed_survives_group_syncs_that_fail() {
    for_seeds(603_600, 400, lose_group_syncs);
}

/// Everything is too old for retention, again and again: new segments begin, and old ones go whatever is under way.
#[test]
fn what_is_committed_and_kept_survives_retention() {
    for seed in 0..100 {
        let mut world = World::new(900_000 + seed, Shape { partitions: 2, ..Shape::default() });
        for _ in 0..3 {
            world.start(1);
            let ids: Vec<_> = world.ids.values().map(|(_, id)| *id).collect();
            for id in &ids {
                let config = LogConfig { retention_ms: Some(100), ..world.log_config() };
                world.stores[0].set_config(*id, config);
            }
            for _ in 0..200 {
                if world.dice.one_in(20) {
                    // Records are older than that, and no producer has been idle for long.
                    world.stores[0].maintain(ids.iter().copied(), Millis::new(10_000));
                }
                work(&mut world, 1);
            }
            match world.dice.below(3) {
                0 => world.shut_down(),
                1 => world.crash(false),
                _ => world.crash(true),
            }
        }
        world.start(2);
    }
}

/// A device that fills up and empties while the process runs and starts.
#[test]
fn what_is_committed_survives_a_full_device() {
    for seed in 0..100 {
        let mut world = World::new(400_000 + seed, Shape { partitions: 2, ..Shape::default() });
        match seed % 3 {
            0 => {}
            1 => drop(world.origins.insert(1, AppendOrigin::Coordinator)),
            _ => drop(world.origins.insert(1, AppendOrigin::Controller)),
        }
        for _ in 0..3 {
            world.disk.space_bytes = usize::MAX;
            world.start(1);
            for _ in 0..6 {
                let spare = world.dice.index(200_000);
                world.disk.space_bytes =
                    if world.dice.one_in(3) { usize::MAX } else { world.disk.used_bytes() + spare };
                for _ in 0..40 {
                    work(&mut world, 1);
                }
                world.now = world.now.saturating_add(std::time::Duration::from_millis(400));
            }
            world.disk.space_bytes = usize::MAX;
            if world.dice.one_in(3) {
                world.now = world.now.saturating_add(std::time::Duration::from_secs(2));
                world.settle(100);
                world.shut_down();
            } else {
                world.crash(true);
            }
        }
        world.start(2);
    }
}

//! What a process was to remove when it ended: the next one does, and touches nothing else.

use std::time::Duration;

use super::{Shape, World, for_seeds, work_on};
use crate::directory::{LogDir, delete_of};
use crate::io::{Io, IoErrorKind, IoOp};
use crate::limits::LEFTOVERS_AT_ONCE_MAX;
use crate::types::Offset;

const UNIQUE: &str = "0123456789abcdef0123456789abcdef";

/// Names in data directories and in folders of partitions that are not ours to remove.
fn strangers(folder: &str) -> Vec<String> {
    let upper = UNIQUE.to_uppercase();
    let beside = [
        format!("{folder}.{upper}-delete"),
        format!("{folder}.{}-delete", &UNIQUE[1..]),
        format!("{folder}.{UNIQUE}-deleted"),
        format!("{UNIQUE}-delete"),
        "delete".to_owned(),
    ];
    let within = [
        "00000000000000000000.log.deleted.bak",
        "0000000000000000000.log.deleted",
        "000000000000000000000.index.deleted",
        "0000000000000000000x.log.deleted",
        "00000000000000000000.txt.deleted",
        "00000000000000000000.deleted",
        "README.deleted",
    ];
    let within = within.iter().map(|name| format!("{folder}/{name}"));
    beside.into_iter().map(|name| format!("{name}/kept")).chain(within).collect()
}

impl World {
    fn perform_all(&mut self, ops: impl IntoIterator<Item = IoOp>) {
        for op in ops {
            self.disk.perform(&op).expect("a good disk");
        }
    }

    /// Puts a file there, durably.
    fn put_file(&mut self, path: &str) {
        let (dir, _) = path.rsplit_once('/').expect("not in the root");
        let root = LogDir::of_path(dir).0.path("");
        let file = crate::queue::IoQueue::<()>::new().file(path);
        self.perform_all([
            IoOp::CreateDir { path: dir.into() },
            IoOp::Create { file, allocate_bytes: 1 },
            IoOp::SyncDir { path: dir.into() },
            IoOp::SyncDir { path: root },
        ]);
    }

    fn folder(&self, partition: u32) -> String {
        let (shard, id) = self.ids[&partition];
        let log_dir = self.stores[shard].partition_place(id).expect("open").log_dir;
        log_dir.path(&format!("topic{partition}-{partition}")).to_string()
    }

    fn delete_records(&mut self, partition: u32) {
        let (shard, id) = self.ids[&partition];
        let offsets = self.stores[shard].partition(id).expect("open");
        let before = offsets.high_watermark;
        if before > Offset::ZERO {
            self.stores[shard].delete_records(id, before).expect("the log has it");
            let model = self.models.entry(partition).or_default();
            model
                .log
                .iter_mut()
                .filter(|stored| stored.last < before)
                .for_each(|stored| stored.may_be_forgotten = true);
        }
    }

    /// Files and folders that are to be removed.
    fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for dir in 0..self.shape.dirs {
            for name in self.disk.names(&LogDir::new(dir).path("")) {
                let path = LogDir::new(dir).path(&name);
                found.extend(name.ends_with("-delete").then(|| path.to_string()));
                let files = self.disk.names(&path).into_iter().filter(|file| file.ends_with(".deleted"));
                found.extend(files.map(|file| format!("{path}/{file}")));
            }
        }
        found
    }

    fn strangers_are_there(&self, strangers: &[String]) {
        for path in strangers {
            assert!(self.disk.file(path).is_some(), "{path} is not ours to remove");
        }
    }
}

/// The process ends while its journal is told where the log starts. The next start may read that, act on it and lose the power
/// with half of it done; then nobody may have to read what is gone.
#[test]
fn a_start_removes_nothing_because_of_what_the_power_may_take() {
    for seed in 0..12 {
        for steps in 0.. {
            let mut world = World::new(seed, Shape { partitions: 1, segment_bytes: 16 << 10, ..Shape::default() });
            world.start(1);
            for _ in 0..20 {
                assert!(world.append(0, 3000));
                world.settle(10);
            }
            world.delete_records(0);
            while let Some(io) = world.stores[0].poll_io(world.now) {
                world.out[0].push(io);
            }
            let tells = |io: &Io| matches!(&io.op, IoOp::Write { file, .. } if file.path.starts_with("journal"));
            assert!(world.out[0].iter().any(tells), "it is on its way");
            world.crash(false);
            let is_whole = world.recover(Some(steps)).is_some();
            world.start(1);
            world.check_all(0);
            if is_whole {
                break;
            }
        }
    }
}

/// A world that ends when files of deleted segments are renamed and not removed.
fn with_deleted_segments() -> World {
    let mut world = World::new(1, Shape { partitions: 2, segment_bytes: 16 << 10, dirs: 2, ..Shape::default() });
    world.start(1);
    for _ in 0..60 {
        assert!(world.append(0, 3000) && world.append(1, 3000));
        world.settle(20);
    }
    world.delete_records(0);
    world.delete_records(1);
    world.go_on();
    world.crash(true);
    world
}

#[test]
fn files_of_deleted_segments_go_with_the_next_start() {
    let mut world = with_deleted_segments();
    let left = world.leftovers();
    assert!(left.len() > 2 * LEFTOVERS_AT_ONCE_MAX, "{left:?}");
    let mut put: Vec<String> = strangers("topic0-0");
    put.extend(strangers("1:topic1-1"));
    for path in &put {
        world.put_file(path);
    }
    world.start(1);
    world.settle(300);
    let left: Vec<_> =
        world.leftovers().into_iter().filter(|path| !put.iter().any(|put| put.starts_with(path))).collect();
    assert_eq!(left, [""; 0]);
    world.strangers_are_there(&put);
    world.check_all(0);
    world.check_all(1);
}

#[test]
fn folders_of_deleted_partitions_go_with_the_next_start() {
    let mut world = World::new(2, Shape { partitions: 1, dirs: 2, ..Shape::default() });
    let folders: Vec<String> = (0..20).map(|number| delete_of("gone-3", number)).collect();
    for name in &folders {
        world.put_file(&format!("{name}/00000000000000000000.log"));
        world.put_file(&format!("1:{name}/00000000000000000000.index"));
    }
    world.start(1);
    // No more at a time than there may be.
    let mut most = 0;
    while !world.leftovers().is_empty() {
        world.settle(1);
        most = most.max(world.out[0].iter().filter(|io| matches!(io.op, IoOp::RemoveDir { .. })).count());
    }
    assert!((1..=LEFTOVERS_AT_ONCE_MAX).contains(&most), "{most} at a time");
}

/// What cannot be removed stays until the next start, and holds nothing up.
#[test]
fn a_leftover_that_cannot_be_removed_stays() {
    let mut world = with_deleted_segments();
    let left = world.leftovers();
    world.disk.fault = |op| {
        let is_removal = matches!(op, IoOp::RemoveFile { file } if file.path.ends_with(".deleted"));
        is_removal.then_some(IoErrorKind::Other(5))
    };
    world.start(1);
    world.settle(200);
    assert_eq!(world.leftovers(), left);
    assert!(world.append(0, 100));
    world.shut_down();
    world.disk.fault = |_| None;
    world.start(1);
    world.settle(200);
    assert_eq!(world.leftovers(), [""; 0]);
}

/// A partition that goes to another shard before its folder was looked at takes that along.
#[test]
fn what_is_left_goes_although_the_partition_changes_its_shard() {
    for steps in 0..12 {
        let mut world = with_deleted_segments();
        world.start(2);
        world.settle(steps);
        for partition in 0..2 {
            world.move_over(partition);
        }
        world.settle(200);
        assert_eq!(world.leftovers(), [""; 0], "{steps}");
    }
}

/// Whatever happens to logs and whenever the process ends, what is not ours stays, and nothing of ours does.
fn live(seed: u64) {
    let partitions = 1 + u32::try_from(seed % 3).expect("small");
    let mut world = World::new(seed, Shape { partitions, segment_bytes: 32 << 10, dirs: 2, ..Shape::default() });
    let mut put: Vec<String> = Vec::new();
    for _ in 0..2 + world.dice.below(3) {
        let shards = 1 + u16::try_from(world.dice.below(3)).expect("small");
        world.start(shards);
        if put.is_empty() {
            put = (0..partitions).flat_map(|partition| strangers(&world.folder(partition))).collect();
            for path in &put {
                world.put_file(path);
            }
        }
        for _ in 0..world.dice.below(500) {
            let partition = u32::try_from(world.dice.below(u64::from(partitions))).expect("small");
            if world.dice.one_in(30) {
                world.delete_records(partition);
            }
            work_on(&mut world, shards, partition);
        }
        world.strangers_are_there(&put);
        if world.dice.one_in(4) {
            world.shut_down();
        } else {
            let power_too = world.dice.one_in(2);
            world.crash(power_too);
        }
    }
    world.start(1);
    world.settle(500);
    world.now = world.now.saturating_add(Duration::from_secs(1));
    world.settle(200);
    world.strangers_are_there(&put);
    let left: Vec<_> =
        world.leftovers().into_iter().filter(|path| !put.iter().any(|put| put.starts_with(path))).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn nothing_is_left_and_nothing_else_is_touched() {
    for_seeds(800_000, 200, live);
    // A segment whose seal has not ended goes with the next maintenance.
    for_seeds(802_343, 1, live);
    // A segment is deleted because of a next one, and the next start does not know that one.
    for_seeds(804_460, 1, live);
}

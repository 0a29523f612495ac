//! Worlds with several data directories, between which partitions are moved while everything else goes on. Wherever the
//! process or the power ends, the next start finds every partition whole, in one directory, and nothing of it elsewhere.

use super::{Shape, World, for_seeds, work};
use crate::answer::{FutureCopy, MinOneBatch, PartitionPlace, ReadLimits, ReadUpTo, StoreEvent};
use crate::directory::{Folder, LogDir, understand};
use crate::io::{IoErrorKind, IoOp};
use crate::recovery::{Recovery, RecoveryError, RecoveryNews};
use crate::types::{Millis, Offset, Uuid};

const DIRS: u16 = 3;

fn shape(partitions: u32) -> Shape {
    Shape { partitions, dirs: DIRS, ..Shape::default() }
}

impl World {
    fn place(&self, partition: u32) -> PartitionPlace {
        let (shard, id) = self.ids[&partition];
        self.stores[shard].partition_place(id).expect("it is open")
    }

    fn move_to(&mut self, partition: u32, to: u16) {
        let (shard, id) = self.ids[&partition];
        self.stores[shard].move_partition(id, LogDir::new(to)).expect("nothing has failed");
    }

    /// Directories that have the partition's folder.
    fn folders(&self, partition: u32) -> Vec<u16> {
        let name = format!("topic{partition}-{partition}");
        let has = |dir: &u16| self.disk.names(&LogDir::new(*dir).path("")).contains(&name);
        (0..DIRS).filter(has).collect()
    }

    /// Folders of all directories that are not simply those of partitions.
    fn other_folders(&self) -> Vec<String> {
        let names = (0..DIRS).flat_map(|dir| self.disk.names(&LogDir::new(dir).path("")));
        let is_other = |name: &String| !matches!(understand(name), Some((Folder::Log, _)));
        names.filter(|name| name.contains("topic") && is_other(name)).collect()
    }

    /// Lets moves come to their end.
    fn finish_moves(&mut self) {
        for _ in 0..4000 {
            self.settle(1);
            if (0..self.shape.partitions).all(|partition| self.place(partition).future.is_none()) {
                return self.settle(50);
            }
        }
        panic!("moves end: {:?}", self.stores);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let op = IoOp::Rename { from: from.into(), to: to.into() };
        self.disk.perform(&op).expect("it is there");
        for dir in 0..DIRS {
            self.disk.perform(&IoOp::SyncDir { path: LogDir::new(dir).path("") }).expect("it is there");
        }
    }

    fn recover_only(&mut self) -> Result<Vec<RecoveryNews>, RecoveryError> {
        let mut recovery = Recovery::new(Millis::new(1), self.dirs());
        while let Some(io) = recovery.poll_io() {
            let result = self.disk.perform(&io.op);
            recovery.io_done(io.id, result);
        }
        recovery.finish().map(|recovered| recovered.news)
    }
}

/// What only people and failing disks cause.
fn check_news(world: &World) {
    let is_odd = |news: &&RecoveryNews| matches!(news, RecoveryNews::Stray { .. } | RecoveryNews::MovedByHand { .. });
    assert_eq!(world.news.iter().find(is_odd), None);
}

fn live(seed: u64) {
    let partitions = 1 + u32::try_from(seed % 4).expect("small");
    let segment_bytes = if seed.is_multiple_of(3) { 1 << 20 } else { 32 << 10 };
    let direct_bytes_min = [1, 8 << 10, 1 << 30][usize::try_from(seed % 3).expect("small")];
    let mut world = World::new(seed, Shape { segment_bytes, direct_bytes_min, ..shape(partitions) });
    for _ in 0..2 + world.dice.below(4) {
        let shards = 1 + u16::try_from(world.dice.below(3)).expect("small");
        world.start(shards);
        check_news(&world);
        for _ in 0..world.dice.below(600) {
            if world.dice.one_in(15) {
                let partition = u32::try_from(world.dice.below(u64::from(partitions))).expect("small");
                let to = u16::try_from(world.dice.below(u64::from(DIRS))).expect("small");
                world.move_to(partition, to);
            }
            work(&mut world, shards);
        }
        match world.dice.below(6) {
            0 => world.shut_down(),
            1 => world.crash(false),
            2 => {
                world.settle(200);
                world.crash(true);
            }
            _ => world.crash(true),
        }
    }
    world.start(1);
    check_news(&world);
    world.finish_moves();
    for partition in 0..partitions {
        let place = world.place(partition);
        let folders = world.folders(partition);
        assert!(folders.iter().all(|dir| LogDir::new(*dir) == place.log_dir), "{folders:?}, and it is in {place:?}");
    }
    world.settle(500);
    assert_eq!(world.other_folders(), [""; 0], "nothing is left of moves");
}

#[test]
fn what_is_committed_survives_moves() {
    for_seeds(700_000, 400, live);
    // A flush and a sync that both end without the disk, one after the other.
    for_seeds(700_740, 1, live);
    // A start has seen the old folder renamed, and the power takes that back.
    for_seeds(707_106, 1, live);
}

/// A world with a partition of several segments, some of whose batches are in the journal only.
fn filled(seed: u64) -> World {
    let mut world = World::new(seed, Shape { segment_bytes: 16 << 10, ..shape(1) });
    world.start(1);
    for _ in 0..12 {
        assert!(world.append(0, 3000));
        world.settle(6);
    }
    assert!(world.append(0, 100));
    world
}

/// One by one, every operation of a move is the last one of the process.
#[test]
fn a_move_may_end_at_every_step() {
    let mut ends = [0, 0];
    for power_too in [false, true] {
        let mut behind = 0;
        for steps in 0.. {
            let mut world = filled(steps);
            world.move_to(0, 2);
            world.append(0, 500);
            let mut is_complete = false;
            for _ in 0..steps {
                world.settle(1);
                is_complete = world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Moved { .. }));
            }
            world.crash(power_too);
            world.events.clear();
            world.start(1);
            check_news(&world);
            ends[usize::from(world.place(0).log_dir == LogDir::new(2))] += 1;
            assert!(!is_complete || world.place(0).log_dir == LogDir::new(2), "it was told to be moved: {steps}");
            assert!(world.append(0, 200));
            world.finish_moves();
            let place = world.place(0);
            assert_eq!(world.folders(0), [u16::try_from(place.log_dir.index()).expect("few")]);
            world.check_all(0);
            world.crash(true);
            world.start(1);
            check_news(&world);
            assert_eq!(world.place(0).log_dir, place.log_dir);
            behind += u64::from(is_complete);
            if behind > 20 {
                break;
            }
        }
    }
    assert!(ends.iter().all(|count| *count > 10), "some ended before the journal was told, some behind: {ends:?}");
}

/// A start goes on with the move that the process before had begun.
#[test]
fn a_move_is_resumed() {
    let mut world = filled(1);
    world.move_to(0, 1);
    while world.place(0).future.is_none_or(|future| future.bytes == 0) {
        world.settle(1);
    }
    world.crash(true);
    world.start(1);
    assert_eq!(world.place(0).future.map(|future| future.log_dir), Some(LogDir::new(1)));
    world.finish_moves();
    assert_eq!(world.place(0).log_dir, LogDir::new(1));
    // So does one behind a stop, which does not wait for it.
    world.move_to(0, 2);
    world.settle(4);
    world.shut_down();
    assert_eq!(world.folders(0), [1]);
    world.start(1);
    world.finish_moves();
    assert_eq!((world.folders(0), world.other_folders()), (vec![2], vec![]));
}

#[test]
fn a_move_is_redirected_and_given_up() {
    let mut world = filled(2);
    world.move_to(0, 1);
    world.settle(5);
    world.move_to(0, 2);
    assert_eq!(world.place(0).future.map(|future| future.log_dir), Some(LogDir::new(2)));
    world.finish_moves();
    assert_eq!(world.folders(0), [2]);
    world.move_to(0, 0);
    world.settle(5);
    world.move_to(0, 2);
    assert_eq!(world.place(0).future, None);
    world.finish_moves();
    world.settle(100);
    assert_eq!((world.place(0).log_dir, world.folders(0)), (LogDir::new(2), vec![2]));
    assert_eq!(world.other_folders(), [""; 0]);
    assert!(world.append(0, 10));
    world.settle(50);
    world.check_all(0);
}

/// However a move ends, it is told when the partition may go to another store.
#[test]
fn a_partition_may_go_to_another_store_when_its_move_has_ended() {
    for end in 0..4 {
        let mut world = if end == 3 { World::new(2, shape(1)) } else { filled(2) };
        if end == 3 {
            world.start(1);
        }
        let (shard, id) = world.ids[&0];
        world.move_to(0, 1);
        match end {
            0 | 3 => {}
            1 => {
                world.settle(5);
                world.move_to(0, 0);
            }
            _ => {
                world.disk.fault = |op| {
                    matches!(op, IoOp::CreateDir { path } if path.starts_with("1:")).then_some(IoErrorKind::NoSpace)
                };
            }
        }
        let is_over =
            |world: &World| world.events.iter().any(|(_, event)| matches!(event, StoreEvent::MoveEnded { .. }));
        while !is_over(&world) {
            world.settle(1);
        }
        world.events.clear();
        world.stores[shard].release_partition(id);
        world.settle(100);
        let mut events = world.events.iter().map(|(_, event)| event);
        assert!(events.any(|event| matches!(event, StoreEvent::Released { handover: Some(_), .. })), "{end}");
        assert!(!is_over(&world), "it is told once");
    }
}

#[test]
fn a_partition_without_records_is_elsewhere_at_once() {
    let mut world = World::new(3, shape(1));
    world.start(1);
    world.move_to(0, 1);
    world.settle(1);
    assert_eq!(world.place(0), PartitionPlace { log_dir: LogDir::new(1), bytes: 0, future: None });
    assert!(world.append(0, 9000));
    world.settle(200);
    world.crash(true);
    world.start(1);
    assert_eq!(world.place(0).log_dir, LogDir::new(1));
}

#[test]
fn the_lag_of_a_copy_is_told() {
    let mut world = filled(4);
    let (shard, id) = world.ids[&0];
    world.settle(100);
    let end = world.stores[shard].partition(id).expect("open").log_end;
    world.move_to(0, 1);
    let future = world.place(0).future.expect("it is to be moved");
    assert_eq!(future, FutureCopy { log_dir: LogDir::new(1), bytes: 0, offset_lag: end.get() });
    let mut last = end.get();
    while let Some(future) = world.place(0).future {
        assert!(future.offset_lag <= last && future.bytes <= world.place(0).bytes, "{future:?} behind {last}");
        last = future.offset_lag;
        world.settle(1);
    }
    assert!(last < end.get(), "it has become less");
}

/// What the rate allows is copied, and no more.
#[test]
fn a_move_keeps_to_its_rate() {
    let mut world = World::new(5, Shape { segment_bytes: 1 << 20, ..shape(1) });
    world.start(1);
    for _ in 0..20 {
        assert!(world.append(0, 30_000));
        world.settle(20);
    }
    for _ in 0..20 {
        assert!(world.append(0, 30_000));
        world.settle(20);
    }
    world.settle(100);
    let bytes = world.place(0).bytes;
    assert!(bytes > 1 << 20, "it takes more than a piece");
    world.stores[0].set_move_rate(Some(256 << 10));
    let begun = world.now;
    world.move_to(0, 1);
    world.go_on();
    // At no time, nothing but the first piece is copied.
    let copied = world.place(0).future.map_or(0, |future| future.bytes);
    assert!((1..=1 << 20).contains(&copied), "{copied}");
    while world.place(0).future.is_some() {
        world.now = world.now.saturating_add(std::time::Duration::from_millis(10));
        world.go_on();
    }
    let took = std::time::Duration::from_nanos(world.now.get() - begun.get());
    assert!(took >= std::time::Duration::from_secs(4), "{took:?} for {bytes} bytes");
    assert!(took <= std::time::Duration::from_secs(7), "{took:?} for {bytes} bytes");
}

/// Whatever fails of the copy ends the move, and nothing else.
#[test]
fn a_copy_that_fails_leaves_the_partition_where_it_is() {
    const FAULTS: [fn(&IoOp) -> Option<IoErrorKind>; 6] = [
        |op| matches!(op, IoOp::CreateDir { path } if path.starts_with("1:")).then_some(IoErrorKind::Other(5)),
        |op| matches!(op, IoOp::Create { file, .. } if file.path.starts_with("1:")).then_some(IoErrorKind::NoSpace),
        |op| matches!(op, IoOp::Write { file, .. } if file.path.starts_with("1:")).then_some(IoErrorKind::ShortWrite),
        |op| matches!(op, IoOp::Sync { file } if file.path.starts_with("1:")).then_some(IoErrorKind::Other(5)),
        |op| matches!(op, IoOp::SyncDir { path } if path.ends_with("-future")).then_some(IoErrorKind::Other(5)),
        |op| matches!(op, IoOp::Rename { to, .. } if to.ends_with("-moved")).then_some(IoErrorKind::Other(5)),
    ];
    for fault in FAULTS {
        let mut world = filled(6);
        world.settle(100);
        world.disk.fault = fault;
        world.move_to(0, 1);
        world.finish_moves();
        let has_failed =
            |event: &StoreEvent| matches!(event, StoreEvent::MoveFailed { to, .. } if *to == LogDir::new(1));
        assert!(world.events.iter().any(|(_, event)| has_failed(event)), "it is told");
        world.disk.fault = |_| None;
        assert!(world.append(0, 700));
        world.settle(200);
        world.check_all(0);
        assert_eq!((world.place(0).log_dir, world.folders(0)), (LogDir::HOME, vec![0]));
        assert_eq!(world.other_folders(), [""; 0]);
        world.move_to(0, 1);
        world.finish_moves();
        assert_eq!(world.folders(0), [1]);
    }
}

/// The journal tells that the copy is the partition, and its folder cannot be renamed: a restart does that.
#[test]
fn a_move_whose_last_rename_fails_is_completed_by_a_restart() {
    let mut world = filled(7);
    world.disk.fault = |op| {
        let is_last = matches!(op, IoOp::Rename { from, .. } if from.ends_with("-moved"));
        is_last.then_some(IoErrorKind::Other(5))
    };
    world.faulty = true;
    world.move_to(0, 1);
    world.settle(400);
    assert!(world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Fenced { .. })));
    world.crash(true);
    world.disk.fault = |_| None;
    world.faulty = false;
    world.start(1);
    assert_eq!((world.place(0).log_dir, world.folders(0)), (LogDir::new(1), vec![1]));
    assert!(world.append(0, 10));
    world.settle(100);
    world.check_all(0);
}

/// Reads that wait for the disk while the folders are renamed get what they want.
#[test]
fn reads_go_on_while_a_partition_is_moved() {
    let mut world = filled(8);
    world.settle(100);
    world.move_to(0, 1);
    let (shard, id) = world.ids[&0];
    let limits = ReadLimits { bytes_max: 5000, min_one_batch: MinOneBatch::Yes, up_to: ReadUpTo::HighWatermark };
    let mut at = Offset::ZERO;
    while world.place(0).future.is_some() {
        let read = world.read(shard, id, at, limits).expect("what is committed can be read");
        world.compare_read(0, at, &read);
        let end = world.stores[shard].partition(id).expect("open").high_watermark;
        world.settle(1);
        at = if read.next_offset >= end { Offset::ZERO } else { read.next_offset };
    }
    assert_eq!(world.place(0).log_dir, LogDir::new(1));
}

#[test]
fn a_partition_that_is_deleted_while_it_is_moved_leaves_nothing() {
    for steps in 0..60 {
        let mut world = filled(9);
        world.move_to(0, 1);
        world.settle(steps);
        let (shard, id) = world.ids.remove(&0).expect("open");
        world.stores[shard].remove_partition(id);
        world.waiting.clear();
        let is_told = (0..2000).any(|_| {
            world.settle(1);
            world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Removed { .. }))
        });
        assert!(is_told, "{steps}");
        world.now = world.now.saturating_add(std::time::Duration::from_secs(1));
        world.settle(50);
        assert_eq!((world.folders(0), world.other_folders()), (vec![], vec![]), "{steps}");
    }
}

#[test]
fn a_folder_that_was_moved_by_hand_is_taken_where_it_is() {
    let mut world = filled(10);
    world.crash(true);
    world.start(1);
    world.crash(true);
    world.rename("topic0-0", "2:topic0-0");
    world.start(1);
    let partition = world.news.iter().find_map(|news| match news {
        RecoveryNews::MovedByHand { partition, to } => Some((partition.to_string(), *to)),
        _ => None,
    });
    assert_eq!(partition, Some(("topic0-0".to_owned(), LogDir::new(2))));
    assert!(world.append(0, 10));
    world.settle(50);
    world.crash(true);
    world.start(1);
    check_news(&world);
    assert_eq!(world.folders(0), [2]);
}

/// Whoever has renamed it, a power cut behind the start does not undo that.
#[test]
fn a_folder_stays_where_a_start_has_found_it() {
    let mut world = filled(16);
    world.shut_down();
    let rename = IoOp::Rename { from: "topic0-0".into(), to: "1:topic0-0".into() };
    world.disk.perform(&rename).expect("it is there");
    world.start(1);
    assert!(world.append(0, 3000));
    world.settle(50);
    world.crash(true);
    world.start(1);
    assert_eq!(world.folders(0), [1]);
    world.check_all(0);
}

#[test]
fn a_second_folder_is_put_aside() {
    let mut world = filled(11);
    world.shut_down();
    world.disk.perform(&IoOp::CreateDir { path: "1:topic0-0".into() }).expect("it is not there");
    world.rename("1:topic0-0", "1:topic0-0");
    world.start(1);
    assert!(matches!(&world.news[..], [RecoveryNews::Stray { dir, .. }] if *dir == LogDir::new(1)), "{:?}", world.news);
    assert_eq!(world.folders(0), [0]);
    assert!(world.other_folders().iter().all(|name| name.ends_with("-stray")) && world.other_folders().len() == 1);
}

#[test]
fn a_folder_that_is_nowhere_stops_the_start() {
    let mut world = filled(12);
    world.shut_down();
    world.rename("topic0-0", "elsewhere");
    let missing = world.recover_only().expect_err("its records are nowhere");
    assert!(matches!(&missing, RecoveryError::FolderMissing { directory, .. } if *directory == Uuid::from_u128(500)));
    assert!(
        missing.to_string().starts_with("partition topic0-0: its folder is in none of the directories"),
        "{missing}"
    );
    world.rename("elsewhere", "topic0-0");
    world.start(1);
    assert!(world.models[&0].acked > Offset::ZERO);
}

/// A second folder of another partition is put aside by a start, and not by one that is refused.
#[test]
fn a_start_that_is_refused_changes_nothing() {
    let mut world = World::new(15, shape(2));
    world.start(1);
    for partition in [0, 1] {
        assert!(world.append(partition, 300));
    }
    world.settle(50);
    world.shut_down();
    let path = |dir: u16, partition: u32| LogDir::new(dir).path(&format!("topic{partition}-{partition}")).to_string();
    for (missing, doubled) in [(0, 1), (1, 0)] {
        let missing = path(world.folders(missing)[0], missing);
        let second = path(1 - world.folders(doubled)[0], doubled);
        world.rename(&missing, "elsewhere");
        world.disk.perform(&IoOp::CreateDir { path: second.as_str().into() }).expect("it is not there");
        assert!(matches!(world.recover_only(), Err(RecoveryError::FolderMissing { .. })));
        assert_eq!((world.folders(doubled), world.other_folders()), (vec![0, 1], vec![]));
        world.rename("elsewhere", &missing);
        world.disk.perform(&IoOp::RemoveDir { path: second.as_str().into() }).expect("it is there");
    }
    world.start(1);
    check_news(&world);
}

#[test]
fn a_directory_that_is_not_named_any_more_stops_the_start() {
    let mut world = filled(13);
    world.move_to(0, 2);
    world.finish_moves();
    world.shut_down();
    world.shape.dirs = 2;
    let missing = world.recover_only().expect_err("its records are in the third directory");
    assert!(matches!(missing, RecoveryError::FolderMissing { directory, .. } if directory == Uuid::from_u128(502)));
    world.shape.dirs = 3;
    world.start(1);
    assert_eq!(world.folders(0), [2]);
}

/// Nothing is lost that lay in a directory that had no records yet.
#[test]
fn a_directory_may_go_that_has_no_records() {
    let mut world = World::new(14, shape(3));
    world.start(1);
    assert!(world.append(0, 100));
    world.settle(100);
    world.shut_down();
    world.shape.dirs = 2;
    world.start(1);
    assert_eq!(world.place(2).log_dir, LogDir::HOME);
}

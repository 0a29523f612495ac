//! The traps of the log and of the disk, by their numbers, each against a guard of the store.

mod deletions;
mod fences;
mod lookups;
mod memory;
mod places;
mod reads;
mod releases;
mod restarts;
mod retention;
mod space;
mod stalls;

use std::time::Duration;

use crate::answer::{AppendError, AppendOrigin, NewBatch, ReadError, ReadLimits, StorageError, StoreEvent};
use crate::batch::{BatchView, Producer};
use crate::directory::LogDir;
use crate::io::{FileId, FileRef, IoErrorKind, IoOp, WriteDurability};
use crate::log::producers::{Producers, Verdict};
use crate::recovery::RecoveryNews;
use crate::simulation::{Shape, World, batch, key, producer};
use crate::types::{LeaderEpoch, Millis, Nanos, Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};

mod work;

fn world(shape: Shape) -> World {
    let mut world = World::new(7, shape);
    world.start(1);
    world
}

fn verdict_of(producers: &Producers, producer: Producer) -> Verdict {
    let bytes = batch(30, 1, producer, 5);
    producers.check(BatchView::parse(&bytes).expect("just built").0.header())
}

fn verdict(producers: &Producers, sequence: i32, epoch: i16) -> Verdict {
    let bytes = batch(30, 1, numbered(sequence, epoch), 5);
    producers.check(BatchView::parse(&bytes).expect("just built").0.header())
}

fn note(producers: &mut Producers, sequence: i32, epoch: i16, offset: i64) {
    let bytes = batch(30, 1, numbered(sequence, epoch), 5);
    let (view, _) = BatchView::parse(&bytes).expect("just built");
    producers.note(view.header(), Offset::new(offset), Offset::new(offset + 2), Millis::new(100));
}

/// A producer whose batches have three records.
fn numbered(sequence: i32, epoch: i16) -> Producer {
    Producer { id: ProducerId::new(9), epoch: ProducerEpoch::new(epoch), base_sequence: Sequence::new(sequence) }
}

#[test]
fn trap_01_a_refused_append_changes_nothing() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    assert!(world.append(0, 100));
    let (shard, id) = world.ids[&0];
    let before = world.stores[shard].partition(id);
    // Larger than a segment: refused after the producer was checked.
    let large = batch(70_000, 1, producer(0, Sequence::new(3)), 5);
    let (view, _) = BatchView::parse(&large).expect("just built");
    let refused = world.stores[shard].append(
        id,
        NewBatch::from(&view),
        AppendOrigin::Client,
        LeaderEpoch::new(0),
        Millis::new(5),
    );
    assert!(matches!(refused, Err(AppendError::BatchTooLarge { .. })), "{refused:?}");
    assert_eq!(world.stores[shard].partition(id), before);
    // The same sequence again is new, not a duplicate and not a gap.
    assert!(world.append(0, 100));
}

#[test]
fn trap_02_sequences_wrap_at_the_largest_number() {
    let mut producers = Producers::default();
    note(&mut producers, i32::MAX - 1, 0, 10);
    // Three records from MAX - 1 on end with sequence 0.
    assert_eq!(verdict(&producers, 1, 0), Verdict::New);
    assert!(matches!(verdict(&producers, i32::MAX - 1, 0), Verdict::Duplicate(_)));
    assert!(matches!(verdict(&producers, 2, 0), Verdict::Gap { .. }));
}

#[test]
fn trap_03_five_batches_are_remembered_and_a_duplicate_succeeds() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    for _ in 0..7 {
        assert!(world.append(0, 100));
    }
    let (shard, id) = world.ids[&0];
    let sent = world.models[&0].log.clone();
    for (place, stored) in sent.iter().enumerate() {
        let (view, _) = BatchView::parse(&stored.bytes).expect("stored");
        let batch = NewBatch::from(&view);
        let again = world.stores[shard].append(id, batch, AppendOrigin::Client, LeaderEpoch::new(0), Millis::new(5));
        match again {
            Ok(appended) => {
                assert!(place >= 2 && appended.duplicate && !appended.committed, "{place}: {appended:?}");
                assert_eq!((appended.base_offset, appended.last_offset), (stored.base, stored.last));
            }
            Err(error) => {
                assert!(place < 2, "{place}: {error}");
                assert!(matches!(error, AppendError::OutOfOrderSequence { .. }));
            }
        }
    }
    // Once committed, a duplicate need not wait.
    world.settle(100);
    let (view, _) = BatchView::parse(&sent[6].bytes).expect("stored");
    let again = world.stores[shard].append(
        id,
        NewBatch::from(&view),
        AppendOrigin::Client,
        LeaderEpoch::new(0),
        Millis::new(5),
    );
    assert!(again.is_ok_and(|appended| appended.duplicate && appended.committed));
}

#[test]
fn trap_03_older_epochs_are_fenced_and_newer_ones_begin_with_zero() {
    let mut producers = Producers::default();
    note(&mut producers, 0, 4, 10);
    assert_eq!(verdict(&producers, 3, 3), Verdict::OldEpoch { current: ProducerEpoch::new(4) });
    assert_eq!(verdict(&producers, 0, 5), Verdict::New);
    assert!(matches!(verdict(&producers, 3, 5), Verdict::Gap { .. }));
}

#[test]
fn trap_05_a_producer_whose_last_batches_are_lost_keeps_its_place_in_the_sequence() {
    let mut producers = Producers::default();
    for batch in 0..8 {
        note(&mut producers, batch * 3, 0, i64::from(batch) * 3);
    }
    // Batches 3 to 7 are remembered, and none of them became durable.
    producers.trim_end(Offset::new(9));
    assert_eq!(verdict(&producers, 9, 0), Verdict::New);
    assert_eq!(verdict(&producers, 12, 0), Verdict::Gap { last: Sequence::new(8) });
    assert_eq!(verdict(&producers, 24, 0), Verdict::Gap { last: Sequence::new(8) });
}

#[test]
fn trap_05_a_producer_that_lost_more_than_is_remembered_does_not_go_on_behind_a_gap() {
    let mut producers = Producers::default();
    for batch in 0..8 {
        note(&mut producers, batch * 3, 0, i64::from(batch) * 3);
    }
    // Batches 3 to 7 are remembered; batch 2 did not become durable either.
    producers.trim_end(Offset::new(6));
    for sequence in [6, 9, 24] {
        assert!(matches!(verdict(&producers, sequence, 0), Verdict::Gap { .. }), "{sequence}");
    }
    assert_eq!(verdict(&producers, 0, 1), Verdict::New, "a new epoch begins");
}

#[test]
fn trap_03_a_refused_first_batch_keeps_its_place_before_those_on_their_way() {
    let mut producers = Producers::default();
    let bytes = batch(30, 1, producer(0, Sequence::new(0)), 5);
    producers.refused(BatchView::parse(&bytes).expect("just built").0.header(), Millis::new(1));
    let refused = |sequence| verdict_of(&producers, producer(0, Sequence::new(sequence)));
    assert!(matches!(refused(3), Verdict::Gap { .. }));
    assert_eq!(refused(0), Verdict::New);
}

#[test]
fn trap_04_a_forgotten_producer_goes_on_with_any_sequence() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    assert!(world.append(0, 100));
    world.settle(50);
    let (shard, id) = world.ids[&0];
    let day = 24 * 3600 * 1000;
    assert_eq!(world.stores[shard].maintain([id], Millis::new(day)).producers_expired, 0);
    assert_eq!(world.stores[shard].maintain([id], Millis::new(day + 5000)).producers_expired, 1);
    // Its next sequence is 3, and it is accepted although nothing is known of it any more.
    assert!(world.append(0, 100));
}

#[test]
fn trap_05_producers_are_known_after_every_kind_of_end() {
    for end in 0..3 {
        let mut world = world(Shape { partitions: 2, ..Shape::default() });
        for _ in 0..20 {
            world.append(0, 200);
            world.append(1, 9000);
            world.settle(20);
        }
        match end {
            0 => world.shut_down(),
            1 => world.crash(false),
            _ => world.crash(true),
        }
        // Compares, and sends the last batches again.
        world.start(2);
        assert!(world.append(0, 10) && world.append(1, 10));
    }
}

#[test]
fn trap_06_deleting_records_gives_no_offset_twice() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    for _ in 0..30 {
        world.append(0, 5000);
        world.settle(30);
    }
    let (shard, id) = world.ids[&0];
    let end = world.stores[shard].partition(id).expect("open").log_end;
    assert_eq!(world.stores[shard].delete_records(id, Offset::UNKNOWN), Ok(end));
    assert!(world.append(0, 100), "the next append has the next offset");
    world.settle(200);
    let offsets = world.stores[shard].partition(id).expect("open");
    assert_eq!(offsets.log_start, end);
    world.crash(true);
    world.start(1);
    let (shard, id) = world.ids[&0];
    assert_eq!(world.stores[shard].partition(id), Some(offsets));
    let below = world.stores[shard].read(id, Offset::ZERO, limits());
    assert!(matches!(below, Err(ReadError::OffsetOutOfRange { .. })), "{below:?}");
}

fn limits() -> ReadLimits {
    ReadLimits {
        bytes_max: 1 << 20,
        min_one_batch: crate::answer::MinOneBatch::Yes,
        up_to: crate::answer::ReadUpTo::HighWatermark,
    }
}

fn fail_segment_writes(op: &IoOp) -> Option<IoErrorKind> {
    match op {
        IoOp::Write { file, .. } if file.path.starts_with("topic0-0/") => Some(IoErrorKind::Other(5)),
        _ => None,
    }
}

fn fail_syncs(op: &IoOp) -> Option<IoErrorKind> {
    let is_first = |file: &FileRef| file.path.starts_with("topic0-0/");
    match op {
        IoOp::Sync { file } if is_first(file) => Some(IoErrorKind::Other(5)),
        IoOp::SyncAll { files, .. } if files.iter().any(is_first) => Some(IoErrorKind::Other(5)),
        _ => None,
    }
}

fn fail_journal(op: &IoOp) -> Option<IoErrorKind> {
    match op {
        IoOp::Write { durability: WriteDurability::Durable, file, .. } if file.path.starts_with("journal/") => {
            Some(IoErrorKind::ShortWrite)
        }
        _ => None,
    }
}

#[test]
fn trap_19_a_failed_segment_write_fences_the_partition_and_is_not_repeated() {
    let mut world = world(Shape { partitions: 2, ..Shape::default() });
    world.append(1, 100);
    world.settle(100);
    world.disk.fault = fail_segment_writes;
    assert!(world.append(0, 20_000));
    world.settle(200);
    assert!(world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Fenced { .. })));
    let (shard, id) = world.ids[&0];
    assert_eq!(world.stores[shard].partition(id).expect("open").high_watermark, Offset::ZERO);
    let bytes = batch(10, 1, Producer::NONE, 5);
    let (view, _) = BatchView::parse(&bytes).expect("just built");
    let refused = world.stores[shard].append(
        id,
        NewBatch::from(&view),
        AppendOrigin::Client,
        LeaderEpoch::new(0),
        Millis::new(5),
    );
    assert_eq!(refused, Err(AppendError::Storage(StorageError::Fenced(IoErrorKind::Other(5)))));
    // The other partition goes on, and so does everything after a restart.
    world.append(1, 100);
    world.settle(100);
    world.disk.fault = |_| None;
    world.crash(false);
    world.start(1);
    assert_eq!(world.models[&1].log.len(), 2);
}

#[test]
fn trap_19_a_failed_sync_fences_the_partition() {
    let mut world = world(Shape { partitions: 1, direct_bytes_min: 1 << 30, ..Shape::default() });
    world.append(0, 3000);
    world.settle(100);
    world.disk.fault = fail_syncs;
    for shard in 0..world.stores.len() {
        world.stores[shard].shutdown();
    }
    world.settle(300);
    let fenced = world.events.iter().filter(|(_, event)| matches!(event, StoreEvent::Fenced { .. })).count();
    assert_eq!(fenced, 1);
    assert!(world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Closed)), "a stop ends all the same");
    world.disk.fault = |_| None;
    world.crash(true);
    // What was committed is still in the journal.
    world.start(1);
    assert_eq!(world.models[&0].log.len(), 1);
}

#[test]
fn trap_19_a_short_write_of_the_journal_fences_everything() {
    let mut world = world(Shape { partitions: 2, ..Shape::default() });
    world.disk.fault = fail_journal;
    world.append(0, 100);
    world.settle(100);
    let (shard, id) = world.ids[&1];
    let bytes = batch(10, 1, Producer::NONE, 5);
    let (view, _) = BatchView::parse(&bytes).expect("just built");
    let refused = world.stores[shard].append(
        id,
        NewBatch::from(&view),
        AppendOrigin::Client,
        LeaderEpoch::new(0),
        Millis::new(5),
    );
    assert_eq!(refused, Err(AppendError::Storage(StorageError::Fenced(IoErrorKind::ShortWrite))));
    assert_eq!(world.models[&0].acked, Offset::ZERO);
}

/// The disk of these tests refuses a durable write into a file whose name a power cut would take; here all kinds of
/// files are written after they were made.
#[test]
fn trap_20_names_are_durable_before_what_is_written_under_them() {
    let mut world = world(Shape { partitions: 2, ..Shape::default() });
    for _ in 0..30 {
        world.append(0, 12_000);
        world.append(1, 500);
        world.settle(60);
    }
    world.crash(true);
    // Only what was synced is left of every directory and file, or any part of the rest; all of it is compared.
    world.start(3);
    assert!(world.models[&0].log.len() == 30 && world.models[&1].log.len() == 30);
}

#[test]
fn trap_21_rot_in_the_middle_is_marked_and_the_rest_is_read() {
    let mut world = world(Shape { partitions: 1, segment_bytes: 1 << 20, ..Shape::default() });
    world.compare = false;
    for _ in 0..20 {
        assert!(world.append(0, 12_000));
        world.settle(60);
    }
    let victim = world.models[&0].log[7].clone();
    let place: usize = world.models[&0].log[..7].iter().map(|stored| stored.bytes.len()).sum();
    world.crash(false);
    // Everything but the last group is proven by the records behind it.
    world.disk.rot("topic0-0/00000000000000000000.log", place + 200);
    world.start(1);
    let (shard, id) = world.ids[&0];
    let end = world.stores[shard].partition(id).expect("open").log_end;
    assert_eq!(end, world.models[&0].log[19].last.next(), "nothing is cut off: {:?}", world.news);
    let mut at = Offset::ZERO;
    let mut batches = 0;
    while at < end {
        match world.read(shard, id, at, limits()) {
            Ok(read) => {
                world.compare_read(0, at, &read);
                batches += crate::batch::split(&read.slices.concat_bytes()).count();
                at = read.next_offset;
            }
            Err(ReadError::Rot { from, next_good }) => {
                assert_eq!((from, next_good), (victim.base, victim.last.next()));
                at = next_good;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(batches, 19);
}

#[test]
fn trap_21_a_file_that_was_cut_short_ends_in_damage() {
    let mut world = world(Shape { partitions: 1, segment_bytes: 1 << 20, ..Shape::default() });
    world.compare = false;
    for _ in 0..20 {
        assert!(world.append(0, 12_000));
        world.settle(60);
    }
    world.shut_down();
    let victim = world.models[&0].log[7].clone();
    let before: usize = world.models[&0].log[..7].iter().map(|stored| stored.bytes.len()).sum();
    let file = FileRef { id: FileId::new(0), path: "topic0-0/00000000000000000000.log".into() };
    let cut = IoOp::Truncate { file, bytes: u64::try_from(before + 200).expect("small") };
    world.disk.perform(&cut).expect("the file is there");
    world.start(1);
    let (shard, id) = world.ids[&0];
    let end = world.stores[shard].partition(id).expect("open").log_end;
    let mut at = Offset::ZERO;
    while at < victim.base {
        at = world.read(shard, id, at, limits()).expect("what is there is sound").next_offset;
    }
    let damage = world.read(shard, id, at, limits()).expect_err("a part of a batch");
    assert_eq!(damage, ReadError::Rot { from: victim.base, next_good: end });
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Vec<ringlog_buffer::Slice> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|slice| slice.iter().copied()).collect()
    }
}

#[test]
fn trap_21_rot_in_the_tail_is_found_while_recovering() {
    let mut world = world(Shape { partitions: 1, segment_bytes: 1 << 20, ..Shape::default() });
    world.compare = false;
    for _ in 0..9 {
        assert!(world.append(0, 12_000));
        world.settle(60);
    }
    let victim = world.models[&0].log[8].clone();
    let place: usize = world.models[&0].log[..8].iter().map(|stored| stored.bytes.len()).sum();
    // One more group proves the one before.
    assert!(world.append(0, 10));
    world.settle(60);
    world.crash(false);
    world.disk.rot("topic0-0/00000000000000000000.log", place + 200);
    world.start(1);
    let rot = RecoveryNews::Rot {
        partition: TopicPartition::new("topic0", key(0).partition),
        from: victim.base,
        next_good: victim.last.next(),
    };
    assert_eq!(world.news, [rot]);
    let (shard, id) = world.ids[&0];
    assert_eq!(world.stores[shard].partition(id).expect("open").log_end, victim.last.next().next().next().next());
}

#[test]
fn trap_21_a_torn_tail_is_cut_off() {
    // Whatever was cut: the worlds of `simulation` compare all of it; here it must be seen to happen.
    let mut torn = 0;
    for seed in 0..40 {
        let mut world = World::new(seed, Shape { partitions: 1, ..Shape::default() });
        world.start(1);
        for _ in 0..6 {
            world.append(0, 12_000);
            world.settle(7);
        }
        world.crash(true);
        world.start(1);
        torn += world.news.iter().filter(|news| matches!(news, RecoveryNews::TornTail { .. })).count();
        assert!(!world.news.iter().any(|news| matches!(news, RecoveryNews::Rot { .. })), "{:?}", world.news);
    }
    assert!(torn > 0);
}

#[test]
fn trap_22_without_space_appends_are_refused_until_it_returns() {
    let mut world = world(Shape { partitions: 2, ..Shape::default() });
    for _ in 0..4 {
        world.append(0, 12_000);
        world.settle(60);
    }
    world.disk.space_bytes = world.disk.used_bytes();
    for _ in 0..30 {
        world.append(0, 12_000);
        world.append(1, 100);
        world.settle(60);
    }
    assert!(world.refused_for_space > 0);
    assert!(world.events.iter().any(|(_, event)| matches!(event, StoreEvent::SpaceExhausted)));
    // Everything that was accepted can be read; nothing was lost, nothing is fenced.
    world.check_all(0);
    assert!(!world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Fenced { .. })));
    world.disk.space_bytes = usize::MAX;
    world.now = world.now.saturating_add(Duration::from_secs(3));
    world.settle(300);
    assert!(world.events.iter().any(|(_, event)| matches!(event, StoreEvent::SpaceReturned)));
    assert!(world.append(0, 12_000), "appends go on by themselves");
    world.settle(300);
    let model = &world.models[&0];
    assert_eq!(Some(model.acked), model.log.last().map(|stored| stored.last.next()));
    world.crash(true);
    world.start(1);
}

#[test]
fn the_largest_default_batch_is_read_once() {
    const LENGTH: usize = (1 << 20) + 12;
    let mut world = world(Shape { partitions: 1, segment_bytes: 8 << 20, ..Shape::default() });
    let overhead = batch(LENGTH, 0, producer(0, Sequence::new(0)), 0).len() - LENGTH;
    assert!(world.append(0, LENGTH - overhead));
    world.settle(200);
    assert_eq!(world.models[&0].log[0].bytes.len(), LENGTH);
    world.shut_down();
    world.start(1);
    let (shard, id) = world.ids[&0];
    let before = world.disk.bytes_read;
    let read = world.read(shard, id, Offset::ZERO, limits()).expect("is there");
    world.compare_read(0, Offset::ZERO, &read);
    assert!(world.disk.bytes_read - before < 2 * 1024 * 1024, "{} bytes", world.disk.bytes_read - before);
}

#[test]
fn one_flush_covers_all_partitions_of_a_group() {
    let mut world = World::new(1, Shape { partitions: 300, journal_file_bytes: 1 << 20, ..Shape::default() });
    world.start(1);
    world.append(0, 100);
    world.settle(100);
    let before = world.disk.durable_writes;
    for partition in 0..300 {
        assert!(world.append(partition, 100));
    }
    for _ in 0..100 {
        world.now = Nanos::new(world.now.get() + 1);
        if let Some(io) = world.stores[0].poll_io(world.now) {
            let result = world.disk.perform(&io.op);
            world.stores[0].io_done(io.id, result, world.now);
        }
        world.take_events(0);
    }
    assert_eq!(world.disk.durable_writes - before, 1);
    assert!((0..300).all(|partition| world.models[&partition].acked > Offset::ZERO));
}

#[test]
fn a_removed_partition_leaves_nothing_and_its_name_can_be_used_again() {
    let mut world = world(Shape { partitions: 2, ..Shape::default() });
    for _ in 0..10 {
        world.append(0, 12_000);
        world.settle(60);
    }
    let (shard, id) = world.ids[&0];
    world.stores[shard].remove_partition(id);
    let name = TopicPartition::new("topic0", key(0).partition);
    let config = world.log_config();
    let again =
        world.stores[shard].create_partition(name, key(77).topic_id, config, LogDir::HOME).expect("there is room");
    assert_ne!(again, id);
    let bytes = batch(20_000, 1, Producer::NONE, 5);
    let (view, _) = BatchView::parse(&bytes).expect("just built");
    world.stores[shard]
        .append(again, NewBatch::from(&view), AppendOrigin::Client, LeaderEpoch::new(0), Millis::new(5))
        .expect("it is a partition like any other");
    world.settle(300);
    world.now = world.now.saturating_add(Duration::from_secs(1));
    world.settle(50);
    assert!(
        world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Removed { partition } if *partition == id))
    );
    let offsets = world.stores[shard].partition(again).expect("open");
    assert_eq!((offsets.high_watermark, offsets.log_end), (Offset::new(3), Offset::new(3)));
    let names = world.disk.names("");
    assert!(names.contains(&"topic0-0".to_owned()) && !names.iter().any(|name| name.ends_with("-delete")), "{names:?}");
}

#[test]
fn trap_22_a_full_journal_file_without_space_for_another_is_filled_again() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    // The segment has its space.
    world.append(0, 12_000);
    world.settle(100);
    // Enough for a checkpoint, not for a journal file.
    world.disk.space_bytes = world.disk.used_bytes() + (32 << 10);
    for _ in 0..40 {
        world.append(0, 100);
        world.settle(30);
    }
    assert_eq!(world.models[&0].acked, world.models[&0].log.last().expect("sent").last.next());
    world.stores[0].shutdown();
    for _ in 0..120 {
        world.now = world.now.saturating_add(Duration::from_secs(1));
        world.settle(30);
    }
    assert!(world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Closed)), "{:?}", world.events);
}

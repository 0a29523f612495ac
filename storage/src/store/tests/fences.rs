//! What a fence means for batches that were appended before it.

use std::time::Duration;

use super::{fail_journal, fail_segment_writes, fail_syncs, limits, world};
use crate::answer::{AppendError, AppendOrigin, Appended, NewBatch, ReadError, StorageError, StoreEvent};
use crate::batch::BatchView;
use crate::io::{IoErrorKind, IoOp};
use crate::simulation::{Shape, World};
use crate::types::{LeaderEpoch, Millis};

/// Sends a batch of the first partition again.
fn send_again(world: &mut World, number: usize) -> Result<Appended, AppendError> {
    let (shard, id) = world.ids[&0];
    let stored = world.models[&0].log[number].clone();
    let (view, _) = BatchView::parse(&stored.bytes).expect("stored");
    let (batch, epoch) = (NewBatch::from(&view), LeaderEpoch::new(0));
    world.stores[shard].append(id, batch, AppendOrigin::Client, epoch, Millis::new(5))
}

/// What was appended and never committed is remembered of its producer: sent again, it must not be waited for.
#[test]
fn trap_19_a_batch_that_lost_its_commit_is_refused_when_it_is_sent_again() {
    let check = |fault: fn(&IoOp) -> Option<IoErrorKind>, value_bytes: usize, reason: IoErrorKind| {
        let mut world = world(Shape { partitions: 1, ..Shape::default() });
        assert!(world.append(0, 100));
        world.settle(100);
        world.disk.fault = fault;
        assert!(world.append(0, value_bytes));
        world.settle(200);
        assert_eq!(send_again(&mut world, 1), Err(AppendError::Storage(StorageError::Fenced(reason))));
        // The one before was committed, and still is.
        assert!(send_again(&mut world, 0).is_ok_and(|appended| appended.duplicate && appended.committed));
    };
    check(fail_segment_writes, 20_000, IoErrorKind::Other(5));
    check(fail_journal, 100, IoErrorKind::ShortWrite);
}

/// What was written straight to a segment is durable there, whatever becomes of the segment: no checkpoint may free the
/// journal records that tell of it without telling of it itself.
#[test]
fn trap_19_what_is_durable_in_a_segment_that_cannot_be_sealed_is_kept() {
    let mut world = world(Shape { partitions: 2, ..Shape::default() });
    world.disk.fault = fail_syncs;
    for _ in 0..4 {
        assert!(world.append(0, 20_000));
        world.settle(100);
    }
    // The fourth begins a segment, and the one before is sealed meanwhile.
    let acked = world.models[&0].acked;
    assert!(acked >= world.models[&0].log[3].base);
    // Enough of another partition for checkpoints.
    for _ in 0..20 {
        assert!(world.append(1, 20_000));
        world.settle(100);
    }
    world.disk.fault = |_| None;
    world.crash(true);
    world.start(1);
    assert!(world.models[&0].log.last().is_some_and(|last| last.last.next() >= acked));
}

/// That records are deleted is told by the journal before their files go, or a restart would look for them.
#[test]
fn a_segment_goes_when_it_is_durable_that_its_records_are_deleted() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    for _ in 0..12 {
        assert!(world.append(0, 20_000));
        world.settle(100);
    }
    let (shard, id) = world.ids[&0];
    world.disk.fault = fail_journal;
    let before = world.models[&0].log[8].base;
    assert_eq!(world.stores[shard].delete_records(id, before), Ok(before));
    world.settle(200);
    world.disk.fault = |_| None;
    world.crash(true);
    world.start(1);
    // All of it is there again, as nobody was told durably that it is gone.
    world.check_all(0);
    let (shard, id) = world.ids[&0];
    assert_eq!(world.stores[shard].delete_records(id, before), Ok(before));
    world.settle(200);
    world.check_all(0);
    assert_eq!(world.stores[shard].partition(id).expect("open").log_start, before);
}

/// The checkpoint still has segments that were deleted after it, not even sealed.
#[test]
fn a_restart_does_not_look_for_segments_that_are_gone() {
    for files_are_gone in [true, false] {
        let mut world = world(Shape { partitions: 1, journal_files: 32, ..Shape::default() });
        for number in 0..12 {
            assert!(world.append(0, 20_000));
            world.settle(100);
            if number == 0 {
                // This one's has the first segment as it is now.
                world.crash(true);
                world.start(1);
                world.stores[0].config.direct_bytes_per_checkpoint = u64::MAX;
            }
        }
        let (shard, id) = world.ids[&0];
        // As on the way to a checkpoint that is not written any more.
        world.stores[shard].known(id).sync_wanted = true;
        world.stores[shard].request_flush(id);
        world.settle(200);
        let before = world.models[&0].log[8].base;
        assert_eq!(world.stores[shard].delete_records(id, before), Ok(before));
        world.settle(200);
        if files_are_gone {
            world.now = world.now.saturating_add(Duration::from_mins(2));
            world.settle(200);
        }
        world.crash(true);
        world.start(1);
        let (shard, id) = world.ids[&0];
        assert_eq!(world.stores[shard].partition(id).expect("open").log_start, before);
        assert!(world.append(0, 20_000));
        world.settle(300);
        let model = &world.models[&0];
        assert_eq!(Some(model.acked), model.log.last().map(|stored| stored.last.next()));
        world.check_all(0);
    }
}

/// What is damaged in a segment before it is durable there is still in the journal: a restart writes it again, and must not
/// go on telling that it is damaged.
#[test]
fn trap_21_damage_of_what_the_journal_has_is_mended_by_a_restart() {
    let mut world = world(Shape { partitions: 2, direct_bytes_min: 1 << 30, ..Shape::default() });
    for _ in 0..3 {
        assert!(world.append(0, 3000));
        world.settle(200);
    }
    let (shard, id) = world.ids[&0];
    world.disk.fault = fail_syncs;
    world.stores[shard].request_sync(id);
    world.settle(200);
    world.disk.fault = |_| None;
    assert!(world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Fenced { .. })));
    let second = world.models[&0].log[1].base;
    world.disk.rot("topic0-0/00000000000000000000.log", world.models[&0].log[0].bytes.len() + 200);
    // Idle for a minute: it leaves memory.
    world.stores[shard].maintain([id], Millis::new(60_000));
    let damaged = world.read(shard, id, second, limits());
    assert!(matches!(damaged, Err(ReadError::Rot { from, .. }) if from == second), "{damaged:?}");
    // Enough of another partition for checkpoints.
    for _ in 0..20 {
        assert!(world.append(1, 20_000));
        world.settle(100);
    }
    world.crash(false);
    world.start(1);
    world.check_all(0);
    let (shard, id) = world.ids[&0];
    assert!(world.read(shard, id, second, limits()).is_ok_and(|read| read.bytes > 3000));
}

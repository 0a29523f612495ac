//! What tells whoever drives the store that there is something to do.

use std::time::Duration;

use super::{fail_syncs, limits, world};
use crate::answer::{ReadOutcome, StoreEvent};
use crate::simulation::{Shape, World};
use crate::types::{Nanos, Offset};

#[test]
fn a_read_from_memory_is_no_work_and_everything_else_is() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    let (shard, id) = world.ids[&0];
    assert!(world.stores[shard].has_work(), "it has just been started");
    assert!(world.append(0, 100));
    world.settle(100);
    let now = world.now;
    let store = &mut world.stores[shard];
    while store.poll_io(now).is_some() {}
    assert!(!store.has_work());
    let read = store.read(id, Offset::ZERO, limits());
    assert!(matches!(read, Ok(ReadOutcome::Ready(ref batches)) if batches.bytes > 0), "{read:?}");
    assert!(!store.has_work(), "it came from memory");
    assert!(world.append(0, 100));
    let store = &mut world.stores[shard];
    assert!(store.has_work());
    let commit = store.poll_io(now).expect("a commit");
    while store.poll_io(now).is_some() {}
    assert!(!store.has_work(), "it waits for the disk");
    let result = world.disk.perform(&commit.op);
    let store = &mut world.stores[shard];
    store.io_done(commit.id, result, now);
    assert!(store.has_work());
    while store.poll_io(Nanos::default()).is_some() {}
    store.shutdown();
    assert!(store.has_work());
}

#[test]
fn a_commit_waits_for_its_time_unless_much_does() {
    let mut world = world(Shape { partitions: 1, journal_file_bytes: 1 << 20, ..Shape::default() });
    // Everything that takes time is done.
    world.append(0, 100);
    world.settle(100);
    let interval = Duration::from_millis(1);
    world.stores[0].config.commit_interval = interval;
    let commits = |world: &mut World, bytes: usize, after: Duration| {
        world.now = world.now.saturating_add(after);
        assert!(world.append(0, bytes));
        let before = world.disk.durable_writes;
        world.go_on();
        world.disk.durable_writes - before
    };
    let second = Duration::from_secs(1);
    assert_eq!(commits(&mut world, 100, second), 1, "the last one was long ago");
    let began = world.now;
    assert_eq!(commits(&mut world, 100, interval / 4), 0);
    assert_eq!(world.stores[0].next_deadline(), Some(began.saturating_add(interval)));
    assert_eq!(commits(&mut world, 100, interval / 4), 0);
    assert_eq!(commits(&mut world, 100, interval / 2), 1, "all three in one");
    let much = usize::try_from(world.stores[0].config.direct_bytes_min).expect("fits");
    assert!(commits(&mut world, much, interval / 4) > 0, "so much does not wait");
    let model = &world.models[&0];
    assert_eq!(model.acked, model.log.last().expect("sent").last.next());
}

/// Whoever drives it goes away then, and what had begun would never end.
#[test]
fn a_store_that_has_closed_begins_nothing() {
    let mut world = world(Shape { partitions: 2, direct_bytes_min: 1 << 30, ..Shape::default() });
    assert!(world.append(0, 3000));
    world.settle(100);
    // A partition without a disk keeps its records in the journal, which wants a checkpoint again and again.
    world.disk.fault = fail_syncs;
    let is_fenced = |(_, event): &(usize, StoreEvent)| matches!(event, StoreEvent::Fenced { .. });
    while !world.events.iter().any(is_fenced) || world.stores[0].journal.cut_wanted().is_none() {
        assert!(world.append(1, 3000));
        world.settle(30);
    }
    world.settle(300);
    // By now it would begin the next one.
    world.now = world.now.saturating_add(Duration::from_secs(10));
    world.stores[0].shutdown();
    let has_closed = (0..1000).any(|_| {
        let begun = world.stores[0].poll_io(world.now);
        while let Some(event) = world.stores[0].poll_event() {
            if matches!(event, StoreEvent::Closed) {
                assert!(begun.is_none(), "{begun:?}");
                return true;
            }
        }
        if let Some(io) = begun {
            let result = world.disk.perform(&io.op);
            world.stores[0].io_done(io.id, result, world.now);
        }
        false
    });
    assert!(has_closed, "a partition without a disk holds nothing up");
}

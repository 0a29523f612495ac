//! What tells whoever drives the store that there is something to do.

use super::{limits, world};
use crate::answer::ReadOutcome;
use crate::simulation::Shape;
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

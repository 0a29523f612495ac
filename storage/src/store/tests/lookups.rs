//! What is found by time.

use super::world;
use crate::Store;
use crate::answer::{AppendOrigin, LookupOutcome, NewBatch, ReadError, ReadUpTo, StoreEvent, TimestampOffset};
use crate::batch::{BatchView, Producer};
use crate::io::IoOp;
use crate::simulation::{Shape, World, batch};
use crate::types::{LeaderEpoch, Millis, Offset};

#[test]
fn lookups_by_time_find_the_first_record_that_is_late_enough() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    let (shard, id) = world.ids[&0];
    for number in 0..400 {
        let bytes = batch(600, 1, Producer::NONE, 1000 + number * 10);
        let (view, _) = BatchView::parse(&bytes).expect("just built");
        let answer = world.stores[shard].append(
            id,
            NewBatch::from(&view),
            AppendOrigin::Client,
            LeaderEpoch::new(0),
            Millis::new(5),
        );
        answer.expect("there is room");
        world.settle(12);
    }
    for number in [0_i64, 1, 77, 200, 399] {
        for (timestamp, expected) in [(1000 + number * 10, number * 3), (1000 + number * 10 - 5, number * 3)] {
            let found = look_up(&mut world, |store| {
                store.offset_for_timestamp(id, Millis::new(timestamp), ReadUpTo::HighWatermark)
            });
            assert_eq!(found.map(|found| found.offset), Some(Offset::new(expected)), "{timestamp}");
        }
    }
    let late =
        look_up(&mut world, |store| store.offset_for_timestamp(id, Millis::new(1_000_000), ReadUpTo::HighWatermark));
    assert_eq!(late, None);
    let last = look_up(&mut world, |store| store.max_timestamp(id, ReadUpTo::HighWatermark));
    assert_eq!(last.map(|found| (found.timestamp, found.offset)), Some((Millis::new(4990), Offset::new(1197))));
}

fn look_up(
    world: &mut World,
    begin: impl FnOnce(&mut Store) -> Result<LookupOutcome, ReadError>,
) -> Option<TimestampOffset> {
    match begin(&mut world.stores[0]).expect("it can be looked up") {
        LookupOutcome::Ready(found) => found,
        LookupOutcome::Disk(wanted) => {
            for _ in 0..1000 {
                world.step(0);
                for (_, event) in std::mem::take(&mut world.events) {
                    if let StoreEvent::LookupReady { read, result } = event
                        && read == wanted
                    {
                        return result.expect("nothing is damaged");
                    }
                }
            }
            panic!("a lookup ends")
        }
    }
}

/// A file's space is reserved, and zeros until it is written: what ends a moment later must not be taken for damage.
#[test]
fn a_write_that_ends_while_a_lookup_reads_is_no_damage() {
    let append = |world: &mut World, timestamp| {
        let bytes = batch(10, 1, Producer::NONE, timestamp);
        let (view, _) = BatchView::parse(&bytes).expect("just built");
        let (shard, id) = world.ids[&0];
        let store = &mut world.stores[shard];
        let epoch = LeaderEpoch::new(0);
        store.append(id, NewBatch::from(&view), AppendOrigin::Client, epoch, Millis::new(5)).expect("there is room")
    };
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    // Small ones, of which the last ones have no place of their own in the index.
    for number in 0..16 {
        append(&mut world, 1000 + number);
        world.settle(12);
    }
    let (_, id) = world.ids[&0];
    world.stores[0].request_flush(id);
    world.go_on();
    // Idle for a minute: it leaves memory.
    world.stores[0].maintain([id], Millis::new(60_000));
    let last = append(&mut world, 5000).base_offset;
    world.go_on();
    let store = &mut world.stores[0];
    let found = store.offset_for_timestamp(id, Millis::new(5000), ReadUpTo::HighWatermark);
    let Ok(LookupOutcome::Disk(wanted)) = found else { panic!("the segment begins on the disk: {found:?}") };
    let mut read = None;
    while let Some(io) = store.poll_io(world.now) {
        let result = world.disk.perform(&io.op);
        match io.op {
            IoOp::Read { file, .. } if file.path.ends_with(".log") => read = Some((io.id, result)),
            _ => store.io_done(io.id, result, world.now),
        }
    }
    let (read, result) = read.expect("it reads the segment");
    store.request_flush(id);
    world.go_on();
    assert!(world.stores[0].known(id).written.offset > last, "it is written by now");
    world.stores[0].io_done(read, result, world.now);
    world.go_on();
    let mut events = std::mem::take(&mut world.events).into_iter();
    let found = events.find_map(|(_, event)| match event {
        StoreEvent::LookupReady { read, result } if read == wanted => Some(result),
        _ => None,
    });
    assert_eq!(found.expect("it has ended").map(|found| found.map(|found| found.offset)), Ok(Some(last)));
}

#[test]
fn what_is_deleted_is_not_found_by_its_time() {
    let check = |restarts: bool| {
        let mut world = world(Shape { partitions: 1, segment_bytes: 8 << 10, ..Shape::default() });
        let (shard, id) = world.ids[&0];
        // The first is late, and so is the last, some segments behind it.
        let times = (0..40).map(|number| match number {
            0 => 9000,
            39 => 9500,
            number => 1000 + number * 10,
        });
        for timestamp in times {
            let bytes = batch(600, 1, Producer::NONE, timestamp);
            let (view, _) = BatchView::parse(&bytes).expect("just built");
            let (store, epoch, now) = (&mut world.stores[shard], LeaderEpoch::new(0), Millis::new(5));
            store.append(id, NewBatch::from(&view), AppendOrigin::Client, epoch, now).expect("there is room");
            world.settle(12);
        }
        // In the middle of the seventh batch, which has three records as all of them.
        assert_eq!(world.stores[shard].delete_records(id, Offset::new(20)), Ok(Offset::new(20)));
        if restarts {
            world.compare = false;
            world.shut_down();
            world.start(1);
        }
        let (_, id) = world.ids[&0];
        for (timestamp, expected) in [(1000, 20), (1060, 20), (1070, 21), (1200, 60), (8000, 117), (9500, 117)] {
            let found = look_up(&mut world, |store| {
                store.offset_for_timestamp(id, Millis::new(timestamp), ReadUpTo::HighWatermark)
            });
            assert_eq!(found.map(|found| found.offset), Some(Offset::new(expected)), "{timestamp}");
        }
    };
    check(false);
    check(true);
}

//! What is found by time.

use super::world;
use crate::Store;
use crate::answer::{AppendOrigin, LookupOutcome, NewBatch, ReadError, ReadUpTo, StoreEvent, TimestampOffset};
use crate::batch::{BatchView, Producer};
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

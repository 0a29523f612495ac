//! Records that are deleted before a checkpoint tells of them.

use super::{numbered, world};
use crate::answer::{AppendError, AppendOrigin, Appended, NewBatch};
use crate::batch::{BatchView, Producer};
use crate::simulation::{Shape, World, batch};
use crate::types::{LeaderEpoch, Millis, Offset};

fn append(world: &mut World, value_bytes: usize, producer: Producer) -> Result<Appended, AppendError> {
    let bytes = batch(value_bytes, 1, producer, 5);
    let (view, _) = BatchView::parse(&bytes).expect("just built");
    let (shard, id) = world.ids[&0];
    let (batch, epoch) = (NewBatch::from(&view), LeaderEpoch::new(0));
    let answer = world.stores[shard].append(id, batch, AppendOrigin::Client, epoch, Millis::new(5));
    world.settle(30);
    answer
}

#[test]
fn trap_06_a_producer_whose_last_batches_are_deleted_goes_on_after_a_restart() {
    for power_too in [false, true] {
        // The journal is so long that it wants no checkpoint.
        let mut world =
            world(Shape { partitions: 1, direct_bytes_min: 1 << 30, journal_files: 64, ..Shape::default() });
        world.compare = false;
        append(&mut world, 100, numbered(0, 0)).expect("there is room");
        world.shut_down();
        world.start(1);
        // The last checkpoint knows nothing of this batch.
        append(&mut world, 100, numbered(3, 0)).expect("there is room");
        for _ in 0..20 {
            append(&mut world, 5000, Producer::NONE).expect("there is room");
        }
        let (shard, id) = world.ids[&0];
        let end = world.stores[shard].partition(id).expect("open").log_end;
        assert_eq!(world.stores[shard].delete_records(id, Offset::UNKNOWN), Ok(end));
        world.settle(200);
        world.crash(power_too);
        world.start(1);
        let appended = append(&mut world, 100, numbered(6, 0)).expect("it follows what was there");
        assert_eq!(appended.base_offset, end);
    }
}

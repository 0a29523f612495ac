//! What must go on by itself: nothing below lets any time pass, so nothing can be owed to a timer.

use crate::limits::SEGMENT_WRITE_BYTES_MAX;
use crate::log::tail::to_usize;
use crate::simulation::{Shape, World};

const LARGE: usize = 9 << 20;

fn world() -> World {
    let shape = Shape { partitions: 1, segment_bytes: 64 << 20, journal_file_bytes: 1 << 20, ..Shape::default() };
    let mut world = World::new(1, shape);
    world.start(1);
    // Or memory would have everything written.
    world.stores[0].config.tail_bytes_max = 64 << 20;
    world
}

fn assert_all_acked(world: &World) {
    let model = &world.models[&0];
    assert_eq!(model.acked, model.log.last().expect("something was sent").last.next());
}

#[test]
fn a_batch_larger_than_a_write_follows_a_small_one() {
    assert!(LARGE > to_usize(SEGMENT_WRITE_BYTES_MAX));
    let mut world = world();
    world.stores[0].config.unwritten_bytes_max = 64 << 20;
    for _ in 0..2 {
        assert!(world.append(0, 100));
        world.go_on();
        assert_all_acked(&world);
        assert!(world.append(0, LARGE));
        world.go_on();
        assert_all_acked(&world);
    }
}

#[test]
fn a_refused_append_has_room_made_for_it() {
    let mut world = world();
    for _ in 0..2 {
        assert!(world.append(0, 100));
        world.go_on();
        assert!(!world.append(0, LARGE), "it is more than may be unwritten");
        assert!(world.stores[0].has_work());
        world.go_on();
        assert!(world.append(0, LARGE), "nothing is unwritten any more");
        world.go_on();
        assert_all_acked(&world);
    }
}

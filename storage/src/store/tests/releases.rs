//! Word of partitions that have gone to other stores.

use crate::simulation::{Shape, World};

/// The message may take longer than those by which the partition came back, and went again.
#[test]
fn late_word_is_not_taken_for_that_of_a_later_release() {
    let mut world = World::new(1, Shape { partitions: 1, ..Shape::default() });
    world.start(2);
    assert!(world.append(0, 100));
    let (first, _) = world.ids[&0];
    let told = |world: &World| world.stores[first].handovers.released().count();
    let early = world.move_over(0);
    // A checkpoint there tells of it.
    world.settle(300);
    world.move_over(0);
    assert_eq!((world.ids[&0].0, told(&world)), (first, 0));
    world.settle(300);
    let late = world.move_over(0);
    assert_eq!(told(&world), 1);
    world.stores[first].forget_released(early);
    assert_eq!(told(&world), 1, "no checkpoint of the other store tells of it yet");
    world.stores[first].forget_released(late);
    assert_eq!(told(&world), 0);
}

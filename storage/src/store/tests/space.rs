//! A device without space: who goes on, and for how long.

use super::*;
use crate::answer::PartitionId;
use crate::store::commit::journal_bytes_max;

const CLIENTS: u32 = 0;
const COORDINATOR: u32 = 1;
const CONTROLLER: u32 = 2;

/// A world whose device is full, and known to be.
fn full() -> World {
    let mut world = world(Shape::default());
    world.origins = [(COORDINATOR, AppendOrigin::Coordinator), (CONTROLLER, AppendOrigin::Controller)].into();
    for partition in 0..3 {
        assert!(world.append(partition, 100));
    }
    world.settle(60);
    world.disk.space_bytes = world.disk.used_bytes();
    while world.refused_for_space == 0 {
        world.append(CLIENTS, 12_000);
        world.settle(60);
    }
    world
}

/// Appends a little, and answers whether it was committed.
fn is_committed(world: &mut World, partition: u32) -> bool {
    if !world.append(partition, 100) {
        return false;
    }
    world.settle(60);
    let model = &world.models[&partition];
    assert_eq!(Some(model.acked), model.log.last().map(|stored| stored.last.next()), "partition {partition}");
    true
}

#[test]
fn without_space_the_controller_goes_on_and_coordinators_leave_it_room() {
    let mut world = full();
    let coordinated = (0..1_000).take_while(|_| is_committed(&mut world, COORDINATOR)).count();
    assert!((1..1_000).contains(&coordinated), "{coordinated} appends of a coordinator");
    for _ in 0..5 {
        assert!(is_committed(&mut world, CONTROLLER), "it goes on");
        assert!(!is_committed(&mut world, COORDINATOR) && !is_committed(&mut world, CLIENTS), "others do not");
    }
    world.crash(true);
    world.disk.space_bytes = usize::MAX;
    world.start(1);
    assert!(is_committed(&mut world, CLIENTS));
}

#[test]
fn without_space_the_controller_does_not_wait_behind_what_cannot_be_written() {
    let mut world = full();
    let unwritten_bytes_max = world.stores[0].config.unwritten_bytes_max;
    world.stores[0].config.unwritten_bytes_max = 1;
    assert!(!world.append(COORDINATOR, 100), "refused, not held up until there is space");
    assert!(is_committed(&mut world, CONTROLLER));
    world.stores[0].config.unwritten_bytes_max = unwritten_bytes_max;
    assert!(is_committed(&mut world, COORDINATOR));
}

#[test]
fn what_clients_have_brought_before_leaves_the_controller_room() {
    let mut world = world(Shape::default());
    world.origins = [(CONTROLLER, AppendOrigin::Controller)].into();
    for partition in [CLIENTS, CONTROLLER] {
        assert!(world.append(partition, 100));
    }
    world.settle(60);
    world.disk.space_bytes = world.disk.used_bytes();
    // More than the journal holds, and nobody knows yet that it cannot go to its segments.
    while world.append(CLIENTS, 12_000) {}
    world.settle(300);
    assert!(world.events.iter().any(|(_, event)| matches!(event, StoreEvent::SpaceExhausted)));
    for _ in 0..5 {
        assert!(is_committed(&mut world, CONTROLLER));
    }
    let waits = |world: &World| {
        let model = &world.models[&CLIENTS];
        Some(model.acked) != model.log.last().map(|stored| stored.last.next())
    };
    assert!(waits(&world), "all of it fits the journal");
    world.disk.space_bytes = usize::MAX;
    world.now = world.now.saturating_add(Duration::from_secs(3));
    world.settle(600);
    assert!(!waits(&world), "it goes on by itself");
}

#[test]
fn a_journal_that_cannot_grow_leaves_the_controller_room() {
    let mut world = world(Shape::default());
    world.origins = [(CONTROLLER, AppendOrigin::Controller)].into();
    for partition in [CLIENTS, CONTROLLER] {
        assert!(world.append(partition, 100));
    }
    world.settle(60);
    world.now = world.now.saturating_add(Duration::from_secs(30));
    world.settle(300);
    // Segments have space for what comes; the journal gets no other file.
    world.disk.space_bytes = world.disk.used_bytes();
    let mut taken = 0;
    for _ in 0..200 {
        taken += u32::from(world.append(CLIENTS, 100));
        world.settle(20);
    }
    assert!(taken > 0 && world.refused_for_space > 0, "{taken} taken");
    assert!(is_committed(&mut world, CONTROLLER));
}

#[test]
fn without_space_nothing_is_taken_that_the_journal_cannot_hold() {
    let mut world = full();
    let too_large = usize::try_from(journal_bytes_max(world.shape.journal_file_bytes)).expect("small");
    let refused = world.refused_for_space;
    assert!(!world.append(COORDINATOR, too_large));
    assert_eq!(world.refused_for_space, refused + 1);
    assert!(is_committed(&mut world, COORDINATOR), "what fits goes in");
}

/// Fills the device with segments of a partition, by batches of `value_bytes`, until appends are refused.
fn filled_by(value_bytes: usize) -> (World, PartitionId) {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    world.compare = false;
    assert!(world.append(CLIENTS, value_bytes));
    world.settle(60);
    world.disk.space_bytes = world.disk.used_bytes() + (600 << 10);
    while world.refused_for_space == 0 {
        // As many as there is room for: the last of them are more than the journal takes.
        while world.append(CLIENTS, value_bytes) {}
        world.settle(60);
    }
    let id = world.ids[&CLIENTS].1;
    assert!(world.stores[0].known(id).segments.len() > 4);
    (world, id)
}

/// What an operator does about it: records are deleted, and their files have to go, whichever way they came.
#[test]
fn without_space_deleted_records_make_space() {
    for value_bytes in [1_000, 12_000, 40_000] {
        let (mut world, id) = filled_by(value_bytes);
        for _ in 0..8 {
            world.stores[0].delete_records(id, Offset::UNKNOWN).expect("all that is committed may go");
            world.now = world.now.saturating_add(Duration::from_secs(2));
            world.settle(200);
            world.stores[0].maintain([id], Millis::new(2_000));
        }
        let segments = world.stores[0].known(id).segments.len();
        assert!(segments <= 2, "{value_bytes}: {segments} segments are left");
        assert!(is_committed(&mut world, CLIENTS), "{value_bytes}: there is space");
    }
}

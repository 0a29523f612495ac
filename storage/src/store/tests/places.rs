//! Where partitions lie that nothing is known of, or nothing yet.

use crate::answer::{PartitionId, StoreEvent};
use crate::directory::LogDir;
use crate::io::IoOp;
use crate::recovery::RecoveryNews;
use crate::simulation::{Shape, World, key};
use crate::types::{TopicPartition, Uuid};

const OTHER: LogDir = LogDir::new(1);

/// A world with two directories, in the second of which there is a folder of the first partition's name, which is to lie in the
/// first.
fn world_with_orphan(shards: u16) -> World {
    let mut world = World::new(3, Shape { partitions: 1, dirs: 2, ..Shape::default() });
    for op in [IoOp::CreateDir { path: "1:topic0-0".into() }, IoOp::SyncDir { path: "1:".into() }] {
        world.disk.perform(&op).expect("the directory is there");
    }
    world.start(shards);
    world
}

fn place(world: &World) -> LogDir {
    let (shard, id) = world.ids[&0];
    world.stores[shard].partition_place(id).expect("open").log_dir
}

/// Opens another partition of the first one's name.
fn open_another(world: &mut World, shard: usize) -> PartitionId {
    let name = TopicPartition::new("topic0", key(0).partition);
    let config = world.log_config();
    let id = world.stores[shard].create_partition(name, Uuid::from_u128(7), config, LogDir::HOME);
    id.expect("there is room")
}

fn remove(world: &mut World) {
    let (shard, id) = world.ids.remove(&0).expect("open");
    world.stores[shard].remove_partition(id);
    let is_told = (0..500).any(|_| {
        world.settle(1);
        world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Removed { .. }))
    });
    assert!(is_told, "it is removed");
}

#[test]
fn a_folder_that_nothing_is_known_of_is_taken_once() {
    let mut world = world_with_orphan(1);
    assert_eq!(place(&world), OTHER, "it goes on in the folder that it has");
    remove(&mut world);
    assert!(!world.disk.names("1:").contains(&"topic0-0".to_owned()), "it was its folder");
    let id = open_another(&mut world, 0);
    let place = world.stores[0].partition_place(id).expect("open");
    assert_eq!(place.log_dir, LogDir::HOME, "the next one is placed as any other");
}

#[test]
fn a_folder_that_another_shards_partition_takes_is_nobody_elses() {
    let mut world = world_with_orphan(2);
    let other = 1 - world.ids[&0].0;
    world.stores[other].forget_orphan(&TopicPartition::new("topic0", key(0).partition));
    remove(&mut world);
    let id = open_another(&mut world, other);
    assert_eq!(world.stores[other].partition_place(id).expect("open").log_dir, LogDir::HOME);
}

#[test]
fn a_folder_that_nothing_is_known_of_goes_with_its_partition() {
    let mut world = world_with_orphan(2);
    world.move_over(0);
    assert_eq!(place(&world), OTHER);
    remove(&mut world);
    assert!(!world.disk.names("1:").contains(&"topic0-0".to_owned()), "it was its folder");
}

/// The checkpoint that is being written tells where it lay, and would be believed.
#[test]
fn a_partition_without_records_waits_for_a_checkpoint_before_it_lies_elsewhere() {
    let mut world = World::new(4, Shape { partitions: 2, dirs: 2, direct_bytes_min: 1, ..Shape::default() });
    world.start(1);
    let (_, id) = world.ids[&0];
    while !world.stores[0].checkpointing.is_writing() {
        world.append(1, 9000);
        world.settle(1);
    }
    world.stores[0].move_partition(id, OTHER).expect("nothing has failed");
    world.settle(400);
    assert_eq!(place(&world), OTHER);
    assert!(world.append(0, 500));
    world.settle(200);
    world.crash(true);
    world.start(1);
    assert_eq!(place(&world), OTHER);
    let by_hand = |news: &&RecoveryNews| matches!(news, RecoveryNews::MovedByHand { .. });
    assert_eq!(world.news.iter().find(by_hand), None);
}

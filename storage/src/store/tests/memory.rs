//! What partitions hold in memory.

use std::time::Duration;

use super::world;
use crate::log::tail::TailMemory;
use crate::simulation::Shape;
use crate::types::Millis;

#[test]
fn an_idle_partition_costs_little_memory() {
    let mut world = world(Shape { partitions: 1, ..Shape::default() });
    world.append(0, 100);
    world.settle(50);
    assert!(world.stores[0].tail_memory.held_bytes() <= 16 << 10);
    world.append(0, 50_000);
    world.now = world.now.saturating_add(Duration::from_secs(1));
    world.settle(300);
    let (shard, id) = world.ids[&0];
    world.stores[shard].maintain([id], Millis::new(1_000_000));
    assert!(world.stores[0].tail_memory.held_bytes() <= 4096, "{}", world.stores[0].tail_memory.held_bytes());
    world.check_all(0);
}

#[test]
fn tails_of_many_partitions_share_the_budget() {
    let mut world = world(Shape { partitions: 32, segment_bytes: 8 << 20, ..Shape::default() });
    let budget = 2 << 20;
    world.stores[0].config.tail_bytes_max = budget;
    world.stores[0].tail_memory = TailMemory::new(budget);
    for _ in 0..40 {
        for partition in 0..32 {
            world.append(partition, 8_000);
        }
        world.settle(100);
    }
    // Every one has written ten times the capacity that its chunks may have.
    let held = world.stores[0].tail_memory.held_bytes();
    assert!(held <= budget + 32 * 16 * 1024, "{held} bytes");
    world.check_all(0);
}

#[test]
fn chunks_grow_with_the_rate_and_not_with_time() {
    let held_after = |pause| {
        let mut world = world(Shape { partitions: 1, segment_bytes: 8 << 20, ..Shape::default() });
        world.stores[0].config.tail_bytes_max = 16 << 20;
        world.stores[0].tail_memory = TailMemory::new(16 << 20);
        for _ in 0..200 {
            assert!(world.append(0, 3_000));
            world.now = world.now.saturating_add(pause);
            world.go_on();
        }
        let partition = world.stores[0].get(world.ids[&0].1).expect("it is open");
        partition.last_segment().tail.capacity()
    };
    assert_eq!(held_after(Duration::from_millis(200)), 8192, "one batch every 200 ms");
    let busy = held_after(Duration::from_millis(1));
    assert!(busy >= 128 << 10, "3 MB a second fill {busy} bytes within 100 ms");
}

#[test]
fn nothing_is_left_of_a_removed_partition_that_could_be_evicted_or_written() {
    let mut world = world(Shape { partitions: 4, segment_bytes: 8 << 20, ..Shape::default() });
    // Or what is written would be evicted at once.
    world.stores[0].config.tail_bytes_max = 16 << 20;
    for partition in 0..4 {
        for _ in 0..5 {
            assert!(world.append(partition, 30_000));
            world.settle(60);
        }
    }
    world.now = world.now.saturating_add(Duration::from_secs(1));
    world.settle(300);
    assert!(!world.stores[0].evictable.is_empty());
    for partition in 0..4 {
        let (shard, id) = world.ids[&partition];
        world.stores[shard].remove_partition(id);
    }
    world.settle(300);
    assert!(world.stores[0].evictable.is_empty());
    assert_eq!(world.stores[0].tail_memory.held_bytes(), 0);
}

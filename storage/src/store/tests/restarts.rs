//! What a restart finds in journals.

use super::*;

#[test]
fn records_of_the_journal_that_are_longer_than_one_read_are_recovered() {
    const PARTITIONS: u32 = 64;
    let shape = Shape {
        partitions: PARTITIONS,
        journal_file_bytes: 16 << 20,
        segment_bytes: 1 << 20,
        direct_bytes_min: 1 << 20,
        unwritten_bytes_max: 16 << 20,
        ..Shape::default()
    };
    let mut world = World::new(7, shape);
    world.start(1);
    // Each time they are one group; the first is too short to be one of a kind.
    for value_bytes in [100, 30_000, 30_000, 30_000] {
        for partition in 0..PARTITIONS {
            world.now = world.now.saturating_add(Duration::from_nanos(1));
            assert!(world.append(partition, value_bytes));
        }
        world.settle(40);
    }
    let longest = world.stores[0].statistics().commit_bytes.quantile(1000);
    assert!(longest > 1 << 20, "{longest} bytes in a group at most");
    world.crash(true);
    world.start(1);
    assert_eq!(world.news, [], "what is longer than one read is whole");
}

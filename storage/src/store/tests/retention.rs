//! What retention lets go of, and when its files go.

use std::path::Path;

use super::*;
use crate::answer::PartitionId;
use crate::config::LogConfig;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// A world with one partition that keeps records for a second, and none of it is durable before somebody asks.
fn brief() -> (World, PartitionId) {
    let mut world = world(Shape { partitions: 1, direct_bytes_min: 1 << 30, journal_files: 64, ..Shape::default() });
    world.compare = false;
    let (shard, id) = world.ids[&0];
    let config = LogConfig { retention_ms: Some(1000), ..world.log_config() };
    world.stores[shard].set_config(id, config);
    (world, id)
}

fn fill(world: &mut World) {
    for _ in 0..14 {
        assert!(world.append(0, 12_000));
        world.settle(20);
    }
}

/// Names of the segments that there are.
fn segments(world: &World) -> Vec<String> {
    let mut names = world.disk.names("topic0-0");
    names.retain(|name| Path::new(name).extension().is_some_and(|kind| kind == "log"));
    names
}

/// Maintenance comes around some times.
fn maintain(world: &mut World, id: PartitionId) {
    for _ in 0..4 {
        world.stores[0].maintain([id], Millis::new(DAY_MS));
        world.now = world.now.saturating_add(Duration::from_secs(2));
        world.settle(200);
    }
}

#[test]
fn retention_lets_go_of_the_last_records_too() {
    let (mut world, id) = brief();
    fill(&mut world);
    maintain(&mut world, id);
    let offsets = world.stores[0].partition(id).expect("open");
    assert_eq!(offsets.log_start, offsets.log_end);
    let last = segments(&world);
    assert_eq!(last.len(), 1, "{last:?}");
    world.crash(true);
    world.start(1);
    let id = world.ids[&0].1;
    let again = world.stores[0].partition(id).expect("open");
    assert_eq!((again.log_start, again.log_end), (offsets.log_start, offsets.log_end));
    // Whoever appends has a new segment, and the one before goes.
    let config = LogConfig { retention_ms: Some(1000), ..world.log_config() };
    world.stores[0].set_config(id, config);
    assert!(append_at(&mut world, DAY_MS));
    world.settle(100);
    maintain(&mut world, id);
    assert_eq!(segments(&world).len(), 1);
    assert_ne!(segments(&world), last);
    let offsets = world.stores[0].partition(id).expect("open");
    assert!(offsets.log_start < offsets.log_end);
}

#[test]
fn files_of_deleted_records_go_without_anything_else_happening() {
    let (mut world, id) = brief();
    let config = LogConfig { retention_ms: None, ..world.log_config() };
    world.stores[0].set_config(id, config);
    fill(&mut world);
    let end = world.stores[0].partition(id).expect("open").log_end;
    assert!(segments(&world).len() > 1);
    assert_eq!(world.stores[0].delete_records(id, Offset::UNKNOWN), Ok(end));
    maintain(&mut world, id);
    assert_eq!(segments(&world).len(), 1, "what lies wholly before the log start is gone");
}

fn append_at(world: &mut World, timestamp: i64) -> bool {
    let bytes = batch(100, 1, Producer::NONE, timestamp);
    let (view, _) = BatchView::parse(&bytes).expect("just built");
    let (shard, id) = world.ids[&0];
    let epoch = LeaderEpoch::new(0);
    world.stores[shard].append(id, (&view).into(), AppendOrigin::Client, epoch, Millis::new(timestamp)).is_ok()
}

/// What is appended then is not committed yet, and everything before it ends with the segment that goes.
#[test]
fn a_segment_that_goes_takes_no_place_along_from_which_commits_go_on() {
    let (mut world, id) = brief();
    fill(&mut world);
    // The next commit waits for a minute behind the one that tells where the log starts.
    world.stores[0].config.commit_interval = Duration::from_mins(1);
    maintain(&mut world, id);
    let end = world.stores[0].partition(id).expect("open").log_end;
    assert!(append_at(&mut world, DAY_MS), "it begins a segment");
    maintain(&mut world, id);
    assert_eq!(world.stores[0].known(id).segments.len(), 1, "the one before is gone");
    assert_eq!(world.stores[0].partition(id).expect("open").high_watermark, end);
    world.now = world.now.saturating_add(Duration::from_mins(1));
    world.settle(200);
    let offsets = world.stores[0].partition(id).expect("open");
    assert_eq!((offsets.log_start, offsets.high_watermark), (end, offsets.log_end));
    assert!(offsets.log_end > end);
}

//! How much a read brings, and whether it tells of more.

use std::collections::BTreeSet;

use super::{limits, world};
use crate::answer::{LookupOutcome, MinOneBatch, ReadEnd, ReadError, ReadLimits, ReadOutcome, ReadUpTo, StoreEvent};
use crate::io::{FileId, IoOp};
use crate::simulation::{Shape, World};
use crate::types::{Millis, Offset};

/// Reads a partition to its end, with so many bytes at most at a time: the bytes and the end of each read.
fn read_all(world: &mut World, bytes_max: usize) -> Vec<(usize, ReadEnd)> {
    let (shard, id) = world.ids[&0];
    let end = world.stores[shard].partition(id).expect("open").high_watermark;
    let mut reads = Vec::new();
    let mut at = Offset::ZERO;
    while at < end {
        let read = world.read(shard, id, at, ReadLimits { bytes_max, ..limits() }).expect("nothing is damaged");
        world.compare_read(0, at, &read);
        reads.push((read.bytes, read.end));
        at = read.next_offset;
    }
    let behind = world.read(shard, id, end, limits()).expect("the end is no error");
    assert_eq!((behind.bytes, behind.end), (0, ReadEnd::CaughtUp));
    reads
}

fn appended(segment_bytes: u32, batches: usize, value_bytes: usize) -> World {
    let mut world = world(Shape { partitions: 1, segment_bytes, ..Shape::default() });
    for _ in 0..batches {
        assert!(world.append(0, value_bytes));
        world.settle(60);
    }
    world
}

/// With nothing in memory.
fn restarted(mut world: World) -> World {
    world.compare = false;
    world.shut_down();
    world.start(1);
    world
}

#[test]
fn a_read_that_ends_with_its_segment_tells_that_there_is_more() {
    let check = |mut world: World| {
        let reads = read_all(&mut world, 1 << 20);
        let ends: Vec<ReadEnd> = reads.into_iter().map(|(_, end)| end).collect();
        assert_eq!(ends, [ReadEnd::More, ReadEnd::More, ReadEnd::CaughtUp]);
    };
    check(appended(64 << 10, 15, 10_000));
    check(restarted(appended(64 << 10, 15, 10_000)));
}

#[test]
fn a_read_that_its_limit_ends_says_so() {
    let mut world = appended(1 << 20, 4, 10_000);
    let (shard, id) = world.ids[&0];
    for (bytes_max, min_one_batch, batches) in
        [(25_000, MinOneBatch::Yes, 2), (5_000, MinOneBatch::Yes, 1), (5_000, MinOneBatch::No, 0)]
    {
        let limits = ReadLimits { bytes_max, min_one_batch, ..limits() };
        let read = world.read(shard, id, Offset::ZERO, limits).expect("nothing is damaged");
        assert_eq!((read.next_offset, read.end), (Offset::new(batches * 3), ReadEnd::Limit), "{bytes_max}");
    }
}

/// A read of the disk goes a little beyond its limit. That little alone is no answer to the next one.
#[test]
fn a_cold_reader_of_small_batches_gets_as_much_with_every_read() {
    let mut world = restarted(appended(8 << 20, 150, 2_000));
    let reads = read_all(&mut world, 64 << 10);
    let (last, others) = reads.split_last().expect("there is something");
    assert!(others.iter().all(|(bytes, _)| *bytes > 60 << 10), "{reads:?}");
    assert_eq!(last.1, ReadEnd::CaughtUp);
}

/// A file that is read under a name of its own stays open until that is closed.
#[test]
fn index_files_are_closed_once_they_are_read() {
    let mut world = restarted(appended(64 << 10, 60, 10_000));
    let (shard, id) = world.ids[&0];
    let segments = world.disk.names("topic0-0").iter().filter(|name| name.contains(".index")).count();
    assert!(segments > 5);
    let (mut read, mut open): (usize, BTreeSet<FileId>) = Default::default();
    let mut at = Offset::ZERO;
    while at < world.models[&0].acked {
        let _ = world.stores[shard].read(id, at, limits()).expect("nothing is damaged");
        for _ in 0..3 {
            while let Some(io) = world.stores[shard].poll_io(world.now) {
                match &io.op {
                    IoOp::Read { file, .. } if file.path.contains(".index") => {
                        read += 1;
                        open.insert(file.id);
                    }
                    IoOp::Close { file } => {
                        open.remove(&file.id);
                    }
                    _ => {}
                }
                let result = world.disk.perform(&io.op);
                world.stores[shard].io_done(io.id, result, world.now);
            }
        }
        at =
            world.models[&0].log.iter().find(|stored| stored.base > at).map_or(Offset::new(i64::MAX), |next| next.base);
    }
    assert_eq!((read, open.len()), (segments, 0));
}

#[test]
fn what_is_deleted_while_the_disk_is_read_is_out_of_range() {
    let mut world = restarted(appended(64 << 10, 15, 10_000));
    let (shard, id) = world.ids[&0];
    let end = world.models[&0].acked;
    let store = &mut world.stores[shard];
    let read = store.read(id, Offset::ZERO, limits()).expect("it is there");
    let lookup = store.offset_for_timestamp(id, Millis::new(0), ReadUpTo::HighWatermark).expect("it is there");
    let (ReadOutcome::Disk(read), LookupOutcome::Disk(lookup)) = (read, lookup) else { panic!("nothing is in memory") };
    assert_eq!(store.delete_records(id, Offset::UNKNOWN), Ok(end));
    world.settle(60);
    let mut errors = Vec::new();
    for (_, event) in std::mem::take(&mut world.events) {
        match event {
            StoreEvent::ReadReady { read: of, result } if of == read => errors.push(result.err()),
            StoreEvent::LookupReady { read: of, result } if of == lookup => errors.push(result.err()),
            _ => {}
        }
    }
    assert_eq!(errors, [Some(ReadError::OffsetOutOfRange { log_start: end, log_end: end }); 2]);
}

#[test]
fn a_partition_is_as_large_as_what_can_be_read_of_it() {
    let check = |mut world: World| {
        let read: usize = read_all(&mut world, 1 << 20).into_iter().map(|(bytes, _)| bytes).sum();
        let (shard, id) = world.ids[&0];
        let bytes = world.stores[shard].partition_bytes(id).expect("open");
        assert_eq!(bytes, u64::try_from(read).expect("a few kilobytes"));
        world.stores[shard].remove_partition(id);
        assert_eq!(world.stores[shard].partition_bytes(id), None);
    };
    check(appended(64 << 10, 15, 10_000));
    check(restarted(appended(64 << 10, 15, 10_000)));
}

//! What a store has done since its start, and what it holds now: plain numbers of one owner.

use ringlog_measure::{Durations, Sizes};

use crate::answer::PartitionOffsets;
use crate::types::Nanos;

/// What a store has done since its start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreStatistics {
    /// Time of each group commit, from when its writes are handed out to when the last of them has ended.
    pub commit_time: Durations,
    /// The last of them that has ended. When a high watermark moves because of one, it is that one.
    pub last_commit: CommitSpan,
    /// Bytes of batches in each group commit.
    pub commit_bytes: Sizes,
    /// Partitions of all group commits together.
    pub commit_partitions: u64,
    /// Bytes of batches that went to the journal.
    pub journaled_bytes: u64,
    /// Bytes of batches that a commit wrote straight to segments.
    pub direct_bytes: u64,
    /// Time of each group sync.
    pub sync_time: Durations,
    /// Reads and lookups that the tails in memory answered.
    pub reads_from_tail: u64,
    /// Those that the cache answered.
    pub reads_from_cache: u64,
    /// Those for which the disk was read.
    pub reads_from_disk: u64,
    /// Partitions that were fenced, because a write of theirs failed.
    pub fenced_partitions: u64,
}

/// The time of one group commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CommitSpan {
    /// When its writes were handed out.
    pub began: Nanos,
    /// When the last of them had ended.
    pub ended: Nanos,
}

/// What a store holds now, and how much it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreUsage {
    /// Bytes of journal files in use, of that which is being filled up to where it is.
    pub journal_bytes: u64,
    /// The most that the journal takes.
    pub journal_bytes_max: u64,
    /// Bytes appended and not in a segment yet.
    pub unwritten_bytes: u64,
    /// Above, appends wait.
    pub unwritten_bytes_max: u64,
    /// Memory of tails.
    pub tail_bytes: usize,
    /// Its budget.
    pub tail_bytes_max: usize,
    /// Memory of what was read and may be read again.
    pub cache_bytes: usize,
    /// Its budget.
    pub cache_bytes_max: usize,
    /// Reads under way at the disk.
    pub reads_in_flight: usize,
}

/// What one partition has in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionExtent {
    /// Its offsets.
    pub offsets: PartitionOffsets,
    /// Bytes of its batches, as far as their segments are kept.
    pub bytes: u64,
    /// Its segments.
    pub segments: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{MinOneBatch, ReadLimits, ReadUpTo};
    use crate::simulation::{Shape, World};
    use crate::types::Offset;

    #[test]
    fn what_a_store_does_is_counted() {
        let mut world = World::new(1, Shape { partitions: 2, ..Shape::default() });
        world.start(1);
        assert_eq!(world.stores[0].statistics(), &StoreStatistics::default());
        assert!(world.append(0, 100) && world.append(1, 100));
        world.settle(100);
        let counted = world.stores[0].statistics().clone();
        assert_eq!(counted.commit_partitions, 2);
        assert!((1..=2).contains(&counted.commit_time.count()));
        assert_eq!(counted.commit_time.count(), counted.commit_bytes.count());
        let last = counted.last_commit.ended.since(counted.last_commit.began).as_nanos();
        assert!(last <= u128::from(counted.commit_time.sum()));
        assert_eq!(counted.journaled_bytes + counted.direct_bytes, counted.commit_bytes.sum());
        let id = world.ids[&0].1;
        let extent = world.stores[0].partition_extent(id).expect("it is open");
        let other = world.stores[0].partition_extent(world.ids[&1].1).expect("it is open");
        assert_eq!(extent.bytes + other.bytes, counted.commit_bytes.sum());
        assert!(extent.segments >= 1 && extent.offsets.high_watermark == extent.offsets.log_end);
        let limits = ReadLimits { bytes_max: 1 << 20, min_one_batch: MinOneBatch::Yes, up_to: ReadUpTo::HighWatermark };
        world.stores[0].read(id, Offset::ZERO, limits).expect("it is there");
        assert_eq!(world.stores[0].statistics().reads_from_tail, 1);
        let usage = world.stores[0].usage();
        assert!(usage.journal_bytes > 0 && usage.journal_bytes <= usage.journal_bytes_max, "{usage:?}");
        assert!(usage.tail_bytes > 0 && usage.tail_bytes <= usage.tail_bytes_max);
    }
}

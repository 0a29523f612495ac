//! Which shard owns a partition.

use ringlog_storage::types::{PartitionIndex, ShardId, Uuid};

/// The shard that owns a partition. Always the same for the same arguments; consecutive partitions of one topic are on
/// consecutive shards, and topics begin on shards of their own choice, so that both few large and many small topics
/// spread evenly. The metadata log is always on shard 0, with its writer. Panics if there are no shards.
pub fn placement(topic_id: Uuid, partition: PartitionIndex, shard_count: u16) -> ShardId {
    assert!(shard_count > 0, "a broker has at least one shard");
    if topic_id == Uuid::METADATA_TOPIC {
        return ShardId::new(0);
    }
    // Topic ids are random bits, so that the first shard needs no hash.
    let first = topic_id.as_u128() % u128::from(shard_count);
    let partition = u128::from(partition.get().unsigned_abs());
    let shard = (first + partition) % u128::from(shard_count);
    ShardId::new(u16::try_from(shard).expect("a remainder is below its divisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_differ_by_one_at_most_between_shards() {
        for shard_count in [1, 2, 3, 7, 64] {
            for topic in 0..50_u128 {
                let id = Uuid::from_u128((topic + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
                let mut owned = vec![0; usize::from(shard_count)];
                for partition in 0..100 {
                    owned[placement(id, PartitionIndex::new(partition), shard_count).index()] += 1;
                }
                let (least, most) = (owned.iter().min().expect("some"), owned.iter().max().expect("some"));
                assert!(most - least <= 1, "{shard_count} shards: {owned:?}");
            }
        }
    }

    #[test]
    fn topics_of_one_partition_spread_too() {
        let mut owned = [0; 8];
        for topic in 0..8000_u128 {
            let id = Uuid::from_u128((topic + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
            owned[placement(id, PartitionIndex::new(0), 8).index()] += 1;
        }
        assert!(owned.iter().all(|count| (800..1200).contains(count)), "{owned:?}");
    }

    #[test]
    fn the_metadata_log_is_with_its_writer() {
        assert_eq!(placement(Uuid::METADATA_TOPIC, PartitionIndex::new(0), 5), ShardId::new(0));
    }
}

//! Which shard owns a partition, and what changes of that while the number of shards that own any does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_storage::PartitionKey;
use ringlog_storage::types::{PartitionIndex, ShardId, Uuid};

/// Where all partitions are. It is a rule and its exceptions: while the number of shards in use changes, every partition
/// that the new rule places elsewhere is one, until it has moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    in_use: u16,
    /// Shared, because every shard has it, and it changes less often than what is held.
    elsewhere: Arc<BTreeMap<PartitionKey, ShardId>>,
    held: BTreeSet<PartitionKey>,
}

impl Placement {
    /// Partitions on the first `in_use` shards. Panics if that is none.
    pub fn new(in_use: u16) -> Self {
        assert!(in_use > 0, "a broker has at least one shard");
        Self { in_use, elsewhere: Arc::default(), held: BTreeSet::new() }
    }

    /// The shards that own partitions are the first ones, so many.
    pub fn in_use(&self) -> u16 {
        self.in_use
    }

    /// The most of these partitions that one shard owns when the first `in_use` shards own all of them. Panics if that is
    /// none.
    pub fn most(in_use: u16, partitions: impl IntoIterator<Item = PartitionKey>) -> usize {
        let mut owned = vec![0; usize::from(in_use)];
        for key in partitions {
            owned[by_rule(key.topic_id, key.partition, in_use).index()] += 1;
        }
        owned.into_iter().max().expect("a broker has at least one shard")
    }

    /// The shard that owns a partition.
    pub fn owner(&self, key: PartitionKey) -> ShardId {
        if !self.elsewhere.is_empty()
            && let Some(shard) = self.elsewhere.get(&key)
        {
            return *shard;
        }
        by_rule(key.topic_id, key.partition, self.in_use)
    }

    /// Whether the partition is on its way from one shard to another: requests for it have to wait.
    pub fn is_held(&self, key: PartitionKey) -> bool {
        !self.held.is_empty() && self.held.contains(&key)
    }

    /// Whether any partition is on its way.
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// From now on the first `in_use` shards are to own all partitions. Those of `partitions`, which are all that there
    /// are, stay where they are until they are told to have [`arrived`](Self::arrived).
    pub fn change(&mut self, in_use: u16, partitions: impl IntoIterator<Item = PartitionKey>) {
        assert!(in_use > 0, "a broker has at least one shard");
        let moving = partitions.into_iter().map(|key| (key, self.owner(key)));
        let moving = moving.filter(|(key, now)| by_rule(key.topic_id, key.partition, in_use) != *now).collect();
        self.elsewhere = Arc::new(moving);
        self.held.clear();
        self.in_use = in_use;
    }

    /// Partitions that are not where they should be, and the shards that own them.
    pub fn to_move(&self) -> impl Iterator<Item = (PartitionKey, ShardId)> {
        self.elsewhere.iter().map(|(key, shard)| (*key, *shard))
    }

    /// Where the partition should be.
    pub fn destination(&self, key: PartitionKey) -> ShardId {
        by_rule(key.topic_id, key.partition, self.in_use)
    }

    /// Requests for these partitions have to wait.
    pub fn hold(&mut self, keys: impl IntoIterator<Item = PartitionKey>) {
        self.held.extend(keys);
    }

    /// These partitions are where they should be.
    pub fn arrived(&mut self, keys: impl IntoIterator<Item = PartitionKey>) {
        let elsewhere = Arc::make_mut(&mut self.elsewhere);
        for key in keys {
            elsewhere.remove(&key);
        }
    }

    /// Nobody has to wait any more: partitions that have not arrived stay where they were.
    pub fn let_go(&mut self) {
        self.held.clear();
    }
}

/// The shard that owns a partition. Always the same for the same arguments; consecutive partitions of one topic are on
/// consecutive shards, and topics begin on shards of their own choice, so that both few large and many small topics
/// spread evenly. The metadata log is always on shard 0, with its writer. Panics if there are no shards.
fn by_rule(topic_id: Uuid, partition: PartitionIndex, shard_count: u16) -> ShardId {
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
                    owned[by_rule(id, PartitionIndex::new(partition), shard_count).index()] += 1;
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
            owned[by_rule(id, PartitionIndex::new(0), 8).index()] += 1;
        }
        assert!(owned.iter().all(|count| (800..1200).contains(count)), "{owned:?}");
    }

    #[test]
    fn the_metadata_log_is_with_its_writer() {
        assert_eq!(by_rule(Uuid::METADATA_TOPIC, PartitionIndex::new(0), 5), ShardId::new(0));
    }

    #[test]
    fn the_fullest_shard_is_counted() {
        assert_eq!(Placement::most(1, keys(20)), 140);
        for shards in [2, 3, 7] {
            let rule = Placement::new(shards);
            let of = |shard| keys(20).filter(|key| rule.owner(*key) == ShardId::new(shard)).count();
            assert_eq!(Some(Placement::most(shards, keys(20))), (0..shards).map(of).max());
        }
        assert_eq!(Placement::most(3, []), 0);
    }

    fn keys(topics: u128) -> impl Iterator<Item = PartitionKey> {
        (1..=topics).flat_map(|topic| {
            (0..7).map(move |index| PartitionKey {
                topic_id: Uuid::from_u128(topic.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
                partition: PartitionIndex::new(index),
            })
        })
    }

    #[test]
    fn a_partition_is_where_it_was_until_it_has_arrived() {
        let mut placement = Placement::new(2);
        let before: BTreeMap<_, _> = keys(20).map(|key| (key, placement.owner(key))).collect();
        placement.change(3, keys(20));
        assert!(keys(20).all(|key| placement.owner(key) == before[&key]), "nothing has moved");
        let to_move: Vec<_> = placement.to_move().collect();
        assert!(!to_move.is_empty() && to_move.iter().all(|(key, from)| before[key] == *from));
        let first = to_move[0].0;
        placement.hold([first]);
        assert!(placement.is_held(first) && !placement.is_held(to_move[1].0));
        placement.arrived([first]);
        placement.let_go();
        assert_eq!(placement.owner(first), Placement::new(3).owner(first));
        placement.arrived(to_move.iter().map(|(key, _)| *key));
        assert_eq!(placement, Placement::new(3), "the rule alone tells where everything is");
    }

    #[test]
    fn what_could_not_move_is_still_found_after_the_next_change() {
        let mut placement = Placement::new(1);
        placement.change(4, keys(20));
        let stays = placement.to_move().next().expect("some move").0;
        let moved: Vec<_> = placement.to_move().map(|(key, _)| key).filter(|key| *key != stays).collect();
        placement.arrived(moved);
        placement.change(2, keys(20));
        assert_eq!(placement.owner(stays), ShardId::new(0), "it never left");
        placement.change(1, keys(20));
        assert!(placement.to_move().all(|(key, _)| key != stays), "it is where it should be again");
    }
}

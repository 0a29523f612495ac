//! Worlds in which topics are deleted and made again under their names. What was told to be deleted never comes back, and
//! what has its name is not touched by that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Shape, World, for_seeds};
use crate::answer::StoreEvent;
use crate::config::StoreConfig;
use crate::directory::LogDir;
use crate::io::IoOp;
use crate::journal::format::PartitionKey;
use crate::store::Store;
use crate::types::{Offset, PartitionIndex, ShardId, TopicPartition, Uuid};

/// Names of topics.
const NAMES: u32 = 3;

/// Topics by number: each that is made has the next one, and the name of the one before it that it replaces.
#[derive(Default)]
struct Topics {
    /// By name.
    live: BTreeMap<u32, u32>,
    names: Vec<u32>,
    /// Removed, and not told to be gone: by the shard and its id there.
    leaving: BTreeMap<(usize, crate::answer::PartitionId), u32>,
    gone: BTreeSet<u32>,
}

fn key(number: u32) -> PartitionKey {
    PartitionKey { topic_id: Uuid::from_u128(1_000_000 + u128::from(number)), partition: PartitionIndex::new(0) }
}

fn number(key: PartitionKey) -> u32 {
    u32::try_from(key.topic_id.as_u128() - 1_000_000).expect("small")
}

impl Topics {
    fn open(&self, world: &mut World, shard: usize, number: u32) {
        let name = TopicPartition::new(format!("topic{}", self.names[number_index(number)]), key(number).partition);
        let config = world.log_config();
        let id = world.stores[shard]
            .create_partition(name, key(number).topic_id, config, LogDir::HOME)
            .expect("there is room");
        world.ids.insert(number, (shard, id));
    }

    fn make(&mut self, world: &mut World, shard: usize, name: u32) {
        let number = u32::try_from(self.names.len()).expect("small");
        self.names.push(name);
        self.live.insert(name, number);
        self.open(world, shard, number);
        world.models.entry(number).or_default();
    }

    fn remove(&mut self, world: &mut World, name: u32) {
        let number = self.live.remove(&name).expect("it is live");
        let (shard, id) = world.ids.remove(&number).expect("it is open");
        world.stores[shard].remove_partition(id);
        world.waiting.retain(|(of, _)| *of != number);
        self.leaving.insert((shard, id), number);
    }

    fn take_events(&mut self, world: &mut World) {
        for (shard, event) in std::mem::take(&mut world.events) {
            if let StoreEvent::Removed { partition } = event
                && let Some(number) = self.leaving.remove(&(shard, partition))
            {
                self.gone.insert(number);
            }
        }
    }

    fn start(&mut self, world: &mut World, shards: u16) {
        world.ids.clear();
        self.leaving.clear();
        let recovered = loop {
            let crash = world.dice.one_in(8).then(|| world.dice.below(40));
            if let Some(recovered) = world.recover(crash) {
                break recovered;
            }
        };
        for (found, _) in recovered.partitions() {
            assert!(!self.gone.contains(&number(found)), "{} was deleted, and is back", number(found));
        }
        let spread = u32::try_from(world.dice.below(100)).expect("small");
        let shard_of = |name: u32| u16::try_from((name + spread) % u32::from(shards)).expect("small");
        let owner = |key: PartitionKey| ShardId::new(shard_of(self.names[number_index(number(key))]));
        let boots = recovered.into_shards(shards, owner);
        world.stores = boots.into_iter().map(|boot| Store::new(world.config(boot.shard), boot)).collect();
        world.out = world.stores.iter().map(|_| Vec::new()).collect();
        for number in self.live.values() {
            self.open(world, usize::from(shard_of(self.names[number_index(*number)])), *number);
        }
        for shard in 0..world.stores.len() {
            let unclaimed: Vec<_> = world.stores[shard].unclaimed().map(|(key, _)| key).collect();
            for key in unclaimed {
                match world.stores[shard].remove_unclaimed(key) {
                    Some(id) => drop(self.leaving.insert((shard, id), number(key))),
                    None => drop(self.gone.insert(number(key))),
                }
            }
        }
        world.compare_after_start();
    }
}

fn number_index(number: u32) -> usize {
    usize::try_from(number).expect("small")
}

fn work(world: &mut World, topics: &mut Topics) {
    let name = u32::try_from(world.dice.below(u64::from(NAMES))).expect("small");
    match (world.dice.below(40), topics.live.get(&name).copied()) {
        (0, Some(_)) => topics.remove(world, name),
        (1..=4, None) => {
            // As the broker does it: when the folder of the one before is free.
            let is_free = topics.leaving.values().all(|number| topics.names[number_index(*number)] != name);
            if is_free {
                let shard = world.dice.index(world.stores.len());
                topics.make(world, shard, name);
            }
        }
        (5..=18, Some(number)) => {
            let bytes = if world.dice.one_in(8) { 9000 + world.dice.index(20_000) } else { 1 + world.dice.index(2000) };
            world.append_of_any(number, bytes);
        }
        _ => {
            let shard = world.dice.index(world.stores.len());
            world.step(shard);
        }
    }
    topics.take_events(world);
}

fn live(seed: u64) {
    let mut world = World::new(seed, Shape::default());
    let mut topics = Topics::default();
    for _ in 0..2 + world.dice.below(5) {
        let shards = 1 + u16::try_from(world.dice.below(3)).expect("small");
        topics.start(&mut world, shards);
        for _ in 0..world.dice.below(500) {
            work(&mut world, &mut topics);
        }
        match world.dice.below(4) {
            0 => world.shut_down(),
            1 => world.crash(false),
            _ => world.crash(true),
        }
    }
    topics.start(&mut world, 1);
}

#[test]
fn what_is_deleted_does_not_come_back() {
    for_seeds(600_000, 200, live);
}

/// Only what recovery's checkpoint may tell is to be called deleted by the next ones.
#[test]
fn topics_that_come_and_go_leave_no_trace() {
    let mut world = World::new(1, Shape::default());
    let mut topics = Topics::default();
    topics.start(&mut world, 1);
    for round in 0..20 {
        topics.make(&mut world, 0, round % NAMES);
        assert!(world.append(round, 3000));
        world.settle(40);
        topics.remove(&mut world, round % NAMES);
        world.settle(40);
        topics.take_events(&mut world);
    }
    assert_eq!(topics.gone.len(), 20);
    let store = &world.stores[0];
    assert!(store.removed_keys.is_empty() && store.removing.is_empty() && store.by_dir.is_empty());
    topics.make(&mut world, 0, 0);
    assert!(world.append(20, 3000));
    world.shut_down();
    topics.start(&mut world, 1);
    // This one stands in the checkpoint of the start.
    topics.remove(&mut world, 0);
    assert_eq!(world.stores[0].removed_keys.iter().copied().collect::<Vec<_>>(), [key(20)]);
}

/// Removing takes no room: else the folder would stay, and be taken for that of the next partition of its name.
#[test]
fn what_nobody_wants_is_removed_although_there_is_no_room() {
    let mut world = World::new(1, Shape::default());
    let mut topics = Topics::default();
    topics.start(&mut world, 1);
    topics.make(&mut world, 0, 0);
    topics.make(&mut world, 0, 1);
    assert!(world.append(0, 100) && world.append(1, 100));
    world.shut_down();
    let recovered = world.recover(None).expect("nothing interrupts it");
    let config = StoreConfig { partitions_max: 1, ..world.config(ShardId::new(0)) };
    let boots = recovered.into_shards(1, |_| ShardId::new(0));
    world.stores = boots.into_iter().map(|boot| Store::new(config.clone(), boot)).collect();
    world.out = vec![Vec::new()];
    assert_eq!(world.stores[0].room(), 1);
    topics.open(&mut world, 0, 1);
    assert_eq!(world.stores[0].room(), 0);
    let log_config = world.log_config();
    let another = TopicPartition::new("another", PartitionIndex::new(0));
    let refused = world.stores[0].create_partition(another, Uuid::from_u128(9), log_config, LogDir::HOME);
    assert_eq!(refused, None, "there is no room");
    let id = world.stores[0].remove_unclaimed(key(0)).expect("there is something to wait for");
    world.go_on();
    let is_removed =
        |(_, event): &(usize, StoreEvent)| matches!(event, StoreEvent::Removed { partition } if *partition == id);
    assert!(world.events.iter().any(is_removed), "{:?}", world.events);
    assert!(!world.disk.names("").contains(&"topic0-0".to_owned()), "its folder's name is free");
    assert_eq!(world.stores[0].room(), 0, "its id was one too many");
}

/// A process that is killed when the journal tells that a partition is removed, and its folder is not renamed yet, leaves the
/// files behind: nothing in them is of the next partition of that name.
#[test]
fn what_a_removed_partition_has_left_is_not_taken_for_anothers() {
    let mut world = World::new(1, Shape::default());
    let mut topics = Topics::default();
    topics.start(&mut world, 1);
    topics.make(&mut world, 0, 0);
    (0..3).for_each(|_| assert!(world.append(0, 100)));
    world.shut_down();
    topics.start(&mut world, 1);
    topics.remove(&mut world, 0);
    let mut is_told = false;
    while let Some(io) = world.stores[0].poll_io(world.now) {
        if matches!(io.op, IoOp::Rename { .. }) {
            is_told = true;
            break;
        }
        let result = world.disk.perform(&io.op);
        world.stores[0].io_done(io.id, result, world.now);
    }
    assert!(is_told, "its folder was to be renamed");
    world.crash(false);
    topics.start(&mut world, 1);
    topics.make(&mut world, 0, 0);
    assert!(world.append(1, 100));
    world.go_on();
    let acked = world.models[&1].acked;
    assert!(acked > Offset::ZERO, "its batch is in the journal");
    world.crash(false);
    topics.start(&mut world, 1);
    assert_eq!(world.models[&1].acked, acked, "it has what it had");
}

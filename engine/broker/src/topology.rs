//! From an image to the partitions of this shard: opens those that are new to it, closes those that are gone, and hands
//! changed settings on.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use ringlog_cluster::config::{Durability, TopicConfig};
use ringlog_cluster::image::{Image, PartitionImage, TopicImage};
use ringlog_storage::config::{Durability as LogDurability, LogConfig};
use ringlog_storage::types::{PartitionIndex, TopicPartition, Uuid};

use crate::group::{self, GROUP_TOPIC, forget_topics};
use crate::partition::commit::{CommitCount, Commits};
use crate::partition::table::{PartitionKey, Slot};
use crate::places::{Ground, Plan};
use crate::settings::Settings;
use crate::shard::Shard;
use crate::state::State;

/// Removed partitions whose folders are not free although nobody waits for that any more: their shard's journal could not be
/// written. The next start finds them again, and brings back what they had, into those folders.
pub(crate) type TakenFolders = BTreeSet<TopicPartition>;

/// Closes what an image to come no longer has, and removes what recovery found of topics that are not in it: they were
/// deleted while their files were still there. When this ends, the folders are free for topics of the same names, whose
/// partitions other shards may own; but for those that it answers. It also answers what decides where new ones are placed.
pub(crate) async fn close_missing(shard: Shard, image: Arc<Image>) -> Ground {
    let removals = shard.with(|state| {
        let before = Arc::clone(&state.image);
        let removals = Rc::new(CommitCount::default());
        for change in image.topic_changes(&before, shard.settings().broker.node_id) {
            if let Some(gone) = change.before.filter(|before| change.now.is_none_or(|now| now.id != before.id)) {
                close(state, gone, &removals);
            }
        }
        let known =
            |key: &PartitionKey| key.topic_id == Uuid::METADATA_TOPIC || image.topic_by_id(key.topic_id).is_some();
        let unknown: Vec<_> = state.store.unclaimed().filter(|(key, _)| !known(key)).collect();
        for (key, name) in unknown {
            if let Some(id) = state.store.remove_unclaimed(key) {
                state.await_removal(id, name, &removals);
            }
        }
        removals
    });
    removals.settled().await;
    shard.with(|state| Ground {
        taken: state.taken_folders().collect(),
        partitions_by_dir: state.store.partitions_by_dir(),
        unplaced: unplaced(&shard, state, &image),
    })
}

/// Partitions of this shard that come with the image and lie nowhere yet. With one directory there is nothing to decide.
fn unplaced(shard: &Shard, state: &State, image: &Image) -> BTreeSet<PartitionKey> {
    let settings = shard.settings();
    if settings.log_dirs.len() == 1 {
        return BTreeSet::new();
    }
    let changes = image.topic_changes(&state.image, settings.broker.node_id);
    let topics = changes.into_iter().filter_map(|change| change.now);
    let keys = topics.flat_map(|topic| partitions(topic).map(|(key, _)| key).collect::<Vec<_>>());
    let is_new = |key: &PartitionKey| state.table.id(*key).is_none() && !state.store.is_recovered(*key);
    keys.filter(|key| shard.owner(*key) == shard.index() && is_new(key)).collect()
}

/// Puts an image in force on this shard, once [`close_missing`] has ended on all of them, with what they have answered. An
/// image that is older than the one in force changes nothing.
pub(crate) fn install(shard: &Shard, image: Arc<Image>, plan: &Plan) {
    shard.with(|state| {
        if image.offset() < state.image.offset() {
            return;
        }
        let before = Arc::clone(&state.image);
        let mut has_deletions = false;
        for change in image.topic_changes(&before, shard.settings().broker.node_id) {
            has_deletions |= change.before.is_some_and(|before| change.now.is_none_or(|now| now.id != before.id));
            if let Some(now) = change.now {
                open(shard, state, &image, now, plan);
            }
        }
        set_move_rate(shard, state, &image);
        if !image.has_quotas_of(&before) {
            shard.quotas().changed(&image);
        }
        state.image = image;
        if has_deletions {
            forget_topics(state, shard.both_clocks());
        }
    });
}

/// A shard moves partitions at its share of what the broker may.
fn set_move_rate(shard: &Shard, state: &mut State, image: &Image) {
    let settings = shard.settings();
    let layers = image.layers(settings.broker.node_id, &settings.fixed);
    let rate = layers.integer("replica.alter.log.dirs.io.max.bytes.per.second");
    let limit = u64::try_from(rate).ok().filter(|_| rate != i64::MAX);
    let shards = u64::try_from(shard.count()).expect("fits 64 bits");
    state.store.set_move_rate(limit.map(|limit| limit.div_ceil(shards)));
}

/// Closes the partitions of a topic that is gone. Those of other shards are not in the table.
fn close(state: &mut State, topic: &TopicImage, removals: &Rc<CommitCount>) {
    for (key, _) in partitions(topic) {
        state.table.forget_unopened(key);
        if let Some(id) = state.table.id(key) {
            state.end_waits(id);
            if *topic.name == *GROUP_TOPIC {
                state.groups.remove(key.partition);
            }
            state.table.remove(id);
            state.store.remove_partition(id);
            state.await_removal(id, TopicPartition::new(Arc::clone(&topic.name), key.partition), removals);
        }
    }
}

/// Opens this shard's partitions of a topic that are new, and brings the others up to date.
fn open(shard: &Shard, state: &mut State, image: &Image, topic: &Arc<TopicImage>, plan: &Plan) {
    let mut mine = partitions(topic).filter(|(key, _)| shard.owner(*key) == shard.index()).peekable();
    if mine.peek().is_none() {
        return;
    }
    let settings = shard.settings();
    let config = Arc::new(image.topic_config(&topic.name, settings.broker.node_id, &settings.fixed));
    let log = if topic.is_internal() { internal_log_config(&config, settings) } else { log_config(&config, settings) };
    for (key, partition) in mine {
        if let Some(id) = state.table.id(key) {
            let slot = state.table.get_mut(id).expect("every id of the table has its slot");
            slot.leader_epoch = partition.leader_epoch;
            slot.config = Arc::clone(&config);
            state.store.set_config(id, log.clone());
            continue;
        }
        let name = TopicPartition::new(Arc::clone(&topic.name), key.partition);
        if plan.taken.contains(&name) {
            if state.table.note_unopened(key) {
                tracing::error!(
                    topic = %topic.name,
                    partition = key.partition.get(),
                    "the folder belongs to a deleted partition of a shard whose journal could not be written, so this one                      takes no records until the broker is restarted"
                );
            }
            continue;
        }
        let Some(id) = state.store.create_partition(name, key.topic_id, log.clone(), plan.place(key)) else {
            tracing::error!(topic = %topic.name, partition = key.partition.get(), "the shard has too many partitions to open this one");
            continue;
        };
        state.table.forget_unopened(key);
        let (config, leader_epoch) = (Arc::clone(&config), partition.leader_epoch);
        let slot = Slot { key, topic: Arc::clone(&topic.name), config, leader_epoch, commits: Commits::default() };
        state.table.insert(id, slot);
        if *topic.name == *GROUP_TOPIC {
            state.groups.add(key.partition, id);
            shard.reactor().spawn(group::load(shard.clone(), key, id));
        }
    }
}

fn partitions(topic: &TopicImage) -> impl Iterator<Item = (PartitionKey, &PartitionImage)> {
    let key = |index| PartitionKey { topic_id: topic.id, partition: PartitionIndex::new(index) };
    (0..).zip(&topic.partitions).map(move |(index, partition)| (key(index), partition))
}

/// The settings of a topic of the brokers' own: always durable before it is answered.
pub(crate) fn internal_log_config(config: &TopicConfig, settings: &Settings) -> LogConfig {
    LogConfig { durability: LogDurability::Sync, ..log_config(config, settings) }
}

fn log_config(config: &TopicConfig, settings: &Settings) -> LogConfig {
    let limit = |value: i64| u64::try_from(value).ok();
    let flush = |value: i64| limit(value).filter(|_| value != i64::MAX);
    let segment_bytes_max = settings.store_sizes.as_ref().map_or(u32::MAX, |sizes| sizes.segment_bytes_max);
    LogConfig {
        segment_bytes: u32::try_from(config.segment_bytes).unwrap_or(u32::MAX).min(segment_bytes_max),
        segment_ms: config.segment_ms,
        index_interval_bytes: u32::try_from(config.index_interval_bytes).unwrap_or(u32::MAX),
        retention_ms: (config.retention_ms >= 0).then_some(config.retention_ms),
        retention_bytes: limit(config.retention_bytes),
        file_delete_delay_ms: limit(config.file_delete_delay_ms).unwrap_or(0),
        producer_id_expiration_ms: settings.broker.producer_id_expiration_ms,
        flush_messages: flush(config.flush_messages),
        flush_ms: flush(config.flush_ms),
        durability: match config.durability {
            Durability::Sync => LogDurability::Sync,
            Durability::Interval => LogDurability::Interval,
            Durability::None => LogDurability::None,
        },
    }
}

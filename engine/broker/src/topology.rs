//! From an image to the partitions of this shard: opens those that are new to it, closes those that are gone, and hands
//! changed settings on.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_cluster::config::{Durability, TopicConfig};
use ringlog_cluster::image::Image;
use ringlog_storage::answer::PartitionId;
use ringlog_storage::config::{Durability as LogDurability, LogConfig};
use ringlog_storage::types::{LeaderEpoch, PartitionIndex, TopicPartition, Uuid};

use crate::partition::commit::Commits;
use crate::partition::table::{PartitionKey, Slot};
use crate::settings::Settings;
use crate::shard::Shard;
use crate::state::State;

/// Puts an image in force on this shard. An image that is older than the one in force changes nothing.
pub(crate) fn install(shard: &Shard, image: Arc<Image>) {
    let wanted = wanted(shard, &image);
    shard.with(|state| {
        if image.offset() < state.image.offset() {
            return;
        }
        close_missing(state, &wanted);
        for (key, wanted) in wanted {
            open(state, key, wanted);
        }
        state.image = image;
    });
}

/// Removes what recovery found and the first image does not name: topics deleted while their files were still there.
pub(crate) fn remove_unclaimed(shard: &Shard) {
    shard.with(|state| {
        let unclaimed: Vec<_> = state.store.unclaimed().map(|(key, _)| key).collect();
        for key in unclaimed {
            state.store.remove_unclaimed(key);
        }
    });
}

struct Wanted {
    topic: Arc<str>,
    leader_epoch: LeaderEpoch,
    config: Arc<TopicConfig>,
    log: LogConfig,
}

/// What this shard owns by the image.
fn wanted(shard: &Shard, image: &Image) -> BTreeMap<PartitionKey, Wanted> {
    let settings = shard.settings();
    let mut wanted = BTreeMap::new();
    for topic in image.topics() {
        let mut config: Option<(Arc<TopicConfig>, LogConfig)> = None;
        for (index, partition) in (0..).zip(&topic.partitions) {
            let key = PartitionKey { topic_id: topic.id, partition: PartitionIndex::new(index) };
            if shard.owner(key) != shard.index() {
                continue;
            }
            let (config, log) = config.get_or_insert_with(|| {
                let config = image.topic_config(&topic.name, settings.broker.node_id, &settings.fixed);
                let log = if topic.is_internal() {
                    internal_log_config(&config, settings)
                } else {
                    log_config(&config, settings)
                };
                (Arc::new(config), log)
            });
            let (config, log) = (Arc::clone(config), log.clone());
            wanted.insert(
                key,
                Wanted { topic: Arc::clone(&topic.name), leader_epoch: partition.leader_epoch, config, log },
            );
        }
    }
    wanted
}

fn close_missing(state: &mut State, wanted: &BTreeMap<PartitionKey, Wanted>) {
    let is_missing = |key: &PartitionKey| key.topic_id != Uuid::METADATA_TOPIC && !wanted.contains_key(key);
    let missing: Vec<PartitionId> = state.table.keys().filter(|(key, _)| is_missing(key)).map(|(_, id)| id).collect();
    for id in missing {
        state.end_waits(id);
        state.table.remove(id);
        state.store.remove_partition(id);
    }
}

fn open(state: &mut State, key: PartitionKey, wanted: Wanted) {
    let Wanted { topic, leader_epoch, config, log } = wanted;
    if let Some(id) = state.table.id(key) {
        let slot = state.table.get_mut(id).expect("every id of the table has its slot");
        slot.leader_epoch = leader_epoch;
        if slot.config != config {
            slot.config = config;
            state.store.set_config(id, log);
        }
        return;
    }
    let name = TopicPartition::new(Arc::clone(&topic), key.partition);
    let Some(id) = state.store.create_partition(name, key.topic_id, log) else {
        tracing::error!(%topic, partition = key.partition.get(), "the shard has too many partitions to open this one");
        return;
    };
    state.table.insert(id, Slot { key, topic, config, leader_epoch, commits: Commits::default() });
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

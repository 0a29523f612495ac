//! From an image to the partitions of this shard: opens those that are new to it, closes those that are gone, and hands
//! changed settings on.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use ringlog_cluster::config::{Durability, RecorderConfig, TopicConfig, log_dir_move_bytes_per_second};
use ringlog_cluster::image::{Image, PartitionImage, TopicImage};
use ringlog_storage::LogDir;
use ringlog_storage::config::{Durability as LogDurability, LogConfig};
use ringlog_storage::types::{TopicPartition, Uuid};

use crate::connection_limits;
use crate::countdown::Countdown;
use crate::group::{self, GROUP_TOPIC, topics_deleted};
use crate::limits::INTERNAL_SEGMENT_BYTES_MIN;
use crate::lines::repeated;
use crate::metrics::counters::Traffic;
use crate::partition::commit::Commits;
use crate::partition::table::{PartitionKey, Slot};
use crate::places::{Ground, Plan};
use crate::settings::Settings;
use crate::shard::Shard;
use crate::state::State;
use crate::topics::partitions;

/// Removed partitions whose folders are not free although nobody waits for that any more: their shard's journal could not be
/// written. The next start finds them again, and brings back what they had, into those folders.
pub(crate) type TakenFolders = BTreeSet<TopicPartition>;

/// Closes what an image to come no longer has, and removes what recovery found of topics that are not in it: they were
/// deleted while their files were still there. When this ends, the folders are free for topics of the same names, whose
/// partitions other shards may own; but for those that it answers. It also answers what decides where new ones are placed.
pub(crate) async fn close_missing(shard: Shard, image: Arc<Image>) -> Ground {
    let removals = shard.with(|state| {
        let before = Arc::clone(&state.image);
        let removals = Rc::new(Countdown::default());
        let partitions_before = state.table.count();
        for change in image.topic_changes(&before, shard.settings().broker.node_id) {
            if let Some(gone) = change.before.filter(|before| change.now.is_none_or(|now| now.id != before.id)) {
                close(state, gone, &removals);
            }
        }
        tell_changes(state, partitions_before - state.table.count(), "closed");
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
        let partitions_before = state.table.count();
        for change in image.topic_changes(&before, shard.settings().broker.node_id) {
            if let Some(gone) = change.before.filter(|before| change.now.is_none_or(|now| now.id != before.id)) {
                has_deletions = true;
                shard.with_counters(|counters| counters.sent.forget(&gone.name, gone.id));
            }
            if let Some(now) = change.now {
                open(shard, state, &image, now, plan);
                for (key, _) in partitions(now).filter(|(key, _)| shard.owner(*key) != shard.index()) {
                    state.store.forget_orphan(&TopicPartition::new(Arc::clone(&now.name), key.partition));
                }
            }
        }
        // Those that are gone were closed before.
        tell_changes(state, state.table.count() - partitions_before, "opened as leader");
        set_move_rate(shard, state, &image);
        shard.recorder().set(RecorderConfig::new(&shard.settings().layers(&image)));
        if !image.has_quotas_of(&before) {
            shard.quotas().changed(&image);
        }
        connection_limits::install(shard, state, &image, &before);
        state.image = image;
        if has_deletions {
            topics_deleted(state);
        }
    });
    shard.resize_bell().ring();
}

/// The share of a shard is another one when another number of them is in use.
pub(crate) fn renew_move_rate(shard: &Shard) {
    shard.with(|state| {
        let image = Arc::clone(&state.image);
        set_move_rate(shard, state, &image);
    });
}

/// A shard moves partitions at its share of what the broker may.
fn set_move_rate(shard: &Shard, state: &mut State, image: &Image) {
    let settings = shard.settings();
    let layers = settings.layers(image);
    let limit = log_dir_move_bytes_per_second(&layers);
    let shards = u64::from(shard.routes().placement().in_use());
    state.store.set_move_rate(limit.map(|limit| limit.div_ceil(shards)));
}

/// Closes the partitions of a topic that is gone. Those of other shards are not in the table.
fn close(state: &mut State, topic: &TopicImage, removals: &Rc<Countdown>) {
    for (key, _) in partitions(topic) {
        state.table.forget_unserved(key);
        if let Some(id) = state.table.id(key) {
            tell_state(topic, key, "closed");
            state.end_waits(id);
            if *topic.name == *GROUP_TOPIC {
                state.groups.remove(key.partition);
            }
            let slot = state.table.remove(id).expect("every id of the table has its slot");
            state.gone_traffic.merge(&slot.traffic);
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
    let (config, log) = configs(shard, image, topic);
    for (key, partition) in mine {
        if let Some(id) = state.table.id(key) {
            let slot = state.table.get_mut(id).expect("every id of the table has its slot");
            slot.leader_epoch = partition.leader_epoch;
            slot.config = Arc::clone(&config);
            state.store.set_config(id, log.clone());
            continue;
        }
        if plan.taken.contains(&TopicPartition::new(Arc::clone(&topic.name), key.partition)) {
            if state.table.note_unopened(key) {
                tell_not_opened(
                    state,
                    topic,
                    key,
                    "its folder belongs to a deleted partition of a shard whose journal could not be written",
                );
            }
            continue;
        }
        open_one(shard, state, topic, key, partition, (Arc::clone(&config), log.clone()), plan.place(key));
    }
}

/// What topics ask of batches, and of their logs, looked up once for each.
pub(crate) type TopicConfigs = BTreeMap<Uuid, (Arc<TopicConfig>, LogConfig)>;

/// Opens a partition that this shard has taken over from another.
pub(crate) fn open_adopted(shard: &Shard, state: &mut State, key: PartitionKey, known: &mut TopicConfigs) {
    let image = Arc::clone(&state.image);
    let topic = image.topic_by_id(key.topic_id).expect("no topic is deleted while its partitions move");
    let partition = topic.partition(key.partition).expect("a topic keeps its partitions");
    let configs = known.entry(key.topic_id).or_insert_with(|| configs(shard, &image, topic)).clone();
    // It lies where it lay.
    open_one(shard, state, topic, key, partition, configs, LogDir::HOME);
}

/// What the topic asks of batches, and of its logs.
fn configs(shard: &Shard, image: &Image, topic: &TopicImage) -> (Arc<TopicConfig>, LogConfig) {
    let settings = shard.settings();
    let config = Arc::new(image.topic_config(&topic.name, settings.broker.node_id, &settings.fixed));
    let log = if topic.is_internal() { internal_log_config(&config, settings) } else { log_config(&config, settings) };
    (config, log)
}

fn open_one(
    shard: &Shard,
    state: &mut State,
    topic: &TopicImage,
    key: PartitionKey,
    partition: &PartitionImage,
    (config, log): (Arc<TopicConfig>, LogConfig),
    place: LogDir,
) {
    let name = TopicPartition::new(Arc::clone(&topic.name), key.partition);
    let Some(id) = state.store.create_partition(name, key.topic_id, log, place) else {
        tell_not_opened(state, topic, key, "the shard has too many partitions; run more shards, or delete topics");
        return;
    };
    state.table.forget_unserved(key);
    tell_state(topic, key, "opened as leader");
    let leader_epoch = partition.leader_epoch;
    let (topic_name, commits, traffic) = (Arc::clone(&topic.name), Commits::default(), Traffic::default());
    let slot = Slot { key, topic: topic_name, config, leader_epoch, commits, traffic };
    state.table.insert(id, slot);
    if *topic.name == *GROUP_TOPIC {
        state.groups.add(key.partition, id);
        shard.reactor().spawn(group::load(shard.clone(), key, id));
    }
}

/// [`STATE_CHANGE_LOGGER`](ringlog_cluster::config::STATE_CHANGE_LOGGER), as a path of modules.
const STATE_CHANGES: &str = "state::change::logger";

fn tell_state(topic: &TopicImage, key: PartitionKey, change: &str) {
    let partition = topic.partitions.get(usize::try_from(key.partition.get()).unwrap_or(usize::MAX));
    tracing::debug!(
        target: STATE_CHANGES,
        topic = &*topic.name,
        topic_id = %topic.id,
        partition = key.partition.get(),
        leader_epoch = partition.map(|partition| partition.leader_epoch.get()),
        "partition {change}"
    );
}

/// Sums up what an image changed on this shard.
fn tell_changes(state: &State, partitions: usize, change: &str) {
    if partitions > 0 {
        repeated!(
            state.lines, PartitionsMoved, "changes of partitions", target: STATE_CHANGES, INFO,
            partitions,
            "partitions {change}"
        );
    }
}

fn tell_not_opened(state: &State, topic: &TopicImage, key: PartitionKey, reason: &str) {
    repeated!(
        state.lines,
        PartitionNotOpened,
        "partitions that are not opened",
        ERROR,
        topic = &*topic.name,
        partition = key.partition.get(),
        "the partition takes no records until the broker is restarted: {reason}"
    );
}

/// The settings of a topic of the brokers' own: always durable before it is answered, with segments that have room for the
/// largest decision, and all of it kept, whatever is configured. A store whose sizes are given has those.
pub(crate) fn internal_log_config(config: &TopicConfig, settings: &Settings) -> LogConfig {
    let log = log_config(config, settings);
    let segment_bytes_min = settings.store_sizes.as_ref().map_or(INTERNAL_SEGMENT_BYTES_MIN, |_| 0);
    LogConfig {
        durability: LogDurability::Sync,
        segment_bytes: log.segment_bytes.max(segment_bytes_min),
        retention_ms: None,
        retention_bytes: None,
        ..log
    }
}

fn log_config(config: &TopicConfig, settings: &Settings) -> LogConfig {
    let limit = |value: i64| u64::try_from(value).ok();
    let flush = |value: i64| limit(value).filter(|_| value != i64::MAX);
    let segment_bytes_max = settings.store_sizes.as_ref().map_or(u32::MAX, |sizes| sizes.segment_bytes_max);
    LogConfig {
        segment_bytes: u32::try_from(config.segment_bytes).unwrap_or(u32::MAX).min(segment_bytes_max),
        segment_ms: config.segment_ms,
        index_interval_bytes: u32::try_from(config.index_interval_bytes).unwrap_or(u32::MAX),
        // A topic that keeps the last record of every key loses none to age or size.
        retention_ms: (config.cleanup.delete && config.retention_ms >= 0).then_some(config.retention_ms),
        retention_bytes: limit(config.retention_bytes).filter(|_| config.cleanup.delete),
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

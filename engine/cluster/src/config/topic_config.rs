//! A topic's configuration as the partition log and the produce path want it: parsed once, when it changes.

use super::describe::topic_value;
use super::layers::{ConfigLayers, ConfigMap};
use super::value::Value;

/// Everything in a topic's configuration that acts here. Times in milliseconds; `i64::MAX` and, for retention, -1 mean
/// without limit, as Kafka writes them.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// `compression.type` and its levels.
    pub compression: TopicCompression,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `ringlog.durability`.
    pub durability: Durability,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `flush.messages`.
    pub flush_messages: i64,
    /// `flush.ms`.
    pub flush_ms: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: i64,
    /// `max.compaction.lag.ms`.
    pub compaction_lag_ms_max: i64,
    /// `min.compaction.lag.ms`.
    pub compaction_lag_ms_min: i64,
    /// `max.message.bytes`.
    pub message_bytes_max: i64,
    /// `max.decompressed.message.bytes`.
    pub message_decompressed_bytes_max: i64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_ms_max: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_ms_max: i64,
    /// `min.cleanable.dirty.ratio`.
    pub cleanable_dirty_ratio_min: f64,
    /// `min.insync.replicas`.
    pub insync_replicas_min: i64,
    /// `retention.bytes`; negative is without limit.
    pub retention_bytes: i64,
    /// `retention.ms`; -1 is without limit.
    pub retention_ms: i64,
    /// `segment.bytes`.
    pub segment_bytes: i64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
}

/// What happens to old segments. Neither means that they are kept for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CleanupPolicy {
    /// Retention deletes them.
    pub delete: bool,
    /// Compaction keeps each key's last record.
    pub compact: bool,
}

/// The codec of stored batches, with the level to compress at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicCompression {
    /// Whatever the producer chose.
    Producer,
    /// None.
    Uncompressed,
    /// gzip; -1 is the codec's default level.
    Gzip(i64),
    /// snappy, which has no levels.
    Snappy,
    /// lz4.
    Lz4(i64),
    /// zstd.
    Zstd(i64),
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// The records are on durable storage.
    Sync,
    /// They will be there within `flush.ms` or `flush.messages`.
    Interval,
    /// They are in memory, as Kafka has it by default.
    None,
}

/// Whose clock a record's timestamp is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

impl TopicConfig {
    /// The values in force of a topic with these settings of its own.
    pub fn new(settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Self {
        let values = Values { settings, layers };
        Self {
            cleanup: values.cleanup(),
            compression: values.compression(),
            delete_retention_ms: values.integer("delete.retention.ms"),
            durability: match values.text("ringlog.durability").as_str() {
                "none" => Durability::None,
                "interval" => Durability::Interval,
                _ => Durability::Sync,
            },
            file_delete_delay_ms: values.integer("file.delete.delay.ms"),
            flush_messages: values.integer("flush.messages"),
            flush_ms: values.integer("flush.ms"),
            index_interval_bytes: values.integer("index.interval.bytes"),
            compaction_lag_ms_max: values.integer("max.compaction.lag.ms"),
            compaction_lag_ms_min: values.integer("min.compaction.lag.ms"),
            message_bytes_max: values.integer("max.message.bytes"),
            message_decompressed_bytes_max: values.integer("max.decompressed.message.bytes"),
            timestamp_type: match values.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_ms_max: values.integer("message.timestamp.before.max.ms"),
            timestamp_after_ms_max: values.integer("message.timestamp.after.max.ms"),
            cleanable_dirty_ratio_min: values.double("min.cleanable.dirty.ratio"),
            insync_replicas_min: values.integer("min.insync.replicas"),
            retention_bytes: values.integer("retention.bytes"),
            retention_ms: values.integer("retention.ms"),
            segment_bytes: values.integer("segment.bytes"),
            segment_jitter_ms: values.integer("segment.jitter.ms"),
            segment_ms: values.integer("segment.ms"),
            unclean_leader_election: values.boolean("unclean.leader.election.enable"),
        }
    }
}

struct Values<'a> {
    settings: &'a ConfigMap,
    layers: &'a ConfigLayers<'a>,
}

impl Values<'_> {
    fn value(&self, name: &str) -> Value {
        topic_value(name, self.settings, self.layers).unwrap_or_else(|| panic!("{name} is null"))
    }

    fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Integer(value) => value,
            other => panic!("{name} is not a number but {other:?}"),
        }
    }

    fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Double(value) => value,
            other => panic!("{name} is not a decimal number but {other:?}"),
        }
    }

    fn boolean(&self, name: &str) -> bool {
        self.value(name) == Value::Boolean(true)
    }

    fn text(&self, name: &str) -> String {
        self.value(name).to_string()
    }

    fn cleanup(&self) -> CleanupPolicy {
        let Value::List(policies) = self.value("cleanup.policy") else { panic!("cleanup.policy is not a list") };
        let has = |name: &str| policies.iter().any(|policy| policy == name);
        CleanupPolicy { delete: has("delete"), compact: has("compact") }
    }

    fn compression(&self) -> TopicCompression {
        match self.text("compression.type").as_str() {
            "uncompressed" => TopicCompression::Uncompressed,
            "gzip" => TopicCompression::Gzip(self.integer("compression.gzip.level")),
            "snappy" => TopicCompression::Snappy,
            "lz4" => TopicCompression::Lz4(self.integer("compression.lz4.level")),
            "zstd" => TopicCompression::Zstd(self.integer("compression.zstd.level")),
            _ => TopicCompression::Producer,
        }
    }
}

#[cfg(test)]
mod tests;

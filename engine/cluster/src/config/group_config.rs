//! The settings of a broker that its group coordinators follow.

use super::layers::ConfigLayers;

/// What group coordinators are configured with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i64,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i64,
    /// `group.max.size`.
    pub classic_members_max: i64,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i64,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: i64,
    /// `offsets.retention.minutes`.
    pub offsets_retention_minutes: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: i64,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i64,
    /// `offsets.topic.segment.bytes`.
    pub offsets_topic_segment_bytes: i64,
}

impl GroupConfig {
    /// The values in force.
    pub fn new(layers: &ConfigLayers<'_>) -> Self {
        Self {
            session_timeout_ms_min: layers.integer("group.min.session.timeout.ms"),
            session_timeout_ms_max: layers.integer("group.max.session.timeout.ms"),
            classic_members_max: layers.integer("group.max.size"),
            initial_rebalance_delay_ms: layers.integer("group.initial.rebalance.delay.ms"),
            offset_metadata_bytes_max: layers.integer("offset.metadata.max.bytes"),
            offsets_retention_minutes: layers.integer("offsets.retention.minutes"),
            offsets_retention_check_interval_ms: layers.integer("offsets.retention.check.interval.ms"),
            offsets_topic_partitions: layers.integer("offsets.topic.num.partitions"),
            offsets_topic_segment_bytes: layers.integer("offsets.topic.segment.bytes"),
        }
    }
}

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
    /// `group.consumer.max.size`.
    pub consumer_members_max: i64,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: i64,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: i64,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
    /// `group.consumer.assignors`, the default first.
    pub consumer_assignors: Vec<String>,
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

/// Which groups with members may change their protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MigrationPolicy {
    /// From classic to consumer.
    pub upgrades: bool,
    /// From consumer to classic.
    pub downgrades: bool,
}

impl MigrationPolicy {
    fn new(name: &str) -> Self {
        let is_one_of = |names: [&str; 2]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        Self {
            upgrades: is_one_of(["upgrade", "bidirectional"]),
            downgrades: is_one_of(["downgrade", "bidirectional"]),
        }
    }
}

impl GroupConfig {
    /// The values in force.
    pub fn new(layers: &ConfigLayers<'_>) -> Self {
        Self {
            session_timeout_ms_min: layers.integer("group.min.session.timeout.ms"),
            session_timeout_ms_max: layers.integer("group.max.session.timeout.ms"),
            classic_members_max: layers.integer("group.max.size"),
            initial_rebalance_delay_ms: layers.integer("group.initial.rebalance.delay.ms"),
            consumer_members_max: layers.integer("group.consumer.max.size"),
            consumer_session_timeout_ms: layers.integer("group.consumer.session.timeout.ms"),
            consumer_heartbeat_interval_ms: layers.integer("group.consumer.heartbeat.interval.ms"),
            migration: MigrationPolicy::new(&layers.text("group.consumer.migration.policy")),
            consumer_assignors: layers.list("group.consumer.assignors"),
            offset_metadata_bytes_max: layers.integer("offset.metadata.max.bytes"),
            offsets_retention_minutes: layers.integer("offsets.retention.minutes"),
            offsets_retention_check_interval_ms: layers.integer("offsets.retention.check.interval.ms"),
            offsets_topic_partitions: layers.integer("offsets.topic.num.partitions"),
            offsets_topic_segment_bytes: layers.integer("offsets.topic.segment.bytes"),
        }
    }

    /// The assignor of consumer groups whose members ask for none.
    pub fn default_assignor(&self) -> &str {
        self.consumer_assignors.first().map_or("uniform", String::as_str)
    }
}

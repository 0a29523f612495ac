//! The settings of a broker that its group coordinators follow.

use super::keys::group_key;
use super::layers::{ConfigLayers, ConfigMap};
use super::value::Value;

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
    /// `group.consumer.min.session.timeout.ms`.
    pub consumer_session_timeout_ms_min: i64,
    /// `group.consumer.max.session.timeout.ms`.
    pub consumer_session_timeout_ms_max: i64,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: i64,
    /// `group.consumer.min.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms_min: i64,
    /// `group.consumer.max.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms_max: i64,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
    /// `group.consumer.assignors`, the default first.
    pub consumer_assignors: Vec<String>,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: i64,
    /// `offsets.commit.timeout.ms`.
    pub offsets_commit_timeout_ms: i64,
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
            consumer_session_timeout_ms_min: layers.integer("group.consumer.min.session.timeout.ms"),
            consumer_session_timeout_ms_max: layers.integer("group.consumer.max.session.timeout.ms"),
            consumer_heartbeat_interval_ms: layers.integer("group.consumer.heartbeat.interval.ms"),
            migration: MigrationPolicy::new(&layers.text("group.consumer.migration.policy")),
            consumer_heartbeat_interval_ms_min: layers.integer("group.consumer.min.heartbeat.interval.ms"),
            consumer_heartbeat_interval_ms_max: layers.integer("group.consumer.max.heartbeat.interval.ms"),
            consumer_assignors: layers.list("group.consumer.assignors"),
            offset_metadata_bytes_max: layers.integer("offset.metadata.max.bytes"),
            offsets_commit_timeout_ms: layers.integer("offsets.commit.timeout.ms"),
            offsets_retention_minutes: layers.integer("offsets.retention.minutes"),
            offsets_retention_check_interval_ms: layers.integer("offsets.retention.check.interval.ms"),
            offsets_topic_partitions: layers.integer("offsets.topic.num.partitions"),
            offsets_topic_segment_bytes: layers.integer("offsets.topic.segment.bytes"),
        }
    }

    /// How long a member of the consumer group with these settings may be silent.
    pub fn consumer_session_timeout_ms_of(&self, group: &ConfigMap) -> i64 {
        let (least, most) = (self.consumer_session_timeout_ms_min, self.consumer_session_timeout_ms_max);
        own(group, "consumer.session.timeout.ms", least, most).unwrap_or(self.consumer_session_timeout_ms)
    }

    /// The heartbeat interval of the members of the consumer group with these settings.
    pub fn consumer_heartbeat_interval_ms_of(&self, group: &ConfigMap) -> i64 {
        let (least, most) = (self.consumer_heartbeat_interval_ms_min, self.consumer_heartbeat_interval_ms_max);
        own(group, "consumer.heartbeat.interval.ms", least, most).unwrap_or(self.consumer_heartbeat_interval_ms)
    }

    /// The assignor of consumer groups whose members ask for none.
    pub fn default_assignor(&self) -> &str {
        self.consumer_assignors.first().map_or("uniform", String::as_str)
    }
}

/// What a group has set itself, within the bounds of the broker: they may have been changed since.
fn own(group: &ConfigMap, name: &str, least: i64, most: i64) -> Option<i64> {
    match group_key(name)?.parse(group.get(name)?) {
        Ok(Value::Integer(value)) => Some(value.min(most).max(least)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, StaticConfig};

    #[test]
    fn a_group_s_own_settings_count_within_the_bounds_of_the_broker() {
        let check = |set: &[&str], group: &[(&str, &str)], session, heartbeat| {
            let set: Vec<String> = set.iter().map(|setting| (*setting).to_owned()).collect();
            let sources = Sources { set: &set, ..Sources::default() };
            let (fixed, _) = StaticConfig::load(&sources).expect("every value is valid");
            let config = GroupConfig::new(&ConfigLayers::of_start(&fixed));
            let group = group.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(config.consumer_session_timeout_ms_of(&group), session, "{set:?} {group:?}");
            assert_eq!(config.consumer_heartbeat_interval_ms_of(&group), heartbeat, "{set:?} {group:?}");
        };
        let group = [("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "5500")];
        check(&[], &[], 45_000, 5000);
        check(&[], &group, 50_000, 5500);
        check(&["group.consumer.max.session.timeout.ms=46000"], &group, 46_000, 5500);
        check(&["group.consumer.min.heartbeat.interval.ms=6000"], &group, 50_000, 6000);
        check(&["group.consumer.session.timeout.ms=46000"], &group[1..], 46_000, 5500);
        check(&[], &[("consumer.session.timeout.ms", "of another release")], 45_000, 5000);
    }
}

//! The typed configuration of a topic.

use super::*;
use crate::config::StaticConfig;

fn parse(settings: &[(&str, &str)]) -> TopicConfig {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    TopicConfig::new(&settings, &ConfigLayers::of_start(&StaticConfig::default()))
}

#[test]
fn defaults_are_kafka_s_and_durability_is_ours() {
    let config = parse(&[]);
    assert_eq!(config.cleanup, CleanupPolicy { delete: true, compact: false });
    assert_eq!(config.compression, TopicCompression::Producer);
    assert_eq!(config.durability, Durability::Sync);
    assert_eq!(config.timestamp_type, TimestampType::CreateTime);
    assert_eq!((config.retention_ms, config.retention_bytes), (604_800_000, -1));
    assert_eq!((config.segment_bytes, config.message_bytes_max), (1 << 30, 1_048_588));
    assert_eq!((config.flush_ms, config.flush_messages), (i64::MAX, i64::MAX));
    assert_eq!((config.timestamp_before_ms_max, config.timestamp_after_ms_max), (i64::MAX, 3_600_000));
}

#[test]
fn a_topic_s_own_settings_count() {
    let config = parse(&[
        ("cleanup.policy", "compact,delete"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "-5"),
        ("message.timestamp.type", "LogAppendTime"),
        ("ringlog.durability", "interval"),
        ("unclean.leader.election.enable", "true"),
    ]);
    assert_eq!(config.cleanup, CleanupPolicy { delete: true, compact: true });
    assert_eq!(config.compression, TopicCompression::Zstd(-5));
    assert_eq!((config.timestamp_type, config.durability), (TimestampType::LogAppendTime, Durability::Interval));
    assert!(config.unclean_leader_election);
    assert_eq!(parse(&[("cleanup.policy", "")]).cleanup, CleanupPolicy { delete: false, compact: false });
}

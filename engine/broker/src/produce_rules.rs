//! What a topic's configuration asks of the batches that are produced to it.

use ringlog_cluster::config::{TimestampType, TopicCompression, TopicConfig};
use ringlog_storage::batch::codec::{Codec, Compression};
use ringlog_storage::batch::validate::{CompressionRule, KeyRule, ProduceRules, TimestampRule};

/// The most that one batch may decompress to, in bytes: more than a hundred times what a topic accepts by default.
const PLAIN_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The rules for a request of `produce_version`.
pub(crate) fn produce_rules(config: &TopicConfig, produce_version: i16) -> ProduceRules {
    let bytes = |limit: i64| usize::try_from(limit).unwrap_or(0);
    ProduceRules {
        produce_version,
        batch_bytes_max: bytes(config.message_bytes_max),
        plain_bytes_max: PLAIN_BYTES_MAX,
        record_bytes_max: bytes(config.message_decompressed_bytes_max),
        keys: if config.cleanup.compact { KeyRule::Required } else { KeyRule::Optional },
        timestamps: match config.timestamp_type {
            TimestampType::LogAppendTime => TimestampRule::LogAppendTime,
            TimestampType::CreateTime => TimestampRule::CreateTime {
                before_max_ms: config.timestamp_before_ms_max,
                after_max_ms: config.timestamp_after_ms_max,
            },
        },
        compression: compression(config.compression),
    }
}

fn compression(of_topic: TopicCompression) -> CompressionRule {
    let with_level = |codec, level: i64| {
        let level = i32::try_from(level).expect("the key's range lies within 32 bits");
        CompressionRule::Fixed(Compression { codec, level })
    };
    match of_topic {
        TopicCompression::Producer => CompressionRule::Producer,
        TopicCompression::Uncompressed => CompressionRule::Fixed(Codec::None.into()),
        TopicCompression::Gzip(level) => with_level(Codec::Gzip, level),
        TopicCompression::Snappy => CompressionRule::Fixed(Codec::Snappy.into()),
        TopicCompression::Lz4(level) => with_level(Codec::Lz4, level),
        TopicCompression::Zstd(level) => with_level(Codec::Zstd, level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_cluster::config::{Sources, StaticConfig};
    use ringlog_cluster::image::Image;
    use ringlog_storage::types::BrokerId;

    fn config(settings: &[&str]) -> TopicConfig {
        let set: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let (fixed, _) = StaticConfig::load(&Sources { set: &set, ..Sources::default() }).expect("good settings");
        Image::new("cluster", BrokerId::new(1)).topic_config("topic", BrokerId::new(1), &fixed)
    }

    #[test]
    fn the_defaults_are_those_of_kafka() {
        let rules = produce_rules(&config(&[]), 12);
        assert_eq!((rules.produce_version, rules.batch_bytes_max), (12, 1_048_588));
        assert_eq!((rules.keys, rules.compression), (KeyRule::Optional, CompressionRule::Producer));
        let expected = TimestampRule::CreateTime { before_max_ms: i64::MAX, after_max_ms: 3_600_000 };
        assert_eq!(rules.timestamps, expected);
    }

    #[test]
    fn settings_become_rules() {
        assert_eq!(produce_rules(&config(&["log.cleanup.policy=compact,delete"]), 9).keys, KeyRule::Required);
        let timestamps = produce_rules(&config(&["log.message.timestamp.type=LogAppendTime"]), 9).timestamps;
        assert_eq!(timestamps, TimestampRule::LogAppendTime);
        assert_eq!(produce_rules(&config(&["message.max.bytes=0"]), 9).batch_bytes_max, 0);
    }

    #[test]
    fn each_codec_brings_its_level() {
        let check = |codec, level, of_topic| {
            let expected = CompressionRule::Fixed(Compression { codec, level });
            assert_eq!(compression(of_topic), expected, "{of_topic:?}");
        };
        check(Codec::Gzip, 9, TopicCompression::Gzip(9));
        check(Codec::Lz4, 17, TopicCompression::Lz4(17));
        check(Codec::Zstd, -131_072, TopicCompression::Zstd(-131_072));
        assert_eq!(compression(TopicCompression::Snappy), CompressionRule::Fixed(Codec::Snappy.into()));
        assert_eq!(compression(TopicCompression::Uncompressed), CompressionRule::Fixed(Codec::None.into()));
        assert_eq!(compression(TopicCompression::Producer), CompressionRule::Producer);
    }
}

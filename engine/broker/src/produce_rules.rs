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

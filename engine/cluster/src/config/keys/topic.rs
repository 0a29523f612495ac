//! Topic configuration, and the broker keys that each inherits from.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::Topic;
use crate::config::key::Valid::{Any, AtLeast, Between, BetweenOr, EachOf, OneOf, Ratio, ThrottledReplicas};
use crate::config::key::{Synonym, Unit};

use super::keys;
use super::reason::{
    LATER_CLUSTER, LATER_SHARE, LATER_TIERED, NO_DOWNCONVERSION, OWN_PREALLOCATION, REFUSE_TIERED, SIDECAR, STABLE_ONLY,
};

const fn same(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Same }
}

const fn millis(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Millis }
}

const fn minutes(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Minutes }
}

const fn hours(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Hours }
}

keys! {
    /// What happens to old segments: `delete`, `compact` or both.
    "cleanup.policy": List = "delete", EachOf(&["compact", "delete"]), Topic(&[same("log.cleanup.policy")]), Acts;
    /// Level when the broker compresses with gzip; -1 is the codec's default.
    "compression.gzip.level": Int = "-1", BetweenOr(1, 9, -1), Topic(&[same("compression.gzip.level")]), Acts;
    /// Level when the broker compresses with lz4.
    "compression.lz4.level": Int = "9", Between(1, 17), Topic(&[same("compression.lz4.level")]), Acts;
    /// Codec of stored batches; `producer` keeps what the producer chose.
    "compression.type": String = "producer",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Topic(&[same("compression.type")]), Acts;
    /// Level when the broker compresses with zstd.
    "compression.zstd.level": Int = "3", Between(-131_072, 22), Topic(&[same("compression.zstd.level")]), Acts;
    /// How long a tombstone stays readable after compaction.
    "delete.retention.ms": Long = "86400000", AtLeast(0), Topic(&[same("log.cleaner.delete.retention.ms")]), Acts;
    /// Whether share groups may use this topic for dead letters.
    "errors.deadletterqueue.group.enable": Boolean = "false", Any, Topic(&[]), LATER_SHARE;
    /// How long the file of a deleted segment stays.
    "file.delete.delay.ms": Long = "60000", AtLeast(0), Topic(&[same("log.segment.delete.delay.ms")]), Acts;
    /// Records after which the partition is flushed to storage.
    "flush.messages": Long = "9223372036854775807", AtLeast(1), Topic(&[same("log.flush.interval.messages")]), Acts;
    /// Time after which the partition is flushed to storage.
    "flush.ms": Long = "9223372036854775807",
        AtLeast(0), Topic(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]), Acts;
    /// Replicas whose followers are throttled: `partition:broker` pairs, or `*`.
    "follower.replication.throttled.replicas": List = "", ThrottledReplicas, Topic(&[]), LATER_CLUSTER;
    /// How many bytes of records lie between two index entries.
    "index.interval.bytes": Int = "4096", AtLeast(0), Topic(&[same("log.index.interval.bytes")]), Acts;
    /// Segment size below the public minimum, for Kafka's own tests.
    "internal.segment.bytes": Int = null, Any, Topic(&[]), STABLE_ONLY, internal;
    /// Replicas whose leaders are throttled: `partition:broker` pairs, or `*`.
    "leader.replication.throttled.replicas": List = "", ThrottledReplicas, Topic(&[]), LATER_CLUSTER;
    /// How many bytes stay on this machine once they are also in remote storage.
    "local.retention.bytes": Long = "-2", AtLeast(-2), Topic(&[same("log.local.retention.bytes")]), LATER_TIERED;
    /// How long records stay on this machine once they are also in remote storage.
    "local.retention.ms": Long = "-2", AtLeast(-2), Topic(&[same("log.local.retention.ms")]), LATER_TIERED;
    /// The longest a record may wait for compaction.
    "max.compaction.lag.ms": Long = "9223372036854775807",
        AtLeast(1), Topic(&[same("log.cleaner.max.compaction.lag.ms")]), Acts;
    /// The largest record batch that is accepted once decompressed, in bytes.
    "max.decompressed.message.bytes": Int = "2147483639",
        Between(1, 2_147_483_639), Topic(&[same("max.decompressed.message.bytes")]), Acts;
    /// The largest record batch that is accepted, compressed, in bytes.
    "max.message.bytes": Int = "1048588", AtLeast(0), Topic(&[same("message.max.bytes")]), Acts;
    /// Whether batches were once converted for old consumers.
    "message.downconversion.enable": Boolean = "true", Any, Topic(&[]), NO_DOWNCONVERSION, internal;
    /// How far a producer's timestamp may lie in the future.
    "message.timestamp.after.max.ms": Long = "3600000",
        AtLeast(0), Topic(&[same("log.message.timestamp.after.max.ms")]), Acts;
    /// How far a producer's timestamp may lie in the past.
    "message.timestamp.before.max.ms": Long = "9223372036854775807",
        AtLeast(0), Topic(&[same("log.message.timestamp.before.max.ms")]), Acts;
    /// Whose clock a record's timestamp is: the producer's or the broker's.
    "message.timestamp.type": String = "CreateTime",
        OneOf(&["CreateTime", "LogAppendTime"]), Topic(&[same("log.message.timestamp.type")]), Acts;
    /// Share of the log that must be uncompacted before it is worth compacting.
    "min.cleanable.dirty.ratio": Double = "0.5",
        Ratio(0.0, 1.0), Topic(&[same("log.cleaner.min.cleanable.ratio")]), Acts;
    /// How long a record stays as it is before it may be compacted.
    "min.compaction.lag.ms": Long = "0", AtLeast(0), Topic(&[same("log.cleaner.min.compaction.lag.ms")]), Acts;
    /// In-sync replicas that must exist for a write with acks=all.
    "min.insync.replicas": Int = "1", AtLeast(1), Topic(&[same("min.insync.replicas")]), Acts;
    /// Whether a segment gets its full size when it is made.
    "preallocate": Boolean = "false", Any, Topic(&[same("log.preallocate")]), OWN_PREALLOCATION;
    /// How many newer bytes there must be before a segment is copied to remote storage.
    "remote.copy.lag.bytes": Long = "-1", AtLeast(-1), Topic(&[same("log.remote.copy.lag.bytes")]), LATER_TIERED;
    /// How long a closed segment waits before it is copied to remote storage.
    "remote.copy.lag.ms": Long = "0", AtLeast(-1), Topic(&[same("log.remote.copy.lag.ms")]), LATER_TIERED;
    /// Whether copying to remote storage is off while reading stays on.
    "remote.log.copy.disable": Boolean = "false", Any, Topic(&[]), LATER_TIERED;
    /// Whether remote data goes when remote storage is switched off.
    "remote.log.delete.on.disable": Boolean = "false", Any, Topic(&[]), LATER_TIERED;
    /// Whether segments are also kept in remote storage.
    "remote.storage.enable": Boolean = "false", Any, Topic(&[]), REFUSE_TIERED;
    /// How large the partition may grow before its oldest segments go; -1 is without limit.
    "retention.bytes": Long = "-1", Any, Topic(&[same("log.retention.bytes")]), Acts;
    /// How long records are kept; -1 keeps them for ever.
    "retention.ms": Long = "604800000", AtLeast(-1),
        Topic(&[millis("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")]), Acts;
    /// What an acknowledgement promises: `sync` storage, `interval` flushes, or `none`.
    "ringlog.durability": String = "sync",
        OneOf(&["interval", "none", "sync"]), Topic(&[same("ringlog.durability")]), Acts;
    /// Size at which a segment is closed and the next one begins.
    "segment.bytes": Int = "1073741824", AtLeast(1_048_576), Topic(&[same("log.segment.bytes")]), Acts;
    /// The most bytes of one segment's offset index.
    "segment.index.bytes": Int = "10485760", AtLeast(4), Topic(&[same("log.index.size.max.bytes")]), SIDECAR;
    /// How much of `segment.ms` is taken off at random, so that segments do not all roll at once.
    "segment.jitter.ms": Long = "0",
        AtLeast(0), Topic(&[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]), Acts;
    /// Age at which a segment is closed even if it is not full.
    "segment.ms": Long = "604800000", AtLeast(1), Topic(&[same("log.roll.ms"), hours("log.roll.hours")]), Acts;
    /// Whether a replica that may lack records can become leader when no other is left.
    "unclean.leader.election.enable": Boolean = "false", Any, Topic(&[same("unclean.leader.election.enable")]), Acts;
}

//! Partition logs. Most of these are what topics inherit.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::{ClusterWide, PerBroker, ReadOnly};
use crate::config::key::Valid::{Any, AtLeast, Between, BetweenOr, EachOf, OneOf, Ratio};

use super::keys;
use super::reason::{
    FAST_START, INTERNAL_TIMER, LATER_COMPACTION, LATER_TIERED, OWN_CHECKPOINTS, OWN_FENCES, OWN_PREALLOCATION,
    SIDECAR, THREADS,
};

keys! {
    /// Level when the broker compresses with gzip; -1 is the codec's default.
    "compression.gzip.level": Int = "-1", BetweenOr(1, 9, -1), ClusterWide, Acts;
    /// Level when the broker compresses with lz4.
    "compression.lz4.level": Int = "9", Between(1, 17), ClusterWide, Acts;
    /// Codec of stored batches; `producer` keeps what the producer chose.
    "compression.type": String = "producer",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide, Acts;
    /// Level when the broker compresses with zstd.
    "compression.zstd.level": Int = "3", Between(-131_072, 22), ClusterWide, Acts;
    /// Data directories that get no new partitions.
    "cordoned.log.dirs": List = "", Any, PerBroker, Acts;
    /// Pause when there is nothing to compact.
    "log.cleaner.backoff.ms": Long = "15000", AtLeast(0), ClusterWide, LATER_COMPACTION;
    /// Memory for the key table of compaction.
    "log.cleaner.dedupe.buffer.size": Long = "134217728", Any, ClusterWide, LATER_COMPACTION;
    /// How long a tombstone stays readable after compaction.
    "log.cleaner.delete.retention.ms": Long = "86400000", AtLeast(0), ClusterWide, Acts;
    /// Whether compaction runs at all.
    "log.cleaner.enable": Boolean = "true", Any, ReadOnly, LATER_COMPACTION;
    /// How full the key table may get.
    "log.cleaner.io.buffer.load.factor": Double = "0.9", Any, ClusterWide, LATER_COMPACTION;
    /// Memory for reading and writing during compaction.
    "log.cleaner.io.buffer.size": Int = "524288", AtLeast(0), ClusterWide, LATER_COMPACTION;
    /// The most bytes per second that compaction reads and writes.
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308", Any, ClusterWide, LATER_COMPACTION;
    /// The longest a record may wait for compaction.
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), ClusterWide, Acts;
    /// Share of a log that must be uncompacted before it is worth compacting.
    "log.cleaner.min.cleanable.ratio": Double = "0.5", Ratio(0.0, 1.0), ClusterWide, Acts;
    /// How long a record stays as it is before it may be compacted.
    "log.cleaner.min.compaction.lag.ms": Long = "0", AtLeast(0), ClusterWide, Acts;
    /// Threads that compact.
    "log.cleaner.threads": Int = "1", AtLeast(0), ClusterWide, THREADS;
    /// What happens to old segments: `delete`, `compact` or both.
    "log.cleanup.policy": List = "delete", EachOf(&["compact", "delete"]), ClusterWide, Acts;
    /// The data directory, if `log.dirs` does not say it.
    "log.dir": List = "ringlog-data", Any, ReadOnly, Acts;
    /// How long a failed directory may stay unreported before the broker stops.
    "log.dir.failure.timeout.ms": Long = "30000", AtLeast(1), ReadOnly, OWN_FENCES;
    /// The data directories; the first keeps journals and metadata too.
    "log.dirs": List = null, Any, ReadOnly, Acts;
    /// Records of a partition after which it is flushed to storage.
    "log.flush.interval.messages": Long = "9223372036854775807", AtLeast(1), ClusterWide, Acts;
    /// Time after which a partition is flushed to storage.
    "log.flush.interval.ms": Long = null, Any, ClusterWide, Acts;
    /// How often recovery points are written down.
    "log.flush.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), ReadOnly, OWN_CHECKPOINTS;
    /// Stands in for `log.flush.interval.ms` when that is not given.
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807", Any, ReadOnly, Acts;
    /// How often log start offsets are written down.
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), ReadOnly, OWN_CHECKPOINTS;
    /// How many bytes of records lie between two index entries.
    "log.index.interval.bytes": Int = "4096", AtLeast(0), ClusterWide, Acts;
    /// The most bytes of one segment's offset index.
    "log.index.size.max.bytes": Int = "10485760", AtLeast(4), ClusterWide, SIDECAR;
    /// Pause after the start before the log's periodic tasks begin.
    "log.initial.task.delay.ms": Long = "30000", AtLeast(0), ReadOnly, FAST_START, internal;
    /// How many bytes stay on this machine once they are also in remote storage.
    "log.local.retention.bytes": Long = "-2", AtLeast(-2), ClusterWide, LATER_TIERED;
    /// How long records stay on this machine once they are also in remote storage.
    "log.local.retention.ms": Long = "-2", AtLeast(-2), ClusterWide, LATER_TIERED;
    /// How far a producer's timestamp may lie in the future.
    "log.message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), ClusterWide, Acts;
    /// How far a producer's timestamp may lie in the past.
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), ClusterWide, Acts;
    /// Whose clock a record's timestamp is: the producer's or the broker's.
    "log.message.timestamp.type": String = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide, Acts;
    /// Whether a segment gets its full size when it is made.
    "log.preallocate": Boolean = "false", Any, ClusterWide, OWN_PREALLOCATION;
    /// How many newer bytes there must be before a segment is copied to remote storage.
    "log.remote.copy.lag.bytes": Long = "-1", AtLeast(-1), ClusterWide, LATER_TIERED;
    /// How long a closed segment waits before it is copied to remote storage.
    "log.remote.copy.lag.ms": Long = "0", AtLeast(-1), ClusterWide, LATER_TIERED;
    /// How large one partition may grow before its oldest segments go; -1 is without limit.
    "log.retention.bytes": Long = "-1", Any, ClusterWide, Acts;
    /// How often it is looked whether segments can go.
    "log.retention.check.interval.ms": Long = "300000", AtLeast(1), ReadOnly, Acts;
    /// The same in hours; the other two come first.
    "log.retention.hours": Int = "168", Any, ReadOnly, Acts;
    /// The same in minutes; `log.retention.ms` comes first.
    "log.retention.minutes": Int = null, Any, ReadOnly, Acts;
    /// How long records are kept; -1 keeps them for ever.
    "log.retention.ms": Long = null, Any, ClusterWide, Acts;
    /// The same in hours; `log.roll.ms` comes first.
    "log.roll.hours": Int = "168", AtLeast(1), ReadOnly, Acts;
    /// The same in hours; `log.roll.jitter.ms` comes first.
    "log.roll.jitter.hours": Int = "0", AtLeast(0), ReadOnly, Acts;
    /// How much of the rolling age is taken off at random, so that segments do not all roll at once.
    "log.roll.jitter.ms": Long = null, AtLeast(0), ClusterWide, Acts;
    /// Age at which a segment is closed even if it is not full.
    "log.roll.ms": Long = null, AtLeast(1), ClusterWide, Acts;
    /// Size at which a segment is closed and the next one begins.
    "log.segment.bytes": Int = "1073741824", AtLeast(1_048_576), ClusterWide, Acts;
    /// How long the file of a deleted segment stays.
    "log.segment.delete.delay.ms": Long = "60000", AtLeast(0), ClusterWide, Acts;
    /// The largest record batch that is accepted once decompressed, in bytes.
    "max.decompressed.message.bytes": Int = "2147483639", Between(1, 2_147_483_639), ClusterWide, Acts;
    /// The largest record batch that is accepted, compressed, in bytes.
    "message.max.bytes": Int = "1048588", AtLeast(0), ClusterWide, Acts;
    /// In-sync replicas that must exist for a write with acks=all.
    "min.insync.replicas": Int = "1", AtLeast(1), ClusterWide, Acts;
    /// How often idle producers are looked for.
    "producer.id.expiration.check.interval.ms": Int = "600000", AtLeast(1), ReadOnly, INTERNAL_TIMER, internal;
    /// How long an idle producer's sequence numbers are remembered.
    "producer.id.expiration.ms": Int = "86400000", AtLeast(1), ClusterWide, Acts;
    /// Whether a replica that may lack records can become leader when no other is left.
    "unclean.leader.election.enable": Boolean = "false", Any, ClusterWide, Acts;
}

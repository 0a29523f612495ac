//! Tiered storage.

use crate::config::key::Scope::{ClusterWide, ReadOnly};
use crate::config::key::Valid::{Any, AtLeast, Ratio};

use super::keys;
use super::reason::{LATER_TIERED, REFUSE_TIERED};

keys! {
    /// Whether a new follower begins behind what is in remote storage.
    "follower.fetch.last.tiered.offset.enable": Boolean = "false", Any, ClusterWide, LATER_TIERED;
    /// How long a fetch waits for remote storage.
    "remote.fetch.max.wait.ms": Int = "500", AtLeast(1), ClusterWide, LATER_TIERED;
    /// How long ListOffsets waits for remote storage.
    "remote.list.offsets.request.timeout.ms": Long = "30000", AtLeast(1), ClusterWide, LATER_TIERED;
    /// Local space for indexes of remote segments.
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824", AtLeast(1), ClusterWide, LATER_TIERED;
    /// How long an unused index of a remote segment stays.
    "remote.log.index.file.cache.ttl.ms": Long = "900000", AtLeast(-1), ReadOnly, LATER_TIERED, internal;
    /// Threads that copy segments away.
    "remote.log.manager.copier.thread.pool.size": Int = "10", AtLeast(1), ClusterWide, LATER_TIERED;
    /// The most bytes per second copied away.
    "remote.log.manager.copy.max.bytes.per.second": Long = "9223372036854775807", AtLeast(1), ClusterWide, LATER_TIERED;
    /// Samples of that limit.
    "remote.log.manager.copy.quota.window.num": Int = "11", AtLeast(1), ReadOnly, LATER_TIERED;
    /// Length of one such sample.
    "remote.log.manager.copy.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, LATER_TIERED;
    /// Threads that delete remote segments.
    "remote.log.manager.expiration.thread.pool.size": Int = "10", AtLeast(1), ClusterWide, LATER_TIERED;
    /// The most bytes per second read from remote storage.
    "remote.log.manager.fetch.max.bytes.per.second": Long = "9223372036854775807",
        AtLeast(1), ClusterWide, LATER_TIERED;
    /// Samples of that limit.
    "remote.log.manager.fetch.quota.window.num": Int = "11", AtLeast(1), ReadOnly, LATER_TIERED;
    /// Length of one such sample.
    "remote.log.manager.fetch.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, LATER_TIERED;
    /// Threads that follow remote storage for followers.
    "remote.log.manager.follower.thread.pool.size": Int = "2", AtLeast(1), ClusterWide, LATER_TIERED;
    /// How often there is a look for segments to copy or delete.
    "remote.log.manager.task.interval.ms": Long = "30000", AtLeast(1), ReadOnly, LATER_TIERED;
    /// The longest pause after a failed copy.
    "remote.log.manager.task.retry.backoff.max.ms": Long = "30000", AtLeast(1), ReadOnly, LATER_TIERED, internal;
    /// First pause after a failed copy.
    "remote.log.manager.task.retry.backoff.ms": Long = "500", AtLeast(1), ReadOnly, LATER_TIERED, internal;
    /// Random share of that pause.
    "remote.log.manager.task.retry.jitter": Double = "0.2", Ratio(0.0, 0.5), ReadOnly, LATER_TIERED, internal;
    /// Threads for remote storage in general.
    "remote.log.manager.thread.pool.size": Int = "2", AtLeast(1), ReadOnly, LATER_TIERED;
    /// The most bytes of a plug-in's own metadata per segment.
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128", AtLeast(0), ReadOnly, LATER_TIERED;
    /// Plug-in that knows which segments are in remote storage.
    "remote.log.metadata.manager.class.name": String =
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
        Any, ReadOnly, LATER_TIERED;
    /// Where that plug-in's class is.
    "remote.log.metadata.manager.class.path": String = null, Any, ReadOnly, LATER_TIERED;
    /// What the names of that plug-in's own settings begin with.
    "remote.log.metadata.manager.impl.prefix": String = "rlmm.config.", Any, ReadOnly, LATER_TIERED;
    /// Listener over which that plug-in reaches the brokers.
    "remote.log.metadata.manager.listener.name": String = null, Any, ReadOnly, LATER_TIERED;
    /// Remote reads that may wait.
    "remote.log.reader.max.pending.tasks": Int = "100", AtLeast(1), ReadOnly, LATER_TIERED;
    /// Threads that read from remote storage.
    "remote.log.reader.threads": Int = "10", AtLeast(1), ClusterWide, LATER_TIERED;
    /// Plug-in that stores and loads segments.
    "remote.log.storage.manager.class.name": String = null, Any, ReadOnly, LATER_TIERED;
    /// Where that plug-in's class is.
    "remote.log.storage.manager.class.path": String = null, Any, ReadOnly, LATER_TIERED;
    /// What the names of that plug-in's own settings begin with.
    "remote.log.storage.manager.impl.prefix": String = "rsm.config.", Any, ReadOnly, LATER_TIERED;
    /// Whether segments are also kept in remote storage.
    "remote.log.storage.system.enable": Boolean = "false", Any, ReadOnly, REFUSE_TIERED;
}

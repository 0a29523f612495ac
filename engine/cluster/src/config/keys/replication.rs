//! Replicas, leaders and the quotas of their traffic.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::{ClusterWide, ReadOnly};
use crate::config::key::Valid::{Any, AtLeast};

use super::keys;
use super::reason::{JAVA_CLASS, LATER_CLUSTER, LATER_QUOTAS, OWN_CHECKPOINTS, OWN_PACE, THREADS};

keys! {
    /// Samples of the quota for moves between directories.
    "alter.log.dirs.replication.quota.window.num": Int = "11", AtLeast(1), ReadOnly, OWN_PACE;
    /// Length of one such sample.
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, OWN_PACE;
    /// Whether leadership goes back to preferred replicas by itself.
    "auto.leader.rebalance.enable": Boolean = "true", Any, ReadOnly, LATER_CLUSTER;
    /// Plug-in that computes client quotas.
    "client.quota.callback.class": Class = null, Any, ReadOnly, JAVA_CLASS;
    /// The most bytes per second that throttled followers of this broker fetch.
    "follower.replication.throttled.rate": Long = "9223372036854775807",
        AtLeast(0), ClusterWide, LATER_QUOTAS, internal;
    /// How often it is looked whether leadership should move.
    "leader.imbalance.check.interval.seconds": Long = "300", AtLeast(1), ReadOnly, LATER_CLUSTER;
    /// The most bytes per second that this broker sends to throttled followers.
    "leader.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), ClusterWide, LATER_QUOTAS, internal;
    /// Threads that fetch from each other broker.
    "num.replica.fetchers": Int = "1", AtLeast(1), ClusterWide, THREADS;
    /// Samples of a client quota.
    "quota.window.num": Int = "11", AtLeast(1), ReadOnly, Acts;
    /// Length of one such sample.
    "quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, Acts;
    /// The most bytes per second moved between data directories.
    "replica.alter.log.dirs.io.max.bytes.per.second": Long = "9223372036854775807",
        AtLeast(0), ClusterWide, Acts, internal;
    /// Pause of a follower after an error.
    "replica.fetch.backoff.ms": Int = "1000", AtLeast(0), ReadOnly, LATER_CLUSTER;
    /// Bytes that a follower asks for per partition.
    "replica.fetch.max.bytes": Int = "1048576", AtLeast(0), ReadOnly, LATER_CLUSTER;
    /// Bytes that a follower waits for.
    "replica.fetch.min.bytes": Int = "1", Any, ReadOnly, LATER_CLUSTER;
    /// Bytes that a follower asks for in all.
    "replica.fetch.response.max.bytes": Int = "10485760", AtLeast(0), ReadOnly, LATER_CLUSTER;
    /// How long a follower's fetch may wait.
    "replica.fetch.wait.max.ms": Int = "500", Any, ReadOnly, LATER_CLUSTER;
    /// How often high watermarks are written down.
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000", Any, ReadOnly, OWN_CHECKPOINTS;
    /// How long a follower may lag before it leaves the in-sync replicas.
    "replica.lag.time.max.ms": Long = "30000", Any, ReadOnly, LATER_CLUSTER;
    /// Plug-in that picks the replica a consumer reads from.
    "replica.selector.class": String = null, Any, ReadOnly, JAVA_CLASS;
    /// Receive buffer of a follower's socket.
    "replica.socket.receive.buffer.bytes": Int = "65536", Any, ReadOnly, LATER_CLUSTER;
    /// Socket timeout of a follower.
    "replica.socket.timeout.ms": Int = "30000", Any, ReadOnly, LATER_CLUSTER;
    /// Samples of the replication quota.
    "replication.quota.window.num": Int = "11", AtLeast(1), ReadOnly, LATER_QUOTAS;
    /// Length of one such sample.
    "replication.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, LATER_QUOTAS;
    /// How often partitions without a leader are looked at for an unclean election.
    "unclean.leader.election.interval.ms": Long = "300000", AtLeast(1), ReadOnly, LATER_CLUSTER, internal;
}

//! Group coordination: classic and consumer groups, and their offsets.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::{ClusterWide, ReadOnly};
use crate::config::key::Valid::{Any, AtLeast, EachOf, OneOfIgnoringCase};

use super::keys;
use super::reason::{
    BOTH_PROTOCOLS, LATER_CLUSTER, OWN_ASSIGNMENT, OWN_BUFFERS, OWN_COMMITS, OWN_EXPRESSIONS, THREADS,
    UNCOMPRESSED_GROUPS,
};

keys! {
    /// Least time between two assignments of a consumer group.
    "group.consumer.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, OWN_ASSIGNMENT;
    /// Whether assignments are computed away from the coordinator's own thread.
    "group.consumer.assignor.offload.enable": Boolean = "true", Any, ClusterWide, OWN_ASSIGNMENT, internal;
    /// Server-side assignors of consumer groups; the first is the default.
    "group.consumer.assignors": List = "uniform,range", Any, ReadOnly, Acts;
    /// Heartbeat interval given to members of consumer groups.
    "group.consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Acts;
    /// The most a group may set that interval to.
    "group.consumer.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, OWN_ASSIGNMENT;
    /// The most a group may set its heartbeat interval to.
    "group.consumer.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, Acts;
    /// The most a group may set its session timeout to.
    "group.consumer.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, Acts;
    /// The most members of a consumer group.
    "group.consumer.max.size": Int = "2147483647", AtLeast(1), ReadOnly, Acts;
    /// In which directions groups may change between the two protocols.
    "group.consumer.migration.policy": String = "bidirectional",
        OneOfIgnoringCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), ReadOnly, Acts;
    /// The least a group may set that interval to.
    "group.consumer.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, OWN_ASSIGNMENT;
    /// The least a group may set its heartbeat interval to.
    "group.consumer.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Acts;
    /// The least a group may set its session timeout to.
    "group.consumer.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Acts;
    /// How often subscribed expressions are matched against topics again.
    "group.consumer.regex.refresh.interval.ms": Int = "600000", AtLeast(10_000), ReadOnly, OWN_EXPRESSIONS, internal;
    /// How long a member of a consumer group may be silent.
    "group.consumer.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Acts;
    /// How long coordinator records are collected; -1 adapts to the load.
    "group.coordinator.append.linger.ms": Int = "-1", AtLeast(-1), ReadOnly, OWN_COMMITS;
    /// Threads for the coordinator's background work.
    "group.coordinator.background.threads": Int = "2", AtLeast(1), ReadOnly, THREADS;
    /// The largest write buffer the coordinator keeps for reuse.
    "group.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524_288), ClusterWide, OWN_BUFFERS;
    /// The group protocols that are served.
    "group.coordinator.rebalance.protocols": List = "classic,consumer,streams",
        EachOf(&["consumer", "classic", "share", "streams"]), ReadOnly, BOTH_PROTOCOLS;
    /// Threads of the group coordinator.
    "group.coordinator.threads": Int = "4", AtLeast(1), ReadOnly, THREADS;
    /// How long the first rebalance of an empty group waits for more members.
    "group.initial.rebalance.delay.ms": Int = "3000", Any, ReadOnly, Acts;
    /// The longest session timeout of a classic member.
    "group.max.session.timeout.ms": Int = "1800000", Any, ReadOnly, Acts;
    /// The most members of a classic group.
    "group.max.size": Int = "2147483647", AtLeast(1), ReadOnly, Acts;
    /// The shortest session timeout of a classic member.
    "group.min.session.timeout.ms": Int = "6000", Any, ReadOnly, Acts;
    /// The longest metadata text of a committed offset.
    "offset.metadata.max.bytes": Int = "4096", Any, ReadOnly, Acts;
    /// How long a request to a coordinator may wait for its decision to be committed.
    "offsets.commit.timeout.ms": Int = "5000", AtLeast(1), ReadOnly, Acts;
    /// Bytes per read while the coordinator loads its state.
    "offsets.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, OWN_BUFFERS;
    /// How often expired offsets are looked for.
    "offsets.retention.check.interval.ms": Long = "600000", AtLeast(1), ReadOnly, Acts;
    /// How long offsets of an empty group are kept.
    "offsets.retention.minutes": Int = "10080", AtLeast(1), ReadOnly, Acts;
    /// Number of the codec of the offsets topic.
    "offsets.topic.compression.codec": Int = "0", Any, ReadOnly, UNCOMPRESSED_GROUPS;
    /// Partitions of the offsets topic; fixed once it exists.
    "offsets.topic.num.partitions": Int = "50", AtLeast(1), ReadOnly, Acts;
    /// Replicas of the offsets topic.
    "offsets.topic.replication.factor": Short = "3", AtLeast(1), ReadOnly, LATER_CLUSTER;
    /// `segment.bytes` of the offsets topic.
    "offsets.topic.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, Acts;
}

//! Share groups and streams groups.

use crate::config::key::Scope::{ClusterWide, ReadOnly};
use crate::config::key::Valid::{Any, AtLeast, Between};

use super::keys;
use super::reason::{JAVA_CLASS, LATER_SHARE, LATER_STREAMS, THREADS};

keys! {
    /// Least time between two assignments of a share group.
    "group.share.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, LATER_SHARE;
    /// Whether assignments are computed away from the coordinator's own thread.
    "group.share.assignor.offload.enable": Boolean = "true", Any, ClusterWide, LATER_SHARE, internal;
    /// Assignor of share groups.
    "group.share.assignors": List = "simple", Any, ReadOnly, LATER_SHARE;
    /// Deliveries of one record before it is archived.
    "group.share.delivery.count.limit": Int = "5", Between(2, 10), ReadOnly, LATER_SHARE;
    /// Class that writes to dead letter topics.
    "group.share.dlq.manager.class.name": String = "org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager",
        Any, ReadOnly, JAVA_CLASS, internal;
    /// Heartbeat interval given to members of share groups.
    "group.share.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, LATER_SHARE;
    /// Pause before share state that failed to initialise is tried again.
    "group.share.initialize.retry.interval.ms": Int = "30000", AtLeast(1), ReadOnly, LATER_SHARE, internal;
    /// The most a group may set that interval to.
    "group.share.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, LATER_SHARE;
    /// The most a group may set that limit to.
    "group.share.max.delivery.count.limit": Int = "10", Between(5, 25), ReadOnly, LATER_SHARE;
    /// The most a group may set its heartbeat interval to.
    "group.share.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, LATER_SHARE;
    /// The most a group may set that number to.
    "group.share.max.partition.max.record.locks": Int = "4000", Between(2000, 10_000), ReadOnly, LATER_SHARE;
    /// The most a group may set that time to.
    "group.share.max.record.lock.duration.ms": Int = "60000", Between(30_000, 3_600_000), ReadOnly, LATER_SHARE;
    /// The most a group may set its session timeout to.
    "group.share.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, LATER_SHARE;
    /// The most share sessions of this broker.
    "group.share.max.share.sessions": Int = "2000", AtLeast(1), ReadOnly, LATER_SHARE;
    /// The most members of a share group.
    "group.share.max.size": Int = "200", Between(1, 1000), ReadOnly, LATER_SHARE;
    /// The least a group may set that interval to.
    "group.share.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, LATER_SHARE;
    /// The least a group may set that limit to.
    "group.share.min.delivery.count.limit": Int = "2", Between(2, 5), ReadOnly, LATER_SHARE;
    /// The least a group may set its heartbeat interval to.
    "group.share.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, LATER_SHARE;
    /// The least a group may set that number to.
    "group.share.min.partition.max.record.locks": Int = "100", Between(100, 2000), ReadOnly, LATER_SHARE;
    /// The least a group may set that time to.
    "group.share.min.record.lock.duration.ms": Int = "15000", Between(1000, 30_000), ReadOnly, LATER_SHARE;
    /// The least a group may set its session timeout to.
    "group.share.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, LATER_SHARE;
    /// The most records of one partition that are out for delivery.
    "group.share.partition.max.record.locks": Int = "2000", Between(100, 10_000), ReadOnly, LATER_SHARE;
    /// Class that keeps the state of share groups.
    "group.share.persister.class.name": String = "org.apache.kafka.server.share.persister.DefaultStatePersister",
        Any, ReadOnly, JAVA_CLASS, internal;
    /// How long a delivered record is reserved for its consumer.
    "group.share.record.lock.duration.ms": Int = "30000", Between(1000, 3_600_000), ReadOnly, LATER_SHARE;
    /// How long a member of a share group may be silent.
    "group.share.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, LATER_SHARE;
    /// How far a task's state may lag and still count as caught up.
    "group.streams.acceptable.recovery.lag": Long = "10000", AtLeast(0), ReadOnly, LATER_STREAMS, internal;
    /// Least time between two assignments of a streams group.
    "group.streams.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, LATER_STREAMS;
    /// Whether assignments are computed away from the coordinator's own thread.
    "group.streams.assignor.offload.enable": Boolean = "true", Any, ClusterWide, LATER_STREAMS, internal;
    /// Assignors of streams groups; the first is the default.
    "group.streams.assignors": List = "sticky", Any, ReadOnly, LATER_STREAMS;
    /// Heartbeat interval given to members of streams groups.
    "group.streams.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, LATER_STREAMS;
    /// How long the first assignment of a streams group waits for more members.
    "group.streams.initial.rebalance.delay.ms": Int = "3000", AtLeast(0), ReadOnly, LATER_STREAMS;
    /// The most a group may set that interval to.
    "group.streams.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, LATER_STREAMS;
    /// The most a group may set its heartbeat interval to.
    "group.streams.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, LATER_STREAMS;
    /// The most a group may set its session timeout to.
    "group.streams.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, LATER_STREAMS;
    /// The most members of a streams group.
    "group.streams.max.size": Int = "2147483647", AtLeast(1), ReadOnly, LATER_STREAMS;
    /// The most standby copies a group may ask for.
    "group.streams.max.standby.replicas": Int = "2", AtLeast(0), ReadOnly, LATER_STREAMS;
    /// The most warm-up copies a group may ask for.
    "group.streams.max.warmup.replicas": Int = "20", AtLeast(0), ReadOnly, LATER_STREAMS, internal;
    /// The least a group may set that interval to.
    "group.streams.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, LATER_STREAMS;
    /// The least a group may set its heartbeat interval to.
    "group.streams.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, LATER_STREAMS;
    /// The least a group may set its session timeout to.
    "group.streams.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, LATER_STREAMS;
    /// The least a group may set that interval to.
    "group.streams.min.task.offset.interval.ms": Int = "15000", AtLeast(1), ReadOnly, LATER_STREAMS, internal;
    /// Standby copies of each task's state.
    "group.streams.num.standby.replicas": Int = "0", AtLeast(0), ReadOnly, LATER_STREAMS;
    /// Copies that may warm up at a time.
    "group.streams.num.warmup.replicas": Int = "2", AtLeast(0), ReadOnly, LATER_STREAMS, internal;
    /// Client tags over which standby copies are spread.
    "group.streams.rack.aware.assignment.tags": List = "", Any, ReadOnly, LATER_STREAMS;
    /// How long a member of a streams group may be silent.
    "group.streams.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, LATER_STREAMS;
    /// How often members report the offsets of their tasks.
    "group.streams.task.offset.interval.ms": Int = "60000", AtLeast(1), ReadOnly, LATER_STREAMS, internal;
    /// Plug-in that stores descriptions of topologies.
    "group.streams.topology.description.plugin.class": Class = null, Any, ReadOnly, JAVA_CLASS;
    /// How long share state records are collected; -1 adapts to the load.
    "share.coordinator.append.linger.ms": Int = "-1", AtLeast(-1), ReadOnly, LATER_SHARE;
    /// The largest write buffer the share coordinator keeps for reuse.
    "share.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524_288), ClusterWide, LATER_SHARE;
    /// How often share state that does not change is written again.
    "share.coordinator.cold.partition.snapshot.interval.ms": Int = "300000",
        AtLeast(1), ReadOnly, LATER_SHARE, internal;
    /// Bytes per read while the share coordinator loads its state.
    "share.coordinator.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, LATER_SHARE;
    /// Updates of share state between two snapshots of it.
    "share.coordinator.snapshot.update.records.per.snapshot": Int = "500", Between(0, 500), ReadOnly, LATER_SHARE;
    /// Number of the codec of the share state topic.
    "share.coordinator.state.topic.compression.codec": Int = "0", Any, ReadOnly, LATER_SHARE;
    /// `min.insync.replicas` of the share state topic.
    "share.coordinator.state.topic.min.isr": Short = "2", AtLeast(1), ReadOnly, LATER_SHARE;
    /// Partitions of the share state topic.
    "share.coordinator.state.topic.num.partitions": Int = "50", AtLeast(1), ReadOnly, LATER_SHARE;
    /// How often share state that is no longer needed is deleted.
    "share.coordinator.state.topic.prune.interval.ms": Int = "300000", AtLeast(1), ReadOnly, LATER_SHARE, internal;
    /// Replicas of the share state topic.
    "share.coordinator.state.topic.replication.factor": Short = "3", AtLeast(1), ReadOnly, LATER_SHARE;
    /// `segment.bytes` of the share state topic.
    "share.coordinator.state.topic.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, LATER_SHARE;
    /// Threads of the share coordinator.
    "share.coordinator.threads": Int = "1", AtLeast(1), ReadOnly, THREADS;
    /// How long a write of share state may wait for its replicas.
    "share.coordinator.write.timeout.ms": Int = "5000", AtLeast(1), ReadOnly, LATER_SHARE;
}

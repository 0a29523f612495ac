//! Settings of one group, and the broker keys that each falls back to.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::Group;
use crate::config::key::Valid::{Any, AtLeast, Distinct, OffsetReset, OneOf};
use crate::config::key::{Synonym, Unit};

use super::keys;
use super::reason::{LATER_SHARE, LATER_STREAMS, OWN_ASSIGNMENT};

const fn same(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Same }
}

const fn first(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::First }
}

keys! {
    /// Least time between two assignments of a consumer group.
    "consumer.assignment.interval.ms": Int = "1000",
        AtLeast(0), Group(&[same("group.consumer.assignment.interval.ms")]), OWN_ASSIGNMENT;
    /// Whether assignments are computed away from the coordinator's own thread.
    "consumer.assignor.offload.enable": Boolean = "true",
        Any, Group(&[same("group.consumer.assignor.offload.enable")]), OWN_ASSIGNMENT, internal;
    /// Heartbeat interval given to the members of the consumer group.
    "consumer.heartbeat.interval.ms": Int = "5000",
        AtLeast(1), Group(&[same("group.consumer.heartbeat.interval.ms")]), Acts;
    /// How long a member of the consumer group may be silent.
    "consumer.session.timeout.ms": Int = "45000",
        AtLeast(1), Group(&[same("group.consumer.session.timeout.ms")]), Acts;
    /// Whether a dead letter is a copy of the whole record.
    "errors.deadletterqueue.copy.record.enable": Boolean = "false", Any, Group(&[]), LATER_SHARE;
    /// Where records go that the share group gives up.
    "errors.deadletterqueue.topic.name": String = "", Any, Group(&[]), LATER_SHARE;
    /// Least time between two assignments of a share group.
    "share.assignment.interval.ms": Int = "1000",
        AtLeast(0), Group(&[same("group.share.assignment.interval.ms")]), LATER_SHARE;
    /// Whether assignments are computed away from the coordinator's own thread.
    "share.assignor.offload.enable": Boolean = "true",
        Any, Group(&[same("group.share.assignor.offload.enable")]), LATER_SHARE, internal;
    /// Where a share group begins to read.
    "share.auto.offset.reset": String = "latest", OffsetReset, Group(&[]), LATER_SHARE;
    /// Deliveries of one record before it is archived.
    "share.delivery.count.limit": Int = "5",
        AtLeast(2), Group(&[same("group.share.delivery.count.limit")]), LATER_SHARE;
    /// Heartbeat interval given to the members of the share group.
    "share.heartbeat.interval.ms": Int = "5000",
        AtLeast(1), Group(&[same("group.share.heartbeat.interval.ms")]), LATER_SHARE;
    /// Whether records of transactions are delivered before these end.
    "share.isolation.level": String = "read_uncommitted",
        OneOf(&["read_committed", "read_uncommitted"]), Group(&[]), LATER_SHARE;
    /// The most records of one partition that are out for delivery.
    "share.partition.max.record.locks": Int = "2000",
        AtLeast(100), Group(&[same("group.share.partition.max.record.locks")]), LATER_SHARE;
    /// How long a delivered record is reserved for its consumer.
    "share.record.lock.duration.ms": Int = "30000",
        AtLeast(1000), Group(&[same("group.share.record.lock.duration.ms")]), LATER_SHARE;
    /// Whether a consumer may extend the time that a record is reserved for.
    "share.renew.acknowledge.enable": Boolean = "true", Any, Group(&[]), LATER_SHARE;
    /// How long a member of the share group may be silent.
    "share.session.timeout.ms": Int = "45000",
        AtLeast(1), Group(&[same("group.share.session.timeout.ms")]), LATER_SHARE;
    /// How far a task's state may lag and still count as caught up.
    "streams.acceptable.recovery.lag": Long = "10000",
        AtLeast(0), Group(&[same("group.streams.acceptable.recovery.lag")]), LATER_STREAMS, internal;
    /// Least time between two assignments of a streams group.
    "streams.assignment.interval.ms": Int = "1000",
        AtLeast(0), Group(&[same("group.streams.assignment.interval.ms")]), LATER_STREAMS;
    /// Assignor of the streams group.
    "streams.assignor.name": String = null, Any, Group(&[first("group.streams.assignors")]), LATER_STREAMS;
    /// Whether assignments are computed away from the coordinator's own thread.
    "streams.assignor.offload.enable": Boolean = "true",
        Any, Group(&[same("group.streams.assignor.offload.enable")]), LATER_STREAMS, internal;
    /// Heartbeat interval given to the members of the streams group.
    "streams.heartbeat.interval.ms": Int = "5000",
        AtLeast(1), Group(&[same("group.streams.heartbeat.interval.ms")]), LATER_STREAMS;
    /// How long the first assignment of the streams group waits for more members.
    "streams.initial.rebalance.delay.ms": Int = "3000",
        AtLeast(0), Group(&[same("group.streams.initial.rebalance.delay.ms")]), LATER_STREAMS;
    /// Standby copies of each task's state.
    "streams.num.standby.replicas": Int = "0",
        AtLeast(0), Group(&[same("group.streams.num.standby.replicas")]), LATER_STREAMS;
    /// Copies that may warm up at a time.
    "streams.num.warmup.replicas": Int = "2",
        AtLeast(0), Group(&[same("group.streams.num.warmup.replicas")]), LATER_STREAMS, internal;
    /// Client tags over which standby copies are spread.
    "streams.rack.aware.assignment.tags": List = "",
        Distinct, Group(&[same("group.streams.rack.aware.assignment.tags")]), LATER_STREAMS;
    /// How long a member of the streams group may be silent.
    "streams.session.timeout.ms": Int = "45000",
        AtLeast(1), Group(&[same("group.streams.session.timeout.ms")]), LATER_STREAMS;
    /// How often members report the offsets of their tasks.
    "streams.task.offset.interval.ms": Int = "60000",
        AtLeast(1), Group(&[same("group.streams.task.offset.interval.ms")]), LATER_STREAMS, internal;
}

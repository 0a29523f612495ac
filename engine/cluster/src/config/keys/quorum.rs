//! The metadata quorum and the controller. One node is a quorum of one.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::ReadOnly;
use crate::config::key::Valid::{Any, AtLeast};

use super::keys;
use super::reason::{HOME_DIRECTORY, ONE_NODE, OWN_METRICS, OWN_SNAPSHOTS};

keys! {
    /// How often a broker tells the controller that it lives.
    "broker.heartbeat.interval.ms": Int = "2000", Any, ReadOnly, ONE_NODE;
    /// How long without a heartbeat before a broker is fenced.
    "broker.session.timeout.ms": Int = "9000", Any, ReadOnly, ONE_NODE;
    /// Controller events slower than this are logged.
    "controller.performance.always.log.threshold.ms": Long = "2000", AtLeast(0), ReadOnly, OWN_METRICS, internal;
    /// How often the controller's speed is logged.
    "controller.performance.sample.period.ms": Long = "60000", AtLeast(100), ReadOnly, OWN_METRICS, internal;
    /// How long metadata records are collected before they are written.
    "controller.quorum.append.linger.ms": Int = "25", AtLeast(0), ReadOnly, ONE_NODE;
    /// Whether a new controller joins the quorum by itself.
    "controller.quorum.auto.join.enable": Boolean = "false", Any, ReadOnly, ONE_NODE;
    /// Where a server finds the quorum.
    "controller.quorum.bootstrap.servers": List = "", Any, ReadOnly, ONE_NODE;
    /// The longest pause before another election.
    "controller.quorum.election.backoff.max.ms": Int = "1000", AtLeast(0), ReadOnly, ONE_NODE;
    /// How long without a leader before an election begins.
    "controller.quorum.election.timeout.ms": Int = "1000", AtLeast(0), ReadOnly, ONE_NODE;
    /// The most bytes of one fetch of the metadata log.
    "controller.quorum.fetch.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, ONE_NODE;
    /// The most bytes of one fetch of a metadata snapshot.
    "controller.quorum.fetch.snapshot.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, ONE_NODE;
    /// How long a voter goes without a successful fetch before it becomes a candidate.
    "controller.quorum.fetch.timeout.ms": Int = "2000", AtLeast(0), ReadOnly, ONE_NODE;
    /// How long a quorum request may take.
    "controller.quorum.request.timeout.ms": Int = "2000", AtLeast(0), ReadOnly, ONE_NODE;
    /// Pause before a failed quorum request is tried again.
    "controller.quorum.retry.backoff.ms": Int = "20", AtLeast(0), ReadOnly, ONE_NODE;
    /// The quorum's members as `id@host:port`, fixed.
    "controller.quorum.voters": List = "", Any, ReadOnly, ONE_NODE;
    /// Samples of the controller's mutation quota.
    "controller.quota.window.num": Int = "11", AtLeast(1), ReadOnly, Acts;
    /// Length of one such sample.
    "controller.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, Acts;
    /// Socket timeout between controller and broker.
    "controller.socket.timeout.ms": Int = "30000", Any, ReadOnly, ONE_NODE;
    /// How long a starting broker tries to register.
    "initial.broker.registration.timeout.ms": Int = "60000", Any, ReadOnly, ONE_NODE;
    /// How long a deleted metadata file stays.
    "internal.metadata.delete.delay.millis": Long = "60000", Any, ReadOnly, OWN_SNAPSHOTS, internal;
    /// Size of a metadata segment, for Kafka's own tests.
    "internal.metadata.log.segment.bytes": Int = null, Any, ReadOnly, OWN_SNAPSHOTS, internal;
    /// The largest batch of metadata records.
    "internal.metadata.max.batch.size.in.bytes": Int = "8388608", Any, ReadOnly, OWN_SNAPSHOTS, internal;
    /// Another place for the metadata log.
    "metadata.log.dir": String = null, Any, ReadOnly, HOME_DIRECTORY;
    /// Bytes of metadata records after which a snapshot is made.
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520", AtLeast(1), ReadOnly, OWN_SNAPSHOTS;
    /// Time after which a metadata snapshot is made.
    "metadata.log.max.snapshot.interval.ms": Long = "3600000", AtLeast(0), ReadOnly, OWN_SNAPSHOTS;
    /// Size of one segment of the metadata log.
    "metadata.log.segment.bytes": Int = "1073741824", AtLeast(8_388_608), ReadOnly, OWN_SNAPSHOTS;
    /// Age of one segment of the metadata log.
    "metadata.log.segment.ms": Long = "604800000", Any, ReadOnly, OWN_SNAPSHOTS;
    /// How often an idle controller writes a record that says nothing.
    "metadata.max.idle.interval.ms": Int = "500", AtLeast(0), ReadOnly, ONE_NODE;
    /// Bytes of metadata log and snapshots before old ones go.
    "metadata.max.retention.bytes": Long = "104857600", Any, ReadOnly, OWN_SNAPSHOTS;
    /// Age of metadata log and snapshots before old ones go.
    "metadata.max.retention.ms": Long = "604800000", Any, ReadOnly, OWN_SNAPSHOTS;
}

//! Why a key is accepted and does nothing, or is refused. Each sentence follows "has no effect: " or "is refused: ".

use crate::config::key::Effect;

/// Shards replace thread pools.
pub(super) const THREADS: Effect =
    Effect::Accepted("one shard per core takes the place of thread pools (ringlog.cores)");
/// Memory budgets replace request queues.
pub(super) const BACK_PRESSURE: Effect =
    Effect::Accepted("a socket is not read while its shard is over its budget (ringlog.memory)");
/// Waiting requests are tasks.
pub(super) const PURGATORY: Effect = Effect::Accepted("a waiting request leaves as soon as it is answered");
/// Java plug-ins.
pub(super) const JAVA_CLASS: Effect = Effect::Accepted("it names Java code, which this program cannot load");
/// Java's own TLS settings.
pub(super) const JAVA_TLS: Effect = Effect::Accepted("it is about Java's TLS, which this program does not use");
/// Java's metric reporters.
pub(super) const METRICS: Effect = Effect::Accepted("there are no Java metric reporters here");
/// The controller's logging of its own speed.
pub(super) const OWN_METRICS: Effect = Effect::Accepted("the controller is timed by this program's own metrics");
/// The journal's checkpoints.
pub(super) const OWN_CHECKPOINTS: Effect =
    Effect::Accepted("checkpoints follow the journal's fill and age (ringlog.journal.bytes)");
/// Segment preallocation.
pub(super) const OWN_PREALLOCATION: Effect = Effect::Accepted("space is always taken ahead of the writes that need it");
/// Sparse indexes.
pub(super) const SIDECAR: Effect = Effect::Accepted("a segment's index grows with the segment and needs no limit");
/// The metadata log's own way of compacting.
pub(super) const OWN_SNAPSHOTS: Effect = Effect::Accepted("the metadata log decides by itself when to make a snapshot");
/// Timers that are bound to other work here.
pub(super) const INTERNAL_TIMER: Effect = Effect::Accepted("it is looked at whenever the partition is written");
/// Start-up delays.
pub(super) const FAST_START: Effect = Effect::Accepted("a start takes milliseconds and waits for nothing");
/// Unreleased protocol versions.
pub(super) const STABLE_ONLY: Effect = Effect::Accepted("it exists for Kafka's own tests");
/// Controller and broker in one.
pub(super) const ONE_PROCESS: Effect = Effect::Accepted("all listeners open together, when everything is ready");
/// A quorum of one.
pub(super) const ONE_NODE: Effect = Effect::Accepted("this release runs as a single node, which is a quorum of one");
/// A data directory that fails.
pub(super) const OWN_FENCES: Effect =
    Effect::Accepted("what cannot be written is refused at once, and the broker runs on until it is stopped");
/// Where the metadata log lies.
pub(super) const HOME_DIRECTORY: Effect =
    Effect::Accepted("metadata lies in the first directory of log.dirs, beside the journals");
/// Quotas of moves between directories.
pub(super) const OWN_PACE: Effect =
    Effect::Accepted("replica.alter.log.dirs.io.max.bytes.per.second holds from piece to piece, without samples");
/// Down-conversion.
pub(super) const NO_DOWNCONVERSION: Effect = Effect::Accepted("batches are never converted to older formats");
/// Kerberos.
pub(super) const KERBEROS: Effect = Effect::Accepted("logging in with Kerberos is not supported");
/// Several brokers.
pub(super) const LATER_CLUSTER: Effect = Effect::Accepted("this release runs as a single node");
/// Compaction.
pub(super) const LATER_COMPACTION: Effect = Effect::Accepted("compaction is not supported yet");
/// The coordinators' own group commit.
pub(super) const OWN_COMMITS: Effect =
    Effect::Accepted("what coordinators write is collected by their shard's commits (ringlog.commit.interval.us)");
/// The coordinators' buffers.
pub(super) const OWN_BUFFERS: Effect = Effect::Accepted("coordinators read and write in steps of their own");
/// The coordinators' logs.
pub(super) const UNCOMPRESSED_GROUPS: Effect = Effect::Accepted("what coordinators write is not compressed");
/// How consumer groups are divided.
pub(super) const OWN_ASSIGNMENT: Effect =
    Effect::Accepted("the partitions of a group are divided in the heartbeat that asks for it");
/// What consumer groups match.
pub(super) const OWN_EXPRESSIONS: Effect =
    Effect::Accepted("expressions are matched again in the first heartbeat after topics have changed");
/// Which protocols groups may speak.
pub(super) const BOTH_PROTOCOLS: Effect = Effect::Accepted("classic and consumer groups are served, and no others");
/// Share groups.
pub(super) const LATER_SHARE: Effect = Effect::Accepted("share groups are not supported yet");
/// Streams groups.
pub(super) const LATER_STREAMS: Effect = Effect::Accepted("streams groups are not supported yet");
/// Transactions.
pub(super) const LATER_TRANSACTIONS: Effect = Effect::Accepted("transactions are not supported yet");
/// Quotas of replication.
pub(super) const LATER_QUOTAS: Effect = Effect::Accepted("quotas of replication are not supported yet");
/// TLS listeners.
pub(super) const LATER_TLS: Effect =
    Effect::Accepted("TLS is not supported yet, and listeners that ask for it are refused");
/// SASL listeners.
pub(super) const LATER_SASL: Effect =
    Effect::Accepted("SASL is not supported yet, and listeners that ask for it are refused");
/// Delegation tokens.
pub(super) const LATER_TOKENS: Effect = Effect::Accepted("delegation tokens are not supported yet");
/// Tiered storage settings.
pub(super) const LATER_TIERED: Effect = Effect::Accepted("tiered storage is not supported yet");
/// Tiered storage itself.
pub(super) const REFUSE_TIERED: Effect =
    Effect::Refused("tiered storage is not supported yet, and its data would stay on this machine");
/// Authorization itself.
pub(super) const REFUSE_AUTHORIZER: Effect =
    Effect::Refused("authorization is not supported yet, and without it every client could do everything");
/// What an authorizer would read.
pub(super) const NO_AUTHORIZER: Effect = Effect::Accepted("there is no authorizer yet that would read it");

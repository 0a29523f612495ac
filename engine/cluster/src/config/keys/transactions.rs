//! The transaction coordinator.

use crate::config::key::Scope::{ClusterWide, ReadOnly};
use crate::config::key::Valid::{Any, AtLeast};

use super::keys;
use super::reason::LATER_TRANSACTIONS;

keys! {
    /// The longest wait for an earlier transaction to end before a partition joins the next.
    "add.partitions.to.txn.retry.backoff.max.ms": Int = "100", AtLeast(0), ReadOnly, LATER_TRANSACTIONS;
    /// First wait of that kind.
    "add.partitions.to.txn.retry.backoff.ms": Int = "20", AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// How often transactions past their timeout are looked for.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000",
        AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// The longest transaction timeout that a client may ask for.
    "transaction.max.timeout.ms": Int = "900000", AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// Whether a produce is checked against the transaction it claims to be of.
    "transaction.partition.verification.enable": Boolean = "true", Any, ClusterWide, LATER_TRANSACTIONS;
    /// How often transactional ids that have expired are removed.
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int = "3600000",
        AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// Bytes per read while the coordinator loads its state.
    "transaction.state.log.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// `min.insync.replicas` of the transaction topic.
    "transaction.state.log.min.isr": Int = "2", AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// Partitions of the transaction topic; fixed once it exists.
    "transaction.state.log.num.partitions": Int = "50", AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// Replicas of the transaction topic.
    "transaction.state.log.replication.factor": Short = "3", AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// `segment.bytes` of the transaction topic.
    "transaction.state.log.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
    /// Whether transactions may be prepared by an outside coordinator.
    "transaction.two.phase.commit.enable": Boolean = "false", Any, ReadOnly, LATER_TRANSACTIONS;
    /// How long an idle transactional id is remembered.
    "transactional.id.expiration.ms": Int = "604800000", AtLeast(1), ReadOnly, LATER_TRANSACTIONS;
}

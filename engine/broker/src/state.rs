//! Everything that a shard remembers. Reached through [`Shard::with`](crate::shard::Shard::with) alone.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use futures_channel::oneshot;
use ringlog_cluster::connections::Connections;
use ringlog_cluster::fetch_session::FetchSessions;
use ringlog_cluster::group::Now;
use ringlog_cluster::image::Image;
use ringlog_cluster::producer_ids::ProducerIds;
use ringlog_cluster::quota::Usages;
use ringlog_cluster::telemetry::Telemetry;
use ringlog_storage::Store;
use ringlog_storage::answer::{FenceScope, PartitionId, ReadBatches, ReadError, ReadId, StoreEvent, TimestampOffset};
use ringlog_storage::batch::validate::Codecs;
use ringlog_storage::io::{Io, IoErrorKind, IoId, IoResult};
use ringlog_storage::statistics::CommitSpan;
use ringlog_storage::types::{Nanos, TopicPartition};

use crate::boot::BrokerEnd;
use crate::connection_limits::Asking;
use crate::controller::Controller;
use crate::countdown::Countdown;
use crate::group::{Coordinators, retry_stalled};
use crate::handover::{Handovers, released};
use crate::limits::ShardLimits;
use crate::lines::{Lines, repeated};
use crate::logging::Logging;
use crate::metrics::counters::Traffic;
use crate::partition::append::{self, Deferred, retry_deferred};
use crate::partition::deletion::Deletions;
use crate::partition::read::read_ended;
use crate::partition::table::{PartitionKey, Table};
use crate::partition::watch::{Watched, Watcher, Watches};
use crate::places::WantedPlaces;
use crate::recorder::Span;

/// Operations handed to the disk in one turn of the driver; the rest follows in the next.
pub(crate) const OPERATIONS_PER_TURN: usize = 256;

type Waiting<T> = BTreeMap<ReadId, oneshot::Sender<Result<T, ReadError>>>;

/// The state of one shard.
#[derive(Debug)]
pub(crate) struct State {
    /// The cluster's metadata, as of the last change that this shard has seen.
    pub(crate) image: Arc<Image>,
    pub(crate) store: Store,
    pub(crate) table: Table,
    pub(crate) watches: Watches,
    pub(crate) watched: Watched,
    pub(crate) deferred: Deferred,
    /// Produce requests that wait.
    pub(crate) appends: append::Waiting,
    pub(crate) codecs: Codecs,
    pub(crate) reads: Waiting<ReadBatches>,
    pub(crate) lookups: Waiting<Option<TimestampOffset>>,
    pub(crate) deletions: Deletions,
    pub(crate) sessions: FetchSessions,
    pub(crate) producer_ids: ProducerIds,
    /// Requests for producer ids that wait for the block that another request has asked for.
    pub(crate) producer_id_waits: Vec<oneshot::Sender<()>>,
    /// Use of client quotas that this shard counts, for clients of all shards.
    pub(crate) quota_usages: Usages,
    /// Of the groups of this shard.
    pub(crate) groups: Coordinators,
    /// The connections of all shards. On shard 0.
    pub(crate) connections: Option<Connections<Asking>>,
    /// On shard 0.
    pub(crate) controller: Option<Controller>,
    /// On shard 0; others have what the broker was started with.
    pub(crate) logging: Logging,
    pub(crate) lines: Lines,
    /// On shard 0.
    pub(crate) telemetry: Telemetry,
    /// On shard 0: where partitions are to be placed that do not exist yet.
    pub(crate) wanted_places: WantedPlaces,
    /// Topics that are being made because a client named them.
    pub(crate) auto_creating: BTreeSet<String>,
    /// What passed through all partitions that this shard ever had.
    pub(crate) traffic: Traffic,
    /// The same of those that it has no more.
    pub(crate) gone_traffic: Traffic,
    /// The broker stops: no new connections.
    pub(crate) stopping: bool,
    /// Partitions on their way from and to other shards.
    pub(crate) handovers: Handovers,
    /// On shard 0: who waits until as many shards are in use as the configuration says.
    pub(crate) resize_waits: Vec<oneshot::Sender<()>>,
    /// On shard 0: partitions that have come to rest in a data directory, and may have to go to another shard.
    pub(crate) settled: BTreeSet<PartitionKey>,
    /// On shard 0: a shard that is not in use has connections.
    pub(crate) spread_connections: bool,
    /// Removed partitions whose folders are not free yet.
    removals: BTreeMap<PartitionId, Removal>,
    wakes: Vec<Watcher>,
    closed: bool,
    disk: Disk,
}

/// What the disk lets this shard do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disk {
    Good,
    /// There is no space: nothing of clients is taken.
    Full,
    /// A write failed: what is on the disk is not all of it.
    Failed,
}

/// A removed partition whose folder is not free yet.
#[derive(Debug)]
struct Removal {
    name: TopicPartition,
    /// Who waits for that; nobody where the store cannot bring it to its end any more.
    waiting: Option<Rc<Countdown>>,
}

/// What the store wants, besides operations.
pub(crate) struct StoreWork {
    /// When it wants to be asked again at the latest.
    pub(crate) deadline: Option<Nanos>,
    /// It will want nothing any more.
    pub(crate) closed: bool,
}

impl State {
    pub(crate) fn new(
        image: Arc<Image>,
        store: Store,
        sessions: FetchSessions,
        quota_usages: Usages,
        limits: &ShardLimits,
        lines: Lines,
    ) -> Self {
        Self {
            image,
            store,
            table: Table::default(),
            watches: Watches::new(limits.watches),
            watched: Watched::default(),
            deferred: Deferred::default(),
            appends: append::Waiting::default(),
            codecs: Codecs::default(),
            reads: BTreeMap::new(),
            lookups: BTreeMap::new(),
            deletions: Deletions::default(),
            sessions,
            producer_ids: ProducerIds::default(),
            producer_id_waits: Vec::new(),
            quota_usages,
            groups: Coordinators::default(),
            connections: None,
            controller: None,
            logging: Logging::default(),
            lines,
            telemetry: Telemetry::new(0),
            wanted_places: WantedPlaces::default(),
            auto_creating: BTreeSet::new(),
            traffic: Traffic::default(),
            gone_traffic: Traffic::default(),
            stopping: false,
            handovers: Handovers::default(),
            resize_waits: Vec::new(),
            settled: BTreeSet::new(),
            spread_connections: false,
            removals: BTreeMap::new(),
            wakes: Vec::new(),
            closed: false,
            disk: Disk::Good,
        }
    }

    /// Hands on what the store has to say, and appends what waited for room. Answers whether the store has something to do
    /// for its driver.
    pub(crate) fn settle(&mut self, now: impl Fn() -> Now) -> bool {
        self.hand_on_events();
        if !self.deferred.is_empty() {
            retry_deferred(self, now().wall);
            self.hand_on_events();
        }
        if self.groups.has_stalled() {
            retry_stalled(self, now());
            self.hand_on_events();
        }
        self.store.has_work()
    }

    /// Wakes a fetch.
    pub(crate) fn wake(&mut self, watcher: Watcher) {
        self.wakes.push(watcher);
    }

    /// Whoever waits for more of the partition looks again.
    pub(crate) fn wake_watchers(&mut self, partition: PartitionId) {
        self.wakes.extend(self.watched.ended(partition));
    }

    /// The fetches to wake because of what was handed on.
    pub(crate) fn take_wakes(&mut self) -> Vec<Watcher> {
        std::mem::take(&mut self.wakes)
    }

    /// Puts operations for the disk into `operations`, which is empty.
    pub(crate) fn take_store_work(&mut self, now: Nanos, operations: &mut Vec<Io>) -> StoreWork {
        let store = &mut self.store;
        operations.extend(std::iter::from_fn(|| store.poll_io(now)).take(OPERATIONS_PER_TURN));
        let deadline = if operations.len() == OPERATIONS_PER_TURN { Some(now) } else { store.next_deadline() };
        // Asking may have made events: something was due.
        self.hand_on_events();
        StoreWork { deadline, closed: self.closed }
    }

    /// Brings the result of an operation.
    pub(crate) fn store_io_done(&mut self, id: IoId, result: IoResult, now: Nanos) {
        self.store.io_done(id, result, now);
    }

    /// What the disk lets this shard do.
    pub(crate) fn disk(&self) -> Disk {
        self.disk
    }

    /// How the shard ends, once the store is closed.
    pub(crate) fn end(&self) -> BrokerEnd {
        let is_good = self.disk == Disk::Good && self.store.statistics().fenced_partitions == 0;
        if is_good { BrokerEnd::Clean } else { BrokerEnd::Unclean }
    }

    fn hand_on_events(&mut self) {
        while let Some(event) = self.store.poll_event() {
            self.hand_on(event);
        }
    }

    fn hand_on(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::HighWatermark { partition, offset } => {
                let CommitSpan { began, ended } = self.store.statistics().last_commit;
                let commit = Span { from: began, to: ended };
                if let Some(slot) = self.table.get_mut(partition) {
                    slot.commits.advanced(offset, commit);
                    if slot.is_group_log() {
                        self.groups.advanced(slot.key.partition, offset, commit);
                    }
                }
                self.wakes.extend(self.watched.advanced(partition, offset));
            }
            // Who waited may have given up.
            StoreEvent::ReadReady { read, result } => {
                let _ = self.reads.remove(&read).map(|waiting| waiting.send(result));
                read_ended(self);
            }
            StoreEvent::LookupReady { read, result } => {
                let _ = self.lookups.remove(&read).map(|waiting| waiting.send(result));
                read_ended(self);
            }
            StoreEvent::Fenced { scope: FenceScope::Partition(partition), reason } => {
                self.fence_partition(partition, reason);
            }
            StoreEvent::Fenced { scope: FenceScope::Directory, reason } => self.fence_directory(reason),
            StoreEvent::SpaceExhausted => {
                if self.disk == Disk::Good {
                    self.disk = Disk::Full;
                }
                repeated!(
                    self.lines,
                    Space,
                    "space of the device",
                    ERROR,
                    "No space left on device: produce requests are refused with KAFKA_STORAGE_ERROR until space returns; \
                     delete topics; or records, or lower retention.ms or retention.bytes, where a partition has several \
                     segments; or give log.dirs a larger device"
                );
            }
            StoreEvent::SpaceReturned => {
                if self.disk == Disk::Full {
                    self.disk = Disk::Good;
                }
                repeated!(
                    self.lines,
                    Space,
                    "space of the device",
                    INFO,
                    "there is space on the device again: produce requests are accepted"
                );
            }
            StoreEvent::RotFound { partition, from, next_good } => {
                if let Some(slot) = self.table.get(partition) {
                    repeated!(
                        self.lines, Rot, "damaged offsets", ERROR,
                        topic = %slot.topic,
                        partition = slot.key.partition.get(),
                        "offsets {from} to {next_good} are damaged on the disk; they cannot be read, the rest can"
                    );
                }
            }
            StoreEvent::RecordsDeleted { partition, log_start } => self.deletions.durable(partition, log_start),
            StoreEvent::Removed { partition } => {
                if let Some(waiting) = self.removals.remove(&partition).and_then(|removal| removal.waiting) {
                    waiting.settle_one();
                }
            }
            StoreEvent::Prepared { partition } => self.handovers.prepared(partition),
            StoreEvent::Released { partition, handover } => released(self, partition, handover),
            StoreEvent::Adopted { key } => self.handovers.adopted(key),
            StoreEvent::MoveEnded { partition } => {
                if let Some(slot) = self.table.get(partition) {
                    self.handovers.settled(slot.key);
                }
            }
            StoreEvent::Moved { partition, .. } => {
                if let Some(slot) = self.table.get(partition) {
                    tracing::info!(topic = %slot.topic, partition = slot.key.partition.get(), "moved to its new directory");
                }
            }
            StoreEvent::MoveFailed { partition, reason, .. } => {
                if let Some(slot) = self.table.get(partition) {
                    tracing::error!(
                        topic = %slot.topic,
                        partition = slot.key.partition.get(),
                        "the move to another directory failed, so the partition stays where it is: {reason}"
                    );
                }
            }
            StoreEvent::Closed => self.closed = true,
        }
    }

    fn fence_partition(&mut self, partition: PartitionId, reason: IoErrorKind) {
        if let Some(slot) = self.table.get(partition) {
            repeated!(
                self.lines, PartitionFenced, "partitions whose writes failed", ERROR,
                topic = %slot.topic,
                partition = slot.key.partition.get(),
                "a write of this partition failed, so it takes no more until the broker is restarted: {reason}; {}",
                remedy(reason)
            );
        }
        self.end_waits(partition);
    }

    fn fence_directory(&mut self, reason: IoErrorKind) {
        tracing::error!(
            "the journal or the checkpoint could not be written, so this shard takes no more records until the broker is \
             restarted: {reason}; {}",
            remedy(reason)
        );
        self.disk = Disk::Failed;
        let partitions: Vec<_> = self.table.all().collect();
        for partition in partitions {
            self.end_waits(partition);
        }
        // Nothing is written any more, the removals neither; they are made again after a restart.
        for waiting in self.removals.values_mut().filter_map(|removal| removal.waiting.take()) {
            waiting.settle_one();
        }
    }

    /// Counts a removed partition in `removals` until its folder is free, or cannot become free any more.
    pub(crate) fn await_removal(&mut self, partition: PartitionId, name: TopicPartition, removals: &Rc<Countdown>) {
        let waiting = (!self.store.is_fenced()).then(|| Rc::clone(removals));
        if let Some(waiting) = &waiting {
            waiting.begin();
        }
        self.removals.insert(partition, Removal { name, waiting });
    }

    /// The names of removed partitions whose folders are not free.
    pub(crate) fn taken_folders(&self) -> impl Iterator<Item = TopicPartition> {
        self.removals.values().map(|removal| removal.name.clone())
    }

    /// Nothing more will be committed to the partition: whoever waits for it learns that now.
    pub(crate) fn end_waits(&mut self, partition: PartitionId) {
        if let Some(slot) = self.table.get_mut(partition) {
            slot.commits.end();
            if slot.is_group_log() {
                self.groups.end(slot.key.partition);
            }
        }
        self.deletions.end(partition);
        self.wake_watchers(partition);
    }
}

/// What an operator can do about a write that failed.
pub(crate) fn remedy(reason: IoErrorKind) -> &'static str {
    match reason {
        IoErrorKind::NoSpace => "give log.dirs more space",
        _ if is_out_of_descriptors(reason) => {
            "raise the limit of open files (ulimit -n, LimitNOFILE=), which a line of the start tells"
        }
        IoErrorKind::NotFound => "somebody has removed it from log.dirs; restore it from a backup",
        IoErrorKind::ShortWrite | IoErrorKind::Other(_) => {
            "look at the disk, and at what the kernel says of it (dmesg)"
        }
    }
}

fn is_out_of_descriptors(reason: IoErrorKind) -> bool {
    matches!(reason, IoErrorKind::Other(errno) if ringlog_reactor::is_out_of_descriptors(errno))
}

//! The metadata controller's shell, on shard 0: writes what the machine decides to `__cluster_metadata`, and publishes
//! images of what is committed.
//!
//! A change is answered when its records are committed and every shard has the image with it: whoever is told that a
//! topic exists can use it at once, through any connection.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use futures_channel::oneshot;
use ringlog_cluster::config::cordoned_log_dirs;
use ringlog_cluster::image::Image;
use ringlog_cluster::metadata::{Decision, Metadata, Registration, StartError as MetadataStartError};
use ringlog_cluster::quota::Usages;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::metadata_log::MetadataRecord;
use ringlog_net::wire::{EncodeError, Reader, Writer};
use ringlog_storage::LogDir;
use ringlog_storage::answer::{AppendError, AppendOrigin, PartitionId, PartitionOffsets};
use ringlog_storage::config::LogConfig;
use ringlog_storage::types::{LeaderEpoch, Millis, Nanos, Offset, PartitionIndex, TopicPartition, Uuid};

use crate::coordinator_log::{Encoded, LogPlace, LogRecord, TooLarge, append, batch, replay};
use crate::countdown::Countdown;
use crate::errand::on_first_shard;
use crate::event::Event;
use crate::limits::DECISION_BYTES_MAX;
use crate::message::{Call, Reply};
use crate::metrics::counters::Traffic;
use crate::partition::commit::Commits;
use crate::partition::replay::ReplayError;
use crate::partition::table::{PartitionKey, Slot};
use crate::random::{random_bits, random_id};
use crate::shard::Shard;
use crate::state::State;
use crate::topology;
use crate::turn::{Taken, Turn};

/// The name of the metadata log; Kafka's.
pub(crate) const METADATA_TOPIC: &str = "__cluster_metadata";
/// Where the metadata log is.
pub(crate) const METADATA_LOG: PartitionKey =
    PartitionKey { topic_id: Uuid::METADATA_TOPIC, partition: PartitionIndex::new(0) };
/// The epoch of the one controller. It never changes: one node is a quorum of one.
pub(crate) const CONTROLLER_EPOCH: LeaderEpoch = LeaderEpoch::new(1);

/// Gives the bits of ids to a decision.
pub(crate) type RandomBits<'a> = &'a mut dyn FnMut() -> u128;

/// The machine, and where its log is. Only shard 0 has one.
#[derive(Debug)]
pub(crate) struct Controller {
    metadata: Metadata,
    log: PartitionId,
    publications: Rc<Publications>,
}

/// Why the metadata log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// It cannot be read.
    #[error("{METADATA_TOPIC}-0: {0}")]
    Replay(#[from] ReplayError),
    /// It was written by a newer release, or this broker cannot be registered.
    #[error(transparent)]
    Start(#[from] MetadataStartError),
    /// Nothing can be written to it.
    #[error("{METADATA_TOPIC}-0 cannot be written: {0}; look at the disk")]
    Write(ErrorCode),
}

/// A decision to be taken, whatever it is about, and its reply.
pub(crate) struct Command(Box<Decide>);

type Decide = dyn FnOnce(&Metadata, RandomBits<'_>, &mut Usages, Nanos) -> Decision<AnyReply> + Send;

/// The reply to a [`Command`], or why it was not carried out.
pub(crate) type CommandReply = Result<AnyReply, ErrorCode>;

type AnyReply = Box<dyn Any + Send>;

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Command")
    }
}

/// Lets the controller take a decision, and answers once it is in force on every shard.
pub(crate) async fn decide<R: Send + 'static>(
    shard: &Shard,
    decide: impl FnOnce(&Metadata, RandomBits<'_>) -> Decision<R> + Send + 'static,
) -> Result<R, ErrorCode> {
    decide_and_count(shard, move |metadata, random, _, _| decide(metadata, random)).await
}

/// The same for a decision that counts what its client uses of a quota, now.
pub(crate) async fn decide_and_count<R: Send + 'static>(
    shard: &Shard,
    decide: impl FnOnce(&Metadata, RandomBits<'_>, &mut Usages, Nanos) -> Decision<R> + Send + 'static,
) -> Result<R, ErrorCode> {
    let command = Command(Box::new(move |metadata, random, usages, now| {
        let Decision { records, reply } = decide(metadata, random, usages, now);
        Decision { records, reply: Box::new(reply) as AnyReply }
    }));
    let reply = if shard.index() == 0 {
        submit(shard.clone(), command).await
    } else {
        match shard.call(0, Call::Command(Box::new(command))).await.reply().await {
            Reply::Command(reply) => *reply,
            other => unreachable!("a command is answered by its reply, not {other:?}"),
        }
    };
    reply.map(|reply| *reply.downcast().expect("a command answers with the reply of its decision"))
}

/// Takes the decision of a command. On shard 0 only.
pub(crate) async fn submit(shard: Shard, command: Command) -> CommandReply {
    let (now, monotonic) = (shard.wall_clock(), shard.now());
    let reactor = shard.reactor().clone();
    let mut random = move || random_bits(&reactor);
    let (reply, written, publications) = shard.with(|state| {
        let controller = state.controller.as_ref().expect("shard 0 has the controller");
        let publications = Rc::clone(&controller.publications);
        let Decision { records, reply } =
            (command.0)(&controller.metadata, &mut random, &mut state.quota_usages, monotonic);
        if records.is_empty() {
            return open_change(state).map(|open| (reply, open, publications));
        }
        write(state, &records, now).map(|written| (reply, Some(written), publications))
    })?;
    if let Some(Written { count, last_offset, image }) = written {
        count.settled().await;
        let committed = shard.with(|state| is_committed(state, last_offset));
        if !committed {
            return Err(ErrorCode::KafkaStorageError);
        }
        publish(&publications, image).await;
    }
    Ok(reply)
}

struct Written {
    count: Rc<Countdown>,
    last_offset: Offset,
    image: Arc<Image>,
}

/// Appends a decision.
fn write(state: &mut State, records: &[MetadataRecord], now: Millis) -> Result<Written, ErrorCode> {
    let batch = batch(records, now).map_err(|TooLarge| ErrorCode::RecordListTooLarge)?;
    let controller = state.controller.as_mut().expect("shard 0 has the controller");
    let place = LogPlace { id: controller.log, leader_epoch: CONTROLLER_EPOCH };
    let appended = append(&mut state.store, place, &mut controller.metadata, records, &batch, now);
    let last_offset = appended
        .map_err(|error| match error {
            AppendError::Backpressure => ErrorCode::RequestTimedOut,
            _ => ErrorCode::KafkaStorageError,
        })?
        .last_offset;
    let count = Rc::new(Countdown::default());
    state.table.get_mut(place.id).expect("the metadata log has its slot").commits.push(last_offset, &count);
    let image = Arc::new(controller.metadata.image().clone());
    Ok(Written { count, last_offset, image })
}

/// What is not committed yet of the state that decisions are taken from, or not in force yet. An answer that follows from
/// it has to wait for it, even one that changes nothing: a crash may still undo it, and other shards may not know of it.
fn open_change(state: &mut State) -> Result<Option<Written>, ErrorCode> {
    let controller = state.controller.as_ref().expect("shard 0 has the controller");
    let (log, image) = (controller.log, controller.metadata.image());
    let offsets = offsets(state)?;
    let is_committed = offsets.high_watermark >= offsets.log_end;
    if is_committed && controller.publications.in_force.get() >= image.offset() {
        return Ok(None);
    }
    let (image, last_offset) = (Arc::new(image.clone()), Offset::new(offsets.log_end.get() - 1));
    let count = Rc::new(Countdown::default());
    if !is_committed {
        if !state.store.commits(log) {
            return Err(ErrorCode::KafkaStorageError);
        }
        state.table.get_mut(log).expect("the metadata log has its slot").commits.push(last_offset, &count);
    }
    Ok(Some(Written { count, last_offset, image }))
}

/// The offsets of the metadata log, wherever this shard is.
pub(crate) async fn log_offsets(shard: &Shard) -> Result<PartitionOffsets, ErrorCode> {
    on_first_shard(shard, |shard| shard.with(|state| offsets(state))).await
}

/// The offsets of the metadata log. On shard 0 only.
pub(crate) fn offsets(state: &State) -> Result<PartitionOffsets, ErrorCode> {
    let log = state.controller.as_ref().expect("shard 0 has the controller").log;
    state.store.partition(log).ok_or(ErrorCode::KafkaStorageError)
}

impl LogRecord for MetadataRecord {
    const ORIGIN: AppendOrigin = AppendOrigin::Controller;
    const DECISION_BYTES_MAX: usize = DECISION_BYTES_MAX;

    fn to_log(&self) -> Result<Encoded, EncodeError> {
        let mut value = Writer::default();
        self.encode(&mut value, self.newest_version())?;
        Ok(Encoded { key: None, value: Some(value.into_bytes()) })
    }

    fn from_log(_: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let value = value.ok_or_else(|| "it has no value".to_owned())?;
        let (record, _) = Self::decode(&mut Reader::new(value)).map_err(|error| error.to_string())?;
        Ok(Some(record))
    }
}

fn is_committed(state: &State, last_offset: Offset) -> bool {
    offsets(state).is_ok_and(|offsets| offsets.high_watermark > last_offset)
}

/// Images that are committed and not in force yet, and who waits for that.
#[derive(Debug)]
pub(crate) struct Publications {
    waiting: RefCell<Vec<(Arc<Image>, oneshot::Sender<()>)>>,
    bell: Event,
    /// The offset of the image that every shard has.
    in_force: Cell<Offset>,
    /// Whose turn it is to change what shards open and close: the publisher's, or of who moves partitions.
    turn: Turn,
}

impl Publications {
    /// Waits until nobody changes what shards open and close.
    pub(crate) async fn turn(&self) -> Taken {
        self.turn.take().await
    }
}

impl Default for Publications {
    fn default() -> Self {
        let (waiting, bell, turn) = (RefCell::default(), Event::default(), Turn::default());
        Self { waiting, bell, in_force: Cell::new(Offset::UNKNOWN), turn }
    }
}

/// Has the image put in force everywhere.
async fn publish(publications: &Publications, image: Arc<Image>) {
    let (sender, published) = oneshot::channel();
    publications.waiting.borrow_mut().push((image, sender));
    publications.bell.ring();
    published.await.expect("the publisher runs for as long as the shard does");
}

/// Has the image that the broker starts with put in force everywhere.
pub(crate) async fn publish_first(shard: &Shard, image: Arc<Image>) {
    publish(&publications(shard), image).await;
}

/// What puts images in force. On shard 0 only.
pub(crate) fn publications(shard: &Shard) -> Rc<Publications> {
    shard.with(|state| {
        let controller = state.controller.as_ref().expect("shard 0 has the controller");
        Rc::clone(&controller.publications)
    })
}

/// Puts images in force, one after the other. Of those that wait, the newest is enough: it has what the others have.
async fn run_publisher(shard: Shard, publications: Rc<Publications>) {
    loop {
        publications.bell.wait().await;
        let waiting = publications.waiting.take();
        let Some(newest) = waiting.iter().map(|(image, _)| image).max_by_key(|image| image.offset()) else { continue };
        let turn = publications.turn().await;
        put_in_force(&shard, newest).await;
        drop(turn);
        publications.in_force.set(newest.offset());
        for (_, sender) in waiting {
            // Who asked may have given up.
            let _ = sender.send(());
        }
    }
}

/// A topic that is deleted and made again may move to another shard, which must find the folder free: all shards close
/// before any of them opens. Where it is not free and cannot become so, the partition is not opened.
async fn put_in_force(shard: &Shard, image: &Arc<Image>) {
    let closed = topology::close_missing(shard.clone(), Arc::clone(image));
    let (mut ground, replies) = everywhere(shard, || Call::Close(Arc::clone(image)), closed).await;
    for reply in replies {
        match reply {
            Reply::Closed(of_other) => ground.join(of_other),
            other => unreachable!("a shard that closes answers what is not free, not {other:?}"),
        }
    }
    let settings = shard.settings();
    let cordoned = cordoned_log_dirs(&settings.layers(image));
    let plan = shard.with(|state| ground.plan(image, &cordoned, &mut state.wanted_places));
    let plan = Arc::new(plan);
    let installed = async { topology::install(shard, Arc::clone(image), &plan) };
    everywhere(shard, || Call::Install(Arc::clone(image), Arc::clone(&plan)), installed).await;
}

/// Has every shard do something, this one included, and waits for all of them. Answers what this one and the others did.
pub(crate) async fn everywhere<T>(
    shard: &Shard,
    call: impl Fn() -> Call,
    here: impl Future<Output = T>,
) -> (T, Vec<Reply>) {
    let mut calls = Vec::with_capacity(shard.count());
    for other in 1..shard.count() {
        calls.push(shard.call(other, call()).await);
    }
    let mine = here.await;
    let mut replies = Vec::with_capacity(calls.len());
    for call in calls {
        replies.push(call.reply().await);
    }
    (mine, replies)
}

/// Reads the metadata log, registers this broker, and answers the image that the broker starts with.
pub(crate) async fn start(shard: &Shard, addresses: &[SocketAddr]) -> Result<Arc<Image>, ControllerError> {
    let settings = shard.settings();
    let mut metadata =
        Metadata::new(Arc::clone(&settings.cluster_id), settings.broker.node_id, Arc::clone(&settings.fixed));
    let log = open_log(shard, &metadata);
    replay(shard, METADATA_LOG, &mut metadata).await?;
    let mut listeners = settings.broker.listeners.clone();
    for (listener, address) in listeners.iter_mut().zip(addresses) {
        listener.port = address.port();
    }
    let registration = Registration {
        id: settings.broker.node_id,
        incarnation_id: random_id(shard.reactor()),
        listeners,
        rack: settings.broker.rack.clone(),
        directories: settings.log_dirs.iter().map(|directory| directory.id).collect(),
    };
    let records = metadata.register_broker(&registration)?.records;
    let now = shard.wall_clock();
    let publications = Rc::new(Publications::default());
    shard.reactor().spawn(run_publisher(shard.clone(), Rc::clone(&publications)));
    let written = shard.with(|state| {
        state.controller = Some(Controller { metadata, log, publications });
        write(state, &records, now)
    });
    let Written { count, last_offset, image } = written.map_err(ControllerError::Write)?;
    count.settled().await;
    if shard.with(|state| is_committed(state, last_offset)) {
        Ok(image)
    } else {
        Err(ControllerError::Write(ErrorCode::KafkaStorageError))
    }
}

fn open_log(shard: &Shard, metadata: &Metadata) -> PartitionId {
    let settings = shard.settings();
    let config = metadata.image().topic_config(METADATA_TOPIC, settings.broker.node_id, &settings.fixed);
    let name = TopicPartition::new(METADATA_TOPIC, METADATA_LOG.partition);
    shard.with(|state| {
        let log_config = topology::internal_log_config(&config, settings);
        // Everything that the cluster consists of is in it, however old.
        let log_config = LogConfig { retention_ms: None, retention_bytes: None, ..log_config };
        let id = state.store.create_partition(name, METADATA_LOG.topic_id, log_config, LogDir::HOME);
        let id = id.expect("it is the first one");
        let (topic, config) = (METADATA_TOPIC.into(), Arc::new(config));
        state.table.insert(
            id,
            Slot {
                key: METADATA_LOG,
                topic,
                config,
                leader_epoch: CONTROLLER_EPOCH,
                commits: Commits::default(),
                traffic: Traffic::default(),
            },
        );
        id
    })
}

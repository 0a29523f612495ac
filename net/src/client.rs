//! A Kafka client, without I/O: what `ringlog topic`, `ringlog produce`, `ringlog consume` and the benchmarks are made of.
//!
//! The driver owns sockets and a clock. It performs each [`Output`] of [`Client::poll_output`], tells the client what
//! happened ([`connected`](Client::connected), [`received`](Client::received), [`disconnected`](Client::disconnected)), wakes
//! it at [`next_deadline`](Client::next_deadline), and after each of these polls outputs and [events](Client::poll_event) until
//! there are none.
//!
//! What it does not do: groups, transactions, TLS, SASL, `read_committed`.

mod answers;
mod connection;
mod consumer;
mod drive;
mod metadata;
mod partitioner;
mod producer;
#[cfg(test)]
mod tests;

pub use connection::RESPONSE_BYTES_MAX;
pub use consumer::{ConsumedRecord, ConsumerConfig, Fetched, Start};
pub use metadata::{Metadata, Partition, Topic};
pub use partitioner::{murmur2, partition_of_key};
pub use producer::{Acks, BATCHES_IN_FLIGHT_MAX, BufferFull, Delivery, ProduceRecord, ProducerConfig};

use crate::error::ErrorCode;
use crate::messages::{ApiKey, Message, Request};
use crate::wire::{DecodeError, EncodeError, Reader};
use connection::{Completed, Connection};
use consumer::{Asked, Consumer};
use producer::{Producer, Sent};
use ringlog_buffer::Slice;
use ringlog_storage::types::{BrokerId, Nanos, Offset, TopicPartition};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Produce requests in flight to one broker at most.
pub const PRODUCE_REQUESTS_IN_FLIGHT_MAX: usize = 5;
/// Calls that wait for a connection at most; more panic, for a caller has lost count.
pub const CALLS_WAITING_MAX: usize = 10_000;

/// Where a broker listens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Names a connection from its [`Output::Connect`] on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(u64);

/// What the driver has to do.
#[derive(Debug)]
pub enum Output {
    /// Open a connection, and call [`Client::connected`] or [`Client::disconnected`].
    Connect(ConnectionId, Address),
    /// Send all of these pieces, in order.
    Send(ConnectionId, Vec<Slice>),
    /// Close the connection; the client has forgotten it.
    Close(ConnectionId),
}

/// What the client has to tell.
#[derive(Debug)]
pub enum Event {
    /// What became of produced records.
    Delivered(Delivery),
    /// Records. The partition is fetched from again once this event was polled.
    Fetched(Fetched),
    /// A partition cannot be read, and is not tried again until it is assigned anew.
    PartitionFailed(TopicPartition, ErrorCode),
    /// The answer to a call.
    Answered(CallId, Result<Answer, ClientError>),
    /// A connection could not be opened or was lost. The client goes on by itself.
    ConnectionLost(Address, String),
}

/// Why a call, or a connection, failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    /// The broker said so.
    #[error("{0}")]
    Broker(ErrorCode),
    /// The connection ended before the answer came; whether the request was performed is not known.
    #[error("the connection to the broker was lost before it answered")]
    Disconnected,
    /// No broker could be reached, or none answered, in time.
    #[error("no broker answered in time")]
    TimedOut,
    /// The broker serves no version of the request that this client speaks.
    #[error("the broker does not serve {0} in a version that this client knows")]
    NotServed(ApiKey),
    /// The broker sent what cannot be decoded.
    #[error("the broker's response is malformed: {0}")]
    Malformed(DecodeError),
    /// The request cannot be said in the version that both sides speak.
    #[error("the request cannot be sent to this broker: {0}")]
    Unencodable(EncodeError),
    /// A response that no request asked for.
    #[error("the broker sent a response that was not asked for")]
    UnexpectedResponse,
    /// A response with a negative size, or one over [`RESPONSE_BYTES_MAX`].
    #[error("the broker announced a response of an impossible size; is this a Kafka broker?")]
    ResponseSize,
}

/// Whom a call is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Any broker.
    Any,
    /// The broker that admin requests go to.
    Controller,
    /// This broker.
    Broker(BrokerId),
}

/// Names a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(u64);

/// A call, with the type of its answer.
#[derive(Debug)]
pub struct Call<R> {
    /// What [`Event::Answered`] names it.
    pub id: CallId,
    request: PhantomData<R>,
}

impl<R: Request> Call<R> {
    /// Decodes the answer to this call.
    pub fn decode(&self, answer: &Answer) -> Result<R::Response, ClientError> {
        Ok(R::Response::decode(&mut Reader::new(&answer.body), answer.version)?)
    }
}

/// The body of an answer; see [`Call::decode`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    version: i16,
    body: Vec<u8>,
}

/// How the client behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientConfig {
    /// The name that brokers see.
    pub client_id: String,
    /// A request without an answer for so long ends its connection.
    pub request_timeout: Duration,
    /// Pause before a request or a connection is tried again.
    pub retry_backoff: Duration,
    /// Metadata is asked for again when it is older.
    pub metadata_age_max: Duration,
    /// Whether brokers may create topics that are produced to.
    pub allow_auto_topic_creation: bool,
    /// How records are produced.
    pub producer: ProducerConfig,
    /// How records are consumed.
    pub consumer: ConsumerConfig,
    /// Decides where records without key go.
    pub seed: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            client_id: "ringlog".to_owned(),
            request_timeout: Duration::from_secs(30),
            retry_backoff: Duration::from_millis(100),
            metadata_age_max: Duration::from_mins(5),
            allow_auto_topic_creation: true,
            producer: ProducerConfig::default(),
            consumer: ConsumerConfig::default(),
            seed: 0,
        }
    }
}

/// What a request was sent for.
#[derive(Debug)]
enum Purpose {
    Metadata,
    Call(CallId),
    Identity,
    Produce(Vec<Sent>),
    Resolve(Vec<Asked>),
    Fetch(Vec<Asked>),
}

/// Encodes and sends a request, whose type it has kept.
type SendCall = Box<dyn FnOnce(&mut Connection<Purpose>, Nanos) -> Result<(), ClientError>>;

/// A call that has not been sent.
struct Waiting {
    id: CallId,
    target: Target,
    deadline: Nanos,
    send: SendCall,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiting({:?} for {:?})", self.id, self.target)
    }
}

#[derive(Debug)]
struct Peer {
    address: Address,
    connection: Connection<Purpose>,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    bootstrap: Vec<Address>,
    peers: BTreeMap<ConnectionId, Peer>,
    /// When an address that failed may be tried again.
    retry_at: BTreeMap<Address, Nanos>,
    metadata: Metadata,
    producer: Producer,
    consumer: Consumer,
    calls: VecDeque<Waiting>,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
    next_id: u64,
    /// When everything that could be done was done.
    driven_at: Nanos,
    /// Which of the known addresses is tried next when any will do.
    rotation: usize,
}

impl Client {
    /// A client that finds its cluster through `bootstrap`. Panics if that is empty.
    pub fn new(config: ClientConfig, bootstrap: Vec<Address>) -> Self {
        assert!(!bootstrap.is_empty(), "a client needs an address to begin with");
        Self {
            producer: Producer::new(config.producer, config.seed),
            consumer: Consumer::new(config.consumer),
            config,
            bootstrap,
            peers: BTreeMap::new(),
            retry_at: BTreeMap::new(),
            metadata: Metadata::default(),
            calls: VecDeque::new(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            next_id: 0,
            driven_at: Nanos::new(0),
            rotation: 0,
        }
    }

    /// What is known about the cluster.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Sends any request, once. [`Event::Answered`] brings the answer; errors in it are the caller's affair.
    pub fn call<R: Request + 'static>(&mut self, target: Target, request: R, now: Nanos) -> Call<R> {
        assert!(self.calls.len() < CALLS_WAITING_MAX, "too many calls wait for a connection");
        let id = CallId(self.fresh_id());
        let deadline = now.saturating_add(self.config.request_timeout);
        let send = Box::new(move |connection: &mut Connection<Purpose>, now| {
            connection.send(&request, i16::MAX, Purpose::Call(id), now)
        });
        self.calls.push_back(Waiting { id, target, deadline, send });
        Call { id, request: PhantomData }
    }

    /// Has the metadata of a topic looked up.
    pub fn want_topic(&mut self, topic: &Arc<str>) {
        self.metadata.want(topic);
    }

    /// Queues a record. [`Event::Delivered`] tells what became of it.
    pub fn produce(&mut self, record: &ProduceRecord<'_>, now: Nanos) -> Result<(), BufferFull> {
        self.metadata.want(record.topic);
        self.producer.push(record, &self.metadata, now)
    }

    /// Sends what was produced so far without waiting for batches to become full.
    pub fn flush(&mut self) {
        self.producer.flush();
    }

    /// Whether every record that was produced has been told about, or is about to be.
    pub fn all_delivered(&self) -> bool {
        self.producer.is_empty()
    }

    /// Reads a partition from `start` on; also moves one that is assigned already.
    pub fn assign(&mut self, partition: TopicPartition, start: Start) {
        self.metadata.want(&partition.topic);
        self.consumer.assign(partition, start);
    }

    /// Reads a partition no more.
    pub fn unassign(&mut self, partition: &TopicPartition) {
        self.consumer.unassign(partition);
    }

    /// The offset that is read next, once it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    /// The connection is open.
    pub fn connected(&mut self, id: ConnectionId, now: Nanos) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Err(error) = peer.connection.connected(now) {
            self.abandon(id, &error.to_string(), now);
        }
    }

    /// Bytes have arrived.
    pub fn received(&mut self, id: ConnectionId, bytes: &[u8], now: Nanos) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match peer.connection.received(bytes, now) {
            Ok(completed) => {
                for each in completed {
                    self.complete(each, now);
                }
            }
            Err(error) => self.abandon(id, &error.to_string(), now),
        }
    }

    /// The connection could not be opened, or has ended; `reason` is for people.
    pub fn disconnected(&mut self, id: ConnectionId, reason: &str, now: Nanos) {
        let Some(peer) = self.peers.remove(&id) else { return };
        self.retry_at.insert(peer.address.clone(), now.saturating_add(self.config.retry_backoff));
        self.events.push_back(Event::ConnectionLost(peer.address, reason.to_owned()));
        self.metadata.invalidate();
        for purpose in peer.connection.into_purposes() {
            self.lost(purpose, now);
        }
    }

    fn abandon(&mut self, id: ConnectionId, reason: &str, now: Nanos) {
        self.outputs.push_back(Output::Close(id));
        self.disconnected(id, reason, now);
    }

    /// What the driver has to do next; `None` until something happens.
    pub fn poll_output(&mut self, now: Nanos) -> Option<Output> {
        if self.outputs.is_empty() {
            self.drive(now);
        }
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        self.peers.iter_mut().find_map(|(id, peer)| Some(Output::Send(*id, peer.connection.transmit()?)))
    }

    /// What the client has to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Fetched(fetched) = &event {
            self.consumer.taken(&fetched.partition);
        }
        Some(event)
    }

    /// When to call [`poll_output`](Self::poll_output) again if nothing happens before. What could be done at the last
    /// poll was done then, so only later times count.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let requests = self.peers.values().filter_map(|peer| peer.connection.deadline());
        let calls = self.calls.iter().map(|call| call.deadline);
        let metadata = self.metadata.due(self.config.metadata_age_max);
        let addresses = self.retry_at.values().copied();
        let others = [metadata, self.producer.deadline(), self.consumer.deadline()];
        let all = requests.chain(calls).chain(addresses).chain(others.into_iter().flatten());
        all.filter(|deadline| *deadline > self.driven_at).min()
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn retry_time(&self, now: Nanos) -> Nanos {
        now.saturating_add(self.config.retry_backoff)
    }
}

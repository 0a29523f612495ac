//! A broker that does nothing: it makes topics out of air, and answers every produce request at once. What a load measures
//! of it is the load's own share: its connections, its timers, the loopback interface and the reactor that both use.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;

use anyhow::{Context as _, anyhow, bail};
use ringlog_buffer::{Chunk, Slice};
use ringlog_net::messages::create_topics::{CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse};
use ringlog_net::messages::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ringlog_net::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ringlog_net::messages::produce::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use ringlog_net::messages::{ApiKey, Message};
use ringlog_net::wire::{Reader, Writer};
use ringlog_reactor::{BackendChoice, Limits, ListenOptions, Listener, Mesh, Reactor, ShardSpec, Shards, launch};
use ringlog_storage::types::Uuid;

use crate::client::{Connection, Receive};

/// Topics that it can have.
const TOPICS_MAX: usize = 1_000;
const SIZE_FIELD_BYTES: usize = 4;
const NODE_ID: i32 = 0;

/// A null broker on a thread of its own.
#[derive(Debug)]
pub(crate) struct NullBroker {
    shards: Shards<anyhow::Result<()>>,
    pub(crate) address: SocketAddr,
    /// It ends when this connection does.
    leash: TcpStream,
}

impl NullBroker {
    /// Starts it on a core. `receive` tells what suits the requests that will come.
    pub(crate) fn start(core: usize, receive: Receive) -> anyhow::Result<Self> {
        let (tell, told) = mpsc::channel();
        let main = move |reactor: Reactor, _mesh: Mesh<()>| serve(reactor, receive, tell.clone());
        let specs = [ShardSpec { core: Some(core) }];
        let shards = launch(&specs, BackendChoice::Auto, Limits::default(), main)?;
        let address = told.recv().context("the null broker does not listen")?;
        let leash = TcpStream::connect(address).context("the null broker's port")?;
        Ok(Self { shards, address, leash })
    }

    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.leash.flush().context("the null broker has ended before")?;
        drop(self.leash);
        let ended = self.shards.join().map_err(|_| anyhow!("the null broker has panicked"))?;
        ended.into_iter().next().context("one shard")?
    }
}

/// What it knows: its port, and the topics that it was asked for.
#[derive(Debug)]
struct State {
    port: u16,
    topics: RefCell<BTreeMap<Uuid, (String, i32)>>,
}

async fn serve(reactor: Reactor, receive: Receive, tell: mpsc::Sender<SocketAddr>) -> anyhow::Result<()> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = reactor.listen(any, ListenOptions::default()).await.context("the null broker")?;
    tell.send(listener.local_addr()).context("who started the null broker")?;
    let (leash, _) = listener.accept().await.context("the null broker")?;
    drop(reactor.spawn(accept(reactor.clone(), listener, receive)));
    // Nothing ever comes: this waits for its end.
    while !leash.recv().await.context("the null broker's leash")?.is_empty() {}
    Ok(())
}

/// Answers every client, for ever.
pub(crate) async fn accept(reactor: Reactor, listener: Listener, receive: Receive) {
    let state = Rc::new(State { port: listener.local_addr().port(), topics: RefCell::default() });
    while let Ok((socket, _)) = listener.accept().await {
        let (connection, state) = (Connection::over(socket, receive), Rc::clone(&state));
        drop(reactor.spawn(async move {
            if let Err(error) = converse(connection, &state).await {
                eprintln!("ringlog-bench: the null broker: {error:#}");
            }
        }));
    }
}

/// Answers one client until it goes away. What has arrived together is answered together.
async fn converse(mut connection: Connection, state: &State) -> anyhow::Result<()> {
    let sender = connection.sender();
    while let Ok(request) = connection.response().await {
        let mut responses = vec![answer(&request, state)?];
        while let Some(request) = connection.arrived()? {
            responses.push(answer(&request, state)?);
        }
        // A client that has gone away is noticed when nothing more comes.
        drop(sender.send(responses).await);
    }
    Ok(())
}

/// The response to a request frame without its size field.
fn answer(request: &[u8], state: &State) -> anyhow::Result<Slice> {
    let mut r = Reader::new(request);
    let key = ApiKey::from_i16(r.i16()?).context("a key that Kafka does not have")?;
    let version = r.i16()?;
    let correlation_id = r.i32()?;
    r.opt_str(false, true)?;
    if key.request_header_version(version) >= 2 {
        r.tagged_fields(|_, _| Ok(false))?;
    }
    let mut w = Writer::new();
    w.i32(0);
    w.i32(correlation_id);
    if key.response_header_version(version) >= 1 {
        w.tagged_fields();
    }
    match key {
        ApiKey::Produce => produce(&mut r)?.encode(&mut w, version)?,
        ApiKey::Fetch => fetch(&FetchRequest::decode(&mut r, version)?).encode(&mut w, version)?,
        ApiKey::Metadata => state.metadata(MetadataRequest::decode(&mut r, version)?).encode(&mut w, version)?,
        ApiKey::CreateTopics => state.create(CreateTopicsRequest::decode(&mut r, version)?)?.encode(&mut w, version)?,
        _ => bail!("no answer to {key}"),
    }
    w.patch_i32(0, i32::try_from(w.len() - SIZE_FIELD_BYTES)?);
    let bytes = w.into_bytes();
    let mut chunk = Chunk::with_capacity(bytes.len());
    chunk.append(&bytes);
    Ok(chunk.freeze())
}

/// Success, for a request of one partition. It is read to the partition's index and no further: the records are not copied.
fn produce(r: &mut Reader<'_>) -> anyhow::Result<impl Message> {
    r.opt_str(true, true)?;
    r.i16()?;
    r.i32()?;
    r.varint()?;
    let topic_id = r.uuid()?;
    r.varint()?;
    let index = r.i32()?;
    let partition = PartitionProduceResponse { index, ..PartitionProduceResponse::default() };
    let topic =
        TopicProduceResponse { topic_id, partition_responses: vec![partition], ..TopicProduceResponse::default() };
    Ok(ProduceResponse { responses: vec![topic], ..ProduceResponse::default() })
}

/// No records.
fn fetch(request: &FetchRequest) -> FetchResponse {
    let topics = request.topics.iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition);
        let partitions = indexes.map(|partition_index| PartitionData { partition_index, ..PartitionData::default() });
        FetchableTopicResponse {
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
            ..FetchableTopicResponse::default()
        }
    });
    FetchResponse { responses: topics.collect(), ..FetchResponse::default() }
}

impl State {
    fn create(&self, request: CreateTopicsRequest) -> anyhow::Result<CreateTopicsResponse> {
        let mut topics = self.topics.borrow_mut();
        let mut results = Vec::new();
        for topic in request.topics {
            if topics.len() == TOPICS_MAX {
                bail!("more than {TOPICS_MAX} topics");
            }
            let topic_id = Uuid::from_u128(u128::try_from(topics.len())? + 1);
            topics.insert(topic_id, (topic.name.clone(), topic.num_partitions));
            let num_partitions = topic.num_partitions;
            results.push(CreatableTopicResult {
                name: topic.name,
                topic_id,
                num_partitions,
                replication_factor: 1,
                ..CreatableTopicResult::default()
            });
        }
        Ok(CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() })
    }

    fn metadata(&self, request: MetadataRequest) -> MetadataResponse {
        let topics = self.topics.borrow();
        let asked = request.topics.unwrap_or_default();
        let known = asked.iter().filter_map(|topic| Some((topic.topic_id, topics.get(&topic.topic_id)?)));
        let answers = known.map(|(topic_id, (name, partitions))| MetadataResponseTopic {
            name: Some(name.clone()),
            topic_id,
            partitions: (0..*partitions).map(partition).collect(),
            ..MetadataResponseTopic::default()
        });
        let node = MetadataResponseBroker {
            node_id: NODE_ID,
            host: "127.0.0.1".to_owned(),
            port: i32::from(self.port),
            ..MetadataResponseBroker::default()
        };
        MetadataResponse { brokers: vec![node], topics: answers.collect(), ..MetadataResponse::default() }
    }
}

fn partition(partition_index: i32) -> MetadataResponsePartition {
    MetadataResponsePartition {
        partition_index,
        leader_id: NODE_ID,
        replica_nodes: vec![NODE_ID],
        isr_nodes: vec![NODE_ID],
        ..MetadataResponsePartition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::{self, Acks, FetchLimits, TopicIdPartition};

    #[test]
    fn it_answers_what_a_load_asks() {
        let state = State { port: 1, topics: RefCell::default() };
        let ask = |frame: Slice| answer(&frame[SIZE_FIELD_BYTES..], &state).expect("an answer");
        let created = ask(requests::create_topic("a", 2, &[], requests::Intent::Apply).expect("a request"));
        assert!(created.windows(2).any(|window| window == [2, b'a']));
        let topic_id = Uuid::from_u128(1);
        let told = ask(requests::metadata(&[topic_id]).expect("a request"));
        let mut r = requests::body(&told[SIZE_FIELD_BYTES..], ApiKey::Metadata, 13).expect("a header");
        let metadata = MetadataResponse::decode(&mut r, 13).expect("a response");
        assert_eq!((metadata.topics.len(), metadata.topics[0].partitions.len()), (1, 2));
        let produced = ask(requests::produce(topic_id, 1, Acks::All, b"a batch").expect("a request"));
        requests::check_produced(&produced[SIZE_FIELD_BYTES..]).expect("success");
        let limits = FetchLimits { bytes_max: 1, wait_ms: 0 };
        let fetched =
            ask(requests::fetch_all([(TopicIdPartition { topic_id, partition: 1 }, 0)], limits).expect("a request"));
        let fetched = requests::check_fetched(&fetched[SIZE_FIELD_BYTES..]).expect("success");
        assert_eq!(fetched, requests::Fetched { bytes: 0, next_offset: None });
    }
}

//! `scene`: a broker and its clients in one process, and a fixed number of requests: what `gate` counts the work of.
//!
//! In the simulator everything is the same from run to run, so two runs of different lengths tell what one request
//! takes, without what start and end take. On a real ring one client has one request in flight, for the same reason.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::ValueEnum;
use ringlog_broker::{Addresses, Logging, ShardMessage, Start, run_shard};
use ringlog_buffer::Slice;
use ringlog_cluster::config::{BrokerConfig, ConfigLayers, Sources, StaticConfig};
use ringlog_net::messages::create_topics::CreateTopicsResponse;
use ringlog_net::wire::Reader;
use ringlog_reactor::sim::{DiskOptions, NetworkOptions, Node, Sim, SimOptions};
use ringlog_reactor::{BackendChoice, Limits, Mesh, Reactor, ShardSpec, launch};
use ringlog_storage::types::{Millis, Uuid};
use serde::{Deserialize, Serialize};

use crate::Setup;
use crate::broker;
use crate::client::{Connection, Receive};
use crate::payload::Payload;
use crate::requests::{self, Acks};

/// Any seed would do. With this one a turn of the broker polls many tasks.
const SEED: u64 = 1;
/// Where the simulated broker listens.
const PORT: u16 = 9092;
/// Virtual time of one way through the simulated network, and of a durable write.
const NETWORK_LATENCY: Duration = Duration::from_micros(20);
const DISK_LATENCY: Duration = Duration::from_micros(100);
/// Virtual time of a turn.
const TURN: Duration = Duration::from_micros(1);
const MEMORY_BYTES: usize = 256 << 20;
/// Batches in the partition that the fetches read the last of.
const FETCHED_BATCHES: usize = 16;
const FETCH_BYTES_MAX: i32 = 1 << 20;
/// The time of every record. It is that of the simulated clock; the real one may be later.
const RECORD_TIME: Millis = Millis::new(1_700_000_000_000);
const SIZE_FIELD_BYTES: usize = 4;
const RESPONSE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    scene: Scene,
    /// Requests of each connection.
    times: u32,
    /// On a ring of this kernel, one request in flight.
    #[arg(long)]
    uring: bool,
}

/// What is asked of the broker. Every write is durable before its acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub(crate) enum Scene {
    /// One record of 100 bytes a request.
    ProduceOne,
    /// 16 records in a batch of 1 KiB.
    ProduceSixteen,
    /// One record of 100 bytes a request, 64 connections, each with one request in flight.
    ProduceMany,
    /// A batch of 1 MiB.
    ProduceLarge,
    /// The last batch, from memory.
    FetchTail,
}

impl Scene {
    pub(crate) const ALL: [Self; 5] =
        [Self::ProduceOne, Self::ProduceSixteen, Self::ProduceMany, Self::ProduceLarge, Self::FetchTail];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ProduceOne => "produce-one",
            Self::ProduceSixteen => "produce-sixteen",
            Self::ProduceMany => "produce-many",
            Self::ProduceLarge => "produce-large",
            Self::FetchTail => "fetch-tail",
        }
    }

    pub(crate) const fn connections(self) -> u32 {
        if matches!(self, Self::ProduceMany) { 64 } else { 1 }
    }

    fn batch(self) -> anyhow::Result<Vec<u8>> {
        let payload = match self {
            Self::ProduceOne | Self::ProduceMany | Self::FetchTail => Payload::random(100, 0),
            Self::ProduceSixteen => Payload::random(50, 1024),
            Self::ProduceLarge => Payload::random(1024, 1 << 20),
        };
        payload.batches(RECORD_TIME)?.pop().context("a batch")
    }

    /// What is sent before the requests that count, each of them once.
    pub(crate) fn preparation(self, topic: Uuid) -> anyhow::Result<Vec<Slice>> {
        let produce = requests::produce(topic, 0, Acks::All, &self.batch()?)?;
        Ok(vec![produce; FETCHED_BATCHES])
    }

    /// The request that counts.
    pub(crate) fn request(self, topic: Uuid) -> anyhow::Result<Slice> {
        match self {
            Self::FetchTail => requests::fetch(topic, 0, i64::try_from(FETCHED_BATCHES - 1)?, FETCH_BYTES_MAX),
            _ => requests::produce(topic, 0, Acks::All, &self.batch()?),
        }
    }

    /// Whether the response is what this scene is about.
    pub(crate) fn check(self, response: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::FetchTail => ensure!(requests::check_fetched(response)?.bytes > 0, "a fetch brought nothing"),
            _ => requests::check_produced(response)?,
        }
        Ok(())
    }
}

/// What the simulator has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Turns of the shard; on a ring each is one `io_uring_enter`.
    pub(crate) turns: u64,
    /// Operations of the reactor.
    pub(crate) operations: u64,
}

/// Prints what was counted as JSON.
pub(crate) fn run(setup: &Setup, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.uring {
        return on_ring(setup, arguments.scene, arguments.times);
    }
    let counted = in_simulator(arguments.scene, arguments.times)?;
    println!("{}", serde_json::to_string(&counted)?);
    Ok(())
}

/// Runs the scene in the simulator.
fn in_simulator(scene: Scene, times: u32) -> anyhow::Result<Counted> {
    let mut sim = Sim::new(SEED, options());
    let (node, address) = start_broker(&mut sim)?;
    sim.block_on("clients", move |reactor| async move { clients(reactor, address, scene, times).await })?;
    let work = sim.work(node);
    Ok(Counted { turns: work.turns, operations: work.operations.values().sum() })
}

/// Starts a broker of one shard, and answers where it will listen.
pub(crate) fn start_broker(sim: &mut Sim) -> anyhow::Result<(Node, SocketAddr)> {
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    let start = start("data", address, |_| {})?;
    let node = sim.start_node("broker", 1, move |reactor: Reactor, mesh: Mesh<ShardMessage>| {
        let start = start.clone();
        async move { drop(run_shard(reactor, mesh, start).await) }
    });
    Ok((node, sim.address(node, PORT)))
}

/// Nothing of the world's time is left to chance, so that a change of the broker changes no count but its own.
pub(crate) fn options() -> SimOptions {
    SimOptions {
        disk: DiskOptions {
            latency: Duration::ZERO..=Duration::ZERO,
            flush_latency: DISK_LATENCY..=DISK_LATENCY,
            outliers_per_mille: 0,
            ..DiskOptions::default()
        },
        network: NetworkOptions {
            latency: NETWORK_LATENCY..=NETWORK_LATENCY,
            window_bytes: 4 << 20,
            segment_bytes_max: 4 << 20,
            cuts_per_mille: 0,
            losses_per_mille: 0,
            ..NetworkOptions::default()
        },
        limits: Limits::default(),
        turn_cost: TURN..=TURN,
        ..SimOptions::default()
    }
}

async fn clients(reactor: Reactor, address: SocketAddr, scene: Scene, times: u32) -> anyhow::Result<()> {
    let mut first = loop {
        match Connection::open(&reactor, address, Receive::Pooled).await {
            Ok(connection) => break connection,
            // The broker does not listen yet.
            Err(_) => reactor.sleep(Duration::from_millis(1)).await,
        }
    };
    let topic = first.create_topic("scene", 1).await?;
    for frame in scene.preparation(topic)? {
        requests::check_produced(&first.call(frame).await?)?;
    }
    let request = scene.request(topic)?;
    let mut tasks = Vec::new();
    for _ in 0..scene.connections() {
        let mut connection = Connection::open(&reactor, address, Receive::Pooled).await?;
        let request = request.clone();
        tasks.push(reactor.spawn(async move {
            for _ in 0..times {
                scene.check(&connection.call(request.clone()).await?)?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// Runs the scene on a ring of this kernel, with a client that blocks. The process ends with it: there is nothing to be
/// kept.
fn on_ring(setup: &Setup, scene: Scene, times: u32) -> anyhow::Result<()> {
    ensure!(scene.connections() == 1, "several connections share turns as the moment wants it");
    let data = broker::folder(setup)?.join(format!("scene-{}", std::process::id()));
    drop(fs::remove_dir_all(&data));
    let ended = converse(&data, scene, times);
    drop(fs::remove_dir_all(&data));
    ended?;
    std::process::exit(0)
}

fn converse(data: &Path, scene: Scene, times: u32) -> anyhow::Result<()> {
    let (tell, told) = mpsc::channel();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let start = start(&data.display().to_string(), any, move |addresses| drop(tell.send(addresses.listeners.clone())))?;
    let main = move |reactor: Reactor, mesh: Mesh<ShardMessage>| {
        let start = start.clone();
        async move { drop(run_shard(reactor, mesh, start).await) }
    };
    let _shards = launch(&[ShardSpec { core: None }], BackendChoice::Uring, Limits::default(), main)?;
    let addresses = told.recv().context("the broker has not started")?;
    let mut client = Blocking::open(*addresses.first().context("an address")?)?;
    let topic = client.create_topic("scene")?;
    for frame in scene.preparation(topic)? {
        requests::check_produced(client.call(&frame)?)?;
    }
    let request = scene.request(topic)?;
    for _ in 0..times {
        scene.check(client.call(&request)?)?;
    }
    Ok(())
}

/// A connection that blocks.
struct Blocking {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Blocking {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; RESPONSE_BYTES_MAX] })
    }

    /// Sends a request; answers the response without its size field.
    fn call(&mut self, frame: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(frame)?;
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(count > 0, "the broker has closed the connection, or its response is too long");
            filled += count;
            let Some(size) = self.buffer[..filled].first_chunk::<SIZE_FIELD_BYTES>() else { continue };
            let wanted = SIZE_FIELD_BYTES + usize::try_from(i32::from_be_bytes(*size))?;
            if filled >= wanted {
                return Ok(&self.buffer[SIZE_FIELD_BYTES..wanted]);
            }
        }
    }

    fn create_topic(&mut self, name: &str) -> anyhow::Result<Uuid> {
        let frame = self.call(&requests::create_topic(name, 1, &[], requests::Intent::Apply)?)?;
        let mut r = Reader::new(frame);
        r.i32()?;
        r.tagged_fields(|_, _| Ok(false))?;
        let response = CreateTopicsResponse::decode(&mut r, requests::CREATE_TOPICS_VERSION)?;
        let topic = response.topics.first().context("the topic's answer")?;
        if topic.error_code != 0 {
            bail!("topic {name}: error {}", topic.error_code);
        }
        Ok(topic.topic_id)
    }
}

/// A broker as its users start it.
fn start(
    data: &str,
    address: SocketAddr,
    on_listening: impl Fn(&Addresses) + Send + Sync + 'static,
) -> anyhow::Result<Start> {
    let set = [
        format!("listeners=PLAINTEXT://{address}"),
        format!("advertised.listeners=PLAINTEXT://localhost:{PORT}"),
        format!("log.dirs={data}"),
    ];
    let (fixed, _) =
        StaticConfig::load(&Sources { set: &set, ..Sources::default() }).map_err(|errors| anyhow!("{errors:?}"))?;
    let broker =
        BrokerConfig::new(&ConfigLayers::of_start(&fixed), "localhost").map_err(|errors| anyhow!("{errors:?}"))?;
    Ok(Start {
        broker: Arc::new(broker),
        fixed: Arc::new(fixed),
        cluster_id: None,
        addresses: vec![address],
        admin_address: None,
        shard_memory_bytes: MEMORY_BYTES,
        journal_bytes_max: 256 << 20,
        open_files_max: 0,
        store_sizes: None,
        logging: Logging::default(),
        on_listening: Arc::new(on_listening),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_counts_the_same_each_time() {
        for scene in [Scene::ProduceOne, Scene::FetchTail] {
            let counts = || in_simulator(scene, 10).expect("it ends well");
            assert_eq!(counts(), counts());
        }
    }

    #[test]
    fn one_request_takes_a_few_turns() {
        let counted = |times| in_simulator(Scene::ProduceOne, times).expect("it ends well");
        let (few, many) = (counted(10), counted(110));
        assert!((100..1000).contains(&(many.turns - few.turns)), "{few:?} {many:?}");
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for scene in Scene::ALL {
            assert_eq!(Scene::from_str(scene.name(), false), Ok(scene));
        }
    }
}

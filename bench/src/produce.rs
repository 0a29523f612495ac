//! Produce, closed loop: broker CPU per GB of large batches, broker CPU per small durable request. Targets are those of
//! `compare`, in bench/matrix.

use anyhow::Context as _;
use clap::ValueEnum;
use ringlog_buffer::Slice;
use ringlog_storage::types::{Millis, Uuid};

use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::descriptors;
use crate::load::{self, Load, Measured};
use crate::payload::Payload;
use crate::ranges::{self, within};
use crate::report::{Target, figure, gigabytes, number};
use crate::requests::{self, Acks};

/// The largest batch that a topic accepts by default is a little larger.
const LARGE_BATCH_BYTES: usize = 1024 * 1024;
const LARGE_RECORD_BYTES: usize = 1024;
const SMALL_RECORD_BYTES: usize = 100;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    workload: Workload,
    /// Connections [default: 4 with large batches, 64 with small ones].
    #[arg(long, value_parser = within::<usize>(ranges::CONNECTIONS))]
    connections: Option<usize>,
    /// Requests that a connection has in flight [default: 2 with large batches, 1 with small ones].
    #[arg(long, value_parser = within::<usize>(ranges::IN_FLIGHT))]
    in_flight: Option<usize>,
    /// Partitions; each connection writes to one of them [default: 4 with large batches, 16 with small ones].
    #[arg(long, value_parser = within::<i32>(ranges::PARTITIONS))]
    partitions: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Workload {
    /// Records of 1 KiB in batches of 1 MiB, acks=all.
    Large,
    /// One record of 100 bytes a request, acks=all.
    Small,
}

/// What one run produces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) record_bytes: usize,
    /// 0 for one record.
    pub(crate) batch_bytes: usize,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) partitions: i32,
}

impl Shape {
    /// Records of 1 KiB in batches of 1 MiB.
    pub(crate) const LARGE: Self = Self {
        record_bytes: LARGE_RECORD_BYTES,
        batch_bytes: LARGE_BATCH_BYTES,
        connections: 4,
        in_flight: 2,
        partitions: 4,
    };
    /// One record of 100 bytes a request.
    pub(crate) const SMALL: Self =
        Self { record_bytes: SMALL_RECORD_BYTES, batch_bytes: 0, connections: 64, in_flight: 1, partitions: 16 };

    /// The request for one partition.
    pub(crate) fn frame(&self, load: &Load, topic: Uuid, partition: i32) -> anyhow::Result<Slice> {
        let now = Millis::new(load.reactor.wall_clock_ms());
        let batches = Payload::random(self.record_bytes, self.batch_bytes).batches(now)?;
        requests::produce(topic, partition, Acks::All, batches.first().context("a batch")?)
    }

    /// Opens the connections and lets each write to one partition for ever.
    pub(crate) async fn spawn(&self, load: &Load, topic: Uuid) -> anyhow::Result<()> {
        let partitions = (0..self.partitions).map(|partition| self.frame(load, topic, partition));
        let frames: Vec<Slice> = partitions.collect::<anyhow::Result<_>>()?;
        for frame in frames.iter().cycle().take(self.connections) {
            load.spawn_producer(vec![frame.clone()], self.in_flight).await?;
        }
        Ok(())
    }
}

pub(crate) fn run(setup: &Setup, arguments: &Arguments) -> anyhow::Result<()> {
    let of_workload = match arguments.workload {
        Workload::Large => Shape::LARGE,
        Workload::Small => Shape::SMALL,
    };
    let shape = Shape {
        connections: arguments.connections.unwrap_or(of_workload.connections),
        in_flight: arguments.in_flight.unwrap_or(of_workload.in_flight),
        partitions: arguments.partitions.unwrap_or(of_workload.partitions),
        ..of_workload
    };
    descriptors::make_room(shape.connections)?;
    println!("produce: {shape:?}");
    let mut runs = Vec::new();
    for _ in 0..setup.runs() {
        runs.push(measure(setup, shape)?);
    }
    let each = |of: fn(&Measured) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
    let per_gb = each(|run| run.broker_cpu_seconds / gigabytes(run.produced_bytes));
    let per_request = each(|run| 1e6 * run.broker_cpu_seconds / number(run.requests));
    match arguments.workload {
        Workload::Large => figure("broker CPU", "s/GB", &per_gb, Target::None),
        Workload::Small => figure("broker CPU", "us/request", &per_request, Target::None),
    }
    figure("throughput", "GB/s", &each(|run| gigabytes(run.produced_bytes) / run.seconds), Target::None);
    figure("requests", "/s", &each(|run| number(run.requests) / run.seconds), Target::None);
    figure("broker CPU", "cores", &each(|run| run.broker_cpu_seconds / run.seconds), Target::None);
    figure("load CPU", "cores", &each(|run| run.load_cpu_seconds / run.seconds), Target::None);
    Ok(())
}

fn measure(setup: &Setup, shape: Shape) -> anyhow::Result<Measured> {
    let mut broker = Broker::start(setup, Cores::One)?;
    let duration = setup.measured();
    let measured = load::run(&mut broker, setup, move |load| async move {
        let topic = load.connect(crate::client::Receive::Pooled).await?.create_topic("bench", shape.partitions).await?;
        shape.spawn(&load, topic).await?;
        load.measure(duration).await
    })?;
    broker.stop()?;
    Ok(measured)
}

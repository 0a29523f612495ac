//! Fetch: broker CPU per GB from memory, of the tail while it is produced, and from the disk. Targets are those of
//! `compare`, in bench/matrix.

use std::rc::Rc;

use anyhow::Context as _;
use clap::ValueEnum;
use ringlog_buffer::Slice;
use ringlog_storage::types::Uuid;

use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::Receive;
use crate::descriptors;
use crate::load::{self, Counts, Load, Measured};
use crate::produce::Shape;
use crate::ranges::{self, within};
use crate::report::{Target, figure, gigabytes};
use crate::requests;

/// `max.partition.fetch.bytes` of Kafka's consumer.
const FETCH_BYTES_MAX: i32 = 1024 * 1024;
/// Batches that are fetched from memory again and again: few enough to stay there.
const CACHED_BATCHES: usize = 4;
/// Batches that are fetched from the disk: more than stay in memory.
const COLD_BATCHES: usize = 1024;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    workload: Workload,
    /// Consumers side by side, each with a connection; each reads everything.
    #[arg(long, default_value_t = 1, value_parser = within::<usize>(ranges::CONSUMERS))]
    consumers: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Workload {
    /// What was produced a moment ago, again and again.
    Cached,
    /// What is being produced: runs with consumers are held against runs without.
    Tail,
    /// Everything from the beginning, most of it from the disk.
    CatchUp,
}

/// One producer with large batches, one partition.
const SHAPE: Shape = Shape { connections: 1, partitions: 1, ..Shape::LARGE };

pub(crate) fn run(setup: &Setup, arguments: &Arguments) -> anyhow::Result<()> {
    descriptors::make_room(arguments.consumers)?;
    println!("fetch: {arguments:?}");
    let mut runs = Vec::new();
    match arguments.workload {
        Workload::Cached => {
            for _ in 0..setup.runs() {
                runs.push(cached(setup, arguments.consumers)?);
            }
            figure("broker CPU", "s/GB fetched", &per_gb_fetched(&runs), Target::None);
        }
        Workload::Tail => {
            let (mut alone, mut of_fetch) = (Vec::new(), Vec::new());
            for _ in 0..setup.runs() {
                // Side by side, so that both meet the same state of the machine.
                let without = tail(setup, 0)?;
                let with = tail(setup, arguments.consumers)?;
                alone.push(without.broker_cpu_seconds / gigabytes(without.produced_bytes));
                of_fetch
                    .push(with.cost().of_fetches(&without.cost()).context("nothing was produced, or nothing fetched")?);
                runs.push(with);
            }
            figure("broker CPU of produce without consumers", "s/GB produced", &alone, Target::None);
            figure("broker CPU of fetch", "s/GB fetched", &of_fetch, Target::None);
            let produced = runs.iter().map(|run| gigabytes(run.produced_bytes) / run.seconds).collect::<Vec<f64>>();
            figure("produced meanwhile", "GB/s", &produced, Target::None);
        }
        Workload::CatchUp => {
            for _ in 0..setup.runs() {
                runs.push(catch_up(setup, arguments.consumers)?);
            }
            figure("broker CPU", "s/GB fetched", &per_gb_fetched(&runs), Target::None);
        }
    }
    let each = |of: fn(&Measured) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
    figure("fetched", "GB/s", &each(|run| gigabytes(run.fetched_bytes) / run.seconds), Target::None);
    figure("load CPU", "cores", &each(|run| run.load_cpu_seconds / run.seconds), Target::None);
    Ok(())
}

fn per_gb_fetched(runs: &[Measured]) -> Vec<f64> {
    runs.iter().map(|run| run.broker_cpu_seconds / gigabytes(run.fetched_bytes)).collect()
}

/// Where a consumer goes on when it has read everything up to here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AtEnd {
    Wait,
    StartOver(i64),
    Stop(i64),
}

fn cached(setup: &Setup, consumers: usize) -> anyhow::Result<Measured> {
    let mut broker = Broker::start(setup, Cores::One)?;
    let duration = setup.measured();
    let measured = load::run(&mut broker, setup, move |load| async move {
        let topic = load.connect(Receive::Pooled).await?.create_topic("bench", SHAPE.partitions).await?;
        let end = fill(&load, topic, CACHED_BATCHES).await?;
        for _ in 0..consumers {
            spawn_consumer(&load, topic, AtEnd::StartOver(end));
        }
        load.measure(duration).await
    })?;
    broker.stop()?;
    Ok(measured)
}

fn tail(setup: &Setup, consumers: usize) -> anyhow::Result<Measured> {
    let mut broker = Broker::start(setup, Cores::One)?;
    let duration = setup.measured();
    let measured = load::run(&mut broker, setup, move |load| async move {
        let topic = load.connect(Receive::Pooled).await?.create_topic("bench", SHAPE.partitions).await?;
        for _ in 0..consumers {
            spawn_consumer(&load, topic, AtEnd::Wait);
        }
        SHAPE.spawn(&load, topic).await?;
        load.measure(duration).await
    })?;
    broker.stop()?;
    Ok(measured)
}

fn catch_up(setup: &Setup, consumers: usize) -> anyhow::Result<Measured> {
    let mut broker = Broker::start(setup, Cores::One)?;
    let measured = load::run(&mut broker, setup, move |load| async move {
        let topic = load.connect(Receive::Pooled).await?.create_topic("bench", SHAPE.partitions).await?;
        let end = fill(&load, topic, COLD_BATCHES).await?;
        load.measure_until(read_all(&load, topic, consumers, end)).await
    })?;
    broker.stop()?;
    Ok(measured)
}

/// Lets consumers read side by side, each from the beginning to `end`.
async fn read_all(load: &Load, topic: Uuid, consumers: usize, end: i64) -> anyhow::Result<()> {
    let start = |_| load.reactor.spawn(consume(load.clone(), topic, AtEnd::Stop(end)));
    let tasks: Vec<_> = (0..consumers).map(start).collect();
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// Produces this many batches, and answers the offset behind them.
async fn fill(load: &Load, topic: Uuid, batches: usize) -> anyhow::Result<i64> {
    let frame = SHAPE.frame(load, topic, 0)?;
    let mut connection = load.connect(Receive::Pooled).await?;
    for _ in 0..batches {
        connection.send(frame.clone()).await?;
        requests::check_produced(&connection.response().await?)?;
    }
    // One batch tells how many offsets each has.
    let mut probe = load.connect(Receive::Direct).await?;
    let first = requests::check_fetched(&probe.call(requests::fetch(topic, 0, 0, 1)?).await?)?;
    let batch_offsets = first.next_offset.context("nothing was fetched of what was just produced")?;
    Ok(batch_offsets * i64::try_from(batches)?)
}

fn spawn_consumer(load: &Load, topic: Uuid, at_end: AtEnd) {
    load.spawn(consume(load.clone(), topic, at_end));
}

async fn consume(load: Load, topic: Uuid, at_end: AtEnd) -> anyhow::Result<()> {
    let counts = Rc::clone(&load.counts);
    let mut connection = load.connect(Receive::Direct).await?;
    let mut offset = 0;
    loop {
        let request: Slice = requests::fetch(topic, 0, offset, FETCH_BYTES_MAX)?;
        connection.send(request).await?;
        let fetched = requests::check_fetched(&connection.response().await?)?;
        Counts::add(&counts.fetched_bytes, fetched.bytes);
        Counts::add(&counts.requests, 1);
        offset = fetched.next_offset.unwrap_or(offset);
        match at_end {
            AtEnd::StartOver(end) if offset >= end => offset = 0,
            AtEnd::Stop(end) if offset >= end => return Ok(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Server;
    use ringlog_reactor::sim::{Sim, SimOptions};
    use ringlog_reactor::{Mesh, Reactor};
    use std::time::Duration;

    #[test]
    fn a_catch_up_that_fails_is_no_figure() {
        let mut sim = Sim::new(7, SimOptions::default());
        let node = sim.start_node("nobody listens", 1, async |_: Reactor, _: Mesh<()>| {});
        let server = Server { address: sim.address(node, 9092), process: Some(std::process::id()), data: None };
        let measured = sim.block_on("load", move |reactor| async move {
            let load = Load::new(reactor, server, Duration::ZERO);
            load.measure_until(read_all(&load, Uuid::new([7; 16]), 2, 1)).await
        });
        let error = measured.expect_err("nothing was read");
        assert!(error.to_string().ends_with(":9092 refuses a connection"), "{error}");
    }
}

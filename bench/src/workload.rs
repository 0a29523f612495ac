//! `load`: what a workload file describes, put on a Ringlog of its own, or on any Kafka broker that runs.
//!
//! The load is open where the file names a rate: requests have times that no answer moves, and latency counts from them,
//! so that a broker which stands still is charged for everything that would have come meanwhile. The same workload is put
//! on a broker that does nothing first, and stands beside the results: what is not much more than that is not measured.

mod consumer;
pub(crate) mod file;
mod frames;
mod lane;
pub(crate) mod latency;
pub(crate) mod results;
pub(crate) mod scenario;
mod schedule;
mod topics;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::{POOLED_BYTES_MAX, Receive};
use crate::descriptors;
use crate::load::{self, Server};
use crate::machine::Facts;
use crate::null_broker::NullBroker;
use crate::ranges::{self, within};
use crate::usage::check_process;
use file::{Kind, Pace, Workload};
use results::{Measured, Results};
use scenario::Leave;

/// The null broker changes little with time.
const CALIBRATION_SECONDS_MAX: u64 = 4;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The workload, such as `bench/workloads/open-10k.toml`.
    workload: PathBuf,
    /// A broker that runs, Ringlog or Apache Kafka; a cluster of one node. Its topics are deleted behind the run
    /// [default: a Ringlog that is started for each run].
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// The process of that broker, if its CPU time is to be told.
    #[arg(long, requires = "bootstrap", value_name = "PID", value_parser = within::<u32>(ranges::PROCESS))]
    broker_pid: Option<u32>,
    /// Leave out the run against a broker that does nothing.
    #[arg(long)]
    no_calibration: bool,
    /// Print one JSON object, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(setup: &Setup, arguments: &Arguments, machine: &Facts) -> anyhow::Result<()> {
    let workload = Workload::read(&arguments.workload)?.over(setup.warm_up_ms, setup.seconds)?;
    if arguments.bootstrap.is_some() {
        workload.check_on_running()?;
    }
    check_process("--broker-pid", arguments.broker_pid)?;
    let shape = shape(&workload);
    if !arguments.json {
        println!("load {}: {shape}", workload.name);
    }
    // What a null broker could be fetched from is nothing, and it has no process of its own.
    let calibrates = !arguments.no_calibration && !matches!(workload.kind, Kind::CatchUp | Kind::Replay | Kind::Idle);
    let calibration = if calibrates { Some(calibrate(setup, &workload)?) } else { None };
    let mut runs = Vec::new();
    for _ in 0..setup.runs.unwrap_or(1) {
        let measured = match &arguments.bootstrap {
            None => on_own_broker(setup, &workload)?,
            Some(bootstrap) => {
                let server = Server { address: resolve(bootstrap)?, process: arguments.broker_pid, data: None };
                put(setup, server, &workload, Leave::Nothing)?
            }
        };
        if !arguments.json {
            print!("{}", measured.lines(calibration.as_ref()));
        }
        runs.push(measured);
    }
    // The figures are told, whatever they are worth.
    let unanswered = runs.iter().try_for_each(Measured::check_answered);
    if arguments.json {
        let broker = arguments.bootstrap.clone().unwrap_or_else(|| "ringlog".to_owned());
        let results = Results {
            workload: workload.name,
            shape,
            machine: machine.to_string().trim_start_matches("machine: ").to_owned(),
            broker,
            calibration,
            runs,
        };
        println!("{}", serde_json::to_string_pretty(&results)?);
    }
    unanswered
}

fn on_own_broker(setup: &Setup, workload: &Workload) -> anyhow::Result<Measured> {
    let mut broker = Broker::start(setup, Cores::One)?;
    let measured = put(setup, broker.server(), workload, Leave::Topics);
    let measured = broker.explain(measured)?;
    broker.stop()?;
    Ok(measured)
}

/// The producing part of a workload, against a null broker on the broker's core.
fn calibrate(setup: &Setup, workload: &Workload) -> anyhow::Result<Measured> {
    let batch_bytes = workload.payload.batch_bytes.max(workload.payload.record_bytes);
    let receive = if batch_bytes >= POOLED_BYTES_MAX { Receive::Direct } else { Receive::Pooled };
    // The null broker has the other end of each.
    descriptors::make_room(2 * workload.connections)?;
    let broker = NullBroker::start(setup.broker_core, receive)?;
    let server = Server { address: broker.address, process: None, data: None };
    let seconds = workload.seconds.min(CALIBRATION_SECONDS_MAX);
    let alone = Workload { consumers: 0, seconds, ..workload.clone() };
    let measured = put(setup, server, &alone, Leave::Topics).context("calibration with the null broker")?;
    broker.stop()?;
    Ok(measured)
}

/// Runs a workload once.
pub(crate) fn put(setup: &Setup, server: Server, workload: &Workload, leave: Leave) -> anyhow::Result<Measured> {
    descriptors::make_room(workload.connections + workload.consumers)?;
    let workload = workload.clone();
    load::run_against(server, setup, move |load| scenario::run(load, workload.clone(), leave))
}

pub(crate) fn resolve(bootstrap: &str) -> anyhow::Result<SocketAddr> {
    let mut addresses = bootstrap.to_socket_addrs().with_context(|| format!("{bootstrap}: expected HOST:PORT"))?;
    addresses.next().with_context(|| format!("{bootstrap} has no address"))
}

/// A workload in words.
pub(crate) fn shape(workload: &Workload) -> String {
    let Workload { kind, payload, topics, partitions, connections, consumers, .. } = workload;
    if *kind == Kind::Idle {
        return format!("idle, {connections} connections; topics {topics}, partitions {partitions}");
    }
    let pace = match workload.pace {
        Pace::Rate(rate, tick) => format!("open loop of {rate} records/s ({tick})"),
        Pace::InFlight(count) => format!("closed loop with {count} requests in flight"),
    };
    let keys = payload.keys.map_or_else(|| "no keys".to_owned(), |keys| format!("{keys} keys"));
    format!(
        "{kind}, {pace} on {connections} connections, {consumers} consumers; topics {topics}, partitions {partitions}; \
         records of {} bytes, {} in a batch, {keys}, {} of it compressible, codec {}; acks {:?}",
        payload.record_bytes,
        payload.batch_records(),
        payload.compressibility,
        payload.codec,
        workload.acks
    )
}

//! Group commit: durable appends to many partitions need no more flushes a second than those to one.
//!
//! Two counts are taken. The disk's own count of flushes is what it costs, but is everybody's: let nothing else write.
//! Where `perf` can be used, the file writes of the broker's ring are counted too, and those are the broker's alone; there
//! are writes among them that bring journaled data into segments, without a flush.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::Receive;
use crate::descriptors;
use crate::interrupt::Process;
use crate::load::{self, Measured};
use crate::machine;
use crate::produce::Shape;
use crate::ranges::{self, within};
use crate::report::{Target, figure, number};

/// How much more the flushes of many partitions may be: what two runs differ by anyway.
const RATIO_MAX: f64 = 1.1;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 1000, value_parser = within::<usize>(ranges::CONNECTIONS))]
    connections: usize,
    /// The larger number of partitions; the smaller one is 1.
    #[arg(long, default_value_t = 1000, value_parser = within::<i32>(2..=*ranges::PARTITIONS.end()))]
    partitions: i32,
}

/// One run.
struct Run {
    measured: Measured,
    flushes: u64,
    writes: Option<u64>,
}

pub(crate) fn run(setup: &Setup, arguments: &Arguments) -> anyhow::Result<()> {
    descriptors::make_room(arguments.connections)?;
    let mut per_second = Vec::new();
    for partitions in [1, arguments.partitions] {
        println!("flushes: {} connections, {partitions} partitions", arguments.connections);
        let shape = Shape { connections: arguments.connections, partitions, ..Shape::SMALL };
        let mut runs = Vec::new();
        for _ in 0..setup.runs() {
            runs.push(measure(setup, shape)?);
        }
        let each = |of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
        let flushes = each(|run| number(run.flushes) / run.measured.seconds);
        figure("flushes of the disk", "/s", &flushes, Target::None);
        if runs.iter().all(|run| run.writes.is_some()) {
            let writes = each(|run| number(run.writes.unwrap_or_default()) / run.measured.seconds);
            figure("file writes of the broker", "/s", &writes, Target::None);
        }
        figure("requests", "/s", &each(|run| number(run.measured.requests) / run.measured.seconds), Target::None);
        let per_flush = each(|run| number(run.measured.requests) / number(run.flushes));
        figure("requests per flush", "", &per_flush, Target::None);
        per_second.push(crate::report::median(&flushes));
    }
    let ratio = per_second[1] / per_second[0];
    figure("flushes with many partitions to those with one", "times", &[ratio], Target::AtMost(RATIO_MAX));
    Ok(())
}

fn measure(setup: &Setup, shape: Shape) -> anyhow::Result<Run> {
    let mut broker = Broker::start(setup, Cores::One)?;
    let (duration, id) = (setup.measured(), broker.id());
    let disk = machine::disk_stat(broker.data())?;
    let run = load::run(&mut broker, setup, move |load| {
        let disk = disk.clone();
        async move {
            let topic = load.connect(Receive::Pooled).await?.create_topic("bench", shape.partitions).await?;
            shape.spawn(&load, topic).await?;
            load.measure(Duration::ZERO).await?;
            let counter = count_writes(id, duration);
            let before = machine::disk_usage(&disk)?.flushes;
            let measured = load.measure_for(duration).await?;
            let flushes = machine::disk_usage(&disk)?.flushes - before;
            Ok(Run { measured, flushes, writes: counter.and_then(counted) })
        }
    })?;
    broker.stop()?;
    Ok(run)
}

/// Lets `perf` count the vectored writes that a process gives to its rings. All that the broker writes to files is such.
fn count_writes(process: u32, duration: Duration) -> Option<Process> {
    const VECTORED_WRITE: &str = "opcode == 2";
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", "io_uring:io_uring_submit_req", "--filter", VECTORED_WRITE, "-p"]);
    perf.arg(process.to_string()).args(["--", "sleep"]).arg(duration.as_secs_f64().to_string());
    perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Process::start(&mut perf).ok()
}

fn counted(mut perf: Process) -> Option<u64> {
    let mut text = String::new();
    perf.0.stderr.take()?.read_to_string(&mut text).ok()?;
    let line = text.lines().find(|line| line.contains("io_uring_submit_req"))?;
    line.split(',').next()?.parse().ok()
}

//! `reactor`: what the reactor itself costs, beside glommio: echo, and durable append, over the loopback interface. Every
//! server is a process of its own on the broker's core; the load is the same for all, on its own core.

#[cfg(feature = "glommio")]
mod glommio;
mod server;

use std::cell::Cell;
use std::rc::Rc;

use anyhow::Context as _;
use clap::ValueEnum;
use ringlog_buffer::{Chunk, Slice};
use serde::Serialize;

use crate::Setup;
use crate::client::Receive;
use crate::descriptors;
use crate::load::{self, Counts, Load};
use crate::ranges::{self, within};
use crate::report::{median, number};
use crate::workload::latency::{Latencies, Quantiles};
use server::Server;
pub(crate) use server::{Serve, serve};

const SIZE_FIELD_BYTES: usize = 4;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What is done [default: all].
    #[arg(value_enum)]
    works: Vec<Work>,
    /// Connections, each with one request in flight [default: 64 with small messages, 8 with large ones, 16 with writes].
    #[arg(long, value_parser = within::<usize>(ranges::CONNECTIONS))]
    connections: Option<usize>,
    /// Results as JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Contender {
    Uring,
    Posix,
    #[cfg(feature = "glommio")]
    Glommio,
}

impl Contender {
    const ALL: &[Self] = &[
        Self::Uring,
        Self::Posix,
        #[cfg(feature = "glommio")]
        Self::Glommio,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Posix => "posix",
            #[cfg(feature = "glommio")]
            Self::Glommio => "glommio",
        }
    }

    /// Whether the others are compared with it.
    fn is_baseline(self) -> bool {
        self.name() == "glommio"
    }
}

/// What a server does for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Sends 128 bytes back.
    EchoSmall,
    /// Sends 64 KiB back.
    EchoLarge,
    /// Writes 4 KiB past the page cache and durably, then answers.
    #[value(name = "append-4k")]
    #[serde(rename = "append-4k")]
    Append4k,
    /// The same with 64 KiB.
    #[value(name = "append-64k")]
    #[serde(rename = "append-64k")]
    Append64k,
}

impl Work {
    const ALL: [Self; 4] = [Self::EchoSmall, Self::EchoLarge, Self::Append4k, Self::Append64k];

    const fn name(self) -> &'static str {
        match self {
            Self::EchoSmall => "echo-small",
            Self::EchoLarge => "echo-large",
            Self::Append4k => "append-4k",
            Self::Append64k => "append-64k",
        }
    }

    /// Bytes of a request, and of its response, behind the size field.
    const fn message_bytes(self) -> usize {
        match self {
            Self::EchoSmall => 128 - SIZE_FIELD_BYTES,
            Self::EchoLarge => (64 << 10) - SIZE_FIELD_BYTES,
            Self::Append4k | Self::Append64k => 16 - SIZE_FIELD_BYTES,
        }
    }

    /// Bytes that are written before the answer.
    const fn write_bytes(self) -> Option<usize> {
        match self {
            Self::EchoSmall | Self::EchoLarge => None,
            Self::Append4k => Some(4 << 10),
            Self::Append64k => Some(64 << 10),
        }
    }

    const fn receive(self) -> Receive {
        if matches!(self, Self::EchoLarge) { Receive::Direct } else { Receive::Pooled }
    }

    const fn connections(self) -> usize {
        match self {
            Self::EchoSmall => 64,
            Self::EchoLarge => 8,
            Self::Append4k | Self::Append64k => 16,
        }
    }
}

/// A message with its size field.
fn message(bytes: usize) -> anyhow::Result<Slice> {
    let mut chunk = Chunk::with_capacity(SIZE_FIELD_BYTES + bytes);
    chunk.append(&i32::try_from(bytes)?.to_be_bytes());
    chunk.append(&vec![b'm'; bytes]);
    Ok(chunk.freeze())
}

/// One run of one contender.
#[derive(Clone, Copy, Debug, Serialize)]
struct Run {
    work: Work,
    contender: Contender,
    connections: usize,
    round: usize,
    /// Of the server's process, threads of the kernel included.
    cpu_us_per_operation: f64,
    operations_per_second: f64,
    latency: Quantiles,
}

pub(crate) fn run(setup: &Setup, arguments: &Arguments) -> anyhow::Result<()> {
    let works = if arguments.works.is_empty() { Work::ALL.to_vec() } else { arguments.works.clone() };
    if !Contender::ALL.iter().any(|contender| contender.is_baseline()) {
        eprintln!("ringlog-bench: without glommio, which is built with --features glommio");
    }
    let mut all = Vec::new();
    for work in works {
        let connections = arguments.connections.unwrap_or(work.connections());
        descriptors::make_room(connections)?;
        let mut runs = Vec::new();
        for round in 0..setup.runs() {
            let mut order = Contender::ALL.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for contender in order {
                runs.push(measure(setup, work, contender, connections, round)?);
            }
        }
        if !arguments.json {
            tell(work, connections, &runs);
        }
        all.extend(runs);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}

fn measure(setup: &Setup, work: Work, contender: Contender, connections: usize, round: usize) -> anyhow::Result<Run> {
    let server = Server::start(setup, work, contender)?;
    let (warm_up, duration) = (setup.warm_up(), setup.measured());
    let at = load::Server { address: server.address, process: Some(server.id()), data: None };
    let (measured, latency) = load::run_against(at, setup, move |load| async move {
        let begin = load.reactor.now() + warm_up;
        let latencies = Rc::new(Latencies::new(begin..begin + duration));
        for _ in 0..connections {
            spawn(&load, work, Rc::clone(&latencies)).await?;
        }
        let measured = load.measure(duration).await?;
        Ok((measured, latencies.quantiles().context("no answer within the time that was measured")?))
    })?;
    let operations = number(measured.requests);
    Ok(Run {
        work,
        contender,
        connections,
        round,
        cpu_us_per_operation: 1e6 * measured.broker_cpu_seconds / operations,
        operations_per_second: operations / measured.seconds,
        latency,
    })
}

/// Keeps one request in flight on a connection, for ever.
async fn spawn(load: &Load, work: Work, latencies: Rc<Latencies>) -> anyhow::Result<()> {
    let mut connection = load.connect(work.receive()).await?;
    let (counts, reactor) = (Rc::clone(&load.counts), load.reactor.clone());
    let request = message(work.message_bytes())?;
    load.spawn(async move {
        loop {
            let sent = reactor.now();
            let response = connection.call(request.clone()).await?;
            anyhow::ensure!(response.len() == work.message_bytes(), "an answer of {} bytes", response.len());
            latencies.add(sent, reactor.now());
            Counts::add(&counts.requests, 1);
        }
    });
    Ok(())
}

/// Prints medians, and medians of the ratios to the baseline of the same round.
fn tell(work: Work, connections: usize, runs: &[Run]) {
    println!("\n{}, {connections} connections, medians of {} rounds", work.name(), rounds(runs));
    println!(
        "{:<10} {:>10} {:>12} {:>10} {:>10} {:>14} {:>14}",
        "", "CPU us/op", "ops/s", "p50 us", "p99 us", "CPU / glommio", "ops / glommio"
    );
    for &contender in Contender::ALL {
        let of = |value: fn(&Run) -> f64| median(&of_contender(runs, contender, value));
        let ratio = |value: fn(&Run) -> f64| {
            let baseline = Contender::ALL.iter().find(|contender| contender.is_baseline())?;
            let pairs = of_contender(runs, contender, value).into_iter().zip(of_contender(runs, *baseline, value));
            Some(median(&pairs.map(|(own, other)| own / other).collect::<Vec<_>>()))
        };
        let shown = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        println!(
            "{:<10} {:>10.2} {:>12.0} {:>10.1} {:>10.1} {:>14} {:>14}",
            contender.name(),
            of(|run| run.cpu_us_per_operation),
            of(|run| run.operations_per_second),
            of(|run| run.latency.p50_us),
            of(|run| run.latency.p99_us),
            shown(ratio(|run| run.cpu_us_per_operation)),
            shown(ratio(|run| run.operations_per_second)),
        );
    }
}

/// The values of a contender, in the order of rounds.
fn of_contender(runs: &[Run], contender: Contender, value: fn(&Run) -> f64) -> Vec<f64> {
    let mut own: Vec<&Run> = runs.iter().filter(|run| run.contender == contender).collect();
    own.sort_by_key(|run| run.round);
    own.into_iter().map(value).collect()
}

fn rounds(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.round + 1).max().unwrap_or(0)
}

/// Where each connection writes: round and round in a part of the file that is its own.
#[derive(Debug)]
struct Region {
    begin: u64,
    next: Cell<u64>,
    write_bytes: u64,
}

impl Region {
    const BYTES: u64 = 4 << 20;
    /// Connections that have one.
    const COUNT: u64 = 64;

    /// That of the connection with this number.
    fn new(connection: u64, write_bytes: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(connection < Self::COUNT, "writes come from at most {} connections", Self::COUNT);
        let write_bytes = u64::try_from(write_bytes)?;
        Ok(Self { begin: connection * Self::BYTES, next: Cell::new(0), write_bytes })
    }

    /// Where to write next.
    fn next_offset(&self) -> u64 {
        let next = self.next.get();
        self.next.set((next + self.write_bytes) % Self::BYTES);
        self.begin + next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_do_not_meet_and_repeat() {
        let region = Region::new(1, 1 << 20).expect("there is room");
        let offsets: Vec<u64> = (0..5).map(|_| region.next_offset() >> 20).collect();
        assert_eq!(offsets, [4, 5, 6, 7, 4]);
        assert!(Region::new(Region::COUNT, 1).is_err());
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        assert!(Work::ALL.iter().all(|work| Work::from_str(work.name(), false) == Ok(*work)));
        assert!(Contender::ALL.iter().all(|each| Contender::from_str(each.name(), false) == Ok(*each)));
    }

    #[test]
    fn a_message_tells_its_size() {
        let message = message(3).expect("a small one");
        assert_eq!(&message[..], b"\0\0\0\x03mmm");
    }
}

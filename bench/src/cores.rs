//! `cores`: the same work on one shard, two, and so on: what the second core brings, and what it costs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::compare::curve;
use crate::compare::{Block, Metric};
use crate::machine::Facts;
use crate::ranges::{self, within};
use crate::report::median;
use crate::workload::file::Workload;
use crate::workload::{put, scenario::Leave, shape};

/// What is told of each number of cores.
const TOLD: [Metric; 6] = [
    Metric::RecordsPerSecond,
    Metric::MegabytesPerSecond,
    Metric::BrokerCpuSPerGb,
    Metric::P50Us,
    Metric::P99Us,
    Metric::ContextSwitchesPerRequest,
];

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The work; nothing that a single connection could do alone.
    #[arg(default_value = "bench/workloads/small-100b.toml")]
    workload: PathBuf,
    /// The most cores [default: all that there are]. Where the load's core is one of them, it has to share.
    #[arg(long)]
    cores_max: Option<usize>,
    /// Rounds, each with every number of cores.
    #[arg(long, default_value_t = 3, value_parser = within::<usize>(ranges::ROUNDS))]
    rounds: usize,
    /// Write what was found to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the curve into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Everything.
#[derive(Debug, Serialize)]
struct Sweep {
    machine: String,
    shape: String,
    points: Vec<Point>,
}

/// One number of cores.
#[derive(Debug, Serialize)]
struct Point {
    cores: usize,
    blocks: Vec<Block>,
}

impl Point {
    fn median(&self, metric: Metric) -> Option<f64> {
        let values: Vec<f64> = self.blocks.iter().filter_map(|block| metric.of(block)).collect();
        (!values.is_empty()).then(|| median(&values))
    }
}

pub(crate) fn run(setup: &Setup, arguments: &Arguments, machine: &Facts) -> anyhow::Result<()> {
    let workload = Workload::read(&arguments.workload)?.over(setup.warm_up_ms, setup.seconds)?;
    let cores_max = arguments.cores_max.unwrap_or_else(|| machine.cores());
    let all = machine.cores();
    ensure!((1..=all).contains(&cores_max), "--cores-max {cores_max}: expected 1 to {all}, which this machine has");
    println!("cores {}: {}", workload.name, shape(&workload));
    let mut points: Vec<Point> = (1..=cores_max).map(|cores| Point { cores, blocks: Vec::new() }).collect();
    for round in 0..arguments.rounds {
        // There and back again, so that what changes steadily with time falls on all alike.
        let mut order: Vec<usize> = (0..points.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let point = &mut points[at];
            let mut broker = Broker::start(setup, Cores::First(point.cores))?;
            let run = put(setup, broker.server(), &workload, Leave::Topics);
            let run = broker.explain(run)?;
            broker.stop()?;
            point.blocks.push(Block { run, without_readers: None });
        }
    }
    print!("{}", table(&points));
    if cores_max > setup.load_core {
        println!("the load's core is {}: with more cores than {0}, broker and load share it", setup.load_core);
    }
    let curve = |metric: Metric| {
        let value = |point: &Point| Some((f64::from(u32::try_from(point.cores).ok()?), point.median(metric)?));
        points.iter().filter_map(value).collect::<Vec<_>>()
    };
    if let Some(path) = &arguments.svg {
        let title = format!("{}: records/s by cores", workload.name);
        write(path, &curve::draw(&title, &curve(Metric::RecordsPerSecond))?)?;
    }
    if let Some(path) = &arguments.json {
        let machine = machine.to_string().trim_start_matches("machine: ").to_owned();
        write(path, &serde_json::to_string_pretty(&Sweep { machine, shape: shape(&workload), points })?)?;
    }
    Ok(())
}

fn table(points: &[Point]) -> String {
    let mut text = format!("{:40}", "cores");
    text.extend(points.iter().map(|point| format!("{:>14}", point.cores)));
    text.push('\n');
    for metric in TOLD {
        let values: Vec<Option<f64>> = points.iter().map(|point| point.median(metric)).collect();
        if values.iter().any(Option::is_some) {
            let _ = write!(text, "{:40}", metric.label());
            text.extend(
                values
                    .iter()
                    .map(|value| format!("{:>14}", value.map_or_else(|| "-".to_owned(), crate::compare::short))),
            );
            text.push('\n');
        }
    }
    text
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::results::{Measured, Volume};

    #[test]
    fn a_point_is_told_by_the_median_of_its_rounds() {
        let block = |records| {
            let produced = Volume { requests: 1, records, bytes: 1 };
            Block { run: Measured { seconds: 1.0, produced, ..Measured::default() }, without_readers: None }
        };
        let points = [
            Point { cores: 1, blocks: [3, 1, 2].map(block).to_vec() },
            Point { cores: 2, blocks: vec![block(40_000)] },
        ];
        assert_eq!(points[0].median(Metric::RecordsPerSecond), Some(2.0));
        let text = table(&points);
        assert!(text.contains("2.00        40,000\n") && !text.contains("latency"), "{text}");
    }
}

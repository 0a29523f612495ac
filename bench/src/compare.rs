//! `compare`: Ringlog beside Apache Kafka, or any two brokers, over the same workloads on the same machine.
//!
//! One broker runs at a time, on one core, with the load on another. Blocks take turns, A B B A, so that what changes with
//! time falls on both; a figure is the median of its blocks, a ratio that of the pairs. What an acknowledgement is worth is
//! declared, and the same for both: classes are never mixed within a row.

mod blocks;
pub(crate) mod curve;
mod durability;
mod kafka;
mod matrix;
mod metric;
mod outcome;
mod page;
mod plots;
mod side;
mod statistics;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};

use crate::Setup;
use crate::floor::Floor;
use crate::machine::Facts;
use crate::ranges::{self, within};
use crate::usage::check_process;
use crate::workload::file::Workload;
use crate::workload::resolve;
use durability::Durability;
use kafka::Kafka;
pub(crate) use kafka::spawn_on;
use matrix::Matrix;
pub(crate) use metric::{Block, Cost, Metric};
use outcome::{Report, RowOutcome, Verdict};
use side::Side;
pub(crate) use table::short;

/// What a single workload has, where nothing else is said.
const ROUNDS: usize = 1;
/// The value of `--against` that compares a side with itself.
const SELF: &str = "self";
const WARM_UP_RECORDS: u64 = 1_000_000;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Whom Ringlog is held against: `kafka`, which is started; `self`, which must make no difference; or a broker that
    /// runs.
    #[arg(long, value_name = "kafka|self|HOST:PORT")]
    against: String,
    /// The folder that `tests/kafka/fetch` has filled.
    #[arg(long, value_name = "FOLDER", default_value = ".kafka")]
    kafka: PathBuf,
    /// A Ringlog that runs [default: one that is started for each block].
    #[arg(long, value_name = "HOST:PORT")]
    ours: Option<String>,
    /// Its process, if its cost is to be told.
    #[arg(long, requires = "ours", value_name = "PID", value_parser = within::<u32>(ranges::PROCESS))]
    ours_pid: Option<u32>,
    /// The process of the broker of `--against`, if it runs already and its cost is to be told.
    #[arg(long, value_name = "PID", value_parser = within::<u32>(ranges::PROCESS))]
    against_pid: Option<u32>,
    /// What is compared [default: bench/matrix/default.toml].
    #[arg(long, value_name = "FILE")]
    matrix: Option<PathBuf>,
    /// Compare what bench/matrix/quick.toml has, which takes some minutes.
    #[arg(long, conflicts_with = "matrix")]
    quick: bool,
    /// Compare one workload alone, such as bench/workloads/produce-16k.toml.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["matrix", "quick"])]
    workload: Option<PathBuf>,
    /// Compare only these rows of the matrix.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    rows: Vec<String>,
    /// Compare only in this class of durability.
    #[arg(long)]
    durability: Option<Durability>,
    /// Rounds of four blocks, A B B A [default: what the matrix says; 1 for a workload alone].
    #[arg(long, value_parser = within::<u8>(ranges::ROUNDS))]
    rounds: Option<u8>,
    /// Records that a broker takes before its blocks count [default: what the matrix says].
    #[arg(long, value_parser = within::<u64>(ranges::WARM_UP_RECORDS))]
    warm_up_records: Option<u64>,
    /// Write everything that was found to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write it as one page with plots to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(setup: &Setup, arguments: &Arguments, machine: &Facts) -> anyhow::Result<()> {
    let mut matrix = matrix(setup, arguments)?;
    let (sides, names) = sides(setup, arguments)?;
    if sides.iter().any(|side| matches!(side, Side::Running(_))) {
        matrix.keep_on_running()?;
    }
    let machine = machine.to_string().trim_start_matches("machine: ").to_owned();
    let [ours, theirs] = &names;
    println!("compare {}: {ours} beside {theirs}, {} rounds of four blocks", matrix.name, matrix.rounds);
    let floor = Floor::measure(setup).context("the machine's floor")?;
    println!("{}", table::machine(&floor));
    let mut report = Report::new(&matrix, machine, names.clone(), floor);
    // Before hours of work: that it can be written at all.
    write(arguments, &report)?;
    for row in &matrix.rows {
        let blocks = blocks::run(setup, &matrix, row, &sides, &names);
        let outcome = RowOutcome::new(row, blocks, &floor);
        print!("{}", table::row(&outcome, &names));
        report.rows.push(outcome);
        report.relate(&matrix.relations);
        if arguments.against == SELF {
            report.check_sameness();
        }
        // After every row: a run of hours may be ended early.
        write(arguments, &report)?;
    }
    print!("{}", table::end(&report));
    let failures: usize = report.rows.iter().map(|row| row.failures.len()).sum();
    ensure!(failures == 0, "{failures} blocks have failed");
    let is_different = report.sameness.iter().any(|same| same.verdict == Verdict::Failed);
    ensure!(
        !is_different,
        "a side that is compared with itself comes out different: this machine is too restless to compare on"
    );
    Ok(())
}

fn matrix(setup: &Setup, arguments: &Arguments) -> anyhow::Result<Matrix> {
    let mut matrix = if let Some(path) = &arguments.workload {
        Matrix::of_workload(Workload::read(path)?, ROUNDS, WARM_UP_RECORDS)
    } else {
        let of_the_house = matrix::of_the_house(if arguments.quick { "quick.toml" } else { "default.toml" });
        Matrix::read(arguments.matrix.as_ref().unwrap_or(&of_the_house))?
    };
    matrix.keep(&arguments.rows, arguments.durability)?;
    matrix.rounds = arguments.rounds.map_or(matrix.rounds, usize::from);
    matrix.warm_up_records = arguments.warm_up_records.unwrap_or(matrix.warm_up_records);
    for row in &mut matrix.rows {
        row.workload = row.workload.clone().over(setup.warm_up_ms, setup.seconds)?;
    }
    Ok(matrix)
}

/// Ours and theirs, and what they are called.
fn sides(setup: &Setup, arguments: &Arguments) -> anyhow::Result<([Side; 2], [String; 2])> {
    check_process("--ours-pid", arguments.ours_pid)?;
    check_process("--against-pid", arguments.against_pid)?;
    let running = |address: &str, pid| Side::running(setup, address, resolve(address)?, pid);
    let ours = match &arguments.ours {
        None => Side::Ringlog,
        Some(address) => running(address, arguments.ours_pid)?,
    };
    let theirs = match arguments.against.as_str() {
        "kafka" => Side::Kafka(Kafka::find(&arguments.kafka)?),
        SELF => {
            let names = [ours.name(), format!("{} again", ours.name())];
            return Ok(([ours.clone(), ours], names));
        }
        address if address.contains(':') => running(address, arguments.against_pid)?,
        other => bail!("--against {other}: expected `kafka`, `self`, or the HOST:PORT of a broker that runs"),
    };
    let names = [ours.name(), theirs.name()];
    ensure!(names[0] != names[1], "{} is to be compared with itself: say `--against self`", names[0]);
    Ok(([ours, theirs], names))
}

fn write(arguments: &Arguments, report: &Report) -> anyhow::Result<()> {
    let to_file = |path: &PathBuf, text: String| {
        fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
    };
    if let Some(path) = &arguments.json {
        to_file(path, serde_json::to_string_pretty(report)?)?;
    }
    if let Some(path) = &arguments.html {
        to_file(path, page::page(report)?)?;
    }
    Ok(())
}

//! `ringlog-bench`: what the broker costs, measured on a broker process of its own. One file per subcommand.
//!
//! CPU is that of the broker's process, kernel threads of its ring included. The load comes from one thread on a core of
//! its own, with requests that were encoded beforehand, over the same protocol that every client speaks. Each run
//! starts a new broker on an empty directory; the figure is the median of the runs.
#![forbid(unsafe_code)]

mod broker;
mod client;
mod fetch;
mod flushes;
mod load;
mod machine;
mod payload;
mod produce;
mod report;
mod requests;
mod size;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// What Ringlog costs: memory, start, CPU per GB and per request, flushes.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    setup: Setup,
    #[command(subcommand)]
    command: Command,
}

/// What every measurement is told.
#[derive(Clone, Debug, clap::Args)]
struct Setup {
    /// The broker's program [default: `ringlog` beside this one].
    #[arg(long, global = true)]
    ringlog: Option<PathBuf>,
    /// Where brokers keep their data; on the disk that is to be measured [default: beside this program].
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
    /// The broker's core.
    #[arg(long, global = true, default_value_t = 0)]
    broker_core: usize,
    /// The load's core.
    #[arg(long, global = true, default_value_t = 1)]
    load_core: usize,
    /// Runs whose median counts.
    #[arg(long, global = true, default_value_t = 5)]
    runs: usize,
    /// Milliseconds of load before a run is measured: caches, pools and files reach the state in which they stay.
    #[arg(long, global = true, default_value_t = 1500)]
    warm_up_ms: u64,
    /// Seconds of one run that are measured.
    #[arg(long, global = true, default_value_t = 4)]
    seconds: u64,
    /// More settings of the broker.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Setup {
    fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// What the machine is.
    Machine,
    /// Resident memory when idle, and the time from start to accepting.
    Size,
    /// Broker CPU per GB of large batches, or per small request.
    Produce(produce::Arguments),
    /// Broker CPU per GB fetched: from memory, while it is produced, and from the disk.
    Fetch(fetch::Arguments),
    /// Flushes per second with one partition and with many.
    Flushes(flushes::Arguments),
}

fn main() -> anyhow::Result<()> {
    let Arguments { setup, command } = Arguments::parse();
    println!("{}", machine::Facts::read(&broker::folder(&setup)?)?);
    match command {
        Command::Machine => Ok(()),
        Command::Size => size::run(&setup),
        Command::Produce(arguments) => produce::run(&setup, &arguments),
        Command::Fetch(arguments) => fetch::run(&setup, &arguments),
        Command::Flushes(arguments) => flushes::run(&setup, &arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }
}

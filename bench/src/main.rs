//! `ringlog-bench`: what the broker costs, measured on a broker process of its own. One module per subcommand; that of
//! `load` is `workload`.
//!
//! CPU is that of the broker's process, kernel threads of its ring included. The load comes from one thread on a core of
//! its own, with requests that were encoded beforehand, over the same protocol that every client speaks. Each run
//! starts a new broker on an empty directory; the figure is the median of the runs.
#![forbid(unsafe_code)]

mod broker;
mod client;
mod compare;
mod cores;
mod descriptors;
mod fetch;
mod floor;
mod flushes;
mod gate;
mod groups;
mod interrupt;
mod load;
mod machine;
mod null_broker;
mod overhead;
mod page_cache;
mod payload;
mod produce;
mod ranges;
mod reactor;
mod report;
mod requests;
mod resize;
mod scene;
mod size;
mod usage;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, Subcommand};
use ranges::within;

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
    #[arg(long, global = true, visible_alias = "data")]
    folder: Option<PathBuf>,
    /// The broker's core.
    #[arg(long, global = true, default_value_t = 0)]
    broker_core: usize,
    /// The load's core.
    #[arg(long, global = true, default_value_t = 1)]
    load_core: usize,
    /// Runs whose median counts [default: 5]; `load` tells each of them [default: 1].
    #[arg(long, global = true, value_parser = within::<usize>(ranges::RUNS))]
    runs: Option<usize>,
    /// Milliseconds of load before a run is measured: caches, pools and files reach the state in which they stay
    /// [default: 1500; what the workload file says].
    #[arg(long, global = true, value_parser = within::<u64>(ranges::WARM_UP_MS))]
    warm_up_ms: Option<u64>,
    /// Seconds of one run that are measured [default: 4; what the workload file says].
    #[arg(long, global = true, value_parser = within::<u64>(ranges::SECONDS))]
    seconds: Option<u64>,
    /// More settings of the broker.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Setup {
    fn runs(&self) -> usize {
        self.runs.unwrap_or(5)
    }

    fn warm_up(&self) -> Duration {
        Duration::from_millis(self.warm_up_ms.unwrap_or(1500))
    }

    fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(4))
    }

    /// Refuses cores that this program may not use.
    fn check_cores(&self) -> anyhow::Result<()> {
        let usable: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
        for (option, core) in [("--broker-core", self.broker_core), ("--load-core", self.load_core)] {
            ensure!(usable.contains(&core), "{option} {core}: expected one of {usable:?}, which this program may use");
        }
        Ok(())
    }

    /// Refuses a broker and a load that would share a core: each would be measured with the other's work.
    fn check_cores_apart(&self) -> anyhow::Result<()> {
        self.check_cores()?;
        ensure!(
            self.broker_core != self.load_core,
            "broker and load are both to run on core {}: --load-core names another",
            self.load_core
        );
        Ok(())
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
    /// What consumer groups cost: commits, a large group, many small ones, a start with many offsets.
    Groups(groups::Arguments),
    /// Latency and cost of what a workload file describes, on Ringlog or any Kafka broker.
    Load(workload::Arguments),
    /// Ringlog beside Apache Kafka, or any two brokers: cost, throughput and latency, in blocks that take turns.
    Compare(compare::Arguments),
    /// The same work on one core, two, and so on.
    Cores(cores::Arguments),
    /// Latencies while the number of shards changes.
    Resize(resize::Arguments),
    /// The reactor alone, on both backends, beside glommio: echo and durable append.
    Reactor(reactor::Arguments),
    /// The servers of `reactor`.
    #[command(hide = true)]
    ReactorServe(reactor::Serve),
    /// Cleans up behind another process of this program.
    #[command(hide = true)]
    CleanUp,
    /// Counts what one request costs, and holds that against recorded ceilings.
    Gate(gate::Arguments),
    /// What metrics and the flight recorder cost of a request.
    Overhead,
    /// What `gate` and `overhead` count: a broker and its clients in one process.
    #[command(hide = true)]
    Scene(scene::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringlog-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { setup, command }: Arguments) -> anyhow::Result<()> {
    match &command {
        Command::CleanUp => {
            interrupt::clean_up();
            return Ok(());
        }
        Command::Scene(arguments) => return scene::run(&setup, arguments),
        Command::ReactorServe(arguments) => return reactor::serve(&setup, arguments),
        _ => {}
    }
    let _watch = interrupt::watch()?;
    match &command {
        Command::Gate(arguments) => return gate::run(&setup, arguments),
        Command::Machine | Command::Size => {}
        // With many cores, the load shares one where there is no other.
        Command::Cores(_) | Command::Resize(_) => setup.check_cores()?,
        _ => setup.check_cores_apart()?,
    }
    let facts = machine::Facts::read(&broker::folder(&setup)?)?;
    let for_programs = match &command {
        Command::Load(arguments) => arguments.json,
        Command::Reactor(arguments) => arguments.json,
        _ => false,
    };
    if !for_programs {
        println!("{facts}");
    }
    match command {
        Command::Machine => Ok(()),
        Command::Size => size::run(&setup),
        Command::Produce(arguments) => produce::run(&setup, &arguments),
        Command::Fetch(arguments) => fetch::run(&setup, &arguments),
        Command::Flushes(arguments) => flushes::run(&setup, &arguments),
        Command::Groups(arguments) => groups::run(&setup, arguments),
        Command::Load(arguments) => workload::run(&setup, &arguments, &facts),
        Command::Cores(arguments) => cores::run(&setup, &arguments, &facts),
        Command::Resize(arguments) => resize::run(&setup, &arguments),
        Command::Compare(arguments) => compare::run(&setup, &arguments, &facts),
        Command::Reactor(arguments) => reactor::run(&setup, &arguments),
        Command::Overhead => overhead::run(&setup),
        Command::Gate(_) | Command::Scene(_) | Command::ReactorServe(_) | Command::CleanUp => {
            unreachable!("they have run above")
        }
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

    #[test]
    fn a_number_that_measures_nothing_is_refused_with_option_and_range() {
        for (arguments, range) in [
            ("size --runs 0", "1..=1000"),
            ("machine --seconds 0", "1..=3600"),
            ("produce small --connections 0", "1..=100000"),
            ("produce small --in-flight 0", "1..=100"),
            ("produce small --partitions 0", "1..=10000"),
            ("fetch tail --consumers 0", "1..=1000"),
            ("flushes --connections 100001", "1..=100000"),
            ("flushes --partitions 1", "2..=10000"),
            ("reactor --connections 0", "1..=100000"),
            ("cores --rounds 0", "1..=100"),
            ("compare --against self --rounds 101", "1..=100"),
            ("load a.toml --bootstrap a:1 --broker-pid 0", "1..=4194304"),
        ] {
            let error = Arguments::try_parse_from(["ringlog-bench"].into_iter().chain(arguments.split(' ')));
            let error = error.expect_err(arguments).to_string();
            let mut parts = arguments.rsplit(' ');
            let (value, option) = (parts.next().expect("a value"), parts.next().expect("an option"));
            assert!([value, option, range].iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn broker_and_load_have_cores_of_their_own() {
        let setup = |broker: &str, load: &str| {
            let all = ["ringlog-bench", "machine", "--broker-core", broker, "--load-core", load];
            Arguments::parse_from(all).setup
        };
        let own = core_affinity::get_core_ids().expect("there is one")[0].id.to_string();
        let error = setup(&own, &own).check_cores_apart().expect_err("the same").to_string();
        assert!(error.contains("both to run on core"), "{error}");
        let error = setup(&own, "99999").check_cores_apart().expect_err("there is none").to_string();
        assert!(error.starts_with("--load-core 99999: expected one of"), "{error}");
        setup(&own, &own).check_cores().expect("it is there");
    }
}

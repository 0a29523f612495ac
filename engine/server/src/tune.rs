//! `ringlog tune`: what the machine is, what a broker makes of it, and what of it should be otherwise. One file per subcommand.

mod apply;
mod check;
mod plan;
mod probe;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Subcommand;
use ringlog_cluster::config::{Backend, BrokerConfig};
use ringlog_tuning::{Item, Machine, Needs};

use crate::start::home;
use crate::start::settings::{SettingArguments, wishes};

/// Look at the machine, plan with it, and set it up.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Tell what the machine is, and measure its disk.
    Probe(probe::Arguments),
    /// Tell which shards, cores, memory and rings a broker takes here, and why.
    Plan(plan::Arguments),
    /// Hold the machine against what a broker wants. Exit code 1 if anything fails.
    Check(check::Arguments),
    /// Set what the kernel can be told while it runs; without --execute it is only told.
    Apply(apply::Arguments),
}

/// Performs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Probe(arguments) => probe::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Apply(arguments) => apply::run(arguments),
    }
}

/// Which machine, and which broker on it.
#[derive(Clone, Debug, clap::Args)]
struct PlaceArguments {
    #[command(flatten)]
    settings: SettingArguments,
    /// A folder that stands for the root of another machine: its /proc and /sys.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl PlaceArguments {
    /// Whether it is the machine that this process runs on.
    fn is_running(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Reads the settings and the machine.
    fn read(&self) -> anyhow::Result<(Machine, std::sync::Arc<BrokerConfig>)> {
        let broker = self.settings.load()?.broker;
        let directory = Path::new(home(&broker));
        if self.is_running() {
            return Ok((Machine::read_running(directory), broker));
        }
        let root = self.root.display();
        if !self.root.is_dir() {
            bail!("--root {root}: there is no such folder; give one with the /proc and /sys of a machine");
        }
        let machine = Machine::read(&self.root, &Path::new("/").join(directory));
        if machine.resources.cpus.is_empty() {
            bail!(
                "--root {root}: it has no sys/devices/system/cpu; give a folder with the /proc and /sys of a machine"
            );
        }
        Ok((machine, broker))
    }

    /// What is found on the machine.
    fn check(&self) -> anyhow::Result<Vec<Item>> {
        let (machine, broker) = self.read()?;
        let plan = ringlog_tuning::plan(&machine.resources, &wishes(&broker))?;
        let needs = Needs {
            uring: broker.backend == Backend::Uring,
            listen_backlog: u64::try_from(broker.listen_backlog).unwrap_or(0),
        };
        Ok(ringlog_tuning::check(&machine, &plan, needs))
    }
}

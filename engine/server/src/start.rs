//! `ringlog start`: reads the configuration, finds out what the machine gives, and runs a broker until it is told to stop.

mod addresses;
mod directories;
mod report;
pub(crate) mod settings;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use anyhow::{Context as _, bail};
use ringlog_broker::{Addresses, BrokerEnd, Logging, ShardMessage, Start, StartError, run_shard};
use ringlog_cluster::config::{Backend, BrokerConfig, ConfigLayers, SHARDS_KEY, StaticConfig, shards_beyond};
use ringlog_reactor::{BackendChoice, Mesh, Reactor, ShardSpec, launch};
use ringlog_tuning::{Plan, Resources, plan};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::log;
use settings::{Loaded, SettingArguments, wishes};

/// The variable that containers name their cluster in.
const CLUSTER_ID_VARIABLE: &str = "CLUSTER_ID";
/// With fewer file descriptors than this, a warning is due: partitions and connections take one or more each.
const DESCRIPTORS_MIN: u64 = 4096;

/// How a broker is run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingArguments,
    /// The cluster that the data directory belongs to; a new directory joins it [default: the variable `CLUSTER_ID`].
    #[arg(long, value_name = "ID")]
    cluster_id: Option<String>,
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments, logging: Logging) -> anyhow::Result<()> {
    let begun = Instant::now();
    let Loaded { fixed, broker, warnings } = arguments.settings.load()?;
    log::start_writer(broker.log_format).context("the thread that writes the log cannot be started")?;
    report::version(&broker);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    directories::check(&broker.data_directories)?;
    let plan = plan_of_start(&broker)?;
    check_shards(&fixed, plan.shards.len())?;
    let shard_memory_bytes = usize::try_from(plan.shard_memory_bytes).unwrap_or(usize::MAX);
    let addresses = addresses::resolve(&broker.listeners)?;
    addresses::check_free(&broker.listeners, &addresses)?;
    let admin_address = broker.admin.as_ref().map(addresses::admin).transpose()?;
    let (tell, told) = mpsc::channel();
    let listening = tell.clone();
    let start = Start {
        broker: Arc::clone(&broker),
        fixed,
        cluster_id: arguments
            .cluster_id
            .or_else(|| std::env::var(CLUSTER_ID_VARIABLE).ok())
            .filter(|id| !id.is_empty()),
        addresses,
        admin_address,
        shard_memory_bytes,
        journal_bytes_max: plan.journal_bytes,
        open_files_max: plan.open_files_max,
        store_sizes: None,
        logging,
        on_listening: Arc::new(move |addresses| {
            // The main thread listens until every shard has ended.
            let _ = listening.send(News::Listening(addresses.clone()));
        }),
    };
    let main = move |reactor: Reactor, mesh: Mesh<ShardMessage>| {
        let (start, tell) = (start.clone(), tell.clone());
        async move {
            let end = run_shard(reactor, mesh, start).await;
            let _ = tell.send(News::Ended(end));
        }
    };
    let specs: Vec<ShardSpec> = plan.shards.iter().map(|shard| ShardSpec { core: shard.cpu }).collect();
    let backend = match broker.backend {
        Backend::Auto => BackendChoice::Auto,
        Backend::Uring => BackendChoice::Uring,
        Backend::Posix => BackendChoice::Posix,
    };
    let shards = launch(&specs, backend, plan.limits, main).map_err(|error| launch_error(error, backend))?;
    for warning in shards.warnings() {
        tracing::warn!("{warning}");
    }
    report::backend(shards.backend(), broker.backend);
    let running =
        format!("{}, {}, data in {}", shards.backend(), counted(specs.len()), shown(&broker.data_directories));
    watch(&told, specs.len(), &broker, &running, begun)?;
    shards.join().map_err(|_| anyhow::anyhow!("a shard has panicked"))?;
    Ok(())
}

/// Reads what the machine gives, and plans with it.
fn plan_of_start(broker: &BrokerConfig) -> anyhow::Result<Plan> {
    let descriptors = raise_descriptors();
    let resources = Resources::read_running(Path::new(home(broker)));
    let plan = plan(&Resources { descriptors: Some(descriptors), ..resources }, &wishes(broker))?;
    report::plan(&plan);
    Ok(plan)
}

/// A broker cannot have more shards in use than it has: what cannot be set while it runs cannot be set at the start.
fn check_shards(fixed: &StaticConfig, shards: usize) -> anyhow::Result<()> {
    let there = u16::try_from(shards).unwrap_or(u16::MAX);
    let wanted = ConfigLayers::of_start(fixed).integer(SHARDS_KEY);
    shards_beyond(wanted, there).map_or(Ok(()), |beyond| bail!(beyond))
}

/// What the shards tell the main thread.
enum News {
    /// Clients are served at these addresses.
    Listening(Addresses),
    /// A shard has ended.
    Ended(Result<BrokerEnd, StartError>),
}

/// Waits until every shard has ended. The first one that could not start ends the process, whatever the others do.
fn watch(
    told: &Receiver<News>,
    shards: usize,
    broker: &BrokerConfig,
    running: &str,
    begun: Instant,
) -> anyhow::Result<()> {
    let (mut ended, mut unclean) = (0, false);
    while ended < shards {
        match told.recv() {
            Ok(News::Listening(addresses)) => {
                report::listeners(&broker.listeners, &addresses.listeners);
                broker.data_directories.iter().for_each(|path| report::data_directory(path));
                report::ready(begun.elapsed());
                // Those of the controller are for brokers.
                let told = broker.listeners.iter().zip(addresses.listeners);
                let of_clients = told.filter(|(listener, _)| !listener.is_controller);
                let listeners: Vec<String> = of_clients.map(|(_, address)| address.to_string()).collect();
                let admin = addresses.admin.map(|address| format!(", metrics on http://{address}/metrics"));
                let admin = admin.unwrap_or_default();
                let line = format!("ringlog: listening on {} ({running}{admin})\n", listeners.join(", "));
                // Standard output may be closed; the broker serves all the same.
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            }
            // The shard that could not start tells why.
            Ok(News::Ended(Err(StartError::Other))) => ended += 1,
            Ok(News::Ended(Err(error))) => return Err(error.into()),
            Ok(News::Ended(Ok(end))) => {
                ended += 1;
                unclean |= end == BrokerEnd::Unclean;
            }
            Err(mpsc::RecvError) => bail!("a shard ended without a word"),
        }
    }
    if unclean {
        bail!(
            "log.dirs={}: the disk failed; look at it, and start again to recover",
            broker.data_directories.join(",")
        );
    }
    Ok(())
}

/// The directory with the journals.
pub(crate) fn home(broker: &BrokerConfig) -> &str {
    broker.data_directories.first().expect("a configuration without a data directory is refused")
}

/// Raises the limit of file descriptors as far as the system lets it, and answers it.
fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    };
    let descriptors = limit.unwrap_or(u64::MAX);
    if descriptors < DESCRIPTORS_MIN {
        tracing::warn!(
            "only {descriptors} file descriptors are allowed: partitions and connections need them; raise the hard limit \
             (ulimit -Hn, LimitNOFILE=)"
        );
    }
    descriptors
}

fn launch_error(error: ringlog_reactor::LaunchError, choice: BackendChoice) -> anyhow::Error {
    match choice {
        BackendChoice::Uring => anyhow::anyhow!("{error}; allow io_uring, or start with --backend posix"),
        BackendChoice::Auto | BackendChoice::Posix => error.into(),
    }
}

fn counted(shards: usize) -> String {
    if shards == 1 { "1 shard".to_owned() } else { format!("{shards} shards") }
}

/// A relative path, so that it is seen to be one.
fn shown(directories: &[String]) -> String {
    let shown = directories.iter().map(|directory| {
        let is_plain = Path::new(directory).is_relative() && !directory.starts_with('.');
        if is_plain { format!("./{directory}") } else { directory.clone() }
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use ringlog_cluster::config::Sources;

    use super::*;

    #[test]
    fn no_more_shards_are_in_use_than_there_are() {
        for (shards, expected) in [("0", None), ("2", None), ("3", Some("ringlog.shards=3: expected 0 to 2"))] {
            let set = [format!("ringlog.shards={shards}")];
            let (fixed, _) = StaticConfig::load(&Sources { set: &set, ..Sources::default() }).expect("a number");
            let refused = check_shards(&fixed, 2).err().map(|error| error.to_string());
            assert_eq!(refused.as_deref().map(|text| text.split(',').next().unwrap_or(text)), expected);
        }
    }

    #[test]
    fn paths_look_like_paths() {
        assert_eq!(shown(&["ringlog-data".to_owned()]), "./ringlog-data");
        for same in ["./d", "../d", "/d"] {
            assert_eq!(shown(&[same.to_owned()]), same);
        }
    }
}

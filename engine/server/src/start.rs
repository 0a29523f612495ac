//! `ringlog start`: reads the configuration, finds out what the machine gives, and runs a broker until it is told to stop.

mod addresses;
mod control_group;
mod cores;
mod memory;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use anyhow::bail;
use clap::ValueEnum;
use ringlog_broker::{BrokerEnd, Logging, ShardMessage, Start, StartError, run_shard};
use ringlog_cluster::config::{Backend, BrokerConfig, ConfigLayers, Cores, PropertiesFile, Sources, StaticConfig};
use ringlog_reactor::{BackendChoice, Limits, Mesh, Reactor, ShardSpec, launch};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::read_properties;
use crate::diagnostics::several;

/// The variable that containers name their cluster in.
const CLUSTER_ID_VARIABLE: &str = "CLUSTER_ID";
/// With fewer file descriptors than this, a warning is due: partitions and connections take one or more each.
const DESCRIPTORS_MIN: u64 = 4096;
/// Sockets of one shard, however few descriptors there are.
const SOCKETS_MIN: usize = 64;

/// How a broker is run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A server.properties of Apache Kafka.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting; may be repeated. It beats the file and the variables KAFKA_…
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How to talk to the kernel: ringlog.backend.
    #[arg(long, value_enum)]
    backend: Option<BackendArgument>,
    /// The cores to run a shard on each: all, a count, or numbers such as 0-3,6: ringlog.cores.
    #[arg(long, value_parser = parse_cores)]
    cores: Option<String>,
    /// Where everything is kept; with commas between them several directories: log.dirs.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The cluster that the data directory belongs to; a new directory joins it [default: the variable `CLUSTER_ID`].
    #[arg(long, value_name = "ID")]
    cluster_id: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum BackendArgument {
    /// `io_uring` where the kernel allows it, epoll elsewhere.
    Auto,
    /// `io_uring`, or nothing.
    Uring,
    /// epoll, and threads for files.
    Posix,
}

fn parse_cores(text: &str) -> Result<String, String> {
    let expected = || "expected all, a count, or numbers such as 0-3,6".to_owned();
    Cores::parse(text).map(|_| text.to_owned()).ok_or_else(expected)
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments, logging: Logging) -> anyhow::Result<()> {
    let (fixed, broker) = configure(&arguments)?;
    let allowance = control_group::read();
    let available = core_affinity::get_core_ids().unwrap_or_default();
    let available: Vec<usize> = available.into_iter().map(|core| core.id).collect();
    let cores = cores::choose(&broker.cores, &available, allowance.cores).map_err(anyhow::Error::msg)?;
    if let Some(allowed) = allowance.cores.filter(|_| broker.cores == Cores::All && cores.len() < available.len()) {
        tracing::info!(
            "{} shards on {} cores: the control group allows the time of {allowed}",
            cores.len(),
            available.len()
        );
    }
    let shard_memory_bytes = memory::shard_bytes(broker.memory_bytes, memory::available_bytes(&allowance), cores.len());
    let shard_memory_bytes = shard_memory_bytes.map_err(anyhow::Error::msg)?;
    let addresses = addresses::resolve(&broker.listeners)?;
    addresses::check_free(&broker.listeners, &addresses)?;
    let descriptors = raise_descriptors();
    let limits = limits(descriptors, cores.len());
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
        shard_memory_bytes,
        open_files_max: files_of_shard(descriptors, cores.len()),
        store_sizes: None,
        logging,
        on_listening: Arc::new(move |addresses| {
            // The main thread listens until every shard has ended.
            let _ = listening.send(News::Listening(addresses.to_vec()));
        }),
    };
    let main = move |reactor: Reactor, mesh: Mesh<ShardMessage>| {
        let (start, tell) = (start.clone(), tell.clone());
        async move {
            let end = run_shard(reactor, mesh, start).await;
            let _ = tell.send(News::Ended(end));
        }
    };
    let specs: Vec<ShardSpec> = cores.iter().map(|core| ShardSpec { core: Some(*core) }).collect();
    let backend = match broker.backend {
        Backend::Auto => BackendChoice::Auto,
        Backend::Uring => BackendChoice::Uring,
        Backend::Posix => BackendChoice::Posix,
    };
    let shards = launch(&specs, backend, limits, main).map_err(|error| launch_error(error, backend))?;
    for warning in shards.warnings() {
        tracing::warn!("{warning}");
    }
    let running =
        format!("{}, {}, data in {}", shards.backend(), counted(cores.len()), shown(&broker.data_directories));
    watch(&told, cores.len(), &broker, &running)?;
    shards.join().map_err(|_| anyhow::anyhow!("a shard has panicked"))?;
    Ok(())
}

/// What the shards tell the main thread.
enum News {
    /// Clients are served at these addresses.
    Listening(Vec<SocketAddr>),
    /// A shard has ended.
    Ended(Result<BrokerEnd, StartError>),
}

/// Waits until every shard has ended. The first one that could not start ends the process, whatever the others do.
fn watch(told: &Receiver<News>, shards: usize, broker: &BrokerConfig, running: &str) -> anyhow::Result<()> {
    let (mut ended, mut unclean) = (0, false);
    while ended < shards {
        match told.recv() {
            Ok(News::Listening(addresses)) => {
                // Those of the controller are for brokers.
                let of_clients = broker.listeners.iter().zip(addresses).filter(|(listener, _)| !listener.is_controller);
                let addresses: Vec<String> = of_clients.map(|(_, address)| address.to_string()).collect();
                let line = format!("ringlog: listening on {} ({running})\n", addresses.join(", "));
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

/// Reads file, environment and command line. Every error is found; warnings are logged.
fn configure(arguments: &Arguments) -> anyhow::Result<(Arc<StaticConfig>, Arc<BrokerConfig>)> {
    let file = arguments
        .config
        .as_deref()
        .map(|path| Ok::<_, anyhow::Error>((path.display().to_string(), read_properties(path)?)));
    let file = file.transpose()?;
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let sources = Sources {
        file: file.as_ref().map(|(name, text)| PropertiesFile { name, text }),
        environment: &environment,
        set: &settings(arguments),
    };
    let (fixed, warnings) = StaticConfig::load(&sources).map_err(several)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let broker = BrokerConfig::new(&ConfigLayers::of_start(&fixed), &hostname).map_err(several)?;
    Ok((Arc::new(fixed), Arc::new(broker)))
}

/// The settings of the command line: those by name beat those of `--set`.
fn settings(arguments: &Arguments) -> Vec<String> {
    let backend = arguments.backend.map(|backend| match backend {
        BackendArgument::Auto => "auto",
        BackendArgument::Uring => "uring",
        BackendArgument::Posix => "posix",
    });
    let named = [
        ("ringlog.backend", backend),
        ("ringlog.cores", arguments.cores.as_deref()),
        ("log.dirs", arguments.data_dir.as_deref()),
    ];
    let named = named.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    arguments.set.iter().cloned().chain(named).collect()
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

/// Files that each shard keeps open: together half of the descriptors.
fn files_of_shard(descriptors: u64, shards: usize) -> usize {
    usize::try_from(descriptors / 2).unwrap_or(usize::MAX) / shards
}

/// The reactor's limits: a third of the descriptors is for sockets, so that accepting waits before files cannot be opened.
fn limits(descriptors: u64, shards: usize) -> Limits {
    let limits = Limits::default();
    let of_shard = usize::try_from(descriptors / 3).unwrap_or(usize::MAX) / shards;
    Limits { sockets: limits.sockets.min(of_shard.max(SOCKETS_MIN)), ..limits }
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
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(words: &[&str]) -> Result<Arguments, clap::Error> {
        Line::try_parse_from([&["start"], words].concat()).map(|line| line.arguments)
    }

    #[test]
    fn named_settings_beat_set() {
        let arguments = parsed(&["--data-dir", "d", "--set", "log.dirs=e", "--cores", "0-1", "--backend", "posix"]);
        let settings = settings(&arguments.expect("they are arguments"));
        assert_eq!(settings, ["log.dirs=e", "ringlog.backend=posix", "ringlog.cores=0-1", "log.dirs=d"]);
        assert!(parsed(&["--cores", "none"]).is_err());
        assert!(parsed(&["--backend", "kqueue"]).is_err());
    }

    #[test]
    fn descriptors_are_shared_with_files() {
        assert_eq!(limits(1 << 20, 2).sockets, Limits::default().sockets);
        assert_eq!(limits(4096, 4).sockets, 341);
        assert_eq!(files_of_shard(4096, 4), 512);
        assert_eq!(limits(100, 4).sockets, SOCKETS_MIN);
    }

    #[test]
    fn paths_look_like_paths() {
        assert_eq!(shown(&["ringlog-data".to_owned()]), "./ringlog-data");
        for same in ["./d", "../d", "/d"] {
            assert_eq!(shown(&[same.to_owned()]), same);
        }
    }
}

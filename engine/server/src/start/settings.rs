//! The settings that a broker is started with, or would be: file, environment and command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use ringlog_broker::{SHARD_MEMORY_BYTES_MIN, ShardMessage};
use ringlog_cluster::config::{BrokerConfig, ConfigLayers, Cores, Numa, PropertiesFile, Sources, StaticConfig};
use ringlog_tuning::{CoreChoice, NodePolicy, Wishes};

use crate::config::read_properties;
use crate::diagnostics::several;

/// Where settings come from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SettingArguments {
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
    /// What a line of the log looks like: ringlog.log.format.
    #[arg(long, value_enum)]
    log_format: Option<LogFormatArgument>,
    /// Where everything is kept: log.dirs.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
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

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum LogFormatArgument {
    /// For people.
    Text,
    /// An object for each line, for programs.
    Json,
}

fn parse_cores(text: &str) -> Result<String, String> {
    let expected = || "expected all, a count, or numbers such as 0-3,6".to_owned();
    Cores::parse(text).map(|_| text.to_owned()).ok_or_else(expected)
}

impl SettingArguments {
    /// Reads file, environment and command line. Every error is found. The warnings are the caller's to tell.
    pub(crate) fn load(&self) -> anyhow::Result<Loaded> {
        let read = |path: &Path| Ok::<_, anyhow::Error>((path.display().to_string(), read_properties(path)?));
        let file = self.config.as_deref().map(read).transpose()?;
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let sources = Sources {
            file: file.as_ref().map(|(name, text)| PropertiesFile { name, text }),
            environment: &environment,
            set: &self.settings(),
        };
        let (fixed, warnings) = StaticConfig::load(&sources).map_err(several)?;
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let broker = BrokerConfig::new(&ConfigLayers::of_start(&fixed), &hostname).map_err(several)?;
        let warnings = warnings.iter().map(ToString::to_string).collect();
        Ok(Loaded { fixed: Arc::new(fixed), broker: Arc::new(broker), warnings })
    }

    /// The settings of the command line: those by name beat those of `--set`.
    fn settings(&self) -> Vec<String> {
        let backend = self.backend.map(|backend| match backend {
            BackendArgument::Auto => "auto",
            BackendArgument::Uring => "uring",
            BackendArgument::Posix => "posix",
        });
        let log_format = self.log_format.map(|format| match format {
            LogFormatArgument::Text => "text",
            LogFormatArgument::Json => "json",
        });
        let named = [
            ("ringlog.backend", backend),
            ("ringlog.cores", self.cores.as_deref()),
            ("ringlog.log.format", log_format),
            ("log.dirs", self.data_dir.as_deref()),
        ];
        let named = named.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        self.set.iter().cloned().chain(named).collect()
    }
}

/// Settings that fit together.
pub(crate) struct Loaded {
    pub(crate) fixed: Arc<StaticConfig>,
    pub(crate) broker: Arc<BrokerConfig>,
    /// What the operator should know of them.
    pub(crate) warnings: Vec<String>,
}

/// What a configuration asks of a plan.
pub(crate) fn wishes(broker: &BrokerConfig) -> Wishes {
    let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
    let size = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Wishes {
        cores: match &broker.cores {
            Cores::All => CoreChoice::Auto,
            Cores::Count(count) => CoreChoice::Count(*count),
            Cores::These(cores) => CoreChoice::These(cores.clone()),
        },
        nodes: match broker.numa {
            Numa::Fill => NodePolicy::Fill,
            Numa::Spread => NodePolicy::Spread,
        },
        memory_bytes: broker.memory_bytes.map(bytes),
        journal_bytes: broker.journal_bytes.map(bytes),
        shard_memory_bytes_min: size(SHARD_MEMORY_BYTES_MIN),
        message_bytes: size(size_of::<ShardMessage>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: SettingArguments,
    }

    fn parsed(words: &[&str]) -> Result<SettingArguments, clap::Error> {
        Line::try_parse_from([&["start"], words].concat()).map(|line| line.arguments)
    }

    #[test]
    fn named_settings_beat_set() {
        let words = ["--data-dir", "d", "--set", "log.dirs=e", "--cores", "0-1", "--backend", "posix", "--log-format"];
        let settings = parsed(&[&words[..], &["json"]].concat()).expect("they are arguments").settings();
        let expected =
            ["log.dirs=e", "ringlog.backend=posix", "ringlog.cores=0-1", "ringlog.log.format=json", "log.dirs=d"];
        assert_eq!(settings, expected);
        assert!(parsed(&["--cores", "none"]).is_err());
        assert!(parsed(&["--backend", "kqueue"]).is_err());
    }

    #[test]
    fn settings_are_wishes() {
        let wishes_of = |words: &[&str]| {
            let loaded = parsed(words).expect("they are arguments").load().unwrap_or_else(|error| panic!("{error}"));
            wishes(&loaded.broker)
        };
        let wishes = wishes_of(&[]);
        assert_eq!((wishes.cores, wishes.memory_bytes, wishes.journal_bytes), (CoreChoice::Auto, None, None));
        let wishes = wishes_of(&["--cores", "3", "--set", "ringlog.memory=1GiB", "--set", "ringlog.numa=spread"]);
        assert_eq!((wishes.cores, wishes.nodes), (CoreChoice::Count(3), NodePolicy::Spread));
        assert_eq!(wishes.memory_bytes, Some(1 << 30));
        let wishes = wishes_of(&["--cores", "1,3", "--set", "ringlog.journal.bytes=64MiB"]);
        assert_eq!((wishes.cores, wishes.journal_bytes), (CoreChoice::These(vec![1, 3]), Some(64 << 20)));
    }
}

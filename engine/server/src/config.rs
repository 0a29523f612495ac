//! `ringlog config`: what each line of a `server.properties` does here, and settings in a cluster.

mod settings;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use ringlog_cluster::config::{
    BrokerConfig, ConfigError, ConfigLayers, ConfigWarning, PROPERTIES_BYTES_MAX, PropertiesFile, Sources,
    StaticConfig, broker_key, parse_properties,
};
use ringlog_net::client::ClientConfig;
use serde::Serialize;

use crate::diagnostics::several;
use crate::output::{self, Form};
use crate::printable::printable;
use crate::session;

/// Explain a properties file; tell and change settings of topics, brokers, loggers, groups and client metrics.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Tell settings, and where they come from.
    Describe(settings::DescribeArguments),
    /// Change settings while the cluster runs.
    Alter(settings::AlterArguments),
    /// Tell what each line of a properties file does here. Exit code 1 if a broker would not start with it.
    Explain {
        /// The file.
        file: PathBuf,
        /// The form of what is printed.
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Describe(arguments) => {
            session::run(arguments.cluster.clone(), ClientConfig::default(), move |session| {
                let arguments = arguments.clone();
                async move { settings::describe(&session, &arguments).await }
            })
        }
        Command::Alter(arguments) => session::run(arguments.cluster.clone(), ClientConfig::default(), move |session| {
            let arguments = arguments.clone();
            async move { settings::alter(&session, &arguments).await }
        }),
        Command::Explain { file, output } => explain_file(&file, output),
    }
}

fn explain_file(file: &Path, form: Form) -> anyhow::Result<()> {
    let text = read_properties(file)?;
    let name = file.display().to_string();
    let (explained, errors) = explain(&name, &text);
    output::print(form, &explained, |explained| explained.iter().map(Explained::line).collect())?;
    if errors.is_empty() {
        return Ok(());
    }
    Err(several(
        iter::once(format!("a broker does not start with {name}:")).chain(errors.iter().map(ConfigError::to_string)),
    ))
}

/// The text of a properties file.
pub(crate) fn read_properties(path: &Path) -> anyhow::Result<String> {
    let read = || {
        let mut bytes = Vec::new();
        // One byte more than is accepted tells that a file is too long.
        File::open(path)?.take(PROPERTIES_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().with_context(|| format!("configuration file {} cannot be read", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What one line of the file does.
#[derive(PartialEq, Eq, Debug, Serialize)]
struct Explained {
    line: usize,
    key: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "String::is_empty")]
    because: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// It does what it says.
    Acts,
    /// It is known and does nothing.
    Accepted,
    /// A later line sets the same key.
    Overridden,
    /// Nobody knows it.
    Unknown,
    /// A broker does not start with it.
    Error,
}

impl Explained {
    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Acts => "acts",
            Verdict::Accepted => "accepted",
            Verdict::Overridden => "overridden",
            Verdict::Unknown => "unknown",
            Verdict::Error => "error",
        };
        let Self { line, key, because, .. } = self;
        format!("{line:>4}  {verdict:<10}  {}: {}\n", printable(key), printable(because))
    }
}

/// Explains each line, and finds what a broker would not start for.
fn explain(name: &str, text: &str) -> (Vec<Explained>, Vec<ConfigError>) {
    let mut explained = Vec::new();
    let mut last_line: BTreeMap<String, usize> = BTreeMap::new();
    let properties: Vec<_> = parse_properties(text);
    for property in properties.iter().flatten() {
        last_line.insert(property.key.clone(), property.line);
    }
    for property in properties {
        explained.push(match property {
            Err(bad) => Explained {
                line: bad.line,
                key: "?".to_owned(),
                verdict: Verdict::Error,
                because: r"after \u there must be four hexadecimal digits".to_owned(),
            },
            Ok(property) => {
                let last = last_line[&property.key];
                let (verdict, because) = match property.line {
                    line if line < last => (Verdict::Overridden, format!("line {last} sets it again")),
                    _ => judge(&property.key, &property.value),
                };
                Explained { line: property.line, key: property.key, verdict, because }
            }
        });
    }
    let sources = Sources { file: Some(PropertiesFile { name, text }), ..Sources::default() };
    let errors = match StaticConfig::load(&sources) {
        Ok((config, _)) => BrokerConfig::new(&ConfigLayers::of_start(&config), "localhost").err().unwrap_or_default(),
        Err(errors) => errors,
    };
    (explained, errors)
}

/// What one assignment does, looked at alone.
fn judge(key: &str, value: &str) -> (Verdict, String) {
    let assignment = [format!("{key}={value}")];
    let warnings = match StaticConfig::load(&Sources { set: &assignment, ..Sources::default() }) {
        Ok((_, warnings)) => warnings,
        Err(errors) => return (Verdict::Error, errors.first().map(reason).unwrap_or_default()),
    };
    match warnings.into_iter().next() {
        None => (Verdict::Acts, broker_key(key).map_or("for this listener", |key| key.documentation()).to_owned()),
        Some(ConfigWarning::NoEffect { reason, .. }) => (Verdict::Accepted, reason.to_owned()),
        Some(ConfigWarning::Unknown { nearest: Some(nearest), .. }) => {
            (Verdict::Unknown, format!("did you mean {nearest}?"))
        }
        Some(ConfigWarning::Unknown { nearest: None, .. }) => (Verdict::Unknown, "no known key is like it".to_owned()),
        Some(ConfigWarning::TopicKey { broker_key: Some(broker_key), .. }) => {
            (Verdict::Unknown, format!("it is a topic's key; the broker's key for all topics is {broker_key}"))
        }
        Some(ConfigWarning::TopicKey { broker_key: None, .. }) => {
            (Verdict::Unknown, "it is a topic's key and cannot be set for all topics".to_owned())
        }
    }
}

/// The error without its place, which is known.
fn reason(error: &ConfigError) -> String {
    match error {
        ConfigError::InvalidValue { value, expected, .. } => format!("{value}: {expected}"),
        ConfigError::Refused { value, reason, .. } => format!("{value} is refused: {reason}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_judged() {
        let text = "num.partitions=3\nnum.partitons=3\nnum.io.threads=8\nlog.segment.bytes=x\nretention.ms=1\nnum.partitions=4\nx=\\u1\n";
        let (explained, errors) = explain("f", text);
        let verdicts: Vec<_> = explained.iter().map(|each| (each.line, each.verdict)).collect();
        assert_eq!(
            verdicts,
            [
                (1, Verdict::Overridden),
                (2, Verdict::Unknown),
                (3, Verdict::Accepted),
                (4, Verdict::Error),
                (5, Verdict::Unknown),
                (6, Verdict::Acts),
                (7, Verdict::Error),
            ]
        );
        assert_eq!(explained[1].because, "did you mean num.partitions?");
        assert!(explained[4].because.contains("log.retention.ms"), "{}", explained[4].because);
        assert_eq!(errors.len(), 2, "{errors:?}");
    }

    #[test]
    fn contradictions_between_lines_are_found() {
        let (explained, errors) = explain("f", "node.id=1\nbroker.id=2\n");
        assert!(explained.iter().all(|each| each.verdict == Verdict::Acts), "{explained:?}");
        assert_eq!(errors.len(), 1);
    }
}

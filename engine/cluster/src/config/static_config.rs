//! What is configured at the start: a file, the environment and the command line, over the defaults of the table.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::key::{ConfigKey, Effect};
use super::keys::{broker_key, broker_keys, retired_key, topic_key};
use super::listener::ListenerError;
use super::properties::{PROPERTIES_BYTES_MAX, parse_properties};
use super::value::Value;

/// Where settings come from; each beats the ones before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// A file in the format of `java.util.Properties`.
    pub file: Option<PropertiesFile<'a>>,
    /// Environment variables; those that do not begin with `KAFKA_` are passed over.
    pub environment: &'a [(String, String)],
    /// `key=value` of each `--set` on the command line.
    pub set: &'a [String],
}

/// The content of a properties file.
#[derive(Clone, Copy, Debug)]
pub struct PropertiesFile<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
}

/// Where one setting was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a file.
    File {
        /// The file's name.
        name: String,
        /// The line's number, from 1.
        line: usize,
    },
    /// In an environment variable of this name.
    Environment(String),
    /// With `--set` on the command line.
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}, line {line}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}

/// Why a broker cannot start with what was configured.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum ConfigError {
    /// A file longer than [`PROPERTIES_BYTES_MAX`].
    #[error("{name} has {bytes} bytes, and a properties file may have {PROPERTIES_BYTES_MAX} at most")]
    FileTooLong {
        /// The file's name.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// A line of a file that cannot be read.
    #[error("{0}: after \\u there must be four hexadecimal digits")]
    BadEscape(Place),
    /// A `--set` without `=`.
    #[error("--set {0}: expected key=value")]
    NotAnAssignment(String),
    /// A value that its key does not accept.
    #[error("{place}: {key}={value}: {expected}")]
    InvalidValue {
        /// The key.
        key: String,
        /// The value, or `[hidden]`.
        value: String,
        /// What would have been accepted.
        expected: super::key::Expected,
        /// Where it was set.
        place: Place,
    },
    /// A setting without which the broker would be another program than the one that was asked for.
    #[error("{place}: {key}={value} is refused: {reason}")]
    Refused {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Why.
        reason: &'static str,
        /// Where it was set.
        place: Place,
    },
    /// Listeners that do not fit together.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// Settings that contradict each other.
    #[error("{0}")]
    Conflict(String),
}

/// What deserves a line at the start without being wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigWarning {
    /// A key that nobody knows, with the nearest one that is known.
    Unknown {
        /// The key.
        key: String,
        /// The known key that is spelt most like it.
        nearest: Option<&'static str>,
        /// Where it was set.
        place: Place,
    },
    /// A topic's key where broker keys stand, with the broker key that topics inherit it from.
    TopicKey {
        /// The key.
        key: String,
        /// The broker key.
        broker_key: Option<&'static str>,
        /// Where it was set.
        place: Place,
    },
    /// A known key that does nothing here.
    NoEffect {
        /// The key.
        key: String,
        /// Why.
        reason: &'static str,
        /// Where it was set.
        place: Place,
    },
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { key, nearest: Some(nearest), place } => {
                write!(f, "{place}: {key} is not a known key; did you mean {nearest}?")
            }
            Self::Unknown { key, nearest: None, place } => write!(f, "{place}: {key} is not a known key"),
            Self::TopicKey { key, broker_key: Some(broker_key), place } => {
                write!(f, "{place}: {key} is a topic's key; the broker's key for all topics is {broker_key}")
            }
            Self::TopicKey { key, broker_key: None, place } => {
                write!(f, "{place}: {key} is a topic's key and cannot be set for all topics")
            }
            Self::NoEffect { key, reason, place } => write!(f, "{place}: {key} has no effect: {reason}"),
        }
    }
}

/// One setting that was made at the start.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// The parsed value.
    pub value: Value,
    /// Where it was set.
    pub place: Place,
}

/// Everything that was configured at the start and is known to the table. What was not set is not in here.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StaticConfig {
    settings: BTreeMap<&'static str, Setting>,
    /// Settings for one listener, `listener.name.<listener>.<key>`, whole keys.
    listener_settings: BTreeMap<String, Setting>,
}

impl StaticConfig {
    /// Reads all sources. Every error is found in one go; warnings come in the order of the sources, once for each key.
    pub fn load(sources: &Sources<'_>) -> Result<(Self, Vec<ConfigWarning>), Vec<ConfigError>> {
        let mut loading = Loading::default();
        let mut assignments = BTreeMap::new();
        for (key, text, place) in loading.assignments(sources) {
            // The last one counts, in one file and over all sources.
            assignments.insert(key, (text, place));
        }
        for (key, (text, place)) in assignments {
            loading.take(&key, &text, place);
        }
        if loading.errors.is_empty() { Ok((loading.config, loading.warnings)) } else { Err(loading.errors) }
    }

    /// The setting of a broker key, `None` if it was not set.
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// The setting of `listener.name.<listener>.<key>`, with the listener's name in lower case.
    pub fn listener_setting(&self, listener: &str, key: &str) -> Option<&Setting> {
        self.listener_settings.get(&format!("{LISTENER_PREFIX}{}.{key}", listener.to_ascii_lowercase()))
    }

    /// All settings of broker keys, in the order of their names.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.settings.iter().map(|(key, setting)| (*key, setting))
    }
}

const LISTENER_PREFIX: &str = "listener.name.";

#[derive(Default)]
struct Loading {
    config: StaticConfig,
    warnings: Vec<ConfigWarning>,
    errors: Vec<ConfigError>,
}

impl Loading {
    /// Every assignment of the sources as key, text and place, the weakest source first.
    fn assignments(&mut self, sources: &Sources<'_>) -> Vec<(String, String, Place)> {
        let mut all = Vec::new();
        if let Some(file) = &sources.file {
            self.read_file(file, &mut all);
        }
        for (variable, value) in sources.environment {
            if let Some(key) = key_of_variable(variable) {
                all.push((key, value.clone(), Place::Environment(variable.clone())));
            } else if variable == HEAP_VARIABLE && !value.is_empty() {
                let (place, key) = (Place::Environment(variable.clone()), variable.clone());
                self.warnings.push(ConfigWarning::NoEffect { key, reason: NO_HEAP, place });
            }
        }
        for assignment in sources.set {
            match assignment.split_once('=') {
                Some((key, value)) => all.push((key.trim().to_owned(), value.to_owned(), Place::CommandLine)),
                None => self.errors.push(ConfigError::NotAnAssignment(assignment.clone())),
            }
        }
        all
    }

    fn read_file(&mut self, file: &PropertiesFile<'_>, all: &mut Vec<(String, String, Place)>) {
        let name = || file.name.to_owned();
        if file.text.len() > PROPERTIES_BYTES_MAX {
            self.errors.push(ConfigError::FileTooLong { name: name(), bytes: file.text.len() });
            return;
        }
        for property in parse_properties(file.text) {
            match property {
                Ok(property) => {
                    all.push((property.key, property.value, Place::File { name: name(), line: property.line }));
                }
                Err(bad) => self.errors.push(ConfigError::BadEscape(Place::File { name: name(), line: bad.line })),
            }
        }
    }

    fn take(&mut self, name: &str, text: &str, place: Place) {
        if let Some(key) = broker_key(name) {
            if let Some(setting) = self.parse(key, name, text, place) {
                self.config.settings.insert(key.name, setting);
            }
        } else if let Some(key) = listener_key(name) {
            if let Some(setting) = self.parse(key, name, text, place) {
                let listener_key = lowercase_listener(name);
                self.config.listener_settings.insert(listener_key, setting);
            }
        } else {
            self.warnings.push(warning_of_unknown(name, place));
        }
    }

    fn parse(&mut self, key: &'static ConfigKey, name: &str, text: &str, place: Place) -> Option<Setting> {
        let name = name.to_owned();
        match key.parse(text) {
            Ok(value) => {
                match key.effect {
                    Effect::Accepted(reason) => {
                        self.warnings.push(ConfigWarning::NoEffect { key: name, reason, place: place.clone() });
                    }
                    Effect::Refused(reason) if Some(&value) != key.default_value().as_ref() => {
                        let value = shown(key, text);
                        self.errors.push(ConfigError::Refused { key: name, value, reason, place });
                        return None;
                    }
                    Effect::Acts | Effect::Refused(_) => {}
                }
                Some(Setting { value, place })
            }
            Err(expected) => {
                let value = shown(key, text);
                self.errors.push(ConfigError::InvalidValue { key: name, value, expected, place });
                None
            }
        }
    }
}

fn shown(key: &ConfigKey, text: &str) -> String {
    if key.is_sensitive() { "[hidden]".to_owned() } else { text.trim().to_owned() }
}

/// The key that a variable stands for, as Kafka's container image maps them: `_` is a dot, `__` an underscore, `___` a
/// dash. `None` for variables that are not meant for the broker's configuration.
fn key_of_variable(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix("KAFKA_").filter(|rest| !rest.is_empty())?;
    if VARIABLES_OF_SCRIPTS.contains(&variable) {
        return None;
    }
    let rest = rest.to_ascii_lowercase();
    Some(rest.replace("___", "-").replace("__", "\0").replace('_', ".").replace('\0', "_"))
}

/// How much memory Kafka's JVM gets.
const HEAP_VARIABLE: &str = "KAFKA_HEAP_OPTS";
const NO_HEAP: &str = "there is no JVM; ringlog.memory says how much memory all shards take together";

/// What Kafka's start scripts read, and its brokers never see.
const VARIABLES_OF_SCRIPTS: &[&str] = &[
    "KAFKA_CLUSTER_ID",
    "KAFKA_DEBUG",
    "KAFKA_GC_LOG_OPTS",
    HEAP_VARIABLE,
    "KAFKA_HOME",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_CMD_OPTS",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_MODE",
    "KAFKA_OPTS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_VERSION",
];

/// The broker key at the end of `listener.name.<listener>.<key>` or `listener.name.<listener>.<mechanism>.<key>`.
fn listener_key(name: &str) -> Option<&'static ConfigKey> {
    let (_listener, rest) = name.strip_prefix(LISTENER_PREFIX)?.split_once('.')?;
    broker_key(rest).or_else(|| broker_key(rest.split_once('.')?.1))
}

/// Listener names are compared without case: `listener.name.internal.…` configures listener `INTERNAL`.
fn lowercase_listener(name: &str) -> String {
    let rest = name.strip_prefix(LISTENER_PREFIX).expect("`listener_key` has found the prefix");
    let (listener, key) = rest.split_once('.').expect("`listener_key` has found the dot");
    format!("{LISTENER_PREFIX}{}.{key}", listener.to_ascii_lowercase())
}

fn warning_of_unknown(name: &str, place: Place) -> ConfigWarning {
    let key = name.to_owned();
    if let Some(retired) = retired_key(name) {
        return ConfigWarning::NoEffect { key, reason: retired.reason, place };
    }
    if let Some(prefix) = PLUGIN_PREFIXES.iter().find(|prefix| name.starts_with(prefix.0)) {
        return ConfigWarning::NoEffect { key, reason: prefix.1, place };
    }
    if let Some(topic_key) = topic_key(name) {
        let synonyms = match topic_key.scope {
            super::key::Scope::Topic(synonyms) => synonyms,
            _ => &[],
        };
        return ConfigWarning::TopicKey { key, broker_key: synonyms.first().map(|synonym| synonym.name), place };
    }
    ConfigWarning::Unknown { key, nearest: nearest_key(name), place }
}

/// Prefixes under which plug-ins of Kafka have settings of their own.
const PLUGIN_PREFIXES: &[(&str, &str)] = &[
    ("rlmm.config.", "tiered storage is not supported yet"),
    ("rsm.config.", "tiered storage is not supported yet"),
    ("config.providers.", "it names Java code, which this program cannot load"),
];

/// The longest unknown key that is compared with the known ones, in bytes.
const COMPARED_BYTES_MAX: usize = 100;

/// The known key that is spelt most like `name`, if one is near enough to be what was meant.
fn nearest_key(name: &str) -> Option<&'static str> {
    if name.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let distances = broker_keys().map(|key| (edit_distance(name, key.name), key.name));
    distances.min().filter(|(distance, _)| *distance <= 2.max(name.len() / 5)).map(|(_, key)| key)
}

/// Insertions, deletions and replacements of single bytes that turn one text into the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let right = right.as_bytes();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, left_byte) in left.bytes().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (at, right_byte) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left_byte != *right_byte);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests;

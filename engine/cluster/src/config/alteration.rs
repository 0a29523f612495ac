//! Changes of configuration at run time: `IncrementalAlterConfigs` and `AlterConfigs`.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_net::error::ErrorCode;
use ringlog_net::wire::STRING_BYTES_MAX;
use thiserror::Error;

use super::broker_rules::check_broker;
use super::describe::{client_metrics_value, group_value, topic_value};
use super::group_rules::check_group;
use super::key::{ConfigKey, Effect, Expected, Kind, Scope, split_list};
use super::keys::{broker_key, client_metrics_key, group_key, topic_key};
use super::layers::{ConfigLayers, ConfigMap};
use super::value::Value;

/// What is configured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConfigTarget {
    /// A topic.
    Topic,
    /// One broker.
    Broker,
    /// All brokers.
    AllBrokers,
    /// A group, whatever its protocol.
    Group,
    /// A subscription to metrics of clients (KIP-714).
    ClientMetrics,
}

/// One change of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alteration {
    /// The key.
    pub key: String,
    /// What is done to it.
    pub operation: AlterOperation,
    /// The value; deletions have none.
    pub value: Option<String>,
}

/// What is done to a key, with the numbers of `IncrementalAlterConfigsRequest`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum AlterOperation {
    /// Gives it a value.
    Set = 0,
    /// Takes its value away.
    Delete = 1,
    /// Adds items to a list.
    Append = 2,
    /// Takes items off a list.
    Subtract = 3,
}

impl AlterOperation {
    const ALL: [Self; 4] = [Self::Set, Self::Delete, Self::Append, Self::Subtract];

    /// The operation of this number.
    pub fn from_wire_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.wire_code() == code)
    }

    /// The operation's number on the wire.
    pub fn wire_code(self) -> i8 {
        self as i8
    }
}

/// What to write down: keys with their new texts, `None` for those that go.
pub type ConfigChanges = BTreeMap<String, Option<String>>;

/// The most keys of one resource in one request.
pub const ALTERATIONS_MAX: usize = 1000;

/// Why a change is refused.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum AlterError {
    /// A key stands in the request twice.
    #[error("the configuration key {0} is named twice")]
    DuplicateKey(String),
    /// More keys than [`ALTERATIONS_MAX`].
    #[error("{0} keys are more than the {ALTERATIONS_MAX} of one request")]
    TooManyKeys(usize),
    /// Every operation but a deletion needs a value.
    #[error("a value is missing for {0}")]
    MissingValue(String),
    /// Nobody knows the key.
    #[error("{0} is not a known key")]
    UnknownKey(String),
    /// Only lists grow and shrink.
    #[error("{0} is not a list, which can be appended to or subtracted from")]
    NotAList(String),
    /// The key can only be set at the start.
    #[error("{0} cannot be changed while the broker runs")]
    ReadOnly(String),
    /// The key can only be set for one broker.
    #[error("{0} can be set for one broker only, not for all")]
    PerBrokerOnly(String),
    /// A value out of range, or of another type.
    #[error("{key}={value}: {expected}")]
    InvalidValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What would have been accepted.
        expected: Expected,
    },
    /// No message can tell so long a value.
    #[error("the value of {key} would be {bytes} bytes long; expected {STRING_BYTES_MAX} at most")]
    TooLong {
        /// The key.
        key: String,
        /// The value's length.
        bytes: usize,
    },
    /// Something this release cannot do.
    #[error("{key}={value} is refused: {reason}")]
    Refused {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Why.
        reason: &'static str,
    },
    /// Two values that do not go together.
    #[error("{0}")]
    Conflict(String),
}

impl AlterError {
    /// The error as Kafka's clients know it. Kafka calls a value that a topic or a group cannot have an invalid
    /// configuration, and one that a broker cannot have an invalid request.
    pub fn code(&self, target: ConfigTarget) -> ErrorCode {
        match self {
            Self::DuplicateKey(_)
            | Self::TooManyKeys(_)
            | Self::MissingValue(_)
            | Self::ReadOnly(_)
            | Self::PerBrokerOnly(_) => ErrorCode::InvalidRequest,
            Self::NotAList(_) => ErrorCode::InvalidConfig,
            Self::UnknownKey(_)
            | Self::InvalidValue { .. }
            | Self::TooLong { .. }
            | Self::Refused { .. }
            | Self::Conflict(_) => match target {
                ConfigTarget::Topic | ConfigTarget::Group => ErrorCode::InvalidConfig,
                ConfigTarget::ClientMetrics if self.is_about("match") => ErrorCode::InvalidConfig,
                ConfigTarget::Broker | ConfigTarget::AllBrokers | ConfigTarget::ClientMetrics => {
                    ErrorCode::InvalidRequest
                }
            },
        }
    }
}

impl AlterError {
    fn is_about(&self, name: &str) -> bool {
        matches!(self, Self::InvalidValue { key, .. } if key == name)
    }
}

/// Works out what `alterations` change of a resource's `current` settings. Appending and subtracting start from the
/// value in force. Nothing is answered for what stays as it is.
pub fn alter_incrementally(
    target: ConfigTarget,
    current: &ConfigMap,
    alterations: &[Alteration],
    layers: &ConfigLayers<'_>,
) -> Result<ConfigChanges, AlterError> {
    let changes = alter_each(target, current, alterations, layers)?;
    check_whole(target, current, &changes, layers)?;
    Ok(changes)
}

fn alter_each(
    target: ConfigTarget,
    current: &ConfigMap,
    alterations: &[Alteration],
    layers: &ConfigLayers<'_>,
) -> Result<ConfigChanges, AlterError> {
    check_keys(alterations)?;
    let mut changes = ConfigChanges::new();
    for alteration in alterations {
        let key = known_key(target, &alteration.key)?;
        let text = match alteration.operation {
            AlterOperation::Delete => None,
            AlterOperation::Set => Some(given(alteration)?.trim().to_owned()),
            operation => Some(altered_list(target, key, operation, given(alteration)?, current, layers)?),
        };
        if let Some(text) = &text {
            check_value(key, text)?;
        }
        if current.get(key.name) != text.as_ref() {
            changes.insert(key.name.to_owned(), text);
        }
    }
    Ok(changes)
}

/// Works out the changes after which `settings` are all that is set, as `AlterConfigs` wants it.
pub fn alter_wholly(
    target: ConfigTarget,
    current: &ConfigMap,
    settings: &[Alteration],
    layers: &ConfigLayers<'_>,
) -> Result<ConfigChanges, AlterError> {
    let named: BTreeSet<&str> = settings.iter().map(|setting| setting.key.as_str()).collect();
    let gone = current.keys().filter(|key| !named.contains(key.as_str())).map(|key| (key.clone(), None));
    let mut changes: ConfigChanges = gone.collect();
    changes.extend(alter_each(target, current, settings, layers)?);
    check_whole(target, current, &changes, layers)?;
    Ok(changes)
}

fn check_keys(alterations: &[Alteration]) -> Result<(), AlterError> {
    if alterations.len() > ALTERATIONS_MAX {
        return Err(AlterError::TooManyKeys(alterations.len()));
    }
    let mut seen = BTreeSet::new();
    match alterations.iter().find(|alteration| !seen.insert(alteration.key.as_str())) {
        Some(twice) => Err(AlterError::DuplicateKey(twice.key.clone())),
        None => Ok(()),
    }
}

fn given(alteration: &Alteration) -> Result<&str, AlterError> {
    alteration.value.as_deref().ok_or_else(|| AlterError::MissingValue(alteration.key.clone()))
}

fn known_key(target: ConfigTarget, name: &str) -> Result<&'static ConfigKey, AlterError> {
    let key = match target {
        ConfigTarget::Topic => topic_key(name),
        ConfigTarget::Broker | ConfigTarget::AllBrokers => broker_key(name),
        ConfigTarget::Group => group_key(name),
        ConfigTarget::ClientMetrics => client_metrics_key(name),
    };
    let key = key.ok_or_else(|| AlterError::UnknownKey(name.to_owned()))?;
    match (target, key.scope) {
        (_, Scope::ReadOnly) => Err(AlterError::ReadOnly(name.to_owned())),
        (ConfigTarget::AllBrokers, Scope::PerBroker) => Err(AlterError::PerBrokerOnly(name.to_owned())),
        _ => Ok(key),
    }
}

fn check_value(key: &'static ConfigKey, text: &str) -> Result<(), AlterError> {
    let shown = || if key.is_sensitive() { "[hidden]".to_owned() } else { text.to_owned() };
    let name = || key.name.to_owned();
    let invalid = |expected| AlterError::InvalidValue { key: name(), value: shown(), expected };
    if text.len() > STRING_BYTES_MAX {
        // A list can grow beyond it bit by bit.
        return Err(AlterError::TooLong { key: name(), bytes: text.len() });
    }
    let value = key.parse(text).map_err(invalid)?;
    match key.effect {
        Effect::Refused(reason) if Some(&value) != key.default_value().as_ref() => {
            Err(AlterError::Refused { key: name(), value: shown(), reason })
        }
        _ => Ok(()),
    }
}

fn altered_list(
    target: ConfigTarget,
    key: &'static ConfigKey,
    operation: AlterOperation,
    text: &str,
    current: &ConfigMap,
    layers: &ConfigLayers<'_>,
) -> Result<String, AlterError> {
    if key.kind != Kind::List {
        return Err(AlterError::NotAList(key.name.to_owned()));
    }
    let in_force = match target {
        ConfigTarget::Topic => topic_value(key.name, current, layers),
        ConfigTarget::Group => group_value(key.name, current, layers),
        ConfigTarget::ClientMetrics => client_metrics_value(key.name, current),
        ConfigTarget::Broker | ConfigTarget::AllBrokers => match current.get(key.name) {
            Some(text) => key.parse(text).ok(),
            None => layers.fixed.setting(key.name).map(|setting| setting.value.clone()).or_else(|| key.default_value()),
        },
    };
    let mut items = match in_force {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    };
    for item in split_list(text) {
        let position = items.iter().position(|known| *known == item);
        match (operation, position) {
            (AlterOperation::Append, None) => items.push(item),
            (AlterOperation::Subtract, Some(position)) => {
                items.remove(position);
            }
            _ => {}
        }
    }
    Ok(items.join(","))
}

/// Looks at values that must go together.
fn check_whole(
    target: ConfigTarget,
    current: &ConfigMap,
    changes: &ConfigChanges,
    layers: &ConfigLayers<'_>,
) -> Result<(), AlterError> {
    let mut settings = current.clone();
    for (key, text) in changes {
        match text {
            Some(text) => settings.insert(key.clone(), text.clone()),
            None => settings.remove(key),
        };
    }
    match target {
        ConfigTarget::Topic => check_topic(&settings, layers),
        ConfigTarget::Group => check_group(&settings, layers),
        ConfigTarget::Broker => check_broker_change(layers, &ConfigLayers { broker: &settings, ..*layers }),
        ConfigTarget::AllBrokers => check_broker_change(layers, &ConfigLayers { all_brokers: &settings, ..*layers }),
        ConfigTarget::ClientMetrics => Ok(()),
    }
}

/// Looks whether the values of a broker go together. What did not before the change is not the change's fault: a setting from an
/// earlier start may not go with the properties of this one, and others can be changed all the same.
fn check_broker_change(before: &ConfigLayers<'_>, after: &ConfigLayers<'_>) -> Result<(), AlterError> {
    let known = check_broker(before);
    let new = check_broker(after).into_iter().find(|reason| !known.contains(reason));
    new.map_or(Ok(()), |reason| Err(AlterError::Conflict(reason)))
}

/// Looks whether the values in force of a topic with these settings go together.
fn check_topic(settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Result<(), AlterError> {
    let integer = |name| match topic_value(name, settings, layers) {
        Some(Value::Integer(value)) => value,
        other => panic!("{name} is not a number but {other:?}"),
    };
    let (least, most) = (integer("min.compaction.lag.ms"), integer("max.compaction.lag.ms"));
    if least > most {
        let text = format!("min.compaction.lag.ms ({least}) is larger than max.compaction.lag.ms ({most})");
        return Err(AlterError::Conflict(text));
    }
    Ok(())
}

/// Checks the settings with which a topic is to be created.
pub fn check_new_topic(
    settings: &[(String, Option<String>)],
    layers: &ConfigLayers<'_>,
) -> Result<ConfigMap, AlterError> {
    let set = |(key, value): &(String, Option<String>)| Alteration {
        key: key.clone(),
        operation: AlterOperation::Set,
        value: value.clone(),
    };
    let alterations: Vec<Alteration> = settings.iter().map(set).collect();
    let changes = alter_incrementally(ConfigTarget::Topic, &ConfigMap::new(), &alterations, layers)?;
    Ok(changes.into_iter().filter_map(|(key, text)| Some((key, text?))).collect())
}

#[cfg(test)]
mod tests;

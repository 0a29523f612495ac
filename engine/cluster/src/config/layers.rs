//! The layers of broker configuration: what was changed at run time lies over what was configured at the start, and
//! both lie over the defaults.

use std::collections::BTreeMap;

use super::key::ConfigKey;
use super::keys::broker_key;
use super::static_config::StaticConfig;
use super::value::Value;

/// Settings made at run time, as text, as the metadata log has them.
pub type ConfigMap = BTreeMap<String, String>;

/// Where a value comes from, with the numbers of `DescribeConfigsResponse`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic = 1,
    /// Set at run time for this broker.
    DynamicBroker = 2,
    /// Set at run time for all brokers.
    DynamicDefaultBroker = 3,
    /// Set at the start.
    StaticBroker = 4,
    /// Set by nobody.
    Default = 5,
    /// Set at run time for a logger of this broker, or by its start.
    BrokerLogger = 6,
    /// Set for a subscription to metrics of clients.
    ClientMetrics = 7,
    /// Set for the group.
    Group = 8,
}

impl ConfigSource {
    const ALL: [Self; 8] = [
        Self::Topic,
        Self::DynamicBroker,
        Self::DynamicDefaultBroker,
        Self::StaticBroker,
        Self::Default,
        Self::BrokerLogger,
        Self::ClientMetrics,
        Self::Group,
    ];

    /// The source of this number.
    pub fn from_wire_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.wire_code() == code)
    }

    /// The source's number on the wire.
    pub fn wire_code(self) -> i8 {
        self as i8
    }
}

/// What one broker's configuration consists of. Borrowed together for as long as something is looked up.
#[derive(Clone, Copy, Debug)]
pub struct ConfigLayers<'a> {
    /// Set at run time for this broker.
    pub broker: &'a ConfigMap,
    /// Set at run time for all brokers.
    pub all_brokers: &'a ConfigMap,
    /// Set at the start.
    pub fixed: &'a StaticConfig,
}

const EMPTY: &ConfigMap = &ConfigMap::new();

impl<'a> ConfigLayers<'a> {
    /// The configuration before anything was changed at run time.
    pub fn of_start(fixed: &'a StaticConfig) -> Self {
        Self { broker: EMPTY, all_brokers: EMPTY, fixed }
    }

    /// The layers that have a value for the key, the strongest first; the default is the last one, unless it is null.
    /// A text of an older release that the key no longer accepts counts as not set.
    pub fn of_key(&self, key: &'static ConfigKey) -> Vec<(Value, ConfigSource)> {
        let dynamic = |map: &ConfigMap, source| Some((key.parse(map.get(key.name)?).ok()?, source));
        let fixed = self.fixed.setting(key.name).map(|setting| (setting.value.clone(), ConfigSource::StaticBroker));
        [
            dynamic(self.broker, ConfigSource::DynamicBroker),
            dynamic(self.all_brokers, ConfigSource::DynamicDefaultBroker),
            fixed,
            key.default_value().map(|value| (value, ConfigSource::Default)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The value in force, `None` if it is null. Panics for a key that is not in the table: the caller has misspelt it.
    pub fn value(&self, name: &str) -> Option<Value> {
        self.of_key(known(name)).into_iter().next().map(|(value, _)| value)
    }

    /// The value in force of a number that is never null.
    pub fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Integer(value)) => value,
            other => panic!("{name} is not a number but {other:?}"),
        }
    }

    /// The value in force of a number, if somebody has set it.
    pub fn given_integer(&self, name: &str) -> Option<i64> {
        match self.of_key(known(name)).into_iter().next()? {
            (_, ConfigSource::Default) => None,
            (Value::Integer(value), _) => Some(value),
            (other, _) => panic!("{name} is not a number but {other:?}"),
        }
    }

    /// The value in force of a boolean.
    pub fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => value,
            other => panic!("{name} is not a boolean but {other:?}"),
        }
    }

    /// The value in force of a text; empty if it is null.
    pub fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Text(value)) => value,
            None => String::new(),
            other => panic!("{name} is not a text but {other:?}"),
        }
    }

    /// The value in force of a list; empty if it is null.
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(items)) => items,
            None => Vec::new(),
            other => panic!("{name} is not a list but {other:?}"),
        }
    }
}

fn known(name: &str) -> &'static ConfigKey {
    broker_key(name).unwrap_or_else(|| panic!("{name} is not in the table of configuration keys"))
}

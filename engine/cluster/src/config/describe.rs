//! Configuration as `DescribeConfigs` tells it: every key with its value, where that comes from, and the synonyms that
//! would count without it (`DescribeConfigsResponse` v1 to v4).

use super::key::{ConfigKey, Kind, Scope, Synonym, Unit};
use super::keys::{
    broker_key, broker_keys, client_metrics_key, client_metrics_keys, group_key, group_keys, topic_key, topic_keys,
};
use super::layers::{ConfigLayers, ConfigMap, ConfigSource};
use super::value::Value;

/// One key as it is told to a client.
#[derive(Clone, PartialEq, Debug)]
pub struct DescribedConfig {
    /// The key.
    pub name: &'static str,
    /// The value in force; `None` if it is null or must not be shown.
    pub value: Option<String>,
    /// Whether it can only be set at the start.
    pub read_only: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether values are never shown.
    pub is_sensitive: bool,
    /// All settings of the key and its synonyms, the strongest first, the default last.
    pub synonyms: Vec<DescribedSynonym>,
    /// The type of its values.
    pub kind: Kind,
    /// One line for people.
    pub documentation: &'static str,
}

/// One setting in force, or in force but for a stronger one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedSynonym {
    /// The key that was set.
    pub name: &'static str,
    /// What it was set to; `None` if that must not be shown.
    pub value: Option<String>,
    /// Where it was set.
    pub source: ConfigSource,
}

/// Every key of a topic with these settings of its own.
pub fn describe_topic(settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Vec<DescribedConfig> {
    let is_told = |key: &&ConfigKey| !key.internal || settings.contains_key(key.name);
    topic_keys().iter().filter(is_told).map(|key| describe_topic_key(key, settings, layers)).collect()
}

/// Every key of a group with these settings of its own.
pub fn describe_group(settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Vec<DescribedConfig> {
    let is_told = |key: &&ConfigKey| !key.internal || settings.contains_key(key.name);
    let described = |key: &'static ConfigKey| {
        let layers = group_layers(key, settings, layers);
        describe(key, layers.first().map(|layer| &layer.value), &layers)
    };
    group_keys().iter().filter(is_told).map(described).collect()
}

/// Every key of a subscription to metrics of clients with these settings. What nobody has set is told without a synonym.
pub fn describe_client_metrics(settings: &ConfigMap) -> Vec<DescribedConfig> {
    let described = |key: &'static ConfigKey| {
        let own = own_layer(key, settings, ConfigSource::ClientMetrics);
        let value = own.as_ref().map(|layer| layer.value.clone()).or_else(|| key.default_value());
        describe(key, value.as_ref(), own.as_slice())
    };
    client_metrics_keys().iter().map(described).collect()
}

/// Every key of a broker.
pub fn describe_broker(layers: &ConfigLayers<'_>) -> Vec<DescribedConfig> {
    let mut described: Vec<_> = broker_keys()
        .map(|key| describe_broker_key(key, layers))
        .filter(|config| config.source != ConfigSource::Default || !is_internal(config.name))
        .collect();
    described.sort_unstable_by_key(|config| config.name);
    described
}

/// The keys that are set for all brokers at run time, and nothing else.
pub fn describe_all_brokers(layers: &ConfigLayers<'_>) -> Vec<DescribedConfig> {
    let keys = layers.all_brokers.keys().filter_map(|name| broker_key(name));
    let only_cluster_wide = |mut config: DescribedConfig| {
        config.synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        config.source = ConfigSource::DynamicDefaultBroker;
        config.value = config.synonyms.first().and_then(|synonym| synonym.value.clone());
        config
    };
    keys.map(|key| only_cluster_wide(describe_broker_key(key, layers))).collect()
}

fn is_internal(name: &str) -> bool {
    broker_key(name).is_some_and(|key| key.internal)
}

/// The value in force of a topic's key, `None` if it is null. Panics for a key that is not in the table.
pub fn topic_value(name: &str, settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Option<Value> {
    let key = topic_key(name).unwrap_or_else(|| panic!("{name} is not in the table of topic keys"));
    topic_layers(key, settings, layers).into_iter().next().map(|layer| layer.value).or_else(|| key.default_value())
}

/// The value in force of a group's key, `None` if it is null. Panics for a key that is not in the table.
pub(super) fn group_value(name: &str, settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Option<Value> {
    let key = group_key(name).unwrap_or_else(|| panic!("{name} is not in the table of group keys"));
    group_layers(key, settings, layers).into_iter().next().map(|layer| layer.value)
}

/// The value in force of a key of client metrics. Panics for a key that is not in the table.
pub(super) fn client_metrics_value(name: &str, settings: &ConfigMap) -> Option<Value> {
    let key = client_metrics_key(name).unwrap_or_else(|| panic!("{name} is not in the table of client metrics"));
    let own = own_layer(key, settings, ConfigSource::ClientMetrics).map(|layer| layer.value);
    own.or_else(|| key.default_value())
}

/// A setting of a key or of one of its synonyms.
struct Layer {
    name: &'static str,
    /// As it was set.
    set: Value,
    /// In the topic key's unit.
    value: Value,
    source: ConfigSource,
}

/// What counts for a topic's key, the strongest first: the topic's own setting, and then source by source the broker
/// keys in the order of their precedence.
fn topic_layers(key: &'static ConfigKey, settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Vec<Layer> {
    let Scope::Topic(synonyms) = key.scope else { panic!("{} is not a topic's key", key.name) };
    let own = own_layer(key, settings, ConfigSource::Topic);
    own.into_iter().chain(inherited_layers(synonyms, layers)).collect()
}

/// The same for a group's key, with the default of a key that is the group's alone.
fn group_layers(key: &'static ConfigKey, settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Vec<Layer> {
    let Scope::Group(synonyms) = key.scope else { panic!("{} is not a group's key", key.name) };
    let own = own_layer(key, settings, ConfigSource::Group);
    let default = key.default_value().filter(|_| synonyms.is_empty());
    let default =
        default.map(|value| Layer { name: key.name, set: value.clone(), value, source: ConfigSource::Default });
    own.into_iter().chain(inherited_layers(synonyms, layers)).chain(default).collect()
}

/// What was set for the resource itself.
fn own_layer(key: &'static ConfigKey, settings: &ConfigMap, source: ConfigSource) -> Option<Layer> {
    let value = key.parse(settings.get(key.name)?).ok()?;
    Some(Layer { name: key.name, set: value.clone(), value, source })
}

fn inherited_layers(synonyms: &[Synonym], layers: &ConfigLayers<'_>) -> Vec<Layer> {
    let mut inherited: Vec<Layer> =
        synonyms.iter().flat_map(|synonym| layers_of(synonym.name, synonym.unit, layers)).collect();
    // Stable: within one source the order of precedence stays.
    inherited.sort_by_key(|layer| layer.source.wire_code());
    inherited
}

fn layers_of(name: &'static str, unit: Unit, layers: &ConfigLayers<'_>) -> impl Iterator<Item = Layer> {
    let key = broker_key(name).expect("a unit test looks up every synonym");
    layers.of_key(key).into_iter().map(move |(set, source)| {
        let value = unit.convert(set.clone());
        Layer { name, set, value, source }
    })
}

fn describe_topic_key(key: &'static ConfigKey, settings: &ConfigMap, layers: &ConfigLayers<'_>) -> DescribedConfig {
    let layers = topic_layers(key, settings, layers);
    let value = layers.first().map(|layer| layer.value.clone()).or_else(|| key.default_value());
    describe(key, value.as_ref(), &layers)
}

fn describe_broker_key(key: &'static ConfigKey, layers: &ConfigLayers<'_>) -> DescribedConfig {
    let value = layers.of_key(key).into_iter().next().map(|(value, _)| value);
    let mut all: Vec<Layer> = Vec::new();
    match broker_synonyms(key.name) {
        [] => all.extend(layers_of(key.name, Unit::Same, layers)),
        family => family.iter().for_each(|name| all.extend(layers_of(name, Unit::Same, layers))),
    }
    all.sort_by_key(|layer| layer.source.wire_code());
    describe(key, value.as_ref(), &all)
}

fn describe(key: &'static ConfigKey, value: Option<&Value>, layers: &[Layer]) -> DescribedConfig {
    let is_sensitive = key.is_sensitive();
    let shown = |value: &Value| (!is_sensitive).then(|| value.to_string());
    DescribedConfig {
        name: key.name,
        value: value.and_then(shown),
        read_only: !key.is_dynamic(),
        source: layers.first().map_or(ConfigSource::Default, |layer| layer.source),
        is_sensitive,
        synonyms: layers
            .iter()
            .map(|layer| DescribedSynonym { name: layer.name, value: shown(&layer.set), source: layer.source })
            .collect(),
        kind: key.kind,
        documentation: key.documentation(),
    }
}

/// The key, and the keys that count where it is not set because they say the same thing in a coarser unit.
fn broker_synonyms(name: &'static str) -> &'static [&'static str] {
    const FAMILIES: &[&[&str]] = &[
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    ];
    let from_here =
        |family: &&'static [&'static str]| family.iter().position(|known| *known == name).map(|at| &family[at..]);
    FAMILIES.iter().find_map(from_here).unwrap_or(&[])
}

#[cfg(test)]
mod tests;

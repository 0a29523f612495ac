//! What has settings in a cluster, from topics to loggers of a broker. How their settings are asked for and changed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use ringlog_cluster::config::{AlterOperation, ConfigSource, ResourceType};
use ringlog_cluster::metadata::Intent;
use ringlog_net::client::Target;
use ringlog_net::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_storage::types::BrokerId;
use serde::{Serialize, Serializer};

use crate::session::{AutoCreate, Session, accepted};

/// So many ids of brokers are told to somebody who names another one.
const BROKERS_TOLD_MAX: usize = 20;

/// Reads the name of a type.
pub(crate) fn parse_type() -> impl TypedValueParser<Value = ResourceType> {
    let known = |name: String| ResourceType::named(&name).expect("other names are refused");
    PossibleValuesParser::new(ResourceType::ALL.map(ResourceType::name)).map(known)
}

/// Writes the name of a type.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn serialize_type<S: Serializer>(resource_type: &ResourceType, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(resource_type.name())
}

/// How a resource is spoken of.
pub(crate) fn spoken(resource_type: ResourceType, name: &str) -> String {
    match resource_type {
        ResourceType::Broker if name.is_empty() => "all brokers".to_owned(),
        ResourceType::Topic
        | ResourceType::Broker
        | ResourceType::BrokerLogger
        | ResourceType::ClientMetrics
        | ResourceType::Group => format!("{} {name}", resource_type.name()),
    }
}

/// The broker that alone knows about a resource.
fn broker(resource_type: ResourceType, name: &str) -> anyhow::Result<Option<BrokerId>> {
    match resource_type {
        ResourceType::Broker if name.is_empty() => Ok(None),
        ResourceType::Broker | ResourceType::BrokerLogger => match name.parse() {
            Ok(id) => Ok(Some(BrokerId::new(id))),
            Err(_) => bail!("{name} is not the id of a broker; see them with: ringlog cluster describe"),
        },
        ResourceType::Topic | ResourceType::ClientMetrics | ResourceType::Group => Ok(None),
    }
}

/// One setting, inherited ones too.
#[derive(Debug, Serialize)]
pub(crate) struct Config {
    pub(crate) name: String,
    /// `None` also where it is not shown.
    pub(crate) value: Option<String>,
    pub(crate) source: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) read_only: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sensitive: bool,
}

/// The source of settings that nobody made.
pub(crate) const DEFAULT_SOURCE: &str = "default";

/// The name that `DescribeConfigsResponse`'s number of a source has.
fn source_name(number: i8) -> &'static str {
    match ConfigSource::from_wire_code(number) {
        Some(ConfigSource::Topic) => "topic",
        Some(ConfigSource::DynamicBroker) => "broker",
        Some(ConfigSource::DynamicDefaultBroker) => "cluster",
        Some(ConfigSource::StaticBroker) => "static",
        Some(ConfigSource::Default) => DEFAULT_SOURCE,
        Some(ConfigSource::BrokerLogger) => "broker-logger",
        Some(ConfigSource::ClientMetrics) => "client-metrics",
        Some(ConfigSource::Group) => "group",
        None => "unknown",
    }
}

impl From<DescribeConfigsResourceResult> for Config {
    fn from(said: DescribeConfigsResourceResult) -> Self {
        Self {
            name: said.name,
            value: said.value,
            source: source_name(said.config_source),
            read_only: said.read_only,
            sensitive: said.is_sensitive,
        }
    }
}

/// The resources by whom they are asked for at: what a broker alone knows, at that one.
fn by_target(
    resource_type: ResourceType,
    names: &[String],
    otherwise: Target,
) -> anyhow::Result<Vec<(Target, Vec<String>)>> {
    let mut by_target: Vec<(Target, Vec<String>)> = Vec::new();
    for name in names {
        let target = broker(resource_type, name)?.map_or(otherwise, Target::Broker);
        match by_target.iter_mut().find(|(known, _)| *known == target) {
            Some((_, names)) => names.push(name.clone()),
            None => by_target.push((target, vec![name.clone()])),
        }
    }
    Ok(by_target)
}

/// As [`by_target`], with the brokers looked up: nothing is sent when one of them is not there.
async fn known_targets(
    session: &Session,
    resource_type: ResourceType,
    names: &[String],
    otherwise: Target,
) -> anyhow::Result<Vec<(Target, Vec<String>)>> {
    let targets = by_target(resource_type, names, otherwise)?;
    if targets.iter().any(|(target, _)| matches!(target, Target::Broker(_))) {
        let brokers = session.topics(Some(&[]), AutoCreate::No).await?.brokers;
        check_brokers(&targets, &brokers.into_iter().map(|broker| BrokerId::new(broker.node_id)).collect())?;
    }
    Ok(targets)
}

/// Refuses brokers that are not among those that there are.
fn check_brokers(targets: &[(Target, Vec<String>)], known: &BTreeSet<BrokerId>) -> anyhow::Result<()> {
    let is_missing = |target: &Target| matches!(target, Target::Broker(id) if !known.contains(id));
    let missing = targets.iter().filter(|(target, _)| is_missing(target)).flat_map(|(_, names)| names);
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut told: Vec<String> = known.iter().take(BROKERS_TOLD_MAX).map(BrokerId::to_string).collect();
    if known.len() > told.len() {
        told.push(format!("and {} more", known.len() - told.len()));
    }
    bail!("there is no broker {}; those that are there: {}", missing.join(", "), told.join(", "))
}

/// The settings of resources of one type, by name, in order of their keys; or why a resource has none.
pub(crate) async fn describe(
    session: &Session,
    resource_type: ResourceType,
    names: &[String],
) -> anyhow::Result<BTreeMap<String, anyhow::Result<Vec<Config>>>> {
    let mut described = BTreeMap::new();
    for (target, names) in known_targets(session, resource_type, names, Target::Any).await? {
        let resource = |name: &String| DescribeConfigsResource {
            resource_type: resource_type.wire_code(),
            resource_name: name.clone(),
            configuration_keys: None,
        };
        let resources = names.iter().map(resource).collect();
        let request = DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() };
        for result in session.call(target, request).await?.results {
            let what = format!("settings of {}", spoken(resource_type, &result.resource_name));
            let said = result.error_message.as_deref().filter(|said| !said.is_empty());
            let configs = accepted(&what, result.error_code, said).map(|()| {
                let mut configs: Vec<Config> = result.configs.into_iter().map(Config::from).collect();
                configs.sort_by(|left, right| left.name.cmp(&right.name));
                configs
            });
            described.insert(result.resource_name, configs);
        }
    }
    Ok(described)
}

/// A change of one setting; a deletion has no value.
pub(crate) fn change(name: &str, operation: AlterOperation, value: Option<&str>) -> AlterableConfig {
    let config_operation = operation.wire_code();
    AlterableConfig { name: name.to_owned(), config_operation, value: value.map(str::to_owned) }
}

/// Changes resources of one type, or has the changes checked alone. Answers what became of each, by name.
pub(crate) async fn alter(
    session: &Session,
    resource_type: ResourceType,
    names: &[String],
    changes: &[AlterableConfig],
    intent: Intent,
) -> anyhow::Result<Vec<(String, anyhow::Result<()>)>> {
    let mut results = Vec::new();
    for (target, names) in known_targets(session, resource_type, names, Target::Controller).await? {
        let resource = |name: &String| AlterConfigsResource {
            resource_type: resource_type.wire_code(),
            resource_name: name.clone(),
            configs: changes.to_vec(),
        };
        let resources = names.iter().map(resource).collect();
        let request = IncrementalAlterConfigsRequest { resources, validate_only: intent == Intent::ValidateOnly };
        for result in session.call(target, request).await?.responses {
            let what = spoken(resource_type, &result.resource_name);
            let said = result.error_message.as_deref().filter(|said| !said.is_empty());
            results.push((result.resource_name, accepted(&what, result.error_code, said)));
        }
    }
    Ok(results)
}

/// Reads `KEY=VALUE`.
pub(crate) fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected key=value")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_what_is_behind_the_first_equals_sign() {
        assert_eq!(parse_setting("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_setting("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_setting("a").is_err());
    }

    #[test]
    fn brokers_are_asked_themselves() {
        let names = ["1".to_owned(), String::new(), "2".to_owned(), "1".to_owned()];
        let (any, broker) = (Target::Any, |id| Target::Broker(BrokerId::new(id)));
        let asked = by_target(ResourceType::Broker, &names, any).expect("numbers");
        let expected = [
            (broker(1), vec!["1".to_owned(), "1".to_owned()]),
            (any, vec![String::new()]),
            (broker(2), vec!["2".to_owned()]),
        ];
        assert_eq!(asked, expected);
        assert_eq!(by_target(ResourceType::Topic, &names, any).expect("names").len(), 1);
        for (resource_type, name) in [(ResourceType::Broker, "x"), (ResourceType::BrokerLogger, "")] {
            assert!(by_target(resource_type, &[name.to_owned()], any).is_err(), "{name:?}");
        }
        let loggers = by_target(ResourceType::BrokerLogger, &["2".to_owned()], any).expect("a number");
        assert_eq!(loggers, [(broker(2), vec!["2".to_owned()])]);
    }

    #[test]
    fn brokers_that_are_not_there_are_refused_with_those_that_are() {
        let check = |asked: &[&str], known: i32, expected: &str| {
            let asked: Vec<_> = asked.iter().map(|name| (*name).to_owned()).collect();
            let targets = by_target(ResourceType::Broker, &asked, Target::Any).expect("ids");
            let known = (1..=known).map(BrokerId::new).collect();
            let said = check_brokers(&targets, &known).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(said, expected, "{asked:?}");
        };
        check(&["1", "", "2"], 2, "");
        check(&["1", "5", "4"], 2, "there is no broker 5, 4; those that are there: 1, 2");
        let told: Vec<_> = (1..=20).map(|id: i32| id.to_string()).collect();
        check(&["30"], 29, &format!("there is no broker 30; those that are there: {}, and 9 more", told.join(", ")));
    }
}

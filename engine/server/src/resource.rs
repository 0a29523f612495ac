//! What has settings in a cluster: topics, brokers, groups. How their settings are asked for and changed.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::ValueEnum;
use ringlog_net::client::Target;
use ringlog_net::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_storage::types::BrokerId;
use serde::Serialize;

use crate::session::{Session, accepted};

/// What has settings, with the number that the requests know it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResourceType {
    Topic = 2,
    Broker = 4,
    Group = 32,
}

impl ResourceType {
    fn code(self) -> i8 {
        self as i8
    }

    /// How a resource is spoken of.
    pub(crate) fn named(self, name: &str) -> String {
        match self {
            Self::Topic => format!("topic {name}"),
            Self::Broker if name.is_empty() => "all brokers".to_owned(),
            Self::Broker => format!("broker {name}"),
            Self::Group => format!("group {name}"),
        }
    }

    /// Whom to ask about it: a broker is asked itself.
    fn target(self, name: &str, otherwise: Target) -> anyhow::Result<Target> {
        match self {
            Self::Broker if !name.is_empty() => match name.parse() {
                Ok(id) => Ok(Target::Broker(BrokerId::new(id))),
                Err(_) => bail!("{name} is not the id of a broker; see them with: ringlog cluster describe"),
            },
            Self::Topic | Self::Broker | Self::Group => Ok(otherwise),
        }
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
    match number {
        1 => "topic",
        2 => "broker",
        3 => "cluster",
        4 => "static",
        5 => DEFAULT_SOURCE,
        6 => "broker-logger",
        7 => "client-metrics",
        8 => "group",
        _ => "unknown",
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

/// The resources by whom they are asked for at.
fn by_target(
    resource_type: ResourceType,
    names: &[String],
    otherwise: Target,
) -> anyhow::Result<Vec<(Target, Vec<String>)>> {
    let mut by_target: Vec<(Target, Vec<String>)> = Vec::new();
    for name in names {
        let target = resource_type.target(name, otherwise)?;
        match by_target.iter_mut().find(|(known, _)| *known == target) {
            Some((_, names)) => names.push(name.clone()),
            None => by_target.push((target, vec![name.clone()])),
        }
    }
    Ok(by_target)
}

/// The settings of resources of one type, by name, in order of their keys.
pub(crate) async fn describe(
    session: &Session,
    resource_type: ResourceType,
    names: &[String],
) -> anyhow::Result<BTreeMap<String, Vec<Config>>> {
    let mut described = BTreeMap::new();
    for (target, names) in by_target(resource_type, names, Target::Any)? {
        let resource = |name: &String| DescribeConfigsResource {
            resource_type: resource_type.code(),
            resource_name: name.clone(),
            configuration_keys: None,
        };
        let resources = names.iter().map(resource).collect();
        let request = DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() };
        for result in session.call(target, request).await?.results {
            let what = format!("settings of {}", resource_type.named(&result.resource_name));
            accepted(&what, result.error_code, result.error_message.as_deref().filter(|said| !said.is_empty()))?;
            let mut configs: Vec<Config> = result.configs.into_iter().map(Config::from).collect();
            configs.sort_by(|left, right| left.name.cmp(&right.name));
            described.insert(result.resource_name, configs);
        }
    }
    Ok(described)
}

/// What is done to a setting, with the numbers of `IncrementalAlterConfigsRequest`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Set = 0,
    Delete = 1,
    /// Adds items to a list.
    Append = 2,
    /// Takes items off a list.
    Subtract = 3,
}

/// A change of one setting; a deletion has no value.
pub(crate) fn change(name: &str, operation: Operation, value: Option<&str>) -> AlterableConfig {
    AlterableConfig { name: name.to_owned(), config_operation: operation as i8, value: value.map(str::to_owned) }
}

/// Changes resources of one type. Answers what became of each, by name.
pub(crate) async fn alter(
    session: &Session,
    resource_type: ResourceType,
    names: &[String],
    changes: &[AlterableConfig],
) -> anyhow::Result<Vec<(String, anyhow::Result<()>)>> {
    let mut results = Vec::new();
    for (target, names) in by_target(resource_type, names, Target::Controller)? {
        let resource = |name: &String| AlterConfigsResource {
            resource_type: resource_type.code(),
            resource_name: name.clone(),
            configs: changes.to_vec(),
        };
        let resources = names.iter().map(resource).collect();
        let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
        for result in session.call(target, request).await?.responses {
            let what = resource_type.named(&result.resource_name);
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
        assert!(by_target(ResourceType::Broker, &["x".to_owned()], any).is_err());
    }
}

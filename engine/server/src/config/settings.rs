//! `ringlog config describe` and `ringlog config alter`: the settings of topics, brokers and their loggers, groups, and
//! subscriptions to metrics of clients.

use anyhow::bail;
use ringlog_cluster::config::{AlterOperation, ResourceType};
use ringlog_cluster::metadata::Intent;
use serde::Serialize;

use crate::diagnostics::several;
use crate::output::{self, Form, or_dash, table};
use crate::printable::printable;
use crate::resource::{self, Config, DEFAULT_SOURCE, change, parse_setting, parse_type, serialize_type, spoken};
use crate::session::{ClusterArguments, Session};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct DescribeArguments {
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,
    #[command(flatten)]
    resources: ResourceArguments,
    /// Defaults too, in tables: other forms always have them.
    #[arg(short, long)]
    all: bool,
    /// The form of what is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(super) struct AlterArguments {
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,
    #[command(flatten)]
    resources: ResourceArguments,
    /// A setting to make; may be repeated.
    #[arg(short, long, group = "change", value_name = "KEY=VALUE", value_parser = parse_setting)]
    config: Vec<(String, String)>,
    /// Items to add to a setting that is a list; may be repeated.
    #[arg(long, group = "change", value_name = "KEY=VALUE", value_parser = parse_setting)]
    append: Vec<(String, String)>,
    /// Items to take off a setting that is a list; may be repeated.
    #[arg(long, group = "change", value_name = "KEY=VALUE", value_parser = parse_setting)]
    subtract: Vec<(String, String)>,
    /// A setting to remove, so that the default holds; may be repeated.
    #[arg(long, group = "change", value_name = "KEY")]
    delete_config: Vec<String>,
    /// The form of what is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// What is described or altered.
#[derive(Clone, Debug, clap::Args)]
struct ResourceArguments {
    /// What has the settings.
    #[arg(value_parser = parse_type(), value_name = "TYPE")]
    resource_type: ResourceType,
    /// Topics, ids of brokers, subscriptions, or groups; broker without one is what all brokers are told at run time.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl ResourceArguments {
    /// The names as requests have them: a broker without a name stands for all.
    fn names(&self) -> anyhow::Result<Vec<String>> {
        match (self.resource_type, self.names.as_slice()) {
            (ResourceType::Broker, []) => Ok(vec![String::new()]),
            (other, []) => bail!("no {} is named: give one or more behind the word {0}", other.name()),
            (_, names) => Ok(names.to_vec()),
        }
    }
}

/// A resource with its settings.
#[derive(Debug, Serialize)]
struct Described {
    #[serde(rename = "type", serialize_with = "serialize_type")]
    resource_type: ResourceType,
    name: String,
    configs: Vec<Config>,
}

/// A resource whose settings were changed.
#[derive(Debug, Serialize)]
struct Altered {
    #[serde(rename = "type", serialize_with = "serialize_type")]
    resource_type: ResourceType,
    name: String,
    result: &'static str,
}

/// Describes those that are there; the others are the command's error.
pub(super) async fn describe(session: &Session, arguments: &DescribeArguments) -> anyhow::Result<()> {
    let resource_type = arguments.resources.resource_type;
    let (mut described, mut refused) = (Vec::new(), Vec::new());
    for (name, configs) in resource::describe(session, resource_type, &arguments.resources.names()?).await? {
        match configs {
            Ok(configs) => described.push(Described { resource_type, name, configs }),
            Err(error) => refused.push(error),
        }
    }
    if described.is_empty() && !refused.is_empty() {
        return Err(several(refused));
    }
    output::print(arguments.output, &described, |described| {
        let is_shown = |config: &&Config| arguments.all || config.source != DEFAULT_SOURCE;
        let row = |name: &str, config: &Config| {
            let value = if config.sensitive { "(not shown)" } else { config.value.as_deref().unwrap_or("(null)") };
            [or_dash(name), config.name.clone(), value.to_owned(), config.source.to_owned()]
        };
        let rows = described.iter().flat_map(|each| {
            let shown = each.configs.iter().filter(is_shown);
            shown.map(|config| row(&each.name, config))
        });
        table(["NAME", "KEY", "VALUE", "SOURCE"], &rows.collect::<Vec<_>>())
    })?;
    if refused.is_empty() { Ok(()) } else { Err(several(refused)) }
}

pub(super) async fn alter(session: &Session, arguments: &AlterArguments) -> anyhow::Result<()> {
    let resource_type = arguments.resources.resource_type;
    let with_values = [
        (AlterOperation::Set, &arguments.config),
        (AlterOperation::Append, &arguments.append),
        (AlterOperation::Subtract, &arguments.subtract),
    ];
    let with_values = with_values.into_iter().flat_map(|(operation, settings)| {
        settings.iter().map(move |(name, value)| change(name, operation, Some(value)))
    });
    let deleted = arguments.delete_config.iter().map(|name| change(name, AlterOperation::Delete, None));
    let changes: Vec<_> = with_values.chain(deleted).collect();
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for (name, result) in
        resource::alter(session, resource_type, &arguments.resources.names()?, &changes, Intent::Apply).await?
    {
        match result {
            Ok(()) => done.push(Altered { resource_type, name, result: "altered" }),
            Err(error) => refused.push(error),
        }
    }
    output::print(arguments.output, &done, |done| {
        let line = |each: &Altered| format!("altered {}\n", printable(&spoken(each.resource_type, &each.name)));
        done.iter().map(line).collect()
    })?;
    if refused.is_empty() { Ok(()) } else { Err(several(refused)) }
}

//! `ringlog topic`: create, list, describe, delete and alter topics.

mod description;

use clap::Subcommand;
use ringlog_cluster::config::{AlterOperation, ResourceType};
use ringlog_cluster::metadata::Intent;
use ringlog_net::client::{ClientConfig, Target};
use ringlog_net::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use serde::Serialize;

use crate::diagnostics::several;
use crate::output::{self, Form, table};
use crate::printable::printable;
use crate::resource::{self, change, parse_setting};
use crate::session::{self, AutoCreate, ClusterArguments, Session, accepted};

/// How long brokers may take to perform a change, in milliseconds.
const CHANGE_TIME_MS: i32 = 30_000;

/// Create, list, describe, delete and alter topics.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The form of what is printed.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Create topics.
    Create {
        /// The topics.
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// How many partitions [default: the broker's num.partitions].
        #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// How many replicas of each partition [default: the broker's default.replication.factor].
        #[arg(short, long, value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A setting of the topic; may be repeated.
        #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_setting)]
        config: Vec<(String, String)>,
    },
    /// List topics.
    List {
        /// Also those that the cluster keeps for itself.
        #[arg(long)]
        internal: bool,
    },
    /// Tell partitions, offsets and settings.
    Describe {
        /// The topics.
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
    },
    /// Delete topics with everything in them.
    Delete {
        /// The topics.
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
    },
    /// Add partitions, change settings.
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Alter {
        /// The topics.
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// How many partitions there will be: more than now.
        #[arg(short, long, group = "change", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A setting to make; may be repeated.
        #[arg(short, long, group = "change", value_name = "KEY=VALUE", value_parser = parse_setting)]
        config: Vec<(String, String)>,
        /// A setting to remove, so that the default holds; may be repeated.
        #[arg(long, group = "change", value_name = "KEY")]
        delete_config: Vec<String>,
    },
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { cluster, output: form, command } = arguments;
    session::run(cluster, ClientConfig::default(), move |session| {
        let command = command.clone();
        async move {
            match command {
                Command::Create { topics, partitions, replication_factor, config } => {
                    let sizes = (partitions.unwrap_or(-1), replication_factor.unwrap_or(-1));
                    create(&session, form, &topics, sizes, &config).await
                }
                Command::List { internal } => list(&session, form, internal).await,
                Command::Describe { topics } => description::describe(&session, form, &topics).await,
                Command::Delete { topics } => delete(&session, form, &topics).await,
                Command::Alter { topics, partitions, config, delete_config } => {
                    alter(&session, form, &topics, partitions, &config, &delete_config).await
                }
            }
        }
    })
}

/// What became of a topic.
#[derive(Debug, Serialize)]
struct Changed {
    topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication_factor: Option<i16>,
    result: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Created,
    Deleted,
    Altered,
}

impl Changed {
    fn new(topic: &str, result: Outcome) -> Self {
        Self { topic: topic.to_owned(), id: None, partitions: None, replication_factor: None, result }
    }
}

/// Prints what was done; what was refused is the command's error.
fn conclude(form: Form, done: &[Changed], refused: Vec<anyhow::Error>) -> anyhow::Result<()> {
    output::print(form, &done, |done| {
        let line = |each: &Changed| match each.result {
            Outcome::Created => format!(
                "created {} with partitions={} replication-factor={}\n",
                each.topic,
                each.partitions.map_or("?".to_owned(), |count| count.to_string()),
                each.replication_factor.map_or("?".to_owned(), |count| count.to_string()),
            ),
            Outcome::Deleted => format!("deleted {}\n", printable(&each.topic)),
            Outcome::Altered => format!("altered {}\n", printable(&each.topic)),
        };
        done.iter().map(line).collect()
    })?;
    if refused.is_empty() { Ok(()) } else { Err(several(refused)) }
}

async fn create(
    session: &Session,
    form: Form,
    topics: &[String],
    (num_partitions, replication_factor): (i32, i16),
    settings: &[(String, String)],
) -> anyhow::Result<()> {
    let configs =
        settings.iter().map(|(name, value)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) });
    let configs: Vec<_> = configs.collect();
    let creatable = topics.iter().map(|name| CreatableTopic {
        name: name.clone(),
        num_partitions,
        replication_factor,
        configs: configs.clone(),
        ..CreatableTopic::default()
    });
    let request = CreateTopicsRequest { topics: creatable.collect(), timeout_ms: CHANGE_TIME_MS, validate_only: false };
    let response = session.call(Target::Controller, request).await?;
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for topic in response.topics {
        match accepted(&format!("topic {}", topic.name), topic.error_code, topic.error_message.as_deref()) {
            Ok(()) => done.push(Changed {
                id: Some(topic.topic_id.to_string()),
                partitions: Some(topic.num_partitions).filter(|count| *count >= 0),
                replication_factor: Some(topic.replication_factor).filter(|count| *count >= 0),
                ..Changed::new(&topic.name, Outcome::Created)
            }),
            Err(error) => refused.push(error),
        }
    }
    conclude(form, &done, refused)
}

async fn delete(session: &Session, form: Form, topics: &[String]) -> anyhow::Result<()> {
    let state = |name: &String| DeleteTopicState { name: Some(name.clone()), ..DeleteTopicState::default() };
    let request = DeleteTopicsRequest {
        topics: topics.iter().map(state).collect(),
        timeout_ms: CHANGE_TIME_MS,
        ..DeleteTopicsRequest::default()
    };
    let response = session.call(Target::Controller, request).await?;
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for topic in response.responses {
        let name = topic.name.unwrap_or_else(|| topic.topic_id.to_string());
        match accepted(&format!("topic {name}"), topic.error_code, topic.error_message.as_deref()) {
            Ok(()) => done.push(Changed::new(&name, Outcome::Deleted)),
            Err(error) => refused.push(error),
        }
    }
    conclude(form, &done, refused)
}

async fn alter(
    session: &Session,
    form: Form,
    topics: &[String],
    partitions: Option<i32>,
    settings: &[(String, String)],
    deleted: &[String],
) -> anyhow::Result<()> {
    let set = settings.iter().map(|(name, value)| change(name, AlterOperation::Set, Some(value)));
    let changes: Vec<_> = set.chain(deleted.iter().map(|name| change(name, AlterOperation::Delete, None))).collect();
    let (mut refused, mut left) = (Vec::new(), topics.to_vec());
    let mut note = |left: &mut Vec<String>, name: &str, result: anyhow::Result<()>| {
        let Err(error) = result else { return };
        refused.push(error);
        left.retain(|topic| topic != name);
    };
    if !changes.is_empty() && partitions.is_some() {
        // Partitions do not go again where a setting is wrong.
        for (name, result) in
            resource::alter(session, ResourceType::Topic, topics, &changes, Intent::ValidateOnly).await?
        {
            note(&mut left, &name, result);
        }
    }
    if let Some(count) = partitions.filter(|_| !left.is_empty()) {
        let topic = |name: &String| CreatePartitionsTopic { name: name.clone(), count, assignments: None };
        let topics = left.iter().map(topic).collect();
        let request = CreatePartitionsRequest { topics, timeout_ms: CHANGE_TIME_MS, validate_only: false };
        for result in session.call(Target::Controller, request).await?.results {
            let what = format!("topic {}", result.name);
            note(&mut left, &result.name, accepted(&what, result.error_code, result.error_message.as_deref()));
        }
    }
    if !changes.is_empty() && !left.is_empty() {
        let topics = left.clone();
        for (name, result) in resource::alter(session, ResourceType::Topic, &topics, &changes, Intent::Apply).await? {
            note(&mut left, &name, result);
        }
    }
    let altered: Vec<_> = left.iter().map(|topic| Changed::new(topic, Outcome::Altered)).collect();
    conclude(form, &altered, refused)
}

/// One line of `topic list`.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    id: String,
    partitions: usize,
    replication_factor: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    internal: bool,
}

async fn list(session: &Session, form: Form, internal: bool) -> anyhow::Result<()> {
    let response = session.topics(None, AutoCreate::No).await?;
    let shown = response.topics.into_iter().filter(|topic| internal || !topic.is_internal);
    let mut listed: Vec<Listed> = shown
        .map(|topic| Listed {
            name: topic.name.unwrap_or_default(),
            id: topic.topic_id.to_string(),
            partitions: topic.partitions.len(),
            replication_factor: topic.partitions.iter().map(|each| each.replica_nodes.len()).max().unwrap_or(0),
            internal: topic.is_internal,
        })
        .collect();
    listed.sort_by(|left, right| left.name.cmp(&right.name));
    output::print(form, &listed, |listed| {
        let row = |each: &Listed| [each.name.clone(), each.partitions.to_string(), each.replication_factor.to_string()];
        table(["NAME", "PARTITIONS", "REPLICAS"], &listed.iter().map(row).collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_lines_of_their_own() {
        let refused = vec![anyhow::anyhow!("one"), anyhow::anyhow!("two")];
        let error = conclude(Form::Table, &[], refused).expect_err("it was refused");
        assert_eq!(error.to_string(), "one; two");
    }
}

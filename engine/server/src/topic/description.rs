//! What `ringlog topic describe` tells.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::anyhow;
use ringlog_cluster::config::ResourceType;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::metadata::{MetadataResponsePartition, MetadataResponseTopic};
use ringlog_storage::types::{Offset, PartitionIndex};
use serde::Serialize;

use crate::diagnostics::several;
use crate::offsets::{self, Place};
use crate::output::{self, Form, table};
use crate::printable::printable;
use crate::resource::{self, Config, DEFAULT_SOURCE};
use crate::session::{AutoCreate, Session, refusal};

/// A topic.
#[derive(Debug, Serialize)]
struct Description {
    name: String,
    id: String,
    internal: bool,
    partitions: Vec<Partition>,
    configs: Vec<Config>,
}

/// One of its partitions.
#[derive(Debug, Serialize)]
struct Partition {
    #[serde(rename = "partition")]
    index: i32,
    leader: i32,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    /// Of its first record; unknown without a leader.
    start_offset: Option<i64>,
    /// Behind its last record; unknown without a leader.
    end_offset: Option<i64>,
}

/// Describes those that are there; the others are the command's error.
pub(super) async fn describe(session: &Session, form: Form, names: &[String]) -> anyhow::Result<()> {
    let response = session.topics(Some(names), AutoCreate::No).await?;
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for topic in response.topics {
        let name = topic.name.clone().unwrap_or_default();
        match ErrorCode::from_wire(topic.error_code) {
            ErrorCode::None => found.push((name, topic)),
            ErrorCode::UnknownTopicOrPartition => refused.push(anyhow!("topic {name} does not exist")),
            error => refused.push(refusal(&format!("topic {name}"), error, None)),
        }
    }
    let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let mut configs = resource::describe(session, ResourceType::Topic, &names).await?;
    let mut described = Vec::with_capacity(found.len());
    for (name, topic) in found {
        let start = offsets::list(session, &name, &topic.partitions, Place::Start).await?;
        let end = offsets::list(session, &name, &topic.partitions, Place::End).await?;
        let configs = configs.remove(&name).transpose()?.unwrap_or_default();
        described.push(description(topic, &start, &end, configs));
    }
    output::print(form, &described, |described| text(described))?;
    if refused.is_empty() { Ok(()) } else { Err(several(refused)) }
}

type Offsets = BTreeMap<PartitionIndex, Offset>;

fn description(topic: MetadataResponseTopic, start: &Offsets, end: &Offsets, configs: Vec<Config>) -> Description {
    let partition = |said: MetadataResponsePartition| {
        let index = PartitionIndex::new(said.partition_index);
        Partition {
            index: said.partition_index,
            leader: said.leader_id,
            leader_epoch: said.leader_epoch,
            replicas: said.replica_nodes,
            isr: said.isr_nodes,
            start_offset: start.get(&index).map(|offset| offset.get()),
            end_offset: end.get(&index).map(|offset| offset.get()),
        }
    };
    let mut partitions: Vec<Partition> = topic.partitions.into_iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.index);
    Description {
        name: topic.name.unwrap_or_default(),
        id: topic.topic_id.to_string(),
        internal: topic.is_internal,
        partitions,
        configs,
    }
}

/// The descriptions for people: settings that nobody made are left out.
fn text(described: &[Description]) -> String {
    let mut text = String::new();
    for (number, topic) in described.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let records: i64 = topic.partitions.iter().filter_map(|each| Some(each.end_offset? - each.start_offset?)).sum();
        let facts = [
            ["name".to_owned(), topic.name.clone()],
            ["id".to_owned(), topic.id.clone()],
            ["partitions".to_owned(), topic.partitions.len().to_string()],
            ["records".to_owned(), format!("{records} at most")],
        ];
        text.push_str(&table(["TOPIC", ""], &facts));
        let changed = topic.configs.iter().filter(|config| config.source != DEFAULT_SOURCE);
        for config in changed {
            let value = config.value.as_deref().unwrap_or("");
            writeln!(text, "config      {}={} ({})", config.name, printable(value), config.source)
                .expect("a String takes everything");
        }
        text.push('\n');
        let number = |number: Option<i64>| number.map_or("?".to_owned(), |number| number.to_string());
        let row = |each: &Partition| {
            [
                each.index.to_string(),
                each.leader.to_string(),
                each.leader_epoch.to_string(),
                format!("{:?}", each.replicas),
                format!("{:?}", each.isr),
                number(each.start_offset),
                number(each.end_offset),
            ]
        };
        let headings = ["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END"];
        text.push_str(&table(headings, &topic.partitions.iter().map(row).collect::<Vec<_>>()));
    }
    text
}

//! `ringlog group describe`: state, members, assignment, offsets and lag.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_storage::types::{Offset, PartitionIndex, TopicPartition};
use serde::Serialize;

use super::assignment::AssignedTopic;
use super::lag::{PartitionLag, lags, shown, shown_seconds, total};
use super::membership::{Group, Member, look_up, missing};
use super::offsets::{Topics, committed};
use crate::diagnostics::several;
use crate::output::{self, Form, or_dash, table};
use crate::session::Session;

/// A group and how far it is.
#[derive(Debug, Serialize)]
struct Description {
    #[serde(flatten)]
    group: Group,
    /// Over all partitions; unknown where one is.
    lag: Option<i64>,
    /// Of the partition that is furthest behind; unknown where one is.
    lag_seconds: Option<f64>,
    partitions: Vec<Partition>,
}

/// A partition that a member has, or that something was committed of.
#[derive(Debug, Serialize)]
struct Partition {
    #[serde(flatten)]
    lag: PartitionLag,
    /// Who has it.
    member_id: Option<String>,
}

/// Describes those that are there; the others are the command's error.
pub(super) async fn describe(session: &Session, form: Form, groups: &[String]) -> anyhow::Result<()> {
    let topics = Topics::all(session).await?;
    let (mut described, mut refused) = (Vec::new(), Vec::new());
    for group in groups {
        match look_up(session, group).await? {
            Some(found) => described.push(complete(session, &topics, found).await?),
            None => refused.push(missing(group)),
        }
    }
    output::print(form, &described, |described| described.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    if refused.is_empty() { Ok(()) } else { Err(several(refused)) }
}

async fn complete(session: &Session, topics: &Topics, group: Group) -> anyhow::Result<Description> {
    let owners = owners(&group.members);
    let mut offsets: BTreeMap<TopicPartition, Option<Offset>> =
        owners.keys().map(|partition| (partition.clone(), None)).collect();
    let committed = committed(session, topics, &group.name).await?;
    offsets.extend(committed.into_iter().map(|(partition, offset)| (partition, Some(offset))));
    let lags = lags(session, topics, &offsets).await?;
    let (lag, lag_seconds) = total(&lags);
    let partitions = offsets.keys().zip(lags).map(|(partition, lag)| {
        let member_id = owners.get(partition).map(|member| (*member).to_owned());
        Partition { lag, member_id }
    });
    let partitions = partitions.collect();
    Ok(Description { group, lag, lag_seconds, partitions })
}

/// Who has which partition.
fn owners(members: &[Member]) -> BTreeMap<TopicPartition, &str> {
    let mut owners = BTreeMap::new();
    for member in members {
        for topic in member.assignment.iter().flatten() {
            let name: Arc<str> = topic.topic.as_str().into();
            for index in &topic.partitions {
                let partition = TopicPartition::new(Arc::clone(&name), PartitionIndex::new(*index));
                owners.insert(partition, member.id.as_str());
            }
        }
    }
    owners
}

/// The description for people.
fn text(described: &Description) -> String {
    let group = &described.group;
    let fact = |name: &str, value: String| [name.to_owned(), value];
    let mut facts = vec![
        fact("name", group.name.clone()),
        fact("type", group.r#type.name().to_owned()),
        fact("state", group.state.clone()),
        fact("coordinator", group.coordinator.to_string()),
        fact("protocol type", or_dash(&group.protocol_type)),
        fact("assignor", or_dash(&group.assignor)),
    ];
    facts.extend(group.epoch.map(|epoch| fact("epoch", epoch.to_string())));
    facts.extend(group.assignment_epoch.map(|epoch| fact("assignment epoch", epoch.to_string())));
    facts.push(fact("members", group.members.len().to_string()));
    facts.push(fact("lag", shown(described.lag)));
    facts.push(fact("lag seconds", shown_seconds(described.lag_seconds)));
    let mut text = table(["GROUP", ""], &facts);
    if !group.members.is_empty() {
        let row = |member: &Member| {
            [
                member.id.clone(),
                or_dash(member.instance_id.as_deref().unwrap_or_default()),
                member.client_id.clone(),
                member.host.clone(),
                member.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
                assigned(member.assignment.as_deref()),
            ]
        };
        let headings = ["MEMBER", "INSTANCE", "CLIENT", "HOST", "EPOCH", "ASSIGNMENT"];
        text.push('\n');
        text.push_str(&table(headings, &group.members.iter().map(row).collect::<Vec<_>>()));
    }
    if !described.partitions.is_empty() {
        let row = |Partition { lag, member_id }: &Partition| {
            [
                lag.topic.clone(),
                lag.partition.to_string(),
                shown(lag.committed_offset),
                shown(lag.end_offset),
                shown(lag.lag),
                shown_seconds(lag.lag_seconds),
                or_dash(member_id.as_deref().unwrap_or_default()),
            ]
        };
        let headings = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS", "MEMBER"];
        text.push('\n');
        text.push_str(&table(headings, &described.partitions.iter().map(row).collect::<Vec<_>>()));
    }
    text
}

/// An assignment in one cell: `orders:0,1 payments:3`.
fn assigned(topics: Option<&[AssignedTopic]>) -> String {
    let topic = |topic: &AssignedTopic| {
        let partitions: Vec<String> = topic.partitions.iter().map(i32::to_string).collect();
        format!("{}:{}", topic.topic, partitions.join(","))
    };
    match topics {
        None => "?".to_owned(),
        Some([]) => "-".to_owned(),
        Some(topics) => topics.iter().map(topic).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_one_cell() {
        let topic = |topic: &str, partitions: &[i32]| AssignedTopic {
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
        };
        assert_eq!(assigned(Some(&[topic("a", &[0, 1]), topic("b", &[2])])), "a:0,1 b:2");
        assert_eq!(assigned(Some(&[])), "-");
        assert_eq!(assigned(None), "?");
    }
}

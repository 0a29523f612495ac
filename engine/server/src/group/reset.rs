//! `ringlog group reset`: moves the committed offsets of a group without members. It shows what it would do, and does it
//! when it is told to.

mod destination;
mod plan;
mod scope;

use std::collections::BTreeMap;

use anyhow::bail;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_storage::types::{Millis, PartitionIndex, TopicPartition};

use super::coordinator;
use super::membership::{Group, look_up};
use super::offsets::{Topics, committed};
use crate::diagnostics::several;
use crate::offsets::Place;
use crate::output::{self, Form};
use crate::session::{Session, refusal};
use destination::{Destination, DestinationArguments};
use plan::{Known, Plan, Planned, plan_partition};
use scope::ScopeArguments;

/// Offsets in one commit.
const COMMIT_PARTITIONS_MAX: usize = 10_000;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The group.
    group: String,
    #[command(flatten)]
    scope: ScopeArguments,
    #[command(flatten)]
    destination: DestinationArguments,
    /// Do it; without this nothing is changed.
    #[arg(long)]
    execute: bool,
}

pub(super) async fn reset(session: &Session, form: Form, arguments: &Arguments) -> anyhow::Result<()> {
    let group = &arguments.group;
    let found = look_up(session, group).await?;
    if let Some(found) = found.as_ref().filter(|found| !found.members.is_empty()) {
        bail!(in_use(found));
    }
    let topics = Topics::all(session).await?;
    let now = Millis::new(session.driver.reactor().wall_clock_ms());
    let partitions = plan(session, &topics, arguments, now).await?;
    let mut plan = Plan { group: group.clone(), is_new_group: found.is_none(), executed: false, partitions };
    if !arguments.execute {
        return output::print(form, &plan, |plan| plan.text() + &plan.conclusion());
    }
    if form == Form::Table {
        output::say(&plan.text())?;
    }
    let refused = commit(session, &topics, &mut plan).await?;
    match form {
        Form::Table => output::say(&plan.conclusion())?,
        Form::Json | Form::Yaml => output::print(form, &plan, Plan::text)?,
    }
    if refused.is_empty() { Ok(()) } else { Err(several(refused)) }
}

fn in_use(group: &Group) -> anyhow::Error {
    let (members, s) = (group.members.len(), if group.members.len() == 1 { "" } else { "s" });
    anyhow::anyhow!(
        "group {} has {members} member{s} and is {}; offsets can be reset only while a group has no members: stop its \
         consumers, and try again",
        group.name,
        group.state
    )
}

/// What is to be done to each partition.
async fn plan(session: &Session, topics: &Topics, arguments: &Arguments, now: Millis) -> anyhow::Result<Vec<Planned>> {
    let group = &arguments.group;
    let current = committed(session, topics, group).await?;
    let partitions = arguments.scope.partitions(group, topics, current.keys())?;
    let destination = arguments.destination.at(now);
    let starts = topics.offsets(session, partitions.iter(), Place::Start).await?;
    let ends = topics.offsets(session, partitions.iter(), Place::End).await?;
    let of_time = match destination {
        Destination::Time(time) => topics.offsets(session, partitions.iter(), Place::Time(time)).await?,
        _ => BTreeMap::new(),
    };
    let (mut planned, mut refused) = (Vec::new(), Vec::new());
    for partition in partitions {
        let range = starts.get(&partition).zip(ends.get(&partition));
        let known = range.map(|(start, end)| Known {
            current: current.get(&partition).copied(),
            start: *start,
            end: *end,
            of_time: of_time.get(&partition).copied(),
        });
        match known.ok_or(plan::Unplannable::NoLeader).and_then(|known| plan_partition(destination, known)) {
            Ok(moved) => planned.push(Planned::new(&partition, moved)),
            Err(error) => refused.push(format!("partition {partition}: {error}")),
        }
    }
    if !refused.is_empty() {
        return Err(several(refused));
    }
    Ok(planned)
}

/// Commits what was planned. Leaves those partitions in the plan that were committed, and answers why others were not.
async fn commit(session: &Session, topics: &Topics, plan: &mut Plan) -> anyhow::Result<Vec<anyhow::Error>> {
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for planned in plan.partitions.chunks(COMMIT_PARTITIONS_MAX) {
        let request = request(topics, &plan.group, planned);
        let code_of = |response: &OffsetCommitResponse| {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.error_code).find(|code| *code != 0).unwrap_or(0)
        };
        let (_, response) = coordinator::ask(session, &plan.group, &request, code_of).await?;
        let mut codes = BTreeMap::new();
        for topic in response.topics {
            let Some(name) = topics.name_of(topic.name, topic.topic_id) else { continue };
            for partition in topic.partitions {
                let named = TopicPartition::new(name.clone(), PartitionIndex::new(partition.partition_index));
                codes.insert(named, ErrorCode::from_wire(partition.error_code));
            }
        }
        for each in planned {
            let partition = each.partition();
            match codes.get(&partition).copied().unwrap_or(ErrorCode::UnknownServerError) {
                ErrorCode::None => done.push(each.clone()),
                error => refused.push(refused_commit(&plan.group, &partition, error)),
            }
        }
    }
    plan.partitions = done;
    plan.executed = true;
    Ok(refused)
}

fn request(topics: &Topics, group: &str, planned: &[Planned]) -> OffsetCommitRequest {
    let mut by_topic: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for each in planned {
        by_topic.entry(&each.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: each.partition,
            committed_offset: each.new_offset,
            committed_metadata: Some(String::new()),
            ..OffsetCommitRequestPartition::default()
        });
    }
    let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| OffsetCommitRequestTopic {
        name: name.to_owned(),
        topic_id: topics.id_of(name),
        partitions,
    };
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: by_topic.into_iter().map(topic).collect(),
        ..OffsetCommitRequest::default()
    }
}

fn refused_commit(group: &str, partition: &TopicPartition, error: ErrorCode) -> anyhow::Error {
    match error {
        // Only members may commit while there are some.
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress => anyhow::anyhow!(
            "partition {partition}: members have joined group {group} meanwhile: stop its consumers, and try again ({})",
            error.name()
        ),
        error => refusal(&format!("partition {partition}"), error, None),
    }
}

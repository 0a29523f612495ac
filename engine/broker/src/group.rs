//! The group coordinators' shell. Each partition of `__consumer_offsets` has its machine on the shard that owns it;
//! requests find their way there over the mesh, and the answer, which may be a rebalance away, comes back under the
//! request's ticket. So nothing waits on the coordinator's shard but the machine itself.
//!
//! A decision is appended before the next command runs, and answered when it is committed. Where the log has no room the
//! decision stalls, and calls queue up behind it.

mod coordinators;
mod load;
mod news;
mod waits;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use ringlog_cluster::group::{Answer, Caller, GroupReply, GroupRequest, Ticket, partition_of};
use ringlog_cluster::image::Image;
use ringlog_cluster::metadata::{Intent, NewTopic};
use ringlog_cluster::quota::MutationQuota;
use ringlog_net::error::ErrorCode;
use ringlog_storage::types::{Nanos, PartitionIndex};

use crate::controller::decide;
use crate::dispatch::Incoming;
use crate::message::Message;
use crate::partition::table::PartitionKey;
use crate::recorder::{CourseId, Phase, Span};
use crate::shard::Shard;
use crate::topics::partitions;

pub(crate) use coordinators::{Coordinators, expire, facts_after, retry_stalled, stop, topics_deleted};
pub(crate) use load::load;
use waits::Waiting;
pub(crate) use waits::{Asked, Waits};

/// The topic of the coordinators' logs; Kafka's.
pub(crate) const GROUP_TOPIC: &str = "__consumer_offsets";
/// Questions about groups that one request has under way at a time, however many groups it names.
const ASKED_AT_ONCE_MAX: usize = 256;

/// A request on its way to its coordinator.
#[derive(Debug)]
pub(crate) struct GroupCall {
    pub(crate) partition: PartitionIndex,
    pub(crate) ticket: Ticket,
    pub(crate) caller: Caller,
    pub(crate) request: GroupRequest,
}

/// An answer that may leave.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) answer: Answer,
    /// When the coordinator decided what it says.
    pub(crate) decided_at: Nanos,
    /// The group commit that it waited for.
    pub(crate) commit: Option<Span>,
}

/// Who sent a request.
pub(crate) fn caller(incoming: Incoming<'_>) -> Caller {
    Caller {
        client_id: incoming.request.header.client_id.to_string(),
        client_host: format!("/{}", incoming.connection.peer.ip()),
        api_version: incoming.version(),
    }
}

/// The log of a group's coordinator. None before the first group is looked for.
fn coordinator_of(image: &Image, group: &str) -> Option<PartitionKey> {
    let topic = image.topic(GROUP_TOPIC)?;
    let partition = partition_of(group, i32::try_from(topic.partitions.len()).ok()?);
    Some(PartitionKey { topic_id: topic.id, partition })
}

/// Asks a group's coordinator. On return the question has its place in line; the answer comes later.
pub(crate) async fn ask(shard: &Shard, course: CourseId, group: &str, caller: Caller, request: GroupRequest) -> Asked {
    let image = shard.with(|state| state.image.clone());
    match coordinator_of(&image, group) {
        Some(log) => ask_coordinator(shard, course, log, caller, request).await,
        None => Asked::Refused(ErrorCode::NotCoordinator),
    }
}

/// Asks about each of several groups, and answers in their order.
pub(crate) async fn ask_each(
    shard: &Shard,
    course: CourseId,
    caller: &Caller,
    groups: &[String],
    request: impl Fn(usize) -> GroupRequest,
) -> Vec<GroupReply> {
    let questions = groups.iter().enumerate();
    some_at_once(questions.map(|(index, group)| ask(shard, course, group, caller.clone(), request(index)))).await
}

/// Asks some at a time, and answers in their order.
async fn some_at_once(questions: impl Iterator<Item = impl Future<Output = Asked>>) -> Vec<GroupReply> {
    let (mut questions, mut replies) = (questions, Vec::new());
    loop {
        let mut asked = Vec::new();
        for question in questions.by_ref().take(ASKED_AT_ONCE_MAX) {
            asked.push(question.await);
        }
        if asked.is_empty() {
            return replies;
        }
        for asked in asked {
            replies.push(asked.reply().await);
        }
    }
}

/// Asks every coordinator.
pub(crate) async fn ask_all(
    shard: &Shard,
    course: CourseId,
    caller: &Caller,
    request: &GroupRequest,
) -> Vec<GroupReply> {
    let image = shard.with(|state| state.image.clone());
    let Some(topic) = image.topic(GROUP_TOPIC) else { return Vec::new() };
    let logs = partitions(topic).map(|(log, _)| log);
    some_at_once(logs.map(|log| ask_coordinator(shard, course, log, caller.clone(), request.clone()))).await
}

async fn ask_coordinator(
    shard: &Shard,
    course: CourseId,
    log: PartitionKey,
    caller: Caller,
    request: GroupRequest,
) -> Asked {
    let _sending = shard.begin_sending(&[log]).await;
    let owner = shard.owner(log);
    let (ticket, answer) = shard.group_waits().begin(shard.index());
    let way = if owner == shard.index() { Phase::Handle } else { Phase::Mesh };
    // What members of a classic group ask for may be a rebalance away.
    let waits_by_wish = matches!(request, GroupRequest::Join(..) | GroupRequest::Sync(_));
    let deciding = if waits_by_wish { Phase::Purgatory } else { way };
    shard.until_now(course, Phase::Handle);
    let call = GroupCall { partition: log.partition, ticket, caller, request };
    if owner == shard.index() {
        serve(shard, call);
    } else {
        shard.send(owner, Message::Group(Box::new(call))).await;
    }
    Asked::Waiting(Waiting { shard: shard.clone(), course, deciding, returning: way, answer })
}

/// Takes a request to a coordinator of this shard.
pub(crate) fn serve(shard: &Shard, call: GroupCall) {
    let now = shard.both_clocks();
    shard.with(|state| coordinators::take_call(state, now, call));
}

/// The topic of the coordinators' logs, whoever has it made.
pub(crate) fn log_topic(shard: &Shard) -> NewTopic {
    let config = &shard.settings().broker.groups;
    let settings = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
    ];
    NewTopic {
        name: GROUP_TOPIC.to_owned(),
        partition_count: i32::try_from(config.offsets_topic_partitions).unwrap_or(i32::MAX),
        // As many as there are brokers.
        replication_factor: 1,
        assignments: Vec::new(),
        configs: settings.into_iter().map(|(key, value)| (key.to_owned(), Some(value))).collect(),
    }
}

/// Makes it, unless it is there. When this ends, every shard knows of it.
pub(crate) async fn create_topic(shard: &Shard) -> Result<(), ErrorCode> {
    let topic = log_topic(shard);
    let created = decide(shard, move |metadata, random| {
        metadata.create_topics(&[topic], Intent::Apply, random, &mut MutationQuota::unlimited())
    })
    .await?;
    for result in created {
        match result {
            Ok(_) => tracing::info!(topic = GROUP_TOPIC, "topic created, for the first consumer group"),
            Err(error) => tracing::debug!(topic = GROUP_TOPIC, "not created: {error}"),
        }
    }
    Ok(())
}

/// Calls the machines of this shard when their time has come.
pub(crate) async fn run_timers(shard: Shard) {
    loop {
        let now = shard.both_clocks();
        let next = shard.with(|state| {
            coordinators::handle_timeouts(state, now);
            state.groups.arm()
        });
        let bell = pin!(shard.group_bell().wait());
        match next {
            Some(next) => {
                let pause = next.since(shard.now()).max(Duration::from_millis(1));
                select(bell, pin!(shard.reactor().sleep(pause))).await;
            }
            None => bell.await,
        }
    }
}

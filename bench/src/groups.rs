//! What consumer groups cost: commits of offsets, a large group that rebalances and then lives, many small groups, readers
//! that wait while others join, and a start that has many offsets to read.

mod commits;
mod idle;
mod members;
mod pause;
mod replay;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::Request;
use ringlog_net::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use ringlog_net::messages::create_topics::CreateTopicsResponse;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_storage::types::Uuid;

use crate::Setup;
use crate::client::{Connection, Receive};
use crate::load::Load;
use crate::requests::{self, Intent};

const FIND_COORDINATOR_VERSION: i16 = 4;
const OFFSET_COMMIT_VERSION: i16 = 10;
const JOIN_VERSION: i16 = 9;
const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;
const CONSUMER_HEARTBEAT_VERSION: i16 = 1;
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
/// The topic that groups read.
const TOPIC: &str = "read-by-groups";

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    workload: Workload,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Workload {
    /// 100,000 offsets a second, in commits of 100 partitions.
    Commits,
    /// A group of 1,000 members of the classic protocol on 1,000 partitions.
    Classic,
    /// The same of the consumer protocol (KIP-848).
    Consumer,
    /// 10,000 groups with one member each.
    Idle,
    /// How long readers get nothing when another member joins, with either protocol (KIP-429, KIP-848).
    Pause,
    /// A start with 1,000,000 committed offsets.
    Replay,
}

/// What the members of a group speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    Classic,
    Consumer,
}

pub(crate) fn run(setup: &Setup, arguments: Arguments) -> anyhow::Result<()> {
    match arguments.workload {
        Workload::Commits => commits::run(setup),
        Workload::Classic => members::run(setup, Protocol::Classic),
        Workload::Consumer => members::run(setup, Protocol::Consumer),
        Workload::Idle => idle::run(setup),
        Workload::Pause => pause::run(setup),
        Workload::Replay => replay::run(setup),
    }
}

/// Sends a request, and reads its answer.
async fn ask<R: Request>(connection: &mut Connection, request: &R, version: i16) -> anyhow::Result<R::Response> {
    let answer = connection.ask(R::KEY.name(), requests::frame(request, version)?).await?;
    decode::<R>(&answer, version)
}

fn decode<R: Request>(answer: &[u8], version: i16) -> anyhow::Result<R::Response> {
    use ringlog_net::messages::Message as _;
    let mut reader = requests::body(answer, R::KEY, version)?;
    R::Response::decode(&mut reader, version).context(R::KEY.name())
}

/// Makes the topic, and the coordinators' own. Answers the topic's id.
async fn set_up(load: &Load, partitions: i32) -> anyhow::Result<Uuid> {
    let mut connection = load.connect(Receive::Pooled).await?;
    let frame = requests::create_topic(TOPIC, partitions, &[], Intent::Apply)?;
    let answer = connection.ask("a topic", frame).await?;
    let mut reader =
        requests::body(&answer, ringlog_net::messages::ApiKey::CreateTopics, requests::CREATE_TOPICS_VERSION)?;
    let created = CreateTopicsResponse::decode(&mut reader, requests::CREATE_TOPICS_VERSION).context("CreateTopics")?;
    let created = created.topics.first().context("one topic, one answer")?;
    requests::check_error(created.error_code, || format!("topic {TOPIC}"))?;
    let request = FindCoordinatorRequest { coordinator_keys: vec!["any".to_owned()], ..Default::default() };
    loop {
        let found = ask(&mut connection, &request, FIND_COORDINATOR_VERSION).await?;
        match ErrorCode::from_wire(found.coordinators.first().context("one key, one answer")?.error_code) {
            ErrorCode::None => return Ok(created.topic_id),
            ErrorCode::CoordinatorNotAvailable => {}
            other => bail!("FindCoordinator: {other}"),
        }
    }
}

/// A heartbeat of a member of the consumer protocol, which says what it reads when it joins.
fn consumer_heartbeat(
    group: &str,
    member_id: &str,
    member_epoch: i32,
    owned: Option<&[TopicPartitions]>,
) -> ConsumerGroupHeartbeatRequest {
    let joins = member_epoch == 0;
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member_id.to_owned(),
        member_epoch,
        rebalance_timeout_ms: if joins { REBALANCE_TIMEOUT_MS } else { -1 },
        subscribed_topic_names: joins.then(|| vec![TOPIC.to_owned()]),
        topic_partitions: owned.map(<[_]>::to_vec),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// Commits the same offset for several partitions, in nobody's name.
fn commit(group: &str, topic_id: Uuid, partitions: std::ops::Range<i32>, offset: i64) -> OffsetCommitRequest {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_metadata: Some(String::new()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic =
        OffsetCommitRequestTopic { topic_id, partitions: partitions.map(partition).collect(), ..Default::default() };
    OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..OffsetCommitRequest::default() }
}

/// The first error of a commit.
fn check_committed(response: &OffsetCommitResponse) -> Result<(), ErrorCode> {
    let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let first = codes.map(ErrorCode::from_wire).find(|code| *code != ErrorCode::None);
    first.map_or(Ok(()), Err)
}

//! A start that has many offsets to read: how long until every coordinator serves.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::offset_commit::OffsetCommitRequest;
use ringlog_net::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use ringlog_storage::types::Uuid;

use super::{OFFSET_COMMIT_VERSION, ask, check_committed, commit, decode, set_up};
use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::Receive;
use crate::load::{self, Load};
use crate::report::{Target, figure};
use crate::requests;

const GROUPS: usize = 1000;
const PARTITIONS: i32 = 1000;
/// Partitions of one commit.
const COMMIT_PARTITIONS: i32 = 500;
/// Commits under way.
const IN_FLIGHT: usize = 4;
const SECONDS_MAX: f64 = 1.0;
const OFFSET_FETCH_VERSION: i16 = 10;
const OFFSET: i64 = 42;

pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let mut seconds = Vec::new();
    for _ in 0..setup.runs() {
        let mut broker = Broker::start(setup, Cores::All)?;
        let topic_id = load::run(&mut broker, setup, fill)?;
        let begun = Instant::now();
        let mut broker = broker.start_again(setup, Cores::All)?;
        let stopped_and_started = begun.elapsed();
        let served = load::run(&mut broker, setup, move |load| await_all(load, topic_id))?;
        // The time of the stop is not the start's.
        println!("stopped and started in {stopped_and_started:?}, started in {:?}", broker.started_in);
        seconds.push((broker.started_in + served).as_secs_f64());
        broker.stop()?;
    }
    let name = format!("start with {} offsets", GROUPS * usize::try_from(PARTITIONS)?);
    figure(&name, "s", &seconds, Target::AtMost(SECONDS_MAX));
    Ok(())
}

async fn fill(load: Load) -> anyhow::Result<Uuid> {
    let topic_id = set_up(&load, PARTITIONS).await?;
    let mut connection = load.connect(Receive::Pooled).await?;
    let mut in_flight = 0;
    let check = |answer: &[u8]| {
        let response = decode::<OffsetCommitRequest>(answer, OFFSET_COMMIT_VERSION)?;
        check_committed(&response).map_err(|code| anyhow!("a commit: {code}"))
    };
    for group in 0..GROUPS {
        for first in (0..PARTITIONS).step_by(usize::try_from(COMMIT_PARTITIONS)?) {
            if in_flight == IN_FLIGHT {
                check(&connection.response().await?)?;
                in_flight -= 1;
            }
            let request = commit(&format!("replayed-{group}"), topic_id, first..first + COMMIT_PARTITIONS, OFFSET);
            connection.send(requests::frame(&request, OFFSET_COMMIT_VERSION)?).await?;
            in_flight += 1;
        }
    }
    for _ in 0..in_flight {
        check(&connection.response().await?)?;
    }
    Ok(topic_id)
}

/// Answers how long it takes until the offsets of every group can be read.
async fn await_all(load: Load, topic_id: Uuid) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut connection = load.connect(Receive::Pooled).await?;
    for group in 0..GROUPS {
        let topic =
            OffsetFetchRequestTopics { topic_id, partition_indexes: vec![PARTITIONS - 1], ..Default::default() };
        let of = OffsetFetchRequestGroup {
            group_id: format!("replayed-{group}"),
            member_id: None,
            member_epoch: -1,
            topics: Some(vec![topic]),
        };
        let request = OffsetFetchRequest { groups: vec![of], ..OffsetFetchRequest::default() };
        loop {
            let answer = ask(&mut connection, &request, OFFSET_FETCH_VERSION).await?;
            let [fetched] = answer.groups.as_slice() else { bail!("one group, one answer: {answer:?}") };
            match ErrorCode::from_wire(fetched.error_code) {
                ErrorCode::None => {
                    let offset = fetched.topics.first().and_then(|topic| topic.partitions.first());
                    if offset.is_none_or(|partition| partition.committed_offset != OFFSET) {
                        bail!("group {group} has lost an offset: {fetched:?}");
                    }
                    break;
                }
                ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator => {
                    load.reactor.sleep(Duration::from_millis(1)).await;
                }
                other => bail!("group {group}: {other}"),
            }
        }
    }
    Ok(begun.elapsed())
}

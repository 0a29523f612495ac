//! What members of groups are told while their coordinator begins, moves, or cannot write.

use std::time::Duration;

use futures_util::future::join;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ringlog_net::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use ringlog_reactor::Socket;
use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Trigger};

use crate::resizing::set_shards;
use crate::{Broker, TOPIC, ask, connect, create_topic};

pub(crate) const GROUP: &str = "readers";
const COMMITS: i64 = 20;

pub(crate) async fn find_coordinator(socket: &Socket) {
    let request = FindCoordinatorRequest { key: GROUP.to_owned(), ..FindCoordinatorRequest::default() };
    assert_eq!(ask(socket, &request, 3).await.error_code, 0);
}

pub(crate) async fn commit(socket: &Socket, offset: i64) -> ErrorCode {
    let partition =
        OffsetCommitRequestPartition { committed_offset: offset, ..OffsetCommitRequestPartition::default() };
    let topic = OffsetCommitRequestTopic {
        name: TOPIC.to_owned(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    let request =
        OffsetCommitRequest { group_id: GROUP.to_owned(), topics: vec![topic], ..OffsetCommitRequest::default() };
    ErrorCode::from_wire(ask(socket, &request, 7).await.topics[0].partitions[0].error_code)
}

pub(crate) async fn committed(socket: &Socket) -> Result<i64, ErrorCode> {
    let topic = OffsetFetchRequestTopic { name: TOPIC.to_owned(), partition_indexes: vec![0] };
    let request =
        OffsetFetchRequest { group_id: GROUP.to_owned(), topics: Some(vec![topic]), ..OffsetFetchRequest::default() };
    let response = ask(socket, &request, 5).await;
    match ErrorCode::from_wire(response.error_code) {
        ErrorCode::None => Ok(response.topics[0].partitions[0].committed_offset),
        code => Err(code),
    }
}

/// The answer of a coordinator that may have just been made, once it has read its log.
pub(crate) async fn committed_when_loaded(socket: &Socket) -> Result<i64, ErrorCode> {
    loop {
        match committed(socket).await {
            Err(ErrorCode::CoordinatorLoadInProgress) => {}
            offset => return offset,
        }
    }
}

/// The group's first commit, of offset 1, for a topic that is new too.
fn commit_first(broker: &mut Broker) {
    let address = broker.address();
    broker.sim.block_on("commit", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        find_coordinator(&socket).await;
        assert_eq!(committed_when_loaded(&socket).await, Ok(-1));
        assert_eq!(commit(&socket, 1).await, ErrorCode::None);
    });
}

/// It would answer that nothing is committed, and its members would begin anew; or a commit would be lost behind older ones.
#[test]
fn trap_15_a_coordinator_serves_only_when_it_has_read_all_of_its_log() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("commits", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        find_coordinator(&socket).await;
        assert_eq!(committed_when_loaded(&socket).await, Ok(-1));
        for offset in 1..=COMMITS {
            assert_eq!(commit(&socket, offset).await, ErrorCode::None);
        }
    });
    // Until the records are in segments.
    broker.sim.run_for(Duration::from_secs(10));
    broker.kill_and_restart();
    let (operation, path_contains) = (DiskOperation::Read, "__consumer_offsets".to_owned());
    let effect = DiskEffect::Delay(Duration::from_millis(300));
    broker.sim.disk(broker.node).fault(DiskFault { operation, path_contains, trigger: Trigger::Always, effect });
    broker.sim.block_on("members", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        find_coordinator(&socket).await;
        assert_eq!(commit(&socket, COMMITS + 1).await, ErrorCode::CoordinatorLoadInProgress);
        loop {
            match committed(&socket).await {
                Err(ErrorCode::CoordinatorLoadInProgress) => {}
                offset => {
                    assert_eq!(offset, Ok(COMMITS));
                    break;
                }
            }
            reactor.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(commit(&socket, COMMITS + 1).await, ErrorCode::None);
    });
}

/// Clients would wait for as long as the disk does, and then for a connection that gives no answer.
#[test]
fn whoever_waits_for_a_commit_for_too_long_is_told_to_ask_again() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut broker = Broker::start(1, &[&format!("offsets.commit.timeout.ms={}", PATIENCE.as_millis())]);
    let address = broker.address();
    commit_first(&mut broker);
    let (operation, path_contains) = (DiskOperation::Write, "journal/".to_owned());
    let effect = DiskEffect::Delay(3 * PATIENCE);
    broker.sim.disk(broker.node).fault(DiskFault { operation, path_contains, trigger: Trigger::Always, effect });
    broker.sim.block_on("members", move |reactor| async move {
        let (began, sockets) = (reactor.now(), [connect(&reactor, address).await, connect(&reactor, address).await]);
        let [written, read] = &sockets;
        let answers = join(commit(written, 2), committed(read)).await;
        assert_eq!(answers, (ErrorCode::CoordinatorNotAvailable, Err(ErrorCode::CoordinatorNotAvailable)));
        let took = reactor.now() - began;
        assert!((PATIENCE..2 * PATIENCE).contains(&took), "{took:?}");
    });
    broker.sim.disk(broker.node).clear_faults();
    broker.sim.run_for(4 * PATIENCE);
    let known =
        broker.sim.block_on("reader", move |reactor| async move { committed(&connect(&reactor, address).await).await });
    assert_eq!(known, Ok(2), "what was decided is committed all the same");
}

/// Its partition was to go to another shard, and could not, because a record was not committed yet.
#[test]
fn a_coordinator_that_stays_knows_what_is_committed_later() {
    const SLOW: Duration = Duration::from_secs(30);
    let mut broker = Broker::start(5, &[]);
    let address = broker.address();
    commit_first(&mut broker);
    let (operation, path_contains) = (DiskOperation::Write, "journal/1/".to_owned());
    let effect = DiskEffect::Delay(SLOW);
    broker.sim.disk(broker.node).fault(DiskFault { operation, path_contains, trigger: Trigger::Always, effect });
    let late = broker
        .sim
        .spawn_client("late", move |reactor| async move { commit(&connect(&reactor, address).await, 2).await });
    let resizer =
        broker.sim.spawn_client("resizer", move |reactor| async move { set_shards(&reactor, address, 1).await });
    broker.sim.run_for(SLOW / 2);
    assert_eq!(late.take(), Some(ErrorCode::NotCoordinator), "what it has decided is not committed");
    broker.sim.disk(broker.node).clear_faults();
    broker.sim.run_for(2 * SLOW);
    let known = broker.sim.block_on("members", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        committed(&socket).await
    });
    assert!(resizer.is_finished());
    assert_eq!(known, Ok(2));
}

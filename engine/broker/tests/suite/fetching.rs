//! How long fetches wait: for what a consumer asked to have together, and for nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::delete_topics::DeleteTopicsRequest;
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ringlog_net::views::TOPIC_ID_VERSION_MIN;
use ringlog_reactor::Socket;
use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Trigger};
use ringlog_storage::types::Uuid;

use crate::{Broker, TOPIC, ask, connect, produce_to};

/// Longer than anything but a wait takes.
const LONG: Duration = Duration::from_secs(20);
/// The smallest that a topic may have.
const SEGMENT_BYTES: usize = 1 << 20;

/// A broker with a topic of one partition, into which so many batches of about so many bytes were produced.
fn broker_with(batches: usize, bytes: usize) -> (Broker, SocketAddr, Uuid) {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    let topic_id = broker.sim.block_on("producer", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let config = CreatableTopicConfig { name: "segment.bytes".to_owned(), value: Some(SEGMENT_BYTES.to_string()) };
        let topic = CreatableTopic {
            name: TOPIC.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![config],
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..CreateTopicsRequest::default() };
        let created = ask(&socket, &request, 7).await;
        assert_eq!(created.topics[0].error_code, 0);
        for _ in 0..batches {
            let response = ask(&socket, &produce_to(1, bytes), 7).await;
            assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        }
        created.topics[0].topic_id
    });
    (broker, address, topic_id)
}

/// What a fetch asks for.
#[derive(Clone, Copy)]
struct Wanted {
    offset: i64,
    min_bytes: i32,
    partition_max_bytes: i32,
}

async fn fetch(socket: &Socket, wanted: Wanted, version: i16, topic_id: Uuid) -> PartitionData {
    let Wanted { offset: fetch_offset, min_bytes, partition_max_bytes } = wanted;
    let partitions = vec![FetchPartition { fetch_offset, partition_max_bytes, ..FetchPartition::default() }];
    let mut topic = FetchTopic { partitions, ..FetchTopic::default() };
    if version < TOPIC_ID_VERSION_MIN {
        TOPIC.clone_into(&mut topic.topic);
    } else {
        topic.topic_id = topic_id;
    }
    let max_wait_ms = i32::try_from(LONG.as_millis()).expect("small");
    let request =
        FetchRequest { max_wait_ms, min_bytes, max_bytes: i32::MAX, topics: vec![topic], ..FetchRequest::default() };
    let mut response = ask(socket, &request, version).await;
    response.responses.remove(0).partitions.remove(0)
}

/// Produces batches, fetches, and answers what came and how long that took.
fn fetch_of(batches: usize, bytes: usize, wanted: Wanted) -> (PartitionData, Duration) {
    let (mut broker, address, topic_id) = broker_with(batches, bytes);
    let begin = broker.sim.now();
    let data = broker.sim.block_on("consumer", move |reactor| async move {
        fetch(&connect(&reactor, address).await, wanted, 11, topic_id).await
    });
    (data, broker.sim.now() - begin)
}

fn bytes_of(data: &PartitionData) -> usize {
    assert_eq!(data.error_code, 0);
    data.records.as_ref().map_or(0, Vec::len)
}

#[test]
fn a_fetch_waits_for_as_much_as_it_asks_for() {
    let (data, time) = fetch_of(3, 50_000, Wanted { offset: 0, min_bytes: 200_000, partition_max_bytes: 1 << 20 });
    assert_eq!(bytes_of(&data) / 50_000, 3);
    assert!(time >= LONG, "{time:?}");
    let (data, time) = fetch_of(3, 50_000, Wanted { offset: 1, min_bytes: 100_000, partition_max_bytes: 1 << 20 });
    assert_eq!(bytes_of(&data) / 50_000, 2);
    assert!(time < LONG / 10, "{time:?}");
}

/// What the next segment holds does not come by waiting.
#[test]
fn a_fetch_that_ends_with_a_segment_is_answered_at_once() {
    let wanted = Wanted { offset: 0, min_bytes: 4 << 20, partition_max_bytes: 8 << 20 };
    let (data, time) = fetch_of(12, 200_000, wanted);
    assert!((1..=SEGMENT_BYTES).contains(&bytes_of(&data)));
    assert!(time < LONG / 10, "{time:?}");
    // In the last segment it waits.
    let (data, time) = fetch_of(12, 200_000, Wanted { offset: 11, ..wanted });
    assert_eq!(bytes_of(&data) / 200_000, 1);
    assert!(time >= LONG, "{time:?}");
}

/// Kafka fills the limit with a part of the next batch, so a minimum close to it is reached there.
#[test]
fn a_fetch_that_its_limit_ends_has_got_the_limit() {
    let wanted = Wanted { offset: 0, min_bytes: 100_000, partition_max_bytes: 100_000 };
    let (data, time) = fetch_of(10, 30_000, wanted);
    assert_eq!(bytes_of(&data) / 30_000, 3);
    assert!(time < LONG / 10, "{time:?}");
}

/// A consumer learns from the error that it needs new metadata.
#[test]
fn a_topic_that_is_deleted_while_the_disk_is_read_is_not_known_any_more() {
    for (version, code) in [(11, ErrorCode::UnknownTopicOrPartition), (13, ErrorCode::UnknownTopicId)] {
        let (mut broker, address, topic_id) = broker_with(3, 50_000);
        // Nothing is in memory then.
        broker.kill_and_restart();
        broker.sim.run_for(Duration::from_secs(1));
        broker.sim.disk(broker.node).fault(DiskFault {
            operation: DiskOperation::Read,
            path_contains: ".log".to_owned(),
            trigger: Trigger::Always,
            effect: DiskEffect::Delay(Duration::from_secs(2)),
        });
        let wanted = Wanted { offset: 0, min_bytes: 1, partition_max_bytes: 1 << 20 };
        let consumer = broker.sim.spawn_client("consumer", move |reactor| async move {
            fetch(&connect(&reactor, address).await, wanted, version, topic_id).await
        });
        broker.sim.run_for(Duration::from_millis(500));
        let deletion = broker.sim.spawn_client("deletion", move |reactor| async move {
            let topic_names = vec![TOPIC.to_owned()];
            let request = DeleteTopicsRequest { topic_names, timeout_ms: 5000, ..DeleteTopicsRequest::default() };
            ask(&connect(&reactor, address).await, &request, 5).await.responses[0].error_code
        });
        assert!(!consumer.is_finished());
        broker.sim.run_until(|_| consumer.is_finished() && deletion.is_finished());
        assert_eq!(deletion.take(), Some(0));
        assert_eq!(consumer.take().expect("has finished").error_code, code.code(), "version {version}");
    }
}

//! What retention deletes, and what it must not.

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_reactor::Socket;
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::Millis;

use crate::groups::{commit, committed_when_loaded, find_coordinator};
use crate::{Broker, ask, connect, create_topic};

const POLICIES: [&str; 3] = ["delete", "compact", "compact,delete"];

/// A topic of one partition.
async fn create(socket: &Socket, name: String, policy: &str) {
    let config = CreatableTopicConfig { name: "cleanup.policy".to_owned(), value: Some(policy.to_owned()) };
    let topic = CreatableTopic {
        name,
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![config],
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..CreateTopicsRequest::default() };
    assert_eq!(ask(socket, &request, 5).await.topics[0].error_code, 0);
}

/// Produces one record.
async fn produce(socket: &Socket, name: String) -> ErrorCode {
    let mut batch = BatchBuilder::new();
    batch.push(&Record { timestamp: Millis::new(1), key: Some(b"key"), value: Some(b"value"), headers: &[] });
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(batch.build()) }];
    let topic = TopicProduceData { name, partition_data, ..TopicProduceData::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..ProduceRequest::default() };
    ErrorCode::from_wire(ask(socket, &request, 9).await.responses[0].partition_responses[0].error_code)
}

fn name(policy: &str) -> String {
    policy.replace(',', ".")
}

/// First and next offset of the topic of a policy.
async fn span(socket: &Socket, policy: &str) -> Vec<(i16, i64)> {
    let mut span = Vec::new();
    for timestamp in [-2, -1] {
        let partition = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
        let topic = ListOffsetsTopic { name: name(policy), partitions: vec![partition] };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
        let told = &ask(socket, &request, 7).await.topics[0].partitions[0];
        span.push((told.error_code, told.offset));
    }
    span
}

/// The metadata log has the policy of topics that do not say, and would be emptied like them; committed offsets are in a
/// compacted topic.
#[test]
fn retention_deletes_where_the_policy_says_so_and_nothing_of_the_brokers_own() {
    let settings = ["log.retention.ms=1000", "log.retention.check.interval.ms=5000", "log.retention.bytes=0"];
    let mut broker = Broker::start(1, &settings);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        for policy in POLICIES {
            create(&socket, name(policy), policy).await;
            assert_eq!(produce(&socket, name(policy)).await, ErrorCode::None);
        }
        create_topic(&socket).await;
        find_coordinator(&socket).await;
        assert_eq!(committed_when_loaded(&socket).await, Ok(-1));
        assert_eq!(commit(&socket, 7).await, ErrorCode::None);
    });
    broker.sim.run_for(Duration::from_mins(2));
    for restarts in [false, true] {
        if restarts {
            broker.kill_and_restart();
        }
        broker.sim.block_on("reader", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            assert_eq!(span(&socket, "delete").await, [(0, 1), (0, 1)], "restarted: {restarts}");
            assert_eq!(span(&socket, "compact").await, [(0, 0), (0, 1)], "restarted: {restarts}");
            assert_eq!(span(&socket, "compact,delete").await, [(0, 1), (0, 1)], "restarted: {restarts}");
            find_coordinator(&socket).await;
            assert_eq!(committed_when_loaded(&socket).await, Ok(7), "restarted: {restarts}");
        });
    }
}

/// Whoever makes the coordinators' topic first gives it the settings of any other.
#[test]
fn offsets_stay_whatever_their_topic_was_made_with_and_clients_do_not_write_to_it() {
    const TOPIC: &str = "__consumer_offsets";
    let settings = ["log.retention.ms=1000", "log.retention.check.interval.ms=5000", "log.retention.bytes=0"];
    let mut broker = Broker::start(1, &settings);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create(&socket, TOPIC.to_owned(), "delete").await;
        create_topic(&socket).await;
        find_coordinator(&socket).await;
        assert_eq!(committed_when_loaded(&socket).await, Ok(-1));
        assert_eq!(commit(&socket, 7).await, ErrorCode::None);
        assert_eq!(produce(&socket, TOPIC.to_owned()).await, ErrorCode::InvalidTopicException);
    });
    broker.sim.run_for(Duration::from_mins(2));
    broker.kill_and_restart();
    let known = broker.sim.block_on("reader", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        find_coordinator(&socket).await;
        committed_when_loaded(&socket).await
    });
    assert_eq!(known, Ok(7));
}

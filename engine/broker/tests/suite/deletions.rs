//! What clients are told of topics that are being deleted.

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::delete_topics::DeleteTopicsRequest;
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_reactor::Reactor;
use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Trigger};

use crate::{Broker, TOPIC, ask, connect, create_topic, produce};

/// The topic's files take their time, and until they are gone it is there: who is told that it is not must not see it.
#[test]
fn a_topic_that_is_told_to_be_unknown_is_listed_no_more() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        ask(&socket, &produce(100), 7).await;
    });
    // Until the records are in segments, and these in folders.
    broker.sim.run_for(Duration::from_secs(10));
    let (operation, path_contains) = (DiskOperation::Name, TOPIC.to_owned());
    let effect = DiskEffect::Delay(Duration::from_secs(1));
    broker.sim.disk(broker.node).fault(DiskFault { operation, path_contains, trigger: Trigger::Always, effect });
    let delete = move |reactor: Reactor| async move {
        let socket = connect(&reactor, address).await;
        let request =
            DeleteTopicsRequest { topic_names: vec![TOPIC.to_owned()], timeout_ms: 10_000, ..Default::default() };
        ErrorCode::from_wire(ask(&socket, &request, 5).await.responses[0].error_code)
    };
    let first = broker.sim.spawn_client("first", delete);
    broker.sim.run_for(Duration::from_millis(100));
    assert!(!first.is_finished());
    let begun = broker.sim.now();
    assert_eq!(broker.sim.block_on("second", delete), ErrorCode::UnknownTopicOrPartition);
    assert!(broker.sim.now() - begun > Duration::from_millis(500), "the folders are not free yet");
    for _ in 0..8 {
        let topics = broker.sim.block_on("reader", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
            ask(&socket, &all, 9).await.topics.len()
        });
        assert_eq!(topics, 0);
    }
    assert_eq!(first.take(), Some(ErrorCode::None));
}

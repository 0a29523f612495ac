//! What clients are told of topics and records that are deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use ringlog_net::messages::delete_topics::DeleteTopicsRequest;
use ringlog_net::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Errno, Trigger};
use ringlog_reactor::{Reactor, Socket};
use ringlog_storage::batch::split;

use crate::{Broker, PARTITIONS, TOPIC, ask, connect, create_topic, fetch, produce};

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
    let delete = move |reactor: Reactor| async move { delete_topic(&connect(&reactor, address).await).await };
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

async fn delete_topic(socket: &Socket) -> ErrorCode {
    let request = DeleteTopicsRequest { topic_names: vec![TOPIC.to_owned()], timeout_ms: 10_000, ..Default::default() };
    ErrorCode::from_wire(ask(socket, &request, 5).await.responses[0].error_code)
}

/// A broker with the topic, and a record in each of its partitions.
pub(crate) fn broker_with_records(seed: u64) -> Broker {
    let mut broker = Broker::start(seed, &[]);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        assert_eq!(produce_each(&socket, 100).await, [ErrorCode::None; 8]);
    });
    broker
}

/// Produces a batch to every partition: the code of each.
pub(crate) async fn produce_each(socket: &Socket, value_bytes: usize) -> Vec<ErrorCode> {
    let response = ask(socket, &produce(value_bytes), 7).await;
    let code = |error_code| ErrorCode::from_wire(error_code);
    response.responses[0].partition_responses.iter().map(|partition| code(partition.error_code)).collect()
}

/// The code of each partition, and how many records can be read of it.
async fn read_each(socket: &Socket) -> Vec<(ErrorCode, i64)> {
    let records =
        |bytes: &[u8]| split(bytes).map(|batch| i64::from(batch.expect("sound batches").record_count())).sum();
    // An answer with some records does not wait for those that are on the disk.
    for _ in 0..100 {
        let response = ask(socket, &fetch(100), 11).await;
        let partitions = &response.responses[0].partitions;
        let read: Vec<i64> = partitions.iter().map(|of| of.records.as_deref().map_or(0, records)).collect();
        if partitions.iter().zip(&read).all(|(partition, read)| *read == partition.high_watermark) {
            return partitions.iter().map(|of| ErrorCode::from_wire(of.error_code)).zip(read).collect();
        }
    }
    panic!("records below the high watermark cannot be read");
}

/// A broker with a topic, whose second shard can write its journal no more, and will know that with the next thing it writes.
fn broker_with_failing_shard(seed: u64) -> Broker {
    let mut broker = Broker::start(seed, &[]);
    let address = broker.address();
    let codes = broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        produce_each(&socket, 100).await
    });
    assert_eq!(codes, [ErrorCode::None; 8], "seed {seed}");
    let (operation, path_contains) = (DiskOperation::Write, "journal/1/".to_owned());
    let effect = DiskEffect::Error(Errno::IO);
    broker.sim.disk(broker.node).fault(DiskFault { operation, path_contains, trigger: Trigger::Always, effect });
    broker
}

/// A shard whose journal cannot be written cannot tell that partitions are removed, so the next start meets them again:
/// until then their folders are not for partitions of the same names that other shards own.
#[test]
fn the_folders_of_a_shard_that_has_failed_are_nobody_elses() {
    let mut told = BTreeSet::new();
    for seed in 0..10 {
        let mut broker = broker_with_failing_shard(seed);
        let address = broker.address();
        let produced = broker.sim.block_on("before", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            assert_eq!(delete_topic(&socket).await, ErrorCode::None, "seed {seed}");
            create_topic(&socket).await;
            produce_each(&socket, 50).await
        });
        broker.sim.disk(broker.node).clear_faults();
        broker.kill_and_restart();
        let (found, produced_then) = broker.sim.block_on("behind", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            (read_each(&socket).await, produce_each(&socket, 50).await)
        });
        for (partition, (code, found)) in produced.iter().zip(found).enumerate() {
            let expected = (ErrorCode::None, i64::from(*code == ErrorCode::None));
            assert_eq!(found, expected, "seed {seed}: partition {partition} answered {code:?}");
        }
        assert_eq!(produced_then, [ErrorCode::None; 8], "seed {seed}");
        told.extend(produced);
    }
    assert_eq!(told, BTreeSet::from([ErrorCode::None, ErrorCode::KafkaStorageError]));
}

/// Nobody waits for folders that cannot become free.
#[test]
fn topics_are_deleted_although_a_shard_has_failed() {
    for seed in 0..5 {
        let mut broker = broker_with_failing_shard(seed);
        let address = broker.address();
        let administrator = broker.sim.spawn_client("administrator", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            for _ in 0..3 {
                assert_eq!(delete_topic(&socket).await, ErrorCode::None, "seed {seed}");
                create_topic(&socket).await;
            }
        });
        broker.sim.run_for(Duration::from_secs(5));
        assert!(administrator.is_finished(), "seed {seed}");
    }
}

/// The code and the log start of each partition.
async fn delete_records(socket: &Socket, topic: &str, partitions: &[(i32, i64)]) -> Vec<(ErrorCode, i64)> {
    let partition = |(partition_index, offset): &(i32, i64)| DeleteRecordsPartition {
        partition_index: *partition_index,
        offset: *offset,
    };
    let partitions = partitions.iter().map(partition).collect();
    let topics = vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }];
    let response = ask(socket, &DeleteRecordsRequest { topics, timeout_ms: 5000 }, 2).await;
    let results = &response.topics[0].partitions;
    results.iter().map(|result| (ErrorCode::from_wire(result.error_code), result.low_watermark)).collect()
}

/// The first offset of each partition.
async fn log_starts(socket: &Socket) -> Vec<i64> {
    let earliest = |partition_index| ListOffsetsPartition { partition_index, timestamp: -2, ..Default::default() };
    let topic = ListOffsetsTopic { name: TOPIC.to_owned(), partitions: (0..PARTITIONS).map(earliest).collect() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let response = ask(socket, &request, 7).await;
    response.topics[0].partitions.iter().map(|partition| partition.offset).collect()
}

#[test]
fn deleted_records_do_not_come_back() {
    for seed in 0..10 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        let told = broker.sim.block_on("setup", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            create_topic(&socket).await;
            for _ in 0..3 {
                ask(&socket, &produce(100), 7).await;
            }
            // Up to an offset, everything, nothing new, too much, none that there can be, no such partition.
            delete_records(&socket, TOPIC, &[(0, 2), (1, -1), (2, 0), (3, 4), (4, -2), (PARTITIONS, 1)]).await
        });
        let refused = |code| (code, -1);
        let unknown = refused(ErrorCode::UnknownTopicOrPartition);
        let (beyond, ok) = (refused(ErrorCode::OffsetOutOfRange), ErrorCode::None);
        assert_eq!(told, [(ok, 2), (ok, 3), (ok, 0), beyond, beyond, unknown], "seed {seed}");
        broker.kill_and_restart();
        let starts = broker
            .sim
            .block_on("reader", move |reactor| async move { log_starts(&connect(&reactor, address).await).await });
        assert_eq!(starts, [2, 3, 0, 0, 0, 0, 0, 0], "seed {seed}");
    }
}

#[test]
fn a_topic_that_keeps_the_last_of_every_key_is_not_deleted_from() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    let told = broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let config = CreatableTopicConfig { name: "cleanup.policy".to_owned(), value: Some("compact".to_owned()) };
        let topic = CreatableTopic {
            name: "compacted".to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![config],
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..CreateTopicsRequest::default() };
        assert_eq!(ask(&socket, &request, 5).await.topics[0].error_code, 0);
        delete_records(&socket, "compacted", &[(0, -1)]).await
    });
    assert_eq!(told, [(ErrorCode::PolicyViolation, -1)]);
}

/// Folders that were renamed when the broker was killed, and not removed, go with the next start; what is beside them stays.
#[test]
fn what_is_left_of_a_deleted_topic_goes_with_the_next_start() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        produce_each(&socket, 100).await;
    });
    // Until the records are in segments.
    broker.sim.run_for(Duration::from_secs(15));
    let code = broker
        .sim
        .block_on("administrator", move |reactor| async move { delete_topic(&connect(&reactor, address).await).await });
    assert_eq!(code, ErrorCode::None);
    let left = |broker: &Broker| {
        let names = broker.sim.disk(broker.node).list("data").expect("it is there");
        names.into_iter().filter(|name| name.ends_with("-delete")).count()
    };
    assert!(left(&broker) > 0, "some had been written to segments");
    let disk = broker.sim.disk(broker.node);
    disk.create_dir("data/topic-0.not-ours-delete").expect("its parent is there");
    disk.write_file("data/topic-0.not-ours-delete/kept", b"kept").expect("its folder is there");
    broker.kill_and_restart();
    broker.sim.run_for(Duration::from_secs(1));
    assert_eq!(left(&broker), 1);
    assert!(broker.sim.disk(broker.node).read_file("data/topic-0.not-ours-delete/kept").is_ok());
}

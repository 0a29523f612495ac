//! `DeleteRecords`: up to an offset, or everything that is committed.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};

use crate::session::{Session, every_version};
use crate::topic::{Topic, batch};

const EARLIEST: i64 = -2;

/// The code and the log start of each partition, in the order of their numbers.
fn delete(session: &mut Session, version: i16, name: &str, partitions: &[(i32, i64)]) -> Vec<(i16, i64)> {
    delete_within(session, version, name, partitions, 30_000)
}

fn delete_within(
    session: &mut Session,
    version: i16,
    name: &str,
    partitions: &[(i32, i64)],
    timeout_ms: i32,
) -> Vec<(i16, i64)> {
    let partition = |(partition_index, offset): &(i32, i64)| DeleteRecordsPartition {
        partition_index: *partition_index,
        offset: *offset,
    };
    let partitions = partitions.iter().map(partition).collect();
    let topics = vec![DeleteRecordsTopic { name: name.to_owned(), partitions }];
    let mut response = session.ask(version, &DeleteRecordsRequest { topics, timeout_ms });
    let mut results = response.topics.remove(0).partitions;
    results.sort_by_key(|result| result.partition_index);
    results.into_iter().map(|result| (result.error_code, result.low_watermark)).collect()
}

#[test]
fn every_version_moves_the_start_of_logs() {
    every_version(ApiKey::DeleteRecords, |session, version| {
        let topic = Topic::create(session, "trimmed", 4);
        let records = batch(&["a", "b", "c"]);
        topic.produce(session, 9, &[(0, &records), (1, &records), (2, &records), (3, &records)]);
        let code = ErrorCode::code;
        let told = delete(session, version, &topic.name, &[(0, 2), (1, -1), (2, 4), (3, -2), (4, 0)]);
        let out_of_range = (code(ErrorCode::OffsetOutOfRange), -1);
        let unknown = (code(ErrorCode::UnknownTopicOrPartition), -1);
        assert_eq!(told, [(0, 2), (0, 3), out_of_range, out_of_range, unknown]);
        assert_eq!([0, 1, 2].map(|partition| topic.offset(session, partition, EARLIEST).1), [2, 3, 0]);
        // What is deleted already is no error.
        assert_eq!(delete(session, version, &topic.name, &[(0, 1)]), [(0, 2)]);
    });
}

#[test]
fn a_topic_that_keeps_the_last_of_every_key_is_left_alone() {
    every_version(ApiKey::DeleteRecords, |session, version| {
        let topic = Topic::create_with(session, "compacted", 1, &[("cleanup.policy", "compact")]);
        assert_eq!(delete(session, version, &topic.name, &[(0, -1)]), [(ErrorCode::PolicyViolation.code(), -1)]);
    });
}

/// The time is for other replicas, and there are none.
#[test]
fn a_client_that_does_not_wait_is_told_of_success() {
    every_version(ApiKey::DeleteRecords, |session, version| {
        let topic = Topic::create(session, "trimmed", 1);
        topic.produce(session, 9, &[(0, &batch(&["a", "b", "c"]))]);
        assert_eq!(delete_within(session, version, &topic.name, &[(0, 2)], 0), [(0, 2)]);
    });
}

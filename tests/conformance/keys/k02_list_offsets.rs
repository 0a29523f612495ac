//! `ListOffsets`: beginning, end, by time, of the greatest timestamp.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::Millis;

use crate::session::{Session, every_version, expect};
use crate::topic::{RECORD_TIME_MS, Topic};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

fn ask(
    session: &mut Session,
    version: i16,
    name: &str,
    partition: i32,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let partition = ListOffsetsPartition { partition_index: partition, current_leader_epoch: -1, timestamp };
    let topics = vec![ListOffsetsTopic { name: name.to_owned(), partitions: vec![partition] }];
    let request = ListOffsetsRequest { replica_id: -1, topics, timeout_ms: 30_000, ..Default::default() };
    session.ask(version, &request).topics.remove(0).partitions.remove(0)
}

#[test]
fn every_version_finds_offsets_by_position_and_time() {
    every_version(ApiKey::ListOffsets, |session, version| {
        let topic = Topic::create(session, "offsets", 1);
        // Two batches: times 0, 10, 20 and 60, 50, 40 after the first.
        for (base, step) in [(0, 10), (60, -10)] {
            let mut builder = BatchBuilder::new();
            for i in 0..3 {
                let timestamp = Millis::new(RECORD_TIME_MS + base + step * i);
                builder.push(&Record { timestamp, key: None, value: Some(b"v"), headers: &[] });
            }
            expect(topic.produce(session, 9, &[(0, &builder.build())])[0].error_code, ErrorCode::None);
        }
        let mut find = |timestamp| {
            let found = ask(session, version, &topic.name, 0, timestamp);
            expect(found.error_code, ErrorCode::None);
            (found.offset, found.timestamp)
        };
        assert_eq!(find(LATEST), (6, -1));
        assert_eq!(find(EARLIEST), (0, -1));
        assert_eq!(find(RECORD_TIME_MS + 15), (2, RECORD_TIME_MS + 20));
        assert_eq!(find(RECORD_TIME_MS + 21), (3, RECORD_TIME_MS + 60));
        assert_eq!(find(RECORD_TIME_MS + 61), (-1, -1), "no record is that young");
        if version >= 7 {
            assert_eq!(find(MAX_TIMESTAMP), (3, RECORD_TIME_MS + 60));
        }
        if version >= 8 {
            assert_eq!(find(EARLIEST_LOCAL).0, 0);
        }
        if version >= 9 {
            assert_eq!(find(LATEST_TIERED).0, -1, "nothing is tiered");
        }
        if version >= 11 {
            assert_eq!(find(EARLIEST_PENDING_UPLOAD).0, -1, "nothing waits for an upload");
        }
    });
}

#[test]
fn unknown_partitions_are_told() {
    every_version(ApiKey::ListOffsets, |session, version| {
        let topic = Topic::create(session, "unknown", 1);
        for (name, partition) in [("nowhere", 0), (&*topic.name, 3)] {
            let found = ask(session, version, name, partition, LATEST);
            expect(found.error_code, ErrorCode::UnknownTopicOrPartition);
            assert_eq!((found.offset, found.timestamp), (-1, -1));
        }
    });
}

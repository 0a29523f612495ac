//! Fetch: bytes, limits, sessions, waiting, errors.

use std::time::{Duration, Instant};

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::fetch::PartitionData;
use ringlog_storage::batch::{BatchBuilder, Codec};
use ringlog_storage::types::{LeaderEpoch, Offset, Uuid};

use crate::session::{every_version, expect};
use crate::topic::{FETCH_BY_ID, Topic, batch, filled};

fn only(mut response: ringlog_net::messages::fetch::FetchResponse) -> PartitionData {
    expect(response.error_code, ErrorCode::None);
    response.responses.remove(0).partitions.remove(0)
}

#[test]
fn every_version_gives_the_bytes_that_were_sent() {
    every_version(ApiKey::Fetch, |session, version| {
        let topic = Topic::create(session, "fetch", 1);
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
            let builder = BatchBuilder::new().compression(codec);
            expect(topic.produce(session, 9, &[(0, &filled(builder, &["a", "b"]))])[0].error_code, ErrorCode::None);
        }
        let found = only(topic.fetch(session, version, &[(0, 0)]));
        expect(found.error_code, ErrorCode::None);
        assert_eq!((found.high_watermark, found.last_stable_offset), (8, 8));
        let expected: Vec<u8> = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4]
            .into_iter()
            .zip([0, 2, 4, 6])
            .flat_map(|(codec, offset)| {
                let builder = BatchBuilder::new().compression(codec).placed(Offset::new(offset), LeaderEpoch::new(0));
                filled(builder, &["a", "b"])
            })
            .collect();
        assert_eq!(found.records.as_deref(), Some(&*expected));
        // From within a batch, the whole batch.
        let found = only(topic.fetch(session, version, &[(0, 7)]));
        assert_eq!(&found.records.expect("records")[..8], 6_i64.to_be_bytes());
        // At the end there is nothing, which is no error.
        let found = only(topic.fetch(session, version, &[(0, 8)]));
        expect(found.error_code, ErrorCode::None);
        assert!(found.records.unwrap_or_default().is_empty());
    });
}

#[test]
fn offsets_outside_of_the_log_are_refused() {
    every_version(ApiKey::Fetch, |session, version| {
        let topic = Topic::create(session, "range", 1);
        topic.produce(session, 9, &[(0, &batch(&["a"]))]);
        for offset in [2, -1] {
            expect(only(topic.fetch(session, version, &[(0, offset)])).error_code, ErrorCode::OffsetOutOfRange);
        }
    });
}

#[test]
fn unknown_topics_and_partitions_are_told_apart() {
    every_version(ApiKey::Fetch, |session, version| {
        let topic = Topic::create(session, "unknown", 1);
        expect(only(topic.fetch(session, version, &[(5, 0)])).error_code, ErrorCode::UnknownTopicOrPartition);
        let nowhere = Topic { name: "nowhere".to_owned(), id: Uuid::new([7; 16]) };
        let by_id = version >= FETCH_BY_ID;
        let expected = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        expect(only(nowhere.fetch(session, version, &[(0, 0)])).error_code, expected);
    });
}

#[test]
fn the_first_batch_comes_whatever_its_size() {
    every_version(ApiKey::Fetch, |session, version| {
        let topic = Topic::create(session, "limits", 2);
        let wide = "x".repeat(5000);
        for _ in 0..2 {
            topic.produce(session, 9, &[(0, &batch(&[&wide])), (1, &batch(&[&wide]))]);
        }
        let mut request = topic.fetch_request(version, &[(0, 0), (1, 0)]);
        request.max_bytes = 100;
        request.topics[0].partitions.iter_mut().for_each(|partition| partition.partition_max_bytes = 100);
        let found = session.ask(version, &request).responses.remove(0).partitions;
        let lengths: Vec<_> = found.iter().map(|one| one.records.as_ref().map_or(0, Vec::len)).collect();
        let one = batch(&[&wide]).len();
        assert_eq!(lengths.iter().sum::<usize>(), one, "one batch in all: {lengths:?}");
    });
}

#[test]
fn an_empty_answer_waits_until_its_time_is_over() {
    every_version(ApiKey::Fetch, |session, version| {
        let topic = Topic::create(session, "waits", 1);
        let mut request = topic.fetch_request(version, &[(0, 0)]);
        request.max_wait_ms = 300;
        let from = Instant::now();
        assert!(only(session.ask(version, &request)).records.unwrap_or_default().is_empty());
        assert!(from.elapsed() >= Duration::from_millis(290), "answered after {:?}", from.elapsed());
    });
}

#[test]
fn a_waiting_request_is_answered_by_what_is_produced() {
    every_version(ApiKey::Fetch, |session, version| {
        let topic = Topic::create(session, "tail", 1);
        let mut request = topic.fetch_request(version, &[(0, 0)]);
        request.max_wait_ms = 30_000;
        session.tell(version, &request);
        let mut other = session.open_another();
        topic.produce(&mut other, 9, &[(0, &batch(&["a"]))]);
        let from = Instant::now();
        assert!(session.receive().is_some_and(|frame| frame.len() > batch(&["a"]).len()));
        assert!(from.elapsed() < Duration::from_secs(10), "answered after {:?}", from.elapsed());
    });
}

#[test]
fn sessions_leave_out_what_did_not_change() {
    every_version(ApiKey::Fetch, |session, version| {
        if version < 7 {
            return;
        }
        let topic = Topic::create(session, "session", 2);
        let mut request = topic.fetch_request(version, &[(0, 0), (1, 0)]);
        request.session_epoch = 0;
        let opened = session.ask(version, &request);
        expect(opened.error_code, ErrorCode::None);
        assert!(opened.session_id > 0);
        assert_eq!(opened.responses[0].partitions.len(), 2, "the first answer names all");

        topic.produce(session, 9, &[(1, &batch(&["a"]))]);
        request.session_id = opened.session_id;
        request.session_epoch = 1;
        request.topics.clear();
        let next = session.ask(version, &request);
        expect(next.error_code, ErrorCode::None);
        let indexes: Vec<_> = next.responses[0].partitions.iter().map(|one| one.partition_index).collect();
        assert_eq!((next.session_id, &*indexes), (opened.session_id, &[1][..]));

        request.session_epoch = 9;
        expect(session.ask(version, &request).error_code, ErrorCode::InvalidFetchSessionEpoch);
        request.session_id = 7;
        expect(session.ask(version, &request).error_code, ErrorCode::FetchSessionIdNotFound);
    });
}

#[test]
fn a_leader_epoch_that_is_not_the_leaders_is_refused() {
    every_version(ApiKey::Fetch, |session, version| {
        if version < 9 {
            return;
        }
        let topic = Topic::create(session, "epoch", 1);
        let mut request = topic.fetch_request(version, &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = 1000;
        expect(only(session.ask(version, &request)).error_code, ErrorCode::UnknownLeaderEpoch);
    });
}

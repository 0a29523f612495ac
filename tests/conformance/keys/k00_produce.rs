//! Produce: acks, errors of one partition beside the success of another, idempotence.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::api_versions::ApiVersionsRequest;
use ringlog_net::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_storage::batch::{BatchBuilder, Codec, Producer};
use ringlog_storage::types::{ProducerEpoch, ProducerId, Sequence, Uuid};

use crate::group::{NONE_SUCH, await_coordinator};
use crate::k22_init_producer_id::new_id;
use crate::session::{Session, every_version, expect};
use crate::topic::{PRODUCE_BY_ID, Topic, batch, filled};

#[test]
fn every_version_appends_and_answers_the_base_offset() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic::create(session, "produce", 2);
        for base_offset in [0, 3] {
            let found =
                topic.produce(session, version, &[(0, &batch(&["a", "b", "c"])), (1, &batch(&["d", "e", "f"]))]);
            for partition in found {
                expect(partition.error_code, ErrorCode::None);
                assert_eq!((partition.base_offset, partition.log_append_time_ms), (base_offset, -1));
                assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
            }
        }
        assert_eq!(topic.offset(session, 0, -1), (0, 6));
    });
}

#[test]
fn a_leader_alone_acknowledges_with_acks_1() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic::create(session, "acks-1", 1);
        let request = topic.produce_request(version, 1, &[(0, &batch(&["a"]))]);
        let found = session.ask(version, &request).responses.remove(0).partition_responses.remove(0);
        expect(found.error_code, ErrorCode::None);
    });
}

#[test]
fn acks_0_has_no_answer_and_its_errors_close_the_connection() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic::create(session, "acks-0", 1);
        let mut request = topic.produce_request(version, 0, &[(0, &batch(&["a"]))]);
        session.tell(version, &request);
        // The next answer on this connection is that of the next request.
        session.ask(0, &ApiVersionsRequest::default());
        assert_eq!(topic.offset(session, 0, -1), (0, 1));
        request.topic_data[0].partition_data[0].index = 99;
        session.tell(version, &request);
        assert_eq!(session.receive(), None, "the connection is closed");
    });
}

#[test]
fn what_is_wrong_with_one_partition_leaves_the_others() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic::create(session, "errors", 4);
        let good = batch(&["good"]);
        let mut corrupt = batch(&["corrupt"]);
        *corrupt.last_mut().expect("a batch has bytes") ^= 1;
        let two = [good.clone(), good.clone()].concat();
        let found = topic.produce(session, version, &[(0, &corrupt), (1, &good), (2, &two), (9, &good), (3, &good)]);
        let codes: Vec<_> = found.iter().map(|one| ErrorCode::from_wire(one.error_code)).collect();
        let expected = [
            ErrorCode::CorruptMessage,
            ErrorCode::None,
            ErrorCode::InvalidRecord,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::None,
        ];
        assert_eq!(codes, expected);
        let ends: Vec<_> = (0..4).map(|partition| topic.offset(session, partition, -1).1).collect();
        assert_eq!(ends, [0, 1, 0, 1], "nothing of a refused batch is appended");
    });
}

#[test]
fn an_unknown_topic_is_told_by_name_or_id() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic { name: "nowhere".to_owned(), id: Uuid::new([7; 16]) };
        let found = topic.produce(session, version, &[(0, &batch(&["a"]))]);
        let by_id = version >= PRODUCE_BY_ID;
        expect(found[0].error_code, if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition });
    });
}

#[test]
fn nobody_writes_to_the_coordinators_logs() {
    every_version(ApiKey::Produce, |session, version| {
        await_coordinator(session, NONE_SUCH);
        let asked = MetadataRequestTopic { name: Some("__consumer_offsets".to_owned()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
        let known = session.ask(12, &request).topics.remove(0);
        let topic = Topic { name: "__consumer_offsets".to_owned(), id: known.topic_id };
        let found = topic.produce(session, version, &[(0, &batch(&["a"]))]);
        expect(found[0].error_code, ErrorCode::InvalidTopicException);
    });
}

#[test]
fn acks_are_minus_1_0_or_1() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic::create(session, "acks", 1);
        let request = topic.produce_request(version, 5, &[(0, &batch(&["a"]))]);
        let found = session.ask(version, &request).responses.remove(0).partition_responses.remove(0);
        expect(found.error_code, ErrorCode::InvalidRequiredAcks);
    });
}

#[test]
fn zstd_is_for_versions_that_know_it() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic::create(session, "zstd", 1);
        let records = filled(BatchBuilder::new().compression(Codec::Zstd), &["a", "a", "a"]);
        let found = topic.produce(session, version, &[(0, &records)]);
        expect(found[0].error_code, if version < 7 { ErrorCode::UnsupportedCompressionType } else { ErrorCode::None });
    });
}

#[test]
fn a_producer_of_sequences_is_kept_to_them() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic::create(session, "idempotent", 1);
        let id = new_id(session, 4);
        let send = |session: &mut Session, sequence: i32, epoch: i16| {
            let producer = Producer {
                id: ProducerId::new(id),
                epoch: ProducerEpoch::new(epoch),
                base_sequence: Sequence::new(sequence),
            };
            let records = filled(BatchBuilder::new().producer(producer), &["a", "b"]);
            let found = topic.produce(session, version, &[(0, &records)]).remove(0);
            (ErrorCode::from_wire(found.error_code), found.base_offset)
        };
        assert_eq!(send(session, 0, 1), (ErrorCode::None, 0));
        assert_eq!(send(session, 2, 1), (ErrorCode::None, 2));
        assert_eq!(send(session, 0, 1), (ErrorCode::None, 0), "a duplicate succeeds with its first offset");
        assert_eq!(send(session, 6, 1).0, ErrorCode::OutOfOrderSequenceNumber, "a gap");
        assert_eq!(send(session, 4, 0).0, ErrorCode::InvalidProducerEpoch, "an old epoch");
        assert_eq!(send(session, 4, 1), (ErrorCode::None, 4));
        assert_eq!(topic.offset(session, 0, -1), (0, 6));
    });
}

//! What a version cannot say is refused, unless the schema calls it ignorable; what it does not have gets its default.

use ringlog_net::messages::api_versions::ApiVersionsResponse;
use ringlog_net::messages::fetch::{FetchRequest, FetchResponse, FetchTopic};
use ringlog_net::messages::metadata::{MetadataRequest, MetadataResponse};
use ringlog_net::messages::metadata_log::{MetadataRecord, PartitionChangeRecord, TopicRecord};
use ringlog_net::messages::offset_delete::OffsetDeleteResponse;
use ringlog_net::messages::offset_fetch::OffsetFetchRequest;
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::messages::{ApiKey, Direction, Message, Request, decode_any, with_throttle_time};
use ringlog_net::wire::{DecodeError, EncodeError, Reader, Writer};
use ringlog_storage::types::Uuid;

fn encoded(message: &impl Message, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).map(|()| writer.into_bytes())
}

fn recoded<M: Message>(message: &M, version: i16) -> M {
    let bytes = encoded(message, version).expect("a message that the version can say");
    let mut reader = Reader::new(&bytes);
    let decoded = M::decode(&mut reader, version).expect("what was encoded");
    assert_eq!(reader.finish(), Ok(()));
    decoded
}

#[test]
fn a_request_knows_its_response() {
    fn response_of<R: Request>(_: &R, bytes: &[u8], version: i16) -> Result<R::Response, DecodeError> {
        R::Response::decode(&mut Reader::new(bytes), version)
    }
    let bytes = encoded(&FetchResponse::default(), 18).expect("defaults can be said");
    assert_eq!(response_of(&FetchRequest::default(), &bytes, 18), Ok(FetchResponse::default()));
}

#[test]
fn defaults_are_those_of_the_protocol() {
    let request = FetchRequest::default();
    assert_eq!((request.replica_id, request.max_bytes, request.session_epoch), (-1, i32::MAX, -1));
    assert_eq!((request.cluster_id, request.replica_state.replica_epoch), (None, -1));
    assert_eq!(ProduceRequest::default().transactional_id, None);
    assert_eq!(PartitionProduceData::default().records, None);
    let request = MetadataRequest::default();
    assert!(request.topics.is_some_and(|topics| topics.is_empty()) && request.allow_auto_topic_creation);
}

#[test]
fn fields_that_a_version_lacks_are_dropped_or_refused() {
    let topic_id = Uuid::from_u128(7);
    let topic = |name: &str| TopicProduceData { name: name.to_owned(), topic_id, partition_data: Vec::new() };
    let request = ProduceRequest { acks: -1, topic_data: vec![topic("t")], ..Default::default() };
    // Name and id of the topic are ignorable: each version carries the one that it has.
    assert_eq!(recoded(&request, 12).topic_data, [TopicProduceData { topic_id: Uuid::ZERO, ..topic("t") }]);
    assert_eq!(recoded(&request, 13).topic_data, [topic("")]);

    let request = FetchRequest { replica_id: 3, ..Default::default() };
    assert_eq!(recoded(&request, 14), request);
    let refused = Err(EncodeError::Field { field: "ReplicaId", version: 15 });
    assert_eq!(encoded(&request, 15), refused);
    let mut request = FetchRequest { topics: vec![FetchTopic::default()], ..Default::default() };
    request.replica_state.replica_id = 3;
    assert_eq!(recoded(&request, 15), request);
    assert_eq!(encoded(&request, 14), Err(EncodeError::Field { field: "ReplicaState", version: 14 }));
}

#[test]
fn null_is_refused_where_a_version_does_not_allow_it() {
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(recoded(&all, 1).topics, None);
    assert_eq!(encoded(&all, 0), Err(EncodeError::Null));
    let all = OffsetFetchRequest { group_id: "g".to_owned(), topics: None, ..Default::default() };
    assert_eq!(recoded(&all, 2).topics, None);
    assert_eq!(encoded(&all, 1), Err(EncodeError::Null));
}

#[test]
fn versions_outside_the_range_are_refused() {
    for version in [i16::MIN, -1, 2, 14, i16::MAX] {
        assert_eq!(encoded(&ProduceRequest::default(), version), Err(EncodeError::Version(version)));
        let decoded = ProduceRequest::decode(&mut Reader::new(&[0; 64]), version);
        assert_eq!(decoded, Err(DecodeError::Version(version)));
    }
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    let mut bytes = encoded(&FetchRequest::default(), 18).expect("defaults can be said");
    assert_eq!(bytes.pop(), Some(0), "no tagged fields");
    bytes.extend([2, 0, 3, 3, b'i', b'd', 99, 2, 0xff, 0xff]);
    let mut reader = Reader::new(&bytes);
    let request = FetchRequest::decode(&mut reader, 18).expect("tag 0 is known, tag 99 is not");
    assert_eq!((request.cluster_id.as_deref(), reader.remaining()), (Some("id"), 0));
}

#[test]
fn records_of_the_metadata_log_have_a_frame() {
    let record = MetadataRecord::Topic(TopicRecord { name: "t".to_owned(), topic_id: Uuid::from_u128(1) });
    let mut writer = Writer::new();
    record.encode(&mut writer, 0).expect("version 0 has all fields");
    let bytes = writer.into_bytes();
    assert_eq!(bytes[..5], [1, 2, 0, 2, b't']);
    assert_eq!(MetadataRecord::decode(&mut Reader::new(&bytes)), Ok((record, 0)));

    let decode = |bytes: &[u8]| MetadataRecord::decode(&mut Reader::new(bytes));
    assert_eq!(decode(&[2, 2, 0]), Err(DecodeError::Version(2)));
    assert_eq!(decode(&[1, 6, 0]), Err(DecodeError::Key(6)));
    assert_eq!(decode(&[1, 2, 1]), Err(DecodeError::Version(1)));
    assert_eq!(decode(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]), Err(DecodeError::Key(0xffff_ffff)));

    let change = PartitionChangeRecord { isr: Some(vec![1]), ..Default::default() };
    assert_eq!((change.leader, &change.replicas), (-2, &None));
    assert_eq!(MetadataRecord::PartitionChange(change).newest_version(), 2);
}

#[test]
fn a_throttle_time_is_told_by_whatever_response_has_one() {
    let empty = |key, version| match key {
        ApiKey::Metadata => encoded(&MetadataResponse::default(), version),
        ApiKey::ApiVersions => encoded(&ApiVersionsResponse::default(), version),
        ApiKey::OffsetDelete => encoded(&OffsetDeleteResponse::default(), version),
        _ => unreachable!("{key} is not looked at"),
    };
    let check = |key, version, is_told| {
        let bytes = empty(key, version).expect("defaults can be said");
        let told = with_throttle_time(key, version, &bytes, 77).expect("was encoded just now");
        assert_eq!(told.is_some(), is_told, "{key} {version}");
        if let Some(told) = told {
            let decoded = decode_any(key, version, Direction::Response, &told).expect("a whole response");
            assert!(format!("{decoded:?}").contains("throttle_time_ms: 77"), "{decoded:?}");
            assert_eq!(with_throttle_time(key, version, &told, 0), Ok(Some(bytes)), "nothing else has changed");
        }
    };
    check(ApiKey::Metadata, 2, false);
    check(ApiKey::Metadata, 3, true);
    check(ApiKey::Metadata, 13, true);
    check(ApiKey::ApiVersions, 0, false);
    check(ApiKey::ApiVersions, 1, true);
    check(ApiKey::ApiVersions, 5, true);
    check(ApiKey::OffsetDelete, 0, true);
    assert!(with_throttle_time(ApiKey::Metadata, 13, b"short", 1).is_err());
}

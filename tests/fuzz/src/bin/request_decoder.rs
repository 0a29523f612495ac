//! Bodies of requests and responses: every key, version and direction. What can be read is written and read again as the
//! same; the views of `Produce` and `Fetch` agree with the generated structures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_fuzz::choices::Choices;
use ringlog_net::messages::fetch::FetchRequest;
use ringlog_net::messages::produce::ProduceRequest;
use ringlog_net::messages::{ApiKey, Direction, decode_any};
use ringlog_net::views::{FetchView, ProduceView, TopicRef};
use ringlog_net::wire::{Reader, Writer};
use ringlog_storage::types::Uuid;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let (key, version, direction) = (choices.byte(), choices.byte(), choices.byte());
    let key = ApiKey::ALL[usize::from(key) % ApiKey::ALL.len()];
    let versions: Vec<i16> = key.known_versions().collect();
    let version = versions[usize::from(version) % versions.len()];
    let direction = if direction & 1 == 0 { Direction::Request } else { Direction::Response };
    let body = choices.0;
    if let Ok(message) = decode_any(key, version, direction, body) {
        let mut writer = Writer::default();
        message.encode(&mut writer, version).expect("was read in this version");
        let again = decode_any(key, version, direction, &writer.into_bytes()).expect("was written just now");
        assert_eq!(format!("{message:?}"), format!("{again:?}"));
    }
    match (key, direction) {
        (ApiKey::Produce, Direction::Request) => check_produce(body, version),
        (ApiKey::Fetch, Direction::Request) => check_fetch(body, version),
        _ => {}
    }
});

fn topic_of(topic: TopicRef<'_>) -> (String, Uuid) {
    match topic {
        TopicRef::Name(name) => (name.to_owned(), Uuid::ZERO),
        TopicRef::Id(id) => (String::new(), id),
    }
}

fn check_produce(body: &[u8], version: i16) {
    let view = ProduceView::decode(body, version);
    let Ok(request) = ProduceRequest::decode(&mut Reader::new(body), version) else { return };
    let view = view.expect("the generated decoder took it");
    assert_eq!(view.transactional_id, request.transactional_id.as_deref());
    assert_eq!((view.acks, view.timeout_ms), (request.acks, request.timeout_ms));
    assert_eq!(view.topics.len(), request.topic_data.len());
    for (topic, expected) in view.topics.iter().zip(&request.topic_data) {
        assert_eq!(topic_of(topic.topic), (expected.name.clone(), expected.topic_id));
        assert_eq!(topic.partitions.len(), expected.partition_data.len());
        for (partition, expected) in topic.partitions.iter().zip(&expected.partition_data) {
            assert_eq!(partition.index.get(), expected.index);
            assert_eq!(partition.records.map(|range| &body[range]), expected.records.as_deref());
        }
    }
}

fn check_fetch(body: &[u8], version: i16) {
    let view = FetchView::decode(body, version);
    let Ok(request) = FetchRequest::decode(&mut Reader::new(body), version) else { return };
    let view = view.expect("the generated decoder took it");
    assert_eq!(
        (view.max_wait_ms, view.min_bytes, view.max_bytes),
        (request.max_wait_ms, request.min_bytes, request.max_bytes)
    );
    assert_eq!((view.session_id, view.session_epoch), (request.session_id, request.session_epoch));
    assert_eq!(view.topics.len(), request.topics.len());
    for (topic, expected) in view.topics.iter().zip(&request.topics) {
        assert_eq!(topic_of(topic.topic), (expected.topic.clone(), expected.topic_id));
        assert_eq!(topic.partitions.len(), expected.partitions.len());
        for (partition, expected) in topic.partitions.iter().zip(&expected.partitions) {
            assert_eq!(partition.partition.get(), expected.partition);
            assert_eq!(partition.fetch_offset.get(), expected.fetch_offset);
            assert_eq!(partition.log_start_offset.get(), expected.log_start_offset);
            assert_eq!(partition.partition_max_bytes, expected.partition_max_bytes);
            assert_eq!(partition.current_leader_epoch.get(), expected.current_leader_epoch);
            assert_eq!(partition.last_fetched_epoch.get(), expected.last_fetched_epoch);
        }
    }
    assert_eq!(view.forgotten_topics.len(), request.forgotten_topics_data.len());
    for (topic, expected) in view.forgotten_topics.iter().zip(&request.forgotten_topics_data) {
        assert_eq!(topic_of(topic.topic), (expected.topic.clone(), expected.topic_id));
        assert!(topic.partitions.iter().map(|partition| partition.get()).eq(expected.partitions.iter().copied()));
    }
}

//! Views and writers against the generated code, with random messages of every version; and against damaged bytes.

use super::*;
use crate::error::ErrorCode;
use crate::messages::{fetch, produce};
use crate::seeded::Seeded;
use ringlog_buffer::Slice;

impl Seeded {
    fn number(&mut self) -> i32 {
        i32::try_from(self.within(0..=1 << 30)).expect("30 bits")
    }

    fn code(&mut self) -> i16 {
        i16::try_from(self.within(0..=130)).expect("small")
    }

    fn text(&mut self) -> String {
        let count = self.within(0..=200);
        self.bytes(count).into_iter().map(|byte| char::from(byte & 0x7f)).collect()
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.once_in(2).then(|| value(self))
    }

    fn several<T>(&mut self, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.within(0..=4)).map(|_| value(self)).collect()
    }

    fn records(&mut self) -> Vec<u8> {
        let count = self.within(0..=300);
        self.bytes(count)
    }

    fn topic(&mut self, version: i16) -> (String, Uuid) {
        if version >= TOPIC_ID_VERSION_MIN {
            (String::new(), Uuid::from_u128(u128::from(self.next())))
        } else {
            (self.text(), Uuid::ZERO)
        }
    }
}

/// The same topic, as a view calls it.
fn topic_ref(name: &str, id: Uuid, version: i16) -> TopicRef<'_> {
    if version >= TOPIC_ID_VERSION_MIN { TopicRef::Id(id) } else { TopicRef::Name(name) }
}

fn produce_request(dice: &mut Seeded, version: i16) -> produce::ProduceRequest {
    produce::ProduceRequest {
        transactional_id: dice.maybe(Seeded::text),
        acks: dice.code(),
        timeout_ms: dice.number(),
        topic_data: dice.several(|dice| {
            let (name, topic_id) = dice.topic(version);
            let partition_data = dice.several(|dice| produce::PartitionProduceData {
                index: dice.number(),
                records: dice.maybe(Seeded::records),
            });
            produce::TopicProduceData { name, topic_id, partition_data }
        }),
    }
}

/// What the generated decoder would have made of the same body.
fn read_produce(body: &[u8], version: i16) -> Result<produce::ProduceRequest, DecodeError> {
    let view = ProduceView::decode(body, version)?;
    let topic_data = view.topics.iter().map(|topic| {
        let (name, topic_id) = match topic.topic {
            TopicRef::Name(name) => (name.to_owned(), Uuid::ZERO),
            TopicRef::Id(id) => (String::new(), id),
        };
        let partition_data = topic.partitions.iter().map(|partition| produce::PartitionProduceData {
            index: partition.index.get(),
            records: partition.records.map(|range| body[range].to_vec()),
        });
        produce::TopicProduceData { name, topic_id, partition_data: partition_data.collect() }
    });
    Ok(produce::ProduceRequest {
        transactional_id: view.transactional_id.map(str::to_owned),
        acks: view.acks,
        timeout_ms: view.timeout_ms,
        topic_data: topic_data.collect(),
    })
}

fn fetch_request(dice: &mut Seeded, version: i16) -> fetch::FetchRequest {
    let since = |first: i16, value: i32, default: i32| if version >= first { value } else { default };
    fetch::FetchRequest {
        cluster_id: if version >= 12 { dice.maybe(Seeded::text) } else { None },
        replica_id: if version <= 14 { dice.number() } else { -1 },
        replica_state: if version >= 15 && dice.once_in(2) {
            fetch::ReplicaState { replica_id: dice.number(), replica_epoch: 7 }
        } else {
            fetch::ReplicaState::default()
        },
        max_wait_ms: dice.number(),
        min_bytes: dice.number(),
        max_bytes: dice.number(),
        isolation_level: i8::from(dice.once_in(2)),
        session_id: since(7, dice.number(), 0),
        session_epoch: since(7, dice.number(), -1),
        topics: dice.several(|dice| {
            let (topic, topic_id) = dice.topic(version);
            fetch::FetchTopic { topic, topic_id, partitions: dice.several(|dice| fetch_partition(dice, version)) }
        }),
        forgotten_topics_data: if version >= 7 {
            dice.several(|dice| {
                let (topic, topic_id) = dice.topic(version);
                fetch::ForgottenTopic { topic, topic_id, partitions: dice.several(Seeded::number) }
            })
        } else {
            Vec::new()
        },
        rack_id: if version >= 11 { dice.text() } else { String::new() },
    }
}

fn fetch_partition(dice: &mut Seeded, version: i16) -> fetch::FetchPartition {
    fetch::FetchPartition {
        partition: dice.number(),
        current_leader_epoch: if version >= 9 { dice.number() } else { -1 },
        fetch_offset: dice.number().into(),
        last_fetched_epoch: if version >= 12 { dice.number() } else { -1 },
        log_start_offset: if version >= 5 { dice.number().into() } else { -1 },
        partition_max_bytes: dice.number(),
        replica_directory_id: if version >= 17 { Uuid::from_u128(dice.next().into()) } else { Uuid::ZERO },
        high_watermark: if version >= 18 && dice.once_in(2) { dice.number().into() } else { i64::MAX },
    }
}

fn read_fetch(body: &[u8], version: i16) -> Result<fetch::FetchRequest, DecodeError> {
    let view = FetchView::decode(body, version)?;
    let split = |topic: TopicRef<'_>| match topic {
        TopicRef::Name(name) => (name.to_owned(), Uuid::ZERO),
        TopicRef::Id(id) => (String::new(), id),
    };
    let topics = view.topics.iter().map(|each| {
        let (topic, topic_id) = split(each.topic);
        let partitions = each.partitions.iter().map(|partition| fetch::FetchPartition {
            partition: partition.partition.get(),
            current_leader_epoch: partition.current_leader_epoch.get(),
            fetch_offset: partition.fetch_offset.get(),
            last_fetched_epoch: partition.last_fetched_epoch.get(),
            log_start_offset: partition.log_start_offset.get(),
            partition_max_bytes: partition.partition_max_bytes,
            replica_directory_id: partition.replica_directory_id,
            high_watermark: partition.high_watermark.get(),
        });
        fetch::FetchTopic { topic, topic_id, partitions: partitions.collect() }
    });
    let forgotten_topics_data = view.forgotten_topics.iter().map(|each| {
        let (topic, topic_id) = split(each.topic);
        fetch::ForgottenTopic { topic, topic_id, partitions: each.partitions.iter().map(PartitionIndex::get).collect() }
    });
    let state = view.replica_state;
    let (replica_id, replica_state) = if version <= 14 {
        (state.replica_id.get(), fetch::ReplicaState::default())
    } else {
        (-1, fetch::ReplicaState { replica_id: state.replica_id.get(), replica_epoch: state.replica_epoch })
    };
    Ok(fetch::FetchRequest {
        cluster_id: view.cluster_id.map(str::to_owned),
        replica_id,
        replica_state,
        max_wait_ms: view.max_wait_ms,
        min_bytes: view.min_bytes,
        max_bytes: view.max_bytes,
        isolation_level: view.isolation_level,
        session_id: view.session_id,
        session_epoch: view.session_epoch,
        topics: topics.collect(),
        forgotten_topics_data: forgotten_topics_data.collect(),
        rack_id: view.rack_id.to_owned(),
    })
}

/// A view and the generated decoder agree about `body`, and about damaged copies of it.
fn check_request<T: PartialEq + std::fmt::Debug>(
    dice: &mut Seeded,
    mut body: Vec<u8>,
    view: impl Fn(&[u8]) -> Result<T, DecodeError>,
    generated: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) {
    let generated = |body: &[u8]| generated(&mut Reader::new(body));
    assert_eq!(view(&body), generated(&body));
    let cut = dice.within(0..=body.len() - 1);
    assert_eq!(view(&body[..cut]).is_ok(), generated(&body[..cut]).is_ok(), "cut at {cut}");
    for _ in 0..5 {
        let position = dice.within(0..=body.len() - 1);
        body[position] = dice.next().to_le_bytes()[0];
        match (view(&body), generated(&body)) {
            (Ok(view), Ok(generated)) => assert_eq!(view, generated),
            // The view allocates nothing, and so has no budget to exceed.
            (_, Err(DecodeError::OverBudget)) | (Err(_), Err(_)) => {}
            (view, generated) => panic!("{view:?} but {generated:?}"),
        }
    }
}

#[test]
fn produce_requests_are_read_as_the_generated_decoder_reads_them() {
    for version in 3..=13 {
        for seed in 0..300 {
            let mut dice = Seeded::new(seed);
            let mut w = Writer::new();
            produce_request(&mut dice, version).encode(&mut w, version).expect("the version can say it");
            let view = |body: &[u8]| read_produce(body, version);
            check_request(&mut dice, w.into_bytes(), view, |r| produce::ProduceRequest::decode(r, version));
        }
    }
    assert_eq!(read_produce(b"", 2), Err(DecodeError::Version(2)));
}

#[test]
fn fetch_requests_are_read_as_the_generated_decoder_reads_them() {
    for version in 4..=18 {
        for seed in 0..300 {
            let mut dice = Seeded::new(seed);
            let mut w = Writer::new();
            fetch_request(&mut dice, version).encode(&mut w, version).expect("the version can say it");
            let view = |body: &[u8]| read_fetch(body, version);
            check_request(&mut dice, w.into_bytes(), view, |r| fetch::FetchRequest::decode(r, version));
        }
    }
    assert_eq!(read_fetch(b"", 19), Err(DecodeError::Version(19)));
}

#[test]
fn produce_responses_are_the_bytes_of_the_generated_encoder() {
    for version in 3..=13 {
        for seed in 0..300 {
            let mut dice = Seeded::new(seed);
            let node_endpoints = dice.several(|dice| produce::NodeEndpoint {
                node_id: dice.number(),
                host: dice.text(),
                port: dice.number(),
                rack: dice.maybe(Seeded::text),
            });
            let mut response = produce::ProduceResponse {
                responses: dice.several(|dice| {
                    let (name, topic_id) = dice.topic(version);
                    let partition_responses = dice.several(produce_partition_response);
                    produce::TopicProduceResponse { name, topic_id, partition_responses }
                }),
                throttle_time_ms: dice.number(),
                node_endpoints,
            };
            let mut writer = ProduceResponseWriter::new(version, response.responses.len()).expect("a version");
            for each in &response.responses {
                let topic = topic_ref(&each.name, each.topic_id, version);
                writer.topic(topic, each.partition_responses.len()).expect("a topic");
                for partition in &each.partition_responses {
                    writer.partition(partition).expect("a partition");
                }
            }
            let body = writer.finish(response.throttle_time_ms, &response.node_endpoints).expect("a response");
            if version < 10 {
                // The writer leaves out what the version cannot say; the generated encoder refuses it.
                response.node_endpoints.clear();
                let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses);
                partitions.for_each(|each| each.current_leader = produce::LeaderIdAndEpoch::default());
            }
            let mut w = Writer::new();
            response.encode(&mut w, version).expect("the version can say it");
            assert_eq!(body.to_vec(), w.into_bytes(), "version {version} seed {seed}");
        }
    }
}

fn produce_partition_response(dice: &mut Seeded) -> produce::PartitionProduceResponse {
    produce::PartitionProduceResponse {
        index: dice.number(),
        error_code: dice.code(),
        base_offset: dice.number().into(),
        log_append_time_ms: dice.number().into(),
        log_start_offset: dice.number().into(),
        record_errors: dice.several(|dice| produce::BatchIndexAndErrorMessage {
            batch_index: dice.number(),
            batch_index_error_message: dice.maybe(Seeded::text),
        }),
        error_message: dice.maybe(Seeded::text),
        current_leader: dice
            .maybe(|dice| produce::LeaderIdAndEpoch { leader_id: dice.number(), leader_epoch: dice.number() })
            .unwrap_or_default(),
    }
}

fn fetch_partition_data(dice: &mut Seeded) -> fetch::PartitionData {
    fetch::PartitionData {
        partition_index: dice.number(),
        error_code: dice.code(),
        high_watermark: dice.number().into(),
        last_stable_offset: dice.number().into(),
        log_start_offset: dice.number().into(),
        diverging_epoch: dice
            .maybe(|dice| fetch::EpochEndOffset { epoch: dice.number(), end_offset: dice.number().into() })
            .unwrap_or_default(),
        current_leader: dice
            .maybe(|dice| fetch::LeaderIdAndEpoch { leader_id: dice.number(), leader_epoch: dice.number() })
            .unwrap_or_default(),
        snapshot_id: dice
            .maybe(|dice| fetch::SnapshotId { end_offset: dice.number().into(), epoch: dice.number() })
            .unwrap_or_default(),
        aborted_transactions: dice.maybe(|dice| {
            dice.several(|dice| fetch::AbortedTransaction {
                producer_id: dice.number().into(),
                first_offset: dice.number().into(),
            })
        }),
        preferred_read_replica: dice.number(),
        records: None,
    }
}

#[test]
fn fetch_responses_are_the_bytes_of_the_generated_encoder() {
    for version in 4..=18 {
        for seed in 0..300 {
            let mut dice = Seeded::new(seed);
            let head = FetchResponseHead {
                throttle_time_ms: dice.number(),
                error: ErrorCode::from_wire(dice.code()),
                session_id: dice.number(),
            };
            let node_endpoints = dice.several(|dice| fetch::NodeEndpoint {
                node_id: dice.number(),
                host: dice.text(),
                port: dice.number(),
                rack: dice.maybe(Seeded::text),
            });
            let topic_count = dice.within(0..=3);
            let mut writer = FetchResponseWriter::new(version, head, topic_count).expect("a version");
            let mut expected = fetch::FetchResponse {
                throttle_time_ms: head.throttle_time_ms,
                error_code: head.error.code(),
                session_id: if version >= 7 { head.session_id } else { 0 },
                responses: Vec::new(),
                node_endpoints: if version >= 16 { node_endpoints.clone() } else { Vec::new() },
            };
            for _ in 0..topic_count {
                let (topic, topic_id) = dice.topic(version);
                let mut partitions = dice.several(fetch_partition_data);
                writer.topic(topic_ref(&topic, topic_id, version), partitions.len()).expect("a topic");
                for data in &mut partitions {
                    let records = dice.several(|dice| Slice::from(&dice.records()[..]));
                    writer.partition(data, records.clone()).expect("a partition");
                    data.records = Some(records.iter().flat_map(|slice| slice.to_vec()).collect());
                    if version < 12 {
                        data.diverging_epoch = fetch::EpochEndOffset::default();
                        data.current_leader = fetch::LeaderIdAndEpoch::default();
                        data.snapshot_id = fetch::SnapshotId::default();
                    }
                    if version < 11 {
                        data.preferred_read_replica = -1;
                    }
                }
                expected.responses.push(fetch::FetchableTopicResponse { topic, topic_id, partitions });
            }
            let body = writer.finish(&node_endpoints).expect("a response");
            let mut w = Writer::new();
            expected.encode(&mut w, version).expect("the version can say it");
            assert_eq!(body.to_vec(), w.into_bytes(), "version {version} seed {seed}");
        }
    }
}

#[test]
#[should_panic(expected = "1 partitions are missing")]
fn a_response_keeps_what_it_announced() {
    let mut writer = ProduceResponseWriter::new(3, 2).expect("a version");
    writer.topic(TopicRef::Name("a"), 1).expect("a topic");
    _ = writer.topic(TopicRef::Name("b"), 1);
}

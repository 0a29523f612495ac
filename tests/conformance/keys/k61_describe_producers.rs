//! `DescribeProducers`: who has written to a partition with a producer id.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_producers::{DescribeProducersRequest, PartitionResponse, TopicRequest};
use ringlog_storage::batch::{BatchBuilder, Producer};
use ringlog_storage::types::{ProducerEpoch, ProducerId, Sequence};

use crate::k22_init_producer_id::new_id;
use crate::session::{Session, every_version, expect};
use crate::topic::{RECORD_TIME_MS, Topic, filled};

fn describe(session: &mut Session, version: i16, name: &str, partition: i32) -> PartitionResponse {
    let topics = vec![TopicRequest { name: name.to_owned(), partition_indexes: vec![partition] }];
    session.ask(version, &DescribeProducersRequest { topics }).topics.remove(0).partitions.remove(0)
}

#[test]
fn every_version_tells_of_idempotent_producers() {
    every_version(ApiKey::DescribeProducers, |session, version| {
        let topic = Topic::create(session, "written", 2);
        let id = new_id(session, 4);
        for base in [0, 2] {
            let producer =
                Producer { id: ProducerId::new(id), epoch: ProducerEpoch::new(0), base_sequence: Sequence::new(base) };
            let records = filled(BatchBuilder::new().producer(producer), &["a", "b"]);
            expect(topic.produce(session, 9, &[(0, &records)])[0].error_code, ErrorCode::None);
        }
        let found = describe(session, version, &topic.name, 0);
        expect(found.error_code, ErrorCode::None);
        let [producer] = &found.active_producers[..] else { panic!("one has written: {found:?}") };
        assert_eq!((producer.producer_id, producer.producer_epoch, producer.last_sequence), (id, 0, 3));
        assert_eq!(producer.last_timestamp, RECORD_TIME_MS);
        assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
        assert_eq!(describe(session, version, &topic.name, 1).active_producers, []);
        for (name, partition) in [(&*topic.name, 2), ("there-is-no-such-topic", 0)] {
            let found = describe(session, version, name, partition);
            expect(found.error_code, ErrorCode::UnknownTopicOrPartition);
            assert_eq!(found.active_producers, []);
        }
    });
}

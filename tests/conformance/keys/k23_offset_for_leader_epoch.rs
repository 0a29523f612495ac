//! `OffsetForLeaderEpoch`: where an epoch ends.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::session::{Session, every_version, expect};
use crate::topic::{Topic, batch};

fn ask(session: &mut Session, version: i16, topic: &str, asked: OffsetForLeaderPartition) -> EpochEndOffset {
    let topics = vec![OffsetForLeaderTopic { topic: topic.to_owned(), partitions: vec![asked] }];
    // -2 says that it is a consumer that asks.
    let request = OffsetForLeaderEpochRequest { replica_id: if version >= 3 { -2 } else { -1 }, topics };
    session.ask(version, &request).topics.remove(0).partitions.remove(0)
}

#[test]
fn every_version_knows_where_an_epoch_ends() {
    every_version(ApiKey::OffsetForLeaderEpoch, |session, version| {
        let topic = Topic::create(session, "epochs", 1);
        let asked = OffsetForLeaderPartition { partition: 0, current_leader_epoch: -1, leader_epoch: 0 };
        let empty = ask(session, version, &topic.name, asked.clone());
        assert_eq!(
            (empty.error_code, empty.leader_epoch, empty.end_offset),
            (0, 0, 0),
            "nothing was written in it yet"
        );
        topic.produce(session, 9, &[(0, &batch(&["a", "b"]))]);
        let found = ask(session, version, &topic.name, asked.clone());
        expect(found.error_code, ErrorCode::None);
        assert_eq!((found.leader_epoch, found.end_offset), (0, 2));
        let later =
            ask(session, version, &topic.name, OffsetForLeaderPartition { leader_epoch: 1000, ..asked.clone() });
        assert_eq!((later.leader_epoch, later.end_offset), (-1, -1), "an epoch that has not begun");
        let current = OffsetForLeaderPartition { current_leader_epoch: 1000, ..asked };
        expect(ask(session, version, &topic.name, current).error_code, ErrorCode::UnknownLeaderEpoch);
    });
}

#[test]
fn unknown_partitions_are_told() {
    every_version(ApiKey::OffsetForLeaderEpoch, |session, version| {
        let topic = Topic::create(session, "unknown", 1);
        for (name, partition) in [("nowhere", 0), (&*topic.name, 5)] {
            let asked = OffsetForLeaderPartition { partition, current_leader_epoch: -1, leader_epoch: 0 };
            expect(ask(session, version, name, asked).error_code, ErrorCode::UnknownTopicOrPartition);
        }
    });
}

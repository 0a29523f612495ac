//! `OffsetDelete`: offsets that no member reads on from are forgotten.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};

use crate::group::{JOIN, Member, commit, committed, fresh_group, protocol, subscription};
use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

fn ask(session: &mut Session, version: i16, group: &str, topics: &[(&str, &[i32])]) -> OffsetDeleteResponse {
    let topics = topics.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|index| OffsetDeleteRequestPartition { partition_index: *index });
        OffsetDeleteRequestTopic { name: (*name).to_owned(), partitions: partitions.collect() }
    });
    session.ask(version, &OffsetDeleteRequest { group_id: group.to_owned(), topics: topics.collect() })
}

/// The partitions' codes, in the order of names and partitions.
fn codes(response: &OffsetDeleteResponse) -> Vec<(String, i32, ErrorCode)> {
    expect(response.error_code, ErrorCode::None);
    let topics = response.topics.iter();
    let codes = topics.flat_map(|topic| {
        let name = topic.name.clone();
        let partitions = topic.partitions.iter();
        partitions.map(move |of| (name.clone(), of.partition_index, ErrorCode::from_wire(of.error_code)))
    });
    let mut codes: Vec<_> = codes.collect();
    codes.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    codes
}

#[test]
fn every_version_deletes_offsets() {
    every_version(ApiKey::OffsetDelete, |session, version| {
        let topic = Topic::create(session, "read", 3);
        let group = fresh_group(session, "forgets");
        for partition in [0, 1] {
            commit(session, &group, &topic, partition, 7);
        }
        let name = &*topic.name;
        let response = ask(session, version, &group, &[(name, &[0, 2])]);
        let none = |index| (name.to_owned(), index, ErrorCode::None);
        assert_eq!(codes(&response), [none(0), none(2)]);
        assert_eq!(committed(session, &group, &topic, 0).committed_offset, -1);
        assert_eq!(committed(session, &group, &topic, 1).committed_offset, 7);
    });
}

#[test]
fn what_is_not_there_is_told_of() {
    every_version(ApiKey::OffsetDelete, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "forgets");
        commit(session, &group, &topic, 0, 7);
        let name = &*topic.name;
        let response = ask(session, version, &group, &[(name, &[0, 1, -1]), ("zzz-none-such", &[0])]);
        let unknown = |name: &str, index| (name.to_owned(), index, ErrorCode::UnknownTopicOrPartition);
        let none = (name.to_owned(), 0, ErrorCode::None);
        assert_eq!(codes(&response), [unknown(name, -1), none, unknown(name, 1), unknown("zzz-none-such", 0)]);
        assert_eq!(committed(session, &group, &topic, 0).committed_offset, -1);
    });
}

#[test]
fn a_group_that_is_not_there_has_no_offsets() {
    every_version(ApiKey::OffsetDelete, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "none-such");
        let refused = |code: ErrorCode| OffsetDeleteResponse { error_code: code.code(), ..Default::default() };
        for topics in [&[(&*topic.name, &[0][..])][..], &[("none-such", &[0])], &[]] {
            assert_eq!(ask(session, version, &group, topics), refused(ErrorCode::GroupIdNotFound));
            assert_eq!(ask(session, version, "", topics), refused(ErrorCode::InvalidGroupId));
        }
    });
}

#[test]
fn what_members_have_subscribed_to_stays() {
    every_version(ApiKey::OffsetDelete, |session, version| {
        let (read, other) = (Topic::create(session, "read", 1), Topic::create(session, "unread", 1));
        let group = fresh_group(session, "forgets");
        for topic in [&read, &other] {
            commit(session, &group, topic, 0, 7);
        }
        let mut member = Member::new(session, &group);
        member.request.protocols = vec![protocol("range", &subscription(&[&read.name]))];
        member.join(JOIN);
        let topics: &[(&str, &[i32])] = &[(&read.name, &[0]), (&other.name, &[0])];
        let expected =
            [(read.name.clone(), 0, ErrorCode::GroupSubscribedToTopic), (other.name.clone(), 0, ErrorCode::None)];
        assert_eq!(codes(&ask(session, version, &group, topics)), expected);
        member.assign(&[]);
        assert_eq!(codes(&ask(session, version, &group, topics)), expected);
        assert_eq!(committed(session, &group, &read, 0).committed_offset, 7);
        assert_eq!(committed(session, &group, &other, 0).committed_offset, -1);
        member.leave();
        assert_eq!(codes(&ask(session, version, &group, &topics[..1])), [(read.name.clone(), 0, ErrorCode::None)]);
        assert_eq!(committed(session, &group, &read, 0).committed_offset, -1);
    });
}

#[test]
fn who_does_not_say_what_it_has_subscribed_to_keeps_everything() {
    every_version(ApiKey::OffsetDelete, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "forgets");
        let mut member = Member::new(session, &group);
        member.request.protocols = vec![protocol("range", b"?")];
        member.join(JOIN);
        let response = ask(session, version, &group, &[(&topic.name, &[0])]);
        assert_eq!(codes(&response), [(topic.name, 0, ErrorCode::GroupSubscribedToTopic)]);
    });
}

#[test]
fn the_offsets_of_members_that_are_no_consumers_stay() {
    every_version(ApiKey::OffsetDelete, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "forgets");
        let mut member = Member::new(session, &group);
        member.request.protocol_type = "connect".to_owned();
        member.join(JOIN);
        let expected = OffsetDeleteResponse { error_code: ErrorCode::NonEmptyGroup.code(), ..Default::default() };
        assert_eq!(ask(session, version, &group, &[(&topic.name, &[0])]), expected);
    });
}

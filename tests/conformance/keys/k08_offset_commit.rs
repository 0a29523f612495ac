//! `OffsetCommit`: where a group has read to.

use std::time::{Duration, Instant};

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::delete_groups::DeleteGroupsRequest;
use ringlog_net::messages::offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
use ringlog_storage::types::Uuid;

use crate::group::{JOIN, Member, await_state, commit_of, committed, describe, fresh_group, pair};
use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

/// The first version that has leader epochs.
const LEADER_EPOCHS: i16 = 6;
/// The first version that names instances.
const INSTANCES: i16 = 7;
/// The first version that is told that a group is not there.
const GROUP_ID_NOT_FOUND: i16 = 9;
/// The first version that names topics by their ids.
const TOPIC_IDS: i16 = 10;

/// The partitions' codes, in the order of partitions.
fn codes(response: &OffsetCommitResponse) -> Vec<(i32, ErrorCode)> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let mut codes: Vec<_> = partitions.map(|of| (of.partition_index, ErrorCode::from_wire(of.error_code))).collect();
    codes.sort_by_key(|(index, _)| *index);
    codes
}

/// The code of a commit of one partition.
#[track_caller]
fn expect_code(session: &mut Session, version: i16, request: &OffsetCommitRequest, expected: ErrorCode) {
    assert_eq!(codes(&session.ask(version, request)), [(0, expected)], "{request:?}");
}

/// A commit in nobody's name.
fn request(group: &str, topic: &Topic, version: i16, partition: i32, offset: i64) -> OffsetCommitRequest {
    let topics = vec![commit_of(topic, version, partition, offset)];
    OffsetCommitRequest { group_id: group.to_owned(), topics, ..Default::default() }
}

/// A commit in a member's name.
fn request_of(member: &Member, topic: &Topic, version: i16, offset: i64) -> OffsetCommitRequest {
    let mut request = member.commit_request(vec![commit_of(topic, version, 0, offset)]);
    if version < INSTANCES {
        request.group_instance_id = None;
    }
    request
}

#[test]
fn every_version_commits_for_a_group_without_members() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 2);
        let group = fresh_group(session, "commits");
        let mut request = request(&group, &topic, version, 1, 7);
        request.topics[0].partitions[0].committed_metadata = Some("words".to_owned());
        if version >= LEADER_EPOCHS {
            request.topics[0].partitions[0].committed_leader_epoch = 3;
        }
        let response = session.ask(version, &request);
        assert_eq!(codes(&response), [(1, ErrorCode::None)]);
        let (name, id) = if version >= TOPIC_IDS { ("", topic.id) } else { (&*topic.name, Uuid::default()) };
        assert_eq!((&*response.topics[0].name, response.topics[0].topic_id), (name, id));
        let found = committed(session, &group, &topic, 1);
        assert_eq!((found.committed_offset, found.metadata.as_deref()), (7, Some("words")));
        assert_eq!(found.committed_leader_epoch, if version >= LEADER_EPOCHS { 3 } else { -1 });
        assert_eq!(committed(session, &group, &topic, 0).committed_offset, -1);
        assert_eq!(describe(session, 5, &group).group_state, "Empty");
        // The last one counts, and need not be the largest.
        request.topics[0].partitions[0].committed_offset = 5;
        request.topics[0].partitions[0].committed_metadata = None;
        assert_eq!(codes(&session.ask(version, &request)), [(1, ErrorCode::None)]);
        let found = committed(session, &group, &topic, 1);
        assert_eq!((found.committed_offset, found.metadata.as_deref()), (5, Some("")));
    });
}

#[test]
fn every_version_commits_for_a_member() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let member = Member::alone(session, "commits");
        expect_code(session, version, &request_of(&member, &topic, version, 7), ErrorCode::None);
        assert_eq!(committed(session, &member.group(), &topic, 0).committed_offset, 7);
    });
}

#[test]
fn who_is_no_member_cannot_commit_for_a_group_that_has_some() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let mut member = Member::alone(session, "commits");
        let good = request_of(&member, &topic, version, 7);
        let changed = |generation, id: &str| OffsetCommitRequest {
            generation_id_or_member_epoch: generation,
            member_id: id.to_owned(),
            ..good.clone()
        };
        for (changed, expected) in [
            (changed(-1, ""), ErrorCode::UnknownMemberId),
            (changed(1, ""), ErrorCode::UnknownMemberId),
            (changed(-1, "nobody"), ErrorCode::UnknownMemberId),
            (changed(1, "nobody"), ErrorCode::UnknownMemberId),
            (changed(-1, member.id()), ErrorCode::IllegalGeneration),
            (changed(0, member.id()), ErrorCode::IllegalGeneration),
            (changed(2, member.id()), ErrorCode::IllegalGeneration),
        ] {
            expect_code(session, version, &changed, expected);
        }
        assert_eq!(committed(session, &member.group(), &topic, 0).committed_offset, -1);
        member.leave();
        expect_code(session, version, &good, ErrorCode::UnknownMemberId);
        expect_code(session, version, &changed(-1, "anybody"), ErrorCode::None);
    });
}

#[test]
fn a_group_that_is_not_there_has_no_generations() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "commits");
        let mut request = request(&group, &topic, version, 0, 7);
        request.generation_id_or_member_epoch = 1;
        request.member_id = "nobody".to_owned();
        let expected =
            if version >= GROUP_ID_NOT_FOUND { ErrorCode::GroupIdNotFound } else { ErrorCode::IllegalGeneration };
        expect_code(session, version, &request, expected);
        expect(describe(session, 6, &group).error_code, ErrorCode::GroupIdNotFound);
        // Somebody who assigns by itself may have a member id.
        request.generation_id_or_member_epoch = -1;
        expect_code(session, version, &request, ErrorCode::None);
    });
}

#[test]
fn the_group_without_a_name_commits() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 1);
        crate::group::await_coordinator(session, "");
        expect_code(session, version, &request("", &topic, version, 0, 7), ErrorCode::None);
        assert_eq!(committed(session, "", &topic, 0).committed_offset, 7);
        assert_eq!(describe(session, 6, "").group_state, "Empty");
        let groups_names = vec![String::new()];
        let deleted = session.ask(2, &DeleteGroupsRequest { groups_names });
        expect(deleted.results[0].error_code, ErrorCode::None);
        assert_eq!(committed(session, "", &topic, 0).committed_offset, -1);
    });
}

#[test]
fn what_is_not_there_is_told_of_and_the_rest_is_committed() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 2);
        let nothing = Topic { name: "none-such".to_owned(), id: Uuid::from_u128(7) };
        let group = fresh_group(session, "commits");
        let mut request = request(&group, &topic, version, 0, 7);
        for (of, partition) in [(&topic, 2), (&topic, -1), (&nothing, 9)] {
            request.topics.push(commit_of(of, version, partition, 7));
        }
        let unknown = if version >= TOPIC_IDS { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        let expected = [
            (-1, ErrorCode::UnknownTopicOrPartition),
            (0, ErrorCode::None),
            (2, ErrorCode::UnknownTopicOrPartition),
            (9, unknown),
        ];
        assert_eq!(codes(&session.ask(version, &request)), expected);
        assert_eq!(committed(session, &group, &topic, 0).committed_offset, 7);
        // Nothing that is there: the group is not made.
        let group = fresh_group(session, "commits");
        expect(
            session.ask(version, &self::request(&group, &nothing, version, 9, 7)).topics[0].partitions[0].error_code,
            unknown,
        );
        expect(describe(session, 6, &group).error_code, ErrorCode::GroupIdNotFound);
    });
}

#[test]
fn nothing_can_be_committed() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let group = fresh_group(session, "commits");
        let request = OffsetCommitRequest { group_id: group.clone(), ..Default::default() };
        assert_eq!(session.ask(version, &request), OffsetCommitResponse::default());
        // A topic without partitions is passed over, if it is there.
        let topic = Topic::create(session, "read", 1);
        let nothing = Topic { name: "none-such".to_owned(), id: Uuid::from_u128(7) };
        let mut request = self::request(&group, &topic, version, 0, 7);
        request.topics.push(commit_of(&nothing, version, 0, 7));
        request.topics.iter_mut().for_each(|topic| topic.partitions.clear());
        let answered = session.ask(version, &request).topics;
        let ids: Vec<_> = answered.iter().map(|topic| (&*topic.name, topic.topic_id)).collect();
        assert_eq!(ids, [if version >= TOPIC_IDS { ("", nothing.id) } else { (&*nothing.name, Uuid::default()) }]);
        expect(describe(session, 6, &group).error_code, ErrorCode::GroupIdNotFound);
    });
}

#[test]
fn metadata_has_an_end() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 2);
        let group = fresh_group(session, "commits");
        let mut request = request(&group, &topic, version, 0, 7);
        request.topics.push(commit_of(&topic, version, 1, 8));
        request.topics[0].partitions[0].committed_metadata = Some("é".repeat(4096));
        request.topics[1].partitions[0].committed_metadata = Some("m".repeat(4097));
        let expected = [(0, ErrorCode::None), (1, ErrorCode::OffsetMetadataTooLarge)];
        assert_eq!(codes(&session.ask(version, &request)), expected);
        assert_eq!(committed(session, &group, &topic, 0).committed_offset, 7);
        assert_eq!(committed(session, &group, &topic, 1).committed_offset, -1);
    });
}

#[test]
fn a_fenced_instance_cannot_commit() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "commits");
        let mut member = Member::fixed(session, &group, "fixed");
        member.join(JOIN);
        member.assign(&[]);
        expect_code(session, version, &request_of(&member, &topic, version, 7), ErrorCode::None);
        let mut twin = Member::fixed(session, &group, "fixed");
        twin.join(JOIN);
        let fenced = if version >= INSTANCES { ErrorCode::FencedInstanceId } else { ErrorCode::UnknownMemberId };
        expect_code(session, version, &request_of(&member, &topic, version, 8), fenced);
        expect_code(session, version, &request_of(&twin, &topic, version, 9), ErrorCode::None);
        if version >= INSTANCES {
            let unknown = OffsetCommitRequest {
                group_instance_id: Some("other".to_owned()),
                ..request_of(&twin, &topic, version, 9)
            };
            expect_code(session, version, &unknown, ErrorCode::UnknownMemberId);
        }
    });
}

#[test]
fn members_commit_before_they_join_again_and_after_they_are_assigned() {
    every_version(ApiKey::OffsetCommit, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let (mut leader, mut follower) = pair(session, "commits");
        leader.begin_join(JOIN);
        await_state(session, &leader.group(), "PreparingRebalance");
        // What it has read before it gives its partitions back.
        let before = request_of(&follower, &topic, version, 7);
        expect_code(session, version, &before, ErrorCode::None);
        follower.join(JOIN);
        leader.end_join(JOIN);
        expect_code(session, version, &before, ErrorCode::IllegalGeneration);
        let waiting = request_of(&follower, &topic, version, 8);
        expect_code(session, version, &waiting, ErrorCode::RebalanceInProgress);
        leader.assign(&[]);
        expect_code(session, version, &waiting, ErrorCode::None);
        assert_eq!(committed(session, &leader.group(), &topic, 0).committed_offset, 8);
    });
}

#[test]
fn a_commit_shows_that_its_member_lives() {
    const SESSION: Duration = Duration::from_secs(1);
    let mut session = Session::open();
    let topic = Topic::create(&mut session, "read", 1);
    let group = fresh_group(&mut session, "commits");
    let mut member = Member::new(&session, &group);
    member.request.session_timeout_ms = 1000;
    member.join(JOIN);
    member.assign(&[]);
    let joined = Instant::now();
    while joined.elapsed() < SESSION * 3 / 2 {
        expect_code(&mut session, 9, &request_of(&member, &topic, 9, 7), ErrorCode::None);
    }
}

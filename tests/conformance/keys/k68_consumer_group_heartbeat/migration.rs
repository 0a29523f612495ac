//! Groups that change their protocol while they have members (`group.consumer.migration.policy`, by default in both
//! directions).

use ringlog_cluster::group::embedded;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use ringlog_net::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

use super::{Consumer, LEAVE, SETTLE_MAX, join, settle};
use crate::group::{JOIN, Member, SYNC, assignment, await_state, fresh_group, protocol, subscription};
use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

/// A consumer of the classic protocol that reads a topic.
fn reader(session: &Session, group: &str, topic: &Topic) -> Member {
    let mut member = Member::new(session, group);
    member.request.protocols = vec![protocol("range", &subscription(&[&topic.name]))];
    member
}

/// A member asks for its assignment, and reads it.
fn assigned(member: &mut Member) -> Vec<i32> {
    let synced = member.sync(SYNC, &[]);
    expect(synced.error_code, ErrorCode::None);
    assert_eq!(synced.assignment[..2], [0, 0], "the version of its subscription");
    let assignment = embedded::assignment(&synced.assignment).expect("it can be read");
    assignment.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}

/// A classic member joins a consumer group until it has so many partitions: it gives up all that it has each time.
fn share(session: &mut Session, version: i16, member: &mut Member, consumer: &mut Consumer, wanted: usize) -> Vec<i32> {
    let begun = std::time::Instant::now();
    loop {
        member.join(JOIN);
        let partitions = assigned(member);
        consumer.beat(session, version);
        if partitions.len() == wanted {
            return partitions;
        }
        assert!(begun.elapsed() < SETTLE_MAX, "the partitions do not come");
    }
}

fn types(session: &mut Session, group: &str) -> Vec<i8> {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
    let mut described = session.ask(1, &request).groups.remove(0);
    expect(described.error_code, ErrorCode::None);
    described.members.sort_by_key(|member| member.member_type);
    described.members.iter().map(|member| member.member_type).collect()
}

#[test]
fn a_classic_group_takes_a_consumer_in_and_is_a_classic_one_again_when_it_leaves() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "upgraded", 4), fresh_group(session, "upgraded"));
        let mut old = reader(session, &group, &topic);
        old.join(JOIN);
        let id = old.id().to_owned();
        old.assign(&[(&id, &assignment(&topic.name, &[0, 1, 2, 3]))]);
        let generation = old.joined.generation_id;
        let mut new = Consumer::join(session, version, &group, "new", &topic);
        assert_eq!((new.epoch, new.partitions()), (generation + 1, 0), "the classic member has everything");
        assert_eq!(types(session, &group), [0, 1]);
        old.await_rebalance();
        let partitions = share(session, version, &mut old, &mut new, 2);
        assert!(old.joined.generation_id > generation && !old.is_leader());
        assert_eq!(old.joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(old.joined.protocol_type.as_deref(), Some("consumer"));
        settle(session, version, &mut [(&mut new, 2)]);
        let owned = &new.owned[0].partitions;
        assert!(partitions.iter().all(|partition| !owned.contains(partition)));

        new.leave(session, version, LEAVE);
        await_state(session, &group, "PreparingRebalance");
        old.await_rebalance();
        old.join(JOIN);
        assert!(old.is_leader());
        old.assign(&[(&id, &assignment(&topic.name, &[0, 1, 2, 3]))]);
        await_state(session, &group, "Stable");
        let gone = session.ask(version, &super::beat(&group, "new", new.epoch, None));
        expect(gone.error_code, ErrorCode::GroupIdNotFound);
        old.leave();
    });
}

#[test]
fn a_classic_member_joins_a_consumer_group() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "mixed", 2), fresh_group(session, "mixed"));
        let mut new = Consumer::join(session, version, &group, "new", &topic);
        settle(session, version, &mut [(&mut new, 2)]);
        let mut stranger = reader(session, &group, &topic);
        stranger.request.protocol_type = "connect".to_owned();
        let refused = session.ask(JOIN, &stranger.request);
        expect(refused.error_code, ErrorCode::InconsistentGroupProtocol);
        let mut old = reader(session, &group, &topic);
        share(session, version, &mut old, &mut new, 1);
        let mut other = reader(session, &group, &topic);
        other.request.protocols[0].name = "roundrobin".to_owned();
        let refused = session.ask(JOIN, &other.request);
        expect(refused.error_code, ErrorCode::InconsistentGroupProtocol);
        settle(session, version, &mut [(&mut new, 1)]);
        expect(old.heartbeat(4), ErrorCode::None);
        old.joined.generation_id += 1;
        expect(old.heartbeat(4), ErrorCode::IllegalGeneration);
        expect(old.sync(SYNC, &[]).error_code, ErrorCode::IllegalGeneration);
        let mut commit = old.commit_request(vec![crate::group::commit_of(&topic, 9, 0, 5)]);
        let committed = session.ask(9, &commit);
        expect(committed.topics[0].partitions[0].error_code, ErrorCode::IllegalGeneration);
        old.joined.generation_id -= 1;
        commit.generation_id_or_member_epoch -= 1;
        let committed = session.ask(9, &commit);
        expect(committed.topics[0].partitions[0].error_code, ErrorCode::None);
        old.leave();
        settle(session, version, &mut [(&mut new, 2)]);
        expect(old.heartbeat(4), ErrorCode::UnknownMemberId);
        new.leave(session, version, LEAVE);
    });
}

#[test]
fn a_static_member_takes_its_place_with_the_other_protocol() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "swapped", 2), fresh_group(session, "swapped"));
        let mut old = reader(session, &group, &topic);
        old.request.group_instance_id = Some("i1".to_owned());
        old.join(JOIN);
        let id = old.id().to_owned();
        old.assign(&[(&id, &assignment(&topic.name, &[0, 1]))]);
        let mut new = Consumer::join_as(session, version, &group, "new", Some("i1"), &topic);
        settle(session, version, &mut [(&mut new, 2)]);
        expect(old.heartbeat(4), ErrorCode::FencedInstanceId);
        let twin =
            ConsumerGroupHeartbeatRequest { instance_id: Some("i1".to_owned()), ..join(&group, "twin", &[&topic]) };
        expect(session.ask(version, &twin).error_code, ErrorCode::UnreleasedInstanceId);
        new.leave(session, version, LEAVE);
    });
}

#[test]
fn a_classic_group_whose_members_cannot_be_understood_takes_no_consumer_in() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "opaque", 2), fresh_group(session, "opaque"));
        let mut old = Member::new(session, &group);
        old.request.protocol_type = "connect".to_owned();
        old.join(JOIN);
        old.assign(&[]);
        let refused = session.ask(version, &join(&group, "new", &[&topic]));
        expect(refused.error_code, ErrorCode::GroupIdNotFound);
        expect(old.heartbeat(4), ErrorCode::None);
        old.leave();
    });
}

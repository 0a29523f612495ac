//! `Heartbeat`: a member lives, and learns that its group rebalances.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::heartbeat::HeartbeatRequest;

use crate::group::{
    HEARTBEAT, JOIN, LONG_MS, Member, NONE_SUCH, SHORT_MS, await_group, await_state, fresh_group, pair,
};
use crate::session::{every_version, expect};

/// The first version that names instances.
const INSTANCES: i16 = 3;

#[test]
fn every_version_keeps_a_member_alive() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let mut member = Member::alone(session, "beats");
        expect(member.heartbeat(version), ErrorCode::None);
    });
}

#[test]
fn who_is_no_member_is_told_so() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let mut member = Member::alone(session, "beats");
        let request = member.heartbeat_request(version);
        for (changed, expected) in [
            (HeartbeatRequest { group_id: String::new(), ..request.clone() }, ErrorCode::InvalidGroupId),
            (HeartbeatRequest { group_id: NONE_SUCH.to_owned(), ..request.clone() }, ErrorCode::UnknownMemberId),
            (HeartbeatRequest { member_id: "nobody".to_owned(), ..request.clone() }, ErrorCode::UnknownMemberId),
            (HeartbeatRequest { member_id: String::new(), ..request.clone() }, ErrorCode::UnknownMemberId),
            (HeartbeatRequest { generation_id: 0, ..request.clone() }, ErrorCode::IllegalGeneration),
            (HeartbeatRequest { generation_id: 2, ..request.clone() }, ErrorCode::IllegalGeneration),
            (HeartbeatRequest { generation_id: -1, ..request.clone() }, ErrorCode::IllegalGeneration),
        ] {
            expect(session.ask(version, &changed).error_code, expected);
        }
        expect(member.heartbeat(version), ErrorCode::None);
        member.leave();
        expect(member.heartbeat(version), ErrorCode::UnknownMemberId);
    });
}

#[test]
fn a_fenced_instance_is_told_so() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let group = fresh_group(session, "beats");
        let mut member = Member::fixed(session, &group, "fixed");
        member.join(JOIN);
        member.assign(&[]);
        expect(member.heartbeat(version), ErrorCode::None);
        // Its id alone is good enough.
        let request = HeartbeatRequest { group_instance_id: None, ..member.heartbeat_request(version) };
        expect(session.ask(version, &request).error_code, ErrorCode::None);
        let mut twin = Member::fixed(session, &group, "fixed");
        twin.join(JOIN);
        expect(twin.heartbeat(version), ErrorCode::None);
        let fenced = if version >= INSTANCES { ErrorCode::FencedInstanceId } else { ErrorCode::UnknownMemberId };
        expect(member.heartbeat(version), fenced);
        if version >= INSTANCES {
            let request =
                HeartbeatRequest { group_instance_id: Some("other".to_owned()), ..twin.heartbeat_request(version) };
            expect(session.ask(version, &request).error_code, ErrorCode::UnknownMemberId);
        }
    });
}

#[test]
fn a_rebalance_is_told_of_until_it_is_over() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let mut member = Member::alone(session, "beats");
        let mut newcomer = Member::new(session, &member.group());
        newcomer.begin_join(JOIN);
        await_state(session, &member.group(), "PreparingRebalance");
        expect(member.heartbeat(version), ErrorCode::RebalanceInProgress);
        expect(member.heartbeat(version), ErrorCode::RebalanceInProgress);
        let before = member.heartbeat_request(version);
        member.join(JOIN);
        newcomer.end_join(JOIN);
        // Members wait for their assignments.
        expect(member.heartbeat(version), ErrorCode::None);
        expect(newcomer.heartbeat(version), ErrorCode::None);
        expect(session.ask(version, &before).error_code, ErrorCode::IllegalGeneration);
        member.assign(&[]);
        expect(newcomer.heartbeat(version), ErrorCode::None);
    });
}

#[test]
fn an_id_that_nobody_has_joined_with_is_no_members() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let group = fresh_group(session, "beats");
        let mut member = Member::new(session, &group);
        member.introduce(JOIN);
        expect(member.heartbeat(version), ErrorCode::UnknownMemberId);
    });
}

#[test]
fn who_is_silent_for_long_is_a_member_no_more() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let group = fresh_group(session, "silent");
        let mut member = Member::new(session, &group);
        member.request.session_timeout_ms = SHORT_MS;
        member.join(JOIN);
        member.assign(&[]);
        await_state(session, &group, "Empty");
        expect(member.heartbeat(version), ErrorCode::UnknownMemberId);
    });
}

#[test]
fn the_others_learn_that_one_is_silent() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let (mut leader, mut follower) = pair(session, "silent");
        // A leader that joins again brings a rebalance, and the follower gives itself a short session.
        follower.request.session_timeout_ms = SHORT_MS;
        leader.begin_join(JOIN);
        follower.await_rebalance();
        follower.join(JOIN);
        leader.end_join(JOIN);
        leader.assign(&[]);
        while ErrorCode::from_wire(leader.heartbeat(version)) == ErrorCode::None {}
        expect(leader.heartbeat(version), ErrorCode::RebalanceInProgress);
        leader.join(JOIN);
        assert_eq!(leader.joined.members.len(), 1);
        expect(follower.heartbeat(version), ErrorCode::UnknownMemberId);
    });
}

#[test]
fn who_does_not_join_in_time_is_a_member_no_more() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let group = fresh_group(session, "late");
        let mut member = Member::new(session, &group);
        (member.request.rebalance_timeout_ms, member.request.session_timeout_ms) = (SHORT_MS, LONG_MS);
        member.join(JOIN);
        member.assign(&[]);
        let mut newcomer = Member::new(session, &group);
        newcomer.request.rebalance_timeout_ms = SHORT_MS;
        newcomer.join(JOIN);
        assert_eq!((newcomer.joined.generation_id, newcomer.joined.members.len()), (2, 1));
        expect(member.heartbeat(version), ErrorCode::UnknownMemberId);
    });
}

#[test]
fn who_does_not_ask_for_its_assignment_in_time_is_a_member_no_more() {
    every_version(ApiKey::Heartbeat, |session, version| {
        let group = fresh_group(session, "late");
        let mut member = Member::new(session, &group);
        member.request.rebalance_timeout_ms = SHORT_MS;
        member.join(JOIN);
        expect(member.heartbeat(HEARTBEAT), ErrorCode::None);
        await_group(session, &group, |described| described.members.is_empty());
        expect(member.heartbeat(version), ErrorCode::UnknownMemberId);
    });
}

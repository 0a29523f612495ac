//! `LeaveGroup`: members go, by themselves or because an administrator sends them away.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ringlog_net::messages::join_group::JoinGroupRequest;
use ringlog_net::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};

use crate::group::{JOIN, Member, NONE_SUCH, await_state, bring_together, describe, fresh_group, pair};
use crate::k68_consumer_group_heartbeat::{LEAVE_STATIC, join};
use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

/// The first version in which several leave at once.
const SEVERAL: i16 = 3;

/// Who leaves: its id, and its instance.
type Leaving<'a> = (&'a str, Option<&'a str>);

fn ask(session: &mut Session, version: i16, group: &str, leaving: &[Leaving<'_>]) -> LeaveGroupResponse {
    let members = leaving.iter().map(|(id, instance)| MemberIdentity {
        member_id: (*id).to_owned(),
        group_instance_id: instance.map(str::to_owned),
        ..Default::default()
    });
    let mut request =
        LeaveGroupRequest { group_id: group.to_owned(), members: members.collect(), ..Default::default() };
    if version < SEVERAL {
        request.member_id = request.members.remove(0).member_id;
    }
    session.ask(version, &request)
}

/// The error that one who leaves is told.
fn leave_one(session: &mut Session, version: i16, group: &str, leaving: Leaving<'_>) -> i16 {
    let response = ask(session, version, group, &[leaving]);
    if version < SEVERAL {
        assert_eq!(response.members, []);
        return response.error_code;
    }
    expect(response.error_code, ErrorCode::None);
    let [member] = &response.members[..] else { panic!("one has left: {response:?}") };
    assert_eq!((&*member.member_id, member.group_instance_id.as_deref()), leaving);
    member.error_code
}

#[test]
fn every_version_lets_a_member_go() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        let member = Member::alone(session, "leaves");
        expect(leave_one(session, version, &member.group(), (member.id(), None)), ErrorCode::None);
        assert_eq!(describe(session, 5, &member.group()).group_state, "Empty");
        expect(leave_one(session, version, &member.group(), (member.id(), None)), ErrorCode::UnknownMemberId);
    });
}

#[test]
fn who_is_no_member_cannot_leave() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        let member = Member::alone(session, "leaves");
        for id in ["nobody", ""] {
            expect(leave_one(session, version, &member.group(), (id, None)), ErrorCode::UnknownMemberId);
            expect(leave_one(session, version, NONE_SUCH, (id, None)), ErrorCode::UnknownMemberId);
        }
        let response = ask(session, version, "", &[(member.id(), None)]);
        let expected = LeaveGroupResponse { error_code: ErrorCode::InvalidGroupId.code(), ..Default::default() };
        assert_eq!(response, expected);
        assert_eq!(describe(session, 5, &member.group()).group_state, "Stable");
    });
}

#[test]
fn nobody_can_leave() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        if version >= SEVERAL {
            let member = Member::alone(session, "leaves");
            assert_eq!(ask(session, version, &member.group(), &[]), LeaveGroupResponse::default());
            assert_eq!(ask(session, version, NONE_SUCH, &[]), LeaveGroupResponse::default());
        }
    });
}

#[test]
fn the_others_rebalance() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        let (mut leader, follower) = pair(session, "leaves");
        expect(leave_one(session, version, &leader.group(), (follower.id(), None)), ErrorCode::None);
        expect(leader.heartbeat(4), ErrorCode::RebalanceInProgress);
        leader.join(JOIN);
        assert_eq!((leader.joined.generation_id, leader.joined.members.len()), (3, 1));
    });
}

#[test]
fn who_waits_is_told_that_it_is_no_member_any_more() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        let (mut leader, mut follower) = pair(session, "leaves");
        follower.request.protocols[0].metadata.clear();
        follower.begin_join(JOIN);
        leader.await_rebalance();
        expect(leave_one(session, version, &leader.group(), (follower.id(), None)), ErrorCode::None);
        let response = follower.session.hear::<JoinGroupRequest>(JOIN);
        expect(response.error_code, ErrorCode::UnknownMemberId);
        leader.join(JOIN);
        assert_eq!(leader.joined.members.len(), 1);
    });
}

#[test]
fn the_last_that_a_rebalance_waits_for_ends_it_by_leaving() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        let (mut leader, follower) = pair(session, "leaves");
        leader.begin_join(JOIN);
        await_state(session, &leader.group(), "PreparingRebalance");
        expect(leave_one(session, version, &leader.group(), (follower.id(), None)), ErrorCode::None);
        leader.end_join(JOIN);
        assert_eq!((leader.joined.generation_id, leader.joined.members.len()), (3, 1));
    });
}

#[test]
fn an_id_that_nobody_has_joined_with_can_be_given_back() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        let mut member = Member::alone(session, "leaves");
        let mut newcomer = Member::new(session, &member.group());
        newcomer.introduce(JOIN);
        member.begin_join(JOIN);
        await_state(session, &member.group(), "PreparingRebalance");
        expect(leave_one(session, version, &member.group(), (newcomer.id(), None)), ErrorCode::None);
        member.end_join(JOIN);
        expect(leave_one(session, version, &member.group(), (newcomer.id(), None)), ErrorCode::UnknownMemberId);
        let response = newcomer.session.ask(JOIN, &newcomer.request);
        expect(response.error_code, ErrorCode::UnknownMemberId);
    });
}

#[test]
fn static_members_leave_by_their_instances() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        if version < SEVERAL {
            return;
        }
        let group = fresh_group(session, "leaves");
        let mut leader = Member::fixed(session, &group, "leader");
        let mut follower = Member::fixed(session, &group, "follower");
        bring_together(&mut leader, &mut follower);
        let wrong = [
            ("nobody", Some("leader")),
            (follower.id(), Some("leader")),
            (leader.id(), Some("none")),
            ("", Some("none")),
            ("", None),
        ];
        let response = ask(session, version, &group, &wrong);
        let codes = [
            ErrorCode::FencedInstanceId,
            ErrorCode::FencedInstanceId,
            ErrorCode::UnknownMemberId,
            ErrorCode::UnknownMemberId,
            ErrorCode::UnknownMemberId,
        ];
        let expected = wrong.iter().zip(codes).map(|((id, instance), code)| MemberResponse {
            member_id: (*id).to_owned(),
            group_instance_id: instance.map(str::to_owned),
            error_code: code.code(),
        });
        assert_eq!(response.members, expected.collect::<Vec<_>>());
        expect(response.error_code, ErrorCode::None);
        expect(leader.heartbeat(4), ErrorCode::None);
        expect(leave_one(session, version, &group, ("", Some("follower"))), ErrorCode::None);
        expect(leader.heartbeat(4), ErrorCode::RebalanceInProgress);
        leader.join(JOIN);
        expect(leave_one(session, version, &group, (leader.id(), Some("leader"))), ErrorCode::None);
        assert_eq!(describe(session, 5, &group).group_state, "Empty");
    });
}

#[test]
fn several_leave_at_once() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        if version < SEVERAL {
            return;
        }
        let (leader, follower) = pair(session, "leaves");
        let leaving = [(leader.id(), None), ("nobody", None), (follower.id(), None), (leader.id(), None)];
        let response = ask(session, version, &leader.group(), &leaving);
        let codes: Vec<_> = response.members.iter().map(|of| ErrorCode::from_wire(of.error_code)).collect();
        let expected = [ErrorCode::None, ErrorCode::UnknownMemberId, ErrorCode::None, ErrorCode::UnknownMemberId];
        assert_eq!(codes, expected);
        assert_eq!(describe(session, 5, &leader.group()).group_state, "Empty");
    });
}

#[test]
fn members_of_the_consumer_protocol_are_sent_away_too() {
    every_version(ApiKey::LeaveGroup, |session, version| {
        if version < SEVERAL {
            return;
        }
        let (group, topic) = (fresh_group(session, "leaves"), Topic::create(session, "leaves", 1));
        for (leaving, is_away) in [
            (("", Some("instance")), false),
            (("", Some("instance")), true),
            (("member", Some("instance")), false),
            (("member", None), false),
        ] {
            let instance_id = Some("instance".to_owned());
            let request = ConsumerGroupHeartbeatRequest { instance_id, ..join(&group, "member", &[&topic]) };
            expect(session.ask(1, &request).error_code, ErrorCode::None);
            if is_away {
                let away = ConsumerGroupHeartbeatRequest { member_epoch: LEAVE_STATIC, ..request };
                expect(session.ask(1, &away).error_code, ErrorCode::None);
            }
            let other = leave_one(session, version, &group, ("other", Some("instance")));
            expect(other, ErrorCode::FencedInstanceId);
            expect(leave_one(session, version, &group, leaving), ErrorCode::None);
            expect(leave_one(session, version, &group, leaving), ErrorCode::UnknownMemberId);
        }
    });
}

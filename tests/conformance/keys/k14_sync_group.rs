//! `SyncGroup`: the leader brings the assignments, and every member gets its own.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::group::{HEARTBEAT, JOIN, LONG_MS, Member, NONE_SUCH, SHORT_MS, await_state, fresh_group, pair};
use crate::session::{every_version, expect};

/// The first version that names instances.
const INSTANCES: i16 = 3;
/// The first version that says and hears what protocol the generation has.
const PROTOCOLS: i16 = 5;

fn refused(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: code.code(), ..Default::default() }
}

/// What a member of the protocol `range` is answered.
fn assigned(version: i16, assignment: &[u8]) -> SyncGroupResponse {
    let named = |name: &str| Some(name.to_owned()).filter(|_| version >= PROTOCOLS);
    SyncGroupResponse {
        protocol_type: named("consumer"),
        protocol_name: named("range"),
        assignment: assignment.to_vec(),
        ..Default::default()
    }
}

#[test]
fn every_version_hands_assignments_out() {
    every_version(ApiKey::SyncGroup, |session, version| {
        let (mut leader, mut follower) = pair(session, "syncs");
        leader.begin_join(JOIN);
        follower.await_rebalance();
        follower.join(JOIN);
        leader.end_join(JOIN);
        // The follower waits for the leader.
        let request = follower.sync_request(version, &[]);
        follower.session.tell(version, &request);
        let id = leader.id().to_owned();
        let given: &[(&str, &[u8])] = &[(&id, b"much"), (follower.id(), b"little"), ("nobody", b"?")];
        assert_eq!(leader.sync(version, given), assigned(version, b"much"));
        assert_eq!(follower.session.hear::<SyncGroupRequest>(version), assigned(version, b"little"));
        // Once they are there, they can be asked for again, and are not changed any more.
        assert_eq!(follower.sync(version, &[]), assigned(version, b"little"));
        let ignored: &[(&str, &[u8])] = &[(&id, b"everything")];
        assert_eq!(leader.sync(version, ignored), assigned(version, b"much"));
    });
}

#[test]
fn who_is_left_out_has_an_empty_assignment() {
    every_version(ApiKey::SyncGroup, |session, version| {
        let group = fresh_group(session, "syncs");
        let mut member = Member::new(session, &group);
        member.join(JOIN);
        assert_eq!(member.sync(version, &[]), assigned(version, b""));
    });
}

#[test]
fn who_is_no_member_is_told_so() {
    every_version(ApiKey::SyncGroup, |session, version| {
        let group = fresh_group(session, "syncs");
        let mut member = Member::new(session, &group);
        member.introduce(JOIN);
        // An id alone makes no member.
        assert_eq!(member.sync(version, &[]), refused(ErrorCode::UnknownMemberId));
        member.join(JOIN);
        let request = member.sync_request(version, &[]);
        for (changed, expected) in [
            (SyncGroupRequest { group_id: String::new(), ..request.clone() }, ErrorCode::InvalidGroupId),
            (SyncGroupRequest { group_id: NONE_SUCH.to_owned(), ..request.clone() }, ErrorCode::UnknownMemberId),
            (SyncGroupRequest { member_id: "nobody".to_owned(), ..request.clone() }, ErrorCode::UnknownMemberId),
            (SyncGroupRequest { generation_id: 0, ..request.clone() }, ErrorCode::IllegalGeneration),
            (SyncGroupRequest { generation_id: 2, ..request.clone() }, ErrorCode::IllegalGeneration),
        ] {
            assert_eq!(session.ask(version, &changed), refused(expected));
        }
        if version >= PROTOCOLS {
            for (protocol_type, protocol_name) in [
                (Some("connect"), Some("range")),
                (Some("consumer"), Some("sticky")),
                (None, Some("range")),
                (Some("consumer"), None),
            ] {
                let changed = SyncGroupRequest {
                    protocol_type: protocol_type.map(str::to_owned),
                    protocol_name: protocol_name.map(str::to_owned),
                    ..request.clone()
                };
                assert_eq!(session.ask(version, &changed), refused(ErrorCode::InconsistentGroupProtocol));
            }
        }
        assert_eq!(member.sync(version, &[]), assigned(version, b""));
        member.leave();
        assert_eq!(member.sync(version, &[]), refused(ErrorCode::UnknownMemberId));
    });
}

#[test]
fn a_fenced_instance_is_told_so() {
    every_version(ApiKey::SyncGroup, |session, version| {
        let group = fresh_group(session, "syncs");
        let mut member = Member::fixed(session, &group, "fixed");
        member.join(JOIN);
        let id = member.id().to_owned();
        member.assign(&[(&id, b"mine")]);
        let mut twin = Member::fixed(session, &group, "fixed");
        twin.join(JOIN);
        // It goes on where the other was.
        assert_eq!(twin.sync(version, &[]), assigned(version, b"mine"));
        let fenced = if version >= INSTANCES { ErrorCode::FencedInstanceId } else { ErrorCode::UnknownMemberId };
        assert_eq!(member.sync(version, &[]), refused(fenced));
    });
}

#[test]
fn a_rebalance_ends_the_wait() {
    every_version(ApiKey::SyncGroup, |session, version| {
        let (mut leader, mut follower) = pair(session, "syncs");
        leader.begin_join(JOIN);
        follower.await_rebalance();
        follower.join(JOIN);
        leader.end_join(JOIN);
        let request = follower.sync_request(version, &[]);
        follower.session.tell(version, &request);
        let mut newcomer = Member::new(session, &leader.group());
        newcomer.begin_join(JOIN);
        leader.await_rebalance();
        assert_eq!(follower.session.hear::<SyncGroupRequest>(version), refused(ErrorCode::RebalanceInProgress));
        assert_eq!(leader.sync(version, &[]), refused(ErrorCode::RebalanceInProgress));
        leader.begin_join(JOIN);
        follower.join(JOIN);
        leader.end_join(JOIN);
        newcomer.end_join(JOIN);
        assert_eq!(leader.joined.members.len(), 3);
    });
}

#[test]
fn a_leader_that_brings_nothing_in_time_is_left_behind() {
    every_version(ApiKey::SyncGroup, |session, version| {
        let group = fresh_group(session, "syncs");
        let (mut leader, mut follower) = (Member::new(session, &group), Member::new(session, &group));
        for member in [&mut leader, &mut follower] {
            (member.request.rebalance_timeout_ms, member.request.session_timeout_ms) = (SHORT_MS, LONG_MS);
        }
        leader.join(JOIN);
        leader.assign(&[]);
        follower.begin_join(JOIN);
        leader.await_rebalance();
        leader.join(JOIN);
        follower.end_join(JOIN);
        assert_eq!(follower.sync(version, &[]), refused(ErrorCode::RebalanceInProgress));
        follower.join(JOIN);
        assert!(follower.is_leader());
        assert_eq!(follower.joined.members.len(), 1);
        assert_eq!(follower.sync(version, &[]), assigned(version, b""));
        expect(leader.heartbeat(HEARTBEAT), ErrorCode::UnknownMemberId);
        await_state(session, &group, "Stable");
    });
}

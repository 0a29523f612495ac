//! `JoinGroup`: members come together in a generation, and one of them leads.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};

use crate::group::{
    ID_FIRST, JOIN, Member, SHORT_MS, STATIC_JOIN, SYNC, await_group, await_state, bring_together, describe,
    fresh_group, pair, protocol, subscription,
};
use crate::session::{every_version, expect};

/// The first version that hears the protocol type, and may hear of no protocol.
const PROTOCOL_TYPES: i16 = 7;
/// The first version that can be told to assign nothing.
const SKIPS_ASSIGNMENT: i16 = 9;

fn refused(version: i16, code: ErrorCode, member: &str) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: code.code(),
        member_id: member.to_owned(),
        protocol_name: Some(String::new()).filter(|_| version < PROTOCOL_TYPES),
        ..Default::default()
    }
}

#[test]
fn every_version_joins_an_empty_group() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let group = fresh_group(session, "joins");
        let mut member = Member::new(session, &group);
        member.join(version);
        assert!(member.id().starts_with("conformance-"), "{}", member.id());
        let expected = JoinGroupResponse {
            generation_id: 1,
            protocol_type: Some("consumer".to_owned()).filter(|_| version >= PROTOCOL_TYPES),
            protocol_name: Some("range".to_owned()),
            leader: member.id().to_owned(),
            member_id: member.id().to_owned(),
            members: vec![JoinGroupResponseMember {
                member_id: member.id().to_owned(),
                metadata: subscription(&["read"]),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(member.joined, expected);
    });
}

#[test]
fn newer_versions_give_an_id_first() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let group = fresh_group(session, "joins");
        let mut member = Member::new(session, &group);
        if version >= ID_FIRST {
            let response = member.session.ask(version, &member.request);
            assert!(response.member_id.starts_with("conformance-"), "{response:?}");
            assert_eq!(response, refused(version, ErrorCode::MemberIdRequired, &response.member_id));
            // It is no member before it joins with it.
            assert_eq!(describe(session, 5, &group).members, []);
            member.request.member_id = response.member_id;
        }
        member.join(version);
    });
}

#[test]
fn what_cannot_be_is_refused() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let group = fresh_group(session, "joins");
        let request = Member::new(session, &group).request;
        for (changed, expected) in [
            (JoinGroupRequest { group_id: String::new(), ..request.clone() }, ErrorCode::InvalidGroupId),
            (JoinGroupRequest { session_timeout_ms: 10, ..request.clone() }, ErrorCode::InvalidSessionTimeout),
            (JoinGroupRequest { session_timeout_ms: 1_800_001, ..request.clone() }, ErrorCode::InvalidSessionTimeout),
            (JoinGroupRequest { session_timeout_ms: -1, ..request.clone() }, ErrorCode::InvalidSessionTimeout),
            (JoinGroupRequest { member_id: "nobody".to_owned(), ..request.clone() }, ErrorCode::UnknownMemberId),
            (JoinGroupRequest { protocols: vec![], ..request.clone() }, ErrorCode::InconsistentGroupProtocol),
            (
                JoinGroupRequest { protocol_type: String::new(), ..request.clone() },
                ErrorCode::InconsistentGroupProtocol,
            ),
        ] {
            assert_eq!(session.ask(version, &changed), refused(version, expected, &changed.member_id), "{changed:?}");
        }
        assert_eq!(describe(session, 5, &group).members, []);
    });
}

#[test]
fn members_need_a_protocol_in_common() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let member = Member::alone(session, "joins");
        let other = Member::new(session, &member.group());
        for (protocol_type, protocols) in [
            ("consumer", vec![protocol("sticky", b"")]),
            ("consumer", vec![]),
            ("connect", vec![protocol("range", b"")]),
            ("", vec![protocol("range", b"")]),
        ] {
            for id in ["", "nobody", member.id()] {
                let request = JoinGroupRequest {
                    protocol_type: protocol_type.to_owned(),
                    protocols: protocols.clone(),
                    member_id: id.to_owned(),
                    ..other.request.clone()
                };
                let expected = refused(version, ErrorCode::InconsistentGroupProtocol, id);
                assert_eq!(session.ask(version, &request), expected, "{request:?}");
            }
        }
        assert_eq!(describe(session, 5, &member.group()).group_state, "Stable");
    });
}

#[test]
fn the_protocol_that_most_prefer_is_chosen() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let group = fresh_group(session, "votes");
        let mut first = Member::new(session, &group);
        first.request.protocols = vec![protocol("own", b""), protocol("a", b"1a"), protocol("b", b"1b")];
        first.join(version);
        assert_eq!(first.joined.protocol_name.as_deref(), Some("own"));
        let mut others = [Member::new(session, &group), Member::new(session, &group)];
        for other in &mut others {
            other.request.protocols = vec![protocol("b", b"2b"), protocol("a", b"2a")];
            other.begin_join(version);
        }
        await_group(session, &group, |described| described.members.len() == 3);
        first.join(version);
        for other in &mut others {
            other.end_join(version);
            assert_eq!(other.joined.protocol_name.as_deref(), Some("b"));
            assert_eq!(other.joined.members, []);
        }
        let mut metadata: Vec<_> = first.joined.members.iter().map(|of| of.metadata.as_slice()).collect();
        metadata.sort();
        assert_eq!(metadata, [b"1b", b"2b", b"2b"]);
    });
}

#[test]
fn only_the_leader_gets_the_members() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let group = fresh_group(session, "joins");
        let (mut leader, mut follower) = (Member::new(session, &group), Member::new(session, &group));
        leader.join(version);
        leader.assign(&[]);
        follower.begin_join(version);
        leader.await_rebalance();
        leader.join(version);
        follower.end_join(version);
        assert_eq!((leader.joined.generation_id, follower.joined.generation_id), (2, 2));
        assert_eq!(follower.joined.leader, leader.id());
        let mut ids: Vec<_> = leader.joined.members.iter().map(|of| of.member_id.as_str()).collect();
        let mut expected = [leader.id(), follower.id()];
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected);
        assert_eq!(follower.joined.members, []);
    });
}

#[test]
fn a_stable_group_rebalances_for_its_leader_and_for_news_alone() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let (mut leader, mut follower) = pair(session, "again");
        // Nothing is new: the generation is told once more.
        follower.join(version);
        assert_eq!((follower.joined.generation_id, follower.joined.members.len()), (2, 0));
        assert_eq!(follower.joined.leader, leader.id());
        let id = follower.id().to_owned();
        assert_eq!(follower.sync(SYNC, &[]).assignment, id.as_bytes());
        // The follower reads something else.
        follower.request.protocols = vec![protocol("range", &subscription(&["other"]))];
        follower.begin_join(version);
        leader.await_rebalance();
        leader.join(version);
        follower.end_join(version);
        assert_eq!((leader.joined.generation_id, follower.joined.generation_id), (3, 3));
        leader.assign(&[]);
        expect(follower.sync(SYNC, &[]).error_code, ErrorCode::None);
        // The leader wants to assign anew.
        leader.begin_join(version);
        follower.await_rebalance();
        follower.join(version);
        leader.end_join(version);
        assert_eq!((leader.joined.generation_id, leader.joined.members.len()), (4, 2));
    });
}

#[test]
fn a_group_that_waits_for_assignments_rebalances_for_news_alone() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let group = fresh_group(session, "again");
        let mut member = Member::new(session, &group);
        member.join(version);
        // It has not seen the answer: nothing is new.
        let joined = member.joined.clone();
        member.join(version);
        assert_eq!(member.joined, joined);
        member.request.protocols = vec![protocol("range", b"new")];
        member.join(version);
        assert_eq!(member.joined.generation_id, 2);
        assert_eq!(member.joined.members[0].metadata, b"new");
    });
}

#[test]
fn who_has_left_is_no_member() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let mut member = Member::alone(session, "left");
        member.leave();
        let expected = refused(version, ErrorCode::UnknownMemberId, member.id());
        assert_eq!(member.session.ask(version, &member.request), expected);
        // Generations go on.
        let mut next = Member::new(session, &member.group());
        next.join(version);
        assert_eq!(next.joined.generation_id, 3);
    });
}

#[test]
fn another_leads_when_the_leader_is_gone() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let (mut leader, mut follower) = pair(session, "led");
        leader.leave();
        follower.await_rebalance();
        follower.join(version);
        assert!(follower.is_leader());
        assert_eq!((follower.joined.generation_id, follower.joined.members.len()), (3, 1));
    });
}

#[test]
fn an_id_that_was_given_out_is_waited_for() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < ID_FIRST {
            return;
        }
        let mut member = Member::alone(session, "pending");
        let mut newcomer = Member::new(session, &member.group());
        newcomer.introduce(version);
        expect(member.heartbeat(4), ErrorCode::None);
        member.begin_join(version);
        await_state(session, &member.group(), "PreparingRebalance");
        newcomer.join(version);
        member.end_join(version);
        assert_eq!(member.joined.members.len(), 2);
        // One that does not come is waited for as long as its session would last.
        member.assign(&[]);
        let mut absent = Member::new(session, &member.group());
        absent.request.session_timeout_ms = SHORT_MS;
        absent.introduce(version);
        member.begin_join(version);
        newcomer.await_rebalance();
        newcomer.join(version);
        member.end_join(version);
        assert_eq!(member.joined.members.len(), 2);
        let expected = refused(version, ErrorCode::UnknownMemberId, absent.id());
        assert_eq!(absent.session.ask(version, &absent.request), expected);
    });
}

#[test]
fn an_empty_group_does_not_wait_for_an_id_that_was_given_out() {
    every_version(ApiKey::JoinGroup, |session, version| {
        let group = fresh_group(session, "pending");
        let mut absent = Member::new(session, &group);
        absent.introduce(JOIN);
        let mut member = Member::new(session, &group);
        member.join(version);
        assert_eq!((member.joined.generation_id, member.joined.members.len()), (1, 1));
        absent.begin_join(JOIN);
        member.await_rebalance();
    });
}

#[test]
fn a_static_member_joins_at_once() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let group = fresh_group(session, "static");
        let mut member = Member::fixed(session, &group, "fixed");
        let unknown = JoinGroupRequest { member_id: "nobody".to_owned(), ..member.request.clone() };
        assert_eq!(session.ask(version, &unknown), refused(version, ErrorCode::UnknownMemberId, "nobody"));
        member.join(version);
        assert!(member.id().starts_with("fixed-"), "{}", member.id());
        assert_eq!(member.joined.members[0].group_instance_id.as_deref(), Some("fixed"));
        let unknown = JoinGroupRequest { group_instance_id: Some("other".to_owned()), ..member.request.clone() };
        assert_eq!(session.ask(version, &unknown), refused(version, ErrorCode::UnknownMemberId, member.id()));
    });
}

#[test]
fn a_static_follower_comes_back_without_a_rebalance() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let group = fresh_group(session, "static");
        let mut leader = Member::fixed(session, &group, "leader");
        let mut follower = Member::fixed(session, &group, "follower");
        bring_together(&mut leader, &mut follower);
        let before = follower.id().to_owned();
        let mut back = Member::fixed(session, &group, "follower");
        back.join(version);
        assert_ne!(back.id(), before);
        assert_eq!((back.joined.generation_id, &*back.joined.leader), (2, leader.id()));
        assert_eq!((back.joined.members.len(), back.joined.skip_assignment), (0, false));
        assert_eq!(back.sync(SYNC, &[]).assignment, before.as_bytes());
        expect(leader.heartbeat(4), ErrorCode::None);
        assert_eq!(
            follower.session.ask(version, &follower.request),
            refused(version, ErrorCode::FencedInstanceId, &before)
        );
    });
}

#[test]
fn a_static_leader_comes_back_without_a_rebalance() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let group = fresh_group(session, "static");
        let mut leader = Member::fixed(session, &group, "leader");
        let mut follower = Member::fixed(session, &group, "follower");
        bring_together(&mut leader, &mut follower);
        let before = leader.id().to_owned();
        let mut back = Member::fixed(session, &group, "leader");
        back.join(version);
        assert_eq!(back.joined.generation_id, 2);
        if version >= SKIPS_ASSIGNMENT {
            // It leads, and has nothing to do.
            assert_eq!((&*back.joined.leader, back.joined.members.len()), (back.id(), 2));
            assert!(back.joined.skip_assignment);
        } else {
            // It must not take itself for the leader.
            assert_eq!((&*back.joined.leader, back.joined.members.len()), (&*before, 0));
        }
        assert_eq!(back.sync(SYNC, &[]).assignment, before.as_bytes());
        expect(follower.heartbeat(4), ErrorCode::None);
    });
}

#[test]
fn a_static_member_that_comes_back_with_news_brings_a_rebalance() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let group = fresh_group(session, "static");
        let mut leader = Member::fixed(session, &group, "leader");
        let mut follower = Member::fixed(session, &group, "follower");
        for member in [&mut leader, &mut follower] {
            member.request.protocols = vec![protocol("a", b""), protocol("b", b"")];
        }
        bring_together(&mut leader, &mut follower);
        assert_eq!(leader.joined.protocol_name.as_deref(), Some("a"));
        let mut back = Member::fixed(session, &group, "follower");
        back.request.protocols = vec![protocol("b", b"")];
        back.begin_join(version);
        leader.await_rebalance();
        leader.join(version);
        back.end_join(version);
        assert_eq!((back.joined.generation_id, back.joined.protocol_name.as_deref()), (3, Some("b")));
    });
}

#[test]
fn a_static_member_that_comes_back_before_it_is_assigned_brings_a_rebalance() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let group = fresh_group(session, "static");
        let mut leader = Member::fixed(session, &group, "leader");
        let mut follower = Member::fixed(session, &group, "follower");
        bring_together(&mut leader, &mut follower);
        leader.begin_join(version);
        follower.await_rebalance();
        follower.join(version);
        leader.end_join(version);
        // The leader would assign to an id that is no more.
        let mut back = Member::fixed(session, &group, "follower");
        back.begin_join(version);
        leader.await_rebalance();
        leader.join(version);
        back.end_join(version);
        assert_eq!((leader.joined.generation_id, leader.joined.members.len()), (4, 2));
    });
}

#[test]
fn a_static_member_that_was_sent_away_joins_anew() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let group = fresh_group(session, "static");
        let mut member = Member::fixed(session, &group, "fixed");
        member.join(version);
        member.assign(&[]);
        member.leave();
        assert_eq!(
            member.session.ask(version, &member.request),
            refused(version, ErrorCode::UnknownMemberId, member.id())
        );
        let mut back = Member::fixed(session, &group, "fixed");
        back.join(version);
        assert_eq!((back.joined.generation_id, back.joined.members.len()), (3, 1));
    });
}

#[test]
fn a_static_member_keeps_its_id_when_it_joins_again() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let group = fresh_group(session, "static");
        let mut leader = Member::fixed(session, &group, "leader");
        let mut follower = Member::fixed(session, &group, "follower");
        bring_together(&mut leader, &mut follower);
        let before = follower.id().to_owned();
        follower.join(version);
        assert_eq!((follower.joined.generation_id, follower.id()), (2, &*before));
        leader.begin_join(version);
        follower.await_rebalance();
        follower.join(version);
        leader.end_join(version);
        assert_eq!((leader.joined.generation_id, follower.id()), (3, &*before));
    });
}

#[test]
fn twins_fence_each_other_while_they_wait() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let member = Member::alone(session, "twins");
        let mut twins = [(); 2].map(|()| Member::fixed(session, &member.group(), "twin"));
        twins[0].begin_join(version);
        await_group(session, &member.group(), |described| described.members.len() == 2);
        twins[1].begin_join(version);
        let response = twins[0].session.hear::<JoinGroupRequest>(version);
        expect(response.error_code, ErrorCode::FencedInstanceId);
    });
}

#[test]
fn a_static_member_that_is_late_keeps_its_place() {
    every_version(ApiKey::JoinGroup, |session, version| {
        if version < STATIC_JOIN {
            return;
        }
        let group = fresh_group(session, "static");
        let mut leader = Member::fixed(session, &group, "leader");
        let mut follower = Member::fixed(session, &group, "follower");
        (leader.request.rebalance_timeout_ms, follower.request.rebalance_timeout_ms) = (SHORT_MS, SHORT_MS);
        bring_together(&mut leader, &mut follower);
        leader.join(version);
        assert_eq!((leader.joined.generation_id, leader.joined.members.len()), (3, 2));
    });
}

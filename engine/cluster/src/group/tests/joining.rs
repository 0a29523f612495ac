//! How members come to a generation.

use ringlog_net::messages::group_log::{GroupMetadataKey, GroupMetadataValue, MemberMetadata};

use super::*;

#[test]
fn members_join_the_leader_assigns_and_each_gets_its_own() {
    let mut world = World::new();
    let (one, two) = (world.new_member(), world.new_member());
    let tickets = [world.send(NEWEST, join(&one, None)), world.send(NEWEST, join(&two, None))];
    world.pass(INITIAL_DELAY);
    world.pass(INITIAL_DELAY);
    let joined = tickets.map(|ticket| world.joined(ticket));
    for response in &joined {
        assert_eq!((response.error_code, response.generation_id), (0, 1));
        assert_eq!(response.protocol_name.as_deref(), Some("range"));
        let is_leader = response.member_id == response.leader;
        assert_eq!(response.members.len(), if is_leader { 2 } else { 0 }, "only the leader learns who the members are");
    }
    let leader = joined[0].leader.clone();
    let follower = if leader == one { &two } else { &one };
    let waiting = world.send(NEWEST, sync(follower, 1, &[]));
    assert_eq!(world.replies.get(&waiting), None);
    let assignments = [(leader.as_str(), &b"a"[..]), (follower.as_str(), b"b")];
    let reply = world.ask(sync(&leader, 1, &assignments));
    let Ok(GroupResponse::Sync(response)) = reply else { panic!("{reply:?}") };
    assert_eq!(response.assignment, b"a");
    let Some(Ok(GroupResponse::Sync(response))) = world.replies.remove(&waiting) else { panic!("it waits for ever") };
    assert_eq!(response.assignment, b"b");
    assert_eq!(world.state(), "Stable");
    assert_eq!(world.ask(heartbeat(&one, 1)), Ok(GroupResponse::Heartbeat));
    assert_eq!(world.ask(heartbeat(&one, 2)), Err(ErrorCode::IllegalGeneration));
    assert_eq!(world.ask(heartbeat("who", 1)), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn an_empty_group_waits_for_more_members_but_not_for_ever() {
    let mut world = World::new();
    let first = world.new_member();
    let first = world.send(NEWEST, join(&first, None));
    // Each newcomer prolongs the wait by one delay, to the rebalance timeout at the most.
    let mut newcomers = 0;
    while !world.replies.contains_key(&first) {
        world.pass(INITIAL_DELAY - Duration::from_millis(1));
        let id = world.new_member();
        world.send(NEWEST, join(&id, None));
        newcomers += 1;
        world.pass(Duration::from_millis(1));
        if newcomers == 4 {
            // The group is full; nobody else is let in.
            let refused = world.send(NEWEST, join("", None));
            assert_eq!(world.refused(refused), ErrorCode::GroupMaxSizeReached);
            world.pass(INITIAL_DELAY);
        }
    }
    assert_eq!((newcomers, world.joined(first).generation_id), (4, 1));
}

#[test]
fn an_empty_group_does_not_wait_for_an_id_that_was_given_out() {
    for mut world in [World::new(), World::without_delay()] {
        let (absent, first) = (world.new_member(), world.new_member());
        let ticket = world.send(NEWEST, join(&first, None));
        world.pass(INITIAL_DELAY * 2);
        let joined = world.joined(ticket);
        assert_eq!((joined.generation_id, joined.members.len()), (1, 1));
        // Who comes later brings a rebalance.
        world.send(NEWEST, join(&absent, None));
        assert_eq!(world.state(), "PreparingRebalance");
    }
}

#[test]
fn an_id_that_nobody_joins_with_is_forgotten() {
    let mut world = World::without_delay();
    let (_, members) = world.stable_group(1);
    let pending = world.new_member();
    let ticket = world.send(NEWEST, join(&members[0], None));
    assert_eq!(world.replies.get(&ticket), None, "the one who was given an id is waited for");
    world.pass(SESSION);
    assert_eq!(world.joined(ticket).generation_id, 2);
    let late = world.send(NEWEST, join(&pending, None));
    assert_eq!(world.refused(late), ErrorCode::UnknownMemberId);
}

#[test]
fn old_versions_join_without_an_id() {
    let mut world = World::without_delay();
    let ticket = world.send(3, join("", None));
    assert_eq!(world.joined(ticket).error_code, 0);
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let mut world = World::without_delay();
    let with = |change: &dyn Fn(&mut JoinGroupRequest)| {
        let mut request = join_request("", None);
        change(&mut request);
        GroupRequest::Join(request, 0)
    };
    for session in [5999, 1_800_001, -1] {
        assert_eq!(
            world.ask(with(&|request| request.session_timeout_ms = session)),
            Err(ErrorCode::InvalidSessionTimeout)
        );
    }
    assert_eq!(world.ask(join("made-up", None)), Err(ErrorCode::UnknownMemberId), "no group, no members");
    for change in
        [(&|request: &mut JoinGroupRequest| request.protocols.clear()) as &dyn Fn(&mut JoinGroupRequest), &|request| {
            request.protocol_type.clear();
        }]
    {
        assert_eq!(world.ask(with(change)), Err(ErrorCode::InconsistentGroupProtocol));
    }
    world.stable_group(1);
    for change in [
        (&|request: &mut JoinGroupRequest| request.protocols = protocols(&["other"])) as &dyn Fn(&mut JoinGroupRequest),
        &|request| request.protocol_type = "connect".to_owned(),
    ] {
        assert_eq!(world.ask(with(change)), Err(ErrorCode::InconsistentGroupProtocol));
    }
    assert_eq!(world.ask(join("made-up", None)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn the_protocol_is_the_one_that_most_members_prefer() {
    let mut world = World::new();
    let ids: Vec<_> = (0..3).map(|_| world.new_member()).collect();
    let offers: [&[&str]; 3] = [&["range", "sticky"], &["sticky", "range", "own"], &["own", "sticky", "range"]];
    let tickets: Vec<_> = ids
        .iter()
        .zip(offers)
        .map(|(id, names)| {
            let request = JoinGroupRequest { protocols: protocols(names), ..join_request(id, None) };
            world.send(NEWEST, GroupRequest::Join(request, 0))
        })
        .collect();
    world.pass(INITIAL_DELAY * 2);
    for ticket in tickets {
        assert_eq!(world.joined(ticket).protocol_name.as_deref(), Some("sticky"));
    }
}

#[test]
fn a_join_that_says_nothing_new_gets_the_answer_again() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    let follower = &members[1];
    let ticket = world.send(NEWEST, join(follower, None));
    assert_eq!(world.joined(ticket).generation_id, generation);
    assert_eq!(world.state(), "Stable");
    // One with other protocols, and the leader's, begin a rebalance.
    let news = JoinGroupRequest { protocols: protocols(&["sticky"]), ..join_request(follower, None) };
    let ticket = world.send(NEWEST, GroupRequest::Join(news, 0));
    assert_eq!(world.state(), "PreparingRebalance");
    assert_eq!(world.ask(heartbeat(&members[0], generation)), Err(ErrorCode::RebalanceInProgress));
    let leader = world.send(NEWEST, join(&members[0], None));
    assert_eq!(world.joined(ticket).generation_id, generation + 1);
    assert_eq!(world.joined(leader).protocol_name.as_deref(), Some("sticky"));
}

#[test]
fn a_member_that_joins_twice_is_answered_twice() {
    let mut world = World::without_delay();
    let (_, members) = world.stable_group(2);
    let lost = world.send(NEWEST, join(&members[0], None));
    let again = world.send(NEWEST, join(&members[0], None));
    assert_eq!(world.refused(lost), ErrorCode::RebalanceInProgress);
    let other = world.send(NEWEST, join(&members[1], None));
    assert_eq!(world.joined(again).generation_id, world.joined(other).generation_id);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    for (version, skips) in [(5, false), (8, false), (9, true)] {
        let mut world = World::without_delay();
        let ticket = world.send(version, join("", Some("i1")));
        let first = world.joined(ticket);
        assert_eq!(first.leader, first.member_id);
        assert!(world.ask(sync(&first.member_id, 1, &[(&first.member_id, b"work")])).is_ok());
        let ticket = world.send(version, join("", Some("i1")));
        let back = world.joined(ticket);
        assert_eq!((back.error_code, back.generation_id, back.skip_assignment), (0, 1, skips));
        assert_ne!(back.member_id, first.member_id);
        let (leader, members) = if skips { (&back.member_id, 1) } else { (&first.member_id, 0) };
        assert_eq!((&back.leader, back.members.len()), (leader, members), "version {version}");
        assert_eq!(world.state(), "Stable");
        let reply = world.ask(sync(&back.member_id, 1, &[]));
        let Ok(GroupResponse::Sync(response)) = reply else { panic!("{reply:?}") };
        assert_eq!(response.assignment, b"work");
        // Its twin is fenced, whatever it does.
        let twin = |request: GroupRequest| match request {
            GroupRequest::Heartbeat(request) => {
                GroupRequest::Heartbeat(HeartbeatRequest { group_instance_id: Some("i1".to_owned()), ..request })
            }
            other => other,
        };
        assert_eq!(world.ask(twin(heartbeat(&first.member_id, 1))), Err(ErrorCode::FencedInstanceId));
        assert_eq!(world.ask(join(&first.member_id, Some("i1"))), Err(ErrorCode::FencedInstanceId));
        assert_eq!(world.ask(twin(heartbeat(&back.member_id, 1))), Ok(GroupResponse::Heartbeat));
    }
}

#[test]
fn a_static_member_that_comes_back_in_a_rebalance_joins_it() {
    let mut world = World::without_delay();
    let (_, members) = world.stable_group(1);
    let fixed = world.send(NEWEST, join("", Some("i1")));
    let dynamic = world.send(NEWEST, join(&members[0], None));
    let (fixed, _) = (world.joined(fixed), world.joined(dynamic));
    // It waits for its assignment, restarts, and its old self is fenced.
    let waiting = world.send(NEWEST, sync(&fixed.member_id, 2, &[]));
    let back = world.send(NEWEST, join("", Some("i1")));
    assert_eq!(world.refused(waiting), ErrorCode::FencedInstanceId);
    let dynamic = world.send(NEWEST, join(&members[0], None));
    assert_eq!(world.joined(back).generation_id, 3);
    assert_eq!(world.joined(dynamic).generation_id, 3);
    // And when it comes back while others still join.
    assert!(world.ask(sync(&members[0], 3, &[])).is_ok());
    let leader = world.send(NEWEST, join(&members[0], None));
    let back = world.send(NEWEST, join("", Some("i1")));
    assert_eq!((world.joined(leader).generation_id, world.joined(back).generation_id), (4, 4));
}

/// KAFKA-14422: members below version 5 know nothing of static ones.
#[test]
fn trap_16_a_static_member_and_one_of_an_old_version_share_a_group() {
    let mut world = World::without_delay();
    let old = world.send(2, join("", None));
    let old = world.joined(old).member_id;
    let fixed = world.send(NEWEST, join("", Some("i1")));
    let old_again = world.send(2, join(&old, None));
    let (fixed, old_again) = (world.joined(fixed), world.joined(old_again));
    assert_eq!((fixed.generation_id, old_again.generation_id), (2, 2));
    let waiting = world.send(NEWEST, sync(&fixed.member_id, 2, &[]));
    assert!(world.ask(sync(&old, 2, &[(&fixed.member_id, b"x"), (&old, b"y")])).is_ok());
    assert!(matches!(world.replies.remove(&waiting), Some(Ok(GroupResponse::Sync(_)))));
    for _ in 0..3 {
        let back = world.send(NEWEST, join("", Some("i1")));
        assert_eq!(world.joined(back).generation_id, 2);
        assert_eq!(world.state(), "Stable");
    }
}

#[test]
fn an_assignment_that_is_too_large_for_the_log_is_refused() {
    let mut world = World::without_delay();
    let id = world.new_member();
    let ticket = world.send(NEWEST, join(&id, None));
    world.joined(ticket);
    let huge = vec![0; 5 << 20];
    assert_eq!(world.ask(sync(&id, 1, &[(&id, &huge)])), Err(ErrorCode::UnknownServerError));
    assert_eq!(world.state(), "PreparingRebalance");
    assert!(world.rehearsal.log.is_empty());
}

#[test]
fn a_member_that_offers_more_than_a_group_may_take_is_refused() {
    let mut world = World::without_delay();
    let mut request = join_request("", None);
    request.protocols[0].metadata = vec![0; 4 << 20];
    assert_eq!(world.ask(GroupRequest::Join(request, 0)), Err(ErrorCode::InvalidRequest));
    assert!(
        matches!(world.rehearsal.live.sessions.get(GROUP), Some(Session::Classic(group)) if group.is_forgettable())
    );
}

#[test]
fn ids_are_not_given_out_without_end() {
    let mut world = World::without_delay();
    for _ in 0..50_000 {
        world.new_member();
    }
    let refused = world.send(NEWEST, join("", None));
    assert_eq!(world.refused(refused), ErrorCode::GroupMaxSizeReached);
    world.pass(SESSION);
    world.new_member();
}

/// A log may hold what this release does not write.
#[test]
fn a_member_that_a_record_names_twice_is_one() {
    let member = |instance: &str| MemberMetadata {
        member_id: "member".to_owned(),
        group_instance_id: Some(instance.to_owned()),
        session_timeout: millis(SESSION),
        rebalance_timeout: millis(REBALANCE),
        ..MemberMetadata::default()
    };
    let written = GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 1,
        protocol: Some("range".to_owned()),
        leader: Some("member".to_owned()),
        members: vec![member("one"), member("other")],
        ..GroupMetadataValue::default()
    };
    let mut world = World::without_delay();
    let key = GroupMetadataKey { group: GROUP.to_owned() };
    world.rehearsal.log.push(GroupRecord::GroupMetadata(key, Some(written)));
    world.restart();
    world.pass(SESSION);
    let ticket = world.send(NEWEST, join("", Some("one")));
    assert_ne!(world.joined(ticket).member_id, "member", "nobody has this instance any more");
}

//! How members go, and what is left of a group whose coordinator goes.

use super::*;

#[test]
fn a_member_that_is_silent_is_out_and_the_others_divide_its_work() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    world.pass(SESSION - Duration::from_millis(1));
    assert!(world.ask(heartbeat(&members[0], generation)).is_ok());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.ask(heartbeat(&members[1], generation)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.ask(heartbeat(&members[0], generation)), Err(ErrorCode::RebalanceInProgress));
    let ticket = world.send(NEWEST, join(&members[0], None));
    let joined = world.joined(ticket);
    assert_eq!((joined.generation_id, joined.members.len()), (generation + 1, 1));
    assert_eq!(world.changes(&members[1]), [MemberChange::Joined, MemberChange::Silent]);
}

#[test]
fn a_commit_is_as_good_as_a_heartbeat() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(1);
    for _ in 0..5 {
        world.pass(SESSION - Duration::from_millis(1));
        assert_eq!(committed(&world.ask(commit(&members[0], generation, 1))), ErrorCode::None);
    }
}

#[test]
fn a_rebalance_does_not_wait_for_members_that_do_not_come() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    let ticket = world.send(NEWEST, join(&members[0], None));
    // The other one sends heartbeats, and does not join.
    for _ in 0..6 {
        world.pass(SESSION - Duration::from_secs(1));
        assert_eq!(world.ask(heartbeat(&members[1], generation)), Err(ErrorCode::RebalanceInProgress));
    }
    world.pass(SESSION);
    assert_eq!(world.joined(ticket).members.len(), 1);
    assert_eq!(world.ask(heartbeat(&members[1], generation)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.changes(&members[0]), [MemberChange::Joined, MemberChange::Rejoined(String::new())]);
    assert_eq!(world.changes(&members[1]), [MemberChange::Joined, MemberChange::NotRejoined]);
}

#[test]
fn a_reason_that_a_member_gives_is_told() {
    let mut world = World::without_delay();
    let (_, members) = world.stable_group(2);
    world.news.clear();
    let join = JoinGroupRequest { reason: Some("topics have changed".to_owned()), ..join_request(&members[0], None) };
    world.send(NEWEST, GroupRequest::Join(join, 0));
    let identity =
        MemberIdentity { member_id: members[1].clone(), group_instance_id: None, reason: Some("x".repeat(10_000)) };
    let group_id = GROUP.to_owned();
    let leave = LeaveGroupRequest { group_id, members: vec![identity], ..LeaveGroupRequest::default() };
    world.ask(GroupRequest::Leave(leave)).expect("it may go");
    assert_eq!(world.changes(&members[0]), [MemberChange::Rejoined("topics have changed".to_owned())]);
    assert_eq!(world.changes(&members[1]), [MemberChange::Left("x".repeat(256))], "as much of it as fits a line");
}

#[test]
fn a_member_that_does_not_ask_for_its_assignment_is_out() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    let tickets = [0, 1].map(|index| world.send(NEWEST, join(&members[index], None)));
    let leader = tickets.map(|ticket| world.joined(ticket))[0].leader.clone();
    let silent = members.iter().find(|id| **id != leader).expect("there are two").clone();
    assert!(world.ask(sync(&leader, generation + 1, &[])).is_ok());
    for _ in 0..7 {
        world.pass(SESSION - Duration::from_secs(1));
        let _ = world.ask(heartbeat(&silent, generation + 1));
        let _ = world.ask(heartbeat(&leader, generation + 1));
    }
    assert_eq!(world.ask(heartbeat(&silent, generation + 1)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.ask(heartbeat(&leader, generation + 1)), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(world.changes(&silent).last(), Some(&MemberChange::NotSynced));
}

#[test]
fn who_waits_for_an_assignment_does_not_wait_for_ever() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    let tickets = [0, 1].map(|index| world.send(NEWEST, join(&members[index], None)));
    let leader = tickets.map(|ticket| world.joined(ticket))[0].leader.clone();
    let follower = members.iter().find(|id| **id != leader).expect("there are two").clone();
    let waiting = world.send(NEWEST, sync(&follower, generation + 1, &[]));
    // The leader has died.
    world.pass(SESSION);
    assert_eq!(world.refused(waiting), ErrorCode::RebalanceInProgress);
    let ticket = world.send(NEWEST, join(&follower, None));
    assert_eq!(world.joined(ticket).leader, follower);
}

#[test]
fn the_last_one_to_leave_leaves_an_empty_group() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    let codes = |reply: GroupReply| match reply {
        Ok(GroupResponse::Leave(response)) => {
            response.members.iter().map(|member| ErrorCode::from_wire(member.error_code)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let strangers = [("who", None), ("", Some("nobody")), ("", None)];
    assert_eq!(codes(world.ask(leave(&strangers))), [ErrorCode::UnknownMemberId; 3]);
    assert_eq!(world.state(), "Stable");
    assert_eq!(codes(world.ask(leave(&[(&members[0], None)]))), [ErrorCode::None]);
    assert_eq!(world.ask(heartbeat(&members[1], generation)), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(
        codes(world.ask(leave(&[(&members[1], None), (&members[1], None)]))),
        [ErrorCode::None, ErrorCode::UnknownMemberId]
    );
    assert_eq!(world.state(), "Empty");
    world.restart();
    assert_eq!(world.state(), "Empty");
    let (next, _) = world.stable_group(1);
    assert_eq!(next, generation + 2, "generations go on");
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance() {
    let mut world = World::without_delay();
    let ticket = world.send(NEWEST, join("", Some("i1")));
    let member = world.joined(ticket).member_id;
    let waiting = world.send(NEWEST, join("", Some("i2")));
    assert!(world.ask(leave(&[("", Some("i1")), ("", Some("i2"))])).is_ok());
    assert_eq!(world.refused(waiting), ErrorCode::UnknownMemberId);
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.ask(heartbeat(&member, 1)), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn a_stable_group_outlives_its_coordinator() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    world.pass(SESSION / 2);
    assert!(members.iter().all(|id| world.ask(heartbeat(id, generation)).is_ok()));
    world.restart();
    // Sessions begin anew: nobody is late because the coordinator was.
    world.pass(SESSION - Duration::from_millis(1));
    assert!(members.iter().all(|id| world.ask(heartbeat(id, generation)).is_ok()));
    assert!(matches!(world.ask(sync(&members[0], generation, &[])), Ok(GroupResponse::Sync(_))));
    world.restart();
    world.pass(SESSION);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn a_rebalance_that_was_not_finished_begins_again() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    let tickets = [0, 1].map(|index| world.send(NEWEST, join(&members[index], None)));
    let joined = tickets.map(|ticket| world.joined(ticket));
    assert_eq!(joined[0].generation_id, generation + 1);
    world.restart();
    // What was not written did not happen.
    assert_eq!(world.ask(sync(&joined[0].leader, generation + 1, &[])), Err(ErrorCode::IllegalGeneration));
    assert!(world.ask(heartbeat(&members[0], generation)).is_ok());
    let tickets = [0, 1].map(|index| world.send(NEWEST, join(&members[index], None)));
    assert_eq!(tickets.map(|ticket| world.joined(ticket).generation_id), [generation + 1; 2]);
}

#[test]
fn who_waits_when_a_decision_cannot_be_written_is_told_to_ask_again() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    let waiting = world.send(NEWEST, join(&members[0], None));
    let now = world.now;
    let image = world.image.clone();
    let answers = world.rehearsal.live.open(now, &image, ErrorCode::CoordinatorNotAvailable);
    world.take(answers);
    assert_eq!(world.refused(waiting), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.state(), "Stable");
    assert!(world.ask(heartbeat(&members[1], generation)).is_ok());
}

#[test]
fn groups_are_described_listed_and_deleted() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(2);
    let describe = |world: &mut World, group: &str| match world.ask(GroupRequest::Describe(group.to_owned())) {
        Ok(GroupResponse::Describe(described)) => described,
        other => panic!("{other:?}"),
    };
    let delete = |world: &mut World, group: &str| match world.ask(GroupRequest::Delete(group.to_owned())) {
        Ok(GroupResponse::Delete(result)) => ErrorCode::from_wire(result.error_code),
        other => panic!("{other:?}"),
    };
    let list = |world: &mut World, states: &[&str], types: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let request = ringlog_net::messages::list_groups::ListGroupsRequest {
            states_filter: owned(states),
            types_filter: owned(types),
        };
        match world.ask(GroupRequest::List(request)) {
            Ok(GroupResponse::List(listed)) => listed.len(),
            other => panic!("{other:?}"),
        }
    };
    let described = describe(&mut world, GROUP);
    assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "range"));
    assert_eq!(described.members.len(), 2);
    assert_eq!(described.members[0].member_assignment, described.members[0].member_id.as_bytes());
    assert_eq!(describe(&mut world, "none").error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!([list(&mut world, &[], &[]), list(&mut world, &["stable"], &["CLASSIC"])], [1, 1]);
    assert_eq!([list(&mut world, &["Empty"], &[]), list(&mut world, &[], &["consumer"])], [0, 0]);
    assert_eq!(delete(&mut world, GROUP), ErrorCode::NonEmptyGroup);
    assert_eq!(delete(&mut world, "none"), ErrorCode::GroupIdNotFound);
    assert_eq!(committed(&world.ask(commit(&members[0], generation, 5))), ErrorCode::None);
    assert!(world.ask(leave(&[(&members[0], None), (&members[1], None)])).is_ok());
    assert_eq!(delete(&mut world, GROUP), ErrorCode::None);
    assert_eq!((world.state(), world.fetch()), ("Dead", -1));
    world.restart();
    assert_eq!((world.state(), world.fetch()), ("Dead", -1));
}

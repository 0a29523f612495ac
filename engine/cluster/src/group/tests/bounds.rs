//! What groups and decisions about them may take.

use ringlog_net::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ringlog_net::messages::group_log::{ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue};

use super::consumers::{Member, beat};
use super::*;

/// A name that is nearly as long as one can be.
fn long(name: &str) -> String {
    format!("{name}{}", "-".repeat(32_000))
}

/// A commit for many partitions of [`TOPIC`] at once.
fn commit_many(group: &str, partitions: std::ops::Range<i32>) -> GroupRequest {
    let mut request = commit_request("", -1, 9);
    let of =
        |partition_index| OffsetCommitRequestPartition { partition_index, ..request.topics[0].partitions[0].clone() };
    request.topics[0].partitions = partitions.map(of).collect();
    GroupRequest::CommitOffsets(OffsetCommitRequest { group_id: group.to_owned(), ..request })
}

/// A group whose name makes its offsets take more than one decision may.
fn group_with_many_offsets(world: &mut World) -> String {
    let group = long("group");
    for part in 0..3 {
        let reply = world.ask(commit_many(&group, part * 120..(part + 1) * 120));
        assert_eq!(committed(&reply), ErrorCode::None);
    }
    group
}

#[test]
fn members_of_many_groups_that_fall_silent_at_once_are_out_however_long_their_names_are() {
    let mut world = World::with(GroupConfig { consumer_members_max: 1000, ..config() });
    for group in 0..4 {
        for member in 0..30 {
            let request = Member::new(&long(&format!("member-{member}"))).request();
            let request = ConsumerGroupHeartbeatRequest { group_id: format!("group-{group}"), ..request };
            beat(&mut world, request).expect("it joins");
        }
    }
    let records = world.rehearsal.log.len();
    world.pass(SESSION);
    for group in 0..4 {
        let of = world.rehearsal.live.state.consumer(&format!("group-{group}")).expect("it is there");
        assert_eq!((of.len(), of.state_name()), (0, "Empty"));
    }
    let gone: usize = world.rehearsal.log[records..].iter().map(record_bytes).sum();
    assert!(gone > DECISION_BYTES_MAX, "it was more than one decision takes");
}

#[test]
fn a_group_that_takes_more_than_a_decision_loses_its_members_all_the_same() {
    let mut world = World::with(GroupConfig { consumer_members_max: 1000, ..config() });
    // As a log of another release may say it.
    for member in 0..120 {
        let key = ConsumerGroupMemberMetadataKey { group_id: GROUP.to_owned(), member_id: long(&member.to_string()) };
        let value = ConsumerGroupMemberMetadataValue {
            instance_id: None,
            rack_id: None,
            subscribed_topic_regex: None,
            server_assignor: None,
            classic_member_metadata: None,
            ..ConsumerGroupMemberMetadataValue::default()
        };
        let record = GroupRecord::ConsumerGroupMemberMetadata(key, Some(value));
        let Ok(()) = world.rehearsal.live.replay(Offset::ZERO, &record);
        world.rehearsal.log.push(record);
    }
    world.restart();
    world.pass(SESSION);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn offsets_of_a_deleted_topic_are_forgotten_however_much_that_takes() {
    let mut world = World::without_delay();
    let group = group_with_many_offsets(&mut world);
    world.delete_topic(77);
    world.forget();
    assert!(world.rehearsal.live.state.offsets(&group).is_none());
}

#[test]
fn offsets_expire_however_much_that_takes() {
    let mut world = World::without_delay();
    let group = group_with_many_offsets(&mut world);
    world.pass(RETENTION * 2);
    assert!(world.rehearsal.live.state.offsets(&group).is_none());
    assert!(!world.rehearsal.live.sessions.contains_key(&*group));
}

#[test]
fn a_group_with_more_offsets_than_a_decision_takes_is_deleted_when_it_is_asked_for_again() {
    let mut world = World::without_delay();
    let group = group_with_many_offsets(&mut world);
    let delete = |world: &mut World| match world.ask(GroupRequest::Delete(group.clone())) {
        Ok(GroupResponse::Delete(deleted)) => ErrorCode::from_wire(deleted.error_code),
        other => panic!("{other:?}"),
    };
    let mut codes: Vec<_> = (0..3).map(|_| delete(&mut world)).collect();
    assert_eq!(codes.remove(0), ErrorCode::CoordinatorLoadInProgress, "clients ask again");
    assert!(codes.contains(&ErrorCode::None));
    assert!(!world.rehearsal.live.sessions.contains_key(&*group));
}

/// Takes a decision that is not written.
fn undo(world: &mut World, request: GroupRequest) -> Vec<Answer> {
    let (now, ticket) = (world.now, Ticket { shard: 0, id: 0 });
    let caller = Caller { api_version: NEWEST, ..Caller::default() };
    let groups = &mut world.rehearsal.live;
    let undone = groups.handle(now, &world.image, ticket, &caller, request);
    assert!(!undone.records.is_empty(), "there was something to write");
    groups.reopen(now, &world.image, &undone, ErrorCode::CoordinatorNotAvailable)
}

#[test]
fn a_decision_that_cannot_be_written_disturbs_its_own_group_alone() {
    let mut world = World::new();
    let (generation, members) = world.stable_group(2);
    // Somebody waits in another group.
    let elsewhere = |member: &str| {
        GroupRequest::Join(JoinGroupRequest { group_id: "others".to_owned(), ..join_request(member, None) }, 1 << 99)
    };
    let asked = world.send(NEWEST, elsewhere(""));
    let other = world.joined(asked).member_id;
    let waiting = world.send(NEWEST, elsewhere(&other));
    let rejoining = world.send(NEWEST, join(&members[0], None));
    assert_eq!(world.state(), "PreparingRebalance");
    let answers = undo(&mut world, commit(&members[1], generation, 5));
    let told: Vec<_> = answers.into_iter().map(|answer| (answer.ticket.id, answer.reply)).collect();
    assert_eq!(told, [(rejoining, Err(ErrorCode::CoordinatorNotAvailable))], "it asks again");
    // The group is what it was when it was written last.
    assert_eq!((world.state(), world.fetch()), ("Stable", -1));
    assert!(members.iter().all(|id| world.ask(heartbeat(id, generation)).is_ok()));
    world.pass(INITIAL_DELAY * 2);
    assert_eq!(world.joined(waiting).generation_id, 1, "the other group goes on");
    world.pass(SESSION);
    assert_eq!(world.state(), "Empty", "its sessions have begun anew, once");
}

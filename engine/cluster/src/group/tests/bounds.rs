//! What groups and decisions about them may take.

use ringlog_net::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ringlog_net::messages::group_log::{ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue};
use ringlog_net::messages::metadata_log::NoOpRecord;

use super::consumers::{Member, beat};
use super::*;
use crate::expression::EXPRESSION_BYTES_MAX;
use crate::group::limits::OFFSETS_PER_TURN;

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

/// Others on the shard have their turns in between.
#[test]
fn offsets_are_looked_at_some_at_a_time() {
    const GROUPS: usize = 9;
    let mut world = World::without_delay();
    let partitions = i32::try_from(OFFSETS_PER_TURN / (GROUPS - 1)).expect("few");
    let commit_all = |world: &mut World| {
        for group in 0..GROUPS {
            let reply = world.ask(commit_many(&format!("group-{group}"), 0..partitions));
            assert_eq!(committed(&reply), ErrorCode::None);
        }
    };
    let left = |world: &World| {
        let state = &world.rehearsal.live.state;
        (0..GROUPS).filter(|group| state.offsets(&format!("group-{group}")).is_some()).count()
    };
    let once = |world: &mut World| {
        let now = world.now;
        world.step(|groups, image| groups.handle_timeout(now, image));
    };
    commit_all(&mut world);
    world.delete_topic(77);
    world.rehearsal.live.topics_deleted();
    once(&mut world);
    assert_eq!(left(&world), 1, "the last is for the next turn");
    assert_eq!(world.rehearsal.live.next_deadline(), Nanos::default());
    once(&mut world);
    assert_eq!(left(&world), 0);
    world.create_topic(TOPIC, 77, 6);
    commit_all(&mut world);
    let due = world.rehearsal.live.next_cleanup.max(world.now.monotonic.saturating_add(RETENTION * 2));
    world.advance_to(due);
    once(&mut world);
    assert!(left(&world) > 0, "those behind are for the next turn");
    world.pass(Duration::ZERO);
    assert_eq!(left(&world), 0);
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

#[test]
fn a_consumer_group_takes_in_whom_it_has_room_for() {
    let mut world = World::with(GroupConfig { consumer_members_max: 1000, ..config() });
    let mut members: Vec<_> = (0..60).map(|member| Member::new(&long(&format!("member-{member}")))).collect();
    let refused = members.iter_mut().position(|member| match member.beat(&mut world) {
        Ok(_) => false,
        Err(code) => {
            assert_eq!(code, ErrorCode::GroupMaxSizeReached);
            true
        }
    });
    let refused = refused.expect("there is not room for all");
    let taken: usize = super::consumers::compacted(&world).iter().map(record_bytes).sum();
    assert!((GROUP_BYTES_MAX / 2..=GROUP_BYTES_MAX).contains(&taken), "{taken} bytes of {refused} members");
    // Nor may a member that is in say more than there is room for.
    let names = (0..SUBSCRIBED_TOPICS_MAX).map(|topic| format!("topic-{topic:030}"));
    let more = ConsumerGroupHeartbeatRequest { subscribed_topic_names: Some(names.collect()), ..members[1].request() };
    assert_eq!(beat(&mut world, more), Err(ErrorCode::GroupMaxSizeReached));
    // The others go on, and whoever leaves makes room.
    members[1].beat(&mut world).expect("it is a member");
    members[2].leave(&mut world, -1).expect("it leaves");
    members[refused].beat(&mut world).expect("there is room");
    world.restart();
    members[1].beat(&mut world).expect("it is a member");
}

#[test]
fn subscriptions_have_bounds() {
    let mut world = World::new();
    let mut one = Member::new("one");
    one.names = (0..=SUBSCRIBED_TOPICS_MAX).map(|topic| topic.to_string()).collect();
    assert_eq!(one.beat(&mut world), Err(ErrorCode::InvalidRequest));
    one.names.pop();
    one.expression = Some("x".repeat(EXPRESSION_BYTES_MAX + 1));
    assert_eq!(one.beat(&mut world), Err(ErrorCode::InvalidRegularExpression));
    one.expression.as_mut().expect("it has one").pop();
    one.beat(&mut world).expect("that much is allowed");
}

#[test]
fn a_group_has_so_many_expressions_and_matches_them_again_when_topics_change() {
    let mut world = World::with(GroupConfig { consumer_members_max: 1000, ..config() });
    let subscribe = |id: usize| Member {
        names: Vec::new(),
        expression: Some(format!("{TOPIC}|later|{id}")),
        ..Member::new(&format!("member-{id}"))
    };
    let mut members: Vec<_> = (0..EXPRESSIONS_MAX).map(subscribe).collect();
    for member in &mut members {
        member.beat(&mut world).expect("it joins");
    }
    assert_eq!(subscribe(EXPRESSIONS_MAX).beat(&mut world), Err(ErrorCode::GroupMaxSizeReached));
    let mut same = Member { expression: members[7].expression.clone(), ..subscribe(EXPRESSIONS_MAX) };
    same.beat(&mut world).expect("it brings no new one");
    let (seen, records) = (world.image.topics_offset(), world.rehearsal.log.len());
    world.change(&MetadataRecord::NoOp(NoOpRecord::default()));
    assert!(world.image.offset() > seen && world.image.topics_offset() == seen, "it is no reason to match them again");
    world.create_topic("later", 1000, 1);
    same.beat(&mut world).expect("it goes on");
    assert!(world.rehearsal.log.len() > records + EXPRESSIONS_MAX, "each matches one more");
}

/// Members cannot help it that there are more topics.
#[test]
fn a_group_whose_expressions_match_too_much_stays_divided_as_it_is() {
    let mut world = World::with(GroupConfig { consumer_members_max: 100, ..config() });
    let subscribe = |id: usize| Member {
        names: Vec::new(),
        expression: Some(format!("{TOPIC}|many-.*|{id}")),
        ..Member::new(&format!("member-{id}"))
    };
    let mut members: Vec<_> = (0..40).map(subscribe).collect();
    for member in &mut members {
        member.beat(&mut world).expect("it joins");
    }
    let topics = 1000..1450;
    for topic in topics.clone() {
        world.create_topic(&format!("many-{topic}-{}", "x".repeat(230)), topic, 1);
    }
    let (records, epoch) = (world.rehearsal.log.len(), members[39].epoch);
    members[39].beat(&mut world).expect("it goes on");
    members[39].beat(&mut world).expect("it goes on");
    assert_eq!((world.rehearsal.log.len(), members[39].epoch), (records, epoch));
    for topic in topics.skip(10) {
        world.delete_topic(topic);
    }
    members[39].beat(&mut world).expect("it is a member");
    assert_eq!(members[39].epoch, epoch + 1, "they are followed as soon as there is room");
}

#[test]
fn a_classic_group_takes_in_whom_it_has_room_for() {
    let mut world = World::with(GroupConfig { classic_members_max: 100, initial_rebalance_delay_ms: 0, ..config() });
    let mut request = join_request("", None);
    request.protocols[0].metadata = vec![0; 1 << 20];
    let mut tickets = Vec::new();
    for member in 0..4 {
        tickets.push(world.send(3, GroupRequest::Join(request.clone(), (1 << 90) + member)));
    }
    let refused = tickets.pop().expect("there are some");
    assert_eq!(world.refused(refused), ErrorCode::GroupMaxSizeReached);
    // It is told the same when it asks for an id first.
    let refused = world.send(NEWEST, GroupRequest::Join(request.clone(), 1 << 91));
    assert_eq!(world.refused(refused), ErrorCode::GroupMaxSizeReached);
    // Smaller ones still have room, and so have those that are in.
    let first = world.joined(tickets[0]).member_id;
    world.new_member();
    world.send(3, GroupRequest::Join(JoinGroupRequest { member_id: first, ..request }, 0));
    assert_eq!(world.state(), "PreparingRebalance");
}

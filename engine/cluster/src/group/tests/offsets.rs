//! Committed offsets.

use ringlog_net::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

use super::*;

#[test]
fn members_commit_in_their_generation_and_others_only_while_there_are_none() {
    let mut world = World::without_delay();
    assert_eq!(committed(&world.ask(commit("", 3, 1))), ErrorCode::GroupIdNotFound);
    let old = world.send(8, commit("", 3, 1));
    assert_eq!(world.refused(old), ErrorCode::IllegalGeneration);
    assert_eq!(committed(&world.ask(commit("", -1, 1))), ErrorCode::None);
    assert_eq!((world.state(), world.fetch()), ("Empty", 1));
    let (generation, members) = world.stable_group(1);
    for (member, of, code) in [
        ("", -1, ErrorCode::UnknownMemberId),
        ("who", generation, ErrorCode::UnknownMemberId),
        (members[0].as_str(), generation + 1, ErrorCode::IllegalGeneration),
        (members[0].as_str(), -1, ErrorCode::IllegalGeneration),
        (members[0].as_str(), generation, ErrorCode::None),
    ] {
        assert_eq!(committed(&world.ask(commit(member, of, 2))), code, "{member} {of}");
    }
    assert_eq!(world.fetch(), 2);
    // In the middle of a rebalance, while it still has its work; and not when it is to get another.
    let waiting = world.send(NEWEST, join(&members[0], None));
    assert_eq!(world.joined(waiting).generation_id, generation + 1);
    assert_eq!(committed(&world.ask(commit(&members[0], generation + 1, 3))), ErrorCode::RebalanceInProgress);
    assert_eq!(world.fetch(), 2);
    world.restart();
    assert_eq!(world.fetch(), 2);
}

#[test]
fn a_note_that_is_too_long_fails_its_own_partition_alone() {
    let mut world = World::without_delay();
    let mut request = commit_request("", -1, 7);
    let partitions = &mut request.topics[0].partitions;
    partitions.push(OffsetCommitRequestPartition { partition_index: 1, ..partitions[0].clone() });
    partitions[0].committed_metadata = Some("nine char".to_owned());
    // Eight of Java's characters in twelve bytes.
    partitions[1].committed_metadata = Some("äöüß1234".to_owned());
    let reply = world.ask(GroupRequest::CommitOffsets(request));
    let Ok(GroupResponse::CommitOffsets(response)) = reply else { panic!("{reply:?}") };
    let codes: Vec<_> = response.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [ErrorCode::OffsetMetadataTooLarge.code(), 0]);
    assert_eq!(world.fetch(), -1);
}

#[test]
fn a_commit_that_is_too_large_for_the_log_is_refused() {
    let mut world = World::with(GroupConfig { offset_metadata_bytes_max: 4096, ..config() });
    let mut request = commit_request("", -1, 7);
    let note = OffsetCommitRequestPartition {
        committed_metadata: Some("x".repeat(4096)),
        ..request.topics[0].partitions[0].clone()
    };
    request.topics[0].partitions = vec![note; 1024];
    assert_eq!(committed(&world.ask(GroupRequest::CommitOffsets(request))), ErrorCode::InvalidCommitOffsetSize);
    assert!(world.rehearsal.log.is_empty());
}

#[test]
fn offsets_of_a_deleted_topic_are_not_those_of_the_next_one() {
    let mut world = World::without_delay();
    assert_eq!(committed(&world.ask(commit("", -1, 9))), ErrorCode::None);
    let of = |id: u128| OffsetFetchRequestTopics {
        name: TOPIC.to_owned(),
        topic_id: Uuid::from_u128(id),
        partition_indexes: vec![0],
    };
    let group = OffsetFetchRequestGroup {
        group_id: GROUP.to_owned(),
        topics: Some(vec![of(77), of(78), of(0)]),
        ..OffsetFetchRequestGroup::default()
    };
    let reply = world.ask(GroupRequest::FetchOffsets(group));
    let Ok(GroupResponse::FetchOffsets(fetched)) = reply else { panic!("{reply:?}") };
    let offsets: Vec<_> = fetched.topics.iter().map(|topic| topic.partitions[0].committed_offset).collect();
    assert_eq!(offsets, [9, -1, 9]);
    world.forget();
    assert_eq!(world.fetch(), 9);
    // Made again under the same name, it is another one.
    world.delete_topic(77);
    world.create_topic(TOPIC, 78, 1);
    let commit_of = |id: u128| {
        let mut request = commit_request("", -1, 3);
        request.topics[0].topic_id = Uuid::from_u128(id);
        request.topics[0].partitions[0].partition_index = 1;
        GroupRequest::CommitOffsets(request)
    };
    // Who has not heard of it yet commits for the old one.
    assert_eq!(committed(&world.ask(commit_of(77))), ErrorCode::UnknownTopicOrPartition);
    let newest = world.send(10, commit_of(77));
    assert_eq!(committed(&world.replies[&newest]), ErrorCode::UnknownTopicId);
    assert_eq!(committed(&world.ask(commit_of(78))), ErrorCode::None);
    world.forget();
    assert_eq!(world.fetch(), -1);
    let left = &world.rehearsal.live.state.offsets(GROUP).expect("those of the new one stay")[TOPIC];
    assert_eq!(left.keys().collect::<Vec<_>>(), [&1]);
}

#[test]
fn offsets_of_a_topic_that_is_deleted_while_nobody_coordinates_are_forgotten() {
    let mut world = World::without_delay();
    assert_eq!(committed(&world.ask(commit("", -1, 9))), ErrorCode::None);
    world.delete_topic(77);
    world.restart();
    world.pass(Duration::ZERO);
    assert_eq!(world.fetch(), -1);
    // The coordinator has not heard of it when the commit comes.
    world.create_topic(TOPIC, 78, 1);
    assert_eq!(committed(&world.ask(commit("", -1, 9))), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn offsets_are_deleted_unless_somebody_reads_their_topic() {
    let mut world = World::without_delay();
    let delete = |world: &mut World, topic: &str| {
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
        let topics = vec![OffsetDeleteRequestTopic { name: topic.to_owned(), partitions }];
        match world.ask(GroupRequest::DeleteOffsets(OffsetDeleteRequest { group_id: GROUP.to_owned(), topics })) {
            Ok(GroupResponse::DeleteOffsets(response)) => {
                ErrorCode::from_wire(response.topics[0].partitions[0].error_code)
            }
            Err(code) => code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(delete(&mut world, TOPIC), ErrorCode::GroupIdNotFound);
    let (generation, members) = world.stable_group(1);
    assert_eq!(committed(&world.ask(commit(&members[0], generation, 4))), ErrorCode::None);
    assert_eq!(delete(&mut world, TOPIC), ErrorCode::GroupSubscribedToTopic);
    assert_eq!(delete(&mut world, "others"), ErrorCode::None);
    assert_eq!(world.fetch(), 4);
    assert!(world.ask(leave(&[(&members[0], None)])).is_ok());
    assert_eq!(delete(&mut world, TOPIC), ErrorCode::None);
    assert_eq!(world.fetch(), -1);
    // Consumers that cannot be understood may read anything; what others read is not known.
    for (protocol_type, code) in
        [("consumer", ErrorCode::GroupSubscribedToTopic), ("connect", ErrorCode::NonEmptyGroup)]
    {
        let mut world = World::without_delay();
        let mut request = join_request("", None);
        request.protocol_type = protocol_type.to_owned();
        request.protocols[0].metadata = b"?".to_vec();
        let ticket = world.send(0, GroupRequest::Join(request, 1));
        assert_eq!(world.joined(ticket).generation_id, 1);
        assert_eq!(delete(&mut world, "others"), code);
    }
}

#[test]
fn trap_16_offsets_expire_when_nobody_has_needed_them_for_long_and_no_earlier_after_a_reload() {
    let mut world = World::without_delay();
    let (generation, members) = world.stable_group(1);
    assert_eq!(committed(&world.ask(commit(&members[0], generation, 4))), ErrorCode::None);
    let live_on = |world: &mut World, time: Duration| {
        for _ in 0..time.as_secs() / 9 {
            world.pass(Duration::from_secs(9));
            assert!(world.ask(heartbeat(&members[0], generation)).is_ok());
        }
    };
    live_on(&mut world, RETENTION / 100);
    assert!(world.ask(leave(&[(&members[0], None)])).is_ok());
    world.pass(RETENTION - Duration::from_mins(11));
    assert_eq!(world.fetch(), 4, "they are kept for as long as that since the group has become empty");
    // KAFKA-8069: not earlier because of a reload either.
    world.restart();
    world.pass(Duration::from_mins(10));
    assert_eq!((world.fetch(), world.state()), (4, "Empty"));
    world.pass(Duration::from_mins(12));
    assert_eq!((world.fetch(), world.state()), (-1, "Dead"));
    world.restart();
    assert_eq!((world.fetch(), world.state()), (-1, "Dead"));
}

#[test]
fn offsets_of_members_that_read_the_topic_do_not_expire() {
    let mut world =
        World::with(GroupConfig { offsets_retention_minutes: 10, initial_rebalance_delay_ms: 0, ..config() });
    world.create_topic("left", 79, 1);
    let (generation, members) = world.stable_group(1);
    let mut unread = commit_request(&members[0], generation, 4);
    let topic_id = Uuid::from_u128(79);
    unread.topics.push(OffsetCommitRequestTopic { name: "left".to_owned(), topic_id, ..unread.topics[0].clone() });
    assert_eq!(committed(&world.ask(GroupRequest::CommitOffsets(unread))), ErrorCode::None);
    for _ in 0..150 {
        world.pass(Duration::from_secs(9));
        assert!(world.ask(heartbeat(&members[0], generation)).is_ok());
    }
    assert_eq!(world.fetch(), 4);
    let topics = world.rehearsal.live.state.offsets(GROUP).expect("one is left");
    assert_eq!(topics.keys().map(|name| &**name).collect::<Vec<_>>(), [TOPIC], "what it no longer reads does expire");
}

#[test]
fn an_offset_may_have_an_end_of_its_own() {
    let mut world = World::without_delay();
    let request = OffsetCommitRequest { retention_time_ms: 1000, ..commit_request("", -1, 4) };
    let ticket = world.send(4, GroupRequest::CommitOffsets(request));
    assert_eq!(committed(&world.replies.remove(&ticket).expect("answered at once")), ErrorCode::None);
    let [record] = world.rehearsal.log.as_slice() else { panic!("one offset, one record") };
    assert_eq!(value_version(record), 1, "the only version that can say so");
    world.pass(Duration::from_mins(11));
    assert_eq!(world.fetch(), -1);
}

#[test]
fn what_is_told_of_groups_comes_in_pages() {
    let mut world = World::without_delay();
    let groups: Vec<String> = (0..7).map(|number| format!("group-{number}")).collect();
    for group in &groups {
        let request = OffsetCommitRequest { group_id: group.clone(), ..commit_request("", -1, 4) };
        assert_eq!(committed(&world.ask(GroupRequest::CommitOffsets(request))), ErrorCode::None);
    }
    let (_, members) = world.stable_group(2);
    let mut told = Vec::new();
    let mut pages = 0;
    loop {
        let last = told.last().map(|facts: &GroupFacts| Arc::clone(&facts.group));
        // A group and an offset each.
        let page = world.rehearsal.live.facts_after(last.as_deref(), 4);
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2, "{page:?}");
        pages += 1;
        told.extend(page);
    }
    assert_eq!((told.len(), pages), (8, 4));
    assert_eq!(told[..7].iter().map(|facts| facts.group.to_string()).collect::<Vec<_>>(), groups);
    let offset = CommittedOffset { topic: TOPIC.into(), partition: PartitionIndex::new(0), offset: Offset::new(4) };
    assert!(told[..7].iter().all(|facts| facts.offsets == [offset.clone()] && facts.state == "Empty"));
    assert!(told[..7].iter().all(|facts| facts.epoch == 0), "they never rebalanced");
    assert_eq!((&*told[7].group, told[7].members, told[7].state), (GROUP, members.len(), "Stable"));
    assert!(told[7].epoch > 0, "a generation for each rebalance");
}

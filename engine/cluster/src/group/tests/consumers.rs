//! Groups of the consumer protocol: members reconcile at their own pace, and nothing stops because somebody joins.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_net::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use super::*;
use crate::image::ConfigResource;

/// A member as its client sees it.
#[derive(Clone, Default)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) epoch: i32,
    pub(super) owned: BTreeMap<Uuid, BTreeSet<i32>>,
    pub(super) names: Vec<String>,
    pub(super) expression: Option<String>,
    pub(super) assignor: Option<String>,
}

impl Member {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), names: vec![TOPIC.to_owned()], ..Self::default() }
    }

    pub(super) fn partitions(&self) -> BTreeSet<i32> {
        self.owned.values().flatten().copied().collect()
    }

    pub(super) fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let topic = |(topic_id, of): (&Uuid, &BTreeSet<i32>)| TopicPartitions {
            topic_id: *topic_id,
            partitions: of.iter().copied().collect(),
        };
        ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance.clone(),
            rebalance_timeout_ms: millis(REBALANCE),
            subscribed_topic_names: Some(self.names.clone()),
            subscribed_topic_regex: self.expression.clone(),
            server_assignor: self.assignor.clone(),
            topic_partitions: Some(self.owned.iter().map(topic).collect()),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    /// Sends a heartbeat and does what it is told.
    pub(super) fn beat(&mut self, world: &mut World) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let response = beat(world, self.request())?;
        self.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            let topics = assignment.topic_partitions.iter();
            self.owned = topics.map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect())).collect();
        }
        Ok(response)
    }

    pub(super) fn leave(&mut self, world: &mut World, epoch: i32) -> Result<(), ErrorCode> {
        self.epoch = epoch;
        beat(world, self.request())?;
        self.epoch = 0;
        self.owned.clear();
        Ok(())
    }
}

pub(super) fn beat(
    world: &mut World,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
    match world.ask(GroupRequest::ConsumerHeartbeat(request)) {
        Ok(GroupResponse::ConsumerHeartbeat(response)) => Ok(response),
        Err(code) => Err(code),
        other => panic!("no answer to a heartbeat: {other:?}"),
    }
}

/// Lets everybody send heartbeats until all have what they should have.
fn settle(world: &mut World, members: &mut [&mut Member]) {
    reconcile(world, members);
    assert_eq!(world.state(), "Stable");
}

/// Lets everybody send heartbeats, and checks that no partition ever has two owners.
fn reconcile(world: &mut World, members: &mut [&mut Member]) {
    for _ in 0..10 {
        for at in 0..members.len() {
            members[at].beat(world).expect("it is a member");
            let all: Vec<_> = members.iter().flat_map(|member| member.owned.iter()).collect();
            let count: usize = all.iter().map(|(_, of)| of.len()).sum();
            let distinct: BTreeSet<_> =
                all.iter().flat_map(|(topic, of)| of.iter().map(move |part| (*topic, *part))).collect();
            assert_eq!(count, distinct.len(), "a partition has two owners");
        }
    }
}

#[test]
fn the_coordinator_divides_and_a_newcomer_gets_what_the_others_give_back() {
    let mut world = World::new();
    let (mut one, mut two) = (Member::new("one"), Member::new("two"));
    let response = one.beat(&mut world).expect("it joins");
    assert_eq!((response.member_epoch, response.heartbeat_interval_ms), (1, 3000));
    assert_eq!((one.partitions().len(), world.state()), (6, "Stable"));
    // The next one gets nothing yet, and the first is not disturbed until it hears of it.
    let response = two.beat(&mut world).expect("it joins");
    assert_eq!((response.member_epoch, two.partitions().len(), world.state()), (2, 0, "Reconciling"));
    let mut told = one.clone();
    let response = told.beat(&mut world).expect("it is a member");
    assert_eq!((response.member_epoch, told.partitions().len()), (1, 3), "it keeps its epoch until it has given back");
    let brief = ConsumerGroupHeartbeatRequest { topic_partitions: None, ..two.request() };
    assert_eq!(beat(&mut world, brief).expect("it waits").assignment, None);
    assert_eq!(told.beat(&mut world).expect("it has given back").member_epoch, 2);
    two.beat(&mut world).expect("it gets them");
    assert_eq!((two.partitions().len(), world.state()), (3, "Stable"));
    assert!(told.partitions().is_disjoint(&two.partitions()));
    // A restart of the coordinator changes nothing.
    world.restart();
    settle(&mut world, &mut [&mut told, &mut two]);
    assert_eq!((told.epoch, two.epoch), (2, 2));
}

#[test]
fn a_member_that_leaves_or_falls_silent_makes_room() {
    let mut world = World::new();
    let (mut one, mut two, mut three) = (Member::new("one"), Member::new("two"), Member::new("three"));
    for member in [&mut one, &mut two, &mut three] {
        member.beat(&mut world).expect("it joins");
    }
    settle(&mut world, &mut [&mut one, &mut two, &mut three]);
    assert_eq!([&one, &two, &three].map(|member| member.partitions().len()), [2, 2, 2]);
    three.leave(&mut world, -1).expect("it leaves");
    settle(&mut world, &mut [&mut one, &mut two]);
    assert_eq!([&one, &two].map(|member| member.partitions().len()), [3, 3]);
    world.pass(SESSION / 2);
    one.beat(&mut world).expect("it lives");
    world.pass(SESSION / 2);
    settle(&mut world, &mut [&mut one]);
    assert_eq!(one.partitions().len(), 6);
    assert_eq!(two.beat(&mut world).expect_err("it is out"), ErrorCode::UnknownMemberId);
    one.leave(&mut world, -1).expect("it leaves");
    assert_eq!(world.state(), "Empty");
    assert_eq!(one.leave(&mut world, -1), Err(ErrorCode::UnknownMemberId));
    let left = MemberChange::Left(String::new());
    for (member, gone) in [("one", left.clone()), ("two", MemberChange::Silent), ("three", left)] {
        assert_eq!(world.changes(member), [MemberChange::Joined, gone], "{member}");
    }
}

#[test]
fn a_member_that_gives_nothing_back_is_out_after_its_rebalance_timeout() {
    let mut world = World::new();
    let (mut one, mut two) = (Member::new("one"), Member::new("two"));
    one.beat(&mut world).expect("it joins");
    two.beat(&mut world).expect("it joins");
    let stubborn = ConsumerGroupHeartbeatRequest { topic_partitions: None, ..one.request() };
    for _ in 0..12 {
        assert!(beat(&mut world, stubborn.clone()).is_ok());
        two.beat(&mut world).expect("it waits");
        assert!(two.partitions().len() < 6);
        world.pass(REBALANCE / 12);
    }
    assert_eq!(beat(&mut world, stubborn), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.changes("one"), [MemberChange::Joined, MemberChange::NotActed]);
    settle(&mut world, &mut [&mut two]);
    assert_eq!(two.partitions().len(), 6);
}

#[test]
fn a_member_that_is_asked_for_more_while_it_gives_back_has_all_of_its_time_for_that() {
    let mut world = World::new();
    let (mut one, mut two, mut three) = (Member::new("one"), Member::new("two"), Member::new("three"));
    one.beat(&mut world).expect("it joins");
    two.beat(&mut world).expect("it joins");
    one.beat(&mut world).expect("it hears what to give back");
    let step = REBALANCE / 12;
    let live_on = |world: &mut World, one: &Member, others: &mut [&mut Member]| {
        world.pass(step);
        // It has not given anything back yet.
        beat(world, ConsumerGroupHeartbeatRequest { topic_partitions: None, ..one.request() })?;
        others.iter_mut().try_for_each(|other| other.beat(world).map(|_| ()))
    };
    for _ in 0..8 {
        assert_eq!(live_on(&mut world, &one, &mut [&mut two]), Ok(()));
    }
    three.beat(&mut world).expect("it joins");
    one.beat(&mut world).expect("it has given back, and hears that it has to give back more");
    assert_eq!((one.epoch, one.partitions().len()), (1, 2));
    for _ in 0..11 {
        assert_eq!(live_on(&mut world, &one, &mut [&mut two, &mut three]), Ok(()));
    }
    assert_eq!(live_on(&mut world, &one, &mut []), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn members_that_fall_silent_at_the_same_moment_go_together() {
    let mut world = World::new();
    let subscribe = |id: &str| Member { names: Vec::new(), expression: Some("ord.*".to_owned()), ..Member::new(id) };
    let (mut one, mut two) = (subscribe("one"), subscribe("two"));
    one.beat(&mut world).expect("it joins");
    two.beat(&mut world).expect("it joins");
    let raised = |world: &World| world.rehearsal.log.iter().filter(|record| record.kind() == 3).count();
    let before = raised(&world);
    world.pass(SESSION);
    assert_eq!((world.state(), raised(&world)), ("Empty", before + 1));
    let kept = compacted(&world).into_iter().filter(|record| record.kind() == 16).count();
    assert_eq!(kept, 0, "an expression that nobody has is forgotten");
}

#[test]
fn epochs_that_do_not_fit_are_fenced() {
    let mut world = World::new();
    let mut one = Member::new("one");
    let missing = ConsumerGroupHeartbeatRequest { member_epoch: 1, ..one.request() };
    assert_eq!(beat(&mut world, missing), Err(ErrorCode::GroupIdNotFound));
    one.beat(&mut world).expect("it joins");
    let with = |epoch: i32, change: &dyn Fn(&mut ConsumerGroupHeartbeatRequest)| {
        let mut request = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..one.request() };
        change(&mut request);
        request
    };
    assert_eq!(beat(&mut world, with(2, &|_| {})), Err(ErrorCode::FencedMemberEpoch));
    assert_eq!(
        beat(&mut world, with(1, &|request| request.member_id = "who".to_owned())),
        Err(ErrorCode::UnknownMemberId)
    );
    // It has missed the answer that raised its epoch, and has no more than it was given.
    let mut two = Member::new("two");
    two.beat(&mut world).expect("it joins");
    one.beat(&mut world).expect("it gives back");
    one.beat(&mut world).expect("it has given back");
    assert_eq!(one.epoch, 2);
    let late = ConsumerGroupHeartbeatRequest { member_epoch: 1, ..one.request() };
    let response = beat(&mut world, late.clone()).expect("its answer was lost");
    assert_eq!(response.member_epoch, 2);
    let mut wrong = late;
    wrong.topic_partitions =
        Some(vec![TopicPartitions { topic_id: Uuid::from_u128(77), partitions: (0..6).collect() }]);
    assert_eq!(beat(&mut world, wrong), Err(ErrorCode::FencedMemberEpoch));
    for number in 3..6 {
        Member::new(&format!("member {number}")).beat(&mut world).expect("there is room");
    }
    assert_eq!(Member::new("one too many").beat(&mut world), Err(ErrorCode::GroupMaxSizeReached));
}

#[test]
fn a_static_member_that_comes_back_has_what_it_had() {
    let mut world = World::new();
    let fixed = |id: &str| Member { instance: Some("i1".to_owned()), ..Member::new(id) };
    let (mut one, mut other) = (fixed("first"), Member::new("other"));
    one.beat(&mut world).expect("it joins");
    other.beat(&mut world).expect("it joins");
    settle(&mut world, &mut [&mut one, &mut other]);
    let had = one.partitions();
    assert_eq!(fixed("twin").beat(&mut world), Err(ErrorCode::UnreleasedInstanceId));
    let twin = ConsumerGroupHeartbeatRequest { member_id: "twin".to_owned(), ..one.request() };
    assert_eq!(beat(&mut world, twin), Err(ErrorCode::FencedInstanceId));
    let epoch = one.epoch;
    one.leave(&mut world, -2).expect("it will be back");
    reconcile(&mut world, &mut [&mut other]);
    assert!(other.partitions().is_disjoint(&had), "nobody gets what it had");
    let mut back = fixed("second");
    back.beat(&mut world).expect("it is back");
    settle(&mut world, &mut [&mut back, &mut other]);
    assert_eq!((back.partitions(), back.epoch >= epoch), (had, true));
    // If it does not come back in time, the others get it.
    back.leave(&mut world, -2).expect("it will be back");
    for _ in 0..3 {
        world.pass(SESSION / 2);
        other.beat(&mut world).expect("it lives");
    }
    settle(&mut world, &mut [&mut other]);
    assert_eq!(other.partitions().len(), 6);
}

#[test]
fn topics_that_come_grow_and_go_are_followed() {
    let mut world = World::new();
    let mut one = Member { names: vec![TOPIC.to_owned(), "later".to_owned()], ..Member::new("one") };
    one.beat(&mut world).expect("it joins");
    assert_eq!((one.owned.len(), one.epoch), (1, 1));
    world.create_topic("unrelated", 80, 3);
    one.beat(&mut world).expect("it lives");
    assert_eq!(one.epoch, 1, "what it does not read does not matter");
    world.create_topic("later", 81, 2);
    one.beat(&mut world).expect("it lives");
    assert_eq!((one.owned.len(), one.epoch), (2, 2));
    world.delete_topic(81);
    settle(&mut world, &mut [&mut one]);
    assert_eq!((one.owned.len(), one.epoch), (1, 3));
    one.names = vec!["unrelated".to_owned()];
    settle(&mut world, &mut [&mut one]);
    assert_eq!(one.owned.keys().collect::<Vec<_>>(), [&Uuid::from_u128(80)]);
}

#[test]
fn expressions_are_matched_by_the_coordinator() {
    let mut world = World::new();
    let subscribe =
        |id: &str, text: &str| Member { names: Vec::new(), expression: Some(text.to_owned()), ..Member::new(id) };
    let (mut one, mut two) = (subscribe("one", "ord.*|new-.*"), subscribe("two", "ord.*|new-.*"));
    one.beat(&mut world).expect("it joins");
    two.beat(&mut world).expect("it joins");
    settle(&mut world, &mut [&mut one, &mut two]);
    assert_eq!([&one, &two].map(|member| member.partitions().len()), [3, 3]);
    world.create_topic("new-one", 90, 4);
    world.create_topic("brand-new-one", 91, 4);
    settle(&mut world, &mut [&mut one, &mut two]);
    let owned: usize = [&one, &two].iter().flat_map(|member| member.owned.values()).map(BTreeSet::len).sum();
    assert_eq!(owned, 10);
    world.restart();
    one.expression = Some("nothing".to_owned());
    settle(&mut world, &mut [&mut one, &mut two]);
    assert_eq!((one.owned.len(), two.owned.len()), (0, 2));
    two.leave(&mut world, -1).expect("it leaves");
    one.leave(&mut world, -1).expect("it leaves");
    let kept = compacted(&world).into_iter().filter(|record| record.kind() == 16).count();
    assert_eq!(kept, 0, "expressions that nobody has are forgotten");
}

pub(super) fn compacted(world: &World) -> Vec<GroupRecord> {
    let Ok(records) = world.rehearsal.live.compact(&world.rehearsal.log);
    records
}

#[test]
fn most_members_choose_the_assignor() {
    let mut world = World::new();
    world.create_topic("second", 78, 6);
    let range = |id: &str| Member {
        assignor: Some("range".to_owned()),
        names: vec![TOPIC.to_owned(), "second".to_owned()],
        ..Member::new(id)
    };
    let (mut one, mut two) = (range("one"), range("two"));
    one.beat(&mut world).expect("it joins");
    two.beat(&mut world).expect("it joins");
    settle(&mut world, &mut [&mut one, &mut two]);
    assert_eq!(one.owned[&Uuid::from_u128(77)], one.owned[&Uuid::from_u128(78)]);
}

#[test]
fn members_commit_in_their_epoch_or_for_what_they_had_before_it() {
    let mut world = World::new();
    let (mut one, mut two) = (Member::new("one"), Member::new("two"));
    one.beat(&mut world).expect("it joins");
    assert_eq!(committed(&world.ask(commit("one", 1, 5))), ErrorCode::None);
    two.beat(&mut world).expect("it joins");
    one.beat(&mut world).expect("it gives back");
    // It still commits for what it gives back, in its old epoch.
    assert_eq!(committed(&world.ask(commit("one", 1, 6))), ErrorCode::None);
    settle(&mut world, &mut [&mut one, &mut two]);
    let owner = if one.partitions().contains(&0) { "one" } else { "two" };
    let other = if owner == "one" { "two" } else { "one" };
    for (member, epoch, code) in [
        (owner, 2, ErrorCode::None),
        (owner, 3, ErrorCode::StaleMemberEpoch),
        ("who", 2, ErrorCode::UnknownMemberId),
        ("", -1, ErrorCode::UnknownMemberId),
        (other, 1, ErrorCode::StaleMemberEpoch),
    ] {
        assert_eq!(committed(&world.ask(commit(member, epoch, 7))), code, "{member} {epoch}");
    }
    for epoch in [2, 3] {
        let old = world.send(8, commit(owner, epoch, 7));
        assert_eq!(world.refused(old), ErrorCode::UnsupportedVersion, "a version that knows no epochs of members");
    }
    let fetch = |world: &mut World, member: Option<&str>, epoch: i32| {
        let group = OffsetFetchRequestGroup {
            group_id: GROUP.to_owned(),
            member_id: member.map(str::to_owned),
            member_epoch: epoch,
            ..OffsetFetchRequestGroup::default()
        };
        world.ask(GroupRequest::FetchOffsets(group)).map(|_| ())
    };
    assert_eq!(fetch(&mut world, None, -1), Ok(()));
    assert_eq!(fetch(&mut world, Some(owner), 2), Ok(()));
    assert_eq!(fetch(&mut world, Some(owner), 1), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(fetch(&mut world, Some("who"), 1), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn an_empty_group_of_one_protocol_becomes_one_of_the_other() {
    let mut world = World::without_delay();
    let (_, members) = world.stable_group(1);
    let mut one = Member::new("one");
    assert_eq!(one.beat(&mut world), Err(ErrorCode::GroupIdNotFound));
    assert!(world.ask(leave(&[(&members[0], None)])).is_ok());
    assert_eq!(committed(&world.ask(commit("", -1, 3))), ErrorCode::None);
    one.beat(&mut world).expect("it joins");
    assert_eq!(world.fetch(), 3, "offsets stay");
    one.leave(&mut world, -1).expect("it leaves");
    world.restart();
    world.stable_group(1);
    assert_eq!(world.fetch(), 3);
    assert_eq!(compacted(&world).iter().filter(|record| record.kind() > 2).count(), 0);
}

#[test]
fn a_join_that_is_refused_leaves_one_group_of_the_name_behind() {
    let mut world = World::without_delay();
    let mut one = Member::new("one");
    one.beat(&mut world).expect("it joins");
    one.leave(&mut world, -1).expect("it leaves");
    // The empty consumer group gives its name away, to somebody who does not get in.
    let request = JoinGroupRequest { protocols: Vec::new(), ..join_request("", None) };
    assert_eq!(world.ask(GroupRequest::Join(request, 0)), Err(ErrorCode::InconsistentGroupProtocol));
    let (generation, members) = world.stable_group(1);
    world.restart();
    assert_eq!(world.state(), "Stable");
    assert!(world.ask(heartbeat(&members[0], generation)).is_ok(), "its members are there after a restart");
}

#[test]
fn an_expression_that_is_given_up_when_topics_have_changed_is_forgotten() {
    let mut world = World::new();
    let mut one = Member { names: Vec::new(), expression: Some("ord.*".to_owned()), ..Member::new("one") };
    one.beat(&mut world).expect("it joins");
    world.create_topic("orders-of-today", 92, 1);
    one.expression = Some("other".to_owned());
    one.beat(&mut world).expect("it lives");
    let kept = compacted(&world).into_iter().filter(|record| record.kind() == 16).count();
    assert_eq!(kept, 1, "only the one that it has now");
}

#[test]
fn a_group_is_described_listed_deleted_and_forgotten() {
    let mut world = World::new();
    let (mut one, mut two) = (Member::new("one"), Member::new("two"));
    one.beat(&mut world).expect("it joins");
    two.beat(&mut world).expect("it joins");
    let describe = |world: &mut World| match world.ask(GroupRequest::ConsumerDescribe(GROUP.to_owned())) {
        Ok(GroupResponse::ConsumerDescribe(described)) => described,
        other => panic!("{other:?}"),
    };
    let described = describe(&mut world);
    assert_eq!(
        (described.group_state.as_str(), described.group_epoch, described.assignment_epoch),
        ("Reconciling", 2, 2)
    );
    assert_eq!(described.assignor_name, "uniform");
    let member = &described.members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch, member.member_type), ("one", 1, 1));
    assert_eq!(member.assignment.topic_partitions[0].partitions.len(), 6);
    assert_eq!(member.target_assignment.topic_partitions[0].partitions.len(), 3);
    assert_eq!(member.assignment.topic_partitions[0].topic_name, TOPIC);
    one.leave(&mut world, -1).expect("it leaves");
    two.leave(&mut world, -1).expect("it leaves");
    assert_eq!(committed(&world.ask(commit("", -1, 3))), ErrorCode::None);
    world.pass(RETENTION * 2);
    assert_eq!((world.state(), world.fetch()), ("Dead", -1));
    assert_eq!(describe(&mut world).error_code, ErrorCode::GroupIdNotFound.code());
    assert!(compacted(&world).is_empty());
}

#[test]
fn a_group_s_own_settings_count_from_the_next_heartbeat_on() {
    let mut world = World::without_delay();
    let mut member = Member::new("a");
    let set = |world: &mut World, key: &str, value: Option<&str>| {
        world.change(&crate::image::config_record(&ConfigResource::Group(GROUP.into()), key, value));
    };
    assert_eq!(member.beat(&mut world).expect("it joins").heartbeat_interval_ms, 3000);
    set(&mut world, "consumer.heartbeat.interval.ms", Some("4000"));
    set(&mut world, "consumer.session.timeout.ms", Some(&(2 * millis(SESSION)).to_string()));
    assert_eq!(member.beat(&mut world).expect("it is a member").heartbeat_interval_ms, 4000);
    world.pass(SESSION * 2 - Duration::from_millis(1));
    assert_eq!(world.state(), "Stable");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.state(), "Empty");
    set(&mut world, "consumer.session.timeout.ms", None);
    member.epoch = 0;
    member.owned.clear();
    member.beat(&mut world).expect("it joins again");
    world.pass(SESSION);
    assert_eq!(world.state(), "Empty");
}

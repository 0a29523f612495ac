//! Groups that change their protocol while they have members.

use std::collections::BTreeSet;

use ringlog_net::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use ringlog_net::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as OwnedPartitions,
};

use super::consumers::{Member, beat, compacted};
use super::storms::Dice;
use super::*;
use crate::group::embedded;

/// A consumer of the classic protocol as its application sees it.
#[derive(Clone, Default)]
struct Classic {
    id: String,
    instance: Option<String>,
    /// 0: it is in none.
    generation: i32,
    owned: BTreeSet<i32>,
    /// It gives up all that it has before it joins.
    is_eager: bool,
    /// It has given something back, and has to say so.
    rejoins: bool,
    /// It has joined a classic group, and waits for the others.
    joins: Option<u64>,
    /// It waits for the leader of a classic group.
    syncs: Option<u64>,
}

impl Classic {
    fn eager() -> Self {
        Self { is_eager: true, ..Self::default() }
    }

    fn request(&self) -> JoinGroupRequest {
        let owned = OwnedPartitions { topic: TOPIC.to_owned(), partitions: self.owned.iter().copied().collect() };
        let subscription = ConsumerProtocolSubscription {
            topics: vec![TOPIC.to_owned()],
            owned_partitions: vec![owned],
            ..ConsumerProtocolSubscription::default()
        };
        let metadata = embedded::encode_subscription(&subscription, 1).expect("it is small");
        let protocol = |name: &str| JoinGroupRequestProtocol { name: name.to_owned(), metadata: metadata.clone() };
        JoinGroupRequest {
            protocols: vec![protocol("cooperative-sticky"), protocol("range")],
            ..join_request(&self.id, self.instance.as_deref())
        }
    }

    /// Joins. It is answered at once, unless the group is a classic one.
    fn join(&mut self, world: &mut World) -> Result<(), ErrorCode> {
        if self.is_eager {
            self.owned.clear();
        }
        let ticket = world.send(NEWEST, GroupRequest::Join(self.request(), u128::from(world.asked) << 70));
        (self.joins, self.rejoins) = (Some(ticket), false);
        self.take_join(world)
    }

    fn take_join(&mut self, world: &mut World) -> Result<(), ErrorCode> {
        let Some(reply) = self.joins.and_then(|ticket| world.replies.remove(&ticket)) else { return Ok(()) };
        self.joins = None;
        let joined = match reply {
            Ok(GroupResponse::Join(joined)) => joined,
            Err(code) => return Err(self.refused(code)),
            other => panic!("{other:?}"),
        };
        self.id.clone_from(&joined.member_id);
        if joined.error_code == ErrorCode::MemberIdRequired.code() {
            return self.join(world);
        }
        self.generation = joined.generation_id;
        let given = shares(&joined);
        let given: Vec<_> = given.iter().map(|(id, bytes)| (id.as_str(), bytes.as_slice())).collect();
        let GroupRequest::Sync(request) = sync(&self.id, self.generation, &given) else { unreachable!() };
        let request = SyncGroupRequest { group_instance_id: self.instance.clone(), ..request };
        self.syncs = Some(world.send(NEWEST, GroupRequest::Sync(request)));
        self.take_sync(world)
    }

    fn take_sync(&mut self, world: &mut World) -> Result<(), ErrorCode> {
        let Some(reply) = self.syncs.and_then(|ticket| world.replies.remove(&ticket)) else { return Ok(()) };
        self.syncs = None;
        match reply {
            Ok(GroupResponse::Sync(synced)) => {
                let assignment = embedded::assignment(&synced.assignment).expect("it can be read");
                let partitions = assignment.assigned_partitions.into_iter().flat_map(|topic| topic.partitions);
                let before = std::mem::replace(&mut self.owned, partitions.collect());
                self.rejoins = !self.owned.is_superset(&before);
                Ok(())
            }
            Err(code) => Err(self.refused(code)),
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, code: ErrorCode) -> ErrorCode {
        if code != ErrorCode::RebalanceInProgress {
            self.owned.clear();
        }
        if matches!(code, ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) {
            self.id.clear();
        }
        self.generation = 0;
        code
    }

    fn heartbeat(&mut self, world: &mut World) -> Result<(), ErrorCode> {
        world.ask(heartbeat(&self.id, self.generation)).map(|_| ())
    }

    /// Does what a consumer does from time to time.
    fn go_on(&mut self, world: &mut World) {
        let _ = self.take_join(world);
        let _ = self.take_sync(world);
        if self.joins.is_some() || self.syncs.is_some() {
            return;
        }
        if self.generation == 0 || self.rejoins {
            let _ = self.join(world);
        } else if let Err(code) = self.heartbeat(world) {
            self.refused(code);
        }
    }

    fn leave(&mut self, world: &mut World) -> ErrorCode {
        let reply = world.ask(leave(&[(&self.id, self.instance.as_deref())]));
        let Ok(GroupResponse::Leave(response)) = reply else { panic!("{reply:?}") };
        (self.generation, self.id) = (0, String::new());
        self.owned.clear();
        ErrorCode::from_wire(response.members[0].error_code)
    }
}

/// What a leader gives to the members: nothing that somebody else still has.
fn shares(joined: &JoinGroupResponse) -> Vec<(String, Vec<u8>)> {
    let owned = |metadata: &[u8]| -> BTreeSet<i32> {
        let subscription = embedded::subscription(metadata).expect("it can be read");
        subscription.owned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
    };
    let owned: Vec<_> = joined.members.iter().map(|member| owned(&member.metadata)).collect();
    let share = |at: usize| -> Vec<u8> {
        let is_free = |part: &i32| owned.iter().enumerate().all(|(other, of)| other == at || !of.contains(part));
        let is_its = |part: &i32| usize::try_from(*part).expect("it is small") % owned.len() == at;
        let partitions = (0..6).filter(|part| is_its(part) && is_free(part)).collect();
        embedded::encode_assignment(&[0, 1], vec![Assigned { topic: TOPIC.to_owned(), partitions }])
    };
    joined.members.iter().enumerate().map(|(at, member)| (member.member_id.clone(), share(at))).collect()
}

fn with(upgrades: bool, downgrades: bool) -> World {
    let migration = MigrationPolicy { upgrades, downgrades };
    World::with(GroupConfig { migration, initial_rebalance_delay_ms: 0, ..config() })
}

/// Lets everybody go on until all have what they should have. No partition has two owners on the way.
fn settle(world: &mut World, classic: &mut [&mut Classic], consumers: &mut [&mut Member]) {
    for _ in 0..12 {
        for at in 0..classic.len() {
            classic[at].go_on(world);
            check(classic, consumers);
        }
        for at in 0..consumers.len() {
            consumers[at].beat(world).expect("it is a member");
            check(classic, consumers);
        }
    }
    assert_eq!(world.state(), "Stable");
    let owned: usize = owned(classic, consumers).count();
    assert_eq!(owned, 6, "everything has an owner");
}

fn owned<'a>(classic: &'a [&mut Classic], consumers: &'a [&mut Member]) -> impl Iterator<Item = i32> {
    let of_classic = classic.iter().flat_map(|member| member.owned.iter().copied());
    of_classic.chain(consumers.iter().flat_map(|member| member.owned.values().flatten().copied()))
}

fn check(classic: &[&mut Classic], consumers: &[&mut Member]) {
    let mut seen = BTreeSet::new();
    assert!(owned(classic, consumers).all(|partition| seen.insert(partition)), "a partition has two owners");
}

fn is_consumer_group(world: &World) -> bool {
    world.rehearsal.live.consumer_group(GROUP).is_some()
}

#[test]
fn a_classic_group_takes_a_consumer_in_and_is_a_classic_one_again_when_it_leaves() {
    let mut world = with(true, true);
    let (mut one, mut two, mut new) = (Classic::default(), Classic::default(), Member::new("new"));
    settle(&mut world, &mut [&mut one, &mut two], &mut []);
    assert_eq!((one.owned.len(), two.owned.len()), (3, 3));
    let generation = one.generation;
    new.beat(&mut world).expect("it joins");
    assert!(is_consumer_group(&world));
    assert_eq!((new.epoch, new.partitions().len()), (generation + 1, 0), "the others have everything");
    // A classic member hears of it, joins again, and gives back before it is in the new generation.
    assert_eq!(one.heartbeat(&mut world), Err(ErrorCode::RebalanceInProgress));
    one.join(&mut world).expect("it is a member");
    assert_eq!((one.generation, one.owned.len()), (generation, 2));
    assert_eq!(one.heartbeat(&mut world), Err(ErrorCode::RebalanceInProgress));
    one.join(&mut world).expect("it is a member");
    assert_eq!((one.generation, one.owned.len()), (generation + 1, 2));
    assert_eq!(one.heartbeat(&mut world), Ok(()));
    settle(&mut world, &mut [&mut one, &mut two], &mut [&mut new]);
    assert_eq!((two.owned.len(), new.partitions().len()), (2, 2));
    world.restart();
    settle(&mut world, &mut [&mut one, &mut two], &mut [&mut new]);
    let described = world.ask(GroupRequest::ConsumerDescribe(GROUP.to_owned()));
    let Ok(GroupResponse::ConsumerDescribe(described)) = described else { panic!("{described:?}") };
    let types: BTreeMap<_, _> = described.members.iter().map(|of| (of.member_id.as_str(), of.member_type)).collect();
    assert_eq!(types, BTreeMap::from([(one.id.as_str(), 0), (two.id.as_str(), 0), ("new", 1)]));

    new.leave(&mut world, -1).expect("it leaves");
    assert!(!is_consumer_group(&world));
    assert_eq!(one.heartbeat(&mut world), Err(ErrorCode::RebalanceInProgress));
    settle(&mut world, &mut [&mut one, &mut two], &mut []);
    assert_eq!((one.owned.len(), two.owned.len()), (3, 3));
    assert!(one.generation > generation + 1, "generations go on where epochs ended");
    world.restart();
    settle(&mut world, &mut [&mut one, &mut two], &mut []);
    assert_eq!(compacted(&world).iter().filter(|record| record.kind() > 2).count(), 0);
}

#[test]
fn classic_members_join_a_consumer_group() {
    let mut world = with(true, true);
    let (mut new, mut one, mut two) = (Member::new("new"), Classic::eager(), Classic::eager());
    new.beat(&mut world).expect("it joins");
    let asked = world.send(NEWEST, GroupRequest::Join(one.request(), 7));
    let asked = world.joined(asked);
    assert_eq!(asked.error_code, ErrorCode::MemberIdRequired.code());
    assert!(!asked.member_id.is_empty());
    settle(&mut world, &mut [&mut one, &mut two], &mut [&mut new]);
    assert_eq!([one.owned.len(), two.owned.len(), new.partitions().len()], [2, 2, 2]);
    let generation = one.generation;
    for (id, of, code) in [
        (one.id.as_str(), generation, ErrorCode::None),
        (one.id.as_str(), generation - 1, ErrorCode::IllegalGeneration),
        (one.id.as_str(), generation + 1, ErrorCode::IllegalGeneration),
        ("who", generation, ErrorCode::UnknownMemberId),
        ("new", generation, ErrorCode::UnknownMemberId),
    ] {
        let answered = world.ask(heartbeat(id, of)).err().unwrap_or(ErrorCode::None);
        assert_eq!(answered, code, "heartbeat {id} {of}");
        let answered = world.ask(sync(id, of, &[])).err().unwrap_or(ErrorCode::None);
        assert_eq!(answered, code, "sync {id} {of}");
        if id != "new" {
            assert_eq!(committed(&world.ask(commit(id, of, 5))), code, "commit {id} {of}");
        }
    }
    assert_eq!(two.leave(&mut world), ErrorCode::None);
    assert_eq!(world.ask(leave(&[("who", None)])).map(|reply| left(&reply)), Ok(ErrorCode::UnknownMemberId));
    settle(&mut world, &mut [&mut one], &mut [&mut new]);
    assert_eq!([one.owned.len(), new.partitions().len()], [3, 3]);
    let strange = JoinGroupRequest { protocol_type: "connect".to_owned(), ..Classic::default().request() };
    let unlike = JoinGroupRequest { protocols: protocols(&["other"]), ..Classic::default().request() };
    for request in [strange, unlike] {
        assert_eq!(world.ask(GroupRequest::Join(request, 0)), Err(ErrorCode::InconsistentGroupProtocol));
    }
}

fn left(reply: &GroupResponse) -> ErrorCode {
    let GroupResponse::Leave(response) = reply else { panic!("{reply:?}") };
    ErrorCode::from_wire(response.members[0].error_code)
}

#[test]
fn the_policy_says_which_way_groups_may_go() {
    for (upgrades, downgrades) in [(false, false), (true, false), (false, true)] {
        let mut world = with(upgrades, downgrades);
        let (mut one, mut new) = (Classic::default(), Member::new("new"));
        settle(&mut world, &mut [&mut one], &mut []);
        let joined = new.beat(&mut world).map(|_| ());
        assert_eq!(joined, if upgrades { Ok(()) } else { Err(ErrorCode::GroupIdNotFound) });
        assert_eq!(is_consumer_group(&world), upgrades);

        let mut world = with(upgrades, downgrades);
        let (mut one, mut new) = (Classic::default(), Member::new("new"));
        new.beat(&mut world).expect("it joins");
        let joined = one.join(&mut world);
        if !upgrades && !downgrades {
            assert_eq!(joined, Err(ErrorCode::InconsistentGroupProtocol));
            continue;
        }
        settle(&mut world, &mut [&mut one], &mut [&mut new]);
        new.leave(&mut world, -1).expect("it leaves");
        assert_eq!(is_consumer_group(&world), !downgrades);
        // Whichever it is, it goes on.
        settle(&mut world, &mut [&mut one], &mut []);
    }
}

#[test]
fn a_classic_group_that_cannot_be_understood_stays_one() {
    for given in [&b"own"[..], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9]] {
        let mut world = with(true, true);
        let one = Classic { id: world.new_member(), ..Classic::default() };
        let joined = world.send(NEWEST, GroupRequest::Join(one.request(), 0));
        let generation = world.joined(joined).generation_id;
        assert!(world.ask(sync(&one.id, generation, &[(&one.id, given)])).is_ok());
        assert_eq!(Member::new("new").beat(&mut world).map(|_| ()), Err(ErrorCode::GroupIdNotFound));
        assert!(world.ask(heartbeat(&one.id, generation)).is_ok(), "nothing has changed for its members");
    }
}

#[test]
fn a_consumer_that_is_refused_leaves_the_classic_group_as_it_was() {
    let mut world = with(true, true);
    let mut members = vec![Classic::default(); 5];
    let mut all: Vec<_> = members.iter_mut().collect();
    settle(&mut world, &mut all, &mut []);
    let records = world.rehearsal.log.len();
    assert_eq!(Member::new("new").beat(&mut world).map(|_| ()), Err(ErrorCode::GroupMaxSizeReached));
    assert_eq!((world.rehearsal.log.len(), is_consumer_group(&world)), (records, false));
    assert_eq!(members[0].heartbeat(&mut world), Ok(()));
}

#[test]
fn members_that_wait_in_a_classic_group_that_changes_are_sent_to_join_again() {
    let mut world = World::new();
    let mut one = Classic { id: world.new_member(), ..Classic::default() };
    one.join(&mut world).expect("it waits");
    assert!(one.joins.is_some(), "more members are waited for");
    let mut new = Member::new("new");
    new.beat(&mut world).expect("it joins");
    assert_eq!(one.take_join(&mut world), Err(ErrorCode::RebalanceInProgress));
    settle(&mut world, &mut [&mut one], &mut [&mut new]);
}

#[test]
fn a_classic_member_that_does_not_join_again_or_ask_for_its_assignment_is_out() {
    let mut world = with(true, true);
    let (mut one, mut new) = (Classic::default(), Member::new("new"));
    settle(&mut world, &mut [&mut one], &mut []);
    new.beat(&mut world).expect("it joins");
    for _ in 0..20 {
        assert_eq!(one.heartbeat(&mut world), Err(ErrorCode::RebalanceInProgress), "it is told in vain");
        new.beat(&mut world).expect("it lives");
        world.pass(REBALANCE / 20);
    }
    assert_eq!(one.heartbeat(&mut world), Err(ErrorCode::UnknownMemberId));
    new.beat(&mut world).expect("it lives");
    assert_eq!(new.partitions().len(), 6);

    // It joins, and then sends heartbeats only.
    let ticket = world.send(3, GroupRequest::Join(Classic::default().request(), 9));
    let joined = world.joined(ticket);
    for _ in 0..20 {
        let beat = world.ask(heartbeat(&joined.member_id, joined.generation_id));
        assert_ne!(beat, Err(ErrorCode::UnknownMemberId));
        new.beat(&mut world).expect("it lives");
        world.pass(REBALANCE / 20);
    }
    let beat = world.ask(heartbeat(&joined.member_id, joined.generation_id));
    assert_eq!(beat, Err(ErrorCode::UnknownMemberId));
}

/// Requests of version 0 do not tell how long a rebalance may take.
#[test]
fn a_classic_member_without_a_rebalance_timeout_has_its_session_timeout_for_it() {
    let mut world = with(true, true);
    let mut new = Member::new("new");
    new.beat(&mut world).expect("it joins");
    let request = JoinGroupRequest { rebalance_timeout_ms: -1, ..Classic::default().request() };
    let ticket = world.send(0, GroupRequest::Join(request, 9));
    let joined = world.joined(ticket);
    world.pass(SESSION / 2);
    new.beat(&mut world).expect("it lives");
    let synced = world.ask(sync(&joined.member_id, joined.generation_id, &[]));
    assert!(synced.is_ok(), "{synced:?}");
}

#[test]
fn a_classic_member_that_falls_silent_is_out_after_its_own_session_timeout() {
    let mut world = with(true, true);
    let (mut one, mut new) = (Classic::default(), Member::new("new"));
    settle(&mut world, &mut [&mut one], &mut [&mut new]);
    for _ in 0..3 {
        world.pass(SESSION / 2);
        new.beat(&mut world).expect("it lives");
    }
    assert_eq!(one.heartbeat(&mut world), Err(ErrorCode::UnknownMemberId));
    // The last of the other protocol falls silent: those who stay are a classic group.
    settle(&mut world, &mut [&mut one], &mut [&mut new]);
    for _ in 0..3 {
        world.pass(SESSION / 2);
        one.go_on(&mut world);
    }
    assert!(!is_consumer_group(&world));
    settle(&mut world, &mut [&mut one], &mut []);
}

#[test]
fn a_group_whose_last_consumers_fall_silent_at_the_same_moment_is_a_classic_one() {
    let mut world = with(true, true);
    let (mut one, mut new, mut newer) = (Classic::default(), Member::new("new"), Member::new("newer"));
    settle(&mut world, &mut [&mut one], &mut [&mut new, &mut newer]);
    for _ in 0..3 {
        world.pass(SESSION / 2);
        one.go_on(&mut world);
    }
    assert!(!is_consumer_group(&world));
    settle(&mut world, &mut [&mut one], &mut []);
    assert_eq!(one.owned.len(), 6);
}

#[test]
fn a_static_member_changes_its_protocol_in_its_place() {
    let mut world = with(true, true);
    let (mut other, mut old) = (Classic::default(), Classic { instance: Some("i".to_owned()), ..Classic::default() });
    settle(&mut world, &mut [&mut other, &mut old], &mut []);
    let mut new = Member { instance: Some("i".to_owned()), ..Member::new("new") };
    new.beat(&mut world).expect("it takes the place");
    let beat = HeartbeatRequest {
        group_id: GROUP.to_owned(),
        generation_id: old.generation,
        member_id: old.id.clone(),
        group_instance_id: Some("i".to_owned()),
    };
    assert_eq!(world.ask(GroupRequest::Heartbeat(beat)), Err(ErrorCode::FencedInstanceId));
    settle(&mut world, &mut [&mut other], &mut [&mut new]);
    assert_eq!((other.owned.len(), new.partitions().len()), (3, 3));
    // And back, which leaves nobody of the consumer protocol.
    let mut back = Classic { instance: Some("i".to_owned()), ..Classic::default() };
    back.join(&mut world).expect("it takes the place");
    assert!(!is_consumer_group(&world));
    assert_eq!(new.beat(&mut world).map(|_| ()), Err(ErrorCode::GroupIdNotFound));
    settle(&mut world, &mut [&mut other, &mut back], &mut []);
    // A member that is of one protocol, and asks for an instance that somebody has, does not get it.
    let twin = JoinGroupRequest { member_id: "twin".to_owned(), ..back.request() };
    assert_eq!(world.ask(GroupRequest::Join(twin, 0)), Err(ErrorCode::FencedInstanceId));
}

#[test]
fn a_static_member_that_is_alone_changes_its_protocol_too() {
    let mut world = with(true, true);
    let mut new = Member { instance: Some("i".to_owned()), ..Member::new("new") };
    new.beat(&mut world).expect("it joins");
    let mut back = Classic { instance: Some("i".to_owned()), ..Classic::default() };
    settle(&mut world, &mut [&mut back], &mut []);
    assert!(!is_consumer_group(&world));
    assert_eq!(beat(&mut world, new.request()).map(|_| ()), Err(ErrorCode::GroupIdNotFound));
}

/// Members of both protocols come and go, and coordinators are lost.
#[test]
fn a_group_of_both_protocols_weathers_any_storm() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut world = with(true, true);
        let mut classic = [Classic::eager(), Classic::default()];
        let mut consumers = [Member::new(""), Member::new("")];
        let mut is_in = [false; 2];
        for step in 0..150 {
            let at = usize::from(dice.roll(2) == 0);
            match dice.roll(10) {
                0 => drop(classic[at].leave(&mut world)),
                // It is restarted, and nobody is told.
                1 => classic[at] = Classic { is_eager: classic[at].is_eager, ..Classic::default() },
                2 if is_in[at] => {
                    is_in[at] = consumers[at].leave(&mut world, -1).is_err();
                }
                3 if dice.roll(4) == 0 => {
                    world.restart();
                    for member in &mut classic {
                        (member.joins, member.syncs) = (None, None);
                    }
                }
                4..=6 => classic[at].go_on(&mut world),
                _ => {
                    if !is_in[at] {
                        consumers[at] = Member::new(&format!("consumer-{at}-{step}"));
                    }
                    is_in[at] = consumers[at].beat(&mut world).is_ok();
                }
            }
            if !is_in[at] {
                consumers[at].owned.clear();
            }
            let [one, two] = &mut classic;
            let [three, four] = &mut consumers;
            check(&[one, two], &[three, four]);
        }
        // Who was restarted is forgotten after its session.
        let [one, two] = &mut classic;
        for _ in 0..200 {
            one.go_on(&mut world);
            two.go_on(&mut world);
            for (member, is_in) in consumers.iter_mut().zip(is_in) {
                if is_in {
                    member.beat(&mut world).expect("it is a member");
                }
            }
            world.pass(Duration::from_secs(1));
        }
        let mut staying: Vec<_> =
            consumers.iter_mut().zip(is_in).filter(|(_, is_in)| *is_in).map(|(of, _)| of).collect();
        settle(&mut world, &mut [one, two], &mut staying);
        assert_eq!(is_consumer_group(&world), !staying.is_empty(), "seed {seed}");
    }
}

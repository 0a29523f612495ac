//! `ConsumerGroupHeartbeat`: members join, get partitions, give them back, leave; and what is refused.

mod migration;

use std::time::{Duration, Instant};

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use crate::config::{DELETE, GROUP, Resource, SET};
use crate::group::{commit, committed, fresh_group};
use crate::session::{Session, every_version, expect, settled};
use crate::topic::{Topic, fresh_name};

/// How long partitions may be on their way.
const SETTLE_MAX: Duration = Duration::from_secs(20);
const LEAVE: i32 = -1;
pub(crate) const LEAVE_STATIC: i32 = -2;

/// What a member says when it joins.
pub(crate) fn join(group: &str, member: &str, topics: &[&Topic]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(topics.iter().map(|topic| topic.name.clone()).collect()),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// What a member says later on, if it has nothing to say but what it has.
fn beat(group: &str, member: &str, epoch: i32, owned: Option<&[TopicPartitions]>) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        topic_partitions: owned.map(<[_]>::to_vec),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// A member that does what it is told.
struct Consumer {
    id: &'static str,
    instance: Option<String>,
    group: String,
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

impl Consumer {
    fn join(session: &mut Session, version: i16, group: &str, id: &'static str, topic: &Topic) -> Self {
        Self::join_as(session, version, group, id, None, topic)
    }

    fn join_as(
        session: &mut Session,
        version: i16,
        group: &str,
        id: &'static str,
        instance: Option<&str>,
        topic: &Topic,
    ) -> Self {
        let instance = instance.map(str::to_owned);
        let request = ConsumerGroupHeartbeatRequest { instance_id: instance.clone(), ..join(group, id, &[topic]) };
        let mut consumer = Self { id, instance, group: group.to_owned(), epoch: 0, owned: Vec::new() };
        let response = session.ask(version, &request);
        assert_eq!((response.member_id.as_deref(), response.heartbeat_interval_ms), (Some(id), 5000));
        consumer.take(&response);
        consumer
    }

    fn take(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        expect(response.error_code, ErrorCode::None);
        self.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            self.owned.clone_from(&assignment.topic_partitions);
        }
    }

    fn beat(&mut self, session: &mut Session, version: i16) -> ConsumerGroupHeartbeatResponse {
        let request = ConsumerGroupHeartbeatRequest {
            instance_id: self.instance.clone(),
            ..beat(&self.group, self.id, self.epoch, Some(&self.owned))
        };
        let response = session.ask(version, &request);
        self.take(&response);
        response
    }

    fn partitions(&self) -> usize {
        self.owned.iter().map(|topic| topic.partitions.len()).sum()
    }

    fn leave(&self, session: &mut Session, version: i16, epoch: i32) {
        let request = ConsumerGroupHeartbeatRequest {
            instance_id: self.instance.clone(),
            ..beat(&self.group, self.id, epoch, None)
        };
        let left = session.ask(version, &request);
        assert_eq!((left.error_code, left.member_epoch, left.member_id.as_deref()), (0, epoch, Some(self.id)));
    }
}

/// Sends heartbeats of all until each has so many partitions: a coordinator may divide in the background, a second late.
fn settle(session: &mut Session, version: i16, consumers: &mut [(&mut Consumer, usize)]) {
    let begun = Instant::now();
    while consumers.iter().any(|(consumer, wanted)| consumer.partitions() != *wanted) {
        assert!(begun.elapsed() < SETTLE_MAX, "the partitions do not come");
        for (consumer, _) in &mut *consumers {
            consumer.beat(session, version);
        }
    }
}

#[test]
fn members_share_a_topic_and_make_room_for_each_other() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "shared", 4), fresh_group(session, "consumers"));
        let mut one = Consumer::join(session, version, &group, "one", &topic);
        settle(session, version, &mut [(&mut one, 4)]);
        assert_eq!((one.owned[0].topic_id, one.owned[0].partitions.clone()), (topic.id, vec![0, 1, 2, 3]));
        // A second one comes; the first gives half of it back.
        let mut two = Consumer::join(session, version, &group, "two", &topic);
        assert_eq!(two.partitions(), 0);
        settle(session, version, &mut [(&mut one, 2), (&mut two, 2)]);
        one.beat(session, version);
        assert_eq!(one.epoch, two.epoch);
        // Nothing said, nothing changed.
        let quiet = session.ask(version, &beat(&group, "two", two.epoch, None));
        assert_eq!((quiet.error_code, quiet.assignment), (0, None));
        // It leaves, and the first has all of it again.
        two.leave(session, version, LEAVE);
        settle(session, version, &mut [(&mut one, 4)]);
        one.leave(session, version, LEAVE);
    });
}

#[test]
fn requests_that_break_a_rule_are_refused() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "ruled", 1), fresh_group(session, "ruled"));
        let with = |change: &dyn Fn(&mut ConsumerGroupHeartbeatRequest)| {
            let mut request = join(&group, "m", &[&topic]);
            change(&mut request);
            request
        };
        let one_partition = || Some(vec![TopicPartitions { topic_id: topic.id, partitions: vec![0] }]);
        let invalid: [&dyn Fn(&mut ConsumerGroupHeartbeatRequest); 9] = [
            &|request| request.group_id.clear(),
            &|request| request.rebalance_timeout_ms = -1,
            &|request| request.topic_partitions = one_partition(),
            &|request| request.topic_partitions = None,
            &|request| request.subscribed_topic_names = None,
            &|request| request.instance_id = Some(String::new()),
            &|request| request.rack_id = Some(String::new()),
            &|request| request.member_epoch = LEAVE_STATIC,
            &|request| request.member_epoch = -3,
        ];
        for (at, change) in invalid.into_iter().enumerate() {
            let response = session.ask(version, &with(change));
            assert_eq!(ErrorCode::from_wire(response.error_code), ErrorCode::InvalidRequest, "case {at}: {response:?}");
            assert!(response.error_message.is_some_and(|message| !message.is_empty()));
        }
        let without_id = session.ask(version, &with(&|request| request.member_id.clear()));
        if version == 0 {
            // It is given one.
            expect(without_id.error_code, ErrorCode::None);
            assert!(without_id.member_id.is_some_and(|id| !id.is_empty()));
        } else {
            expect(without_id.error_code, ErrorCode::InvalidRequest);
            let bad = session.ask(version, &with(&|request| request.subscribed_topic_regex = Some("(".to_owned())));
            expect(bad.error_code, ErrorCode::InvalidRegularExpression);
        }
        let assignor = session.ask(version, &with(&|request| request.server_assignor = Some("best".to_owned())));
        expect(assignor.error_code, ErrorCode::UnsupportedAssignor);
        assert_eq!(
            assignor.error_message.as_deref(),
            Some("ServerAssignor best is not supported. Supported assignors: uniform, range.")
        );
    });
}

#[test]
fn groups_members_and_epochs_that_are_not_there_are_refused() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "fenced", 1), fresh_group(session, "fenced"));
        let missing = session.ask(version, &beat(&fresh_name("no-group"), "m", 1, None));
        expect(missing.error_code, ErrorCode::GroupIdNotFound);
        let joined = session.ask(version, &join(&group, "m", &[&topic]));
        expect(joined.error_code, ErrorCode::None);
        let epoch = joined.member_epoch;
        for (member, of, code) in [
            ("who", epoch, ErrorCode::UnknownMemberId),
            ("who", LEAVE, ErrorCode::UnknownMemberId),
            ("m", epoch + 1, ErrorCode::FencedMemberEpoch),
            ("m", epoch, ErrorCode::None),
        ] {
            let response = session.ask(version, &beat(&group, member, of, None));
            assert_eq!(ErrorCode::from_wire(response.error_code), code, "{member} {of}");
        }
        session.ask(version, &beat(&group, "m", LEAVE, None));
    });
}

#[test]
fn a_static_member_comes_back_under_another_id() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "static", 2), fresh_group(session, "static"));
        let mut first = Consumer::join_as(session, version, &group, "first", Some("i1"), &topic);
        settle(session, version, &mut [(&mut first, 2)]);
        let fixed = |request: ConsumerGroupHeartbeatRequest| ConsumerGroupHeartbeatRequest {
            instance_id: Some("i1".to_owned()),
            ..request
        };
        let twin = session.ask(version, &fixed(join(&group, "second", &[&topic])));
        expect(twin.error_code, ErrorCode::UnreleasedInstanceId);
        let twin = session.ask(version, &fixed(beat(&group, "second", first.epoch, None)));
        expect(twin.error_code, ErrorCode::FencedInstanceId);
        first.leave(session, version, LEAVE_STATIC);
        let mut second = Consumer::join_as(session, version, &group, "second", Some("i1"), &topic);
        settle(session, version, &mut [(&mut second, 2)]);
        second.leave(session, version, LEAVE);
    });
}

#[test]
fn offsets_stay_when_a_group_changes_its_protocol() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let (topic, group) = (Topic::create(session, "changed", 1), fresh_group(session, "changed"));
        commit(session, &group, &topic, 0, 7);
        let joined = session.ask(version, &join(&group, "m", &[&topic]));
        expect(joined.error_code, ErrorCode::None);
        assert_eq!(committed(session, &group, &topic, 0).committed_offset, 7);
        session.ask(version, &beat(&group, "m", LEAVE, None));
    });
}

#[test]
fn settings_of_the_group_are_in_force_at_once() {
    every_version(ApiKey::ConsumerGroupHeartbeat, |session, version| {
        let topic = Topic::create(session, "configured", 1);
        let group = fresh_group(session, "configured");
        let mut member = Consumer::join(session, version, &group, "a-member-of-its-own", &topic);
        let own = Resource { kind: GROUP, name: &group };
        let mut interval_is = |session: &mut Session, expected| {
            let interval =
                settled(|| member.beat(session, version).heartbeat_interval_ms, |interval| *interval == expected);
            assert_eq!(interval, expected);
        };
        interval_is(session, 5000);
        let key = "consumer.heartbeat.interval.ms";
        expect(own.alter(session, 1, &[(key, SET, Some("7000"))]), ErrorCode::None);
        interval_is(session, 7000);
        expect(own.alter(session, 1, &[(key, DELETE, None)]), ErrorCode::None);
        interval_is(session, 5000);
    });
}

//! `ConsumerGroupDescribe`.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::consumer_group_describe::{ConsumerGroupDescribeRequest, DescribedGroup};
use ringlog_net::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

use crate::group::{Member, fresh_group};
use crate::k68_consumer_group_heartbeat::join;
use crate::session::{Session, every_version, expect};
use crate::topic::{Topic, fresh_name};

fn describe(session: &mut Session, version: i16, group: &str) -> DescribedGroup {
    let request =
        ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], include_authorized_operations: false };
    session.ask(version, &request).groups.remove(0)
}

#[test]
fn a_group_is_described_with_its_members() {
    every_version(ApiKey::ConsumerGroupDescribe, |session, version| {
        let (topic, group) = (Topic::create(session, "described", 3), fresh_group(session, "described"));
        let joined = session.ask(0, &join(&group, "m", &[&topic]));
        expect(joined.error_code, ErrorCode::None);
        let mut described = describe(session, version, &group);
        let mut epoch = joined.member_epoch;
        while described.group_state != "Stable" || described.members[0].assignment.topic_partitions.is_empty() {
            let beat = ConsumerGroupHeartbeatRequest {
                group_id: group.clone(),
                member_id: "m".to_owned(),
                member_epoch: epoch,
                ..ConsumerGroupHeartbeatRequest::default()
            };
            epoch = session.ask(0, &beat).member_epoch;
            described = describe(session, version, &group);
        }
        expect(described.error_code, ErrorCode::None);
        assert_eq!((described.group_id.as_str(), described.assignor_name.as_str()), (group.as_str(), "uniform"));
        assert_eq!((described.group_epoch, described.assignment_epoch), (epoch, epoch));
        assert_eq!(described.authorized_operations, i32::MIN);
        let [member] = described.members.as_slice() else { panic!("one member: {described:?}") };
        assert_eq!((member.member_id.as_str(), member.member_epoch), ("m", epoch));
        assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("conformance", "/127.0.0.1"));
        assert_eq!(member.subscribed_topic_names, std::slice::from_ref(&topic.name));
        assert_eq!((&member.instance_id, &member.rack_id), (&None, &None));
        assert_eq!(member.subscribed_topic_regex.as_deref(), Some(""));
        assert_eq!(member.assignment.topic_partitions[0].topic_name, topic.name);
        assert_eq!(member.assignment.topic_partitions[0].topic_id, topic.id);
        assert_eq!(member.assignment.topic_partitions[0].partitions, [0, 1, 2]);
        assert_eq!(member.target_assignment, member.assignment);
        assert_eq!(member.member_type, if version >= 1 { 1 } else { -1 });
        let request =
            ConsumerGroupDescribeRequest { group_ids: vec![group.clone()], include_authorized_operations: true };
        assert!(session.ask(version, &request).groups[0].authorized_operations > 0);
        // The call for classic groups does not know it.
        let classic = crate::group::describe(session, 6, &group);
        expect(classic.error_code, ErrorCode::GroupIdNotFound);
        assert_eq!(classic.error_message, Some(format!("Group {group} is not a classic group.")));
        let leave = ConsumerGroupHeartbeatRequest {
            group_id: group.clone(),
            member_id: "m".to_owned(),
            member_epoch: -1,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        session.ask(0, &leave);
        let described = describe(session, version, &group);
        assert_eq!((described.group_state.as_str(), described.members.len()), ("Empty", 0));
    });
}

#[test]
fn groups_that_are_not_there_or_classic_are_told_apart() {
    every_version(ApiKey::ConsumerGroupDescribe, |session, version| {
        let missing = fresh_name("no-group");
        let described = describe(session, version, &missing);
        expect(described.error_code, ErrorCode::GroupIdNotFound);
        assert_eq!(described.error_message, Some(format!("Group {missing} not found.")));
        let classic = Member::alone(session, "classic");
        let described = describe(session, version, &classic.group());
        expect(described.error_code, ErrorCode::GroupIdNotFound);
        assert_eq!(described.error_message, Some(format!("Group {} is not a consumer group.", classic.group())));
    });
}

//! `DescribeGroups`: who is in a group, and what they do.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup, DescribedGroupMember};

use crate::group::{JOIN, Member, NONE_SUCH, await_state, commit, describe, fresh_group, subscription};
use crate::session::every_version;
use crate::topic::Topic;

/// The first version that can ask for authorized operations.
const OPERATIONS: i16 = 3;
/// The first version that names instances.
const INSTANCES: i16 = 4;
/// The first version in which a group that is not there is an error.
const MISSING_IS_AN_ERROR: i16 = 6;

fn described(group: &str, state: &str, protocol: &str) -> DescribedGroup {
    DescribedGroup {
        group_id: group.to_owned(),
        group_state: state.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocol_data: protocol.to_owned(),
        ..Default::default()
    }
}

fn described_member(version: i16, member: &Member, metadata: &[u8], assignment: &[u8]) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.id().to_owned(),
        group_instance_id: member.instance().filter(|_| version >= INSTANCES),
        client_id: "conformance".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        member_metadata: metadata.to_vec(),
        member_assignment: assignment.to_vec(),
    }
}

fn missing(version: i16, group: &str) -> DescribedGroup {
    let mut missing =
        DescribedGroup { group_id: group.to_owned(), group_state: "Dead".to_owned(), ..Default::default() };
    if version >= MISSING_IS_AN_ERROR {
        missing.error_code = ErrorCode::GroupIdNotFound.code();
        missing.error_message = Some(format!("Group {group} not found."));
    }
    missing
}

#[test]
fn every_version_describes_each_state() {
    every_version(ApiKey::DescribeGroups, |session, version| {
        let group = fresh_group(session, "described");
        let mut member = Member::fixed(session, &group, "fixed");
        assert_eq!(describe(session, version, &group), missing(version, &group));
        member.join(JOIN);
        let expected = DescribedGroup {
            members: vec![described_member(version, &member, b"", b"")],
            ..described(&group, "CompletingRebalance", "")
        };
        assert_eq!(describe(session, version, &group), expected);
        let id = member.id().to_owned();
        member.assign(&[(&id, b"all of it")]);
        let expected = DescribedGroup {
            members: vec![described_member(version, &member, &subscription(&["read"]), b"all of it")],
            ..described(&group, "Stable", "range")
        };
        assert_eq!(describe(session, version, &group), expected);
        let mut newcomer = Member::new(session, &group);
        newcomer.begin_join(JOIN);
        await_state(session, &group, "PreparingRebalance");
        let mut found = describe(session, version, &group);
        found.members.retain(|found| found.member_id == member.id());
        let expected = DescribedGroup {
            members: vec![described_member(version, &member, b"", b"all of it")],
            ..described(&group, "PreparingRebalance", "")
        };
        assert_eq!(found, expected);
        // What a member had is told until it is given something else.
        member.join(JOIN);
        newcomer.end_join(JOIN);
        let mut found = describe(session, version, &group);
        found.members.retain(|found| found.member_id == member.id());
        assert_eq!(found, DescribedGroup { group_state: "CompletingRebalance".to_owned(), ..expected });
        member.leave();
        newcomer.leave();
        assert_eq!(describe(session, version, &group), described(&group, "Empty", ""));
    });
}

#[test]
fn a_group_that_has_only_committed_has_no_protocol() {
    every_version(ApiKey::DescribeGroups, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "described");
        commit(session, &group, &topic, 0, 1);
        let expected = DescribedGroup { protocol_type: String::new(), ..described(&group, "Empty", "") };
        assert_eq!(describe(session, version, &group), expected);
    });
}

#[test]
fn several_groups_are_described_and_none() {
    every_version(ApiKey::DescribeGroups, |session, version| {
        let member = Member::alone(session, "described");
        let request =
            DescribeGroupsRequest { groups: vec![member.group(), NONE_SUCH.to_owned()], ..Default::default() };
        let mut found = session.ask(version, &request).groups;
        found.sort_by_key(|found| request.groups.iter().position(|asked| *asked == found.group_id));
        assert_eq!(found[0].group_state, "Stable");
        assert_eq!(found[1..], [missing(version, NONE_SUCH)]);
        assert_eq!(session.ask(version, &DescribeGroupsRequest::default()).groups, []);
    });
}

#[test]
fn without_an_authorizer_everything_may_be_done() {
    every_version(ApiKey::DescribeGroups, |session, version| {
        if version < OPERATIONS {
            return;
        }
        let member = Member::alone(session, "described");
        let groups = vec![member.group(), NONE_SUCH.to_owned()];
        let request = DescribeGroupsRequest { groups, include_authorized_operations: true };
        let mut found = session.ask(version, &request).groups;
        found.sort_by_key(|found| found.group_id != member.group());
        // Read, delete, describe, and describe and alter configurations.
        let all = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
        assert_eq!(found[0].authorized_operations, all);
        assert_eq!(found[1].authorized_operations, if version >= MISSING_IS_AN_ERROR { i32::MIN } else { all });
    });
}

//! `DeleteGroups`: groups without members go, and their offsets with them.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest};

use crate::group::{JOIN, Member, NONE_SUCH, commit, committed, describe, fresh_group};
use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

/// Results in the order of the request.
fn delete(session: &mut Session, version: i16, groups: &[&str]) -> Vec<DeletableGroupResult> {
    let groups_names = groups.iter().map(|group| (*group).to_owned()).collect();
    let mut results = session.ask(version, &DeleteGroupsRequest { groups_names }).results;
    results.sort_by_key(|result| groups.iter().position(|group| *group == result.group_id));
    results
}

/// No version gives a reason.
fn result(group: &str, code: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult { group_id: group.to_owned(), error_code: code.code(), error_message: None }
}

#[test]
fn every_version_deletes_a_group_and_its_offsets() {
    every_version(ApiKey::DeleteGroups, |session, version| {
        let topic = Topic::create(session, "read", 2);
        let mut member = Member::alone(session, "deleted");
        let group = member.group();
        member.leave();
        commit(session, &group, &topic, 0, 1);
        commit(session, &group, &topic, 1, 2);
        assert_eq!(delete(session, version, &[&group]), [result(&group, ErrorCode::None)]);
        expect(describe(session, 6, &group).error_code, ErrorCode::GroupIdNotFound);
        for partition in [0, 1] {
            assert_eq!(committed(session, &group, &topic, partition).committed_offset, -1);
        }
        // Its name is free, and generations begin anew.
        let mut member = Member::new(session, &group);
        member.join(JOIN);
        assert_eq!(member.joined.generation_id, 1);
    });
}

#[test]
fn a_group_that_has_only_committed_is_deleted() {
    every_version(ApiKey::DeleteGroups, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "deleted");
        commit(session, &group, &topic, 0, 1);
        expect(delete(session, version, &[&group])[0].error_code, ErrorCode::None);
        expect(describe(session, 6, &group).error_code, ErrorCode::GroupIdNotFound);
        assert_eq!(committed(session, &group, &topic, 0).committed_offset, -1);
    });
}

#[test]
fn a_group_with_members_stays() {
    every_version(ApiKey::DeleteGroups, |session, version| {
        let mut member = Member::alone(session, "deleted");
        let group = member.group();
        let expected = result(&group, ErrorCode::NonEmptyGroup);
        assert_eq!(delete(session, version, &[&group]), [expected]);
        expect(member.heartbeat(4), ErrorCode::None);
    });
}

#[test]
fn several_groups_are_deleted_each_for_itself_and_none() {
    every_version(ApiKey::DeleteGroups, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "deleted");
        commit(session, &group, &topic, 0, 1);
        let member = Member::alone(session, "deleted");
        let codes: Vec<_> = delete(session, version, &[NONE_SUCH, &group, &member.group()])
            .iter()
            .map(|result| ErrorCode::from_wire(result.error_code))
            .collect();
        assert_eq!(codes, [ErrorCode::GroupIdNotFound, ErrorCode::None, ErrorCode::NonEmptyGroup]);
        let twice = [&*group, NONE_SUCH, &*group, NONE_SUCH];
        let expected = [result(&group, ErrorCode::GroupIdNotFound), result(NONE_SUCH, ErrorCode::GroupIdNotFound)];
        assert_eq!(delete(session, version, &twice), expected);
        assert_eq!(delete(session, version, &[]), []);
    });
}

#[test]
fn a_group_that_is_not_there_is_not_deleted() {
    every_version(ApiKey::DeleteGroups, |session, version| {
        let group = fresh_group(session, "none-such");
        assert_eq!(delete(session, version, &[&group]), [result(&group, ErrorCode::GroupIdNotFound)]);
    });
}

#[test]
fn an_id_that_nobody_has_joined_with_does_not_keep_a_group() {
    every_version(ApiKey::DeleteGroups, |session, version| {
        let group = fresh_group(session, "deleted");
        let mut member = Member::new(session, &group);
        member.introduce(JOIN);
        expect(delete(session, version, &[&group])[0].error_code, ErrorCode::None);
        let response = member.session.ask(JOIN, &member.request);
        expect(response.error_code, ErrorCode::UnknownMemberId);
    });
}

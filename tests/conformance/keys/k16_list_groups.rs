//! `ListGroups`: which groups there are.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::list_groups::{ListGroupsRequest, ListedGroup};

use crate::group::{JOIN, Member, await_state, commit, fresh_group};
use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

/// The first version that knows states, and can ask for some.
const STATES: i16 = 4;
/// The first version that knows types, and can ask for some.
const TYPES: i16 = 5;

/// Those of these groups that are listed, by their places.
fn list(session: &mut Session, version: i16, groups: &[&str], states: &[&str], types: &[&str]) -> Vec<usize> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let request = ListGroupsRequest { states_filter: owned(states), types_filter: owned(types) };
    let response = session.ask(version, &request);
    expect(response.error_code, ErrorCode::None);
    let place = |group: &ListedGroup| groups.iter().position(|name| *name == group.group_id);
    let mut places: Vec<_> = response.groups.iter().filter_map(place).collect();
    places.sort_unstable();
    places
}

fn listed(session: &mut Session, version: i16, group: &str) -> ListedGroup {
    let response = session.ask(version, &ListGroupsRequest::default());
    response.groups.into_iter().find(|listed| listed.group_id == group).expect("it is listed")
}

fn expected(version: i16, group: &str, protocol_type: &str, state: &str) -> ListedGroup {
    ListedGroup {
        group_id: group.to_owned(),
        protocol_type: protocol_type.to_owned(),
        group_state: if version >= STATES { state.to_owned() } else { String::new() },
        group_type: if version >= TYPES { "classic".to_owned() } else { String::new() },
    }
}

#[test]
fn every_version_lists_each_state() {
    every_version(ApiKey::ListGroups, |session, version| {
        let group = fresh_group(session, "listed");
        assert_eq!(list(session, version, &[&group], &[], &[]), []);
        let mut member = Member::new(session, &group);
        member.join(JOIN);
        assert_eq!(listed(session, version, &group), expected(version, &group, "consumer", "CompletingRebalance"));
        member.assign(&[]);
        assert_eq!(listed(session, version, &group), expected(version, &group, "consumer", "Stable"));
        let mut newcomer = Member::new(session, &group);
        newcomer.begin_join(JOIN);
        await_state(session, &group, "PreparingRebalance");
        assert_eq!(listed(session, version, &group), expected(version, &group, "consumer", "PreparingRebalance"));
        member.leave();
        newcomer.end_join(JOIN);
        newcomer.leave();
        assert_eq!(listed(session, version, &group), expected(version, &group, "consumer", "Empty"));
    });
}

#[test]
fn a_group_that_has_only_committed_is_listed() {
    every_version(ApiKey::ListGroups, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "listed");
        commit(session, &group, &topic, 0, 1);
        assert_eq!(listed(session, version, &group), expected(version, &group, "", "Empty"));
    });
}

#[test]
fn a_group_that_nobody_has_joined_yet_is_listed() {
    every_version(ApiKey::ListGroups, |session, version| {
        let group = fresh_group(session, "listed");
        Member::new(session, &group).introduce(JOIN);
        assert_eq!(listed(session, version, &group), expected(version, &group, "", "Empty"));
    });
}

#[test]
fn filters_are_alternatives_whatever_their_case() {
    every_version(ApiKey::ListGroups, |session, version| {
        if version < STATES {
            return;
        }
        let topic = Topic::create(session, "read", 1);
        let (stable, empty) = (Member::alone(session, "listed"), fresh_group(session, "listed"));
        commit(session, &empty, &topic, 0, 1);
        let groups = [&*stable.group(), &*empty];
        for (states, places) in [
            (&[][..], &[0, 1][..]),
            (&["Stable"], &[0]),
            (&["stable"], &[0]),
            (&["EMPTY"], &[1]),
            (&["Empty", "Stable"], &[0, 1]),
            (&["PreparingRebalance", "Dead"], &[]),
            (&["no such state"], &[]),
            (&["no such state", "Empty"], &[1]),
            (&[""], &[]),
        ] {
            assert_eq!(list(session, version, &groups, states, &[]), places, "{states:?}");
        }
        if version < TYPES {
            return;
        }
        for (types, places) in [
            (&["classic"][..], &[0, 1][..]),
            (&["Classic"], &[0, 1]),
            (&["consumer"], &[]),
            (&["consumer", "CLASSIC"], &[0, 1]),
            (&["share", "streams"], &[]),
            (&["no such type"], &[]),
            (&["no such type", "classic"], &[0, 1]),
        ] {
            assert_eq!(list(session, version, &groups, &[], types), places, "{types:?}");
        }
        assert_eq!(list(session, version, &groups, &["Empty"], &["classic"]), [1]);
        assert_eq!(list(session, version, &groups, &["Empty"], &["consumer"]), []);
    });
}

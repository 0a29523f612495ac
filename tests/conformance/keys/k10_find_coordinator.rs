//! `FindCoordinator`: where a group is looked after.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use ringlog_net::messages::metadata::MetadataRequest;

use crate::group::await_coordinator;
use crate::session::{Session, every_version, expect};

/// The first version that asks for more than groups.
const KEY_TYPES: i16 = 1;
/// The first version that asks for several keys at once.
const SEVERAL_KEYS: i16 = 4;
/// The first version that asks for share groups.
const SHARE_GROUPS: i16 = 6;
/// The kinds of keys.
const GROUP: i8 = 0;
const SHARE: i8 = 2;
/// A kind of key that there is not.
const UNKNOWN_TYPE: i8 = 9;

/// Asks for keys in the form of a version; before there were several, one after the other.
fn find(session: &mut Session, version: i16, key_type: i8, keys: &[&str]) -> Vec<Coordinator> {
    let keys = keys.iter().map(|key| (*key).to_owned());
    let request = FindCoordinatorRequest { key_type, ..Default::default() };
    if version >= SEVERAL_KEYS {
        return session
            .ask(version, &FindCoordinatorRequest { coordinator_keys: keys.collect(), ..request })
            .coordinators;
    }
    let as_coordinator = |key, found: FindCoordinatorResponse| Coordinator {
        key,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        error_code: found.error_code,
        error_message: found.error_message,
    };
    let each = keys.map(|key| {
        let found = session.ask(version, &FindCoordinatorRequest { key: key.clone(), ..request.clone() });
        as_coordinator(key, found)
    });
    each.collect()
}

#[test]
fn every_version_finds_the_coordinators_of_groups() {
    every_version(ApiKey::FindCoordinator, |session, version| {
        await_coordinator(session, "one");
        let brokers = session.ask(12, &MetadataRequest { topics: Some(vec![]), ..Default::default() }).brokers;
        let found = find(session, version, GROUP, &["one", "two", ""]);
        let keys: Vec<_> = found.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["one", "two", ""]);
        for one in &found {
            expect(one.error_code, ErrorCode::None);
            assert!(brokers.iter().any(|of| (of.node_id, &of.host, of.port) == (one.node_id, &one.host, one.port)));
            assert_eq!(one.error_message.as_deref(), Some(if (1..=3).contains(&version) { "NONE" } else { "" }));
        }
    });
}

#[test]
fn no_keys_have_no_coordinators() {
    every_version(ApiKey::FindCoordinator, |session, version| {
        if version >= SEVERAL_KEYS {
            assert_eq!(find(session, version, GROUP, &[]), []);
        }
    });
}

#[test]
fn a_kind_of_key_that_there_is_not_is_refused() {
    every_version(ApiKey::FindCoordinator, |session, version| {
        if version >= KEY_TYPES {
            for one in find(session, version, UNKNOWN_TYPE, &["one"]) {
                expect(one.error_code, ErrorCode::InvalidRequest);
                assert_eq!((one.node_id, &*one.host, one.port), (-1, "", -1));
            }
        }
    });
}

#[test]
fn older_versions_know_no_share_groups() {
    every_version(ApiKey::FindCoordinator, |session, version| {
        if (KEY_TYPES..SHARE_GROUPS).contains(&version) {
            for one in find(session, version, SHARE, &["group:AAAAAAAAAAAAAAAAAAAAAQ:0"]) {
                expect(one.error_code, ErrorCode::InvalidRequest);
            }
        }
    });
}

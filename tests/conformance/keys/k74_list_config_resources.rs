//! `ListConfigResources`: the names of what can be configured, by type.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::list_config_resources::ListConfigResourcesRequest;

use crate::config::{DELETE, Resource, SET};
use crate::session::{Session, every_version, expect, settled};
use crate::topic::{Topic, fresh_name};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

fn list(session: &mut Session, version: i16, resource_types: &[i8]) -> (i16, Vec<(i8, String)>) {
    let response = session.ask(version, &ListConfigResourcesRequest { resource_types: resource_types.to_vec() });
    let resources = response.config_resources.into_iter();
    (response.error_code, resources.map(|resource| (resource.resource_type, resource.resource_name)).collect())
}

#[test]
fn every_version_lists_what_there_is_of_its_types() {
    every_version(ApiKey::ListConfigResources, |session, version| {
        let topic = Topic::create(session, "configurable", 1);
        let (code, all) = list(session, version, &[]);
        expect(code, ErrorCode::None);
        if version == 0 {
            assert_eq!(all.iter().find(|(resource_type, _)| *resource_type != CLIENT_METRICS), None);
            return;
        }
        let (code, topics) = list(session, version, &[TOPIC]);
        expect(code, ErrorCode::None);
        assert!(topics.contains(&(TOPIC, topic.name.clone())) && all.contains(&(TOPIC, topic.name)));
        assert!(topics.iter().all(|(resource_type, _)| *resource_type == TOPIC));
        let brokers = all.iter().filter(|(resource_type, _)| [BROKER, BROKER_LOGGER].contains(resource_type));
        assert_eq!(brokers.count(), 2);
        expect(list(session, version, &[1]).0, ErrorCode::UnsupportedVersion);
    });
}

#[test]
fn every_version_lists_groups_and_subscriptions_that_have_settings() {
    every_version(ApiKey::ListConfigResources, |session, version| {
        let name = fresh_name("listed");
        for (kind, key, value) in
            [(GROUP, "share.isolation.level", "read_committed"), (CLIENT_METRICS, "match", "client_id=nobody")]
        {
            if version == 0 && kind == GROUP {
                continue;
            }
            let types = if version == 0 { &[][..] } else { &[kind] };
            let resource = Resource { kind, name: &name };
            let is_listed = |session: &mut Session, expected| {
                let named = (kind, name.clone());
                let listed = settled(|| list(session, version, types).1.contains(&named), |listed| *listed == expected);
                assert_eq!(listed, expected, "{kind}");
            };
            is_listed(session, false);
            expect(resource.alter(session, 1, &[(key, SET, Some(value))]), ErrorCode::None);
            is_listed(session, true);
            expect(resource.alter(session, 1, &[(key, DELETE, None)]), ErrorCode::None);
            is_listed(session, false);
        }
    });
}

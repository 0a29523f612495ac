//! `ListConfigResources`: the names of what can be configured, by type.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::list_config_resources::ListConfigResourcesRequest;

use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;

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

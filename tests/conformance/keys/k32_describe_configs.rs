//! `DescribeConfigs`: of topics and of the broker, with where each value comes from.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_net::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};

use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const DYNAMIC_TOPIC_CONFIG: i8 = 1;
const STATIC_BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;

fn ask(
    session: &mut Session,
    version: i16,
    resource_type: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: version >= 3,
    };
    session.ask(version, &request).results.remove(0)
}

fn find<'a>(result: &'a DescribeConfigsResult, key: &str) -> &'a DescribeConfigsResourceResult {
    result.configs.iter().find(|config| config.name == key).unwrap_or_else(|| panic!("{key} is not described"))
}

#[test]
fn every_version_describes_a_topic() {
    every_version(ApiKey::DescribeConfigs, |session, version| {
        let topic = Topic::create_with(session, "configs", 1, &[("retention.ms", "123456")]);
        let result = ask(session, version, TOPIC, &topic.name, None);
        expect(result.error_code, ErrorCode::None);
        let retention = find(&result, "retention.ms");
        assert_eq!((retention.value.as_deref(), retention.config_source), (Some("123456"), DYNAMIC_TOPIC_CONFIG));
        assert!(!retention.read_only && !retention.is_sensitive);
        let synonyms =
            |key| find(&result, key).synonyms.iter().map(|one| (one.name.as_str(), one.source)).collect::<Vec<_>>();
        assert_eq!(synonyms("retention.ms").first(), Some(&("retention.ms", DYNAMIC_TOPIC_CONFIG)));
        assert_eq!(synonyms("max.message.bytes"), [("message.max.bytes", DEFAULT_CONFIG)]);
        for (key, value) in [
            ("cleanup.policy", "delete"),
            ("compression.type", "producer"),
            ("max.message.bytes", "1048588"),
            ("segment.bytes", "1073741824"),
            ("message.timestamp.type", "CreateTime"),
        ] {
            assert_eq!(
                (find(&result, key).value.as_deref(), find(&result, key).config_source),
                (Some(value), DEFAULT_CONFIG)
            );
        }
        if version >= 3 {
            // LONG, and a sentence for people.
            assert_eq!(retention.config_type, 5);
            assert!(retention.documentation.as_ref().is_some_and(|text| !text.is_empty()));
        }
    });
}

#[test]
fn only_what_is_asked_for_is_described() {
    every_version(ApiKey::DescribeConfigs, |session, version| {
        let topic = Topic::create(session, "some", 1);
        let result = ask(session, version, TOPIC, &topic.name, Some(&["segment.bytes", "no.such.key"]));
        let names: Vec<_> = result.configs.iter().map(|config| config.name.as_str()).collect();
        assert_eq!(names, ["segment.bytes"]);
    });
}

#[test]
fn the_broker_describes_itself() {
    every_version(ApiKey::DescribeConfigs, |session, version| {
        let cluster = session.ask(1, &DescribeClusterRequest { endpoint_type: 1, ..Default::default() });
        let id = cluster.brokers[0].broker_id.to_string();
        let result = ask(session, version, BROKER, &id, None);
        expect(result.error_code, ErrorCode::None);
        let node = find(&result, "node.id");
        assert_eq!(node.value.as_deref(), Some(&*id));
        assert!(node.read_only);
        let listeners = find(&result, "listeners");
        assert_eq!(listeners.config_source, STATIC_BROKER_CONFIG);
    });
}

#[test]
fn what_is_not_there_is_told() {
    every_version(ApiKey::DescribeConfigs, |session, version| {
        expect(ask(session, version, TOPIC, "nowhere", None).error_code, ErrorCode::UnknownTopicOrPartition);
        expect(ask(session, version, BROKER, "77777", None).error_code, ErrorCode::InvalidRequest);
    });
}

//! `DescribeConfigs`: of topics and of the broker, with where each value comes from.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_net::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};

use crate::config::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, Resource, line, node};
use crate::session::{Session, every_version, expect};
use crate::topic::{Topic, fresh_name};

const TOPIC: i8 = 2;

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

#[test]
fn every_version_describes_groups_subscriptions_and_loggers() {
    every_version(ApiKey::DescribeConfigs, |session, version| {
        let name = fresh_name("described");
        let types = |line: &str| if version >= 3 { line.to_owned() } else { without_types(line) };
        let described = Resource { kind: GROUP, name: &name }.describe(session, version, None);
        expect(described.error_code, ErrorCode::None);
        let keys: Vec<_> = described.configs.iter().map(|config| &*config.name).collect();
        assert_eq!(keys.len(), 21, "internal keys are not told: {keys:?}");
        assert!(described.configs.iter().all(|config| !config.read_only && !config.is_sensitive));
        let of = |key: &str| {
            let config = described.configs.iter().find(|config| config.name == key);
            line(&[config.unwrap_or_else(|| panic!("{key} is not described")).clone()])
        };
        for expected in [
            "consumer.session.timeout.ms=45000 5 3 [5:group.consumer.session.timeout.ms=45000]",
            "consumer.heartbeat.interval.ms=5000 5 3 [5:group.consumer.heartbeat.interval.ms=5000]",
            "share.auto.offset.reset=latest 5 2 [5:share.auto.offset.reset=latest]",
            "share.renew.acknowledge.enable=true 5 1 [5:share.renew.acknowledge.enable=true]",
            "streams.assignor.name=sticky 5 2 [5:group.streams.assignors=sticky]",
            "streams.rack.aware.assignment.tags= 5 7 [5:group.streams.rack.aware.assignment.tags=]",
            "errors.deadletterqueue.topic.name= 5 2 [5:errors.deadletterqueue.topic.name=]",
        ] {
            assert_eq!(of(expected.split('=').next().expect("a key")), types(expected));
        }
        let described = Resource { kind: CLIENT_METRICS, name: &name }.describe(session, version, None);
        expect(described.error_code, ErrorCode::None);
        let mut configs = described.configs;
        configs.sort_by(|left, right| left.name.cmp(&right.name));
        let expected = "interval.ms=300000 5 3 []; match= 5 7 []; metrics= 5 7 []";
        assert_eq!(line(&configs), expected.split("; ").map(types).collect::<Vec<_>>().join("; "));
        let node = node(session);
        let loggers = Resource { kind: BROKER_LOGGER, name: &node };
        let described = loggers.describe(session, version, None);
        expect(described.error_code, ErrorCode::None);
        let is_root = |config: &&DescribeConfigsResourceResult| config.name == "root";
        assert!(described.configs.len() > 1 && described.configs.iter().filter(is_root).count() == 1);
        for logger in described.configs {
            let is_plain = !logger.read_only && !logger.is_sensitive && logger.synonyms.is_empty();
            assert!(is_plain && logger.config_source == 6 && logger.config_type == 0, "{logger:?}");
        }
        for (kind, name) in [(GROUP, ""), (CLIENT_METRICS, ""), (BROKER_LOGGER, ""), (BROKER_LOGGER, "77"), (64, "x")] {
            expect(Resource { kind, name }.describe(session, version, None).error_code, ErrorCode::InvalidRequest);
        }
    });
}

/// Before version 3 types are not told.
fn without_types(line: &str) -> String {
    let mut words: Vec<_> = line.split(' ').collect();
    words[2] = "0";
    words.join(" ")
}

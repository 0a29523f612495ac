//! `AlterConfigs`: what a topic has of its own is what the request names, and nothing else.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};
use ringlog_net::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};

use crate::config::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, Resource, node};
use crate::session::{Session, every_version, expect};
use crate::topic::{Topic, fresh_name};

const TOPIC: i8 = 2;
/// Where a value of a topic comes from: its own setting.
const OF_TOPIC: i8 = 1;

fn alter(session: &mut Session, version: i16, name: &str, settings: &[(&str, &str)], validate_only: bool) -> i16 {
    alter_any(session, version, Resource { kind: TOPIC, name }, settings, validate_only)
}

fn alter_any(
    session: &mut Session,
    version: i16,
    of: Resource<'_>,
    settings: &[(&str, &str)],
    validate_only: bool,
) -> i16 {
    let config =
        |(name, value): &(&str, &str)| AlterableConfig { name: (*name).to_owned(), value: Some((*value).to_owned()) };
    let configs = settings.iter().map(config).collect();
    let resource = AlterConfigsResource { resource_type: of.kind, resource_name: of.name.to_owned(), configs };
    session.ask(version, &AlterConfigsRequest { resources: vec![resource], validate_only }).responses[0].error_code
}

fn own_settings(session: &mut Session, topic: &Topic) -> Vec<(String, String)> {
    let resource =
        DescribeConfigsResource { resource_type: TOPIC, resource_name: topic.name.clone(), configuration_keys: None };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let configs = session.ask(4, &request).results.remove(0).configs.into_iter();
    let own = configs.filter(|config| config.config_source == OF_TOPIC);
    own.map(|config| (config.name, config.value.expect("no secret"))).collect()
}

/// Apache Kafka answers before its broker has heard of it; Ringlog must not.
fn expect_own(session: &mut Session, topic: &Topic, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    if std::env::var_os(ringlog_kit::target::BOOTSTRAP).is_some() {
        while own_settings(session, topic) != expected {}
    }
    assert_eq!(own_settings(session, topic), expected);
}

#[test]
fn every_version_takes_away_what_is_not_named() {
    every_version(ApiKey::AlterConfigs, |session, version| {
        let topic = Topic::create(session, "wholly", 1);
        for settings in [&[("retention.ms", "5000")][..], &[("segment.ms", "7000")], &[]] {
            expect(alter(session, version, &topic.name, settings, false), ErrorCode::None);
            expect_own(session, &topic, settings);
        }
    });
}

#[test]
fn a_trial_and_a_refusal_change_nothing() {
    every_version(ApiKey::AlterConfigs, |session, version| {
        let topic = Topic::create(session, "not-wholly", 1);
        expect(alter(session, version, &topic.name, &[("retention.ms", "5000")], true), ErrorCode::None);
        for setting in [("no.such.key", "1"), ("retention.ms", "soon"), ("segment.bytes", "200")] {
            expect(alter(session, version, &topic.name, &[setting], false), ErrorCode::InvalidConfig);
        }
        let nowhere = alter(session, version, "there-is-no-such-topic", &[("retention.ms", "1")], false);
        expect(nowhere, ErrorCode::UnknownTopicOrPartition);
        expect_own(session, &topic, &[]);
    });
}

#[test]
fn a_limit_that_lets_nobody_connect_is_refused() {
    every_version(ApiKey::AlterConfigs, |session, version| {
        let none = ("max.connections.per.ip", "0");
        let brokers = Resource { kind: BROKER, name: "" };
        expect(alter_any(session, version, brokers, &[none], true), ErrorCode::InvalidRequest);
        let both = [none, ("max.connections.per.ip.overrides", "127.0.0.1:5")];
        expect(alter_any(session, version, brokers, &both, true), ErrorCode::None);
    });
}

#[test]
fn every_version_sets_all_of_a_group_and_of_a_subscription() {
    every_version(ApiKey::AlterConfigs, |session, version| {
        let name = fresh_name("wholly");
        let group = Resource { kind: GROUP, name: &name };
        let both = [("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "6000")];
        expect(alter_any(session, version, group, &both, false), ErrorCode::None);
        let own = "consumer.heartbeat.interval.ms=6000 8 3 [8:consumer.heartbeat.interval.ms=6000 \
                   5:group.consumer.heartbeat.interval.ms=5000]";
        group.expect(session, "consumer.heartbeat.interval.ms", own);
        let bad = [("consumer.session.timeout.ms", "70000")];
        expect(alter_any(session, version, group, &bad, false), ErrorCode::InvalidConfig);
        expect(alter_any(session, version, group, &both[..1], false), ErrorCode::None);
        let inherited = "consumer.heartbeat.interval.ms=5000 5 3 [5:group.consumer.heartbeat.interval.ms=5000]";
        group.expect(session, "consumer.heartbeat.interval.ms", inherited);
        let subscription = Resource { kind: CLIENT_METRICS, name: &name };
        // Other cases are clients too.
        let nobody = ("match", "client_id=nobody");
        expect(alter_any(session, version, subscription, &[nobody, ("interval.ms", "200")], false), ErrorCode::None);
        expect(alter_any(session, version, subscription, &[nobody, ("metrics", "*")], false), ErrorCode::None);
        subscription.expect(session, "metrics", "metrics=* 7 7 [7:metrics=*]");
        subscription.expect(session, "interval.ms", "interval.ms=300000 5 3 []");
        let node = node(session);
        let loggers = Resource { kind: BROKER_LOGGER, name: &node };
        expect(alter_any(session, version, loggers, &[("root", "INFO")], false), ErrorCode::InvalidRequest);
    });
}

//! `IncrementalAlterConfigs`: one key at a time, lists included.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::config::{APPEND, BROKER, BROKER_LOGGER, CLIENT_METRICS, DELETE, GROUP, Resource, SET, SUBTRACT, node};
use crate::session::{Session, every_version, expect};
use crate::topic::{Topic, fresh_name};

const TOPIC: i8 = 2;

fn alter(
    session: &mut Session,
    version: i16,
    name: &str,
    changes: &[(&str, i8, Option<&str>)],
    validate_only: bool,
) -> i16 {
    let configs = changes.iter().map(|(name, config_operation, value)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *config_operation,
        value: value.map(str::to_owned),
    });
    let resource =
        AlterConfigsResource { resource_type: TOPIC, resource_name: name.to_owned(), configs: configs.collect() };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
    session.ask(version, &request).responses[0].error_code
}

fn value(session: &mut Session, topic: &Topic, key: &str) -> String {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: topic.name.clone(),
        configuration_keys: Some(vec![key.to_owned()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    session.ask(4, &request).results.remove(0).configs.remove(0).value.expect("no secret")
}

/// Apache Kafka answers before its broker has heard of it; Ringlog must not.
fn expect_value(session: &mut Session, topic: &Topic, key: &str, expected: &str) {
    if std::env::var_os(ringlog_kit::target::BOOTSTRAP).is_some() {
        while value(session, topic, key) != expected {}
    }
    assert_eq!(value(session, topic, key), expected);
}

#[test]
fn every_version_sets_deletes_appends_and_subtracts() {
    every_version(ApiKey::IncrementalAlterConfigs, |session, version| {
        let topic = Topic::create(session, "alter", 1);
        let change = |session: &mut Session, key, operation, value, expected: &str| {
            expect(alter(session, version, &topic.name, &[(key, operation, value)], false), ErrorCode::None);
            expect_value(session, &topic, key, expected);
        };
        change(session, "retention.ms", SET, Some("5000"), "5000");
        change(session, "retention.ms", DELETE, None, "604800000");
        change(session, "cleanup.policy", APPEND, Some("compact"), "delete,compact");
        change(session, "cleanup.policy", SUBTRACT, Some("delete"), "compact");
    });
}

#[test]
fn a_trial_and_a_refusal_change_nothing() {
    every_version(ApiKey::IncrementalAlterConfigs, |session, version| {
        let topic = Topic::create(session, "refused", 1);
        let mut try_it = |changes: &[_], validate_only| alter(session, version, &topic.name, changes, validate_only);
        expect(try_it(&[("retention.ms", SET, Some("5000"))], true), ErrorCode::None);
        for (key, operation, value) in [
            ("no.such.key", SET, Some("1")),
            ("retention.ms", SET, Some("soon")),
            ("segment.bytes", SET, Some("200")),
            ("retention.ms", APPEND, Some("1")),
        ] {
            let both = [("max.message.bytes", SET, Some("2000")), (key, operation, value)];
            let code = ErrorCode::from_wire(try_it(&both, false));
            assert!([ErrorCode::InvalidConfig, ErrorCode::InvalidRequest].contains(&code), "{key}: {code}");
        }
        expect(
            try_it(&[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)], false),
            ErrorCode::InvalidRequest,
        );
        assert_eq!(value(session, &topic, "retention.ms"), "604800000");
        assert_eq!(value(session, &topic, "max.message.bytes"), "1048588");
        expect(
            alter(session, version, "nowhere", &[("retention.ms", SET, Some("1"))], false),
            ErrorCode::UnknownTopicOrPartition,
        );
    });
}

/// Nobody could connect any more, but for the addresses that have a number of their own.
#[test]
fn a_limit_that_lets_nobody_connect_is_refused() {
    let mut session = Session::open();
    let none = ("max.connections.per.ip", SET, Some("0"));
    let node = node(&mut session);
    for name in ["", &node] {
        let broker = Resource { kind: BROKER, name };
        expect(broker.alter(&mut session, 1, &[none]), ErrorCode::InvalidRequest);
        expect(broker.try_to_alter(&mut session, 1, &[none], true), ErrorCode::InvalidRequest);
        let overrides = ("max.connections.per.ip.overrides", SET, Some("127.0.0.1:5"));
        expect(broker.try_to_alter(&mut session, 1, &[none, overrides], true), ErrorCode::None);
    }
}

#[test]
fn every_version_gives_groups_settings_of_their_own() {
    every_version(ApiKey::IncrementalAlterConfigs, |session, version| {
        let name = fresh_name("configured");
        let group = Resource { kind: GROUP, name: &name };
        let session_of = |value| ("consumer.session.timeout.ms", SET, Some(value));
        expect(group.try_to_alter(session, version, &[session_of("50000")], true), ErrorCode::None);
        expect(group.alter(session, version, &[session_of("55000")]), ErrorCode::None);
        group.expect(
            session,
            "consumer.session.timeout.ms",
            "consumer.session.timeout.ms=55000 8 3 [8:consumer.session.timeout.ms=55000 \
             5:group.consumer.session.timeout.ms=45000]",
        );
        let tags = |operation, value| ("streams.rack.aware.assignment.tags", operation, Some(value));
        expect(group.alter(session, version, &[tags(SET, " cluster ")]), ErrorCode::None);
        group.expect(
            session,
            "streams.rack.aware.assignment.tags",
            "streams.rack.aware.assignment.tags=cluster 8 7 [8:streams.rack.aware.assignment.tags=cluster \
             5:group.streams.rack.aware.assignment.tags=]",
        );
        let deleted = ("consumer.session.timeout.ms", DELETE, None);
        expect(group.alter(session, version, &[deleted]), ErrorCode::None);
        group.expect(
            session,
            "consumer.session.timeout.ms",
            "consumer.session.timeout.ms=45000 5 3 [5:group.consumer.session.timeout.ms=45000]",
        );
    });
}

#[test]
fn a_group_gets_nothing_that_its_broker_does_not_allow() {
    every_version(ApiKey::IncrementalAlterConfigs, |session, version| {
        let name = fresh_name("refused");
        let group = Resource { kind: GROUP, name: &name };
        for (key, operation, value, code) in [
            ("no.such.key", SET, Some("1"), ErrorCode::InvalidConfig),
            ("group.consumer.session.timeout.ms", SET, Some("50000"), ErrorCode::InvalidConfig),
            ("consumer.session.timeout.ms", SET, Some("60001"), ErrorCode::InvalidConfig),
            ("consumer.session.timeout.ms", SET, Some("44999"), ErrorCode::InvalidConfig),
            ("consumer.heartbeat.interval.ms", SET, Some("4999"), ErrorCode::InvalidConfig),
            ("consumer.heartbeat.interval.ms", SET, Some("15001"), ErrorCode::InvalidConfig),
            ("consumer.session.timeout.ms", SET, None, ErrorCode::InvalidRequest),
            ("consumer.session.timeout.ms", APPEND, Some("1"), ErrorCode::InvalidConfig),
            ("share.auto.offset.reset", SET, Some("by_duration:-PT1H"), ErrorCode::InvalidConfig),
            ("share.isolation.level", SET, Some("serializable"), ErrorCode::InvalidConfig),
            ("share.delivery.count.limit", SET, Some("11"), ErrorCode::InvalidConfig),
            ("share.record.lock.duration.ms", SET, Some("14999"), ErrorCode::InvalidConfig),
            ("streams.num.standby.replicas", SET, Some("3"), ErrorCode::InvalidConfig),
            ("streams.num.standby.replicas", SET, Some("many"), ErrorCode::InvalidConfig),
            ("streams.assignor.name", SET, Some("none-such"), ErrorCode::InvalidConfig),
            ("streams.rack.aware.assignment.tags", SET, Some("zone,zone"), ErrorCode::InvalidConfig),
            ("errors.deadletterqueue.topic.name", SET, Some("__dead"), ErrorCode::InvalidConfig),
        ] {
            let good = ("share.session.timeout.ms", SET, Some("50000"));
            expect(group.alter(session, version, &[good, (key, operation, value)]), code);
        }
        group.expect(
            session,
            "share.session.timeout.ms",
            "share.session.timeout.ms=45000 5 3 [5:group.share.session.timeout.ms=45000]",
        );
        let value = [("consumer.session.timeout.ms", SET, Some("50000"))];
        expect(Resource { kind: GROUP, name: "" }.alter(session, version, &value), ErrorCode::InvalidRequest);
    });
}

#[test]
fn every_version_subscribes_to_metrics_of_clients() {
    every_version(ApiKey::IncrementalAlterConfigs, |session, version| {
        let name = fresh_name("subscribed");
        let subscription = Resource { kind: CLIENT_METRICS, name: &name };
        let interval = |value| ("interval.ms", SET, Some(value));
        let changes = [interval("100"), ("metrics", SET, Some("org.a,org.b")), ("match", SET, Some("client_id=x-.*"))];
        expect(subscription.alter(session, version, &changes), ErrorCode::None);
        subscription.expect(session, "metrics", "metrics=org.a,org.b 7 7 [7:metrics=org.a,org.b]");
        subscription.expect(session, "interval.ms", "interval.ms=100 7 3 [7:interval.ms=100]");
        for (key, value, code) in [
            ("no.such.key", "1", ErrorCode::InvalidRequest),
            ("interval.ms", "99", ErrorCode::InvalidRequest),
            ("interval.ms", "3600001", ErrorCode::InvalidRequest),
            ("match", "client_id", ErrorCode::InvalidConfig),
            ("match", "id=x", ErrorCode::InvalidConfig),
            ("match", "client_id=(", ErrorCode::InvalidConfig),
            ("match", "client_id=a=b", ErrorCode::InvalidConfig),
        ] {
            expect(subscription.alter(session, version, &[(key, SET, Some(value))]), code);
        }
        let all = ["interval.ms", "metrics", "match"].map(|key| (key, DELETE, None));
        expect(subscription.alter(session, version, &all), ErrorCode::None);
        subscription.expect(session, "interval.ms", "interval.ms=300000 5 3 []");
        let nameless = Resource { kind: CLIENT_METRICS, name: "" };
        expect(nameless.alter(session, version, &[interval("100")]), ErrorCode::InvalidRequest);
    });
}

/// Loggers have other names on every broker; all of them have a root.
#[test]
fn every_version_changes_levels_of_loggers() {
    every_version(ApiKey::IncrementalAlterConfigs, |session, version| {
        let node = node(session);
        let loggers = Resource { kind: BROKER_LOGGER, name: &node };
        let described = loggers.describe(session, 4, None).configs;
        let name = described.into_iter().map(|logger| logger.name).find(|name| name != "root").expect("a logger");
        let root = loggers.describe(session, 4, Some(&["root"])).configs.remove(0).value.expect("its level");
        expect(loggers.alter(session, version, &[(&name, SET, Some("ERROR"))]), ErrorCode::None);
        loggers.expect(session, &name, &format!("{name}=ERROR 6 0 []"));
        expect(loggers.try_to_alter(session, version, &[(&name, SET, Some("WARN"))], true), ErrorCode::None);
        for (logger, operation, value, code) in [
            ("no.such.logger", SET, Some("DEBUG"), ErrorCode::InvalidConfig),
            ("no.such.logger", DELETE, None, ErrorCode::InvalidConfig),
            (&name, SET, Some("LOUD"), ErrorCode::InvalidConfig),
            (&name, SET, Some("debug"), ErrorCode::InvalidConfig),
            (&name, SET, None, ErrorCode::InvalidRequest),
            (&name, APPEND, Some("DEBUG"), ErrorCode::InvalidRequest),
            (&name, SUBTRACT, Some("DEBUG"), ErrorCode::InvalidRequest),
            (&name, 4, Some("DEBUG"), ErrorCode::InvalidRequest),
            ("root", DELETE, None, ErrorCode::InvalidRequest),
        ] {
            expect(loggers.alter(session, version, &[(logger, operation, value)]), code);
        }
        let twice = [(&*name, SET, Some("WARN")), (&name, SET, Some("INFO"))];
        expect(loggers.alter(session, version, &twice), ErrorCode::InvalidRequest);
        loggers.expect(session, &name, &format!("{name}=ERROR 6 0 []"));
        expect(loggers.alter(session, version, &[(&name, DELETE, None)]), ErrorCode::None);
        loggers.expect(session, &name, &format!("{name}={root} 6 0 []"));
        for (other, code) in
            [("77", ErrorCode::InvalidRequest), ("x", ErrorCode::InvalidRequest), ("", ErrorCode::InvalidRequest)]
        {
            let other = Resource { kind: BROKER_LOGGER, name: other };
            expect(other.alter(session, version, &[("root", SET, Some("ERROR"))]), code);
        }
    });
}

//! `IncrementalAlterConfigs`: one key at a time, lists included.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

const TOPIC: i8 = 2;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

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

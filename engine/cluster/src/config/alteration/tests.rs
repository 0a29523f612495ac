//! Changes of configuration, refused and granted.

use std::collections::BTreeSet;

use super::*;
use crate::config::StaticConfig;
use crate::config::key::Unit;
use crate::config::keys::{broker_key, topic_keys};

const SET: AlterOperation = AlterOperation::Set;
const DELETE: AlterOperation = AlterOperation::Delete;
const APPEND: AlterOperation = AlterOperation::Append;
const SUBTRACT: AlterOperation = AlterOperation::Subtract;

type Step<'a> = (&'a str, AlterOperation, &'a str);

fn alterations(steps: &[Step<'_>]) -> Vec<Alteration> {
    let alteration = |(key, operation, value): &Step<'_>| Alteration {
        key: (*key).to_owned(),
        operation: *operation,
        value: (*operation != DELETE).then(|| (*value).to_owned()),
    };
    steps.iter().map(alteration).collect()
}

fn map(settings: &[(&str, &str)]) -> ConfigMap {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The changes as `key=value`, `-key` for one that goes; or the error.
fn told(result: Result<ConfigChanges, AlterError>) -> String {
    match result {
        Ok(changes) => {
            let change = |(key, value): (&String, &Option<String>)| match value {
                Some(value) => format!("{key}={value}"),
                None => format!("-{key}"),
            };
            changes.iter().map(change).collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.to_string(),
    }
}

fn check(target: ConfigTarget, current: &[(&str, &str)], steps: &[Step<'_>], expected: &str) {
    let fixed = StaticConfig::default();
    let layers = ConfigLayers::of_start(&fixed);
    let result = alter_incrementally(target, &map(current), &alterations(steps), &layers);
    assert_eq!(told(result), expected, "{steps:?}");
}

fn check_topic(current: &[(&str, &str)], steps: &[Step<'_>], expected: &str) {
    check(ConfigTarget::Topic, current, steps, expected);
}

#[test]
fn set_and_delete() {
    check_topic(&[], &[("retention.ms", SET, " 5 ")], "retention.ms=5");
    check_topic(&[("retention.ms", "5")], &[("retention.ms", SET, "5")], "");
    check_topic(&[("retention.ms", "5")], &[("retention.ms", DELETE, "")], "-retention.ms");
    check_topic(&[], &[("retention.ms", DELETE, "")], "");
}

#[test]
fn lists_grow_and_shrink_from_the_value_in_force() {
    check_topic(&[], &[("cleanup.policy", APPEND, "compact")], "cleanup.policy=delete,compact");
    check_topic(&[], &[("cleanup.policy", APPEND, "delete")], "cleanup.policy=delete");
    check_topic(&[("cleanup.policy", "compact")], &[("cleanup.policy", SUBTRACT, "compact")], "cleanup.policy=");
    check_topic(
        &[("cleanup.policy", "compact,delete")],
        &[("cleanup.policy", SUBTRACT, "compact,other")],
        "cleanup.policy=delete",
    );
    check_topic(
        &[],
        &[("retention.ms", APPEND, "5")],
        "retention.ms is not a list, which can be appended to or subtracted from",
    );
    check_topic(
        &[],
        &[("cleanup.policy", APPEND, "keep")],
        "cleanup.policy=delete,keep: expected a comma-separated list of compact, delete",
    );
}

#[test]
fn refusals_name_key_value_and_range() {
    check_topic(
        &[],
        &[("segment.bytes", SET, "200")],
        "segment.bytes=200: expected a whole number from 1048576 to 2147483647",
    );
    check_topic(&[], &[("segment.byte", SET, "200")], "segment.byte is not a known key");
    check_topic(
        &[],
        &[("retention.ms", SET, "1"), ("retention.ms", DELETE, "")],
        "the configuration key retention.ms is named twice",
    );
    check_topic(
        &[("max.compaction.lag.ms", "5")],
        &[("min.compaction.lag.ms", SET, "6")],
        "min.compaction.lag.ms (6) is larger than max.compaction.lag.ms (5)",
    );
    check_topic(
        &[],
        &[("remote.storage.enable", SET, "true")],
        "remote.storage.enable=true is refused: tiered storage is not supported yet, and its data would stay on this machine",
    );
    check_topic(
        &[],
        &[("leader.replication.throttled.replicas", SET, "0:1,1:2")],
        "leader.replication.throttled.replicas=0:1,1:2",
    );
    check_topic(&[], &[("message.downconversion.enable", SET, "false")], "message.downconversion.enable=false");
    let fixed = StaticConfig::default();
    let missing = Alteration { key: "retention.ms".to_owned(), operation: SET, value: None };
    let result = alter_incrementally(ConfigTarget::Topic, &map(&[]), &[missing], &ConfigLayers::of_start(&fixed));
    assert_eq!(told(result), "a value is missing for retention.ms");
}

#[test]
fn brokers_have_keys_for_one_and_for_all() {
    let (one, all) = (ConfigTarget::Broker, ConfigTarget::AllBrokers);
    check(all, &[], &[("log.retention.ms", SET, "5")], "log.retention.ms=5");
    check(one, &[], &[("log.retention.ms", SET, "5")], "log.retention.ms=5");
    check(one, &[], &[("sasl.enabled.mechanisms", APPEND, "PLAIN")], "sasl.enabled.mechanisms=GSSAPI,PLAIN");
    check(
        all,
        &[],
        &[("sasl.enabled.mechanisms", SET, "PLAIN")],
        "sasl.enabled.mechanisms can be set for one broker only, not for all",
    );
    check(one, &[], &[("num.partitions", SET, "5")], "num.partitions cannot be changed while the broker runs");
    check(
        one,
        &[],
        &[("message.max.bytes", SET, "-5")],
        "message.max.bytes=-5: expected a whole number from 0 to 2147483647",
    );
}

/// Nobody could connect to take it back, or every batch would be a segment of its own.
#[test]
fn what_would_make_a_broker_useless_is_refused() {
    for target in [ConfigTarget::Broker, ConfigTarget::AllBrokers] {
        for key in ["max.connections", "max.connection.creation.rate"] {
            check(target, &[], &[(key, SET, "0")], &format!("{key}=0: expected a whole number from 1 to 2147483647"));
        }
        for (key, value, least) in [("log.roll.ms", "0", 1), ("log.roll.ms", "-1", 1), ("log.roll.jitter.ms", "-1", 0)]
        {
            let expected = format!("{key}={value}: expected a whole number from {least} to {}", i64::MAX);
            check(target, &[], &[(key, SET, value)], &expected);
        }
    }
    for key in ["listeners", "listener.security.protocol.map"] {
        check(
            ConfigTarget::Broker,
            &[],
            &[(key, SET, "PLAINTEXT:PLAINTEXT")],
            &format!("{key} cannot be changed while the broker runs"),
        );
    }
}

/// What a broker says for all topics is what a topic could say for itself.
#[test]
fn a_broker_key_takes_no_number_that_the_key_of_its_topics_refuses() {
    let mut wider = BTreeSet::new();
    for key in topic_keys() {
        let Scope::Topic(synonyms) = key.scope else { continue };
        for synonym in synonyms.iter().filter(|synonym| synonym.unit == Unit::Same) {
            let broker_key = broker_key(synonym.name).expect("a synonym is a key of brokers");
            for number in [i64::MIN, -2, -1, 0, 1] {
                let number = number.to_string();
                if key.parse(&number).is_err() && broker_key.parse(&number).is_ok() {
                    wider.insert(broker_key.name);
                }
            }
        }
    }
    // Kafka takes negative ones too: nothing is flushed because of its age.
    assert_eq!(wider, BTreeSet::from(["log.flush.interval.ms", "log.flush.scheduler.interval.ms"]));
}

/// What a broker is changed to has to go together with what lies beneath.
#[test]
fn what_a_broker_has_goes_together() {
    const PER_IP: &str = "max.connections.per.ip";
    const OVERRIDES: &str = "max.connections.per.ip.overrides";
    let refusal = "max.connections.per.ip=0 would let nobody connect; expected at least 1, or addresses that may connect all \
         the same, in max.connections.per.ip.overrides";
    let nothing_kept = "log.retention.ms, log.retention.minutes or log.retention.hours is 0, which would keep nothing of any topic; \
         expected at least 1, or -1 to keep everything";
    for target in [ConfigTarget::Broker, ConfigTarget::AllBrokers] {
        check(target, &[], &[("log.retention.ms", SET, "0")], nothing_kept);
        check(target, &[], &[("log.retention.ms", SET, "-2")], "log.retention.ms=-2");
        let both = [(PER_IP, "0"), (OVERRIDES, "1.2.3.4:5")];
        check(target, &[], &[(PER_IP, SET, "0")], refusal);
        check(
            target,
            &[],
            &[(PER_IP, SET, "0"), (OVERRIDES, SET, "1.2.3.4:5")],
            &format!("{PER_IP}=0 {OVERRIDES}=1.2.3.4:5"),
        );
        check(target, &both[1..], &[(PER_IP, SET, "0")], &format!("{PER_IP}=0"));
        check(target, &both, &[(OVERRIDES, DELETE, "")], refusal);
        check(target, &both, &[(OVERRIDES, SET, "")], refusal);
        check(target, &both, &[(OVERRIDES, DELETE, ""), (PER_IP, SET, "1")], &format!("{PER_IP}=1 -{OVERRIDES}"));
        let fixed = StaticConfig::default();
        let layers = ConfigLayers::of_start(&fixed);
        let steps = alterations(&[(PER_IP, SET, "0")]);
        assert_eq!(told(alter_wholly(target, &map(&both), &steps, &layers)), refusal);
    }
    // What is beneath counts too: this broker has addresses that may connect, and then has none.
    let fixed = StaticConfig::default();
    let (broker, all) = (map(&[(OVERRIDES, "1.2.3.4:5")]), map(&[(PER_IP, "0")]));
    let layers = ConfigLayers { broker: &broker, all_brokers: &all, fixed: &fixed };
    let steps = alterations(&[(OVERRIDES, DELETE, "")]);
    assert_eq!(told(alter_incrementally(ConfigTarget::Broker, &broker, &steps, &layers)), refusal);
    let steps = alterations(&[("max.connections", SET, "7")]);
    assert_eq!(told(alter_incrementally(ConfigTarget::AllBrokers, &all, &steps, &layers)), "max.connections=7");
    check(
        ConfigTarget::Broker,
        &[],
        &[("cordoned.log.dirs", SET, "/elsewhere")],
        "cordoned.log.dirs=/elsewhere: /elsewhere is none of log.dirs=ringlog-data; name those, or * for all",
    );
}

/// The properties may have changed since it was set, as the start has said.
#[test]
fn what_did_not_go_together_before_holds_up_nothing_else() {
    let fixed = StaticConfig::default();
    let stale = map(&[("cordoned.log.dirs", "/gone")]);
    let layers = ConfigLayers { broker: &stale, ..ConfigLayers::of_start(&fixed) };
    let alter = |step| told(alter_incrementally(ConfigTarget::Broker, &stale, &alterations(&[step]), &layers));
    assert_eq!(alter(("max.connections", SET, "7")), "max.connections=7");
    assert_eq!(alter(("cordoned.log.dirs", DELETE, "")), "-cordoned.log.dirs");
    let other = alter(("cordoned.log.dirs", SET, "/elsewhere"));
    assert!(other.starts_with("cordoned.log.dirs=/elsewhere"), "{other}");
    let another = alter(("max.connections.per.ip", SET, "0"));
    assert!(another.starts_with("max.connections.per.ip=0"), "{another}");
}

#[test]
fn the_old_way_replaces_everything() {
    let fixed = StaticConfig::default();
    let layers = ConfigLayers::of_start(&fixed);
    let current = map(&[("retention.ms", "5"), ("segment.ms", "6"), ("flush.ms", "7")]);
    let steps = alterations(&[("retention.ms", SET, "8"), ("segment.ms", SET, "6")]);
    let result = alter_wholly(ConfigTarget::Topic, &current, &steps, &layers);
    assert_eq!(told(result), "-flush.ms retention.ms=8");
    assert_eq!(told(alter_wholly(ConfigTarget::Topic, &map(&[("flush.ms", "7")]), &[], &layers)), "-flush.ms");
    // What goes is not held against what comes.
    let current = map(&[("max.compaction.lag.ms", "500")]);
    let steps = alterations(&[("min.compaction.lag.ms", SET, "1000")]);
    let result = alter_wholly(ConfigTarget::Topic, &current, &steps, &layers);
    assert_eq!(told(result), "-max.compaction.lag.ms min.compaction.lag.ms=1000");
}

#[test]
fn a_new_topic_s_settings() {
    let fixed = StaticConfig::default();
    let layers = ConfigLayers::of_start(&fixed);
    let given = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    let good = check_new_topic(&[given("cleanup.policy", "compact"), given("segment.ms", "5")], &layers);
    assert_eq!(good, Ok(map(&[("cleanup.policy", "compact"), ("segment.ms", "5")])));
    assert!(check_new_topic(&[given("cleanup.policy", "?")], &layers).is_err());
    assert!(check_new_topic(&[("segment.ms".to_owned(), None)], &layers).is_err());
}

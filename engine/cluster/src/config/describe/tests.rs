//! What `DescribeConfigs` tells, and where it comes from.

use super::*;
use crate::config::{PropertiesFile, Sources, StaticConfig};

fn map(settings: &[(&str, &str)]) -> ConfigMap {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[derive(Default)]
struct Given<'a> {
    topic: &'a [(&'a str, &'a str)],
    broker: &'a [(&'a str, &'a str)],
    all_brokers: &'a [(&'a str, &'a str)],
    file: &'a str,
}

impl Given<'_> {
    fn describe(&self, of: impl Fn(&ConfigMap, &ConfigLayers<'_>) -> Vec<DescribedConfig>) -> Vec<DescribedConfig> {
        let file = Some(PropertiesFile { name: "test", text: self.file });
        let (fixed, _) = StaticConfig::load(&Sources { file, ..Sources::default() }).expect("every value is valid");
        let (broker, all_brokers) = (map(self.broker), map(self.all_brokers));
        let layers = ConfigLayers { broker: &broker, all_brokers: &all_brokers, fixed: &fixed };
        of(&map(self.topic), &layers)
    }

    /// `value source [source:name=value …]` of a topic's key.
    fn check_topic(&self, key: &str, expected: &str) {
        let described = self.describe(describe_topic);
        assert_eq!(line(&described, key), expected);
    }

    fn check_broker(&self, key: &str, expected: &str) {
        let described = self.describe(|_, layers| describe_broker(layers));
        assert_eq!(line(&described, key), expected);
    }
}

fn line(described: &[DescribedConfig], key: &str) -> String {
    let config = described.iter().find(|config| config.name == key).expect("the key is described");
    let null = || "null".to_owned();
    let synonyms: Vec<_> = config
        .synonyms
        .iter()
        .map(|synonym| {
            let value = synonym.value.clone().unwrap_or_else(null);
            format!("{}:{}={value}", synonym.source.wire_code(), synonym.name)
        })
        .collect();
    let value = config.value.clone().unwrap_or_else(null);
    format!("{value} {} [{}]", config.source.wire_code(), synonyms.join(" "))
}

#[test]
fn a_topic_inherits_source_by_source() {
    let mut given = Given::default();
    given.check_topic("retention.ms", "604800000 5 [5:log.retention.hours=168]");
    given.file = "log.retention.hours=1\nlog.retention.minutes=2";
    given.check_topic(
        "retention.ms",
        "120000 4 [4:log.retention.minutes=2 4:log.retention.hours=1 5:log.retention.hours=168]",
    );
    given.all_brokers = &[("log.retention.ms", "7")];
    given.broker = &[("log.retention.ms", "8")];
    given.topic = &[("retention.ms", "9")];
    given.check_topic(
        "retention.ms",
        "9 1 [1:retention.ms=9 2:log.retention.ms=8 3:log.retention.ms=7 4:log.retention.minutes=2 \
         4:log.retention.hours=1 5:log.retention.hours=168]",
    );
}

#[test]
fn units_flushing_and_values_without_a_broker_key() {
    let given = Given { file: "log.retention.hours=-1\nlog.roll.hours=2", ..Given::default() };
    given.check_topic("retention.ms", "-1 4 [4:log.retention.hours=-1 5:log.retention.hours=168]");
    let negative = Given { file: "log.retention.ms=-2", ..Given::default() };
    negative.check_topic("retention.ms", "-1 4 [4:log.retention.ms=-2 5:log.retention.hours=168]");
    given.check_topic("segment.ms", "7200000 4 [4:log.roll.hours=2 5:log.roll.hours=168]");
    given.check_topic("flush.ms", "9223372036854775807 5 [5:log.flush.scheduler.interval.ms=9223372036854775807]");
    given.check_topic("remote.storage.enable", "false 5 []");
    given.check_topic("min.cleanable.dirty.ratio", "0.5 5 [5:log.cleaner.min.cleanable.ratio=0.5]");
    given.check_topic("ringlog.durability", "sync 5 [5:ringlog.durability=sync]");
}

#[test]
fn the_default_that_the_first_start_writes_is_told_as_such() {
    let given = Given { all_brokers: &[("min.insync.replicas", "1")], ..Given::default() };
    given.check_topic("min.insync.replicas", "1 3 [3:min.insync.replicas=1 5:min.insync.replicas=1]");
    let described = given.describe(|_, layers| describe_all_brokers(layers));
    assert_eq!(described.len(), 1);
    assert_eq!(line(&described, "min.insync.replicas"), "1 3 [3:min.insync.replicas=1]");
}

#[test]
fn a_broker_s_own_keys() {
    let given = Given {
        file: "advertised.listeners=PLAINTEXT://a:1\nssl.key.password=secret\nlog.retention.minutes=5",
        broker: &[("max.connections", "9")],
        ..Given::default()
    };
    given.check_broker("advertised.listeners", "PLAINTEXT://a:1 4 [4:advertised.listeners=PLAINTEXT://a:1]");
    given.check_broker("ssl.key.password", "null 4 [4:ssl.key.password=null]");
    given.check_broker("max.connections", "9 2 [2:max.connections=9 5:max.connections=2147483647]");
    given.check_broker("log.retention.ms", "null 4 [4:log.retention.minutes=5 5:log.retention.hours=168]");
    given.check_broker("log.retention.hours", "168 5 [5:log.retention.hours=168]");
    given.check_broker(
        "log.cleaner.io.max.bytes.per.second",
        "1.7976931348623157E308 5 [5:log.cleaner.io.max.bytes.per.second=1.7976931348623157E308]",
    );
    let described = given.describe(|_, layers| describe_broker(layers));
    let read_only = |key: &str| described.iter().find(|config| config.name == key).map(|config| config.read_only);
    assert_eq!(read_only("advertised.listeners"), Some(true));
    assert_eq!(read_only("message.max.bytes"), Some(false));
    assert_eq!(read_only("unstable.api.versions.enable"), None, "internal keys are told only where they are set");
}

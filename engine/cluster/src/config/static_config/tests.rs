//! Sources, warnings and errors of the configuration at the start.

use super::*;

fn load(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<(StaticConfig, Vec<String>), Vec<String>> {
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
    let file = Some(PropertiesFile { name: "server.properties", text: file });
    StaticConfig::load(&Sources { file, environment: &environment, set: &set })
        .map(|(config, warnings)| (config, warnings.iter().map(ToString::to_string).collect()))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn check_value(file: &str, environment: &[(&str, &str)], set: &[&str], key: &str, expected: Option<&str>) {
    let (config, _) = load(file, environment, set).expect("all values are valid");
    assert_eq!(config.setting(key).map(|setting| setting.value.to_string()).as_deref(), expected, "{key}");
}

fn check_warnings(file: &str, environment: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(load(file, environment, &[]).expect("all values are valid").1, expected);
}

fn check_errors(file: &str, set: &[&str], expected: &[&str]) {
    assert_eq!(load(file, &[], set).expect_err("a value is not valid"), expected);
}

#[test]
fn the_command_line_beats_the_environment_which_beats_the_file() {
    let environment = [("KAFKA_NUM_PARTITIONS", "3"), ("PATH", "/bin")];
    check_value("num.partitions=2", &[], &[], "num.partitions", Some("2"));
    check_value("num.partitions=2\nnum.partitions=4", &[], &[], "num.partitions", Some("4"));
    check_value("num.partitions=2", &environment, &[], "num.partitions", Some("3"));
    check_value("num.partitions=2", &environment, &["num.partitions=5"], "num.partitions", Some("5"));
    check_value("", &[], &[], "num.partitions", None);
}

#[test]
fn variables_become_keys() {
    for (variable, key) in [
        ("KAFKA_LOG_RETENTION_MS", Some("log.retention.ms")),
        ("KAFKA_A__B_C___D", Some("a_b.c-d")),
        ("KAFKA_RINGLOG_DURABILITY", Some("ringlog.durability")),
        ("KAFKA_HEAP_OPTS", None),
        ("KAFKA_", None),
        ("KAFKAESQUE", None),
    ] {
        assert_eq!(key_of_variable(variable).as_deref(), key, "{variable}");
    }
}

#[test]
fn listener_settings_are_kept_by_listener() {
    let (config, _) = load("listener.name.Internal.ssl.client.auth=required", &[], &[]).expect("the value is valid");
    let setting = config.listener_setting("INTERNAL", "ssl.client.auth").expect("it was set");
    assert_eq!(setting.value.to_string(), "required");
    let file = "listener.name.internal.plain.sasl.jaas.config=org.example.Login required;";
    assert!(load(file, &[], &[]).expect("the value is valid").0.settings().next().is_none());
}

#[test]
fn warnings_name_the_place_and_a_remedy() {
    check_warnings(
        "# one\nnum.partition=2",
        &[],
        &["server.properties, line 2: num.partition is not a known key; did you mean num.partitions?"],
    );
    check_warnings(
        "completely.different.thing=2",
        &[],
        &["server.properties, line 1: completely.different.thing is not a known key"],
    );
    check_warnings(
        "",
        &[("KAFKA_NUM_IO_THREADS", "8")],
        &[
            "environment variable KAFKA_NUM_IO_THREADS: num.io.threads has no effect: one shard per core takes the place of thread pools (ringlog.cores)",
        ],
    );
    check_warnings(
        "",
        &[("KAFKA_HEAP_OPTS", "-Xmx6g -Xms6g"), ("KAFKA_OPTS", "-Da=b")],
        &[
            "environment variable KAFKA_HEAP_OPTS: KAFKA_HEAP_OPTS has no effect: there is no JVM; ringlog.memory says how much memory all shards take together",
        ],
    );
    check_warnings(
        "zookeeper.connect=a:2181",
        &[],
        &[
            "server.properties, line 1: zookeeper.connect has no effect: Kafka 4 has no ZooKeeper any more, and neither is there one here",
        ],
    );
    check_warnings(
        "retention.ms=1",
        &[],
        &[
            "server.properties, line 1: retention.ms is a topic's key; the broker's key for all topics is log.retention.ms",
        ],
    );
    check_warnings("authorizer.class.name=\nremote.log.storage.system.enable=false", &[], &[]);
}

#[test]
fn every_error_is_told_at_once() {
    check_errors(
        "num.partitions=0\nauto.create.topics.enable=yes\nssl.key.password=a\n\nb=\\u12",
        &["log.segment.bytes=200", "nonsense"],
        &[
            "server.properties, line 5: after \\u there must be four hexadecimal digits",
            "--set nonsense: expected key=value",
            "server.properties, line 2: auto.create.topics.enable=yes: expected true or false",
            "--set: log.segment.bytes=200: expected a whole number from 1048576 to 2147483647",
            "server.properties, line 1: num.partitions=0: expected a whole number from 1 to 2147483647",
        ],
    );
    check_errors(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        &[],
        &["server.properties, line 1: authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer \
           is refused: authorization is not supported yet, and without it every client could do everything"],
    );
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let text = "a".repeat(PROPERTIES_BYTES_MAX + 1);
    check_errors(&text, &[], &["server.properties has 1048577 bytes, and a properties file may have 1048576 at most"]);
}

#[test]
fn values_of_every_kind() {
    for (assignment, is_valid) in [
        ("auto.create.topics.enable=TRUE", true),
        ("compression.gzip.level=-1", true),
        ("compression.gzip.level=0", false),
        ("compression.type=ZSTD", false),
        ("group.consumer.migration.policy=Upgrade", true),
        ("log.cleaner.min.cleanable.ratio=1.5", false),
        ("log.cleanup.policy=delete , compact", true),
        ("log.cleanup.policy=keep", false),
        ("log.retention.ms=+5", true),
        ("log.retention.ms=1_000", false),
        ("num.partitions=99999999999", false),
        ("offsets.topic.replication.factor=40000", false),
        ("ringlog.cores=0-3,6", true),
        ("ringlog.cores=0", false),
        ("ringlog.cores=3-1", false),
        ("ringlog.durability=sometimes", false),
        ("ringlog.journal.bytes=64MiB", true),
        ("ringlog.journal.bytes=auto", true),
        ("ringlog.journal.bytes=1MiB", false),
        ("ringlog.admin.listener=[::1]:0", true),
        ("ringlog.admin.listener=", true),
        ("ringlog.admin.listener=localhost", false),
        ("ringlog.admin.listener=http://localhost:1", false),
        ("ringlog.metrics.families=jmx,kminion", true),
        ("ringlog.metrics.families=statsd", false),
        ("ringlog.memory=auto", true),
        ("ringlog.memory=2GiB", true),
        ("ringlog.memory=1MiB", false),
    ] {
        assert_eq!(load("", &[], &[assignment]).is_ok(), is_valid, "{assignment}");
    }
}

#[test]
fn distances() {
    for (left, right, distance) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
        assert_eq!(edit_distance(left, right), distance);
    }
}

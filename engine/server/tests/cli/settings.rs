//! What a cluster consists of, and the settings of what is in it.

use std::process::Output;

use ringlog_kit::broker::{Broker, Options};
use serde_json::Value;

use crate::{printed, refusal, ringlog, ringlog_reading};

fn run(broker: &Broker, words: &[&str]) -> Output {
    ringlog(&[words, &["-b", &broker.bootstrap()]].concat())
}

fn json(broker: &Broker, words: &[&str]) -> Value {
    let output = run(broker, &[words, &["-o", "json"]].concat());
    serde_json::from_str(printed(&output)).expect("JSON")
}

/// The value and the source of a setting.
fn setting(broker: &Broker, resource: &[&str], key: &str) -> [String; 2] {
    let described = json(broker, &[&["config", "describe"], resource].concat());
    let configs = described[0]["configs"].as_array().expect("settings");
    let config = configs.iter().find(|config| config["name"] == key).expect("it is told");
    ["value", "source"].map(|field| config[field].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_cluster_tells_what_it_consists_of() {
    let broker = Broker::start(Options::default().set("node.id", "7").set("broker.rack", "east"));
    let described = json(&broker, &["cluster", "describe"]);
    assert!(described["id"].as_str().is_some_and(|id| !id.is_empty()), "{described}");
    assert_eq!(described["controller"], 7);
    let (host, port) = ("127.0.0.1", broker.address().port());
    let told = serde_json::json!([{"id": 7, "host": host, "port": port, "rack": "east", "fenced": false}]);
    assert_eq!(described["brokers"], told);
    let features = described["features"].as_array().expect("features");
    let groups = features.iter().find(|feature| feature["name"] == "group.version").expect("it is told");
    assert!(groups["level"].as_i64() >= groups["level_min"].as_i64(), "{groups}");
    let table = run(&broker, &["cluster", "describe"]);
    for part in ["controller  7\n", &format!("7       127.0.0.1  {port}  east  active\n"), "group.version  "] {
        assert!(printed(&table).contains(part), "{table:?}");
    }
}

#[test]
fn settings_of_topics_and_brokers_are_told_and_changed() {
    let broker = Broker::start(Options::default().set("node.id", "7").set("num.partitions", "3"));
    printed(&run(&broker, &["topic", "create", "greetings", "-c", "retention.ms=100000"]));
    let topic = ["topic", "greetings"];
    assert_eq!(setting(&broker, &topic, "retention.ms"), ["100000", "topic"]);
    let altered = run(
        &broker,
        &[
            "config",
            "alter",
            "topic",
            "greetings",
            "--append",
            "cleanup.policy=compact",
            "--delete-config",
            "retention.ms",
        ],
    );
    assert_eq!(printed(&altered), "altered topic greetings\n");
    assert_eq!(setting(&broker, &topic, "cleanup.policy"), ["delete,compact", "topic"]);
    assert_eq!(setting(&broker, &topic, "retention.ms")[1], "default");
    printed(&run(&broker, &["config", "alter", "topic", "greetings", "--subtract", "cleanup.policy=delete"]));
    let table = run(&broker, &["config", "describe", "topic", "greetings"]);
    let lines: Vec<&str> = printed(&table).lines().collect();
    let told = lines.iter().find(|line| line.starts_with("greetings  cleanup.policy "));
    assert!(told.is_some_and(|line| line.ends_with("  compact  topic")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.ends_with("  default")), "{lines:?}");
    let all = run(&broker, &["config", "describe", "topic", "greetings", "--all"]);
    assert!(printed(&all).contains("greetings  retention.ms  "), "{all:?}");
    // One broker, and all of them.
    assert_eq!(setting(&broker, &["broker", "7"], "num.partitions"), ["3", "static"]);
    printed(&run(&broker, &["config", "alter", "broker", "-c", "log.retention.ms=5000"]));
    assert_eq!(setting(&broker, &["broker"], "log.retention.ms"), ["5000", "cluster"]);
    let altered = run(&broker, &["config", "alter", "broker", "7", "-c", "log.retention.ms=6000", "-o", "json"]);
    assert!(printed(&altered).contains(r#""result": "altered""#), "{altered:?}");
    assert_eq!(setting(&broker, &["broker", "7"], "log.retention.ms"), ["6000", "broker"]);
}

#[test]
fn loggers_and_subscriptions_are_told_and_changed() {
    let broker = Broker::start(Options::default().set("node.id", "7"));
    let logger = ["broker-logger", "7"];
    assert_eq!(setting(&broker, &logger, "ringlog_broker.connection"), ["INFO", "broker-logger"]);
    let says_more = || broker.log().iter().any(|line| line.contains("connection ended"));
    assert!(!says_more(), "nobody has asked for what connections say");
    let altered = run(&broker, &["config", "alter", "broker-logger", "7", "-c", "ringlog_broker.connection=DEBUG"]);
    assert_eq!(printed(&altered), "altered broker-logger 7\n");
    assert_eq!(setting(&broker, &logger, "ringlog_broker.connection")[0], "DEBUG");
    assert_eq!(setting(&broker, &logger, "ringlog_broker.state")[0], "INFO");
    // Every command ends a connection; the log is read a little later.
    let ends_connections = || printed(&run(&broker, &["cluster", "describe"])).len();
    assert!((0..100).any(|_| ends_connections() > 0 && says_more()), "the new level is in force");
    let table = run(&broker, &["config", "describe", "broker-logger", "7"]);
    assert!(printed(&table).lines().any(|line| line.starts_with("7     root  ")), "{table:?}");
    // A subscription need not be there to be told of.
    let subscription = ["client-metrics", "slow"];
    assert_eq!(setting(&broker, &subscription, "interval.ms")[1], "default");
    let metrics = "x".repeat(20_000);
    let words = ["-c", "interval.ms=1000", "-c", &format!("metrics={metrics}")];
    let altered = run(&broker, &[&["config", "alter"], &subscription[..], &words].concat());
    assert_eq!(printed(&altered), "altered client-metrics slow\n");
    assert_eq!(setting(&broker, &subscription, "interval.ms"), ["1000", "client-metrics"]);
    // Programs are told everything, people a line that they can read.
    assert_eq!(setting(&broker, &subscription, "metrics"), [&metrics, "client-metrics"]);
    let table = run(&broker, &["config", "describe", "client-metrics", "slow"]);
    let told = printed(&table).lines().find(|line| line.contains(" metrics ")).expect("it is told");
    assert!(told.ends_with("x…  client-metrics") && told.len() < 400, "{told}");
    let words = ["--delete-config", "interval.ms", "--delete-config", "metrics"];
    printed(&run(&broker, &[&["config", "alter"], &subscription[..], &words].concat()));
    assert_eq!(setting(&broker, &subscription, "metrics")[1], "default");
}

#[test]
fn brokers_that_are_not_there_are_refused_before_anything_is_sent() {
    let broker = Broker::start(Options::default().set("node.id", "7"));
    for kind in ["broker", "broker-logger"] {
        let expected = "there is no broker 8; those that are there: 7";
        assert_eq!(refusal(&run(&broker, &["config", "describe", kind, "7", "8"])), expected);
        let change = if kind == "broker" { "log.retention.ms=6000" } else { "ringlog_broker.state=DEBUG" };
        assert_eq!(refusal(&run(&broker, &["config", "alter", kind, "7", "8", "-c", change])), expected);
    }
    assert_ne!(setting(&broker, &["broker", "7"], "log.retention.ms")[0], "6000");
    assert_eq!(setting(&broker, &["broker-logger", "7"], "ringlog_broker.state")[0], "INFO");
}

#[test]
fn settings_that_cannot_be_told_or_changed_are_refused() {
    let broker = Broker::start(Options::default());
    printed(&run(&broker, &["topic", "create", "greetings"]));
    let refused = |words: &[&str]| refusal(&run(&broker, &[&["config"], words].concat()));
    let said = refused(&["describe", "topic", "no-such-topic"]);
    assert!(said.contains("topic no-such-topic") && said.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{said}");
    let partly = run(&broker, &["config", "describe", "topic", "no-such-topic", "greetings", "--all"]);
    assert!(refusal(&partly).contains("topic no-such-topic"), "{partly:?}");
    assert!(String::from_utf8_lossy(&partly.stdout).contains("greetings  retention.ms  "), "{partly:?}");
    for kind in ["topic", "group", "broker-logger", "client-metrics"] {
        assert!(refused(&["describe", kind]).contains(&format!("no {kind} is named")));
    }
    assert!(refused(&["describe", "broker", "x"]).contains("x is not the id of a broker"));
    let said = refused(&["alter", "topic", "greetings", "-c", "retention.ms=x"]);
    assert!(said.starts_with("topic greetings: ") && said.contains("INVALID_CONFIG"), "{said}");
    let said = refused(&["alter", "topic", "greetings", "-c", "retention.msec=1"]);
    assert!(said.contains("retention.msec is not a known key"), "{said}");
    for words in [&["alter", "topic", "greetings"][..], &["describe", "cluster"], &["alter", "topic", "t", "-c", "x"]] {
        let output = run(&broker, &[&["config"], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
}

#[test]
fn cores_are_taken_out_of_use_and_used_again() {
    let broker = Broker::start(Options::default().set("node.id", "7").set("ringlog.cores", "2"));
    printed(&run(&broker, &["topic", "create", "greetings", "-p", "6"]));
    let in_use = |words: &[&str]| json(&broker, words)["in_use"].as_u64();
    assert_eq!(in_use(&["cores", "show"]), Some(0));
    for count in [1, 2, 1] {
        let sent = ringlog_reading(&["produce", "greetings", "-b", &broker.bootstrap()], b"one\ntwo\nthree\n");
        printed(&sent);
        assert_eq!(in_use(&["cores", "set", &count.to_string()]), Some(count));
    }
    let read = run(&broker, &["consume", "greetings", "--from-beginning", "-e"]);
    assert_eq!(printed(&read).lines().count(), 9, "{read:?}");
    let table = run(&broker, &["cores", "show"]);
    assert!(printed(&table).contains("7       2      1"), "{table:?}");
    let refused = refusal(&run(&broker, &["cores", "set", "9"]));
    assert!(refused.contains("expected 0 to 2"), "{refused}");
}

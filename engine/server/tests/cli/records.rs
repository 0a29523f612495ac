//! Records in and out with the program's own client, against Ringlog, or against the broker that
//! `RINGLOG_CONFORMANCE_BOOTSTRAP` names.

use std::fmt::Write as _;
use std::fs;

use ringlog_kit::broker::Options;
use ringlog_kit::folder::Folder;
use ringlog_kit::target::Target;

use crate::{printed, refusal, ringlog, ringlog_reading};

/// Lines that are worth compressing, of many lengths, empty ones and ones with carriage returns among them.
fn lines(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let ending = if number % 10 == 0 { "\r\n" } else { "\n" };
        let body = "lorem ipsum ".repeat(number * 7 % 23);
        write!(text, "{}{ending}", if number % 31 == 0 { String::new() } else { format!("{number} {body}") })
            .expect("a String takes everything");
    }
    text
}

#[test]
fn what_goes_in_comes_out_with_every_codec() {
    let target = Target::new(Options::default());
    let bootstrap = target.bootstrap();
    let folder = Folder::new("records");
    let input = folder.path().join("input");
    let text = lines(20_000);
    fs::write(&input, &text).expect("the folder is ours");
    let input = input.display().to_string();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd", "zstd:9"] {
        for acks in ["1", "all"] {
            let topic = format!("cli-{}-{acks}-{}", codec.replace(':', "-"), std::process::id());
            let cluster = ["-b", bootstrap.as_str()];
            printed(&ringlog(&[&["topic", "create", &topic, "-p", "1"][..], &cluster].concat()));
            printed(&ringlog(&[&["produce", &topic, &input, "-z", codec, "--acks", acks][..], &cluster].concat()));
            let output = folder.path().join("output");
            let to = output.display().to_string();
            printed(&ringlog(&[&["consume", &topic, "-o", ":end", "--to", &to][..], &cluster].concat()));
            assert!(fs::read(&output).expect("it was written") == text.as_bytes(), "{codec} acks={acks}: bytes differ");
            printed(&ringlog(&[&["topic", "delete", &topic][..], &cluster].concat()));
        }
    }
}

#[test]
fn keys_partitions_and_ranges() {
    let target = Target::new(Options::default());
    let bootstrap = target.bootstrap();
    let topic = format!("cli-keys-{}", std::process::id());
    let with = |words: &[&str]| -> Vec<String> {
        words.iter().copied().chain(["-b", &bootstrap]).map(str::to_owned).collect()
    };
    let run = |words: &[&str]| ringlog(&with(words).iter().map(String::as_str).collect::<Vec<_>>());
    let read = |words: &[&str], input: &str| {
        ringlog_reading(&with(words).iter().map(String::as_str).collect::<Vec<_>>(), input.as_bytes())
    };
    printed(&run(&["topic", "create", &topic, "--partitions", "3"]));
    // As the Java client has it: murmur2 of these keys, modulo 3.
    printed(&read(&["produce", &topic, "-k", ":"], "abc:1\nab:2\nabcde:3\nabc:4:5\n"));
    let all = run(&["consume", &topic, "-o", ":end", "-p", "0", "-f", r"%p %o %k=%v\n"]);
    assert_eq!(printed(&all), "0 0 abc=1\n0 1 abc=4:5\n");
    printed(&read(&["produce", &topic, "-p", "1", "--acks", "0"], "no key\n"));
    printed(&read(&["produce", &topic, "-p", "2", "--idempotent=false"], "a\nb\nc\nd"));
    let of_two = |range: &str| {
        let output = run(&["consume", &topic, "-p", "2", "-o", range, "-f", r"%v\n"]);
        printed(&output).replace('\n', "")
    };
    assert!(of_two(":end").ends_with("abcd"), "{}", of_two(":end"));
    assert_eq!(of_two("-2:end"), "cd");
    assert_eq!(of_two("@0:end"), of_two(":end"));
    assert_eq!(of_two("@99999999999999:end"), "");
    let first = run(&["consume", &topic, "--from-beginning", "-p", "2", "-n", "1", "-f", "%t %K"]);
    assert!(printed(&first).starts_with(&topic), "{first:?}");
    let said = refusal(&run(&["consume", &topic, "-p", "3", "-e"]));
    assert!(said.contains("has no partition 3; it has 3"), "{said}");
}

#[test]
fn records_near_the_limit_travel_alone() {
    let target = Target::new(Options::default());
    let bootstrap = target.bootstrap();
    let cluster = ["-b", bootstrap.as_str()];
    let topic = format!("cli-large-{}", std::process::id());
    let lines = |lengths: &[usize]| lengths.iter().map(|length| "x".repeat(*length) + "\n").collect::<String>();
    let fitting = lines(&[10, 200_000, 1_000_000, 300_000, 1, 1_000_000]);
    printed(&ringlog(&[&["topic", "create", &topic, "-p", "1"][..], &cluster].concat()));
    printed(&ringlog_reading(&[&["produce", &topic][..], &cluster].concat(), fitting.as_bytes()));
    let output = ringlog(&[&["consume", &topic, "-o", ":end"][..], &cluster].concat());
    assert!(printed(&output) == fitting, "the records differ");
    let said =
        refusal(&ringlog_reading(&[&["produce", &topic][..], &cluster].concat(), lines(&[10, 2_000_000]).as_bytes()));
    assert!(said.contains("MESSAGE_TOO_LARGE"), "{said}");
    printed(&ringlog(&[&["topic", "delete", &topic][..], &cluster].concat()));
}

#[test]
fn topics_are_made_told_changed_and_deleted() {
    let target = Target::new(Options::default());
    let bootstrap = target.bootstrap();
    let cluster = ["-b", bootstrap.as_str()];
    let run = |words: &[&str]| ringlog(&[words, &cluster].concat());
    let topic = format!("cli-topic-{}", std::process::id());
    let created = run(&["topic", "create", &topic, "-p", "2", "-c", "retention.ms=100000"]);
    assert_eq!(printed(&created), format!("created {topic} with partitions=2 replication-factor=1\n"));
    assert!(refusal(&run(&["topic", "create", &topic])).contains("TOPIC_ALREADY_EXISTS"));
    let output = run(&["topic", "describe", &topic, "-o", "json"]);
    let described: serde_json::Value = serde_json::from_str(printed(&output)).expect("JSON");
    assert_eq!(described[0]["partitions"].as_array().map(Vec::len), Some(2));
    let set = |described: &serde_json::Value, key: &str| {
        let configs = described[0]["configs"].as_array().expect("settings").clone();
        let config = configs.into_iter().find(|config| config["name"] == key).expect("every key is told");
        (
            config["value"].as_str().unwrap_or_default().to_owned(),
            config["source"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(set(&described, "retention.ms"), ("100000".to_owned(), "topic".to_owned()));
    let altered =
        run(&["topic", "alter", &topic, "-p", "4", "-c", "segment.ms=7777777", "--delete-config", "retention.ms"]);
    assert_eq!(printed(&altered), format!("altered {topic}\n"));
    let output = run(&["topic", "describe", &topic, "-o", "json"]);
    let described: serde_json::Value = serde_json::from_str(printed(&output)).expect("JSON");
    assert_eq!(described[0]["partitions"].as_array().map(Vec::len), Some(4));
    assert_eq!(set(&described, "segment.ms"), ("7777777".to_owned(), "topic".to_owned()));
    assert_eq!(set(&described, "retention.ms").1, "default");
    let listed = run(&["topic", "list", "-o", "yaml"]);
    assert!(printed(&listed).contains(&format!("name: {topic}\n")), "{listed:?}");
    assert!(printed(&run(&["topic", "describe", &topic])).contains("segment.ms=7777777 (topic)"));
    let partly = run(&["topic", "describe", "no-such-topic", &topic]);
    assert!(refusal(&partly).contains("topic no-such-topic does not exist"), "{partly:?}");
    assert!(String::from_utf8_lossy(&partly.stdout).contains("segment.ms=7777777 (topic)"), "{partly:?}");
    assert!(refusal(&run(&["topic", "alter", &topic, "-p", "3"])).contains("INVALID_PARTITIONS"));
    let both = run(&["topic", "alter", &topic, "-p", "9", "-c", "retention.ms=soon"]);
    assert!(refusal(&both).contains("retention.ms=soon"));
    let fewer = run(&["topic", "alter", &topic, "-p", "3"]);
    assert!(refusal(&fewer).contains("has 4 partitions"), "none were added where a setting is wrong");
    printed(&run(&["topic", "delete", &topic]));
    assert!(refusal(&run(&["topic", "describe", &topic])).contains("does not exist"));
    assert!(refusal(&run(&["consume", &topic, "-e"])).contains("does not exist; create it with: ringlog topic create"));
}

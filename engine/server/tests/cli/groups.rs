//! Groups as administrators see them, against Ringlog, or against the broker that `RINGLOG_CONFORMANCE_BOOTSTRAP` names.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Output, Stdio};

use ringlog_kit::broker::Options;
use ringlog_kit::target::Target;
use serde_json::Value;

use crate::members::{ClassicMember, Connection, Consumer};
use crate::{printed, refusal, ringlog, ringlog_reading};

/// A broker with a topic of two partitions: 10 records in the first, none in the second.
struct Case {
    target: Target,
    topic: String,
    group: String,
}

impl Case {
    fn new(name: &str) -> Self {
        // Nobody waits for members that do not come, nor long for what members are told at their next heartbeat.
        let options = Options::default().set("group.initial.rebalance.delay.ms", "0");
        let options = options.set("group.consumer.min.heartbeat.interval.ms", "1000");
        let target = Target::new(options.set("group.consumer.heartbeat.interval.ms", "1000"));
        let name = format!("cli-{name}-{}", std::process::id());
        let case = Self { target, topic: name.clone(), group: name };
        printed(&case.run(&["topic", "create", &case.topic, "-p", "2"]));
        case.produce(10);
        case
    }

    fn run(&self, words: &[&str]) -> Output {
        ringlog(&[words, &["-b", &self.target.bootstrap()]].concat())
    }

    fn produce(&self, records: usize) {
        let bootstrap = self.target.bootstrap();
        let words = ["produce", &self.topic, "-p", "0", "-b", &bootstrap];
        printed(&ringlog_reading(&words, "a record\n".repeat(records).as_bytes()));
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.run(&[words, &["-o", "json"]].concat());
        serde_json::from_str(printed(&output)).expect("JSON")
    }

    fn connection(&self) -> Connection {
        Connection::open(&self.target.bootstrap(), &self.group)
    }

    /// Resets, and answers the offset that the first partition is moved to, and the note.
    fn planned(&self, words: &[&str]) -> (i64, String) {
        let first = format!("{}:0", self.topic);
        let plan = self.json(&[&["group", "reset", &self.group, "--topic", &first], words].concat());
        assert_eq!(plan["partitions"].as_array().map(Vec::len), Some(1), "{plan}");
        let partition = &plan["partitions"][0];
        let note = partition["note"].as_str().unwrap_or_default().to_owned();
        (partition["new_offset"].as_i64().expect("an offset"), note)
    }

    /// What the group has committed of the first partition.
    fn committed(&self) -> Option<i64> {
        self.json(&["group", "lag", &self.group])[0]["partitions"][0]["committed_offset"].as_i64()
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        // A broker of somebody else is left as it was.
        drop(self.run(&["group", "delete", &self.group]));
        drop(self.run(&["topic", "delete", &self.topic]));
    }
}

#[test]
fn lag_is_told_in_records_and_in_seconds() {
    let case = Case::new("lag");
    let group = case.group.as_str();
    assert!(refusal(&case.run(&["group", "lag", group])).contains("does not exist; see those that do"));
    for total in [&[][..], &["--total"]] {
        let output = case.run(&[&["group", "lag", group, "no-such-group"], total].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
        assert_eq!(said.matches("does not exist; see those that do").count(), 2, "{said}");
    }
    case.connection().commit(group, &case.topic, &[(0, 4), (1, 0)]);
    let lag = &case.json(&["group", "lag", group])[0];
    assert_eq!((lag["group"].as_str(), lag["lag"].as_i64()), (Some(group), Some(6)));
    let seconds = lag["lag_seconds"].as_f64().expect("known");
    assert!((0.0..60.0).contains(&seconds), "{seconds}");
    let [behind, done] = [&lag["partitions"][0], &lag["partitions"][1]];
    assert_eq!((behind["committed_offset"].as_i64(), behind["end_offset"].as_i64()), (Some(4), Some(10)));
    assert_eq!((done["lag"].as_i64(), done["lag_seconds"].as_f64()), (Some(0), Some(0.0)));
    // Whoever has read everything is not behind, however old the last record is.
    case.connection().commit(group, &case.topic, &[(0, 10)]);
    assert_eq!(case.json(&["group", "lag", group])[0]["lag_seconds"].as_f64(), Some(0.0));
    // A record in the middle of a batch that is larger than what is asked for at first.
    case.produce(20_000);
    case.connection().commit(group, &case.topic, &[(0, 15_000)]);
    let lag = &case.json(&["group", "lag", group])[0];
    assert_eq!((lag["lag"].as_i64(), lag["lag_seconds"].is_f64()), (Some(5010), true), "{lag}");
    case.connection().commit(group, &case.topic, &[(0, 20_010)]);
    let table = case.run(&["group", "lag", "--total", group]);
    assert_eq!(printed(&table).lines().nth(1).map(str::to_owned), Some(format!("{group}  0    0.0")));
    // All groups are the default.
    let listed = case.json(&["group", "lag"]);
    assert!(listed.as_array().expect("groups").iter().any(|each| each["group"] == group), "{listed}");
}

#[test]
fn many_groups_are_told_in_the_order_in_which_they_are_named() {
    let case = Case::new("lags");
    // More than are asked about at a time.
    let named: Vec<String> = (0..150).rev().map(|number| format!("{}-{number}", case.group)).collect();
    let committed: Vec<&str> = named.iter().map(String::as_str).filter(|group| !group.ends_with('7')).collect();
    for (lag, group) in (0..).zip(&committed) {
        case.connection().commit(group, &case.topic, &[(0, 10 - lag % 11)]);
    }
    let words = ["group", "lag", "--total", "-o", "json"];
    let output = case.run(&[&words[..], &named.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    assert_eq!(output.status.code(), Some(1), "some of them do not exist");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let told = told.as_array().expect("groups").iter();
    let told: Vec<_> = told.map(|each| (each["group"].as_str().expect("a name"), each["lag"].as_i64())).collect();
    let expected: Vec<_> = (0..).zip(&committed).map(|(lag, group)| (*group, Some(lag % 11))).collect();
    assert_eq!(told, expected);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("does not exist").count(), named.len() - committed.len(), "{said}");
}

#[test]
fn offsets_are_reset_as_planned_and_only_when_told_to() {
    let case = Case::new("reset");
    case.connection().commit(&case.group, &case.topic, &[(0, 4)]);
    let (start_here, end_here) = ("the log starts here", "the log ends here");
    for (words, new, note) in [
        (&["--to-earliest"][..], 0, ""),
        (&["--to-latest"], 10, ""),
        (&["--to-current"], 4, ""),
        (&["--to-offset", "7"], 7, ""),
        (&["--to-offset", "11"], 10, end_here),
        (&["--shift-by", "2"], 6, ""),
        (&["--shift-by", "-3"], 1, ""),
        (&["--shift-by", "-5"], 0, start_here),
        (&["--to-datetime", "1970-01-01T00:00:00.000"], 0, ""),
        (&["--to-datetime", "2200-01-01T00:00:00+01:00"], 10, "no record is that young: the log ends here"),
        (&["--by-duration", "P7D"], 0, ""),
        (&["--by-duration", "PT0S"], 10, "no record is that young: the log ends here"),
    ] {
        assert_eq!(case.planned(words), (new, note.to_owned()), "{words:?}");
    }
    assert_eq!(case.committed(), Some(4), "plans change nothing");
    let words = ["group", "reset", &case.group, "--all-topics", "--shift-by", "-3"];
    let (topic, pad) = (&case.topic, " ".repeat(case.topic.len() - "TOPIC".len()));
    let plan = format!("TOPIC{pad}  PARTITION  CURRENT  NEW  BY  NOTE\n{topic}  0          4        1    -3\n\n");
    let shown = case.run(&words);
    assert_eq!(printed(&shown), plan.clone() + "nothing was changed; add --execute to commit the new offsets\n");
    let done = case.run(&[&words[..], &["--execute"]].concat());
    assert_eq!(printed(&done), format!("{plan}committed 1 offset for group {}\n", case.group));
    assert_eq!(case.committed(), Some(1));
    // Also those partitions that nothing was committed of.
    let reset = ["group", "reset", &case.group, "--topic", topic, "--to-latest", "--execute"];
    let done = case.json(&reset);
    assert_eq!((done["executed"].as_bool(), done["partitions"].as_array().map(Vec::len)), (Some(true), Some(2)));
    assert_eq!(done["partitions"][1]["current_offset"], Value::Null);
    assert_eq!(case.committed(), Some(10));
}

#[test]
fn what_cannot_be_reset_is_told() {
    let case = Case::new("refused");
    let (group, topic) = (case.group.as_str(), case.topic.as_str());
    let reset = |words: &[&str]| refusal(&case.run(&[&["group", "reset", group], words].concat()));
    assert!(reset(&["--topic", "no-such-topic", "--to-latest"]).contains("topic no-such-topic does not exist"));
    let said = reset(&["--topic", &format!("{topic}:0,2"), "--to-latest"]);
    assert!(said.contains("has no partition 2; it has 2"), "{said}");
    assert!(reset(&["--all-topics", "--to-latest"]).contains("has committed no offsets"));
    // A name that nobody has may be a slip, and may be meant.
    let plan = case.run(&["group", "reset", group, "--topic", topic, "--to-latest"]);
    let told = format!("\ngroup {group} does not exist; see those that do with: ringlog group list\n");
    assert!(printed(&plan).contains(&told), "{plan:?}");
    assert_eq!(case.json(&["group", "reset", group, "--topic", topic, "--to-latest"])["is_new_group"], true);
    let said = reset(&["--topic", &format!("{topic}:0"), "--shift-by", "1"]);
    assert!(said.contains("nothing is committed that could be shifted: use --to-offset"), "{said}");
    for words in [
        &["--to-latest"][..],
        &["--topic", topic],
        &["--topic", topic, "--to-latest", "--to-earliest"],
        &["--topic", topic, "--all-topics", "--to-latest"],
        &["--topic", "t:x", "--to-latest"],
        &["--topic", topic, "--to-offset", "-1"],
        &["--topic", topic, "--to-datetime", "yesterday"],
        &["--topic", topic, "--by-duration", "P1M"],
    ] {
        let output = case.run(&[&["group", "reset", group], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
}

#[test]
fn a_consumer_group_is_described_and_left_alone_while_it_has_members() {
    let case = Case::new("consumer");
    let (group, topic) = (case.group.as_str(), case.topic.as_str());
    let member = Consumer::join(case.connection(), group, topic);
    let described = &case.json(&["group", "describe", group])[0];
    for (key, value) in [("group", group), ("type", "consumer"), ("state", "Stable"), ("assignor", "uniform")] {
        assert_eq!(described[key], value, "{described}");
    }
    assert!(described["epoch"].as_i64().is_some_and(|epoch| epoch > 0), "{described}");
    let told = &described["members"][0];
    assert_eq!((told["member_id"].as_str(), told["client_id"].as_str()), (Some("consumer-one"), Some("cli-member")));
    assert!(told["host"].as_str().is_some_and(|host| host.contains("127.0.0.1")), "{told}");
    assert_eq!(told["assignment"], serde_json::json!([{"topic": topic, "partitions": [0, 1]}]));
    assert_eq!(described["partitions"][1]["member_id"], "consumer-one");
    assert_eq!(described["partitions"][0]["committed_offset"], Value::Null);
    let table = case.run(&["group", "describe", group]);
    for part in ["assignment epoch  ", "consumer-one  -", &format!("{topic}:0,1")] {
        assert!(printed(&table).contains(part), "{table:?}");
    }
    refused_while_in_use(&case);
    let mut connection = member.leave();
    connection.commit(group, topic, &[(0, 4)]);
    changed_when_left(&case);
}

#[test]
fn a_classic_group_is_described_and_left_alone_while_it_has_members() {
    let case = Case::new("classic");
    let (group, topic) = (case.group.as_str(), case.topic.as_str());
    case.connection().commit(group, topic, &[(0, 4)]);
    let member = ClassicMember::join(case.connection(), group, topic, &[1, 0]);
    let described = &case.json(&["group", "describe", group])[0];
    for (key, value) in [
        ("group", group),
        ("type", "classic"),
        ("state", "Stable"),
        ("assignor", "range"),
        ("protocol_type", "consumer"),
    ] {
        assert_eq!(described[key], value, "{described}");
    }
    let told = &described["members"][0];
    assert_eq!(told["assignment"], serde_json::json!([{"topic": topic, "partitions": [0, 1]}]));
    assert_eq!(told["subscribed_topics"], serde_json::json!([topic]));
    assert_eq!(told["client_id"], "cli-member");
    assert_eq!(described["partitions"][0]["lag"], 6);
    assert_eq!(described["partitions"][0]["member_id"], told["member_id"]);
    let listed = case.json(&["group", "list", "--state", "Stable", "--type", "classic"]);
    assert!(listed.as_array().expect("groups").iter().any(|each| each["group"] == group), "{listed}");
    refused_while_in_use(&case);
    drop(member.leave());
    changed_when_left(&case);
}

fn refused_while_in_use(case: &Case) {
    let said = refusal(&case.run(&["group", "reset", &case.group, "--topic", &case.topic, "--to-latest", "--execute"]));
    assert!(said.contains("has 1 member and is Stable") && said.contains("stop its consumers"), "{said}");
    let said = refusal(&case.run(&["group", "delete", &case.group]));
    assert!(said.contains("has members") && said.contains("stop its consumers first (NON_EMPTY_GROUP)"), "{said}");
}

fn changed_when_left(case: &Case) {
    let group = case.group.as_str();
    assert_eq!(case.json(&["group", "describe", group])[0]["state"], "Empty");
    assert_eq!(case.committed(), Some(4));
    printed(&case.run(&["group", "reset", group, "--all-topics", "--to-earliest", "--execute"]));
    assert_eq!(case.committed(), Some(0));
    // Each group is deleted for itself.
    let output = case.run(&["group", "delete", "no-such-group", group]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("deleted {group}\n"));
    assert!(refusal(&output).contains("group no-such-group does not exist"));
    assert!(refusal(&case.run(&["group", "describe", group])).contains("does not exist"));
}

#[test]
fn the_seconds_of_a_record_that_is_gone_are_unknown() {
    let case = Case::new("gone");
    let mut connection = case.connection();
    connection.commit(&case.group, &case.topic, &[(0, 4)]);
    connection.delete_records(&case.topic, 0, 6);
    let lag = &case.json(&["group", "lag", &case.group])[0];
    assert_eq!((lag["lag"].as_i64(), &lag["lag_seconds"]), (Some(6), &Value::Null));
    let table = case.run(&["group", "lag", "-t", &case.group]);
    assert_eq!(printed(&table).lines().nth(1).map(str::to_owned), Some(format!("{}  6    ?", case.group)));
    assert_eq!(case.planned(&["--to-offset", "4"]), (6, "the log starts here".to_owned()));
    assert_eq!(case.planned(&["--to-current"]), (4, String::new()));
}

#[test]
fn a_member_goes_on_where_the_group_has_committed() {
    let case = Case::new("member");
    let group = case.group.as_str();
    let consume = |words: &[&str]| {
        let output = case.run(&[&["consume", &case.topic, "--group", group, "-f", "%p %o\\n"], words].concat());
        printed(&output).to_owned()
    };
    let line = |offset: i64| format!("0 {offset}\n");
    let offsets = |from: i64, to: i64| (from..to).map(line).collect::<String>();
    assert_eq!(consume(&["-e"]), "", "what is there already is not new");
    assert_eq!(case.committed(), Some(10));
    case.produce(10);
    assert_eq!(consume(&["-n", "4"]), offsets(10, 14));
    assert_eq!(case.committed(), Some(14));
    assert_eq!(
        consume(&["-e", "--from-beginning"]),
        offsets(14, 20),
        "only partitions without offsets begin elsewhere"
    );
    let described = &case.json(&["group", "describe", group])[0];
    assert_eq!((&described["state"], &described["type"]), (&"Empty".into(), &"consumer".into()));
    assert_eq!(described["lag"], 0);
}

#[test]
fn members_share_partitions_and_leave_when_they_are_interrupted() {
    let case = Case::new("interrupted");
    let bootstrap = case.target.bootstrap();
    let words = ["consume", &case.topic, "-b", &bootstrap, "--group", &case.group, "--from-beginning", "-f", "%o\\n"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
    let mut child = command.args(words).stdout(Stdio::piped()).spawn().expect("the program is there");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    for expected in 0..10 {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert_eq!(line, format!("{expected}\n"));
    }
    // A second member gets one of the two partitions once the first has let go of it.
    let mut second = Consumer::join(case.connection(), &case.group, &case.topic);
    while second.assigned() != 1 {
        second.live();
    }
    let described = &case.json(&["group", "describe", &case.group])[0];
    assert_eq!(described["members"].as_array().map(Vec::len), Some(2), "{described}");
    drop(second.leave());
    let killed = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "", "nothing is written twice");
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
    assert_eq!(case.committed(), Some(10), "what was written is committed at the end");
    assert_eq!(case.json(&["group", "describe", &case.group])[0]["state"], "Empty");
}

//! What a broker writes into its log, and who decides what that is.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use ringlog_kit::broker::{Broker, Options};
use ringlog_kit::folder::Folder;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_net::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use serde_json::Value;

use crate::members::Connection;
use crate::{printed, ringlog, ringlog_reading};

/// The resource of a broker's loggers, and operations on their levels.
const LOGGERS: i8 = 8;
const SET: i8 = 0;
const DELETE: i8 = 1;
/// Lines of one kind that are written in a minute.
const LINES_OF_A_KIND: usize = 10;

fn json_options() -> Options {
    Options::default().set("ringlog.log.format", "json").set("ringlog.cores", "1").set("node.id", "7")
}

/// A line of the log; `None` for the line on standard output, which is for people.
fn parsed(line: &str) -> Option<Value> {
    if line.starts_with("ringlog: listening on ") {
        return None;
    }
    let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    for key in ["timestamp", "level", "logger", "message"] {
        assert!(object[key].is_string(), "{line}");
    }
    let time = object["timestamp"].as_str().expect("checked just now");
    assert!(time.len() == "2026-01-31T12:00:00.000000Z".len() && time.ends_with('Z'), "{line}");
    Some(object)
}

/// Waits for a line with this message.
fn wait_for(broker: &Broker, message: &str) -> Value {
    let has = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains(message));
    let line = broker.wait_for_line(|line| parsed(line).as_ref().is_some_and(has));
    parsed(&line).expect("it was parsed before")
}

/// Sets a logger's level, or takes it away, and answers the error.
fn alter(connection: &mut Connection, logger: &str, level: Option<&str>) -> i16 {
    let config = AlterableConfig {
        name: logger.to_owned(),
        config_operation: if level.is_some() { SET } else { DELETE },
        value: level.map(str::to_owned),
    };
    let resource =
        AlterConfigsResource { resource_type: LOGGERS, resource_name: "7".to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    connection.ask(1, &request).responses[0].error_code
}

/// The level that describe tells.
fn level(connection: &mut Connection, logger: &str) -> Option<String> {
    let resource = DescribeConfigsResource {
        resource_type: LOGGERS,
        resource_name: "7".to_owned(),
        configuration_keys: Some(vec![logger.to_owned()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    connection.ask(4, &request).results.remove(0).configs.pop().and_then(|config| config.value)
}

fn ask_for_topic(connection: &mut Connection, name: &str) {
    let topic = MetadataRequestTopic { name: Some(name.to_owned()), ..MetadataRequestTopic::default() };
    let request =
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true, ..MetadataRequest::default() };
    assert_eq!(connection.ask(9, &request).topics.len(), 1);
}

#[test]
fn a_start_tells_what_it_has_decided_line_by_line() {
    let mut broker = Broker::start(json_options());
    let said = |message: &str| wait_for(&broker, message);
    let starts = said("ringlog starts");
    assert_eq!((&starts["node_id"], &starts["version"]), (&7.into(), &env!("CARGO_PKG_VERSION").into()));
    assert_eq!((&starts["logger"], &starts["level"]), (&"ringlog.start.report".into(), &"INFO".into()));
    for (planned, why) in
        [("shards: 1. ", "ringlog.cores"), ("memory: ", "of the machine"), ("open files: ", "descriptors")]
    {
        let line = said(planned);
        assert!(line["message"].as_str().is_some_and(|message| message.contains(why)), "{line}");
    }
    assert!(said("the backend is ")["backend"].is_string());
    let identity = said("the data directory is this broker's");
    assert!(identity["cluster_id"].as_str().is_some_and(|id| !id.is_empty()), "{identity}");
    assert_eq!(identity["shard"], 0);
    assert_eq!(said("the data directory is recovered")["partitions"], 0);
    let listening = said("listening");
    assert_eq!(listening["advertised"], broker.bootstrap());
    assert!(said("ready: clients are served")["took_ms"].is_u64());
    let on_disk = broker.wait_for_line(|line| line.contains("\"file_system\":"));
    assert!(parsed(&on_disk).is_some_and(|line| line["direct_io"].is_boolean() && line["path"].is_string()));
    // What a restart finds is told too.
    printed(&ringlog_reading(&["produce", "kept", "-b", &broker.bootstrap()], b"one\n"));
    broker.kill();
    broker.restart();
    let recovered = wait_for(&broker, "the data directory is recovered");
    assert!(
        recovered["partitions"].as_u64() > Some(0) && recovered["journal_records"].as_u64() > Some(0),
        "{recovered}"
    );
}

#[test]
fn an_advertised_address_that_nobody_reaches_is_a_warning() {
    let options = json_options().set("listeners", "PLAINTEXT://0.0.0.0:0");
    let broker = Broker::start(options.set("advertised.listeners", "PLAINTEXT://localhost:9092"));
    let warning = wait_for(&broker, "clients of other machines will not reach this broker");
    assert_eq!((&warning["level"], &warning["advertised"]), (&"WARN".into(), &"localhost:9092".into()));
}

#[test]
fn levels_change_while_the_broker_runs_by_kafka_s_names() {
    let broker = Broker::start(json_options());
    let mut connection = Connection::plain(&broker.bootstrap(), "cli-member");
    let requests = "kafka.request.logger";
    assert_eq!(level(&mut connection, requests).as_deref(), Some("WARN"));
    assert_eq!(alter(&mut connection, requests, Some("DEBUG")), ErrorCode::None.code());
    assert_eq!(level(&mut connection, requests).as_deref(), Some("DEBUG"));
    ask_for_topic(&mut connection, "seen");
    let told = |line: &Value| line["logger"] == requests && line["api"] == "Metadata";
    let line = broker.wait_for_line(|line| parsed(line).as_ref().is_some_and(told));
    let line = parsed(&line).expect("it was parsed before");
    for (field, value) in [
        ("level", Value::from("DEBUG")),
        ("version", 9.into()),
        ("correlation_id", 7.into()),
        ("client_id", "cli-member".into()),
        ("listener", "PLAINTEXT".into()),
        ("answer", "sent".into()),
        ("shard", 0.into()),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(["request_bytes", "response_bytes", "time_us"].iter().all(|field| line[field].is_u64()), "{line}");
    assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
    // And back: a request later there is a line of the change, and none of the requests behind it.
    assert_eq!(alter(&mut connection, requests, Some("ERROR")), ErrorCode::None.code());
    ask_for_topic(&mut connection, "unseen");
    // Its lines were written by another logger, which is Kafka's name for it.
    assert_eq!(alter(&mut connection, "state.change.logger", Some("DEBUG")), ErrorCode::None.code());
    printed(&ringlog(&["topic", "create", "made", "-p", "1", "-b", &broker.bootstrap()]));
    let opened = broker.wait_for_line(|line| line.contains("partition opened as leader") && line.contains("\"made\""));
    assert!(opened.contains("\"logger\":\"state.change.logger\""), "{opened}");
    let of_requests = broker.log().iter().filter(|line| line.contains("completed request")).count();
    assert!(of_requests <= 4, "{:?}", broker.log());
    for (name, level, code) in [
        ("kafka.server.KafkaApis", Some("TRACE"), ErrorCode::None),
        ("kafka.network.RequestChannel$", Some("DEBUG"), ErrorCode::None),
        ("kafka.log.LogCleaner", Some("INFO"), ErrorCode::None),
        ("kafka.authorizer.logger", Some("INFO"), ErrorCode::None),
        ("kafka.controller", None, ErrorCode::None),
        ("kafka.no.such.logger", Some("DEBUG"), ErrorCode::InvalidConfig),
        ("kafka.server.KafkaApis", Some("LOUD"), ErrorCode::InvalidConfig),
        ("root", None, ErrorCode::InvalidRequest),
    ] {
        assert_eq!(alter(&mut connection, name, level), code.code(), "{name} {level:?}");
    }
    assert_eq!(level(&mut connection, "ringlog_broker.handlers").as_deref(), Some("TRACE"));
}

#[test]
fn malformed_connections_are_some_lines_and_a_count() {
    const CONNECTIONS: usize = 40;
    let mut broker = Broker::start(json_options());
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(broker.address()).expect("it accepts");
        stream.write_all(&[0xff; 8]).expect("it reads");
        // The broker ends the connection.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(broker.terminate().success());
    let summary = wait_for(&broker, "connections with malformed bytes: ");
    assert_eq!(summary["left_out_lines"], CONNECTIONS - LINES_OF_A_KIND, "{summary}");
    assert_eq!(summary["logger"], "ringlog_broker.connection");
    let log = broker.log();
    let ended: Vec<_> = log.iter().filter(|line| line.contains("announced the negative size")).collect();
    assert_eq!(ended.len(), LINES_OF_A_KIND, "{log:?}");
    assert!(ended.iter().all(|line| line.contains("\"peer\":\"127.0.0.1:")), "{ended:?}");
}

#[test]
fn names_from_outside_stay_inside_of_their_line() {
    const NAME: &str = "a\r\n{\"level\":\"FATAL\"}\u{1b}[2J\u{0}\u{2028}";
    for format in ["json", "text"] {
        let mut options = json_options().set("ringlog.log.format", format);
        options.arguments = ["--log-level", "info,kafka.request.logger=debug"].map(str::to_owned).to_vec();
        let broker = Broker::start(options);
        ask_for_topic(&mut Connection::plain(&broker.bootstrap(), NAME), "topic");
        let line = broker.wait_for_line(|line| line.contains("completed request"));
        if format == "json" {
            assert_eq!(parsed(&line).expect("a line of the log")["client_id"], NAME);
        } else {
            assert!(line.contains(r#" client_id="a\r\n{\"level\":\"FATAL\"}\u{1b}[2J\u{0}\u{2028}" "#), "{line}");
        }
        assert!(!broker.log().iter().any(|line| line.starts_with("{\"level\"")), "{:?}", broker.log());
    }
}

#[test]
fn why_a_broker_cannot_start_is_a_line_of_the_log_too() {
    let used = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let listeners = format!("listeners=PLAINTEXT://{}", used.local_addr().expect("it is bound"));
    let folder = Folder::new("refused");
    let data = folder.path().join("data").display().to_string();
    let output = ringlog(&["start", "--log-format", "json", "--data-dir", &data, "--set", &listeners]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<_> = said.lines().map(|line| parsed(line).expect("a line of the log")).collect();
    let last = lines.last().expect("it says why");
    assert_eq!(last["level"], "FATAL", "{said}");
    assert!(last["message"].as_str().is_some_and(|message| message.contains("the port is in use")), "{said}");
    assert!(lines.len() > 1, "what came before is not lost: {said}");
}

#[test]
fn a_reader_of_the_log_that_is_stuck_holds_nobody_up() {
    /// More lines than wait for a reader and fit into a pipe.
    const REQUESTS: usize = 12_000;
    let folder = Folder::new("stuck");
    let data = folder.path().join("data").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
    command.args(["start", "--data-dir", &data, "--cores", "1", "--set", "listeners=PLAINTEXT://127.0.0.1:0"]);
    command.args(["--log-format", "json", "--log-level", "info,kafka.request.logger=debug"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program is there");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it starts");
    let address = line.split("listening on ").nth(1).and_then(|rest| rest.split(' ').next()).expect("it tells where");
    let mut connection = Connection::plain(address, "cli-member");
    for _ in 0..REQUESTS {
        ask_for_topic(&mut connection, "t");
    }
    let mut stderr = child.stderr.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).map(|_| log)
    });
    let killed = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
    let log = reader.join().expect("it does not panic").expect("text");
    let lines: Vec<_> = log.lines().filter_map(parsed).collect();
    let requests = lines.iter().filter(|line| line["logger"] == "kafka.request.logger").count();
    let dropped: u64 = lines.iter().filter_map(|line| line["dropped_lines"].as_u64()).sum();
    let dropped = usize::try_from(dropped).expect("a count of lines");
    assert!(dropped > 0 && requests + dropped >= REQUESTS, "{requests} lines, {dropped} dropped");
}

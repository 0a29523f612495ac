//! Metrics over real HTTP: what Prometheus reads, and what it makes of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use ringlog_kit::broker::{Broker, Options};
use ringlog_kit::external::in_ci;
use ringlog_kit::folder::Folder;

use crate::{printed, refusal, ringlog, ringlog_reading};

/// Head and body of a page.
pub(crate) fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).expect("it listens");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let body =
        if head.to_lowercase().contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
    (head.to_owned(), body)
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        body.push_str(&more[..size]);
        rest = &more[size + 2..];
    }
    body
}

/// The value of a sample.
fn value(metrics: &str, name: &str) -> f64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {metrics}"))
}

/// `promtool check metrics`, where it is installed.
fn check_with_promtool(metrics: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: promtool: {error}");
            assert!(!in_ci(), "skipped in CI: promtool: {error}");
            return;
        }
    };
    child.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("it reads everything");
    let output = child.wait_with_output().expect("it is ours");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn traffic(broker: &Broker) {
    let cluster = ["-b", &broker.bootstrap()];
    printed(&ringlog_reading(&[&["produce", "greetings"][..], &cluster].concat(), b"one\ntwo\n"));
    let read =
        ringlog(&[&["consume", "greetings", "-n", "2", "--from-beginning", "--group", "shop"][..], &cluster].concat());
    assert_eq!(printed(&read), "one\ntwo\n");
}

#[test]
fn prometheus_can_read_every_family() {
    for backend in ["posix", "auto"] {
        let options = Options::default().set("ringlog.admin.listener", "127.0.0.1:0").set("ringlog.backend", backend);
        let broker = Broker::start(options);
        let admin = broker.admin().expect("the start line tells it");
        traffic(&broker);
        let (head, metrics) = get(admin, "/metrics");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/plain; version=0.0.4"), "{head}");
        check_with_promtool(&metrics);
        for (name, expected) in [
            ("kafka_server_brokertopicmetrics_messagesin_total{topic=\"greetings\"}", 2.0),
            ("kafka_consumergroup_lag{consumergroup=\"shop\",topic=\"greetings\",partition=\"0\"}", 0.0),
            ("kafka_topic_partition_current_offset{topic=\"greetings\",partition=\"0\"}", 2.0),
        ] {
            assert!((value(&metrics, name) - expected).abs() < 1e-9, "{name} is {}", value(&metrics, name));
        }
        assert!(value(&metrics, "process_resident_memory_bytes") > 1e6);
        assert!(value(&metrics, "process_cpu_seconds_total") > 0.0);
        assert!(value(&metrics, "process_open_fds") > 10.0);
        assert!(value(&metrics, "ringlog_disk_capacity_bytes") >= value(&metrics, "ringlog_disk_free_bytes"));
        // A shard is somewhere at every moment.
        let of_shard = |name: &str| value(&metrics, &format!("ringlog_shard_{name}_seconds_total{{shard=\"0\"}}"));
        let lived = ["busy", "poll", "wait"].into_iter().map(of_shard).sum::<f64>();
        let (_, later) = get(admin, "/metrics");
        let of_shard = |name: &str| value(&later, &format!("ringlog_shard_{name}_seconds_total{{shard=\"0\"}}"));
        assert!(["busy", "poll", "wait"].into_iter().map(of_shard).sum::<f64>() > lived && lived > 0.0);
        assert_eq!(get(admin, "/health/ready").1, "{\"status\":\"ready\"}\n");
        let (_, config) = get(admin, "/config");
        let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
        assert_eq!(config["ringlog.backend"]["value"], backend);
        for (key, told) in config.as_object().expect("an object") {
            assert!(told["sensitive"] == false || told["value"].is_null(), "{key} is told");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound");
    let folder = Folder::new("refused");
    let data = folder.path().join("data").display().to_string();
    let listener = format!("ringlog.admin.listener={address}");
    let said = refusal(&ringlog(&[
        "start",
        "--data-dir",
        &data,
        "--set",
        "listeners=PLAINTEXT://127.0.0.1:0",
        "--set",
        &listener,
    ]));
    assert!(said.contains(&listener) && said.contains("or to nothing to go without metrics"), "{said}");
    assert!(!folder.path().join("data").exists());
}

#[test]
fn without_a_listener_the_start_line_tells_of_none() {
    let broker = Broker::start(Options::default());
    assert_eq!(broker.admin(), None);
}

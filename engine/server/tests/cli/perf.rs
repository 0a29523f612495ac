//! `ringlog perf` against a broker that tells of three requests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use crate::{printed, refusal, ringlog};

const RECORDS: &str = r#"{
    "node": 7, "version": "0.1.0", "now_ms": 1764400000000, "slow_us": 100000, "sample_every": 100, "lost": 0, "next": "0.3",
    "requests": [
        {"shard": 0, "at_ms": 1764399996000, "kind": "sample", "api": "Produce", "client_id": "loader",
         "peer": "127.0.0.1:53210", "topic": "orders", "partition": 3, "request_bytes": 1000, "response_bytes": 50,
         "total_us": 900.0, "phases_us": {"append": 100.0, "flush": 800.0}},
        {"shard": 0, "at_ms": 1764399998000, "kind": "slow", "sampled": true, "api": "Produce", "client_id": "loader",
         "peer": "127.0.0.1:53210", "topic": "orders", "partition": 3, "partitions": 2, "request_bytes": 1000,
         "response_bytes": 50, "error": "REQUEST_TIMED_OUT", "total_us": 200000.0,
         "phases_us": {"append": 50000.0, "flush": 150000.0}},
        {"shard": 0, "at_ms": 1764399999000, "kind": "sample", "api": "Fetch", "client_id": "reader\u001b[2J",
         "peer": "127.0.0.1:53211", "topic": "orders", "partition": 3, "request_bytes": 100, "response_bytes": 5000,
         "total_us": 100100.0, "phases_us": {"purgatory": 100000.0, "send": 100.0}}
    ]
}"#;

/// Answers one request in this way; what was asked for comes out at the end.
fn serve(status: &'static str, body: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("the program comes");
        let mut lines = BufReader::new(socket.try_clone().expect("a socket")).lines();
        let asked = lines.next().expect("a request").expect("text");
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        write!(socket, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
            .expect("the program reads");
        asked
    });
    (address, server)
}

/// What the program prints of the three requests.
fn told(arguments: &[&str]) -> String {
    let (address, server) = serve("200 OK", RECORDS);
    let output = ringlog(&[&["perf"][..], arguments, &["--seconds", "0", "--admin", &address]].concat());
    let asked = server.join().expect("it has served");
    assert!(asked.starts_with("GET /perf/requests?kind="), "{asked}");
    printed(&output).to_owned()
}

#[test]
fn slow_requests_are_told_with_what_took_their_time() {
    assert_eq!(
        told(&["slow"]),
        "\
WHEN                      API      CLIENT  PARTITION    BYTES IN  BYTES OUT  MS       MOST OF IT   ERROR
2025-11-29T07:06:38.000Z  Produce  loader  orders-3 +1  1000      50         200.000  flush 75.0%  REQUEST_TIMED_OUT

node 7, version 0.1.0: a request is slow above 100.000 ms
"
    );
    let document: serde_json::Value = serde_json::from_str(&told(&["slow", "-o", "json"])).expect("JSON");
    assert_eq!((&document["node"], &document["slow_us"]), (&7.into(), &100_000.into()));
    assert_eq!(document["requests"][0]["phases_us"]["flush"], 150_000.0);
    assert_eq!(document["requests"].as_array().map(Vec::len), Some(1));
}

#[test]
fn who_uses_the_broker_is_told_from_samples() {
    assert_eq!(
        told(&["top"]),
        "\
CLIENT      TIME    REQUESTS/S  KB/S IN  KB/S OUT  P50 MS   P99 MS   SAMPLES
loader      100.0%  50.0        50.0     2.5       0.900    200.000  2
reader\u{fffd}[2J  0.0%    25.0        2.5      125.0     100.100  100.100  1

node 7, version 0.1.0: 3 samples of 4.0 s, 1 request of 100
"
    );
    let yaml = told(&["top", "--by", "api", "--api", "fetch", "-o", "yaml"]);
    assert!(yaml.contains("by: api") && yaml.contains("key: Fetch") && !yaml.contains("Produce"), "{yaml}");
    assert!(told(&["top", "--window", "3", "--client", "loader"]).contains("1 sample of 3.0 s"));
}

#[test]
fn phases_stand_beneath_their_api() {
    let table = told(&["phases", "--api", "Produce"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["Produce", "2", "all", "100.0%", "0.900", "200.000", "200.000"]);
    assert_eq!(rows[2], ["append", "24.9%", "0.100", "50.000", "50.000"]);
    assert_eq!(rows[3], ["flush", "75.1%", "0.800", "150.000", "150.000"]);
}

#[test]
fn a_broker_that_tells_nothing_is_told_of() {
    let told = |status, body| {
        let (address, server) = serve(status, body);
        let said = refusal(&ringlog(&["perf", "slow", "--admin", &address]));
        server.join().expect("it has served");
        said
    };
    assert!(told("404 Not Found", "").contains("keeps no records of requests"));
    assert!(told("200 OK", "{}").contains("missing field"));
    assert!(told("400 Bad Request", "limit: expected 1 to 4096").contains("400: limit: expected 1 to 4096"));
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let said = refusal(&ringlog(&["perf", "top", "--once", "--admin", &address]));
    assert!(said.contains("cannot be reached") && said.contains("--admin"), "{said}");
}

//! Records for tests.

use super::kept::Kept;
use super::record::{About, Answer, Request};

/// An answer with all that the contract names, and with something that it does not.
pub(crate) const ANSWER: &str = r#"{
    "node": 1, "version": "0.1.0", "now_ms": 1764400000000, "slow_us": 100000, "sample_every": 128, "lost": 17,
    "next": "3.1204,0.877", "moon": "full",
    "requests": [
        {"shard": 0, "at_ms": 1764399999990, "kind": "slow", "sampled": false, "api": "Produce", "version": 13,
         "correlation_id": 77, "client_id": "loader", "peer": "127.0.0.1:53210", "topic": "orders", "partition": 3,
         "partitions": 12, "request_bytes": 1093, "response_bytes": 57, "error": "NOT_LEADER_OR_FOLLOWER",
         "total_us": 183424.3, "phases_us": {"receive": 1.2, "queue": 4.0, "mesh": 0.0, "append": 11.3,
         "commit_wait": 21000.0, "flush": 162384.7, "purgatory": 0.0, "handle": 3.0, "send": 20.1}},
        {"shard": 3, "at_ms": 1764399999995, "kind": "sample", "api": "Metadata", "version": 13, "correlation_id": 78,
         "client_id": "", "peer": "[::1]:53211", "request_bytes": 20, "response_bytes": 300, "total_us": 21.5,
         "phases_us": {"handle": 20.0, "daydreaming": 1.5}, "colour": "blue"}
    ]
}"#;

/// The moment at which every example is told.
pub(crate) const NOW_MS: i64 = 1_764_400_000_000;

/// A sample with these phases, whose sum is its whole time; of shard 0, one second ago.
pub(crate) fn request(api: &str, phases: &[(&str, f64)]) -> Request {
    let total: f64 = phases.iter().map(|(_, time)| time).sum();
    let phases: serde_json::Map<String, serde_json::Value> =
        phases.iter().map(|(phase, time)| ((*phase).to_owned(), (*time).into())).collect();
    let request = serde_json::json!({
        "shard": 0, "at_ms": NOW_MS - 1000, "kind": "sample", "api": api, "client_id": "loader",
        "peer": "127.0.0.1:53210", "topic": "orders", "partition": 3, "request_bytes": 1000, "response_bytes": 100,
        "total_us": total, "phases_us": phases,
    });
    serde_json::from_value(request).expect("it is as agreed")
}

/// What is kept of one answer with these.
pub(crate) fn kept(requests: Vec<Request>) -> Kept {
    let mut kept = Kept::default();
    kept.add(answer(requests));
    kept
}

/// An answer with these.
pub(crate) fn answer(requests: Vec<Request>) -> Answer {
    let about =
        About { node: 1, version: "0.1.0".to_owned(), now_ms: NOW_MS, slow_us: Some(100_000), sample_every: Some(128) };
    Answer { about, lost: 0, next: "0.1".to_owned(), requests }
}

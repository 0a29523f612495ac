//! What the flight recorder tells, beside what a client measures.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringlog_kit::broker::{Broker, Options};
use ringlog_net::messages::Request;
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::wire::Writer;
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::Millis;
use serde_json::Value;

use crate::metrics::get;
use crate::{printed, ringlog};

const TOPIC: &str = "orders";
const VERSION: i16 = 9;
const REQUESTS: i32 = 20;
/// From one group commit to the next: so long that what else the machine does hardly counts.
const COMMIT_INTERVAL: Duration = Duration::from_millis(50);

/// A request that appends one record, as it is sent.
fn produce(correlation_id: i32, index: i32) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(b"value"), headers: &[] });
    let partition = PartitionProduceData { index, records: Some(batch.build()) };
    let topic =
        TopicProduceData { name: TOPIC.to_owned(), partition_data: vec![partition], ..TopicProduceData::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 5000, topic_data: vec![topic], ..ProduceRequest::default() };
    let mut frame = Writer::default();
    frame.i32(0);
    frame.i16(ProduceRequest::KEY.code());
    frame.i16(VERSION);
    frame.i32(correlation_id);
    frame.raw(b"\x00\x06loader\x00");
    ringlog_net::messages::Message::encode(&request, &mut frame, VERSION).expect("fields of this version");
    let size = i32::try_from(frame.len() - 4).expect("a small request");
    frame.patch_i32(0, size);
    frame.into_bytes()
}

/// Sends a request; answers how long its answer took.
fn measure(socket: &mut TcpStream, frame: &[u8]) -> Duration {
    let begin = Instant::now();
    socket.write_all(frame).expect("the broker is there");
    let mut size = [0; 4];
    socket.read_exact(&mut size).expect("an answer");
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("a size")];
    socket.read_exact(&mut answer).expect("all of it");
    begin.elapsed()
}

fn micros(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// The records of a client's requests, in their order.
fn records(broker: &Broker) -> Vec<Value> {
    let (head, body) = get(broker.admin().expect("the start line tells it"), "/perf/requests?limit=4096");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/json"), "{head}");
    let page: Value = serde_json::from_str(&body).expect("JSON");
    let all = page["requests"].as_array().expect("a list");
    all.iter().filter(|record| record["client_id"] == "loader").cloned().collect()
}

#[test]
fn the_phases_are_what_the_client_has_waited_for() {
    for backend in ["posix", "auto"] {
        let interval = COMMIT_INTERVAL.as_micros().to_string();
        let broker = Broker::start(
            Options::default()
                .set("ringlog.admin.listener", "127.0.0.1:0")
                .set("ringlog.backend", backend)
                .set("ringlog.perf.sample", "1")
                .set("ringlog.commit.interval.us", &interval),
        );
        printed(&ringlog(&["topic", "create", TOPIC, "-b", &broker.bootstrap()]));
        let mut socket = TcpStream::connect(broker.address()).expect("it listens");
        socket.set_nodelay(true).expect("it is a socket");
        let seen: Vec<_> = (0..REQUESTS).map(|id| measure(&mut socket, &produce(id, 0))).collect();
        let records = records(&broker);
        let ids: Vec<_> = records.iter().map(|record| record["correlation_id"].as_i64()).collect();
        assert_eq!(ids, (0..REQUESTS).map(|id| Some(id.into())).collect::<Vec<_>>());
        let mut unseen = Vec::new();
        for (record, seen) in records.iter().zip(seen) {
            let phases = record["phases_us"].as_object().expect("an object");
            let (sum, total) = (phases.values().map(micros).sum::<f64>(), micros(&record["total_us"]));
            let seen = seen.as_secs_f64() * 1e6;
            // The client may have its answer before the broker is told that the socket took it.
            assert!((sum - total).abs() < 0.01 && total < seen * 1.05, "of {seen} us: {record}");
            assert_eq!(
                (&record["api"], &record["topic"], &record["partition"]),
                (&"Produce".into(), &TOPIC.into(), &0.into())
            );
            unseen.push((seen - total) / seen);
        }
        // The way to the broker and back is not the broker's, and on a busy machine a thread may be late once in a while.
        unseen.sort_by(f64::total_cmp);
        assert!(unseen[unseen.len() / 2] < 0.05, "on {backend} the client saw more than the broker: {unseen:?}");
        let commit_wait =
            records.iter().filter_map(|record| record["phases_us"]["commit_wait"].as_f64()).fold(0.0, f64::max);
        assert!(commit_wait > COMMIT_INTERVAL.as_secs_f64() * 0.5e6, "the interval shows: {commit_wait}");
    }
}

#[test]
fn the_way_to_another_shard_shows_as_mesh() {
    let broker =
        Broker::start(Options::default().set("ringlog.admin.listener", "127.0.0.1:0").set("ringlog.perf.sample", "1"));
    printed(&ringlog(&["topic", "create", TOPIC, "--partitions", "8", "-b", &broker.bootstrap()]));
    let mut socket = TcpStream::connect(broker.address()).expect("it listens");
    for index in 0..8 {
        measure(&mut socket, &produce(index, index));
    }
    let records = records(&broker);
    assert_eq!(records.len(), 8, "{records:?}");
    assert!(records.iter().all(|record| micros(&record["phases_us"]["append"]) > 0.0), "{records:?}");
    let there = records.iter().filter(|record| record["phases_us"].get("mesh").is_some()).count();
    // Of as many shards as there are cores, the one that has the connection has its part of the partitions.
    let shards = std::thread::available_parallelism().expect("it is known").get();
    assert!(if shards > 1 { (1..8).contains(&there) } else { there == 0 }, "{there}: {records:?}");
}

#[test]
fn a_bad_query_is_refused() {
    let broker = Broker::start(Options::default().set("ringlog.admin.listener", "127.0.0.1:0"));
    let admin = broker.admin().expect("the start line tells it");
    for (query, part) in [("kind=fast", "slow, sample or all"), ("limit=0", "from 1 to 4096"), ("after=x", "as next")] {
        let (head, body) = get(admin, &format!("/perf/requests?{query}"));
        assert!(head.starts_with("HTTP/1.1 400 ") && body.contains(part), "{query}: {head} {body}");
    }
}

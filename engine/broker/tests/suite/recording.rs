//! Where the time of requests goes, as it is told of those that are kept. The simulated clock stands still while a shard has its
//! turn, so phases that are work alone, and the way from shard to shard, are 0 here.

use std::net::SocketAddr;
use std::time::Duration;

use ringlog_net::messages::Request;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_net::messages::produce::ProduceRequest;
use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Trigger};
use ringlog_reactor::{Reactor, Socket};
use serde_json::Value;

use crate::connections::alter;
use crate::groups::{self, GROUP};
use crate::metrics::{admin_address, get};
use crate::quotas::{LIMITED, set_quota};
use crate::{
    Broker, PARTITIONS, TOPIC, ask, connect, create_topic, fetch, frame_of, produce, produce_to, receive, send,
};

const PRODUCE: i16 = 9;
const FETCH: i16 = 12;
/// Every request is kept; so much is slow.
const SETTINGS: [&str; 2] = ["ringlog.perf.sample=1", "ringlog.perf.slow.us=100000"];
const DELAY: Duration = Duration::from_millis(300);
/// The longest that the simulated network may take, both ways.
const NETWORK_TIME_MAX: Duration = Duration::from_millis(5);

async fn page(reactor: &Reactor, admin: SocketAddr, query: &str) -> Value {
    let (status, body) = get(reactor, admin, &format!("/perf/requests{query}")).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The records of one API, which hold what is said of all.
async fn records(reactor: &Reactor, admin: SocketAddr, api: &str) -> Vec<Value> {
    let page = page(reactor, admin, "?limit=4096").await;
    let all = page["requests"].as_array().expect("a list").clone();
    all.iter().for_each(check);
    all.into_iter().filter(|record| record["api"] == api).collect()
}

/// The parts are the whole, and a slow one is told as such.
fn check(record: &Value) {
    let phases = record["phases_us"].as_object().expect("an object");
    let sum: f64 = phases.values().filter_map(Value::as_f64).sum();
    let total = record["total_us"].as_f64().expect("a number");
    assert!((sum - total).abs() < 0.01 && phases.values().all(|phase| phase.as_f64() > Some(0.0)), "{record}");
    let blamed = total - micros(record, "purgatory") - micros(record, "throttle");
    assert_eq!(record["kind"], if blamed > 100_000.0 { "slow" } else { "sample" }, "{record}");
    assert!(record["sampled"] == true && record["at_ms"].as_i64() > Some(0), "{record}");
}

fn micros(record: &Value, phase: &str) -> f64 {
    record["phases_us"][phase].as_f64().unwrap_or(0.0)
}

#[track_caller]
fn expect(record: &Value, phase: &str, time: std::ops::Range<Duration>) {
    let spent = Duration::from_secs_f64(micros(record, phase) / 1e6);
    assert!(time.contains(&spent), "{phase} of {time:?}: {record}");
}

/// A batch for one partition.
fn produce_one(index: i32, value_bytes: usize) -> ProduceRequest {
    let mut request = produce_to(index + 1, value_bytes);
    request.topic_data[0].partition_data.retain(|partition| partition.index == index);
    request
}

fn delay(broker: &mut Broker, operation: DiskOperation, path: &str) {
    let fault = DiskFault {
        operation,
        path_contains: path.to_owned(),
        trigger: Trigger::Always,
        effect: DiskEffect::Delay(DELAY),
    };
    broker.sim.disk(broker.node).fault(fault);
}

fn setup(broker: &mut Broker) -> (SocketAddr, SocketAddr) {
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move { create_topic(&connect(&reactor, address).await).await });
    (address, admin_address(broker))
}

#[test]
fn a_slow_disk_shows_as_flush_and_who_comes_meanwhile_waits_for_the_next_commit() {
    let mut broker = Broker::start(1, &SETTINGS);
    let (address, admin) = setup(&mut broker);
    delay(&mut broker, DiskOperation::Write, "journal");
    let (records, took) = broker.sim.block_on("producers", move |reactor| async move {
        let [first, second] = [connect(&reactor, address).await, connect(&reactor, address).await];
        let begin = reactor.now();
        let frame = frame_of(Some("loader"), &produce(100), PRODUCE);
        first.send(vec![frame[..].into()]).await.expect("the broker is there");
        reactor.sleep(DELAY / 3).await;
        send(&second, &produce(100), PRODUCE).await;
        receive::<ProduceRequest>(&first, PRODUCE).await.expect("an answer");
        let took = reactor.now() - begin;
        receive::<ProduceRequest>(&second, PRODUCE).await.expect("an answer");
        (records(&reactor, admin, "Produce").await, took)
    });
    let [first, second] = &records[..] else { panic!("{records:?}") };
    for record in &records {
        assert_eq!(record["kind"], "slow");
        expect(record, "flush", DELAY..DELAY * 2);
    }
    expect(first, "commit_wait", Duration::ZERO..Duration::from_millis(2));
    expect(second, "commit_wait", DELAY / 2..DELAY);
    let total = Duration::from_secs_f64(first["total_us"].as_f64().expect("a number") / 1e6);
    assert!(total < took && took < total + NETWORK_TIME_MAX, "{total:?} of {took:?}");
    assert_eq!((&first["client_id"], &second["client_id"]), (&"loader".into(), &"".into()));
    assert_eq!((&first["topic"], &first["partition"]), (&TOPIC.into(), &0.into()));
    assert_eq!((&first["partitions"], &first["version"]), (&PARTITIONS.into(), &PRODUCE.into()));
    assert!(first["request_bytes"].as_u64() > Some(800) && first["response_bytes"].as_u64() > Some(100), "{first}");
    assert!(first["correlation_id"] == 7 && first.get("error").is_none(), "{first}");
    assert!(first["peer"].as_str().is_some_and(|peer| peer.parse::<SocketAddr>().is_ok()), "{first}");
}

#[test]
fn a_fetch_that_waits_for_records_is_not_slow() {
    let mut broker = Broker::start(3, &SETTINGS);
    let (address, admin) = setup(&mut broker);
    let records = broker.sim.block_on("consumer", move |reactor| async move {
        ask(&connect(&reactor, address).await, &fetch(500), FETCH).await;
        records(&reactor, admin, "Fetch").await
    });
    assert_eq!((records.len(), &records[0]["kind"]), (1, &"sample".into()));
    expect(&records[0], "purgatory", Duration::from_millis(490)..Duration::from_millis(510));
}

#[test]
fn a_fetch_that_waits_for_the_disk_is_told_so() {
    let mut broker = Broker::start(4, &SETTINGS);
    let (address, _) = setup(&mut broker);
    broker.sim.block_on("producer", move |reactor| async move {
        ask(&connect(&reactor, address).await, &produce(10_000), PRODUCE).await;
    });
    // Until the records are in segments.
    broker.sim.run_for(Duration::from_secs(10));
    broker.kill_and_restart();
    let admin = admin_address(&broker);
    broker.sim.block_on("recovery", move |reactor| async move {
        ask(&connect(&reactor, address).await, &MetadataRequest::default(), 1).await;
    });
    delay(&mut broker, DiskOperation::Read, TOPIC);
    let records = broker.sim.block_on("consumer", move |reactor| async move {
        ask(&connect(&reactor, address).await, &fetch(0), FETCH).await;
        records(&reactor, admin, "Fetch").await
    });
    assert_eq!((records.len(), &records[0]["kind"]), (1, &"slow".into()));
    expect(&records[0], "read", DELAY..DELAY * 2);
}

/// Reads so many answers, whatever they are.
async fn read_answers(socket: &Socket, count: usize) {
    let mut bytes = Vec::new();
    for _ in 0..count {
        loop {
            if let Some((size, rest)) = bytes.split_first_chunk::<4>() {
                let size = usize::try_from(i32::from_be_bytes(*size)).expect("a size");
                if rest.len() >= size {
                    bytes.drain(..4 + size);
                    break;
                }
            }
            bytes.extend_from_slice(&socket.recv().await.expect("the broker is there"));
        }
    }
}

#[test]
fn a_client_that_does_not_read_shows_as_send() {
    let mut broker = Broker::start(5, &SETTINGS);
    let (address, admin) = setup(&mut broker);
    let (records, one_by_one) = broker.sim.block_on("consumer", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        ask(&socket, &produce(200_000), PRODUCE).await;
        send(&socket, &fetch(0), FETCH).await;
        reactor.sleep(DELAY).await;
        read_answers(&socket, 1).await;
        // Its answer is not in the socket's hands before the one in front of it.
        let frames = [frame_of(None, &fetch(0), FETCH), frame_of(None, &MetadataRequest::default(), 1)].concat();
        socket.send(vec![frames[..].into()]).await.expect("the broker is there");
        reactor.sleep(DELAY).await;
        read_answers(&socket, 2).await;
        (records(&reactor, admin, "Fetch").await, records(&reactor, admin, "Metadata").await)
    });
    assert_eq!((records.len(), one_by_one.len()), (2, 1));
    for record in records.iter().chain(&one_by_one) {
        assert_eq!(record["kind"], "slow");
        expect(record, "send", DELAY.saturating_sub(NETWORK_TIME_MAX)..DELAY * 2);
    }
}

#[test]
fn the_wait_of_a_client_over_its_quota_shows_as_throttle() {
    let mut broker = Broker::start(6, &SETTINGS);
    let (address, admin) = setup(&mut broker);
    let records = broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let frames = |requests: [Vec<u8>; 2]| requests.concat();
        let request = produce_one(0, 10_000);
        set_quota(&socket, "client-id", Some(LIMITED), "producer_byte_rate", Some(900.0)).await;
        let limited = connect(&reactor, address).await;
        let both = frames([
            frame_of(Some(LIMITED), &request, PRODUCE),
            frame_of(Some(LIMITED), &MetadataRequest::default(), 1),
        ]);
        limited.send(vec![both[..].into()]).await.expect("the broker is there");
        receive::<ProduceRequest>(&limited, PRODUCE).await.expect("an answer");
        receive::<MetadataRequest>(&limited, 1).await.expect("an answer");
        records(&reactor, admin, "Metadata").await
    });
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&record["kind"], &record["client_id"]), (&"sample".into(), &LIMITED.into()));
    expect(record, "throttle", Duration::from_millis(900)..Duration::from_secs(3));
}

#[test]
fn members_of_a_group_wait_by_their_own_wish_and_commits_for_the_disk() {
    let mut broker = Broker::start(7, &[SETTINGS[0], SETTINGS[1], "group.initial.rebalance.delay.ms=700"]);
    let (address, admin) = setup(&mut broker);
    broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        groups::find_coordinator(&socket).await;
        while groups::committed(&socket).await.is_err() {}
    });
    delay(&mut broker, DiskOperation::Write, "journal");
    let (joins, commits) = broker.sim.block_on("member", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        groups::commit(&socket, 1).await;
        let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), ..JoinGroupRequestProtocol::default() };
        let request = JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        };
        assert_eq!(ask(&socket, &request, 3).await.error_code, 0);
        (records(&reactor, admin, "JoinGroup").await, records(&reactor, admin, "OffsetCommit").await)
    });
    expect(&joins[0], "purgatory", Duration::from_millis(690)..Duration::from_millis(710));
    assert_eq!((commits.len(), &commits[0]["kind"]), (1, &"slow".into()));
    expect(&commits[0], "flush", DELAY..DELAY * 2);
}

#[test]
fn an_answer_that_tells_an_error_is_kept_with_it() {
    let mut broker = Broker::start(8, &SETTINGS);
    let (address, admin) = setup(&mut broker);
    let records = broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        ask(&socket, &produce_one(PARTITIONS, 10), PRODUCE).await;
        let mut unacknowledged = produce_one(0, 10);
        unacknowledged.acks = 0;
        send(&socket, &unacknowledged, PRODUCE).await;
        ask(&socket, &MetadataRequest::default(), 1).await;
        records(&reactor, admin, "Produce").await
    });
    let [refused, unacknowledged] = &records[..] else { panic!("{records:?}") };
    assert_eq!(refused["error"], "UNKNOWN_TOPIC_OR_PARTITION");
    assert!(refused.get("topic").is_none(), "{refused}");
    assert_eq!((&unacknowledged["response_bytes"], micros(unacknowledged, "send") > 0.0), (&0.into(), false));
}

async fn metadata<R: Request>(socket: &Socket, request: &R, count: usize) {
    for _ in 0..count {
        ask(socket, request, 1).await;
    }
}

#[test]
fn a_reader_goes_on_where_he_was_and_is_told_what_he_missed() {
    let mut broker = Broker::start(9, &["ringlog.perf.sample=1", "ringlog.perf.slow.us=0"]);
    let (address, admin) = setup(&mut broker);
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let request = MetadataRequest::default();
        metadata(&socket, &request, 10).await;
        let first = page(&reactor, admin, "?limit=4").await;
        assert_eq!((&first["node"], &first["slow_us"], &first["sample_every"]), (&1.into(), &Value::Null, &1.into()));
        let mut seen = first["requests"].as_array().expect("a list").clone();
        let mut next = first["next"].clone();
        loop {
            let after = next.as_str().expect("text");
            let page = page(&reactor, admin, &format!("?limit=4&after={after}")).await;
            let requests = page["requests"].as_array().expect("a list");
            assert_eq!(page["lost"], 0);
            if requests.is_empty() {
                break;
            }
            seen.extend(requests.iter().cloned());
            next = page["next"].clone();
        }
        let whole = page(&reactor, admin, "").await;
        assert_eq!(whole["requests"].as_array(), Some(&seen));
        assert!(seen.len() > 10 && whole["next"] == next);
        metadata(&socket, &request, 5000).await;
        let later = page(&reactor, admin, &format!("?limit=4096&after={}", next.as_str().expect("text"))).await;
        let (lost, requests) =
            (later["lost"].as_u64().expect("a number"), later["requests"].as_array().expect("a list"));
        assert_eq!((lost, requests.len()), (5000 - 2048, 2048));
        assert_eq!(page(&reactor, admin, "?kind=slow").await["requests"].as_array().map(Vec::len), Some(0));
    });
}

#[test]
fn what_is_kept_may_change_while_the_broker_runs() {
    let mut broker = Broker::start(10, &SETTINGS);
    let (address, admin) = setup(&mut broker);
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        alter(&socket, "ringlog.perf.sample", Some("0")).await;
        let page_now = page(&reactor, admin, "").await;
        assert_eq!((&page_now["slow_us"], &page_now["sample_every"]), (&100_000.into(), &Value::Null));
        let after = format!("?after={}", page_now["next"].as_str().expect("text"));
        metadata(&socket, &MetadataRequest::default(), 10).await;
        assert_eq!(page(&reactor, admin, &after).await["requests"].as_array().map(Vec::len), Some(0));
        alter(&socket, "ringlog.perf.slow.us", Some("1")).await;
        ask(&socket, &produce(10), PRODUCE).await;
        let kept = page(&reactor, admin, &after).await;
        let produce = kept["requests"].as_array().expect("a list").iter().find(|record| record["api"] == "Produce");
        let produce = produce.expect("it takes longer than a microsecond");
        assert_eq!((&produce["kind"], &produce["sampled"]), (&"slow".into(), &false.into()));
        alter(&socket, "ringlog.perf.slow.us", Some("0")).await;
        assert_eq!(page(&reactor, admin, "").await["slow_us"], Value::Null);
    });
}

#[test]
fn a_bad_query_is_refused_with_what_was_expected() {
    let mut broker = Broker::start(11, &SETTINGS);
    let (_, admin) = setup(&mut broker);
    broker.sim.block_on("client", move |reactor| async move {
        for (query, part) in [
            ("?kind=fast", "expected slow, sample or all"),
            ("?limit=5000", "expected a whole number from 1 to 4096"),
            ("?after=yesterday", "expected what an earlier answer gave as next"),
            ("?since=0", "there is no parameter since"),
        ] {
            let (status, body) = get(&reactor, admin, &format!("/perf/requests{query}")).await;
            assert!(status == 400 && body.contains(part) && body.lines().count() == 1, "{query}: {status} {body}");
        }
    });
}

//! Clients that are over their quotas: they are told so and served later; others are not.

use std::time::Duration;

use ringlog_net::messages::Request;
use ringlog_net::messages::alter_client_quotas::{AlterClientQuotasRequest, EntityData, OpData, RequestEntryData};
use ringlog_net::messages::fetch::FetchResponse;
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_net::messages::produce::ProduceRequest;
use ringlog_reactor::{Reactor, Socket};

use crate::{Broker, ask, connect, create_topic, fetch, frame_of, produce, produce_to, receive};

pub(crate) const LIMITED: &str = "limited";
const RATE: f64 = 100_000.0;
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;

pub(crate) async fn set_quota(socket: &Socket, kind: &str, name: Option<&str>, key: &str, value: Option<f64>) {
    let entity = vec![EntityData { entity_type: kind.to_owned(), entity_name: name.map(str::to_owned) }];
    let ops = vec![OpData { key: key.to_owned(), value: value.unwrap_or(0.0), remove: value.is_none() }];
    let request = AlterClientQuotasRequest { entries: vec![RequestEntryData { entity, ops }], validate_only: false };
    assert_eq!(ask(socket, &request, 1).await.entries[0].error_code, 0);
}

async fn send_as<R: Request>(client_id: &str, socket: &Socket, request: &R, version: i16) {
    socket.send(vec![frame_of(Some(client_id), request, version)[..].into()]).await.expect("the broker is there");
}

async fn ask_as<R: Request>(client_id: &str, socket: &Socket, request: &R, version: i16) -> R::Response {
    send_as(client_id, socket, request, version).await;
    receive::<R>(socket, version).await.expect("an answer")
}

/// What a quota counts of a request: its frame without the size.
fn counted_bytes(client_id: &str, request: &ProduceRequest) -> f64 {
    let bytes = frame_of(Some(client_id), request, PRODUCE).len() - 4;
    f64::from(u32::try_from(bytes).expect("a small request"))
}

async fn produce_as(client_id: &str, socket: &Socket, request: &ProduceRequest) -> Duration {
    let response = ask_as(client_id, socket, request, PRODUCE).await;
    assert!(response.responses[0].partition_responses.iter().all(|partition| partition.error_code == 0));
    throttle_time(response.throttle_time_ms)
}

fn throttle_time(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).expect("a time"))
}

async fn setup(reactor: &Reactor, address: std::net::SocketAddr) -> Socket {
    let socket = connect(reactor, address).await;
    create_topic(&socket).await;
    socket
}

/// The rate of a client over several connections becomes that of its quota.
#[test]
fn connections_of_a_client_share_its_quota() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("producer", move |reactor| async move {
        let admin = setup(&reactor, address).await;
        let mut sockets = Vec::new();
        for _ in 0..4 {
            sockets.push(connect(&reactor, address).await);
        }
        for (kind, name, applies) in
            [("client-id", Some(LIMITED), true), ("user", Some("ANONYMOUS"), true), ("user", Some("somebody"), false)]
        {
            set_quota(&admin, kind, name, "producer_byte_rate", Some(RATE)).await;
            let seconds = if applies { 200 } else { 1 };
            let request = produce(500);
            let bytes = counted_bytes(LIMITED, &request);
            let end = reactor.now() + Duration::from_secs(seconds);
            let produce = async |socket: &Socket| {
                let mut produced = 0.0;
                while reactor.now() < end {
                    produce_as(LIMITED, socket, &request).await;
                    produced += bytes;
                }
                produced
            };
            let produced: Vec<f64> = futures_util::future::join_all(sockets.iter().map(produce)).await;
            let rate = produced.iter().sum::<f64>() / f64::from(u32::try_from(seconds).expect("small"));
            // A burst of ten seconds comes on top.
            let expected = RATE * 0.98..RATE * 1.1;
            assert_eq!(expected.contains(&rate), applies, "{rate} a second of {RATE} for {kind} {name:?}");
            assert!(applies || rate > RATE);
            set_quota(&admin, kind, name, "producer_byte_rate", None).await;
            // What was used of another quota does not count for the next.
            reactor.sleep(Duration::from_mins(1)).await;
        }
    });
    assert!(broker.stop() < Duration::from_secs(1));
}

/// The answer comes at once and says how long the connection is not read; other clients, and other connections of the same
/// one with other requests, are served.
#[test]
fn a_throttled_connection_is_not_read_and_others_are() {
    let mut broker = Broker::start(2, &[]);
    let address = broker.address();
    broker.sim.block_on("clients", move |reactor| async move {
        let admin = setup(&reactor, address).await;
        let request = produce(10_000);
        let bytes = counted_bytes(LIMITED, &request);
        set_quota(&admin, "client-id", Some(LIMITED), "producer_byte_rate", Some((bytes / 12.0).round())).await;
        let [limited, free] = [connect(&reactor, address).await, connect(&reactor, address).await];
        let begin = reactor.now();
        let throttled = produce_as(LIMITED, &limited, &request).await;
        assert!((1.9..2.1).contains(&throttled.as_secs_f64()), "{throttled:?}");
        assert!(reactor.now() - begin < Duration::from_millis(500), "the answer does not wait");
        send_as(LIMITED, &limited, &MetadataRequest::default(), 1).await;
        assert_eq!(produce_as("free", &free, &request).await, Duration::ZERO);
        // A quota that goes takes nobody's word back, and holds for the next.
        set_quota(&admin, "client-id", Some(LIMITED), "producer_byte_rate", None).await;
        assert_eq!(produce_as(LIMITED, &free, &request).await, Duration::ZERO);
        assert!(reactor.now() - begin < Duration::from_millis(800));
        receive::<MetadataRequest>(&limited, 1).await.expect("it is served when the time is over");
        let waited = reactor.now() - begin;
        assert!(waited >= throttled && waited < throttled + Duration::from_millis(100), "{waited:?} of {throttled:?}");
        assert_eq!(produce_as(LIMITED, &limited, &request).await, Duration::ZERO);
    });
    assert!(broker.stop() < Duration::from_secs(1));
}

/// Without an answer, too, the connection is not read; nothing else of it is, though it came before.
#[test]
fn requests_that_came_along_wait_as_well() {
    let mut broker = Broker::start(3, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let admin = setup(&reactor, address).await;
        let mut request = produce_to(1, 10_000);
        request.acks = 0;
        let rate = (counted_bytes(LIMITED, &request) / 13.0).round();
        set_quota(&admin, "client-id", None, "producer_byte_rate", Some(rate)).await;
        let socket = connect(&reactor, address).await;
        let begin = reactor.now();
        let frames =
            [frame_of(Some(LIMITED), &request, PRODUCE), frame_of(Some(LIMITED), &MetadataRequest::default(), 1)];
        socket.send(vec![frames.concat()[..].into()]).await.expect("the broker is there");
        receive::<MetadataRequest>(&socket, 1).await.expect("an answer");
        let waited = (reactor.now() - begin).as_secs_f64();
        assert!((2.9..3.2).contains(&waited), "{waited} s");
    });
    assert!(broker.stop() < Duration::from_secs(1));
}

fn records_bytes(response: &FetchResponse) -> usize {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.records.as_ref().map_or(0, Vec::len)).sum()
}

/// A fetch beyond its quota brings nothing, and leaves its session as it was; what it would have brought does not count.
#[test]
fn a_fetch_beyond_its_quota_is_empty_and_served_later() {
    let mut broker = Broker::start(4, &[]);
    let address = broker.address();
    broker.sim.block_on("consumer", move |reactor| async move {
        let admin = setup(&reactor, address).await;
        produce_as("free", &admin, &produce(10_000)).await;
        // One fetch of everything is ten seconds' worth, and no more.
        set_quota(&admin, "client-id", Some(LIMITED), "consumer_byte_rate", Some(8_500.0)).await;
        let socket = connect(&reactor, address).await;
        let mut request = fetch(0);
        request.session_epoch = 0;
        let first = ask_as(LIMITED, &socket, &request, FETCH).await;
        assert!(first.throttle_time_ms == 0 && records_bytes(&first) > 80_000 && first.session_id != 0);
        let mut next = fetch(0);
        (next.session_id, next.session_epoch) = (first.session_id, 1);
        let begin = reactor.now();
        let throttled = ask_as(LIMITED, &socket, &next, FETCH).await;
        assert_eq!((throttled.error_code, throttled.session_id, throttled.responses.len()), (0, first.session_id, 0));
        assert!(throttled.throttle_time_ms > 8_000, "{}", throttled.throttle_time_ms);
        assert!(reactor.now() - begin < Duration::from_millis(500), "the answer does not wait");
        next.session_epoch = 2;
        let mut rounds = 0;
        let last = loop {
            let response = ask_as(LIMITED, &socket, &next, FETCH).await;
            assert_eq!(response.error_code, 0);
            if response.throttle_time_ms == 0 {
                break response;
            }
            assert_eq!(records_bytes(&response), 0);
            next.session_epoch += 1;
            rounds += 1;
        };
        assert_eq!(records_bytes(&last), records_bytes(&first));
        assert!(rounds < 4 && reactor.now() - begin >= throttle_time(throttled.throttle_time_ms));
        let other = ask_as("free", &connect(&reactor, address).await, &fetch(0), FETCH).await;
        assert_eq!((other.throttle_time_ms, records_bytes(&other)), (0, records_bytes(&first)));
    });
    assert!(broker.stop() < Duration::from_secs(1));
}

/// Fetches ask for no more than a quota ever lets through: a client goes on, in smaller steps.
#[test]
fn a_small_quota_makes_small_fetches() {
    let mut broker = Broker::start(5, &[]);
    let address = broker.address();
    broker.sim.block_on("consumer", move |reactor| async move {
        let admin = setup(&reactor, address).await;
        produce_as("free", &admin, &produce(10_000)).await;
        set_quota(&admin, "client-id", Some(LIMITED), "consumer_byte_rate", Some(2_500.0)).await;
        let response = ask_as(LIMITED, &connect(&reactor, address).await, &fetch(0), FETCH).await;
        let bytes = records_bytes(&response);
        assert!(response.throttle_time_ms == 0 && bytes > 20_000 && bytes < 25_000, "{bytes}");
    });
    assert!(broker.stop() < Duration::from_secs(1));
}

/// A mute of hours is no reason to be idle, and none for a stop to wait.
#[test]
fn a_long_mute_outlives_the_idle_time_and_ends_with_the_broker() {
    let mut broker = Broker::start(6, &["connections.max.idle.ms=5000"]);
    let address = broker.address();
    let socket = broker.sim.block_on("client", move |reactor| async move {
        let admin = setup(&reactor, address).await;
        set_quota(&admin, "client-id", Some(LIMITED), "producer_byte_rate", Some(1.0)).await;
        let socket = connect(&reactor, address).await;
        let throttled = produce_as(LIMITED, &socket, &produce_to(1, 40)).await;
        assert!(throttled > Duration::from_mins(1), "{throttled:?}");
        send_as(LIMITED, &socket, &MetadataRequest::default(), 1).await;
        reactor.sleep(throttled.saturating_sub(Duration::from_secs(1))).await;
        let admin = connect(&reactor, address).await;
        set_quota(&admin, "client-id", Some(LIMITED), "producer_byte_rate", None).await;
        receive::<MetadataRequest>(&socket, 1).await.expect("the connection is still there");
        set_quota(&admin, "client-id", Some(LIMITED), "producer_byte_rate", Some(1.0)).await;
        // However long it is told, the broker looks whether the client is still there.
        let begin = reactor.now();
        assert!(produce_as(LIMITED, &socket, &produce_to(1, 10_000)).await > Duration::from_hours(2));
        ask_as(LIMITED, &socket, &MetadataRequest::default(), 1).await;
        assert!((Duration::from_mins(10)..Duration::from_mins(11)).contains(&(reactor.now() - begin)));
        assert!(produce_as(LIMITED, &socket, &produce_to(1, 40)).await > Duration::from_mins(1));
        send_as(LIMITED, &socket, &MetadataRequest::default(), 1).await;
        socket
    });
    assert!(broker.stop() < Duration::from_secs(1));
    drop(socket);
}

/// A client that sends no more is not made to wait, nor what it has sent: its connection would only take up memory.
#[test]
fn a_muted_client_that_sends_no_more_is_served_to_its_end() {
    let mut broker = Broker::start(7, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let admin = setup(&reactor, address).await;
        set_quota(&admin, "client-id", Some(LIMITED), "producer_byte_rate", Some(1.0)).await;
        let socket = connect(&reactor, address).await;
        let begin = reactor.now();
        assert!(produce_as(LIMITED, &socket, &produce_to(1, 10_000)).await > Duration::from_hours(2));
        let mut unacknowledged = produce_to(1, 10);
        unacknowledged.acks = 0;
        send_as(LIMITED, &socket, &unacknowledged, PRODUCE).await;
        send_as(LIMITED, &socket, &MetadataRequest::default(), 1).await;
        socket.shutdown().await.expect("the connection is there");
        receive::<MetadataRequest>(&socket, 1).await.expect("what came before the end is answered");
        assert!(receive::<MetadataRequest>(&socket, 1).await.is_none(), "the broker closes, too");
        assert!(reactor.now() - begin < Duration::from_secs(2));
        // It is said again to whoever comes next.
        let next = connect(&reactor, address).await;
        assert!(produce_as(LIMITED, &next, &produce_to(1, 10)).await > Duration::from_hours(2));
        let response = ask_as("free", &admin, &fetch(0), FETCH).await;
        let last = response.responses[0].partitions.iter().map(|partition| partition.high_watermark).max();
        assert_eq!(last, Some(3), "the three records are there");
    });
    assert!(broker.stop() < Duration::from_secs(1));
}

#[test]
fn a_muted_connection_that_is_reset_is_gone() {
    let mut broker = Broker::start(8, &[]);
    let address = broker.address();
    let client = broker.sim.spawn_client("client", move |reactor| async move {
        let admin = setup(&reactor, address).await;
        set_quota(&admin, "client-id", Some(LIMITED), "producer_byte_rate", Some(1.0)).await;
        let socket = connect(&reactor, address).await;
        assert!(produce_as(LIMITED, &socket, &produce_to(1, 10_000)).await > Duration::from_hours(2));
        for _ in 0..3 {
            send_as(LIMITED, &socket, &produce_to(1, 10_000), PRODUCE).await;
        }
        socket.recv().await.expect_err("it is reset before it is answered");
    });
    broker.sim.run_for(Duration::from_secs(5));
    assert!(!client.is_finished());
    assert_eq!(broker.sim.network().cut(client.node(), broker.node), 2);
    broker.sim.run_for(Duration::from_secs(1));
    assert!(client.is_finished());
    assert_eq!(broker.sim.network().connections(), 0);
    assert!(broker.stop() < Duration::from_secs(1));
}

//! Metrics and health, over HTTP on the simulated network: counts after known traffic are exact.

use std::net::SocketAddr;
use std::time::Duration;

use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_reactor::{Reactor, Socket};

use crate::{ADMIN_PORT, Broker, PARTITIONS, TOPIC, ask, connect, create_topic, fetch, produce, produce_to};

/// Sends some bytes, and answers everything that comes back until the server ends the connection.
async fn exchange(reactor: &Reactor, address: SocketAddr, request: &str) -> String {
    let socket = connect(reactor, address).await;
    socket.send(vec![request.as_bytes().into()]).await.expect("the broker is there");
    read_all(&socket).await
}

async fn read_all(socket: &Socket) -> String {
    let mut text = Vec::new();
    while let Ok(received) = socket.recv().await
        && !received.is_empty()
    {
        text.extend_from_slice(&received);
    }
    String::from_utf8(text).expect("text")
}

/// The status and the body of a page.
pub(crate) async fn get(reactor: &Reactor, address: SocketAddr, path: &str) -> (u16, String) {
    let answer = exchange(reactor, address, &format!("GET {path} HTTP/1.0\r\nHost: b\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}

/// The value of a sample; `None` if it is not there.
pub(crate) fn sample(metrics: &str, name: &str) -> Option<f64> {
    let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = values.next().map(|value| value.parse().expect("a number"));
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

#[track_caller]
fn expect(metrics: &str, name: &str, value: f64) {
    let found = sample(metrics, name);
    assert!(found.is_some_and(|found| (found - value).abs() < 1e-9), "{name} is {found:?}, and not {value}");
}

pub(crate) fn admin_address(broker: &Broker) -> SocketAddr {
    broker.sim.address(broker.node, ADMIN_PORT)
}

#[test]
fn counts_after_known_traffic_are_exact() {
    const PRODUCES: u32 = 3;
    let mut broker = Broker::start(1, &[]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    let (metrics, produced, fetched) = broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        let request = produce(100);
        let produced: usize =
            request.topic_data[0].partition_data.iter().map(|one| one.records.as_ref().map_or(0, Vec::len)).sum();
        for _ in 0..PRODUCES {
            let response = ask(&socket, &request, 7).await;
            assert!(response.responses[0].partition_responses.iter().all(|one| one.error_code == 0));
        }
        // One partition that is not there.
        let missing = ask(&socket, &produce_to(PARTITIONS + 1, 10), 7).await;
        assert_ne!(missing.responses[0].partition_responses[8].error_code, 0);
        let response = ask(&socket, &fetch(0), 11).await;
        let partitions = &response.responses[0].partitions;
        let fetched: usize = partitions.iter().map(|one| one.records.as_ref().map_or(0, Vec::len)).sum();
        (get(&reactor, admin, "/metrics").await, produced, fetched)
    });
    let (status, metrics) = metrics;
    assert_eq!(status, 200);
    let name = |name: &str, topic: &str| format!("kafka_server_brokertopicmetrics_{name}_total{topic}");
    let partitions = f64::from(PARTITIONS);
    for topic in ["", "{topic=\"topic\"}"] {
        // A request counts for each partition, as in Kafka; and each batch has one record.
        expect(&metrics, &name("totalproducerequests", topic), f64::from(PRODUCES + 1) * partitions);
        expect(&metrics, &name("failedproducerequests", topic), 0.0);
        expect(&metrics, &name("messagesin", topic), f64::from(PRODUCES + 1) * partitions);
        expect(&metrics, &name("totalfetchrequests", topic), partitions);
        expect(&metrics, &name("failedfetchrequests", topic), 0.0);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        expect(&metrics, &name("bytesout", topic), fetched as f64);
    }
    assert!(produced > 0 && fetched > 3 * produced, "{produced} bytes were produced at a time, {fetched} fetched");
    expect(&metrics, "kafka_network_requestmetrics_requests_total{request=\"Produce\"}", 4.0);
    expect(&metrics, "kafka_network_requestmetrics_requests_total{request=\"Fetch\"}", 1.0);
    expect(&metrics, "ringlog_request_duration_seconds_count{api=\"Produce\"}", 4.0);
    let unknown = "{request=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"}";
    expect(&metrics, &format!("kafka_network_requestmetrics_errors_total{unknown}"), 1.0);
    for partition in 0..PARTITIONS {
        let labels = format!("{{topic=\"{TOPIC}\",partition=\"{partition}\"}}");
        for offset in [
            "kafka_topic_partition_current_offset",
            "kafka_log_log_logendoffset",
            "ringlog_partition_messages_in_total",
        ] {
            expect(&metrics, &format!("{offset}{labels}"), f64::from(PRODUCES + 1));
        }
        expect(&metrics, &format!("kafka_cluster_partition_underreplicated{labels}"), 0.0);
    }
    expect(&metrics, "kafka_topic_partitions{topic=\"topic\"}", partitions);
    expect(&metrics, "kafka_server_replicamanager_partitioncount", partitions);
    expect(&metrics, "kafka_controller_kafkacontroller_activecontrollercount", 1.0);
    expect(&metrics, "kafka_server_socket_server_metrics_connection_count", 1.0);
    expect(&metrics, "kafka_server_raftmetrics_current_vote", 1.0);
    expect(&metrics, "ringlog_ready", 1.0);
    expect(&metrics, "ringlog_log_lines_dropped_total", 0.0);
    let of_shards = |name: &str| {
        (0..2).map(|shard| sample(&metrics, &format!("{name}{{shard=\"{shard}\"}}")).unwrap_or(0.0)).sum::<f64>()
    };
    assert!(of_shards("ringlog_commit_duration_seconds_count") >= f64::from(PRODUCES), "each produce was committed");
    assert!(of_shards("ringlog_mesh_messages_sent_total") > 0.0);
    // The parts of a request's time are the whole of it.
    let phase = |phase: &str| {
        sample(&metrics, &format!("ringlog_request_phase_seconds_total{{api=\"Produce\",phase=\"{phase}\"}}"))
    };
    let parts: f64 = ["queued", "local", "remote", "send"].into_iter().filter_map(phase).sum();
    let total = sample(&metrics, "ringlog_request_duration_seconds_sum{api=\"Produce\"}").expect("it is there");
    assert!(total > 0.0 && (parts - total).abs() < 1e-9, "{parts} of {total}");
}

#[test]
fn families_and_topics_have_switches() {
    let settings = ["ringlog.metrics.families=kminion", "ringlog.metrics.topics.max=0"];
    let mut broker = Broker::start(1, &settings);
    let (address, admin) = (broker.address(), admin_address(&broker));
    let (_, metrics) = broker.sim.block_on("client", move |reactor| async move {
        create_topic(&connect(&reactor, address).await).await;
        get(&reactor, admin, "/metrics").await
    });
    expect(
        &metrics,
        "kminion_kafka_topic_info{topic_name=\"(others)\",partition_count=\"8\",replication_factor=\"0\"}",
        1.0,
    );
    assert!(!metrics.contains("ringlog_") && !metrics.contains("kafka_server_") && !metrics.contains("partition_id"));
    let named: Vec<&str> = metrics.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    assert!(named.iter().all(|line| line.contains(" kminion_") || line.contains(" process_")), "{named:?}");
}

#[test]
fn readers_fall_behind_by_what_was_written() {
    use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
    use ringlog_net::messages::offset_commit::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    };
    let mut broker = Broker::start(1, &["offsets.topic.num.partitions=4"]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    let (_, metrics) = broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        for _ in 0..5 {
            ask(&socket, &produce(10), 7).await;
        }
        let find = FindCoordinatorRequest { key: "shop".to_owned(), ..FindCoordinatorRequest::default() };
        while ask(&socket, &find, 2).await.error_code != 0 {
            reactor.sleep(Duration::from_millis(10)).await;
        }
        let partition = |partition_index, committed_offset| OffsetCommitRequestPartition {
            partition_index,
            committed_offset,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: TOPIC.to_owned(),
            partitions: vec![partition(0, 2), partition(1, 5)],
            ..OffsetCommitRequestTopic::default()
        };
        let commit =
            OffsetCommitRequest { group_id: "shop".to_owned(), topics: vec![topic], ..OffsetCommitRequest::default() };
        while ask(&socket, &commit, 7).await.topics[0].partitions[0].error_code != 0 {
            reactor.sleep(Duration::from_millis(10)).await;
        }
        get(&reactor, admin, "/metrics").await
    });
    let of = |partition: u8| format!("{{consumergroup=\"shop\",topic=\"{TOPIC}\",partition=\"{partition}\"}}");
    expect(&metrics, &format!("kafka_consumergroup_current_offset{}", of(0)), 2.0);
    expect(&metrics, &format!("kafka_consumergroup_lag{}", of(0)), 3.0);
    expect(&metrics, &format!("kafka_consumergroup_lag{}", of(1)), 0.0);
    expect(&metrics, "kminion_kafka_consumer_group_topic_lag{group_id=\"shop\",topic_name=\"topic\"}", 3.0);
    expect(&metrics, "kafka_consumergroup_members{consumergroup=\"shop\"}", 0.0);
    expect(&metrics, "ringlog_groups{type=\"classic\",state=\"Empty\"}", 1.0);
    expect(&metrics, "ringlog_group_rebalances_total{group=\"shop\"}", 0.0);
}

#[test]
fn members_that_come_and_go_are_rebalances() {
    use ringlog_net::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
    use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
    let mut broker = Broker::start(1, &["offsets.topic.num.partitions=4"]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    let (_, metrics) = broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        let find = FindCoordinatorRequest { key: "shop".to_owned(), ..FindCoordinatorRequest::default() };
        while ask(&socket, &find, 3).await.error_code != 0 {
            reactor.sleep(Duration::from_millis(10)).await;
        }
        for member in ["one", "two"] {
            let join = ConsumerGroupHeartbeatRequest {
                group_id: "shop".to_owned(),
                member_id: member.to_owned(),
                rebalance_timeout_ms: 60_000,
                subscribed_topic_names: Some(vec![TOPIC.to_owned()]),
                topic_partitions: Some(Vec::new()),
                ..ConsumerGroupHeartbeatRequest::default()
            };
            while ask(&socket, &join, 1).await.error_code != 0 {
                reactor.sleep(Duration::from_millis(10)).await;
            }
        }
        get(&reactor, admin, "/metrics").await
    });
    expect(&metrics, "kafka_consumergroup_members{consumergroup=\"shop\"}", 2.0);
    expect(&metrics, "ringlog_group_rebalances_total{group=\"shop\"}", 2.0);
}

#[test]
fn connections_that_are_not_taken_are_counted() {
    let mut broker = Broker::start(1, &["max.connections.per.ip=1"]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    let (_, metrics) = broker.sim.block_on("client", move |reactor| async move {
        let first = connect(&reactor, address).await;
        ask(&first, &MetadataRequest::default(), 5).await;
        for _ in 0..3 {
            let refused = connect(&reactor, address).await;
            assert!(refused.recv().await.map_or(true, |bytes| bytes.is_empty()), "it is closed at once");
        }
        get(&reactor, admin, "/metrics").await
    });
    for (reason, count) in [("too_many", 3.0), ("too_fast", 0.0), ("failed", 0.0)] {
        let of_shard =
            |shard: u8| format!("ringlog_connections_refused_total{{shard=\"{shard}\",reason=\"{reason}\"}}");
        let found: Option<f64> = (0..2).map(|shard| sample(&metrics, &of_shard(shard))).sum();
        assert!(found.is_some_and(|found| (found - count).abs() < 1e-9), "{reason}: {found:?}");
    }
}

#[test]
fn health_is_told_from_the_start_on() {
    let mut broker = Broker::start(1, &[]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    broker.sim.block_on("client", move |reactor| async move {
        // The port is open before there is anything to tell.
        let (status, body) = get(&reactor, admin, "/health/live").await;
        assert_eq!((status, body.as_str()), (200, "{\"status\":\"live\"}\n"));
        let socket = connect(&reactor, address).await;
        ask(&socket, &MetadataRequest::default(), 5).await;
        assert_eq!(get(&reactor, admin, "/health/ready").await, (200, "{\"status\":\"ready\"}\n".to_owned()));
        let (status, version) = get(&reactor, admin, "/version").await;
        assert!(status == 200 && version.contains("\"shards\":2"), "{version}");
        let (status, config) = get(&reactor, admin, "/config").await;
        assert!(
            status == 200
                && config.contains(
                    "\"log.dirs\":{\"sensitive\":false,\"source\":\"STATIC_BROKER_CONFIG\",\"value\":\"data\"}"
                ),
            "{config}"
        );
    });
}

#[test]
fn what_is_not_served_is_told_clearly() {
    let mut broker = Broker::start(1, &[]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    broker.sim.block_on("client", move |reactor| async move {
        ask(&connect(&reactor, address).await, &MetadataRequest::default(), 5).await;
        let (status, body) = get(&reactor, admin, "/metric").await;
        assert!(status == 404 && body.contains("there is no /metric") && body.contains("/metrics"), "{body}");
        for (request, status, part) in [
            ("POST /metrics HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc", "405", "allow: GET, HEAD"),
            ("HEAD /metrics HTTP/1.1\r\nHost: b\r\n\r\n", "200", "text/plain; version=0.0.4"),
            ("no such thing\r\n\r\n", "400", ""),
        ] {
            let answer = exchange(&reactor, admin, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part), "{request}: {answer}");
            let has_body = answer.split_once("\r\n\r\n").is_some_and(|(_, body)| !body.is_empty());
            assert!(!(request.starts_with("HEAD") && has_body), "{answer}");
        }
        let long = format!("GET /version HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000));
        let answer = exchange(&reactor, admin, &long).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    });
}

/// More slow clients than there may be connections: whoever asks behind them is answered at once, and so are clients of the
/// broker. Those that make no room are ended later.
#[test]
fn slow_clients_make_room_for_others() {
    const SLOW: usize = 20;
    let mut broker = Broker::start(1, &[]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        ask(&socket, &MetadataRequest::default(), 5).await;
        let mut slow = Vec::new();
        for _ in 0..SLOW {
            let one = connect(&reactor, admin).await;
            one.send(vec![b"GET /metrics HTT"[..].into()]).await.expect("the broker is there");
            slow.push(one);
        }
        let begun = reactor.now();
        ask(&socket, &MetadataRequest::default(), 5).await;
        assert_eq!(get(&reactor, admin, "/health/live").await.0, 200);
        assert!(reactor.now() - begun < Duration::from_secs(1));
        assert_eq!(read_all(&slow[0]).await, "", "it was the first to make room");
        assert!(reactor.now() - begun < Duration::from_secs(1));
        assert_eq!(read_all(&slow[SLOW - 1]).await, "", "it has had its time");
        let waited = reactor.now() - begun;
        assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(6), "{waited:?}");
    });
}

/// Clients that ask for metrics and read nothing: a scrape is refused behind them, and whether the broker lives is told.
#[test]
fn scrapes_that_nobody_reads_leave_room_for_others() {
    const SCRAPES: usize = 30;
    let mut broker = Broker::start(1, &[]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    broker.sim.block_on("client", move |reactor| async move {
        create_topic(&connect(&reactor, address).await).await;
        let mut scrapes = Vec::new();
        for _ in 0..SCRAPES {
            let one = connect(&reactor, admin).await;
            one.send(vec![b"GET /metrics HTTP/1.0\r\n\r\n"[..].into()]).await.expect("the broker is there");
            scrapes.push(one);
        }
        let begun = reactor.now();
        assert_eq!(get(&reactor, admin, "/health/live").await.0, 200);
        assert!(reactor.now() - begun < Duration::from_secs(1));
    });
}

#[test]
fn scrapes_that_come_together_are_made_one_after_the_other() {
    let mut broker = Broker::start(1, &[]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    broker.sim.block_on("setup", move |reactor| async move {
        create_topic(&connect(&reactor, address).await).await;
    });
    let scrapes: Vec<_> = (0..5)
        .map(|_| {
            broker.sim.spawn_client("prometheus", move |reactor| async move { get(&reactor, admin, "/metrics").await })
        })
        .collect();
    broker.sim.run_until(|_| scrapes.iter().all(ringlog_reactor::sim::Client::is_finished));
    for scrape in scrapes {
        let (status, metrics) = scrape.take().expect("it is finished");
        assert_eq!(status, 200);
        expect(&metrics, "kafka_topic_partitions{topic=\"topic\"}", f64::from(PARTITIONS));
    }
}

/// A client that leaves in the middle of a scrape does not keep others from theirs.
#[test]
fn a_scrape_that_is_given_up_makes_room_for_the_next() {
    let mut broker = Broker::start(1, &[]);
    let (address, admin) = (broker.address(), admin_address(&broker));
    broker.sim.block_on("client", move |reactor| async move {
        create_topic(&connect(&reactor, address).await).await;
        for _ in 0..3 {
            let socket = connect(&reactor, admin).await;
            socket
                .send(vec![b"GET /metrics HTTP/1.1\r\nHost: b\r\n\r\n"[..].into()])
                .await
                .expect("the broker is there");
            let received = socket.recv().await.expect("the scrape begins");
            assert!(received.starts_with(b"HTTP/1.1 200"));
        }
        assert_eq!(get(&reactor, admin, "/metrics").await.0, 200);
    });
}

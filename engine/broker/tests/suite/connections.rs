//! Limits of connections: over all shards, from the start or since a moment ago.

use std::net::SocketAddr;
use std::time::Duration;

use ringlog_net::messages::alter_client_quotas::{AlterClientQuotasRequest, EntityData, OpData, RequestEntryData};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_reactor::{Instant, Reactor, Socket};

use crate::{Broker, ask, connect, receive, send};

const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Asks something small, whose answer comes from a connection that is served; `None` when it ends instead.
async fn is_served(socket: &Socket) -> Option<()> {
    // Who is closed may learn it here.
    let frame = crate::frame(&MetadataRequest::default(), 1);
    socket.send(vec![frame[..].into()]).await.ok()?;
    receive::<MetadataRequest>(socket, 1).await.map(drop)
}

async fn open(reactor: &Reactor, address: SocketAddr, count: usize) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = connect(reactor, address).await;
        is_served(&socket).await.expect("it may come in");
        sockets.push(socket);
    }
    sockets
}

/// Changes a setting of all brokers; `None` takes it away.
pub(crate) async fn alter(socket: &Socket, key: &str, value: Option<&str>) {
    let config_operation = if value.is_some() { SET } else { DELETE };
    let config = AlterableConfig { name: key.to_owned(), config_operation, value: value.map(str::to_owned) };
    let resource = AlterConfigsResource { resource_type: BROKER, resource_name: String::new(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(ask(socket, &request, 1).await.responses[0].error_code, 0, "{key}={value:?}");
}

/// Waits until shard 0 has been told of what has ended or begun to count.
async fn settled(reactor: &Reactor) {
    reactor.sleep(Duration::from_millis(500)).await;
}

fn since(begin: Instant, reactor: &Reactor) -> Duration {
    reactor.now() - begin
}

#[test]
fn an_address_with_all_its_connections_gets_no_other() {
    for seed in 0..4 {
        let mut broker = Broker::start(seed, &["max.connections.per.ip=3"]);
        let address = broker.address();
        let others = broker.sim.spawn_client("others", move |reactor| async move { open(&reactor, address, 3).await });
        broker.sim.block_on("client", move |reactor| async move {
            let mut sockets = open(&reactor, address, 3).await;
            for _ in 0..3 {
                assert_eq!(is_served(&connect(&reactor, address).await).await, None);
            }
            sockets.pop();
            settled(&reactor).await;
            sockets.extend(open(&reactor, address, 1).await);
            assert_eq!(is_served(&connect(&reactor, address).await).await, None);
            for socket in &sockets {
                is_served(socket).await.expect("those that are in stay in");
            }
        });
        broker.sim.run_until(|_| others.is_finished());
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

#[test]
fn beyond_the_most_connections_the_next_waits() {
    for seed in 0..4 {
        let mut broker = Broker::start(seed, &["max.connections=2"]);
        let address = broker.address();
        broker.sim.block_on("client", move |reactor| async move {
            let mut sockets = open(&reactor, address, 2).await;
            let next = connect(&reactor, address).await;
            send(&next, &MetadataRequest::default(), 1).await;
            let waiting = reactor.timeout(receive::<MetadataRequest>(&next, 1), Duration::from_mins(1));
            waiting.await.expect_err("there is no room");
            sockets.pop();
            receive::<MetadataRequest>(&next, 1).await.expect("there is room now");
            // One that gives up makes room as well.
            let impatient = connect(&reactor, address).await;
            settled(&reactor).await;
            drop(impatient);
            let patient = connect(&reactor, address).await;
            send(&patient, &MetadataRequest::default(), 1).await;
            sockets.pop();
            receive::<MetadataRequest>(&patient, 1).await.expect("there is room now");
        });
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

#[test]
fn limits_change_while_connections_are_open() {
    const PER_IP: &str = "max.connections.per.ip";
    for seed in 0..4 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("client", move |reactor| async move {
            let mut sockets = open(&reactor, address, 6).await;
            alter(&sockets[0], PER_IP, Some("6")).await;
            settled(&reactor).await;
            assert_eq!(is_served(&connect(&reactor, address).await).await, None, "those of before count");
            alter(&sockets[0], PER_IP, Some("7")).await;
            sockets.extend(open(&reactor, address, 1).await);
            assert_eq!(is_served(&connect(&reactor, address).await).await, None);
            // Nobody counts for a while, and then again.
            alter(&sockets[0], PER_IP, None).await;
            sockets.extend(open(&reactor, address, 5).await);
            sockets.truncate(9);
            alter(&sockets[0], PER_IP, Some("10")).await;
            settled(&reactor).await;
            sockets.extend(open(&reactor, address, 1).await);
            assert_eq!(is_served(&connect(&reactor, address).await).await, None);
            alter(&sockets[0], "max.connections.per.ip.overrides", Some("10.9.9.9:1,::1:2")).await;
            assert_eq!(is_served(&connect(&reactor, address).await).await, None, "they are for other addresses");
        });
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

#[test]
fn a_lower_limit_ends_what_was_unused_for_longest() {
    for seed in 0..4 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("client", move |reactor| async move {
            let mut sockets = open(&reactor, address, 6).await;
            alter(&sockets[5], "max.connections", Some("6")).await;
            settled(&reactor).await;
            let last = sockets.pop().expect("the last one");
            alter(&last, "max.connections", Some("1")).await;
            for socket in &sockets {
                assert!(receive::<MetadataRequest>(socket, 1).await.is_none());
            }
            is_served(&last).await.expect("one may stay");
        });
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

#[test]
fn connections_come_no_faster_than_the_rate() {
    for (seed, is_dynamic) in [(0, false), (1, true), (2, false), (3, true)] {
        let key = "max.connection.creation.rate";
        let setting = format!("{key}=2");
        let mut broker = if is_dynamic { Broker::start(seed, &[]) } else { Broker::start(seed, &[&setting]) };
        let address = broker.address();
        broker.sim.block_on("client", move |reactor| async move {
            let admin = connect(&reactor, address).await;
            if is_dynamic {
                alter(&admin, key, Some("2")).await;
            }
            let begin = reactor.now();
            let mut sockets = open(&reactor, address, 19).await;
            assert!(since(begin, &reactor) < Duration::from_secs(1), "ten seconds' worth come in at once");
            sockets.extend(open(&reactor, address, 10).await);
            let took = since(begin, &reactor);
            assert!((Duration::from_secs(4)..Duration::from_secs(12)).contains(&took), "{took:?}");
            is_served(&admin).await.expect("those that are in are not slowed down");
        });
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

#[test]
fn an_address_over_its_quota_is_closed_a_little_later() {
    for seed in 0..4 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("client", move |reactor| async move {
            let admin = connect(&reactor, address).await;
            let entity = vec![EntityData { entity_type: "ip".to_owned(), entity_name: None }];
            let op = |remove| OpData { key: "connection_creation_rate".to_owned(), value: 1.0, remove };
            let entries = |remove| vec![RequestEntryData { entity: entity.clone(), ops: vec![op(remove)] }];
            let request = |remove| AlterClientQuotasRequest { entries: entries(remove), validate_only: false };
            assert_eq!(ask(&admin, &request(false), 1).await.entries[0].error_code, 0);
            let sockets = open(&reactor, address, 10).await;
            let begin = reactor.now();
            assert_eq!(is_served(&connect(&reactor, address).await).await, None);
            let took = since(begin, &reactor);
            assert!((Duration::from_millis(300)..Duration::from_secs(2)).contains(&took), "{took:?}");
            is_served(&sockets[0]).await.expect("those that are in are served");
            assert_eq!(ask(&admin, &request(true), 1).await.entries[0].error_code, 0);
            settled(&reactor).await;
            open(&reactor, address, 20).await;
        });
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

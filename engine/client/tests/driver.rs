//! The driver on the simulator, against a broker that knows two requests.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_buffer::Slice;
use ringlog_client::{CONNECT_TIME_MAX, ClientDriver, no_names, race};
use ringlog_net::client::{Address, Client, ClientConfig, ClientError, Event, Target};
use ringlog_net::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use ringlog_net::messages::metadata::{MetadataRequest, MetadataResponse};
use ringlog_net::messages::{ApiKey, Message};
use ringlog_net::wire::Writer;
use ringlog_reactor::sim::{Sim, SimOptions};
use ringlog_reactor::{ListenOptions, Mesh, Reactor, Socket};

const PORT: u16 = 9092;

/// The answer to the request in `frame`, whose size field is cut off.
fn answer(frame: &[u8]) -> Vec<u8> {
    let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
    let (api_key, version) = (ApiKey::from_i16(number(0)).expect("a key of Kafka's"), number(2));
    let mut w = Writer::new();
    w.i32(0);
    w.i32(i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]));
    if api_key.response_header_version(version) >= 1 {
        w.tagged_fields();
    }
    let row = |key: ApiKey| ApiVersion {
        api_key: key.code(),
        min_version: *key.valid_versions().start(),
        max_version: *key.valid_versions().end(),
    };
    let encoded = if api_key == ApiKey::ApiVersions {
        let api_keys = vec![row(ApiKey::ApiVersions), row(ApiKey::Metadata)];
        Message::encode(&ApiVersionsResponse { api_keys, ..ApiVersionsResponse::default() }, &mut w, version)
    } else {
        let cluster_id = Some("simulated".to_owned());
        Message::encode(&MetadataResponse { cluster_id, ..MetadataResponse::default() }, &mut w, version)
    };
    encoded.expect("the response can be said");
    let size = i32::try_from(w.len() - 4).expect("it is small");
    w.patch_i32(0, size);
    w.into_bytes()
}

/// Answers requests until the client closes, and then counts that.
async fn serve(socket: Socket, closed: Rc<Cell<usize>>) {
    let mut bytes = Vec::new();
    while let Ok(received) = socket.recv().await {
        if received.is_empty() {
            break;
        }
        bytes.extend_from_slice(&received);
        while let Some(size) = bytes.first_chunk::<4>() {
            let end = 4 + usize::try_from(i32::from_be_bytes(*size)).expect("a size");
            if bytes.len() < end {
                break;
            }
            let response = answer(&bytes[4..end]);
            bytes.drain(..end);
            if socket.send(vec![Slice::from(&response[..])]).await.is_err() {
                break;
            }
        }
    }
    closed.set(closed.get() + 1);
}

/// A world with such a broker: where it is, and how many of its connections have ended.
fn world(seed: u64) -> (Sim, SocketAddr, Rc<Cell<usize>>) {
    let mut sim = Sim::new(seed, SimOptions::default());
    let closed = Rc::new(Cell::new(0));
    let counter = Rc::clone(&closed);
    let node = sim.start_node("broker", 1, move |reactor: Reactor, _mesh: Mesh<()>| {
        let closed = Rc::clone(&counter);
        async move {
            let any = SocketAddr::from(([0, 0, 0, 0], PORT));
            let listener = reactor.listen(any, ListenOptions::default()).await.expect("the port is free");
            while let Ok((socket, _)) = listener.accept().await {
                drop(reactor.spawn(serve(socket, Rc::clone(&closed))));
            }
        }
    });
    let address = sim.address(node, PORT);
    (sim, address, closed)
}

fn address(of: SocketAddr) -> Address {
    Address { host: of.ip().to_string(), port: of.port() }
}

fn driver(reactor: &Reactor, bootstrap: Vec<Address>) -> ClientDriver {
    let config = ClientConfig { request_timeout: Duration::from_mins(1), ..ClientConfig::default() };
    ClientDriver::new(reactor, Client::new(config, bootstrap), no_names())
}

#[test]
fn calls_are_answered_side_by_side() {
    for seed in 0..50 {
        let (mut sim, broker, closed) = world(seed);
        let clusters = sim.block_on("client", move |reactor| async move {
            let driver = driver(&reactor, vec![address(broker)]);
            let calls: Vec<_> = (0..20)
                .map(|_| {
                    let driver = driver.clone();
                    reactor.spawn(async move { driver.call(Target::Any, MetadataRequest::default()).await })
                })
                .collect();
            let mut clusters = Vec::new();
            for call in calls {
                clusters.push(call.await.map(|answer| answer.cluster_id));
            }
            clusters
        });
        let expected = Ok(Some("simulated".to_owned()));
        assert!(clusters.len() == 20 && clusters.iter().all(|cluster| *cluster == expected), "{seed}: {clusters:?}");
        sim.run_until_idle();
        assert_eq!(closed.get(), 1, "seed {seed}: the connection closes with the driver");
    }
}

#[test]
fn a_dead_address_is_told_and_passed_over() {
    for seed in 0..50 {
        let (mut sim, broker, _) = world(seed);
        let dead = Address { host: address(broker).host, port: PORT + 1 };
        let nameless = Address { host: "nameless".to_owned(), port: PORT };
        let bootstrap = vec![dead.clone(), nameless.clone(), address(broker)];
        let (cluster, lost) = sim.block_on("client", move |reactor| async move {
            let driver = driver(&reactor, bootstrap);
            let cluster = driver.call(Target::Any, MetadataRequest::default()).await.map(|answer| answer.cluster_id);
            let mut lost = Vec::new();
            while let Some(event) = driver.try_event() {
                if let Event::ConnectionLost(address, _) = event {
                    lost.push(address);
                }
            }
            (cluster, lost)
        });
        assert_eq!(cluster, Ok(Some("simulated".to_owned())), "seed {seed}");
        assert!(
            !lost.is_empty() && lost.iter().all(|address| [&dead, &nameless].contains(&address)),
            "seed {seed}: {lost:?}"
        );
    }
}

#[test]
fn a_call_that_is_given_up_leaves_nothing_behind() {
    let (mut sim, broker, _) = world(1);
    let events = sim.block_on("client", move |reactor| async move {
        let driver = driver(&reactor, vec![address(broker)]);
        let call = driver.call(Target::Any, MetadataRequest::default());
        let given_up = async { Err(ClientError::TimedOut) };
        assert_eq!(race(call, given_up).await, Err(ClientError::TimedOut));
        // Its answer comes all the same, as an event that nobody waits for.
        let event = driver.event().await;
        assert!(driver.call(Target::Any, MetadataRequest::default()).await.is_ok());
        event
    });
    assert!(matches!(events, Event::Answered(_, Ok(_))), "{events:?}");
}

#[test]
fn a_client_without_a_broker_hears_of_it() {
    let mut sim = Sim::new(3, SimOptions::default());
    let elapsed = sim.block_on("client", |reactor| async move {
        let begun = reactor.now();
        // Nobody has this address.
        let nowhere = Address { host: "10.9.8.7".to_owned(), port: PORT };
        let driver = driver(&reactor, vec![nowhere.clone()]);
        let event = driver.event().await;
        assert!(matches!(&event, Event::ConnectionLost(address, _) if *address == nowhere), "{event:?}");
        reactor.now().since(begun)
    });
    assert!(elapsed <= CONNECT_TIME_MAX + Duration::from_secs(1), "{elapsed:?}");
}

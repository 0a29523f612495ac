//! How connections and the broker end: clients that stall, vanish or wait hold up nobody.

use std::time::Duration;

use ringlog_net::messages::fetch::FetchRequest;
use ringlog_net::messages::init_producer_id::InitProducerIdRequest;
use ringlog_net::messages::produce::ProduceRequest;

use crate::{Broker, ask, connect, create_topic, fetch, frame, produce, receive, send};

/// A stop answers fetches that wait with what there is, instead of waiting for them.
#[test]
fn a_long_poll_does_not_hold_up_a_stop() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        create_topic(&connect(&reactor, address).await).await;
    });
    let poll = broker.sim.spawn_client("poll", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        send(&socket, &fetch(60_000), 11).await;
        receive::<FetchRequest>(&socket, 11).await.expect("an answer").responses.len()
    });
    broker.sim.run_for(Duration::from_millis(100));
    assert!(!poll.is_finished());
    let time = broker.stop();
    assert!(time < Duration::from_secs(1), "{time:?}");
    assert_eq!(poll.take(), Some(1));
}

/// All shards end their connections before any of them closes: requests in flight reach all of them to the end.
#[test]
fn requests_in_flight_are_answered_before_a_stop() {
    for seed in 0..20 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            create_topic(&connect(&reactor, address).await).await;
        });
        let clients: Vec<_> = (0..4)
            .map(|_| {
                broker.sim.spawn_client("producer", move |reactor| async move {
                    let socket = connect(&reactor, address).await;
                    // Until the broker ends the connection, everything is answered, and well.
                    let mut answered = 0;
                    for _ in 0..1000 {
                        if socket.send(vec![frame(&produce(100), 7)[..].into()]).await.is_err() {
                            break;
                        }
                        let Some(response) = receive::<ProduceRequest>(&socket, 7).await else { break };
                        let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
                        assert!(partitions.all(|partition| partition.error_code == 0), "{response:?}");
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        broker.sim.run_for(Duration::from_millis(20));
        let time = broker.stop();
        assert!(time < Duration::from_secs(1), "seed {seed}: {time:?}");
        assert!(clients.iter().any(|client| client.take() > Some(0)), "seed {seed}: nothing was produced");
    }
}

/// A peer that never reads is cut off once its connection is idle, and does not hold up a stop for ever.
#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let mut broker = Broker::start(3, &["connections.max.idle.ms=5000"]);
    let address = broker.address();
    let stalled = broker.sim.spawn_client("stalled", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        ask(&socket, &produce(100_000), 7).await;
        for _ in 0..40 {
            send(&socket, &fetch(0), 11).await;
        }
        reactor.sleep(Duration::from_mins(1)).await;
        // What was on its way is there; then the connection is over.
        let mut bytes = 0;
        while let Ok(received) = socket.recv().await
            && !received.is_empty()
        {
            bytes += received.len();
        }
        bytes
    });
    broker.sim.run_until(|_| stalled.is_finished());
    let bytes = stalled.take().expect("has finished");
    assert!((1..40 * 800_000).contains(&bytes), "{bytes} bytes came");
    assert!(broker.stop() < Duration::from_secs(1));
}

/// Connections that vanish in the midst of large frames, while they wait for memory or not, leave all of it behind.
#[test]
fn memory_for_frames_comes_back_whatever_becomes_of_their_connections() {
    for seed in 0..10 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            create_topic(&connect(&reactor, address).await).await;
        });
        let clients: Vec<_> = (0..12_u64)
            .map(|number| {
                broker.sim.spawn_client("vanishing", move |reactor| async move {
                    for round in 0..3 {
                        let socket = connect(&reactor, address).await;
                        // An answer that cannot be sent is what ends the connection early.
                        send(&socket, &produce(10), 7).await;
                        let large = frame(&produce(250_000), 7);
                        let part = large.len() * usize::try_from((number + round) % 4 + 1).expect("small") / 5;
                        let sent = reactor.timeout(socket.send(vec![large[..part].into()]), Duration::from_millis(50));
                        let _ = sent.await;
                        drop(socket);
                    }
                })
            })
            .collect();
        broker.sim.run_until(|_| clients.iter().all(ringlog_reactor::sim::Client::is_finished));
        // Whole frames are still taken.
        broker.sim.block_on("after", move |reactor| async move {
            let sockets = [connect(&reactor, address).await, connect(&reactor, address).await];
            for _ in 0..8 {
                for socket in &sockets {
                    let asked = reactor.timeout(ask(socket, &produce(250_000), 7), Duration::from_secs(5)).await;
                    let response = asked.expect("there is memory");
                    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
                }
            }
        });
        assert!(broker.stop() < Duration::from_secs(1), "seed {seed}");
    }
}

/// Many clients that ask for producer ids at the same moment share one block, and nobody spins until it is there.
#[test]
fn producer_ids_are_given_to_all_who_ask_at_once() {
    let mut broker = Broker::start(5, &[]);
    let address = broker.address();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            broker.sim.spawn_client("producer", move |reactor| async move {
                let socket = connect(&reactor, address).await;
                let request = InitProducerIdRequest::default();
                let response = ask(&socket, &InitProducerIdRequest { transactional_id: None, ..request }, 4).await;
                assert_eq!(response.error_code, 0);
                response.producer_id
            })
        })
        .collect();
    broker.sim.run_until(|_| clients.iter().all(ringlog_reactor::sim::Client::is_finished));
    let mut ids: Vec<_> = clients.iter().filter_map(ringlog_reactor::sim::Client::take).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

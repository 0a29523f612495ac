//! Memory for large frames: a budget that slows clients down, and ends none of them.

use std::time::Duration;

use ringlog_reactor::sim::Client;

use crate::floods::count_answers;
use crate::{Broker, ask, connect, create_topic, fetch, frame, produce};

/// A value per partition with which a request is larger than three quarters of a shard's budget for frames, and is granted
/// memory in two steps.
const LARGE_VALUE_BYTES: usize = 900_000;
/// Much less than a connection waits for memory before it is closed.
const SOON: Duration = Duration::from_secs(10);

fn produce_large(broker: &mut Broker, clients: usize) {
    let address = broker.address();
    let clients: Vec<Client<bool>> = (0..clients)
        .map(|_| {
            broker.sim.spawn_client("producer", move |reactor| async move {
                let socket = connect(&reactor, address).await;
                let request = produce(LARGE_VALUE_BYTES);
                let Ok(response) = reactor.timeout(ask(&socket, &request, 7), SOON).await else { return false };
                response.responses[0].partition_responses.iter().all(|partition| partition.error_code == 0)
            })
        })
        .collect();
    broker.sim.run_until(|_| clients.iter().all(Client::is_finished));
    let good = clients.iter().filter(|client| client.take() == Some(true)).count();
    assert_eq!(good, clients.len(), "requests that were answered well");
}

#[test]
fn a_frame_does_not_wait_for_memory_that_it_holds_itself() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        create_topic(&connect(&reactor, address).await).await;
    });
    produce_large(&mut broker, 1);
    assert!(broker.stop() < Duration::from_secs(1));
}

#[test]
fn frames_that_have_half_arrived_do_not_wait_for_each_other_without_end() {
    for seed in 0..3 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            create_topic(&connect(&reactor, address).await).await;
        });
        produce_large(&mut broker, 16);
        assert!(broker.stop() < Duration::from_secs(1), "seed {seed}");
    }
}

/// Answers that are not read keep their memory, and there is little of it: each holds one batch at least, but hardly more.
#[test]
fn answers_to_a_client_that_does_not_read_are_small() {
    const FETCHES: usize = 16;
    for seed in 0..3 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        let bytes = broker.sim.block_on("stalled", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            create_topic(&socket).await;
            ask(&socket, &produce(LARGE_VALUE_BYTES), 7).await;
            socket.send(vec![frame(&fetch(0), 11).repeat(FETCHES)[..].into()]).await.expect("the broker is there");
            reactor.sleep(Duration::from_secs(1)).await;
            let (count, bytes) = count_answers(&socket, FETCHES).await;
            assert_eq!(count, FETCHES);
            bytes
        });
        let batch_bytes = LARGE_VALUE_BYTES + 100;
        assert!(bytes >= FETCHES * LARGE_VALUE_BYTES, "{bytes} bytes came");
        assert!(bytes <= (FETCHES + 8) * batch_bytes, "{bytes} bytes were kept for a client that did not read");
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

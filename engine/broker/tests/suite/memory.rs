//! Memory for large frames: a budget that slows clients down, and ends none of them.

use std::time::Duration;

use ringlog_reactor::sim::Client;

use crate::{Broker, ask, connect, create_topic, produce};

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

//! A broker whose clients leave it no descriptors, or no sockets.

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_reactor::Limits;
use ringlog_reactor::sim::{Client, SimOptions};

use crate::deletions::{broker_with_records, produce_each};
use crate::metrics::{admin_address, get};
use crate::{Broker, ask, connect};

/// What is told to have failed is not mended before a restart.
#[test]
fn writes_wait_for_descriptors() {
    for seed in 0..3 {
        let mut broker = broker_with_records(seed);
        let address = broker.address();
        broker.sim.set_descriptors_max(broker.node, 0);
        // What was taken is written to files that there are not yet.
        broker.sim.run_for(Duration::from_secs(30));
        broker.sim.set_descriptors_max(broker.node, 4096);
        broker.sim.block_on("other", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            assert_eq!(produce_each(&socket, 100).await, [ErrorCode::None; 8]);
        });
        assert!(broker.stop() < Duration::from_secs(2));
    }
}

#[test]
fn an_operator_comes_in_where_clients_have_taken_all_places() {
    const SOCKETS_MAX: usize = 24;
    let limits = Limits { sockets: SOCKETS_MAX, ..SimOptions::default().limits };
    let mut broker = Broker::start_with(1, &[], SimOptions { limits, ..SimOptions::default() });
    let (address, admin) = (broker.address(), admin_address(&broker));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            broker.sim.spawn_client("client", move |reactor| async move {
                let mut sockets = Vec::new();
                for _ in 0..20 {
                    sockets.push(connect(&reactor, address).await);
                }
                reactor.sleep(Duration::from_secs(20)).await;
                // Those that have a place are served all the time.
                let answered =
                    reactor.timeout(ask(&sockets[0], &MetadataRequest::default(), 1), Duration::from_secs(1)).await;
                answered.is_ok()
            })
        })
        .collect();
    broker.sim.run_for(Duration::from_secs(5));
    broker.sim.block_on("operator", move |reactor| async move {
        for path in ["/health/live", "/metrics", "/health/live", "/metrics"] {
            let answer = reactor.timeout(get(&reactor, admin, path), Duration::from_secs(1)).await;
            assert_eq!(answer.expect("in time").0, 200);
        }
    });
    broker.sim.run_until(|_| clients.iter().all(Client::is_finished));
    assert!(clients.iter().any(|client| client.take() == Some(true)));
}

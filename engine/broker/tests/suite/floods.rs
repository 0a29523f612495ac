//! Clients that ask for more at once than a shard can have under way: they wait, and nobody is harmed.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join;
use ringlog_reactor::sim::{Client, SimOptions};
use ringlog_reactor::{Limits, Socket};

use crate::{Broker, ask, connect, create_topic, fetch, frame};

/// Requests that a client sends in one go: many more than a connection may have in flight.
const PIPELINED: usize = 1000;

/// So many fetches of one partition, as they are sent.
fn pipeline(wait_ms: i32) -> Vec<u8> {
    let mut request = fetch(wait_ms);
    request.topics[0].partitions.truncate(1);
    frame(&request, 11).repeat(PIPELINED)
}

/// Reads answers until so many have come or the connection ends; tells how many came, and their bytes.
pub(crate) async fn count_answers(socket: &Socket, most: usize) -> (usize, usize) {
    let (mut bytes, mut count, mut total) = (Vec::new(), 0, 0);
    while count < most {
        match socket.recv().await {
            Ok(received) if !received.is_empty() => bytes.extend_from_slice(&received),
            _ => break,
        }
        while let Some(size) = bytes.first_chunk::<4>() {
            let end = 4 + usize::try_from(i32::from_be_bytes(*size)).expect("a size");
            if bytes.len() < end {
                break;
            }
            bytes.drain(..end);
            count += 1;
            total += end;
        }
    }
    (count, total)
}

/// Far fewer tasks than requests arrive; spawning one too many would panic.
#[test]
fn more_requests_than_a_shard_has_tasks_for_wait_their_turn() {
    let limits = Limits { tasks: 10_000, sockets: 200, receive_buffers: 64, ..Limits::default() };
    let mut broker = Broker::start_with(7, &[], SimOptions { limits, ..SimOptions::default() });
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        create_topic(&connect(&reactor, address).await).await;
    });
    let clients: Vec<Client<()>> = (0..100)
        .map(|_| {
            broker.sim.spawn_client("flood", move |reactor| async move {
                let socket = connect(&reactor, address).await;
                let _ = reactor.timeout(socket.send(vec![pipeline(200)[..].into()]), Duration::from_secs(3)).await;
            })
        })
        .collect();
    broker.sim.run_for(Duration::from_secs(1));
    broker.sim.block_on("other", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let asked = reactor.timeout(ask(&socket, &fetch(0), 11), Duration::from_secs(2)).await;
        assert_eq!(asked.expect("others are served").error_code, 0);
    });
    broker.sim.run_until(|_| clients.iter().all(Client::is_finished));
    assert!(broker.stop() < Duration::from_secs(12));
}

/// What has arrived is answered in full, however much of it came at once, and although the client sends no more.
#[test]
fn a_long_pipeline_is_answered_to_its_end() {
    for seed in 0..5 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        let answered = broker.sim.block_on("client", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            create_topic(&socket).await;
            let send = pin!(async {
                socket.send(vec![pipeline(0)[..].into()]).await.expect("the broker reads all of it");
                socket.shutdown().await.expect("the connection is there");
            });
            let ((), (answered, _)) = join(send, count_answers(&socket, usize::MAX)).await;
            answered
        });
        assert_eq!(answered, PIPELINED, "seed {seed}");
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

//! Requests whose time runs out while the disk stands still.

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::produce::{ProduceRequest, ProduceResponse};

use ringlog_reactor::{Reactor, Socket};
use ringlog_storage::batch::BatchBuilder;
use ringlog_storage::batch::codec::Codec;

use crate::{Broker, PARTITIONS, ask, connect, create_topic, produce, produce_batch, receive, send};

/// A shard has room for four such batches that are not on the disk.
const VALUE_BYTES: usize = 900_000;
const STALL: Duration = Duration::from_secs(100);

fn codes(response: &ProduceResponse) -> Vec<i16> {
    response.responses[0].partition_responses.iter().map(|partition| partition.error_code).collect()
}

/// Makes the topic, has journals and folders made, and lets the disk stand still from then on.
fn stall(broker: &mut Broker) {
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        assert_eq!(codes(&ask(&socket, &produce(10), 7).await), [0; 8]);
    });
    broker.sim.disk(broker.node).set_options(|options| options.flush_latency = STALL..=STALL);
}

/// Ends what [`stall`] began, and waits until the disk has caught up.
fn resume(broker: &mut Broker) {
    let flush_latency = Duration::from_micros(50)..=Duration::from_micros(200);
    broker.sim.disk(broker.node).set_options(|options| options.flush_latency = flush_latency);
    broker.sim.run_for(2 * STALL);
}

/// Every connection is told in time that nothing was committed.
async fn expect_timeouts(reactor: &Reactor, sockets: &[Socket]) {
    for socket in sockets {
        let answer = reactor.timeout(receive::<ProduceRequest>(socket, 7), Duration::from_secs(3)).await;
        let answer = answer.expect("answered in time").expect("the connection stays");
        assert_eq!(codes(&answer), [ErrorCode::RequestTimedOut.code(); 8]);
    }
}

/// A produce request is answered when its time is over, be its batches in the log or not; what has no place in the log by
/// then never gets one.
#[test]
fn a_produce_request_is_answered_in_its_time() {
    for seed in 0..3 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        stall(&mut broker);
        broker.sim.block_on("producer", move |reactor| async move {
            let sockets = [connect(&reactor, address).await, connect(&reactor, address).await];
            for socket in &sockets {
                send(socket, &produce(VALUE_BYTES), 7).await;
            }
            expect_timeouts(&reactor, &sockets).await;
        });
        resume(&mut broker);
        broker.sim.block_on("after", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            let answer = ask(&socket, &produce(10), 7).await;
            assert_eq!(codes(&answer), [0; 8]);
            let partitions = &answer.responses[0].partition_responses;
            let appended: i64 = partitions.iter().map(|partition| partition.base_offset - 1).sum();
            assert!(appended > 0 && appended <= i64::from(PARTITIONS), "seed {seed}: {appended} batches were appended");
        });
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

/// A batch that comes compressed and is kept plain waits for the room that it takes then. Time stands still while a shard
/// finds it too large again and again.
#[test]
fn a_batch_that_grows_waits_for_the_room_that_it_needs() {
    let mut broker = Broker::start(1, &["compression.type=uncompressed"]);
    let address = broker.address();
    stall(&mut broker);
    broker.sim.block_on("producer", move |reactor| async move {
        let sockets = [connect(&reactor, address).await, connect(&reactor, address).await];
        // All of these have room, and some of those have none, of whose coming nothing can be seen.
        send(&sockets[0], &produce(400_000), 7).await;
        let grows = produce_batch(PARTITIONS, 1_000_000, BatchBuilder::new().compression(Codec::Gzip));
        send(&sockets[1], &grows, 7).await;
        expect_timeouts(&reactor, &sockets).await;
    });
    resume(&mut broker);
    assert!(broker.stop() < Duration::from_secs(1));
}

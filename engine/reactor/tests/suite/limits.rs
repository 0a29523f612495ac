//! What happens at the limits: waiting, mostly.

use std::io::ErrorKind;
use std::time::Duration;

use ringlog_reactor::{Create, Durability, Limits, ListenOptions, OpenOptions};

use crate::sockets::{listen, pair, receive};
use crate::{Here, Setup, blocks, on_every_backend, pattern};

on_every_backend! {
    Setup { shards: 1, limits: Limits {
        file_operations: 2,
        sockets: 9,
        receive_buffers: 4,
        receive_buffer_bytes: 4096,
        receive_queue_buffers: 2,
        accept_queue: 2,
        ring_entries: 4,
        posix_workers: 1,
        polls_per_turn: 3,
        ..Limits::default()
    } };
    file_operations_wait_for_one_another,
    accepting_waits_for_a_socket_to_close,
    connecting_over_the_limit_fails,
    an_empty_pool_makes_receives_wait,
    a_slow_reader_does_not_empty_the_pool,
    a_small_ring_carries_many_operations,
}

async fn file_operations_wait_for_one_another(here: Here) {
    let options = OpenOptions { write: true, create: Create::New, direct: false };
    let file = here.reactor.open(here.path("f"), options).await.expect("a new file");
    let write = |at: u8| {
        let file = file.clone();
        here.reactor.spawn(async move { file.write(vec![blocks(1, at)], u64::from(at) * 4096, Durability::None).await })
    };
    let writes: Vec<_> = (0..40).map(write).collect();
    // Some are dropped while they wait, and pass their turn on.
    for (at, write) in writes.into_iter().enumerate() {
        if at % 3 == 1 {
            write.cancel();
        } else {
            write.await.expect("the disk has room");
        }
    }
    assert_eq!(file.len().await.expect("it is open"), 40 * 4096);
}

async fn accepting_waits_for_a_socket_to_close(here: Here) {
    let listener = listen(&here.reactor).await;
    let address = listener.local_addr();
    // The listener, and four connections with both their ends here.
    let mut kept = Vec::new();
    for _ in 0..4 {
        let client = here.reactor.connect(address).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("a connection comes");
        kept.push((client, server));
    }
    here.reactor.timeout(listener.accept(), Duration::from_millis(5)).await.expect_err("the limit is reached");
    let (last, _) = kept.pop().expect("there are four");
    let client = here.reactor.connect(address).await.expect("a place is free");
    let accept = here.reactor.spawn(async move { listener.accept().await.map(drop) });
    here.reactor.sleep(Duration::from_millis(1)).await;
    assert!(!accept.is_finished(), "the limit is reached again");
    drop(last);
    accept.await.expect("a connection waits");
    drop(client);
}

async fn connecting_over_the_limit_fails(here: Here) {
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(pair(&here.reactor).await);
    }
    let last = listen(&here.reactor).await;
    let error = here.reactor.connect(last.local_addr()).await.expect_err("nine are open");
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let error = here.reactor.listen(address, ListenOptions::default()).await.expect_err("nine are open");
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    drop(kept.pop());
    here.reactor.connect(last.local_addr()).await.expect("a place is free");
}

async fn an_empty_pool_makes_receives_wait(here: Here) {
    const BYTES: usize = 200_000;
    let (client, server) = pair(&here.reactor).await;
    let (other_client, other_server) = pair(&here.reactor).await;
    let sending = here.reactor.spawn(async move {
        client.send(vec![pattern(BYTES)]).await.expect("the peer receives");
        client
    });
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(server.recv().await.expect("the peer is there"));
    }
    other_client.send(vec![b"hello"[..].into()]).await.expect("the peer is there");
    here.reactor.timeout(other_server.recv(), Duration::from_millis(5)).await.expect_err("the pool is empty");
    here.reactor.timeout(server.recv(), Duration::from_millis(5)).await.expect_err("the pool is empty");
    let mut all: Vec<u8> = held.iter().flat_map(|received| received.to_vec()).collect();
    drop(held);
    let hello = other_server.recv().await.expect("the peer is there");
    assert!(b"hello".starts_with(&hello) && !hello.is_empty());
    drop(hello);
    while all.len() < BYTES {
        all.extend_from_slice(&server.recv().await.expect("the peer is there"));
    }
    assert!(all == *pattern(BYTES));
    sending.await;
}

async fn a_slow_reader_does_not_empty_the_pool(here: Here) {
    const BYTES: usize = 100_000;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let (client, server) = pair(&here.reactor).await;
        client.send(vec![b"first"[..].into()]).await.expect("the peer is there");
        assert_eq!(receive(&server, 5).await, b"first");
        // From now on nobody reads here, and the kernel may bring as much as it likes.
        let sending = here.reactor.spawn(async move {
            client.send(vec![pattern(BYTES)]).await.expect("the peer receives");
            client
        });
        slow.push((server, sending));
    }
    let (client, server) = pair(&here.reactor).await;
    for round in 0..100u32 {
        client.send(vec![round.to_be_bytes()[..].into()]).await.expect("the peer is there");
        assert_eq!(receive(&server, 4).await, round.to_be_bytes());
    }
    for (server, sending) in slow {
        assert!(receive(&server, BYTES).await == *pattern(BYTES));
        sending.await;
    }
}

async fn a_small_ring_carries_many_operations(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    let timers: Vec<_> = (0..100)
        .map(|_| {
            let reactor = here.reactor.clone();
            here.reactor.spawn(async move { reactor.sleep(Duration::from_micros(50)).await })
        })
        .collect();
    for at in 0..200u8 {
        here.reactor.create_dir(here.path(&format!("d{at}"))).await.expect("a free name");
        client.send(vec![[at][..].into()]).await.expect("the peer is there");
        // A receive that is dropped at once asks for nothing but a place in the ring.
        let _ = here.reactor.timeout(server.recv(), Duration::ZERO).await;
    }
    for timer in timers {
        timer.await;
    }
    assert_eq!(here.reactor.read_dir(&here.directory).await.expect("it exists").len(), 200);
}

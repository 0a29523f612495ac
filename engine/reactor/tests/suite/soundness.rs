//! Futures that are dropped in flight: the operation keeps its buffer, and the reactor goes on.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use ringlog_buffer::{BLOCK_BYTES, Chunk, Slice};
use ringlog_reactor::{Create, Durability, OpenOptions};

use crate::sockets::pair;
use crate::{Here, Setup, blocks, on_every_backend, pattern};

on_every_backend! {
    Setup::shards(1);
    a_dropped_read_keeps_its_buffer,
    a_dropped_write_runs_to_its_end,
    a_dropped_open_closes_its_file,
    a_dropped_receive_into_keeps_its_buffer,
    a_dropped_send_keeps_its_slices,
    a_dropped_connect_closes_its_socket,
    a_file_closes_after_its_last_operation,
    a_shard_may_end_with_everything_in_flight,
}

const NEW: OpenOptions = OpenOptions { write: true, create: Create::New, direct: true };

/// Begins a future's operation, and drops the future.
async fn begin_and_drop<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn a_dropped_read_keeps_its_buffer(here: Here) {
    let file = here.reactor.open(here.path("f"), NEW).await.expect("a new file");
    file.write(vec![blocks(64, 9)], 0, Durability::Dsync).await.expect("the disk has room");
    for _ in 0..200 {
        begin_and_drop(file.read(Chunk::with_capacity(64 * BLOCK_BYTES), 0, 64 * BLOCK_BYTES)).await;
        // What the allocator hands out now is not what the kernel writes to.
        let probe = Chunk::with_capacity(64 * BLOCK_BYTES);
        begin_and_drop(here.reactor.yield_now()).await;
        let mut probe = probe;
        assert!(probe.spare_mut().iter().all(|byte| *byte == 0));
    }
    let (count, chunk) = file.read(Chunk::with_capacity(BLOCK_BYTES), 0, BLOCK_BYTES).await;
    assert_eq!(count.expect("the file is readable"), BLOCK_BYTES);
    assert_eq!(*chunk, *blocks(1, 9));
}

async fn a_dropped_write_runs_to_its_end(here: Here) {
    let file = here.reactor.open(here.path("f"), NEW).await.expect("a new file");
    for at in 0..50u8 {
        let slice = blocks(4, at);
        let ended = begin_and_drop(file.write(vec![slice], u64::from(at) * 16384, Durability::Dsync)).await;
        assert!(ended.is_none(), "a disk takes its time");
    }
    for at in 0..50u8 {
        loop {
            let (count, chunk) = file.read(Chunk::with_capacity(16384), u64::from(at) * 16384, 16384).await;
            count.expect("the file is readable");
            if *chunk == *blocks(4, at) {
                break;
            }
        }
    }
}

async fn a_dropped_open_closes_its_file(here: Here) {
    let path = here.path("f");
    let file = here.reactor.open(&path, NEW).await.expect("a new file");
    // More than a process may have open at once.
    for _ in 0..300 {
        for _ in 0..100 {
            begin_and_drop(here.reactor.open(&path, OpenOptions::default())).await;
        }
        file.len().await.expect("it is open");
        here.reactor.yield_now().await;
        file.sync_data().await.expect("it is open");
    }
    here.reactor.open(&path, OpenOptions::default()).await.expect("descriptors are left");
}

async fn a_dropped_receive_into_keeps_its_buffer(here: Here) {
    for _ in 0..50 {
        let (client, server) = pair(&here.reactor).await;
        begin_and_drop(server.recv_into(Chunk::with_capacity(1 << 16), 1 << 16)).await;
        let mut probe = Chunk::with_capacity(1 << 16);
        client.send(vec![pattern(1 << 16)]).await.expect("the peer is there");
        here.reactor.yield_now().await;
        assert!(probe.spare_mut().iter().all(|byte| *byte == 0));
    }
}

async fn a_dropped_send_keeps_its_slices(here: Here) {
    for _ in 0..10 {
        let (client, server) = pair(&here.reactor).await;
        // More than fits between the two, so that a part of it is always in flight.
        let ended = begin_and_drop(client.send(vec![pattern(16 << 20), pattern(1 << 20)])).await;
        assert!(ended.is_none(), "nobody receives");
        drop(client);
        let expected = pattern(17 << 20);
        let mut count = 0;
        loop {
            match server.recv().await {
                Ok(received) if !received.is_empty() => {
                    let from = count.min(16 << 20);
                    if count + received.len() <= 16 << 20 {
                        assert!(*received == expected[from..from + received.len()]);
                    }
                    count += received.len();
                }
                _ => break,
            }
        }
    }
}

async fn a_dropped_connect_closes_its_socket(here: Here) {
    let listener = crate::sockets::listen(&here.reactor).await;
    for _ in 0..50 {
        begin_and_drop(here.reactor.connect(listener.local_addr())).await;
        here.reactor.yield_now().await;
    }
    let client = here.reactor.connect(listener.local_addr()).await.expect("it listens");
    client.shutdown().await.expect("it is open");
}

async fn a_file_closes_after_its_last_operation(here: Here) {
    for at in 0..20u8 {
        let path = here.path(&format!("f{at}"));
        let file = here.reactor.open(&path, NEW).await.expect("a new file");
        begin_and_drop(file.write(vec![blocks(16, at)], 0, Durability::Dsync)).await;
        drop(file);
        // Its number may be another file's by now; the write must not end there.
        let other = here.reactor.open(here.path(&format!("g{at}")), NEW).await.expect("a new file");
        let file = here.reactor.open(&path, OpenOptions::default()).await.expect("it exists");
        while file.len().await.expect("it is open") < 16 * 4096 {
            here.reactor.yield_now().await;
        }
        assert!(other.is_empty().await.expect("it is open"));
    }
}

async fn a_shard_may_end_with_everything_in_flight(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    let file = here.reactor.open(here.path("f"), NEW).await.expect("a new file");
    let reactor = here.reactor.clone();
    here.reactor.spawn(async move {
        let _ = reactor.connect(std::net::SocketAddr::from(([127, 0, 0, 1], 9))).await;
    });
    let receiver = server.clone();
    here.reactor.spawn(async move { receiver.recv().await.map(drop) });
    let sender = client.clone();
    here.reactor.spawn(async move { sender.send(vec![pattern(8 << 20)]).await });
    here.reactor.spawn(async move { server.send(vec![pattern(16 << 20)]).await });
    here.reactor.spawn(async move { client.recv_into(Chunk::with_capacity(1 << 20), 1 << 20).await.0 });
    here.reactor.spawn(async move { file.write(vec![blocks(256, 1), Slice::default()], 0, Durability::Dsync).await });
    let reactor = here.reactor.clone();
    here.reactor.spawn(async move { reactor.sleep(std::time::Duration::from_hours(1)).await });
    here.reactor.yield_now().await;
    here.reactor.yield_now().await;
}

//! Listeners and connections.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use ringlog_buffer::{Chunk, Slice};
use ringlog_reactor::{ListenOptions, Listener, Reactor, Socket};

use crate::{Here, Setup, on_every_backend, pattern};

on_every_backend! {
    Setup::shards(1);
    small_frames_are_echoed,
    a_stream_arrives_whole_through_the_pool,
    a_stream_arrives_whole_in_its_own_buffers,
    both_ways_to_receive_take_turns,
    many_slices_are_sent_in_order,
    one_side_may_close_before_the_other,
    many_connections_are_served,
    a_dropped_receive_loses_no_bytes,
    a_dropped_accept_loses_no_connection,
    a_reader_that_comes_late_gets_everything,
    nobody_listens,
    a_used_port_is_refused,
    sending_to_a_peer_that_is_gone_fails,
    a_closed_socket_ends_the_peers_stream,
    the_end_of_a_peer_is_known_before_its_last_words_are_read,
    a_reset_is_known_without_a_receive,
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) async fn listen(reactor: &Reactor) -> Listener {
    reactor.listen(loopback(), ListenOptions::default()).await.expect("port 0 takes a free port")
}

/// Two ends of one connection.
pub(crate) async fn pair(reactor: &Reactor) -> (Socket, Socket) {
    let listener = listen(reactor).await;
    let connect = reactor.spawn({
        let (reactor, address) = (reactor.clone(), listener.local_addr());
        async move { reactor.connect(address).await.expect("it listens") }
    });
    let (accepted, _) = listener.accept().await.expect("a connection comes");
    (connect.await, accepted)
}

/// Receives until `bytes` are there, or the end.
pub(crate) async fn receive(socket: &Socket, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        let received = socket.recv().await.expect("the peer is there");
        if received.is_empty() {
            break;
        }
        all.extend_from_slice(&received);
    }
    all
}

async fn echo(socket: Socket) {
    loop {
        let Ok(received) = socket.recv().await else { return };
        if received.is_empty() || socket.send(vec![received[..].into()]).await.is_err() {
            return;
        }
    }
}

async fn small_frames_are_echoed(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    let echo = here.reactor.spawn(echo(server));
    for round in 0..200u32 {
        let frame = round.to_be_bytes();
        client.send(vec![frame[..].into()]).await.expect("the echo is there");
        assert_eq!(receive(&client, 4).await, frame);
    }
    client.shutdown().await.expect("it is open");
    echo.await;
    assert_eq!(receive(&client, 1).await, b"");
}

const STREAM_BYTES: usize = 5_000_011;

async fn a_stream_arrives_whole_through_the_pool(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    let sending = here.reactor.spawn(async move { client.send(vec![pattern(STREAM_BYTES)]).await });
    assert_eq!(receive(&server, usize::MAX).await, *pattern(STREAM_BYTES));
    sending.await.expect("it was received");
}

async fn a_stream_arrives_whole_in_its_own_buffers(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    let sending = here.reactor.spawn(async move { client.send(vec![pattern(STREAM_BYTES)]).await });
    let mut chunk = Chunk::with_capacity(STREAM_BYTES);
    while chunk.len() < STREAM_BYTES {
        let bytes = (STREAM_BYTES - chunk.len()).min(1 << 20);
        let (count, filled) = server.recv_into(chunk, bytes).await;
        assert!((1..=bytes).contains(&count.expect("the peer is there")));
        chunk = filled;
    }
    assert!(*chunk == *pattern(STREAM_BYTES));
    sending.await.expect("it was received");
    let (count, _) = server.recv_into(Chunk::with_capacity(1), 1).await;
    assert_eq!(count.expect("the peer has closed"), 0);
}

async fn both_ways_to_receive_take_turns(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    let sending = here.reactor.spawn(async move { client.send(vec![pattern(STREAM_BYTES)]).await });
    let mut all = Vec::new();
    let mut turn = 0;
    while all.len() < STREAM_BYTES {
        turn += 1;
        // Runs of either kind, so that the kernel's receive is armed in each of its ways.
        if turn % 16 < 9 {
            all.extend_from_slice(&server.recv().await.expect("the peer is there"));
        } else {
            let (count, chunk) = server.recv_into(Chunk::with_capacity(100_000), 100_000).await;
            assert_eq!(count.expect("the peer is there"), chunk.len());
            all.extend_from_slice(&chunk);
        }
    }
    assert!(all == *pattern(STREAM_BYTES));
    sending.await.expect("it was received");
}

async fn many_slices_are_sent_in_order(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    let whole = pattern(700_000);
    let mut slices: Vec<Slice> = (0..700).map(|at| whole.slice(at * 1000..(at + 1) * 1000)).collect();
    slices.insert(350, Slice::default());
    slices.push(Slice::default());
    let sending = here.reactor.spawn(async move {
        client.send(slices).await.expect("the peer receives");
        client.send(Vec::new()).await.expect("nothing is quickly sent");
        client.send(vec![Slice::default()]).await.expect("nothing is quickly sent");
        client
    });
    assert!(receive(&server, 700_000).await == *whole);
    sending.await;
}

async fn one_side_may_close_before_the_other(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    client.send(vec![b"question"[..].into()]).await.expect("the peer is there");
    client.shutdown().await.expect("it is open");
    assert_eq!(receive(&server, usize::MAX).await, b"question");
    assert!(server.recv().await.expect("the end stays the end").is_empty());
    server.send(vec![b"answer"[..].into()]).await.expect("the peer still receives");
    drop(server);
    assert_eq!(receive(&client, usize::MAX).await, b"answer");
    client.send(vec![b"more"[..].into()]).await.expect_err("it is shut down");
}

async fn many_connections_are_served(here: Here) {
    const CONNECTIONS: u32 = 200;
    let listener = listen(&here.reactor).await;
    let address = listener.local_addr();
    let server = here.reactor.clone();
    here.reactor.spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("connections come");
            server.spawn(echo(socket));
        }
    });
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let reactor = here.reactor.clone();
            here.reactor.spawn(async move {
                let socket = reactor.connect(address).await.expect("it listens");
                for round in 0..10u32 {
                    let frame = (client * 1000 + round).to_be_bytes();
                    socket.send(vec![frame[..].into()]).await.expect("the echo is there");
                    assert_eq!(receive(&socket, 4).await, frame);
                }
            })
        })
        .collect();
    for client in clients {
        client.await;
    }
}

async fn a_dropped_receive_loses_no_bytes(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    let mut all = Vec::new();
    for round in 0..50u8 {
        let waited = here.reactor.timeout(server.recv(), Duration::from_micros(u64::from(round) * 7)).await;
        if let Ok(received) = waited {
            all.extend_from_slice(&received.expect("the peer is there"));
        }
        client.send(vec![[round][..].into()]).await.expect("the peer is there");
    }
    all.extend_from_slice(&receive(&server, 50 - all.len()).await);
    assert_eq!(all, (0..50).collect::<Vec<u8>>());
}

async fn a_dropped_accept_loses_no_connection(here: Here) {
    let listener = listen(&here.reactor).await;
    let address = listener.local_addr();
    let mut clients = Vec::new();
    let mut accepted = Vec::new();
    for round in 0..30u64 {
        if let Ok(connection) = here.reactor.timeout(listener.accept(), Duration::from_micros(round * 11)).await {
            accepted.push(connection.expect("a connection comes"));
        }
        clients.push(here.reactor.connect(address).await.expect("it listens"));
    }
    while accepted.len() < clients.len() {
        accepted.push(listener.accept().await.expect("a connection comes"));
    }
    let peers: std::collections::BTreeSet<_> = accepted.iter().map(|(_, peer)| *peer).collect();
    assert_eq!(peers.len(), clients.len());
}

async fn a_reader_that_comes_late_gets_everything(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    client.send(vec![b"first"[..].into()]).await.expect("the peer is there");
    assert_eq!(receive(&server, 5).await, b"first");
    let sending = here.reactor.spawn(async move {
        for at in 0..1000 {
            client.send(vec![pattern(1000 + at)]).await.expect("the peer is there");
        }
    });
    here.reactor.sleep(Duration::from_millis(20)).await;
    let expected: Vec<u8> = (0..1000).flat_map(|at| pattern(1000 + at).to_vec()).collect();
    assert!(receive(&server, usize::MAX).await == expected);
    sending.await;
}

async fn nobody_listens(here: Here) {
    let listener = listen(&here.reactor).await;
    let address = listener.local_addr();
    drop(listener);
    // Where the kernel closes it, that takes a moment.
    let error = loop {
        match here.reactor.connect(address).await {
            Ok(_) => here.reactor.yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset),
        "nobody listens: {error}"
    );
}

async fn a_used_port_is_refused(here: Here) {
    let listener = listen(&here.reactor).await;
    let again = here.reactor.listen(listener.local_addr(), ListenOptions::default()).await;
    assert_eq!(again.expect_err("it is used").kind(), ErrorKind::AddrInUse);
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let first = here.reactor.listen(loopback(), shared).await.expect("port 0 takes a free port");
    here.reactor.listen(first.local_addr(), shared).await.expect("both share it");
}

async fn sending_to_a_peer_that_is_gone_fails(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    drop(server);
    let error = loop {
        if let Err(error) = client.send(vec![pattern(100_000)]).await {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
}

async fn a_closed_socket_ends_the_peers_stream(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    // A receive that waits does not keep the socket open once its future is gone.
    here.reactor.timeout(client.recv(), Duration::from_millis(1)).await.expect_err("nothing comes");
    drop(client);
    assert!(server.recv().await.expect("it was closed in order").is_empty());
}

async fn the_end_of_a_peer_is_known_before_its_last_words_are_read(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    client.send(vec![b"last words"[..].into()]).await.expect("the peer is there");
    here.reactor.timeout(server.hang_up(), Duration::from_millis(5)).await.expect_err("the peer may go on");
    client.shutdown().await.expect("it is open");
    server.hang_up().await.expect("it was closed in order");
    server.hang_up().await.expect("the end stays the end");
    assert_eq!(receive(&server, usize::MAX).await, b"last words");
    server.send(vec![b"answer"[..].into()]).await.expect("the peer still receives");
    assert_eq!(receive(&client, 6).await, b"answer");
}

async fn a_reset_is_known_without_a_receive(here: Here) {
    let (client, server) = pair(&here.reactor).await;
    server.send(vec![b"unread"[..].into()]).await.expect("the peer is there");
    let waiting = here.reactor.spawn(async move { server.hang_up().await });
    // What has arrived and is not read makes a reset of the end.
    here.reactor.sleep(Duration::from_millis(5)).await;
    drop(client);
    let error = waiting.await.expect_err("it was not closed in order");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

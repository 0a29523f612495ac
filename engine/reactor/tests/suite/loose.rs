//! Sockets that go from shard to shard.

use std::time::Duration;

use ringlog_buffer::Chunk;
use ringlog_reactor::{Limits, LooseSocket, Reactor, Socket};

use crate::sockets::{pair, receive};
use crate::{Here, Setup, on_every_backend, pattern};

on_every_backend! {
    Setup::shards(2);
    a_stream_arrives_once_and_in_order_on_whichever_shard,
    answers_leave_from_whichever_shard,
    what_was_received_ahead_goes_along,
    the_end_of_a_peer_is_known_to_the_next_shard,
    a_socket_that_is_dropped_on_its_way_closes,
}

mod with_few_sockets {
    use super::*;

    /// Of the first shard: a listener and the two ends of a connection.
    const SOCKETS: usize = 3;

    on_every_backend! {
        Setup { shards: 2, limits: Limits { sockets: SOCKETS, ..Limits::default() } };
        a_socket_is_taken_up_when_there_is_room,
    }
}

/// A socket on its way, and what was received so far; or word that there is no more.
type Message = Option<(LooseSocket, Vec<u8>)>;
type Shard = Here<Message>;

async fn pass_on(here: &Shard, socket: &Socket, received: Vec<u8>) {
    let loose = socket.let_go().await.expect("it is open");
    here.mesh.send(1 - here.mesh.index(), Some((loose, received))).await;
}

async fn take_up(here: &Shard) -> Option<(Socket, Vec<u8>)> {
    let (_, message) = here.mesh.recv().await;
    let (loose, received) = message?;
    Some((here.reactor.take_up(loose).await.expect("there is room"), received))
}

const STREAM_BYTES: usize = 2_000_003;
/// Bytes that a shard receives before it passes the socket on, in turn.
const SHARES: [usize; 5] = [1, 70_000, 10, 200_000, 4097];

/// Receives a share in one of several ways: each leaves something else under way for the socket. Answers whether more may come.
async fn receive_share(reactor: &Reactor, socket: &Socket, share: usize, received: &mut Vec<u8>) -> bool {
    let until = received.len() + share;
    while received.len() < until {
        let before = received.len();
        if share == SHARES[3] {
            let (count, chunk) = socket.recv_into(Chunk::with_capacity(share), share).await;
            count.expect("the peer is there");
            received.extend_from_slice(&chunk);
        } else {
            received.extend_from_slice(&socket.recv().await.expect("the peer is there"));
        }
        if received.len() == before {
            return false;
        }
    }
    if share == SHARES[1] {
        // Somebody has given up waiting for the end, and for more.
        let moment = Duration::from_micros(50);
        let _ = reactor.timeout(socket.hang_up(), moment).await;
        if let Ok(more) = reactor.timeout(socket.recv(), moment).await {
            received.extend_from_slice(&more.expect("the peer is there"));
        }
    }
    true
}

async fn a_stream_arrives_once_and_in_order_on_whichever_shard(here: Shard) {
    let mut sending = None;
    if here.mesh.index() == 0 {
        let (client, server) = pair(&here.reactor).await;
        let reactor = here.reactor.clone();
        sending = Some(here.reactor.spawn(async move {
            for piece in pattern(STREAM_BYTES).chunks(50_000) {
                client.send(vec![piece.into()]).await.expect("it is received");
                reactor.yield_now().await;
            }
        }));
        pass_on(&here, &server, Vec::new()).await;
    }
    for share in SHARES.iter().cycle() {
        let Some((socket, mut received)) = take_up(&here).await else { break };
        if !receive_share(&here.reactor, &socket, *share, &mut received).await {
            assert!(received == *pattern(STREAM_BYTES), "bytes are lost, or come twice, or out of order");
            here.mesh.send(1 - here.mesh.index(), None).await;
            break;
        }
        pass_on(&here, &socket, received).await;
    }
    if let Some(sending) = sending {
        sending.await;
    }
}

async fn answers_leave_from_whichever_shard(here: Shard) {
    const ROUNDS: u32 = 40;
    let mut asking = None;
    if here.mesh.index() == 0 {
        let (client, server) = pair(&here.reactor).await;
        asking = Some(here.reactor.spawn(async move {
            for round in 0..2 * ROUNDS {
                let frame = round.to_be_bytes();
                client.send(vec![frame[..].into()]).await.expect("somebody has the socket");
                assert_eq!(receive(&client, 4).await, frame);
            }
        }));
        pass_on(&here, &server, Vec::new()).await;
    }
    for _ in 0..ROUNDS {
        let (socket, _) = take_up(&here).await.expect("the other passes it on");
        let asked = receive(&socket, 4).await;
        socket.send(vec![asked[..].into()]).await.expect("the client is there");
        pass_on(&here, &socket, Vec::new()).await;
    }
    if let Some(asking) = asking {
        asking.await;
    }
}

/// More is received for a socket than anybody has asked for, and something is left of what was asked for.
async fn what_was_received_ahead_goes_along(here: Shard) {
    const BYTES: usize = 100_000;
    if here.mesh.index() == 1 {
        let (socket, _) = take_up(&here).await.expect("the other passes it on");
        let rest = receive(&socket, BYTES - 6 + 5).await;
        assert!(rest == [&pattern(BYTES)[6..], b"later"].concat(), "bytes are lost, or come twice, or out of order");
        here.mesh.send(0, None).await;
        return;
    }
    let (client, server) = pair(&here.reactor).await;
    // Small receives in a row, so that buffers are filled ahead of the next.
    for _ in 0..6 {
        client.send(vec![b"x"[..].into()]).await.expect("it is open");
        assert_eq!(receive(&server, 1).await, b"x");
    }
    client.send(vec![pattern(BYTES)]).await.expect("it is open");
    let (count, chunk) = server.recv_into(Chunk::with_capacity(6), 6).await;
    assert_eq!(&chunk[..count.expect("it is open")], &pattern(BYTES)[..chunk.len()]);
    let mut first = chunk.to_vec();
    while first.len() < 6 {
        let (count, chunk) = server.recv_into(Chunk::with_capacity(6), 6 - first.len()).await;
        count.expect("it is open");
        first.extend_from_slice(&chunk);
    }
    pass_on(&here, &server, Vec::new()).await;
    client.send(vec![b"later"[..].into()]).await.expect("it is open");
    assert!(here.mesh.recv().await.1.is_none(), "the other has received everything");
}

async fn the_end_of_a_peer_is_known_to_the_next_shard(here: Shard) {
    if here.mesh.index() == 1 {
        let (socket, _) = take_up(&here).await.expect("the other passes it on");
        socket.hang_up().await.expect("the peer has closed in good order");
        assert_eq!(receive(&socket, usize::MAX).await, b"last words");
        return;
    }
    let (client, server) = pair(&here.reactor).await;
    client.send(vec![b"last words"[..].into()]).await.expect("it is open");
    client.shutdown().await.expect("it is open");
    server.hang_up().await.expect("the peer has closed in good order");
    // The end is among what was received and not looked at.
    let mut received = server.recv().await.expect("it is open").to_vec();
    assert!(b"last words".starts_with(&received));
    let (again, other) = pair(&here.reactor).await;
    again.send(vec![b"last words"[..].into()]).await.expect("it is open");
    again.shutdown().await.expect("it is open");
    other.hang_up().await.expect("the peer has closed in good order");
    pass_on(&here, &other, Vec::new()).await;
    received.extend(receive(&server, usize::MAX).await);
    assert_eq!(received, b"last words");
    assert_eq!(receive(&again, 1).await, b"", "the other shard closes it");
}

async fn a_socket_that_is_dropped_on_its_way_closes(here: Shard) {
    if here.mesh.index() == 1 {
        let (_, message) = here.mesh.recv().await;
        drop(message);
        return;
    }
    let (client, server) = pair(&here.reactor).await;
    pass_on(&here, &server, Vec::new()).await;
    drop(server);
    assert_eq!(receive(&client, 1).await, b"");
    assert_eq!(here.reactor.counts().sockets, 1, "the client alone is left");
    // The way is given up as soon as it has begun.
    let (other, server) = pair(&here.reactor).await;
    let _ = here.reactor.timeout(server.let_go(), Duration::ZERO).await;
    drop(server);
    assert_eq!(receive(&other, 1).await, b"");
    drop((client, other));
    assert_eq!(here.reactor.counts().sockets, 0);
}

async fn a_socket_is_taken_up_when_there_is_room(here: Shard) {
    if here.mesh.index() == 1 {
        let (_, message) = here.mesh.recv().await;
        let (loose, _) = message.expect("the other passes it on");
        // The limit is reached by sockets of this shard's own.
        let (client, server) = pair(&here.reactor).await;
        let listener = crate::sockets::listen(&here.reactor).await;
        let waits = here.reactor.spawn({
            let reactor = here.reactor.clone();
            async move { reactor.take_up(loose).await.expect("there is room at last") }
        });
        let address = listener.local_addr();
        here.reactor.connect(address).await.expect_err("there is no room");
        drop((client, server));
        let socket = waits.await;
        socket.send(vec![b"here"[..].into()]).await.expect("it is open");
        assert_eq!(receive(&socket, 1).await, b"");
        return;
    }
    let (client, server) = pair(&here.reactor).await;
    pass_on(&here, &server, Vec::new()).await;
    assert_eq!(receive(&client, 4).await, b"here");
}

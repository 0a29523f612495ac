//! What a network does when it is told to misbehave.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::{PORT, blocks, connect, echo, listen, roundtrip};
use crate::sim::{Client, Node, Sim, SimOptions};
use crate::{ListenOptions, Mesh, Reactor};

fn echo_and_client(sim: &mut Sim) -> (Node, Client<io::Error>) {
    let node = sim.start_node("echo", 1, echo);
    let address = sim.address(node, PORT);
    let client = sim.spawn_client("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        loop {
            if let Err(error) = roundtrip(&socket, b"hello").await {
                return error;
            }
            reactor.sleep(Duration::from_millis(10)).await;
        }
    });
    sim.run_for(Duration::from_millis(100));
    assert!(!client.is_finished());
    (node, client)
}

#[test]
fn a_cut_resets_and_a_kill_says_goodbye() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed, SimOptions::default());
        let (node, client) = echo_and_client(&mut sim);
        assert_eq!(sim.network().cut(client.node(), node), 1);
        sim.run_for(Duration::from_millis(50));
        assert_eq!(client.take().expect("it was told").kind(), io::ErrorKind::ConnectionReset);

        let mut sim = Sim::new(seed, SimOptions::default());
        let (node, client) = echo_and_client(&mut sim);
        sim.kill(node);
        sim.run_for(Duration::from_secs(1));
        let kind = client.take().expect("it was told").kind();
        assert!(matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof), "{kind:?}");
        let address = sim.address(node, PORT);
        let refused = sim.block_on("late", move |reactor| async move { reactor.connect(address).await.map(|_| ()) });
        assert_eq!(refused.expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn half_open_peers_are_not_told() {
    let mut sim = Sim::new(6, SimOptions::default());
    let (node, client) = echo_and_client(&mut sim);
    sim.power_cut(node);
    sim.run_for(Duration::from_mins(1));
    assert!(!client.is_finished(), "silence");
    sim.run_for(Duration::from_mins(2));
    assert_eq!(client.take().expect("its kernel gave up").kind(), io::ErrorKind::TimedOut);

    let (node, client) = echo_and_client(&mut sim);
    sim.power_cut(node);
    sim.run_for(Duration::from_secs(10));
    sim.restart(node, 1, echo);
    sim.run_for(Duration::from_secs(1));
    assert_eq!(client.take().expect("the new kernel knows nothing").kind(), io::ErrorKind::ConnectionReset);

    let (node, client) = echo_and_client(&mut sim);
    assert_eq!(sim.network().vanish(node, client.node()), 1);
    sim.run_for(Duration::from_mins(1));
    assert!(!client.is_finished(), "silence");
    let address = sim.address(node, PORT);
    sim.block_on("fresh", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        assert_eq!(roundtrip(&socket, b"hello").await.expect("a new connection works"), b"hello");
    });
}

#[test]
fn a_partition_delays_and_heals() {
    let mut sim = Sim::new(7, SimOptions::default());
    let (node, client) = echo_and_client(&mut sim);
    sim.network().partition(&[node], &[client.node()]);
    sim.run_for(Duration::from_secs(30));
    sim.network().heal_all();
    sim.run_for(Duration::from_secs(30));
    assert!(!client.is_finished(), "nothing was lost");
    let unreachable = SocketAddr::from(([10, 9, 9, 9], PORT));
    let error = sim.block_on("lost", move |reactor| async move { reactor.connect(unreachable).await.map(|_| ()) });
    assert_eq!(error.expect_err("no such host").kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_slow_reader_holds_its_sender_back() {
    let mut sim = Sim::new(8, SimOptions::default());
    let sent = Rc::new(Cell::new(0usize));
    let progress = Rc::clone(&sent);
    let node = sim.start_node("deaf", 1, |reactor: Reactor, _: Mesh<()>| async move {
        let listener = listen(&reactor).await;
        let (_socket, _) = listener.accept().await.expect("somebody comes");
        std::future::pending::<()>().await;
    });
    let address = sim.address(node, PORT);
    let client = sim.spawn_client("sender", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        loop {
            socket.send(vec![blocks(8, 1)]).await.expect("the peer is there");
            progress.set(progress.get() + 4096);
        }
    });
    sim.run_until_idle();
    assert!(!client.is_finished());
    assert_eq!(sent.get(), 256 * 1024);
}

#[test]
fn a_full_backlog_makes_callers_wait_and_a_closed_listener_resets() {
    let mut sim = Sim::new(12, SimOptions::default());
    let node = sim.start_node("busy", 1, |reactor: Reactor, _: Mesh<()>| async move {
        let address = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener =
            reactor.listen(address, ListenOptions { backlog: 2, ..ListenOptions::default() }).await.expect("free");
        let error = reactor.listen(address, ListenOptions::default()).await.expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        reactor.sleep(Duration::from_secs(2)).await;
        for _ in 0..2 {
            listener.accept().await.expect("they wait");
        }
        reactor.sleep(Duration::from_secs(2)).await;
    });
    let address = sim.address(node, PORT);
    sim.run_for(Duration::from_millis(1));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            sim.spawn_client("caller", move |reactor| async move {
                let socket = reactor.connect(address).await.expect("the backlog has room at last");
                (reactor.now().as_nanos(), socket.recv().await.map(|received| received.len()))
            })
        })
        .collect();
    sim.run_until(|_| clients.iter().all(Client::is_finished));
    let mut results: Vec<_> = clients.iter().filter_map(Client::take).collect();
    results.sort_by_key(|(connected_at, _)| *connected_at);
    let second = 1_000_000_000;
    assert!(results[1].0 < second && results[2].0 > second, "the third had to try again");
    assert!(results[..2].iter().all(|(_, received)| matches!(received, Ok(0))), "accepted and closed");
    let error = results[2].1.as_ref().expect_err("never accepted");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

//! The simulator against itself: one seed is one run, and everything that can go wrong does when it is told to.

mod crashes;
mod network;
mod storms;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_buffer::{Chunk, Slice};

use super::{Client, Sim, SimOptions};
use crate::{Create, Durability, File, ListenOptions, Listener, Mesh, OpenOptions, Reactor, Signal, Socket};

const PORT: u16 = 9092;

const WRITE: OpenOptions = OpenOptions { write: true, create: Create::IfMissing, direct: true };

fn blocks(count: usize, byte: u8) -> Slice {
    let mut chunk = Chunk::with_capacity(count * 512);
    chunk.append(&vec![byte; count * 512]);
    chunk.freeze()
}

async fn listen(reactor: &Reactor) -> Listener {
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    let options = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    reactor.listen(address, options).await.expect("the port is free")
}

async fn connect(reactor: &Reactor, address: SocketAddr) -> Socket {
    loop {
        match reactor.connect(address).await {
            Ok(socket) => return socket,
            Err(_) => reactor.sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Answers every byte with itself, after it has gone to another shard and back.
async fn echo(reactor: Reactor, mesh: Mesh<(u64, Vec<u8>)>) {
    let listener = listen(&reactor).await;
    let sockets = Rc::new(RefCell::new(BTreeMap::<u64, Socket>::new()));
    let (accepting, inbox, own) = (Rc::clone(&sockets), mesh.clone(), reactor.clone());
    drop(reactor.spawn(async move {
        let mut next = 0;
        while let Ok((socket, _)) = listener.accept().await {
            next += 1;
            let id = next;
            accepting.borrow_mut().insert(id, socket.clone());
            let (mesh, accepted) = (inbox.clone(), Rc::clone(&accepting));
            drop(own.spawn(async move {
                let to = (mesh.index() + 1) % mesh.shards();
                while let Ok(received) = socket.recv().await {
                    if received.is_empty() {
                        break;
                    }
                    mesh.send(to, (id << 8 | u64::try_from(mesh.index()).expect("small"), received.to_vec())).await;
                }
                accepted.borrow_mut().remove(&id);
            }));
        }
    }));
    loop {
        let (_, (id, bytes)) = mesh.recv().await;
        let home = usize::try_from(id & 0xff).expect("a byte");
        if home != mesh.index() {
            mesh.send(home, (id, bytes)).await;
            continue;
        }
        let socket = sockets.borrow().get(&(id >> 8)).cloned();
        if let Some(socket) = socket {
            // The client may be gone.
            let _ = socket.send(vec![bytes[..].into()]).await;
        }
    }
}

async fn roundtrip(socket: &Socket, bytes: &[u8]) -> io::Result<Vec<u8>> {
    socket.send(vec![bytes.into()]).await?;
    let mut answer = Vec::new();
    while answer.len() < bytes.len() {
        let received = socket.recv().await?;
        if received.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&received);
    }
    Ok(answer)
}

/// Several clients against four shards that hand everything over the mesh.
fn echo_run(seed: u64) -> (u64, u64) {
    let mut sim = Sim::new(seed, SimOptions::default());
    let node = sim.start_node("echo", 4, echo);
    let address = sim.address(node, PORT);
    let clients: Vec<_> = (0..4u8)
        .map(|client| {
            sim.spawn_client("client", move |reactor| async move {
                let socket = connect(&reactor, address).await;
                for round in 0..20u8 {
                    let bytes = vec![client ^ round; 1 + usize::from(round) * 997];
                    let answer = roundtrip(&socket, &bytes).await.expect("the echo is there");
                    assert_eq!(answer.len(), bytes.len());
                }
            })
        })
        .collect();
    sim.run_until(|_| clients.iter().all(Client::is_finished));
    (sim.trace_hash(), sim.now().as_nanos())
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    let runs: Vec<_> = (0..20).map(echo_run).collect();
    for (seed, run) in (0..).zip(&runs) {
        assert_eq!(*run, echo_run(seed), "seed {seed} repeats itself");
    }
    let different: BTreeSet<_> = runs.iter().map(|run| run.0).collect();
    assert_eq!(different.len(), runs.len(), "every seed is a run of its own");
}

async fn create(reactor: &Reactor, path: &'static str) -> File {
    let file = reactor.open(path, WRITE).await.expect("an empty disk takes a file");
    reactor.sync_dir("/").await.expect("the root is there");
    file
}

async fn write(file: &File, offset: u64, slice: Slice, durability: Durability) {
    file.write(vec![slice], offset, durability).await.expect("the disk works");
}

#[test]
fn a_signal_ends_a_process_that_waits_for_it() {
    let mut sim = Sim::new(9, SimOptions::default());
    let node = sim.start_node("polite", 1, |reactor: Reactor, _: Mesh<()>| async move {
        assert_eq!(reactor.signal().await.expect("it comes"), Signal::Terminate);
    });
    sim.run_until_idle();
    assert!(sim.is_running(node));
    sim.signal(node, Signal::Terminate);
    sim.run_until_idle();
    assert!(!sim.is_running(node));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_deadlock_is_loud() {
    let mut sim = Sim::new(10, SimOptions::default());
    sim.block_on("stuck", |_| std::future::pending::<()>());
}

#[test]
fn an_exit_drops_the_other_tasks_and_waits_for_operations_in_flight() {
    let mut sim = Sim::new(11, SimOptions::default());
    let node = sim.start_node("leaving", 2, |reactor: Reactor, mesh: Mesh<()>| async move {
        if mesh.index() == 1 {
            return;
        }
        let file = create(&reactor, "log").await;
        let writer = file.clone();
        drop(reactor.spawn(async move {
            write(&writer, 0, blocks(8, 1), Durability::Dsync).await;
            unreachable!("dropped while it waits");
        }));
        reactor.yield_now().await;
    });
    sim.run_until(|sim| !sim.is_running(node));
    assert_eq!(sim.disk(node).read_file("log").expect("written"), [1; 4096]);
    assert_eq!(sim.network().connections(), 0);
}

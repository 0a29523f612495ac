use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_buffer::{Chunk, Slice};

use super::{DiskEffect, DiskFault, DiskOperation, Errno, Node, Sim, SimOptions, Trigger};
use crate::{Create, Durability, File, ListenOptions, Mesh, OpenOptions, Reactor, Signal, Socket};

const PORT: u16 = 9092;
const WRITE: OpenOptions = OpenOptions { write: true, create: Create::IfMissing, direct: true };

fn blocks(count: usize, byte: u8) -> Slice {
    let mut chunk = Chunk::with_capacity(count * 512);
    chunk.append(&vec![byte; count * 512]);
    chunk.freeze()
}

async fn listen(reactor: &Reactor) -> crate::Listener {
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
    let sockets = Rc::new(RefCell::new(std::collections::BTreeMap::<u64, Socket>::new()));
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
    sim.run_until(|_| clients.iter().all(super::Client::is_finished));
    (sim.trace_hash(), sim.now().as_nanos())
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    let runs: Vec<_> = (0..20).map(echo_run).collect();
    for (seed, run) in (0..).zip(&runs) {
        assert_eq!(*run, echo_run(seed), "seed {seed} repeats itself");
    }
    let different: std::collections::BTreeSet<_> = runs.iter().map(|run| run.0).collect();
    assert_eq!(different.len(), runs.len(), "every seed is a run of its own");
}

/// Runs `main` on a node to its end, cuts the power and answers what is left of `path`.
fn after_power_cut<F, Fut>(seed: u64, path: &str, main: F) -> io::Result<Vec<u8>>
where
    F: Fn(Reactor, Mesh<()>) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let mut sim = Sim::new(seed, SimOptions::default());
    let node = sim.start_node("disk", 1, main);
    sim.run_until(|sim| !sim.is_running(node));
    sim.power_cut(node);
    sim.disk(node).read_file(path)
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
fn synced_bytes_never_vanish_and_unsynced_ones_may_whole_or_torn() {
    let (mut whole, mut gone, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let left = after_power_cut(seed, "log", |reactor, _| async move {
            let file = create(&reactor, "log").await;
            write(&file, 0, blocks(8, 1), Durability::Dsync).await;
            write(&file, 4096, blocks(8, 2), Durability::None).await;
            file.sync_data().await.expect("the disk works");
            write(&file, 8192, blocks(8, 3), Durability::None).await;
            write(&file, 0, blocks(1, 4), Durability::None).await;
        })
        .expect("the name was synced");
        assert!(left.len() >= 8192, "seed {seed}: synced length");
        assert!(left[512..4096].iter().all(|byte| *byte == 1) && left[4096..8192].iter().all(|byte| *byte == 2));
        assert!(left[..512] == [1; 512] || left[..512] == [4; 512], "a sector is whole");
        let sectors: Vec<_> = left[8192..].chunks(512).collect();
        assert!(sectors.iter().all(|sector| *sector == [3; 512] || *sector == [0; 512]), "a sector is whole");
        match sectors.iter().filter(|sector| **sector == [3; 512]).count() {
            0 => gone += 1,
            8 => whole += 1,
            _ => torn += 1,
        }
    }
    assert!(whole > 20 && gone > 20 && torn > 20, "whole {whole}, gone {gone}, torn {torn}");
}

#[test]
fn a_durable_write_keeps_its_range_and_length_but_not_earlier_writes() {
    let mut lost = 0;
    for seed in 0..50 {
        let left = after_power_cut(seed, "log", |reactor, _| async move {
            let file = create(&reactor, "log").await;
            write(&file, 0, blocks(1, 1), Durability::None).await;
            write(&file, 512, blocks(1, 2), Durability::Dsync).await;
        })
        .expect("the name was synced");
        assert_eq!(&left[512..], [2; 512]);
        lost += u32::from(left[..512] == [0; 512]);
    }
    assert!(lost > 5 && lost < 45, "{lost} of 50");
}

#[test]
fn an_overwrite_by_a_durable_write_is_final() {
    for seed in 0..50 {
        let left = after_power_cut(seed, "log", |reactor, _| async move {
            let file = create(&reactor, "log").await;
            write(&file, 0, blocks(8, 1), Durability::None).await;
            file.truncate(0).await.expect("the disk works");
            write(&file, 0, blocks(4, 2), Durability::Dsync).await;
        })
        .expect("the name was synced");
        assert_eq!(left, [2; 2048], "seed {seed}");
    }
}

#[test]
fn names_need_a_sync_of_their_directory() {
    let (mut new, mut old, mut missing) = (0, 0, 0);
    for seed in 0..100 {
        let left = after_power_cut(seed, "checkpoint", |reactor, _| async move {
            let old = create(&reactor, "checkpoint").await;
            write(&old, 0, blocks(1, 1), Durability::Dsync).await;
            let fresh = reactor.open("checkpoint.tmp", WRITE).await.expect("an empty disk takes a file");
            write(&fresh, 0, blocks(1, 2), Durability::Dsync).await;
            reactor.rename("checkpoint.tmp", "checkpoint").await.expect("both names are there");
        });
        match left.expect("a rename is lost or kept as one")[0] {
            1 => old += 1,
            2 => new += 1,
            other => panic!("{other} was never written"),
        }
        let left = after_power_cut(seed, "a/file", |reactor, _| async move {
            reactor.create_dir("a").await.expect("an empty disk takes a directory");
            let file = reactor.open("a/file", WRITE).await.expect("it is there");
            write(&file, 0, blocks(1, 1), Durability::Dsync).await;
            reactor.sync_dir("a").await.expect("it is there");
        });
        missing += u32::from(left.is_err());
    }
    assert!(new > 10 && old > 10, "{new} new, {old} old");
    assert!(missing > 10, "a directory whose parent was not synced is lost {missing} times");
}

#[test]
fn a_kill_keeps_what_was_written_and_frees_locks() {
    let mut sim = Sim::new(1, SimOptions::default());
    let main = |reactor: Reactor, _: Mesh<()>| async move {
        let file = reactor.open("lock", WRITE).await.expect("the disk works");
        file.lock().await.expect("the last holder is dead");
        let again = reactor.open("lock", WRITE).await.expect("the disk works");
        assert_eq!(again.lock().await.expect_err("held above").kind(), io::ErrorKind::WouldBlock);
        write(&file, 0, blocks(8, 7), Durability::None).await;
        reactor.open("done", WRITE).await.expect("the disk works");
        std::future::pending::<()>().await;
    };
    let node = sim.start_node("locked", 1, main);
    for _ in 0..3 {
        sim.run_until_idle();
        assert_eq!(sim.disk(node).read_file("lock").expect("written"), [7; 4096]);
        assert!(sim.disk(node).has_unsynced());
        sim.kill(node);
        sim.restart(node, 1, main);
    }
}

#[test]
fn a_write_in_flight_at_a_kill_is_done_wholly_partly_or_not() {
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let mut sim = Sim::new(seed, SimOptions::default());
        let node = sim.start_node("killed", 1, |reactor: Reactor, _: Mesh<()>| async move {
            let file = create(&reactor, "log").await;
            reactor.open("begun", WRITE).await.expect("the disk works");
            write(&file, 0, blocks(64, 7), Durability::Dsync).await;
        });
        sim.disk(node).fault(DiskFault {
            operation: DiskOperation::Write,
            path_contains: "log".into(),
            trigger: Trigger::Always,
            effect: DiskEffect::Delay(Duration::from_secs(1)),
        });
        sim.run_for(Duration::from_millis(100));
        sim.kill(node);
        let left = sim.disk(node).read_file("log").expect("its name was synced");
        sizes.insert(left.chunks(512).filter(|sector| *sector == [7; 512]).count());
    }
    assert!(sizes.contains(&0) && sizes.contains(&64) && sizes.len() > 10, "{sizes:?}");
}

#[test]
fn faults_strike_where_and_when_they_are_told() {
    let mut sim = Sim::new(3, SimOptions::default());
    let node = sim.start_node("faulty", 1, |reactor: Reactor, _: Mesh<()>| async move {
        let file = create(&reactor, "journal").await;
        let other = create(&reactor, "segment").await;
        for nth in 1..=3 {
            let result = file.write(vec![blocks(1, 1)], 0, Durability::Dsync).await;
            assert_eq!(result.is_err(), nth == 2, "write {nth}: {result:?}");
            other.write(vec![blocks(1, 1)], 0, Durability::Dsync).await.expect("another path");
        }
        let result = file.write(vec![blocks(4, 1)], 0, Durability::Dsync).await;
        assert_eq!(result.expect_err("short").kind(), io::ErrorKind::WriteZero);
        assert_eq!(file.sync_data().await.expect_err("told so").raw_os_error(), Some(Errno::IO.0));
        let odd = Slice::from(&b"odd"[..]);
        let result = file.write(vec![odd], 0, Durability::None).await;
        assert_eq!(result.expect_err("not whole blocks").raw_os_error(), Some(Errno::INVALID.0));
        let result = file.write(vec![blocks(1, 1)], 100, Durability::None).await;
        assert_eq!(result.expect_err("not at a block").raw_os_error(), Some(Errno::INVALID.0));
    });
    let disk = sim.disk(node);
    let fault = |operation, nth, effect| {
        let path_contains = "journal".into();
        disk.fault(DiskFault { operation, path_contains, trigger: Trigger::Nth(nth), effect });
    };
    fault(DiskOperation::Write, 2, DiskEffect::Error(Errno::IO));
    fault(DiskOperation::Write, 4, DiskEffect::Short);
    fault(DiskOperation::Sync, 5, DiskEffect::Error(Errno::IO));
    sim.run_until(|sim| !sim.is_running(node));
    let before = disk.read_file("segment").expect("written");
    disk.rot("segment", 100).expect("it is that long");
    let after = disk.read_file("segment").expect("written");
    let flipped: u32 = before.iter().zip(&after).map(|(before, after)| (before ^ after).count_ones()).sum();
    assert_eq!(flipped, 1);
}

#[test]
fn space_runs_out_and_comes_back() {
    let mut sim = Sim::new(4, SimOptions::default());
    let (full, freed) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (is_full, was_freed) = (Rc::clone(&full), Rc::clone(&freed));
    let node = sim.start_node("full", 1, move |reactor: Reactor, _: Mesh<()>| {
        let (is_full, was_freed) = (Rc::clone(&is_full), Rc::clone(&was_freed));
        async move {
            let file = create(&reactor, "a").await;
            file.allocate(0, 64 * 1024).await.expect("there is room");
            write(&file, 0, blocks(128, 1), Durability::Dsync).await;
            assert_eq!(file.allocate(64 * 1024, 4096).await.expect_err("full").kind(), io::ErrorKind::StorageFull);
            let result = file.write(vec![blocks(8, 1)], 64 * 1024, Durability::None).await;
            assert_eq!(result.expect_err("full").kind(), io::ErrorKind::StorageFull);
            write(&file, 0, blocks(128, 2), Durability::Dsync).await;
            is_full.set(true);
            while !was_freed.get() {
                reactor.sleep(Duration::from_millis(1)).await;
            }
            file.allocate(64 * 1024, 4096).await.expect("there is room again");
            assert_eq!(reactor.free_space("/").await.expect("the disk works"), 0);
            reactor.remove_file("a").await.expect("it is there");
            assert_eq!(reactor.free_space("/").await.expect("the disk works"), 0, "a descriptor keeps the space");
            drop(file);
            assert_eq!(reactor.free_space("/").await.expect("the disk works"), 68 * 1024);
        }
    });
    sim.disk(node).set_capacity_bytes(64 * 1024);
    sim.run_until(|_| full.get());
    sim.disk(node).set_free_bytes(4096);
    freed.set(true);
    sim.run_until(|sim| !sim.is_running(node));
}

#[test]
fn descriptors_run_out() {
    let mut sim = Sim::new(5, SimOptions { descriptors_max: 2, ..SimOptions::default() });
    sim.block_on("many", |reactor| async move {
        let one = reactor.open("a", WRITE).await.expect("the first");
        let _two = reactor.open("b", WRITE).await.expect("the second");
        let error = reactor.open("c", WRITE).await.expect_err("the third");
        assert_eq!(error.raw_os_error(), Some(Errno::TOO_MANY_FILES.0));
        drop(one);
        reactor.open("c", WRITE).await.expect("one is free again");
    });
}

fn echo_and_client(sim: &mut Sim) -> (Node, super::Client<io::Error>) {
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

/// Shards that write, sync, rename, talk over the mesh and answer clients, with every future dropped now and then.
async fn busy(reactor: Reactor, mesh: Mesh<(u64, Vec<u8>)>) {
    let path = format!("log-{}", mesh.index());
    let own = reactor.clone();
    drop(reactor.spawn(async move {
        for round in 0u64.. {
            // Everything may fail here: the disk has faults.
            let Ok(file) = own.open(path.as_str(), WRITE).await else { continue };
            let offset = own.random_u64() % 64 * 4096;
            let writing = file.write(vec![blocks(8, 3)], offset, Durability::Dsync);
            let _ = own.timeout(writing, Duration::from_micros(own.random_u64() % 400)).await;
            let _ = file.read(Chunk::with_capacity(8192), offset, 8192).await;
            if round % 8 == 0 {
                let _ = own.rename(path.as_str(), format!("{path}.old")).await;
                let _ = own.sync_dir("/").await;
            }
        }
    }));
    echo(reactor, mesh).await;
}

async fn impatient(reactor: Reactor, address: SocketAddr) {
    loop {
        let patience = Duration::from_micros(reactor.random_u64() % 3000);
        let Ok(Ok(socket)) = reactor.timeout(reactor.connect(address), patience * 4).await else { continue };
        for _ in 0..reactor.random_u64() % 20 {
            let bytes = vec![1; usize::try_from(reactor.random_u64() % 100_000).expect("small")];
            if !matches!(reactor.timeout(roundtrip(&socket, &bytes), patience).await, Ok(Ok(_))) {
                break;
            }
        }
    }
}

fn stormy_run(seed: u64) -> (u64, u64) {
    let mut options = SimOptions::default();
    options.limits.receive_buffers = 4;
    let mut sim = Sim::new(seed, options);
    let mut random = sim.random();
    let nodes: Vec<_> = (0..2).map(|_| sim.start_node("busy", 2, busy)).collect();
    let mut hosts = nodes.clone();
    for client in 0..4 {
        let address = sim.address(nodes[client % 2], PORT);
        hosts.push(sim.spawn_client("impatient", move |reactor| impatient(reactor, address)).node());
    }
    for node in &nodes {
        let (operation, effect) = (DiskOperation::Any, DiskEffect::Error(Errno::IO));
        let path_contains = String::new();
        sim.disk(*node).fault(DiskFault { operation, path_contains, trigger: Trigger::PerMille(20), effect });
    }
    for _ in 0..40 {
        sim.run_for(Duration::from_micros(random.below(2000)));
        let node = nodes[random.index(nodes.len())];
        let (one, other) = (hosts[random.index(hosts.len())], hosts[random.index(hosts.len())]);
        match random.below(8) {
            0 => sim.kill(node),
            1 => sim.power_cut(node),
            2 => sim.network().partition(&[one], &[other]),
            3 => drop(sim.network().cut(one, other)),
            4 => drop(sim.network().vanish(one, other)),
            5 => sim.network().block(one, other),
            _ => sim.network().heal_all(),
        }
        if !sim.is_running(node) && random.chance(500) {
            sim.restart(node, 2, busy);
        }
    }
    (sim.trace_hash(), sim.steps())
}

#[test]
fn storms_repeat_themselves() {
    for seed in 0..50 {
        assert_eq!(stormy_run(seed), stormy_run(seed), "seed {seed} repeats itself");
    }
}

#[test]
fn a_full_backlog_makes_callers_wait_and_a_closed_listener_resets() {
    let mut sim = Sim::new(12, SimOptions::default());
    let node = sim.start_node("busy", 1, |reactor: Reactor, _: Mesh<()>| async move {
        let address = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener = reactor.listen(address, ListenOptions { reuse_port: false, backlog: 2 }).await.expect("free");
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
    sim.run_until(|_| clients.iter().all(super::Client::is_finished));
    let mut results: Vec<_> = clients.iter().filter_map(super::Client::take).collect();
    results.sort_by_key(|(connected_at, _)| *connected_at);
    let second = 1_000_000_000;
    assert!(results[1].0 < second && results[2].0 > second, "the third had to try again");
    assert!(results[..2].iter().all(|(_, received)| matches!(received, Ok(0))), "accepted and closed");
    let error = results[2].1.as_ref().expect_err("never accepted");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

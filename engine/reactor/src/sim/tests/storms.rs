//! Everything at once: faults of disk and network, kills, power cuts, and futures that are dropped at any moment.

use std::net::SocketAddr;
use std::time::Duration;

use ringlog_buffer::Chunk;

use super::{PORT, WRITE, blocks, echo, roundtrip};
use crate::sim::{DiskEffect, DiskFault, DiskOperation, Errno, Sim, SimOptions, Trigger};
use crate::{Durability, Mesh, Reactor};

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

//! The simulator: whole clusters on one thread, in virtual time, from one seed.
//!
//! A [`Sim`] holds hosts, each with a disk, an address and at most one process of several shards, and a network between
//! them. Processes are the same futures over the same [`Reactor`] and [`Mesh`] as in production; only the backend
//! differs. The seed decides which shard runs next, how long everything takes, how streams are cut into segments, and
//! what a power cut leaves on a disk. One seed gives one run: [`Sim::trace_hash`] sums up every operation and outcome
//! with its virtual time, and two runs of a seed must agree on it.
//!
//! ```
//! use ringlog_reactor::sim::{Sim, SimOptions};
//! use ringlog_reactor::{ListenOptions, Mesh, Reactor};
//!
//! async fn echo(reactor: Reactor, _mesh: Mesh<()>) {
//!     let address = "0.0.0.0:9092".parse().expect("a literal");
//!     let listener = reactor.listen(address, ListenOptions::default()).await.expect("a free port");
//!     while let Ok((socket, _peer)) = listener.accept().await {
//!         reactor.spawn(async move {
//!             while let Ok(received) = socket.recv().await {
//!                 if received.is_empty() || socket.send(vec![received[..].into()]).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//! }
//!
//! let mut sim = Sim::new(7, SimOptions::default());
//! let node = sim.start_node("echo", 1, echo);
//! let address = sim.address(node, 9092);
//! let answer = sim.block_on("client", move |reactor| async move {
//!     let socket = loop {
//!         // The node may not listen yet.
//!         match reactor.connect(address).await {
//!             Ok(socket) => break socket,
//!             Err(_) => reactor.sleep(std::time::Duration::from_millis(1)).await,
//!         }
//!     };
//!     socket.send(vec![b"ping"[..].into()]).await.expect("the echo is there");
//!     socket.recv().await.expect("it answers").to_vec()
//! });
//! assert!(b"ping".starts_with(&answer));
//! ```
//!
//! # What a program must not do
//! The simulator repeats a run only if nothing else decides anything:
//! - no iteration over a `HashMap` or `HashSet` with the standard `RandomState`, wherever its order can reach an
//!   operation, a message or a reply: `BTreeMap`, `IndexMap`, slabs, or a fixed hasher;
//! - no clock, randomness or address of memory but the reactor's: [`Reactor::now`], [`Reactor::wall_clock_ms`],
//!   [`Reactor::random_u64`];
//! - no threads, no thread-locals or statics with state: all shards of all hosts share one thread here;
//! - no loop that waits for time to pass without an `await`: virtual time stands still while a task runs.

mod control;
mod disk;
mod errno;
mod events;
mod files;
mod loose;
mod network;
mod process;
mod random;
mod sockets;
#[cfg(test)]
mod tests;
mod trace;
mod world;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

pub use self::control::{DiskControl, NetworkControl};
pub use self::disk::{DiskEffect, DiskFault, DiskOperation, DiskOptions, Trigger};
pub use self::errno::Errno;
pub use self::network::NetworkOptions;
pub use self::process::Client;
use self::process::{Death, Process, StartShards};
pub use self::random::Random;
use crate::{Instant, Limits, Mesh, Reactor, Signal};

use self::disk::{Disk, between, nanos};
use self::events::Events;
use self::network::Network;
use self::trace::Trace;
pub use self::world::Work;
use self::world::World;

/// Hosts of one simulation, clients included.
const HOSTS_MAX: usize = 16_000;

/// What a simulation is like.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// Every node's disk.
    pub disk: DiskOptions,
    /// The network between all hosts.
    pub network: NetworkOptions,
    /// Limits of every shard. The seed lowers `polls_per_turn` for each process.
    pub limits: Limits,
    /// Virtual time that one turn of a shard takes.
    pub turn_cost: RangeInclusive<Duration>,
    /// Descriptors that one process may have open; the next one fails with `EMFILE`.
    pub descriptors_max: usize,
    /// Turns and jumps in time after which a run counts as endless.
    pub steps_max: u64,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            disk: DiskOptions::default(),
            network: NetworkOptions::default(),
            limits: Limits { receive_buffers: 64, ..Limits::default() },
            turn_cost: Duration::from_nanos(300)..=Duration::from_micros(5),
            descriptors_max: 4096,
            steps_max: 20_000_000,
        }
    }
}

/// A host of the simulation: a node, or a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub(super) usize);

/// What one step of the simulation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A shard ran, or time went on.
    Moved,
    /// Nothing happens before the horizon.
    AtHorizon,
    /// Nothing will ever happen.
    Idle,
}

/// A simulation.
pub struct Sim {
    seed: u64,
    options: SimOptions,
    world: Rc<RefCell<World>>,
    /// The process of every host, while it runs.
    processes: Vec<Option<Process>>,
    steps: u64,
    runnable: Vec<(usize, usize)>,
}

impl Sim {
    /// An empty world at time 0.
    pub fn new(seed: u64, options: SimOptions) -> Self {
        let mut random = Random::new(seed);
        let network = Network::new(options.network.clone(), random.fork());
        let world = World {
            now: 0,
            events: Events::default(),
            trace: Trace::new(seed),
            hosts: Vec::new(),
            network,
            random,
            loose: Vec::new(),
        };
        let world = Rc::new(RefCell::new(world));
        Self { seed, options, world, processes: Vec::new(), steps: 0, runnable: Vec::new() }
    }

    /// The seed that decides everything.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.world.borrow().now)
    }

    /// A hash over every operation and outcome so far, with its virtual time.
    pub fn trace_hash(&self) -> u64 {
        self.world.borrow().trace.hash()
    }

    /// Turns of shards and jumps in time so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Randomness for the test's own choices, from the seed.
    pub fn random(&mut self) -> Random {
        self.world.borrow_mut().random.fork()
    }

    /// Adds a host with an empty disk, and starts a process of `shards` shards on it, each with `main`.
    pub fn start_node<M, F, Fut>(&mut self, name: &str, shards: usize, main: F) -> Node
    where
        M: Send + 'static,
        F: Fn(Reactor, Mesh<M>) -> Fut,
        Fut: Future + 'static,
    {
        let node = self.add_host(name);
        self.restart(node, shards, main);
        node
    }

    /// Starts a process on a host whose last one has ended, on the disk that it left.
    pub fn restart<M, F, Fut>(&mut self, node: Node, shards: usize, main: F)
    where
        M: Send + 'static,
        F: Fn(Reactor, Mesh<M>) -> Fut,
        Fut: Future + 'static,
    {
        let start = StartShards::new(&self.world, &self.options, node, shards);
        self.processes[node.0] = Some(start.with_mesh(main));
    }

    /// Starts a client on a host of its own: one shard, without a mesh. Its process ends with `main`.
    pub fn spawn_client<T, F, Fut>(&mut self, name: &str, main: F) -> Client<T>
    where
        T: 'static,
        F: FnOnce(Reactor) -> Fut,
        Fut: Future<Output = T> + 'static,
    {
        let node = self.add_host(name);
        let start = StartShards::new(&self.world, &self.options, node, 1);
        let (process, client) = start.with_client(node, main);
        self.processes[node.0] = Some(process);
        client
    }

    /// Runs a client to its end, and everything else meanwhile.
    pub fn block_on<T, F, Fut>(&mut self, name: &str, main: F) -> T
    where
        T: 'static,
        F: FnOnce(Reactor) -> Fut,
        Fut: Future<Output = T> + 'static,
    {
        let client = self.spawn_client(name, main);
        self.run_until(|_| client.is_finished());
        client.take().expect("it has just finished")
    }

    /// The address of a port on a host.
    pub fn address(&self, node: Node, port: u16) -> SocketAddr {
        SocketAddr::new(self.world.borrow().hosts[node.0].address, port)
    }

    /// Whether a process runs on the host.
    pub fn is_running(&self, node: Node) -> bool {
        self.processes[node.0].is_some()
    }

    /// Ends a process as `kill -9` does: the kernel keeps what was written, and says goodbye on its connections.
    pub fn kill(&mut self, node: Node) {
        self.end_process(node, Death::Killed);
    }

    /// Cuts the power of a host: what was not synced may be lost, and its peers are told nothing. It comes back with
    /// [`restart`](Self::restart).
    pub fn power_cut(&mut self, node: Node) {
        self.end_process(node, Death::PowerCut);
    }

    /// Sends a signal to a host's process.
    pub fn signal(&mut self, node: Node, signal: Signal) {
        self.world.borrow_mut().signal(node.0, signal);
    }

    /// Sets a host's wall clock apart from the simulation's.
    pub fn set_wall_clock_offset_ms(&mut self, node: Node, offset_ms: i64) {
        self.world.borrow_mut().hosts[node.0].wall_clock_offset_ms = offset_ms;
    }

    /// Changes how many descriptors a host's process may have open.
    pub fn set_descriptors_max(&mut self, node: Node, descriptors_max: usize) {
        self.world.borrow_mut().hosts[node.0].descriptors_max = descriptors_max;
    }

    /// What the processes of a host have done so far.
    pub fn work(&self, node: Node) -> Work {
        self.world.borrow().hosts[node.0].work.clone()
    }

    /// The disk of a host.
    pub fn disk(&self, node: Node) -> DiskControl {
        DiskControl::new(&self.world, node)
    }

    /// The network.
    pub fn network(&self) -> NetworkControl {
        NetworkControl::new(&self.world)
    }

    /// Lets `duration` of virtual time pass. Panics over the limit of steps.
    pub fn run_for(&mut self, duration: Duration) {
        let horizon = self.world.borrow().now.saturating_add(nanos(duration));
        while self.step(horizon) == Step::Moved {}
        let mut world = self.world.borrow_mut();
        world.now = world.now.max(horizon);
    }

    /// Runs until `condition` holds. Panics if nothing can happen any more before it does, or over the limit of steps.
    pub fn run_until(&mut self, mut condition: impl FnMut(&Self) -> bool) {
        while !condition(self) {
            let step = self.step(u64::MAX);
            assert!(step != Step::Idle, "deadlock in seed {}: nothing can run, nothing will ever happen", self.seed);
        }
    }

    /// Runs until nothing will ever happen again. Panics over the limit of steps: a process with a periodic timer is
    /// never idle.
    pub fn run_until_idle(&mut self) {
        while self.step(u64::MAX) != Step::Idle {}
    }

    fn add_host(&mut self, name: &str) -> Node {
        assert!(self.processes.len() < HOSTS_MAX, "a simulation has at most {HOSTS_MAX} hosts");
        let mut world = self.world.borrow_mut();
        let disk = Disk::new(self.options.disk.clone(), world.random.fork());
        let number = world.add_host(name, disk, self.options.descriptors_max);
        self.processes.push(None);
        Node(number)
    }

    fn end_process(&mut self, node: Node, death: Death) {
        let process = self.processes[node.0].take();
        self.world.borrow_mut().end_process(node.0, death);
        if let Some(process) = process {
            process.clear();
        }
    }

    /// Runs one shard that has something to do, or moves time to the next moment at which one may.
    fn step(&mut self, horizon: u64) -> Step {
        self.steps += 1;
        assert!(self.steps <= self.options.steps_max, "seed {} has no end after {} steps", self.seed, self.steps);
        self.world.borrow_mut().happen();
        let Some((host, shard)) = self.choose() else { return self.advance(horizon) };
        let process = self.processes[host].as_mut().expect("only running processes are chosen");
        process.run(shard);
        self.world.borrow_mut().hosts[host].work.turns += 1;
        let cost = {
            let mut world = self.world.borrow_mut();
            world.now + between(&self.options.turn_cost, &mut world.random)
        };
        process.set_busy_until(shard, cost);
        let is_over = process.is_over(&self.world.borrow());
        if is_over {
            self.processes[host] = None;
            self.world.borrow_mut().end_process(host, Death::Killed);
        }
        Step::Moved
    }

    /// One of the shards that can run now.
    fn choose(&mut self) -> Option<(usize, usize)> {
        let mut world = self.world.borrow_mut();
        self.runnable.clear();
        for (host, process) in self.processes.iter().enumerate() {
            let Some(process) = process else { continue };
            self.runnable.extend(process.runnable(&world).map(|shard| (host, shard)));
        }
        match self.runnable.len() {
            0 => None,
            count => Some(self.runnable[world.random.index(count)]),
        }
    }

    fn advance(&mut self, horizon: u64) -> Step {
        let mut world = self.world.borrow_mut();
        let shards = self.processes.iter().flatten().filter_map(|process| process.next_at(&world)).min();
        let next = match (world.events.next_at(), shards) {
            (Some(event), Some(shard)) => event.min(shard),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return Step::Idle,
        };
        if next > horizon {
            return Step::AtHorizon;
        }
        world.now = world.now.max(next);
        Step::Moved
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.world.borrow();
        write!(f, "Sim(seed {}, {} hosts, at {})", self.seed, world.hosts.len(), Instant::from_nanos(world.now))
    }
}

impl Drop for Sim {
    /// Drops every process. In a failing test it says instead how to get the same run again.
    fn drop(&mut self) {
        let processes = std::mem::take(&mut self.processes);
        if std::thread::panicking() {
            eprintln!("simulation of seed {} failed after {} steps", self.seed, self.steps);
            if let Ok(world) = self.world.try_borrow() {
                let now = Instant::from_nanos(world.now);
                eprintln!("at {now}; the last operations and outcomes:\n{}", world.trace.recent());
            }
            // Destructors of a broken run may meet broken invariants, and a second panic would hide the first.
            std::mem::forget(processes);
            return;
        }
        for process in processes.into_iter().flatten() {
            process.clear();
        }
    }
}

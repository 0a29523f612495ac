//! Processes of the simulation: the executors of their shards, and how they end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use super::events::ShardKey;
use super::network::{ConnectionId, Side};
use super::sockets::Farewell;
use super::world::{SimBackend, World};
use super::{Node, SimOptions};
use crate::core::Core;
use crate::mesh;
use crate::op::Signal;
use crate::received::ReceivePool;
use crate::{Limits, Mesh, Reactor};

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    Killed,
    PowerCut,
}

/// One shard's executor.
struct Runner {
    key: ShardKey,
    core: Rc<Core>,
    busy_until: u64,
    /// Whether `main` runs. When it returns, the shard's other tasks are dropped.
    main: Rc<Cell<Main>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Main {
    Runs,
    HasReturned,
    IsCleared,
}

impl Runner {
    /// Whether a turn would do something, as soon as the shard is not busy.
    fn wants_turn(&self, world: &World) -> bool {
        self.core.is_ready()
            || world.has_something(self.key)
            || self.core.next_deadline().is_some_and(|deadline| deadline.as_nanos() <= world.now)
    }
}

/// A running process.
pub(super) struct Process {
    runners: Vec<Runner>,
}

impl Process {
    pub(super) fn runnable<'a>(&'a self, world: &'a World) -> impl Iterator<Item = usize> + 'a {
        let can_run = |runner: &Runner| runner.busy_until <= world.now && runner.wants_turn(world);
        self.runners.iter().enumerate().filter(move |(_, runner)| can_run(runner)).map(|(shard, _)| shard)
    }

    /// When one of its shards may run next, if nothing else happens before.
    pub(super) fn next_at(&self, world: &World) -> Option<u64> {
        let next = |runner: &Runner| {
            if runner.wants_turn(world) {
                return Some(runner.busy_until);
            }
            let deadline = runner.core.next_deadline()?;
            Some(deadline.as_nanos().max(runner.busy_until))
        };
        self.runners.iter().filter_map(next).min()
    }

    /// One turn of a shard: first what has come from outside, then its tasks.
    pub(super) fn run(&self, shard: usize) {
        let core = &self.runners[shard].core;
        if !core.is_ready() {
            core.turn(|| false);
        }
        core.turn(|| false);
        let main = &self.runners[shard].main;
        if main.get() == Main::HasReturned {
            main.set(Main::IsCleared);
            core.clear();
        }
    }

    pub(super) fn set_busy_until(&mut self, shard: usize, until: u64) {
        self.runners[shard].busy_until = until;
    }

    /// Whether every `main` has returned and no operation is in flight: an exit waits for them.
    pub(super) fn is_over(&self, world: &World) -> bool {
        let is_over = |runner: &Runner| runner.main.get() == Main::IsCleared && !world.has_in_flight(runner.key);
        self.runners.iter().all(is_over)
    }

    /// Drops all that its tasks hold.
    pub(super) fn clear(self) {
        for runner in self.runners {
            runner.core.clear();
        }
    }
}

/// A process whose shards exist and have nothing to do yet.
pub(super) struct StartShards {
    runners: Vec<Runner>,
    limits: Limits,
}

impl StartShards {
    pub(super) fn new(world: &Rc<RefCell<World>>, options: &SimOptions, node: Node, shards: usize) -> Self {
        assert!(shards > 0, "a process has at least one shard");
        let mut limits = options.limits;
        let (pools, keys, seeds) = {
            let mut at = world.borrow_mut();
            // Few polls per turn let shards overtake each other in the middle of their work.
            let few = usize::try_from(at.random.between(1, 64)).expect("at most 64");
            limits.polls_per_turn = limits.polls_per_turn.min(few);
            let pools: Vec<_> = (0..shards).map(|_| ReceivePool::new(&limits)).collect();
            let keys = at.begin_process(node.0, pools.clone());
            let seeds: Vec<u64> = keys.iter().map(|_| at.random.next_u64()).collect();
            (pools, keys, seeds)
        };
        assert_eq!(pools.len(), keys.len(), "a pool per shard");
        let runner = |(key, seed)| {
            let backend = Box::new(SimBackend { world: Rc::clone(world), key });
            let core = Core::new(backend, limits, seed);
            Runner { key, core, busy_until: 0, main: Rc::new(Cell::new(Main::Runs)) }
        };
        Self { runners: keys.into_iter().zip(seeds).map(runner).collect(), limits }
    }

    /// Starts `main` on every shard, with its end of a mesh between them.
    pub(super) fn with_mesh<M, F, Fut>(self, main: F) -> Process
    where
        M: Send + 'static,
        F: Fn(Reactor, Mesh<M>) -> Fut,
        Fut: Future + 'static,
    {
        let seats = mesh::seats::<M>(self.runners.len(), self.limits.mesh_messages);
        // Every seat is taken before the first task can send.
        let ends: Vec<_> =
            seats.into_iter().zip(&self.runners).map(|(seat, runner)| seat.attach(&runner.core)).collect();
        for (runner, end) in self.runners.iter().zip(ends) {
            let main = main(Reactor::new(Rc::clone(&runner.core)), end);
            let state = Rc::clone(&runner.main);
            drop(runner.core.spawn(async move {
                drop(main.await);
                state.set(Main::HasReturned);
            }));
        }
        Process { runners: self.runners }
    }

    /// Starts `main` on the first shard, and a handle to its result.
    pub(super) fn with_client<T, F, Fut>(self, node: Node, main: F) -> (Process, Client<T>)
    where
        T: 'static,
        F: FnOnce(Reactor) -> Fut,
        Fut: Future<Output = T> + 'static,
    {
        let client = Client { node, result: Rc::new(RefCell::new(None)), has_finished: Rc::new(Cell::new(false)) };
        let Runner { core, main: state, .. } = &self.runners[0];
        let main = main(Reactor::new(Rc::clone(core)));
        let (result, has_finished, state) =
            (Rc::clone(&client.result), Rc::clone(&client.has_finished), Rc::clone(state));
        drop(core.spawn(async move {
            *result.borrow_mut() = Some(main.await);
            has_finished.set(true);
            state.set(Main::HasReturned);
        }));
        (Process { runners: self.runners }, client)
    }
}

/// A client of the simulation.
pub struct Client<T> {
    node: Node,
    result: Rc<RefCell<Option<T>>>,
    has_finished: Rc<Cell<bool>>,
}

impl<T> Client<T> {
    /// Its host: for partitions, cuts, or its end.
    pub fn node(&self) -> Node {
        self.node
    }

    /// Whether its `main` has returned.
    pub fn is_finished(&self) -> bool {
        self.has_finished.get()
    }

    /// What its `main` has returned, once.
    pub fn take(&self) -> Option<T> {
        self.result.borrow_mut().take()
    }
}

impl<T> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?}, finished: {})", self.node, self.is_finished())
    }
}

impl World {
    /// Sends a signal to the process of a host.
    pub(super) fn signal(&mut self, host: usize, signal: Signal) {
        let at = &mut self.hosts[host];
        at.signals.push_back(signal);
        let (life, shards) = (at.life, at.shards.len());
        for shard in 0..shards {
            self.deliver_signals(ShardKey { host, shard, life });
        }
    }

    /// Takes a host's process away, with all that the kernel does about it.
    pub(super) fn end_process(&mut self, host: usize, death: Death) {
        let (life, shards) = (self.hosts[host].life, self.hosts[host].shards.len());
        let what = if death == Death::PowerCut { "power cut" } else { "process ends" };
        self.note(ShardKey { host, shard: 0, life }, what, 0, 0);
        for shard in 0..shards {
            self.interrupt_disk(ShardKey { host, shard, life });
        }
        let farewell = if death == Death::PowerCut { Farewell::None } else { Farewell::Polite };
        for end in self.loose.extract_if(.., |end| end.host == host).collect::<Vec<_>>() {
            self.close_end(end.connection, end.side, farewell);
        }
        for connection in self.network.connections.keys().copied().collect::<Vec<_>>() {
            for side in [Side::Caller, Side::Callee] {
                self.end_connection_of(host, connection, side, farewell);
            }
        }
        self.network.listeners.retain(|_, listener| listener.host != host);
        let at = &mut self.hosts[host];
        at.shards.clear();
        at.descriptors = 0;
        at.signals.clear();
        match death {
            Death::Killed => at.disk.close_all(),
            Death::PowerCut => {
                at.disk.power_cut();
                at.has_power = false;
                at.boot += 1;
            }
        }
    }

    fn end_connection_of(&mut self, host: usize, connection: ConnectionId, side: Side, farewell: Farewell) {
        let Some(open) = self.network.connections.get(&connection) else { return };
        let end = open.end(side);
        if end.host != host {
            return;
        }
        // What no process has accepted yet is reset.
        let farewell = if end.socket.is_none() && farewell == Farewell::Polite { Farewell::Reset } else { farewell };
        self.close_end(connection, side, farewell);
    }
}

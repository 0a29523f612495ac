//! Everything outside the processes: hosts with their disks, the network, virtual time and what will happen in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::{Covered, Disk, DiskEffect, NodeId};
use super::errno::Errno;
use super::events::{Events, Happening, ShardKey};
use super::loose::LooseEnd;
use super::network::{ConnectionId, ListenerId, Network, Side};
use super::random::Random;
use super::trace::{Event, Trace};
use crate::backend::{Backend, Bell, Wait};
use crate::op::{Durability, FileId, Op, OpId, Outcome, Signal, SocketId, failed};
use crate::received::ReceivePool;
use crate::time::Instant;

/// Virtual 1970-01-01 is far behind: the wall clock starts in November 2023.
const WALL_CLOCK_START_MS: i64 = 1_700_000_000_000;
/// The first port that is handed out when any will do.
const EPHEMERAL_PORT_FIRST: u16 = 32_768;

/// An operation that the devices hold.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) op: Op,
    pub(super) effect: Option<DiskEffect>,
    /// What a sync covers.
    pub(super) covered: Covered,
}

/// An open file of one shard.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) node: NodeId,
    pub(super) path: String,
    pub(super) is_direct: bool,
    pub(super) is_writable: bool,
    pub(super) in_flight: u32,
    pub(super) is_closing: bool,
}

/// What a socket's number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Socket {
    Listener(ListenerId),
    End(ConnectionId, Side),
}

/// The outside of one shard of a running process.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) bell: Arc<AtomicBool>,
    pub(super) pool: Rc<ReceivePool>,
    pub(super) operations: BTreeMap<OpId, InFlight>,
    pub(super) ended: Vec<(OpId, Outcome)>,
    pub(super) files: BTreeMap<FileId, OpenFile>,
    pub(super) sockets: BTreeMap<SocketId, Socket>,
    /// Sockets with something for a waiting receive or accept.
    pub(super) ready: VecDeque<Socket>,
    /// Connections whose receive waits for a free buffer of the pool.
    pub(super) starving: VecDeque<Socket>,
    /// Who waits for a signal.
    pub(super) signal_waiter: Option<OpId>,
    next_descriptor: u32,
}

impl Shard {
    fn new(pool: Rc<ReceivePool>) -> Self {
        Self {
            bell: Arc::new(AtomicBool::new(false)),
            pool,
            operations: BTreeMap::new(),
            ended: Vec::new(),
            files: BTreeMap::new(),
            sockets: BTreeMap::new(),
            ready: VecDeque::new(),
            starving: VecDeque::new(),
            signal_waiter: None,
            next_descriptor: 3,
        }
    }

    /// A number that this shard never used for a descriptor, so that a stale one is a mistake that shows.
    pub(super) fn next_descriptor(&mut self) -> u32 {
        self.next_descriptor += 1;
        self.next_descriptor
    }

    /// Whether a turn would find something.
    fn has_something(&self) -> bool {
        !self.ended.is_empty() || !self.ready.is_empty() || self.bell.load(Ordering::Acquire)
    }
}

/// What the processes of one host have done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Turns of its shards: on a ring, each of them is one `io_uring_enter`.
    pub turns: u64,
    /// Operations that were begun, by their names.
    pub operations: BTreeMap<&'static str, u64>,
}

/// One machine: it has a disk, an address, and at most one process.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) address: IpAddr,
    pub(super) disk: Disk,
    /// Counts processes; the shards of the current one carry it in their keys.
    pub(super) life: u32,
    /// Counts power cuts; a connection of an earlier boot is unknown to the kernel.
    pub(super) boot: u32,
    pub(super) has_power: bool,
    /// Empty when no process runs.
    pub(super) shards: Vec<Shard>,
    pub(super) descriptors: usize,
    pub(super) descriptors_max: usize,
    pub(super) signals: VecDeque<Signal>,
    pub(super) wall_clock_offset_ms: i64,
    pub(super) work: Work,
    next_port: u16,
}

impl Host {
    /// A port that was not handed out for long.
    pub(super) fn next_port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(EPHEMERAL_PORT_FIRST);
        self.next_port
    }
}

/// The world. Processes reach it through their shards' [`SimBackend`]s.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) events: Events,
    pub(super) trace: Trace,
    pub(super) hosts: Vec<Host>,
    pub(super) network: Network,
    pub(super) random: Random,
    /// Ends of connections that no shard of their process has.
    pub(super) loose: Vec<LooseEnd>,
}

impl World {
    /// Adds a host and answers its number. Its address is `10.0.<number / 250>.<number % 250 + 1>`.
    pub(super) fn add_host(&mut self, name: &str, disk: Disk, descriptors_max: usize) -> usize {
        let number = self.hosts.len();
        let part = |value: usize| u8::try_from(value).expect("the limit of hosts fits two parts of an address");
        self.hosts.push(Host {
            name: name.to_owned(),
            address: IpAddr::V4(Ipv4Addr::new(10, 0, part(number / 250), part(number % 250 + 1))),
            disk,
            life: 0,
            boot: 0,
            has_power: true,
            shards: Vec::new(),
            descriptors: 0,
            descriptors_max,
            signals: VecDeque::new(),
            wall_clock_offset_ms: 0,
            work: Work::default(),
            next_port: EPHEMERAL_PORT_FIRST,
        });
        number
    }

    /// Begins a process on a host: one pool per shard. Answers the keys of its shards.
    pub(super) fn begin_process(&mut self, host: usize, pools: Vec<Rc<ReceivePool>>) -> Vec<ShardKey> {
        let at = &mut self.hosts[host];
        assert!(at.shards.is_empty(), "{} runs already", at.name);
        at.life += 1;
        at.shards = pools.into_iter().map(Shard::new).collect();
        let keys = (0..at.shards.len()).map(|shard| ShardKey { host, shard, life: at.life }).collect();
        if !std::mem::replace(&mut at.has_power, true) {
            self.resume_connections();
        }
        keys
    }

    /// The shard, unless its process is gone.
    pub(super) fn shard(&mut self, key: ShardKey) -> Option<&mut Shard> {
        let host = &mut self.hosts[key.host];
        if host.life == key.life { host.shards.get_mut(key.shard) } else { None }
    }

    pub(super) fn has_something(&self, key: ShardKey) -> bool {
        let host = &self.hosts[key.host];
        host.life == key.life && host.shards.get(key.shard).is_some_and(Shard::has_something)
    }

    /// Whether the devices hold operations of the shard.
    pub(super) fn has_in_flight(&self, key: ShardKey) -> bool {
        let shard = self.hosts[key.host].shards.get(key.shard);
        shard.is_some_and(|shard| shard.operations.values().any(|held| held.op.is_file()))
    }

    pub(super) fn note(&mut self, key: ShardKey, what: &'static str, subject: u64, value: u64) {
        self.trace.note(Event { at: self.now, host: key.host, shard: key.shard, what, subject, value });
    }

    /// Lets everything happen that is due.
    pub(super) fn happen(&mut self) {
        while let Some(happening) = self.events.pop_due(self.now) {
            match happening {
                Happening::DiskEnds { shard, op } => self.disk_ends(shard, op),
                Happening::Arrives { connection, from } => self.arrives(connection, from),
                Happening::Reset { connection, to } => self.reset_arrives(connection, to),
                Happening::GivesUp { connection, from, progress } => self.gives_up(connection, from, progress),
                Happening::Knocks(attempt) => self.knocks(attempt),
                Happening::Answers(attempt) => self.answers(attempt),
            }
        }
    }

    fn begin(&mut self, key: ShardKey, id: OpId, op: Op) -> Option<Outcome> {
        if self.shard(key).is_none() {
            return Some(failed(op, Errno::CANCELED.into()));
        }
        self.note(key, name_of(&op), id.0.into(), 0);
        *self.hosts[key.host].work.operations.entry(name_of(&op)).or_default() += 1;
        if let Op::Write { slices, .. } | Op::Send { slices, .. } = &op {
            for slice in slices {
                self.trace.fold_bytes(slice);
            }
        }
        match op {
            Op::Listen { .. }
            | Op::Accept { .. }
            | Op::Connect { .. }
            | Op::Receive { .. }
            | Op::ReceiveInto { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. }
            | Op::HangUp { .. }
            | Op::LetGo { .. } => self.begin_socket(key, id, op),
            Op::TakeUp { loose } => Some(Outcome::TakenUp(Ok(self.take_up(key, &loose)))),
            Op::Signal => {
                self.keep(key, id, op);
                if let Some(shard) = self.shard(key) {
                    shard.signal_waiter = Some(id);
                }
                self.deliver_signals(key);
                None
            }
            _ => self.begin_disk(key, id, op),
        }
    }

    /// Notes an operation as held by the devices.
    pub(super) fn keep(&mut self, key: ShardKey, id: OpId, op: Op) {
        if let Some(shard) = self.shard(key) {
            shard.operations.insert(id, InFlight { op, effect: None, covered: Covered::default() });
        }
    }

    /// Hands an outcome to its shard.
    pub(super) fn end(&mut self, key: ShardKey, id: OpId, outcome: Outcome) {
        self.note(key, "end", id.0.into(), value_of(&outcome));
        if let Some(shard) = self.shard(key) {
            shard.ended.push((id, outcome));
        }
    }

    /// Ends an operation that the devices hold with an error.
    pub(super) fn fail(&mut self, key: ShardKey, id: OpId, errno: Errno) {
        let held = self.shard(key).and_then(|shard| shard.operations.remove(&id));
        if let Some(InFlight { op, .. }) = held {
            self.end(key, id, failed(op, errno.into()));
        }
    }

    fn abandon(&mut self, key: ShardKey, id: OpId) {
        let Some(shard) = self.shard(key) else { return };
        let Some(InFlight { op, .. }) = shard.operations.get(&id) else { return };
        if op.is_file() && !matches!(op, Op::Listen { .. }) {
            return;
        }
        let socket = match op {
            Op::Accept { listener: socket, .. }
            | Op::Receive { socket }
            | Op::ReceiveInto { socket, .. }
            | Op::Send { socket, .. }
            | Op::HangUp { socket } => shard.sockets.get(socket).copied(),
            _ => None,
        };
        if matches!(op, Op::Signal) {
            shard.signal_waiter = None;
        }
        self.forget_waiter(key, id, socket);
        self.fail(key, id, Errno::CANCELED);
    }

    pub(super) fn deliver_signals(&mut self, key: ShardKey) {
        let host = &mut self.hosts[key.host];
        let Some(shard) = host.shards.get_mut(key.shard) else { return };
        if shard.signal_waiter.is_some()
            && let Some(signal) = host.signals.pop_front()
            && let Some(id) = shard.signal_waiter.take()
        {
            shard.operations.remove(&id);
            self.end(key, id, Outcome::Signal(Ok(signal)));
        }
    }

    fn turn(&mut self, key: ShardKey, ended: &mut Vec<(OpId, Outcome)>) {
        self.close_dropped();
        let Some(shard) = self.shard(key) else { return };
        shard.bell.store(false, Ordering::Release);
        if shard.pool.take_returned() > 0 {
            shard.ready.append(&mut shard.starving);
        }
        while let Some(socket) = self.shard(key).and_then(|shard| shard.ready.pop_front()) {
            match socket {
                Socket::End(connection, side) => self.finish_receive(key, connection, side),
                Socket::Listener(listener) => self.finish_accept(key, listener),
            }
        }
        if let Some(shard) = self.shard(key) {
            ended.append(&mut shard.ended);
        }
    }
}

/// The operation's name in a trace.
fn name_of(op: &Op) -> &'static str {
    match op {
        Op::Open { .. } => "open",
        Op::Read { .. } => "read",
        Op::Write { durability: Durability::None, .. } => "write",
        Op::Write { durability: Durability::Dsync, .. } => "write durably",
        Op::Allocate { .. } => "allocate",
        Op::Truncate { .. } => "truncate",
        Op::SyncData { .. } => "sync data",
        Op::Length { .. } => "length",
        Op::Lock { .. } => "lock",
        Op::CreateDir { .. } => "create directory",
        Op::RemoveFile { .. } => "remove file",
        Op::RemoveDir { .. } => "remove directory",
        Op::Rename { .. } => "rename",
        Op::SyncFileSystem { .. } => "sync file system",
        Op::SyncDir { .. } => "sync directory",
        Op::ReadDir { .. } => "read directory",
        Op::FreeSpace { .. } => "free space",
        Op::TotalSpace { .. } => "total space",
        Op::Device { .. } => "device",
        Op::ProcessUsage => "process usage",
        Op::Listen { .. } => "listen",
        Op::Accept { .. } => "accept",
        Op::Connect { .. } => "connect",
        Op::Receive { .. } => "receive",
        Op::ReceiveInto { .. } => "receive into",
        Op::Send { .. } => "send",
        Op::Shutdown { .. } => "shut down",
        Op::HangUp { .. } => "hang up",
        Op::LetGo { .. } => "let go",
        Op::TakeUp { .. } => "take up",
        Op::Signal => "signal",
    }
}

/// The outcome as one number: a count, or the error number below zero.
fn value_of(outcome: &Outcome) -> u64 {
    let error = |error: &io::Error| u64::MAX - u64::try_from(error.raw_os_error().unwrap_or(0)).unwrap_or(0);
    let count = |len: usize| u64::try_from(len).expect("a length fits 64 bits");
    match outcome {
        Outcome::Done(result) => result.as_ref().map_or_else(error, |()| 0),
        Outcome::Number(result) => result.as_ref().map_or_else(error, |number| *number),
        Outcome::Filled(result, _) => result.as_ref().map_or_else(error, |len| count(*len)),
        Outcome::Opened(result) => result.as_ref().map_or_else(error, |opened| opened.file.0.into()),
        Outcome::Usage(result) => result.as_ref().map_or_else(error, |usage| usage.open_descriptors),
        Outcome::Entries(result) => result.as_ref().map_or_else(error, |entries| count(entries.len())),
        Outcome::Listening(result) | Outcome::Connection(result) => {
            result.as_ref().map_or_else(error, |(_, address)| address.port().into())
        }
        Outcome::Loose(result) => result.as_ref().map_or_else(error, |_| 0),
        Outcome::TakenUp(result) => result.as_ref().map_or_else(error, |socket| socket.0.into()),
        Outcome::Received(result) => result.as_ref().map_or_else(error, |received| count(received.len())),
        Outcome::Signal(result) => result.as_ref().map_or_else(error, |_| 1),
    }
}

/// One shard's way to the world.
pub(super) struct SimBackend {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) key: ShardKey,
}

impl fmt::Debug for SimBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimBackend({:?})", self.key)
    }
}

impl Backend for SimBackend {
    fn begin(&mut self, id: OpId, op: Op) -> Option<Outcome> {
        self.world.borrow_mut().begin(self.key, id, op)
    }

    fn abandon(&mut self, id: OpId) {
        self.world.borrow_mut().abandon(self.key, id);
    }

    fn close_file(&mut self, file: FileId) {
        self.world.borrow_mut().close_file(self.key, file);
    }

    fn close_socket(&mut self, socket: SocketId) {
        self.world.borrow_mut().close_socket(self.key, socket);
    }

    /// Reports what is there: the simulator waits for all shards at once, between their turns.
    fn turn(&mut self, _wait: Wait, ended: &mut Vec<(OpId, Outcome)>) {
        self.world.borrow_mut().turn(self.key, ended);
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.world.borrow().now)
    }

    fn wall_clock_ms(&self) -> i64 {
        let world = self.world.borrow();
        let passed = i64::try_from(world.now / 1_000_000).expect("584 years in milliseconds fit");
        WALL_CLOCK_START_MS + passed + world.hosts[self.key.host].wall_clock_offset_ms
    }

    fn bell(&self) -> Bell {
        let mut world = self.world.borrow_mut();
        let shard = world.shard(self.key).expect("the core is built before its process can end");
        Bell::Flag(Arc::clone(&shard.bell))
    }
}

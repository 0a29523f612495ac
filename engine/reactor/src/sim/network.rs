//! The simulated network: hosts with addresses, listeners, and connections as two ordered streams of segments.
//!
//! A segment arrives after the latency of its link, never before the one sent earlier on its connection; connections
//! overtake each other freely. What cannot pass (a partition, a host without power, a vanished peer) waits as a real
//! stack's retransmissions do, until the way is free, the peer's kernel answers with a reset, or the sender gives up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::disk::{between, nanos};
use super::errno::Errno;
use super::events::ShardKey;
use super::random::Random;
use crate::op::{OpId, SocketId};

/// How the simulated network behaves when nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOptions {
    /// One way between two hosts.
    pub latency: RangeInclusive<Duration>,
    /// One way within a host.
    pub loopback_latency: RangeInclusive<Duration>,
    /// Bytes per second of one connection in one direction.
    pub bandwidth_bytes_per_s: u64,
    /// Bytes of one direction that are sent and not yet received by the process: both kernels' buffers together.
    pub window_bytes: usize,
    /// Bytes that travel together at most.
    pub segment_bytes_max: usize,
    /// How many of a thousand sends and receives are cut short at a random place.
    pub cuts_per_mille: u32,
    /// How many of a thousand segments are lost and sent again after 200 ms.
    pub losses_per_mille: u32,
    /// How long a connection attempt tries.
    pub connect_timeout: Duration,
    /// How long sent bytes may stay unacknowledged before the connection fails with `TimedOut`.
    pub give_up_after: Duration,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(20)..=Duration::from_micros(300),
            loopback_latency: Duration::from_micros(3)..=Duration::from_micros(30),
            bandwidth_bytes_per_s: 1_250_000_000,
            window_bytes: 256 * 1024,
            segment_bytes_max: 64 * 1024,
            cuts_per_mille: 200,
            losses_per_mille: 1,
            connect_timeout: Duration::from_secs(30),
            give_up_after: Duration::from_mins(2),
        }
    }
}

/// Time after which a lost segment is sent again.
const RETRANSMISSION_NANOS: u64 = 200_000_000;
/// The first of the doubling pauses between attempts to connect.
pub(super) const KNOCK_PAUSE_NANOS: u64 = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListenerId(pub(super) u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AttemptId(pub(super) u64);

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// The end that connected.
    Caller,
    /// The end that accepted.
    Callee,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// Bytes, or the end of them, on their way.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) is_end: bool,
}

/// An operation that sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sending {
    pub(super) op: OpId,
    pub(super) done: usize,
    pub(super) total: usize,
}

/// What one end has sent and the other has not received.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) sending: Option<Sending>,
    pub(super) in_flight: VecDeque<Segment>,
    pub(super) in_flight_bytes: usize,
    /// Segments that have arrived at the peer.
    pub(super) acknowledged: u64,
    /// The way to the peer is blocked; what is in flight waits.
    pub(super) is_stalled: bool,
    /// Nothing more can be sent from here.
    pub(super) has_shut: bool,
    line_free_at: u64,
    last_at: u64,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: usize,
    /// Which boot of the host opened it.
    pub(super) boot: u32,
    /// The process's side of it, once it has one and until it closes it.
    pub(super) socket: Option<(ShardKey, SocketId)>,
    /// The process has closed it, or the host has lost its power.
    pub(super) is_closed: bool,
    pub(super) address: SocketAddr,
    /// Received and not yet read.
    pub(super) inbox: VecDeque<u8>,
    /// The peer will send nothing more.
    pub(super) has_ended: bool,
    pub(super) error: Option<Errno>,
    pub(super) reader: Option<OpId>,
    /// Waits for the end of what the peer sends, or the error.
    pub(super) watcher: Option<OpId>,
    pub(super) out: Outgoing,
}

impl End {
    fn new(host: usize, boot: u32, address: SocketAddr) -> Self {
        Self {
            host,
            boot,
            socket: None,
            is_closed: false,
            address,
            inbox: VecDeque::new(),
            has_ended: false,
            error: None,
            reader: None,
            watcher: None,
            out: Outgoing::default(),
        }
    }

    /// Whether a receive would not wait.
    pub(super) fn is_readable(&self) -> bool {
        !self.inbox.is_empty() || self.has_ended || self.error.is_some()
    }
}

/// Two ends.
#[derive(Debug)]
pub(super) struct Connection {
    caller: End,
    callee: End,
    /// Packets vanish both ways, and nobody is told.
    pub(super) is_vanished: bool,
}

impl Connection {
    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }
}

/// An open listener.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) host: usize,
    pub(super) address: SocketAddr,
    pub(super) shard: ShardKey,
    pub(super) shares_port: bool,
    pub(super) backlog: usize,
    pub(super) queue: VecDeque<ConnectionId>,
    pub(super) waiting: VecDeque<OpId>,
}

impl Listener {
    fn takes(&self, host: usize, address: SocketAddr) -> bool {
        let own = self.address.ip();
        self.host == host
            && self.address.port() == address.port()
            && (own.is_unspecified() || address.ip().is_unspecified() || own == address.ip())
    }
}

/// An attempt to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) shard: ShardKey,
    /// Who waits for it, unless nobody does any more.
    pub(super) op: Option<OpId>,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) to_host: Option<usize>,
    pub(super) began_at: u64,
    pub(super) pause: u64,
    pub(super) result: Option<Result<ConnectionId, Errno>>,
}

/// Everything between the hosts.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) options: NetworkOptions,
    pub(super) random: Random,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) listeners: BTreeMap<ListenerId, Listener>,
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    /// Pairs of hosts between which nothing passes, from the first to the second.
    pub(super) blocked: BTreeSet<(usize, usize)>,
    /// What each link adds to the latency, in nanoseconds.
    pub(super) delays: BTreeMap<(usize, usize), u64>,
    next_id: u64,
}

impl Network {
    pub(super) fn new(options: NetworkOptions, random: Random) -> Self {
        Self {
            options,
            random,
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            attempts: BTreeMap::new(),
            blocked: BTreeSet::new(),
            delays: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// A number for a connection, listener or attempt.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn connect_ends(
        &mut self,
        caller: (usize, u32, SocketAddr),
        callee: (usize, u32, SocketAddr),
    ) -> ConnectionId {
        let id = ConnectionId(self.next_id());
        let caller = End::new(caller.0, caller.1, caller.2);
        let callee = End::new(callee.0, callee.1, callee.2);
        self.connections.insert(id, Connection { caller, callee, is_vanished: false });
        id
    }

    /// Time from one host to another.
    pub(super) fn latency(&mut self, from: usize, to: usize) -> u64 {
        let range = if from == to { &self.options.loopback_latency } else { &self.options.latency };
        between(range, &mut self.random) + self.delays.get(&(from, to)).copied().unwrap_or(0)
    }

    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        !self.blocked.contains(&(from, to))
    }

    /// The listeners that would take a connection to this address of a host.
    pub(super) fn listeners_at(&self, host: usize, address: SocketAddr) -> Vec<ListenerId> {
        self.listeners.iter().filter(|(_, listener)| listener.takes(host, address)).map(|(id, _)| *id).collect()
    }

    /// Puts a segment on its way, and answers when it arrives.
    pub(super) fn depart(&mut self, id: ConnectionId, from: Side, bytes: Vec<u8>, is_end: bool, now: u64) -> u64 {
        let connection = &self.connections[&id];
        let (here, there) = (connection.end(from).host, connection.end(from.other()).host);
        let mut latency = self.latency(here, there);
        if here != there && self.random.chance(self.options.losses_per_mille) {
            latency += RETRANSMISSION_NANOS;
        }
        let size = u64::try_from(bytes.len()).expect("a length fits 64 bits");
        let transfer = size * 1_000_000_000 / self.options.bandwidth_bytes_per_s.max(1);
        let end = self.connections.get_mut(&id).expect("looked up above").end_mut(from);
        end.out.line_free_at = end.out.line_free_at.max(now) + transfer;
        end.out.last_at = end.out.last_at.max(end.out.line_free_at + latency);
        end.out.in_flight_bytes += bytes.len();
        end.out.in_flight.push_back(Segment { at: end.out.last_at, bytes, is_end });
        end.out.last_at
    }

    /// When something sent now would arrive behind all that is in flight.
    pub(super) fn after_all(&mut self, id: ConnectionId, from: Side, now: u64) -> u64 {
        let connection = &self.connections[&id];
        let (here, there) = (connection.end(from).host, connection.end(from.other()).host);
        let at = now + self.latency(here, there);
        let end = self.connections.get_mut(&id).expect("looked up above").end_mut(from);
        end.out.last_at = end.out.last_at.max(at);
        end.out.last_at
    }

    /// Makes the segments that waited for a free way depart again. Answers when each arrives.
    pub(super) fn resume(&mut self, id: ConnectionId, from: Side, now: u64) -> Vec<u64> {
        let pause = self.random.below(RETRANSMISSION_NANOS);
        let connection = self.connections.get_mut(&id).expect("the caller has just seen it");
        let end = connection.end_mut(from);
        end.out.is_stalled = false;
        end.out.line_free_at = now;
        let mut at = now + pause;
        for segment in &mut end.out.in_flight {
            at += 1;
            segment.at = segment.at.max(at);
            at = segment.at;
        }
        end.out.last_at = at;
        end.out.in_flight.iter().map(|segment| segment.at).collect()
    }

    /// Bytes that may be sent from here now.
    pub(super) fn room(&self, id: ConnectionId, from: Side) -> usize {
        let connection = &self.connections[&id];
        let taken = connection.end(from).out.in_flight_bytes + connection.end(from.other()).inbox.len();
        self.options.window_bytes.saturating_sub(taken)
    }

    /// A length from 1 to `len`: usually all of it.
    pub(super) fn cut(&mut self, len: usize) -> usize {
        if len > 1 && self.random.chance(self.options.cuts_per_mille) { 1 + self.random.index(len) } else { len }
    }

    pub(super) fn give_up_at(&self, now: u64) -> u64 {
        now.saturating_add(nanos(self.options.give_up_after))
    }
}

/// Whether an address means the host itself.
pub(super) fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

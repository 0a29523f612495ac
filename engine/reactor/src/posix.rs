//! The backend for where `io_uring` is forbidden: epoll for sockets, a few threads for files.

mod stream;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::net::SocketFlags;
use slab::Slab;

use crate::backend::{Backend, Bell, Wait};
use crate::clock;
use crate::disk::Performed;
use crate::limits::Limits;
use crate::loose::{Hold, LooseSocket};
use crate::network;
use crate::op::{FileId, Op, OpId, Opened, Outcome, SocketId, failed};
use crate::posix::stream::{Attempt, Stream};
use crate::received::ReceivePool;
use crate::signal;
use crate::time::Instant;
use crate::workers::Workers;

/// Events that one turn takes from epoll; more come with the next turn.
const EVENTS_PER_TURN_MAX: usize = 512;

/// What the event of the bell carries instead of a socket's key.
const BELL_KEY: u64 = u64::MAX;

/// What the event of the signals' pipe carries instead of a socket's key.
const SIGNAL_KEY: u64 = u64::MAX - 1;

/// One shard's epoll, sockets, files and threads.
pub(crate) struct Posix {
    epoll: OwnedFd,
    bell: Arc<OwnedFd>,
    workers: Workers,
    files: Slab<Arc<OwnedFd>>,
    streams: Slab<Stream>,
    pool: Rc<ReceivePool>,
    /// Sockets that had something to receive when the pool was empty. Each is here at most once.
    starved: Vec<usize>,
    /// The socket of each waiting socket operation, by operation.
    waiting: Vec<Option<usize>>,
    signal_waiter: Option<OpId>,
    signal_polled: bool,
    /// What ended outside a turn.
    ended: Vec<(OpId, Outcome)>,
    events: Vec<Event>,
}

impl Posix {
    pub(crate) fn new(limits: &Limits) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &bell, EventData::new_u64(BELL_KEY), EventFlags::IN | EventFlags::ET)?;
        let workers = Workers::start(limits.posix_workers, &Bell::Event(Arc::clone(&bell)))?;
        Ok(Self {
            epoll,
            bell,
            workers,
            files: Slab::new(),
            streams: Slab::new(),
            pool: ReceivePool::new(limits),
            starved: Vec::new(),
            waiting: Vec::new(),
            signal_waiter: None,
            signal_polled: false,
            ended: Vec::new(),
            events: Vec::with_capacity(EVENTS_PER_TURN_MAX),
        })
    }

    /// Registers a descriptor once, edge-triggered in both directions, so that waiting costs no system call.
    fn add_stream(&mut self, fd: OwnedFd) -> io::Result<SocketId> {
        let entry = self.streams.vacant_entry();
        let key = u64::try_from(entry.key()).expect("a slab's key fits 64 bits");
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &fd, EventData::new_u64(key), flags)?;
        let id = SocketId(u32::try_from(entry.key()).expect("fewer sockets than 32 bits count"));
        entry.insert(Stream::new(fd));
        Ok(id)
    }

    /// Gives a connected or accepted descriptor its place.
    fn connection(&mut self, fd: OwnedFd) -> Outcome {
        Outcome::Connection((|| {
            network::set_nodelay(&fd)?;
            let peer = network::peer_address(&fd)?;
            Ok((self.add_stream(fd)?, peer))
        })())
    }

    fn begin_socket(&mut self, id: OpId, socket: SocketId, op: Op) -> Option<Outcome> {
        let key = index(socket.0);
        let attempt = self.streams[key].begin(id, op, &self.pool);
        self.settle(key, id, attempt)
    }

    /// Turns an attempt into an outcome, or remembers what it waits for.
    fn settle(&mut self, key: usize, id: OpId, attempt: Attempt) -> Option<Outcome> {
        match attempt {
            Attempt::Ended(outcome) => Some(outcome),
            Attempt::Accepted(fd) => Some(self.connection(fd)),
            Attempt::Unconnected(error) => {
                self.streams.remove(key);
                Some(Outcome::Connection(Err(error)))
            }
            Attempt::Starved => {
                self.starved.push(key);
                self.wait_for(id, key);
                None
            }
            Attempt::Waits => {
                self.wait_for(id, key);
                None
            }
        }
    }

    fn wait_for(&mut self, id: OpId, key: usize) {
        let slot = index(id.0);
        if self.waiting.len() <= slot {
            self.waiting.resize(slot + 1, None);
        }
        self.waiting[slot] = Some(key);
    }

    fn connect(&mut self, id: OpId, address: std::net::SocketAddr) -> Option<Outcome> {
        let begun = (|| {
            let socket = network::tcp_socket(&address, SocketFlags::NONBLOCK)?;
            network::set_nodelay(&socket)?;
            match rustix::net::connect(&socket, &address) {
                Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => self.add_stream(socket),
                Err(error) => Err(error.into()),
            }
        })();
        match begun {
            Ok(socket) => {
                let key = index(socket.0);
                self.streams[key].begin_connect(id, socket, address);
                self.wait_for(id, key);
                None
            }
            Err(error) => Some(Outcome::Connection(Err(error))),
        }
    }

    fn let_go(&mut self, socket: SocketId) -> io::Result<LooseSocket> {
        let key = index(socket.0);
        self.starved.retain(|starved| *starved != key);
        let fd = self.streams.remove(key).into_fd();
        epoll::delete(&self.epoll, &fd)?;
        Ok(LooseSocket { hold: Hold::Descriptor(fd), unread: Vec::new() })
    }

    /// What has arrived meanwhile, or has happened, is an edge to an epoll that it is new to.
    fn take_up(&mut self, loose: LooseSocket) -> io::Result<SocketId> {
        match loose.hold {
            Hold::Descriptor(fd) => self.add_stream(fd),
            Hold::Simulated { .. } => unreachable!("a process has one kind of backend"),
        }
    }

    fn wait_for_signal(&mut self, id: OpId) -> Option<Outcome> {
        let pipe = match signal::pipe() {
            Ok(pipe) => pipe,
            Err(error) => return Some(Outcome::Signal(Err(error))),
        };
        if !self.signal_polled {
            if let Err(error) = epoll::add(&self.epoll, pipe, EventData::new_u64(SIGNAL_KEY), EventFlags::IN) {
                return Some(Outcome::Signal(Err(error.into())));
            }
            self.signal_polled = true;
        }
        if let Some(outcome) = next_signal() {
            return Some(outcome);
        }
        if self.signal_waiter.is_some() {
            let busy = io::Error::new(io::ErrorKind::ResourceBusy, "another task waits for signals");
            return Some(Outcome::Signal(Err(busy)));
        }
        self.signal_waiter = Some(id);
        None
    }

    /// A level-triggered pipe that nobody reads would keep the loop awake.
    fn take_signal(&mut self) {
        if self.signal_waiter.is_some()
            && let Some(outcome) = next_signal()
        {
            let id = self.signal_waiter.take().expect("just looked");
            self.ended.push((id, outcome));
        }
    }

    /// Takes events from the kernel. An interrupted wait is a turn without events.
    fn poll(&mut self, wait: Wait) {
        let timeout = match wait {
            Wait::No => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
            Wait::Until(deadline) => Some(timespec(deadline.since(clock::now()))),
            Wait::Forever => None,
        };
        self.events.clear();
        let polled = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref());
        match polled {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("epoll_wait: {error}"),
        }
    }

    /// Performs what a socket's readiness allows.
    fn advance(&mut self, key: usize) {
        loop {
            let Some(stream) = self.streams.get_mut(key) else { return };
            let Some((id, attempt)) = stream.advance(&self.pool) else { return };
            if let Some(outcome) = self.settle(key, id, attempt) {
                self.waiting[index(id.0)] = None;
                self.ended.push((id, outcome));
            }
        }
    }

    fn take_performed(&mut self, ended: &mut Vec<(OpId, Outcome)>) {
        while let Some((id, performed)) = self.workers.next_ended() {
            let outcome = match performed {
                Performed::Done(result) => Outcome::Done(result),
                Performed::Number(result) => Outcome::Number(result),
                Performed::Filled(result, chunk) => Outcome::Filled(result, chunk),
                Performed::Entries(result) => Outcome::Entries(result),
                Performed::Usage(result) => Outcome::Usage(result),
                Performed::Opened(result) => Outcome::Opened(result.map(|(fd, direct)| {
                    let key = self.files.insert(Arc::new(fd));
                    Opened { file: FileId(u32::try_from(key).expect("fewer files than 32 bits count")), direct }
                })),
            };
            ended.push((id, outcome));
        }
    }
}

fn next_signal() -> Option<Outcome> {
    match signal::next() {
        Ok(signal) => signal.map(|signal| Outcome::Signal(Ok(signal))),
        Err(error) => Some(Outcome::Signal(Err(error))),
    }
}

fn index(id: u32) -> usize {
    usize::try_from(id).expect("32 bits fit")
}

fn timespec(duration: std::time::Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

impl Backend for Posix {
    fn begin(&mut self, id: OpId, op: Op) -> Option<Outcome> {
        match op {
            Op::Listen { address, options } => {
                let listening = network::listen(&address, options, SocketFlags::NONBLOCK)
                    .and_then(|(fd, local)| Ok((self.add_stream(fd)?, local)));
                Some(Outcome::Listening(listening))
            }
            Op::Connect { address } => self.connect(id, address),
            Op::Signal => self.wait_for_signal(id),
            Op::LetGo { socket } => Some(Outcome::Loose(self.let_go(socket))),
            Op::TakeUp { loose } => Some(Outcome::TakenUp(self.take_up(loose))),
            Op::Accept { listener: socket, .. }
            | Op::Receive { socket }
            | Op::ReceiveInto { socket, .. }
            | Op::Send { socket, .. }
            | Op::Shutdown { socket }
            | Op::HangUp { socket } => self.begin_socket(id, socket, op),
            _ => {
                let file = op.file().map(|file| Arc::clone(&self.files[index(file.0)]));
                self.workers.submit(id, op, file);
                None
            }
        }
    }

    fn abandon(&mut self, id: OpId) {
        if self.signal_waiter == Some(id) {
            self.signal_waiter = None;
            self.ended.push((id, failed(Op::Signal, canceled())));
            return;
        }
        // File operations are not in `waiting`; they run to their end.
        let Some(key) = self.waiting.get_mut(index(id.0)).and_then(Option::take) else { return };
        let (outcome, unconnected) = self.streams[key].cancel(id);
        self.ended.push((id, outcome));
        if unconnected {
            self.close_socket(SocketId(u32::try_from(key).expect("it came from a socket's id")));
        }
    }

    fn close_file(&mut self, file: FileId) {
        self.files.remove(index(file.0));
    }

    fn close_socket(&mut self, socket: SocketId) {
        let key = index(socket.0);
        self.starved.retain(|starved| *starved != key);
        let mut stream = self.streams.remove(key);
        for (id, outcome) in stream.cancel_all() {
            self.waiting[index(id.0)] = None;
            self.ended.push((id, outcome));
        }
    }

    fn turn(&mut self, wait: Wait, ended: &mut Vec<(OpId, Outcome)>) {
        if self.pool.take_returned() > 0 {
            for key in std::mem::take(&mut self.starved) {
                self.streams[key].fed();
                self.advance(key);
            }
        }
        let wait = if self.ended.is_empty() { wait } else { Wait::No };
        self.poll(wait);
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event.data.u64() {
                BELL_KEY => {
                    let mut count = [0; 8];
                    // Only to reset it; whoever rang has left word elsewhere.
                    let _ = rustix::io::read(&self.bell, &mut count);
                }
                SIGNAL_KEY => self.take_signal(),
                key => {
                    let key = usize::try_from(key).expect("it came from a slab's key");
                    let Some(stream) = self.streams.get_mut(key) else { continue };
                    stream.is_ready(event.flags);
                    self.advance(key);
                }
            }
        }
        self.events = events;
        self.take_performed(ended);
        ended.append(&mut self.ended);
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn wall_clock_ms(&self) -> i64 {
        clock::wall_clock_ms()
    }

    fn bell(&self) -> Bell {
        Bell::Event(Arc::clone(&self.bell))
    }
}

/// Nobody sees it: it ends operations that were abandoned.
fn canceled() -> io::Error {
    io::Error::from(io::ErrorKind::Interrupted)
}

impl fmt::Debug for Posix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Posix({} sockets, {} files)", self.streams.len(), self.files.len())
    }
}

//! The production backend: one `io_uring` per shard.
//!
//! Every request that the kernel has is a *flight* in a slab, and the slab owns all memory that the request points to.
//! A flight is removed by its last completion and by nothing else: that is why a dropped future, a closed socket or a
//! removed file can never take a buffer away from the kernel.

mod disk;
mod flight;
mod inbound;
mod outbound;
mod ring;
mod sockets;
mod support;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{cqueue, opcode, squeue};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use slab::Slab;

use crate::backend::{Backend, Bell, Wait};
use crate::clock;
use crate::counts::RingCounts;
use crate::disk::{Performed, perform};
use crate::limits::Limits;
use crate::network;
use crate::op::{FileId, Op, OpId, Opened, Outcome, SocketId, failed};
use crate::signal;
use crate::time::Instant;
use crate::uring::disk::FileFlight;
use crate::uring::flight::{Flight, Place, Side, Stream};
use crate::uring::inbound::{Accepting, Reader};
use crate::uring::ring::Ring;
use crate::workers::Workers;

pub use support::UringSupport;

/// What the completion of a request carries whose end interests nobody: cancellations.
const IGNORED: u64 = u64::MAX;

/// What a `MSG_RING` from another shard carries.
const RUNG: u64 = u64::MAX - 1;

/// How long the end of a shard waits for operations in flight. A disk that has not answered by then keeps its buffers
/// for ever.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// An open file.
#[derive(Debug)]
struct OpenFile {
    fd: OwnedFd,
    flights: usize,
    closing: bool,
}

/// One shard's ring, with all that is in flight on it.
pub(crate) struct Uring {
    ring: Ring,
    flights: Slab<Flight>,
    /// Where each operation is that has not ended.
    places: Vec<Place>,
    files: Slab<OpenFile>,
    streams: Slab<Stream>,
    /// Connections that found no buffer. Each is here at most once.
    starved: Vec<usize>,
    bell: Bell,
    bell_armed: bool,
    /// Performs what the ring cannot.
    thread: Option<Workers>,
    signal_waiter: Option<OpId>,
    /// Whether the signals' pipe is polled, which goes on when nobody waits any more.
    signal_armed: bool,
    ended: Vec<(OpId, Outcome)>,
    completions: Vec<cqueue::Entry>,
    limits: Limits,
}

impl Uring {
    /// Sets a ring up for this thread. Errors are what the kernel refuses with.
    pub(crate) fn new(limits: &Limits) -> io::Result<Self> {
        let ring = Ring::new(limits)?;
        let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let bell = Bell::Ring { ring: Arc::new(ring.duplicate()?), event };
        Ok(Self {
            ring,
            flights: Slab::new(),
            places: Vec::new(),
            files: Slab::new(),
            streams: Slab::new(),
            starved: Vec::new(),
            bell,
            bell_armed: false,
            thread: None,
            signal_waiter: None,
            signal_armed: false,
            ended: Vec::new(),
            completions: Vec::new(),
            limits: *limits,
        })
    }

    /// Queues the request of a flight.
    fn fly(&mut self, flight: Flight, entry: squeue::Entry) -> usize {
        let key = self.flights.insert(flight);
        self.request(key, entry);
        key
    }

    /// Queues another request of a flight that is in the slab.
    fn request(&mut self, key: usize, entry: squeue::Entry) {
        let entry = entry.user_data(u64::try_from(key).expect("a slab's key fits 64 bits"));
        // SAFETY: the flight with this key owns what the entry points to, on the heap, and stays in the slab until the
        // request's last completion.
        unsafe { self.ring.push(&entry) }
    }

    /// Queues a request that points to nothing and whose end interests nobody.
    fn request_ignored(&mut self, entry: squeue::Entry) {
        // SAFETY: the callers' entries point to no memory.
        unsafe { self.ring.push(&entry.user_data(IGNORED)) }
    }

    fn cancel(&mut self, key: usize) {
        let key = u64::try_from(key).expect("a slab's key fits 64 bits");
        self.request_ignored(opcode::AsyncCancel2::new(CancelBuilder::user_data(key)).build());
    }

    fn place(&mut self, id: OpId, place: Place) {
        let slot = index(id.0);
        if self.places.len() <= slot {
            self.places.resize(slot + 1, Place::Nowhere);
        }
        self.places[slot] = place;
    }

    fn end(&mut self, id: OpId, outcome: Outcome) {
        if let Some(place) = self.places.get_mut(index(id.0)) {
            *place = Place::Nowhere;
        }
        self.ended.push((id, outcome));
    }

    fn begin_file(&mut self, id: OpId, op: Op) -> Option<Outcome> {
        let file = op.file().map(|file| index(file.0));
        let fd = file.map(|file| self.files[file].fd.as_fd());
        if FileFlight::is_for_thread(&op) {
            return self.begin_on_thread(id, op);
        }
        if !FileFlight::is_request(&op) {
            return Some(self.performed(perform(op, fd)));
        }
        let (flight, entry) = match FileFlight::begin(id, op, file, fd) {
            Ok(begun) => begun,
            Err((op, error)) => return Some(failed(op, error)),
        };
        if let Some(file) = file {
            self.files[file].flights += 1;
        }
        self.fly(Flight::File(flight), entry);
        None
    }

    /// For an operation that takes long and that rings do not have. The thread is started by the first one.
    fn begin_on_thread(&mut self, id: OpId, op: Op) -> Option<Outcome> {
        if self.thread.is_none() {
            match Workers::start(1, &self.bell) {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => return Some(failed(op, error)),
            }
        }
        self.thread.as_mut()?.submit(id, op, None);
        None
    }

    fn take_performed(&mut self) {
        while let Some((id, performed)) = self.thread.as_mut().and_then(Workers::next_ended) {
            let outcome = self.performed(performed);
            self.end(id, outcome);
        }
    }

    fn complete_file(&mut self, key: usize, flight: FileFlight, result: i32) {
        let (id, file) = (flight.id, flight.file);
        let fd = file.map(|file| self.files[file].fd.as_fd());
        match flight.complete(result, fd) {
            disk::Step::Next(flight, entry) => {
                self.flights[key] = Flight::File(flight);
                self.request(key, entry);
            }
            disk::Step::Ended(performed) => {
                self.flights.remove(key);
                if let Some(file) = file {
                    self.files[file].flights -= 1;
                    self.close_if_over(file);
                }
                let outcome = self.performed(performed);
                self.end(id, outcome);
            }
        }
    }

    fn performed(&mut self, performed: Performed) -> Outcome {
        match performed {
            Performed::Done(result) => Outcome::Done(result),
            Performed::Number(result) => Outcome::Number(result),
            Performed::Filled(result, chunk) => Outcome::Filled(result, chunk),
            Performed::Entries(result) => Outcome::Entries(result),
            Performed::Usage(result) => Outcome::Usage(result),
            Performed::Opened(result) => Outcome::Opened(result.map(|(fd, direct)| {
                let key = self.files.insert(OpenFile { fd, flights: 0, closing: false });
                Opened { file: FileId(id_of(key)), direct }
            })),
        }
    }

    /// Closing a file that was removed frees its blocks, which takes time: a worker of the kernel does it.
    fn close_if_over(&mut self, file: usize) {
        if self.files[file].closing && self.files[file].flights == 0 {
            let fd = self.files.remove(file).fd.into_raw_fd();
            self.fly(Flight::Close, opcode::Close::new(Fd(fd)).build().flags(squeue::Flags::ASYNC));
        }
    }

    fn arm_bell(&mut self) {
        let Bell::Ring { event, .. } = &self.bell else { unreachable!("a ring's bell is a ring") };
        let fd = Fd(event.as_raw_fd());
        let mut count = Box::new(0u64);
        let entry = opcode::Read::new(fd, std::ptr::from_mut(&mut *count).cast(), 8).build();
        self.fly(Flight::Bell { _count: count }, entry);
        self.bell_armed = true;
    }

    fn wait_for_signal(&mut self, id: OpId) -> Option<Outcome> {
        if self.signal_waiter.is_some() {
            let busy = io::Error::new(io::ErrorKind::ResourceBusy, "another task waits for signals");
            return Some(Outcome::Signal(Err(busy)));
        }
        self.signal_waiter = Some(id);
        self.place(id, Place::Signal);
        let ended = self.ended.len();
        self.take_signal();
        self.just_ended(id, ended)
    }

    /// Gives the waiter the next signal, or sees to it that the pipe is polled.
    fn take_signal(&mut self) {
        let Some(id) = self.signal_waiter else { return };
        match signal::pipe().and_then(|pipe| Ok((pipe, signal::next()?))) {
            Ok((pipe, None)) => {
                if !self.signal_armed {
                    let events = u32::try_from(libc::POLLIN).expect("a small number");
                    self.fly(Flight::Signal, opcode::PollAdd::new(Fd(pipe.as_raw_fd()), events).build());
                    self.signal_armed = true;
                }
                return;
            }
            Ok((_, Some(signal))) => self.end(id, Outcome::Signal(Ok(signal))),
            Err(error) => self.end(id, Outcome::Signal(Err(error))),
        }
        self.signal_waiter = None;
    }

    fn complete(&mut self, completion: &cqueue::Entry) {
        match completion.user_data() {
            IGNORED | RUNG => return,
            _ => {}
        }
        let key = usize::try_from(completion.user_data()).expect("it came from a slab's key");
        let result = completion.result();
        // A flight that goes on leaves this mark for a moment; it is put back or removed below.
        let flight = std::mem::replace(&mut self.flights[key], Flight::Close);
        match flight {
            Flight::File(flight) => self.complete_file(key, flight, result),
            Flight::Send(flight) => self.complete_send(key, flight, result),
            Flight::Accept { stream } => {
                self.complete_accept(stream, completion);
                self.land_or_go_on(key, Flight::Accept { stream }, stream, completion);
            }
            Flight::Receive { stream } => {
                self.complete_receive(stream, completion);
                self.land_or_go_on(key, Flight::Receive { stream }, stream, completion);
            }
            Flight::ReceiveInto { id, stream, chunk } => {
                self.flights.remove(key);
                self.complete_receive_into(id, stream, chunk, result);
                self.drive(stream);
                self.land_stream(stream);
            }
            Flight::Connect { id, socket, address, _raw: _ } => {
                self.flights.remove(key);
                self.complete_connect(id, socket, address, result);
            }
            Flight::HangUp { id, stream } => {
                self.flights.remove(key);
                self.complete_hang_up(id, stream, result);
            }
            Flight::Signal => {
                self.flights.remove(key);
                self.signal_armed = false;
                self.take_signal();
            }
            Flight::Bell { _count: _ } => {
                self.flights.remove(key);
                self.bell_armed = false;
            }
            Flight::Doorbell { event, _ring: _ } => {
                self.flights.remove(key);
                if result < 0 {
                    // The kernel cannot, or the other ring is gone: its thread's eventfd serves as well.
                    Bell::Event(event).ring();
                }
            }
            Flight::Close => {
                self.flights.remove(key);
            }
        }
    }

    /// A multishot flight stays until the completion that says it is the last.
    fn land_or_go_on(&mut self, key: usize, flight: Flight, stream: usize, completion: &cqueue::Entry) {
        if cqueue::more(completion.flags()) {
            self.flights[key] = flight;
            self.drive(stream);
        } else {
            self.flights.remove(key);
            self.drive(stream);
            self.land_stream(stream);
        }
    }

    fn take_completions(&mut self, wait: Wait) {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.turn(wait, &mut completions);
        for completion in completions.drain(..) {
            self.complete(&completion);
        }
        self.completions = completions;
    }

    /// Waits for every flight, so that no memory is freed that the kernel still uses.
    fn drain(&mut self) {
        let deadline = clock::now() + DRAIN_TIME_MAX;
        let streams: Vec<usize> =
            self.streams.iter().filter(|(_, stream)| !stream.closing).map(|(key, _)| key).collect();
        for stream in streams {
            self.close_socket(SocketId(id_of(stream)));
        }
        for key in
            self.flights.iter().filter(|(_, flight)| flight.waits_for_ever()).map(|(key, _)| key).collect::<Vec<_>>()
        {
            self.cancel(key);
        }
        while !self.flights.is_empty() && clock::now() < deadline {
            self.take_completions(Wait::Until(deadline));
        }
    }
}

impl Backend for Uring {
    fn begin(&mut self, id: OpId, op: Op) -> Option<Outcome> {
        match op {
            Op::Listen { address, options } => {
                Some(Outcome::Listening(network::listen(&address, options, SocketFlags::empty()).map(|(fd, local)| {
                    let accepting = Accepting::new(self.limits.accept_queue);
                    (self.add_stream(fd, Side::Listener(accepting)), local)
                })))
            }
            Op::Accept { listener, .. } => {
                let stream = index(listener.0);
                self.place(id, Place::Waiting(stream));
                self.streams[stream].accepting().join(id);
                let ended = self.ended.len();
                self.drive(stream);
                self.just_ended(id, ended)
            }
            Op::Connect { address } => self.connect(id, address),
            Op::Receive { socket } => self.begin_reader(id, index(socket.0), Reader::Receive),
            Op::ReceiveInto { socket, chunk, bytes } => {
                self.begin_reader(id, index(socket.0), Reader::ReceiveInto { chunk, bytes })
            }
            Op::Send { socket, slices } => self.send(id, index(socket.0), slices),
            Op::Shutdown { socket } => {
                let fd = &self.streams[index(socket.0)].fd;
                let result = rustix::net::shutdown(fd, rustix::net::Shutdown::Write);
                Some(Outcome::Done(result.map_err(io::Error::from)))
            }
            Op::HangUp { socket } => {
                self.watch_hang_up(id, index(socket.0));
                None
            }
            Op::LetGo { socket } => self.let_go(id, index(socket.0)),
            Op::TakeUp { loose } => Some(self.take_up(loose)),
            Op::Signal => self.wait_for_signal(id),
            _ => self.begin_file(id, op),
        }
    }

    fn ring_counts(&self) -> Option<RingCounts> {
        Some(RingCounts { in_flight: self.flights.len(), ..self.ring.counts() })
    }

    fn abandon(&mut self, id: OpId) {
        let place = self.places.get(index(id.0)).copied().unwrap_or(Place::Nowhere);
        match place {
            // A file operation, which runs to its end.
            Place::Nowhere => {}
            Place::Flight(key) => self.cancel(key),
            Place::Signal => {
                self.signal_waiter = None;
                self.end(id, Outcome::Signal(Err(canceled())));
            }
            Place::Waiting(stream) => {
                let outcome = match &mut self.streams[stream].side {
                    Side::Listener(accepting) => {
                        assert!(accepting.leave(id), "a waiting accept is in its queue");
                        Outcome::Connection(Err(canceled()))
                    }
                    Side::Connection(receiving) => {
                        canceled_reader(receiving.leave(id).expect("a waiting reader is in its queue"))
                    }
                };
                self.end(id, outcome);
            }
        }
    }

    fn close_file(&mut self, file: FileId) {
        let file = index(file.0);
        self.files[file].closing = true;
        self.close_if_over(file);
    }

    fn close_socket(&mut self, socket: SocketId) {
        let key = index(socket.0);
        let stream = &mut self.streams[key];
        stream.closing = true;
        let (ended, unaccepted) = match &mut stream.side {
            Side::Listener(accepting) => {
                let (acceptors, unaccepted) = accepting.close();
                let ended = acceptors.into_iter().map(|id| (id, Outcome::Connection(Err(canceled())))).collect();
                (ended, unaccepted)
            }
            Side::Connection(receiving) => {
                let readers = receiving.close().into_iter();
                (readers.map(|(id, reader)| (id, canceled_reader(reader))).collect::<Vec<_>>(), Vec::new())
            }
        };
        for (id, outcome) in ended {
            self.end(id, outcome);
        }
        for connection in unaccepted {
            if let Outcome::Connection(Ok((socket, _))) = connection {
                self.close_socket(socket);
            }
        }
        self.starved.retain(|starved| *starved != key);
        if self.streams[key].flights == 0 {
            self.streams.remove(key);
        } else {
            self.cancel_all(key);
        }
    }

    fn turn(&mut self, wait: Wait, ended: &mut Vec<(OpId, Outcome)>) {
        if !self.starved.is_empty() {
            self.relieve_pool();
        }
        if self.ring.feed() {
            for stream in std::mem::take(&mut self.starved) {
                self.streams[stream].receiving().starved = false;
                self.drive(stream);
            }
        }
        if !self.bell_armed {
            self.arm_bell();
        }
        self.take_completions(if self.ended.is_empty() { wait } else { Wait::No });
        self.take_performed();
        ended.append(&mut self.ended);
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn wall_clock_ms(&self) -> i64 {
        clock::wall_clock_ms()
    }

    fn bell(&self) -> Bell {
        self.bell.clone()
    }

    fn ring(&mut self, bell: &Bell) {
        let Bell::Ring { ring, event } = bell else { return bell.ring() };
        let entry = opcode::MsgRingData::new(Fd(ring.as_raw_fd()), 0, RUNG, None).build();
        // The flight keeps the other ring's descriptors open.
        self.fly(Flight::Doorbell { _ring: Arc::clone(ring), event: Arc::clone(event) }, entry);
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.drain();
        if !self.flights.is_empty() {
            // The kernel may still write to these buffers, so they are never freed.
            std::mem::forget(std::mem::take(&mut self.flights));
            std::mem::forget(Rc::clone(self.ring.pool()));
        }
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring").field("ring", &self.ring).field("flights", &self.flights.len()).finish_non_exhaustive()
    }
}

/// A request's result: a count, or the error that a negative number names.
pub(crate) fn check(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Nobody sees it: it ends operations that were abandoned.
fn canceled() -> io::Error {
    io::Error::from(io::ErrorKind::Interrupted)
}

fn canceled_reader(reader: Reader) -> Outcome {
    match reader {
        Reader::Receive => Outcome::Received(Err(canceled())),
        Reader::ReceiveInto { chunk, .. } => Outcome::Filled(Err(canceled()), chunk),
    }
}

fn index(id: u32) -> usize {
    usize::try_from(id).expect("32 bits fit")
}

fn id_of(key: usize) -> u32 {
    u32::try_from(key).expect("fewer descriptors than 32 bits count")
}

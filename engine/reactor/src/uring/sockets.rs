//! What the ring does for sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{cqueue, opcode, squeue};
use ringlog_buffer::{Chunk, Slice};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::loose::{Hold, LooseSocket};
use crate::network;
use crate::op::{OpId, Outcome, SocketId};
use crate::received::Received;
use crate::uring::flight::{Flight, Place, Side, Stream};
use crate::uring::inbound::{Kernel, Reader, Receiving, Step};
use crate::uring::outbound::{RawAddress, SendFlight};
use crate::uring::ring::BUFFER_GROUP;
use crate::uring::{Uring, check, id_of, index, is};

impl Uring {
    pub(super) fn fly_stream(&mut self, stream: usize, flight: Flight, entry: squeue::Entry) -> usize {
        self.streams[stream].flights += 1;
        self.fly(flight, entry)
    }

    pub(super) fn land_stream(&mut self, stream: usize) {
        let landed = &mut self.streams[stream];
        landed.flights -= 1;
        if landed.flights > 0 {
            return;
        }
        if landed.closing {
            self.streams.remove(stream);
        } else if let Some(id) = landed.leaving {
            let outcome = self.loosen(stream);
            self.end(id, outcome);
        }
    }

    /// Takes a connection away as soon as the kernel has ended what it was asked for on it.
    pub(super) fn let_go(&mut self, id: OpId, stream: usize) -> Option<Outcome> {
        if self.streams[stream].flights == 0 {
            return Some(self.loosen(stream));
        }
        // A receive that has brought bytes before it ends has brought them to this socket.
        self.streams[stream].leaving = Some(id);
        self.cancel_all(stream);
        self.place(id, Place::Nowhere);
        None
    }

    fn loosen(&mut self, key: usize) -> Outcome {
        self.starved.retain(|starved| *starved != key);
        let mut stream = self.streams.remove(key);
        let unread = stream.receiving().take_arrived();
        Outcome::Loose(Ok(LooseSocket { hold: Hold::Descriptor(stream.fd), unread }))
    }

    pub(super) fn take_up(&mut self, loose: LooseSocket) -> Outcome {
        match loose.hold {
            Hold::Descriptor(fd) => Outcome::TakenUp(Ok(self.add_connection(fd))),
            Hold::Simulated { .. } => unreachable!("a process has one kind of backend"),
        }
    }

    pub(super) fn cancel_all(&mut self, stream: usize) {
        let all = CancelBuilder::fd(Fd(self.raw_fd(stream))).all();
        self.request_ignored(opcode::AsyncCancel2::new(all).build());
    }

    pub(super) fn add_stream(&mut self, fd: OwnedFd, side: Side) -> SocketId {
        SocketId(id_of(self.streams.insert(Stream { fd, side, flights: 0, closing: false, leaving: None })))
    }

    pub(super) fn add_connection(&mut self, fd: OwnedFd) -> SocketId {
        let receiving = Receiving::new(self.limits.receive_queue_buffers);
        self.add_stream(fd, Side::Connection(receiving))
    }

    pub(super) fn raw_fd(&self, stream: usize) -> i32 {
        self.streams[stream].fd.as_raw_fd()
    }

    pub(super) fn connect(&mut self, id: OpId, address: SocketAddr) -> Option<Outcome> {
        let socket = network::tcp_socket(&address, SocketFlags::empty()).and_then(|socket| {
            network::set_nodelay(&socket)?;
            Ok(socket)
        });
        let socket = match socket {
            Ok(socket) => self.add_connection(socket),
            Err(error) => return Some(Outcome::Connection(Err(error))),
        };
        let raw = RawAddress::new(&address);
        let entry = raw.connect(self.raw_fd(index(socket.0)));
        let flight = Flight::Connect { id, socket, address, _raw: raw };
        let key = self.fly_stream(index(socket.0), flight, entry);
        self.place(id, Place::Flight(key));
        None
    }

    pub(super) fn complete_connect(&mut self, id: OpId, socket: SocketId, address: SocketAddr, result: i32) {
        let stream = index(socket.0);
        let outcome = match check(result) {
            Ok(_) => Ok((socket, address)),
            Err(error) => {
                self.streams[stream].closing = true;
                Err(error)
            }
        };
        self.land_stream(stream);
        self.end(id, Outcome::Connection(outcome));
    }

    pub(super) fn send(&mut self, id: OpId, stream: usize, slices: Vec<Slice>) -> Option<Outcome> {
        let mut flight = SendFlight::new(id, stream, slices);
        if flight.is_over() {
            return Some(Outcome::Done(Ok(())));
        }
        let entry = flight.request(self.raw_fd(stream));
        let key = self.fly_stream(stream, Flight::Send(flight), entry);
        self.place(id, Place::Flight(key));
        None
    }

    pub(super) fn complete_send(&mut self, key: usize, mut flight: SendFlight, result: i32) {
        let (id, stream) = (flight.id, flight.socket);
        let outcome = match check(result) {
            Ok(bytes) => {
                flight.advance(bytes);
                if !flight.is_over() && !self.streams[stream].closing {
                    let entry = flight.request(self.raw_fd(stream));
                    self.flights[key] = Flight::Send(flight);
                    self.request(key, entry);
                    return;
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.flights.remove(key);
        self.land_stream(stream);
        self.end(id, Outcome::Done(outcome));
    }

    /// Polls once. The kernel tells of errors in any case.
    pub(super) fn watch_hang_up(&mut self, id: OpId, stream: usize) {
        let events = u32::try_from(libc::POLLRDHUP).expect("a small number");
        let entry = opcode::PollAdd::new(Fd(self.raw_fd(stream)), events).build();
        let key = self.fly_stream(stream, Flight::HangUp { id, stream }, entry);
        self.place(id, Place::Flight(key));
    }

    pub(super) fn complete_hang_up(&mut self, id: OpId, stream: usize, result: i32) {
        const FAILED: i16 = libc::POLLERR | libc::POLLHUP;
        let failed = usize::try_from(FAILED).expect("a small number");
        let outcome = match check(result) {
            Ok(events) if events & failed != 0 => Err(io::ErrorKind::ConnectionReset.into()),
            other => other.map(drop),
        };
        self.land_stream(stream);
        self.end(id, Outcome::Done(outcome));
    }

    pub(super) fn begin_reader(&mut self, id: OpId, stream: usize, reader: Reader) -> Option<Outcome> {
        self.place(id, Place::Waiting(stream));
        self.streams[stream].receiving().join(id, reader);
        let ended = self.ended.len();
        self.drive(stream);
        self.just_ended(id, ended)
    }

    /// The outcome of an operation that has ended at once, after `ended` others.
    pub(super) fn just_ended(&mut self, id: OpId, ended: usize) -> Option<Outcome> {
        let at = self.ended[ended..].iter().position(|(other, _)| *other == id)?;
        Some(self.ended.remove(ended + at).1)
    }

    /// Does what there is to do about what comes in through a socket.
    pub(super) fn drive(&mut self, stream: usize) {
        while !self.streams[stream].closing {
            let step = match &mut self.streams[stream].side {
                Side::Listener(accepting) => accepting.step(),
                Side::Connection(receiving) => receiving.step(!self.ring.pool().is_spilled()),
            };
            match step {
                None => return,
                Some(Step::Ended(id, outcome)) => self.end(id, outcome),
                Some(Step::Stop(flight)) => self.cancel(flight),
                Some(Step::Arm { multishot }) => self.arm(stream, multishot),
                Some(Step::Direct { id, mut chunk, bytes }) => {
                    let spare = &mut chunk.spare_mut()[..bytes];
                    let count = u32::try_from(bytes).expect("a chunk's length fits 32 bits");
                    let entry = opcode::Recv::new(Fd(self.raw_fd(stream)), spare.as_mut_ptr(), count).build();
                    let key = self.fly_stream(stream, Flight::ReceiveInto { id, stream, chunk }, entry);
                    self.streams[stream].receiving().direct = Some(key);
                    self.place(id, Place::Flight(key));
                }
            }
        }
    }

    /// Some connection has found the pool empty. Those whose bytes nobody waits for give their buffers up, so that slow
    /// readers cannot hold up the others.
    pub(super) fn relieve_pool(&mut self) {
        let mut stopped = Vec::new();
        for (_, stream) in &mut self.streams {
            if let Side::Connection(receiving) = &mut stream.side
                && !stream.closing
            {
                stopped.extend(receiving.relieve());
            }
        }
        for flight in stopped {
            self.cancel(flight);
        }
    }

    pub(super) fn arm(&mut self, stream: usize, multishot: bool) {
        let fd = Fd(self.raw_fd(stream));
        let is_listener = matches!(self.streams[stream].side, Side::Listener(_));
        let (flight, entry) = if is_listener {
            (Flight::Accept { stream }, opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build())
        } else if multishot {
            (Flight::Receive { stream }, opcode::RecvMulti::new(fd, BUFFER_GROUP).build())
        } else {
            let entry = opcode::Recv::new(fd, std::ptr::null_mut(), 0).buf_group(BUFFER_GROUP).build();
            (Flight::Receive { stream }, entry.flags(squeue::Flags::BUFFER_SELECT))
        };
        let key = self.fly_stream(stream, flight, entry);
        *self.streams[stream].kernel() = Kernel::Armed(key);
    }

    pub(super) fn complete_receive(&mut self, key: usize, completion: &cqueue::Entry) {
        let result = check(completion.result());
        let count = result.as_ref().map_or(0, |count| *count);
        // A buffer that came with the completion goes back to the pool when it is dropped, whatever is in it.
        let buffer = cqueue::buffer_select(completion.flags())
            .map(|buffer| Received::new(Rc::clone(self.ring.pool()), buffer, count));
        let stream = &mut self.streams[key];
        if stream.closing {
            return;
        }
        let receiving = stream.receiving();
        if !cqueue::more(completion.flags()) {
            receiving.kernel = Kernel::Idle;
        }
        match result {
            Ok(0) => receiving.arrive(Ok(Received::end())),
            Ok(_) => receiving.arrive(Ok(buffer.expect("bytes come in a buffer"))),
            Err(error) if is(&error, Errno::NOBUFS) => {
                receiving.starved = true;
                self.starved.push(key);
            }
            Err(error) if is(&error, Errno::CANCELED) || is(&error, Errno::INTR) => {}
            Err(error) => receiving.arrive(Err(error)),
        }
    }

    pub(super) fn complete_receive_into(&mut self, id: OpId, stream: usize, mut chunk: Chunk, result: i32) {
        self.streams[stream].receiving().direct = None;
        let result = check(result);
        if let Ok(count) = result {
            chunk.advance(count);
        }
        self.end(id, Outcome::Filled(result, chunk));
    }

    pub(super) fn complete_accept(&mut self, stream: usize, completion: &cqueue::Entry) {
        let connection = check(completion.result()).map(|fd| {
            let fd = i32::try_from(fd).expect("a descriptor came from 32 bits");
            // SAFETY: the kernel has just made it for this completion, and nobody else knows of it.
            unsafe { OwnedFd::from_raw_fd(fd) }
        });
        let connection = match connection {
            Err(error) if is(&error, Errno::CANCELED) => None,
            connection => Some(connection.and_then(|fd| {
                network::set_nodelay(&fd)?;
                let peer = network::peer_address(&fd)?;
                Ok((fd, peer))
            })),
        };
        if self.streams[stream].closing {
            return;
        }
        let outcome = connection
            .map(|connection| Outcome::Connection(connection.map(|(fd, peer)| (self.add_connection(fd), peer))));
        let accepting = self.streams[stream].accepting();
        if !cqueue::more(completion.flags()) {
            accepting.kernel = Kernel::Idle;
        }
        if let Some(outcome) = outcome {
            accepting.arrive(outcome);
        }
    }
}

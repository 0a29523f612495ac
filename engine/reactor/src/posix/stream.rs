//! One socket under edge-triggered epoll: what is known of its readiness, and the operations that wait for it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use ringlog_buffer::{Chunk, Slice};
use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags};

use crate::op::{Op, OpId, Outcome, SocketId};
use crate::posix::canceled;
use crate::received::ReceivePool;

/// Slices that one system call sends at most; the rest goes with the next.
const SLICES_PER_SEND_MAX: usize = 256;

#[derive(Debug)]
enum Reading {
    Accept,
    Receive,
    ReceiveInto { chunk: Chunk, bytes: usize },
}

#[derive(Debug)]
enum Writing {
    Connect { socket: SocketId, address: SocketAddr },
    Send { slices: Vec<Slice>, sent: Sent },
}

/// How far a send has come: whole slices, and bytes of the next one.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    slices: usize,
    bytes: usize,
}

/// What became of trying an operation.
#[derive(Debug)]
pub(crate) enum Attempt {
    Ended(Outcome),
    /// A connection, which wants a place before it is an outcome.
    Accepted(OwnedFd),
    /// A connect that failed: nobody knows of the socket.
    Unconnected(io::Error),
    /// It waits for readiness.
    Waits,
    /// It waits for a buffer of the pool.
    Starved,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Readable {
    No,
    Yes,
    /// There is something, and no buffer to put it in.
    Starved,
}

/// One socket or listener.
#[derive(Debug)]
pub(crate) struct Stream {
    fd: OwnedFd,
    readable: Readable,
    /// The peer has closed, or there is an error: no edge will tell of what is left to read.
    hung_up: bool,
    /// There is an error, or nothing passes in either direction.
    has_failed: bool,
    /// Waits for the peer to close, or an error.
    watcher: Option<OpId>,
    writable: bool,
    readers: VecDeque<(OpId, Reading)>,
    writers: VecDeque<(OpId, Writing)>,
}

impl Stream {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            readable: Readable::No,
            hung_up: false,
            has_failed: false,
            watcher: None,
            writable: true,
            readers: VecDeque::new(),
            writers: VecDeque::new(),
        }
    }

    /// Tries an operation at once, if nothing is before it and the socket may be ready.
    pub(crate) fn begin(&mut self, id: OpId, op: Op, pool: &Rc<ReceivePool>) -> Attempt {
        match op {
            Op::Accept { .. } => self.begin_reading(id, Reading::Accept, pool),
            Op::Receive { .. } => self.begin_reading(id, Reading::Receive, pool),
            Op::ReceiveInto { chunk, bytes, .. } => self.begin_reading(id, Reading::ReceiveInto { chunk, bytes }, pool),
            Op::Send { slices, .. } => {
                self.writers.push_back((id, Writing::Send { slices, sent: Sent::default() }));
                if self.writers.len() > 1 {
                    return Attempt::Waits;
                }
                self.try_first_writer().map_or(Attempt::Waits, |(_, attempt)| attempt)
            }
            Op::Shutdown { .. } => {
                let result = net::shutdown(&self.fd, Shutdown::Write).map_err(io::Error::from);
                Attempt::Ended(Outcome::Done(result))
            }
            Op::HangUp { .. } => {
                self.watcher = Some(id);
                self.try_watcher().map_or(Attempt::Waits, |(_, attempt)| attempt)
            }
            other => unreachable!("not an operation of a socket: {other:?}"),
        }
    }

    fn begin_reading(&mut self, id: OpId, reading: Reading, pool: &Rc<ReceivePool>) -> Attempt {
        self.readers.push_back((id, reading));
        if self.readers.len() > 1 {
            return Attempt::Waits;
        }
        self.try_first_reader(pool).map_or(Attempt::Waits, |(_, attempt)| attempt)
    }

    pub(crate) fn begin_connect(&mut self, id: OpId, socket: SocketId, address: SocketAddr) {
        self.writable = false;
        self.writers.push_back((id, Writing::Connect { socket, address }));
    }

    /// Notes what epoll says.
    pub(crate) fn is_ready(&mut self, flags: EventFlags) {
        let both = EventFlags::ERR | EventFlags::HUP;
        self.hung_up |= flags.intersects(EventFlags::RDHUP | both);
        self.has_failed |= flags.intersects(both);
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | both) && self.readable == Readable::No {
            self.readable = Readable::Yes;
        }
        self.writable |= flags.intersects(EventFlags::OUT | both);
    }

    /// The pool has buffers again.
    pub(crate) fn fed(&mut self) {
        if self.readable == Readable::Starved {
            self.readable = Readable::Yes;
        }
    }

    /// After a receive of `count` bytes into room for `wanted`: less than there was room for was all there is, and
    /// an edge will tell of more, so the next receive need not ask the kernel first.
    fn note_drained(&mut self, count: usize, wanted: usize) {
        if count < wanted && !self.hung_up {
            self.readable = Readable::No;
        }
    }

    /// Tries the next operation that readiness allows. `None` when nothing moves any more.
    pub(crate) fn advance(&mut self, pool: &Rc<ReceivePool>) -> Option<(OpId, Attempt)> {
        self.try_first_reader(pool).or_else(|| self.try_first_writer()).or_else(|| self.try_watcher())
    }

    fn try_watcher(&mut self) -> Option<(OpId, Attempt)> {
        let id = self.watcher.take_if(|_| self.hung_up)?;
        let result = if self.has_failed { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) };
        Some((id, Attempt::Ended(Outcome::Done(result))))
    }

    fn try_first_reader(&mut self, pool: &Rc<ReceivePool>) -> Option<(OpId, Attempt)> {
        if self.readable != Readable::Yes {
            return None;
        }
        let (id, reading) = self.readers.pop_front()?;
        let (reading, error) = match self.read(reading, pool) {
            Ok(attempt) => return Some((id, attempt)),
            Err(unread) => unread,
        };
        self.readers.push_front((id, reading));
        match error {
            Blocked::Kernel => {
                self.readable = Readable::No;
                None
            }
            Blocked::Pool => {
                self.readable = Readable::Starved;
                Some((id, Attempt::Starved))
            }
        }
    }

    fn read(&mut self, reading: Reading, pool: &Rc<ReceivePool>) -> Result<Attempt, (Reading, Blocked)> {
        match reading {
            Reading::Accept => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                match retry_on_intr(|| net::accept_with(&self.fd, flags)) {
                    Ok(fd) => Ok(Attempt::Accepted(fd)),
                    Err(Errno::AGAIN) => Err((reading, Blocked::Kernel)),
                    Err(error) => Ok(Attempt::Ended(Outcome::Connection(Err(error.into())))),
                }
            }
            Reading::Receive => {
                let filled =
                    pool.fill(|buffer| retry_on_intr(|| net::recv(&self.fd, &mut *buffer, RecvFlags::empty())));
                match filled {
                    None => Err((reading, Blocked::Pool)),
                    Some(Ok(received)) => {
                        self.note_drained(received.len(), pool.buffer_bytes());
                        Ok(Attempt::Ended(Outcome::Received(Ok(received))))
                    }
                    Some(Err(Errno::AGAIN)) => Err((reading, Blocked::Kernel)),
                    Some(Err(error)) => Ok(Attempt::Ended(Outcome::Received(Err(error.into())))),
                }
            }
            Reading::ReceiveInto { mut chunk, bytes } => {
                let spare = &mut chunk.spare_mut()[..bytes];
                match retry_on_intr(|| net::recv(&self.fd, &mut *spare, RecvFlags::empty())) {
                    Ok((count, _)) => {
                        chunk.advance(count);
                        self.note_drained(count, bytes);
                        Ok(Attempt::Ended(Outcome::Filled(Ok(count), chunk)))
                    }
                    Err(Errno::AGAIN) => Err((Reading::ReceiveInto { chunk, bytes }, Blocked::Kernel)),
                    Err(error) => Ok(Attempt::Ended(Outcome::Filled(Err(error.into()), chunk))),
                }
            }
        }
    }

    fn try_first_writer(&mut self) -> Option<(OpId, Attempt)> {
        if !self.writable {
            return None;
        }
        let (id, writing) = self.writers.pop_front()?;
        let outcome = match writing {
            Writing::Connect { socket, address } => match self.connected() {
                Ok(()) => Outcome::Connection(Ok((socket, address))),
                Err(error) => return Some((id, Attempt::Unconnected(error))),
            },
            Writing::Send { slices, mut sent } => match send_all(&self.fd, &slices, &mut sent) {
                Ok(()) => Outcome::Done(Ok(())),
                Err(Errno::AGAIN) => {
                    self.writable = false;
                    self.writers.push_front((id, Writing::Send { slices, sent }));
                    return None;
                }
                Err(error) => Outcome::Done(Err(error.into())),
            },
        };
        Some((id, Attempt::Ended(outcome)))
    }

    fn connected(&self) -> io::Result<()> {
        net::sockopt::socket_error(&self.fd)?.map_err(io::Error::from)
    }

    /// Takes an operation out. Answers its outcome, and whether the socket is one that was still connecting, which
    /// nobody else knows of.
    pub(crate) fn cancel(&mut self, id: OpId) -> (Outcome, bool) {
        if self.watcher.take_if(|watcher| *watcher == id).is_some() {
            return (Outcome::Done(Err(canceled())), false);
        }
        if let Some(at) = self.readers.iter().position(|(reader, _)| *reader == id) {
            let (_, reading) = self.readers.remove(at).expect("just found");
            return (canceled_reading(reading), false);
        }
        let at = self.writers.iter().position(|(writer, _)| *writer == id).expect("a waiting operation is in a queue");
        let (_, writing) = self.writers.remove(at).expect("just found");
        let unconnected = matches!(writing, Writing::Connect { .. });
        (canceled_writing(&writing), unconnected)
    }

    /// The descriptor alone. Panics if an operation waits.
    pub(crate) fn into_fd(self) -> OwnedFd {
        let waits = self.watcher.is_some() || !self.readers.is_empty() || !self.writers.is_empty();
        assert!(!waits, "nobody uses a socket that leaves");
        self.fd
    }

    /// Takes every operation out.
    pub(crate) fn cancel_all(&mut self) -> Vec<(OpId, Outcome)> {
        let readers = self.readers.drain(..).map(|(id, reading)| (id, canceled_reading(reading)));
        let writers = self.writers.drain(..).map(|(id, writing)| (id, canceled_writing(&writing)));
        let watcher = self.watcher.take().map(|id| (id, Outcome::Done(Err(canceled()))));
        readers.chain(writers).chain(watcher).collect()
    }
}

/// Why a read cannot go on.
enum Blocked {
    Kernel,
    Pool,
}

fn canceled_reading(reading: Reading) -> Outcome {
    match reading {
        Reading::Accept => Outcome::Connection(Err(canceled())),
        Reading::Receive => Outcome::Received(Err(canceled())),
        Reading::ReceiveInto { chunk, .. } => Outcome::Filled(Err(canceled()), chunk),
    }
}

fn canceled_writing(writing: &Writing) -> Outcome {
    match writing {
        Writing::Connect { .. } => Outcome::Connection(Err(canceled())),
        Writing::Send { .. } => Outcome::Done(Err(canceled())),
    }
}

/// Sends from where `sent` is to the end, or to an error.
fn send_all(fd: &OwnedFd, slices: &[Slice], sent: &mut Sent) -> Result<(), Errno> {
    while sent.slices < slices.len() {
        let rest = &slices[sent.slices..];
        let mut parts = [IoSlice::new(&[]); SLICES_PER_SEND_MAX];
        let count = rest.len().min(SLICES_PER_SEND_MAX);
        for (part, slice) in parts.iter_mut().zip(rest) {
            *part = IoSlice::new(slice);
        }
        parts[0] = IoSlice::new(&rest[0][sent.bytes..]);
        let flags = SendFlags::NOSIGNAL;
        let mut bytes =
            retry_on_intr(|| net::sendmsg(fd, &parts[..count], &mut SendAncillaryBuffer::default(), flags))?;
        while sent.slices < slices.len() {
            let left = slices[sent.slices].len() - sent.bytes;
            if bytes < left {
                sent.bytes += bytes;
                break;
            }
            bytes -= left;
            *sent = Sent { slices: sent.slices + 1, bytes: 0 };
        }
    }
    Ok(())
}

//! What comes in through one socket: connections of a listener, bytes of a connection.
//!
//! The kernel's receives belong to the socket, not to the operation that waits: a multishot receive goes on filling
//! buffers of the pool while nobody waits, and an abandoned `Receive` takes nothing with it. Everything here only
//! decides; `Uring` turns the decisions into requests.

use std::collections::VecDeque;
use std::io;

use ringlog_buffer::Chunk;

use crate::op::{OpId, Outcome};
use crate::received::Received;

/// Receives in a row without one into a frame's own buffer, after which the kernel may fill buffers ahead. A large
/// frame would only be copied out of them again, and stopping a multishot receive costs a request.
const SMALL_RECEIVES_BEFORE_MULTISHOT: u32 = 4;

/// The kernel's accept or receive of one socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kernel {
    /// None is in flight.
    Idle,
    /// This flight is.
    Armed(usize),
    /// This flight is, and has been asked to end.
    Stopping(usize),
}

/// What waits for bytes.
#[derive(Debug)]
pub(crate) enum Reader {
    Receive,
    ReceiveInto { chunk: Chunk, bytes: usize },
}

/// What to do next about a socket.
#[derive(Debug)]
pub(crate) enum Step {
    /// This operation has ended.
    Ended(OpId, Outcome),
    /// Receive into the pool: one buffer, or as many as come.
    Arm { multishot: bool },
    /// Receive into this chunk.
    Direct { id: OpId, chunk: Chunk, bytes: usize },
    /// Ask the flight to end.
    Stop(usize),
}

/// The receiving side of a connection.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// The receive into the pool.
    pub(crate) kernel: Kernel,
    /// The flight of a receive into a chunk.
    pub(crate) direct: Option<usize>,
    /// Whether the last receive found no buffer. Nothing is armed until the pool has some again.
    pub(crate) starved: bool,
    arrived: VecDeque<io::Result<Received>>,
    readers: VecDeque<(OpId, Reader)>,
    small_receives: u32,
    queue_limit: usize,
}

impl Receiving {
    pub(crate) fn new(queue_limit: usize) -> Self {
        Self {
            kernel: Kernel::Idle,
            direct: None,
            starved: false,
            arrived: VecDeque::new(),
            readers: VecDeque::new(),
            small_receives: SMALL_RECEIVES_BEFORE_MULTISHOT,
            queue_limit,
        }
    }

    pub(crate) fn join(&mut self, id: OpId, reader: Reader) {
        self.readers.push_back((id, reader));
    }

    /// Takes out an operation that only waits. `None` if it is with the kernel.
    pub(crate) fn leave(&mut self, id: OpId) -> Option<Reader> {
        let at = self.readers.iter().position(|(reader, _)| *reader == id)?;
        self.readers.remove(at).map(|(_, reader)| reader)
    }

    /// Takes out all that waits and all that has arrived.
    pub(crate) fn close(&mut self) -> Vec<(OpId, Reader)> {
        self.arrived.clear();
        self.readers.drain(..).collect()
    }

    /// Takes out the bytes that have arrived. Panics if somebody waits for them.
    pub(crate) fn take_arrived(&mut self) -> Vec<u8> {
        assert!(self.readers.is_empty() && self.direct.is_none(), "nobody receives on a socket that leaves");
        let mut bytes = Vec::new();
        // The end, or an error, is told again to who receives next.
        for received in self.arrived.drain(..).map_while(Result::ok) {
            bytes.extend_from_slice(&received);
        }
        bytes
    }

    pub(crate) fn arrive(&mut self, received: io::Result<Received>) {
        self.arrived.push_back(received);
    }

    /// Moves what has arrived and nobody waits for out of the pool, which has run empty. Answers the flight to stop, for
    /// a receive that nobody waits for would only bring more.
    pub(crate) fn relieve(&mut self) -> Option<usize> {
        self.arrived.iter_mut().flatten().for_each(Received::spill);
        match self.kernel {
            Kernel::Armed(flight) if self.readers.is_empty() => {
                self.kernel = Kernel::Stopping(flight);
                Some(flight)
            }
            _ => None,
        }
    }

    /// The next thing to do, if there is one. `may_prefetch` says whether the pool has buffers for bytes that nobody
    /// waits for.
    pub(crate) fn step(&mut self, may_prefetch: bool) -> Option<Step> {
        if let Some((id, reader)) = self.readers.pop_front() {
            if let Some(arrived) = self.arrived.pop_front() {
                return Some(Step::Ended(id, self.hand_over(reader, arrived)));
            }
            match reader {
                Reader::ReceiveInto { chunk, bytes } if self.kernel == Kernel::Idle && self.direct.is_none() => {
                    self.small_receives = 0;
                    return Some(Step::Direct { id, chunk, bytes });
                }
                reader => self.readers.push_front((id, reader)),
            }
        }
        match (self.kernel, self.readers.front()) {
            (Kernel::Armed(flight), Some((_, Reader::ReceiveInto { .. }))) => {
                self.kernel = Kernel::Stopping(flight);
                Some(Step::Stop(flight))
            }
            (Kernel::Armed(flight), _) if self.arrived.len() >= self.queue_limit => {
                self.kernel = Kernel::Stopping(flight);
                Some(Step::Stop(flight))
            }
            (Kernel::Idle, Some((_, Reader::Receive))) if self.direct.is_none() && !self.starved => {
                let multishot = may_prefetch && self.small_receives >= SMALL_RECEIVES_BEFORE_MULTISHOT;
                self.small_receives = self.small_receives.saturating_add(1);
                Some(Step::Arm { multishot })
            }
            _ => None,
        }
    }

    fn hand_over(&mut self, reader: Reader, arrived: io::Result<Received>) -> Outcome {
        match (reader, arrived) {
            (Reader::Receive, arrived) => Outcome::Received(arrived),
            (Reader::ReceiveInto { chunk, .. }, Err(error)) => Outcome::Filled(Err(error), chunk),
            (Reader::ReceiveInto { mut chunk, bytes }, Ok(mut received)) => {
                let count = received.len().min(bytes);
                chunk.append(&received[..count]);
                if received.discard(count) {
                    self.arrived.push_front(Ok(received));
                }
                Outcome::Filled(Ok(count), chunk)
            }
        }
    }
}

/// The accepting side of a listener.
#[derive(Debug)]
pub(crate) struct Accepting {
    pub(crate) kernel: Kernel,
    arrived: VecDeque<Outcome>,
    acceptors: VecDeque<OpId>,
    queue_limit: usize,
}

impl Accepting {
    pub(crate) fn new(queue_limit: usize) -> Self {
        Self { kernel: Kernel::Idle, arrived: VecDeque::new(), acceptors: VecDeque::new(), queue_limit }
    }

    pub(crate) fn join(&mut self, id: OpId) {
        self.acceptors.push_back(id);
    }

    /// Takes out an operation. Answers whether it was there.
    pub(crate) fn leave(&mut self, id: OpId) -> bool {
        let at = self.acceptors.iter().position(|acceptor| *acceptor == id);
        at.and_then(|at| self.acceptors.remove(at)).is_some()
    }

    /// Takes out all that waits, and the connections that nobody accepted.
    pub(crate) fn close(&mut self) -> (Vec<OpId>, Vec<Outcome>) {
        (self.acceptors.drain(..).collect(), self.arrived.drain(..).collect())
    }

    pub(crate) fn arrive(&mut self, connection: Outcome) {
        self.arrived.push_back(connection);
    }

    /// The next thing to do, if there is one.
    pub(crate) fn step(&mut self) -> Option<Step> {
        if !self.arrived.is_empty()
            && let Some(id) = self.acceptors.pop_front()
        {
            let connection = self.arrived.pop_front().expect("just looked");
            return Some(Step::Ended(id, connection));
        }
        match self.kernel {
            Kernel::Armed(flight) if self.arrived.len() >= self.queue_limit => {
                self.kernel = Kernel::Stopping(flight);
                Some(Step::Stop(flight))
            }
            Kernel::Idle if !self.acceptors.is_empty() => Some(Step::Arm { multishot: true }),
            _ => None,
        }
    }
}

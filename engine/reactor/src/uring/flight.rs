//! What the kernel has: requests in flight and the memory that they point to, and the sockets that they name.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringlog_buffer::Chunk;

use crate::op::{OpId, SocketId};
use crate::uring::disk::FileFlight;
use crate::uring::inbound::{Accepting, Kernel, Receiving};
use crate::uring::outbound::{RawAddress, SendFlight};

/// One request that the kernel has, from its submission to its last completion.
pub(crate) enum Flight {
    File(FileFlight),
    Send(SendFlight),
    Accept {
        stream: usize,
    },
    /// Into buffers of the pool.
    Receive {
        stream: usize,
    },
    ReceiveInto {
        id: OpId,
        stream: usize,
        chunk: Chunk,
    },
    Connect {
        id: OpId,
        socket: SocketId,
        address: SocketAddr,
        _raw: RawAddress,
    },
    /// A poll for the end of what the peer sends.
    HangUp {
        id: OpId,
        stream: usize,
    },
    /// A poll of the signals' pipe.
    Signal,
    /// A read of this ring's own eventfd.
    Bell {
        _count: Box<u64>,
    },
    /// A message to another ring, and the eventfd to ring if that fails.
    Doorbell {
        _ring: Arc<OwnedFd>,
        event: Arc<OwnedFd>,
    },
    Close,
}

impl Flight {
    /// Whether nothing but an event from outside, or a cancellation, ends it.
    pub(crate) fn waits_for_ever(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Doorbell { .. } | Self::Close)
    }
}

/// Where an operation is that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// It has ended, or it is a file operation, which is never looked for.
    Nowhere,
    /// It is this flight.
    Flight(usize),
    /// It waits for signals.
    Signal,
    /// It waits in the queue of this socket.
    Waiting(usize),
}

/// A listener or a connection. It is removed, and its descriptor closed, when it is closing and nothing flies.
pub(crate) struct Stream {
    pub(crate) fd: OwnedFd,
    pub(crate) side: Side,
    pub(crate) flights: usize,
    pub(crate) closing: bool,
    /// The operation that takes it from this shard once nothing flies.
    pub(crate) leaving: Option<OpId>,
}

/// What comes in through a socket.
pub(crate) enum Side {
    Listener(Accepting),
    Connection(Receiving),
}

impl Stream {
    pub(crate) fn receiving(&mut self) -> &mut Receiving {
        let Side::Connection(receiving) = &mut self.side else { unreachable!("a listener receives nothing") };
        receiving
    }

    pub(crate) fn accepting(&mut self) -> &mut Accepting {
        let Side::Listener(accepting) = &mut self.side else { unreachable!("only a listener accepts") };
        accepting
    }

    pub(crate) fn kernel(&mut self) -> &mut Kernel {
        match &mut self.side {
            Side::Listener(accepting) => &mut accepting.kernel,
            Side::Connection(receiving) => &mut receiving.kernel,
        }
    }
}

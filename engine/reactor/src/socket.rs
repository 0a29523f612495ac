//! Listeners and connected sockets.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use ringlog_buffer::{Chunk, Slice};

use crate::core::{Core, Stash};
use crate::loose::LooseSocket;
use crate::op::{Op, Outcome, SocketId};
use crate::reactor::{done, mismatch};
use crate::received::Received;

struct Handle {
    core: Rc<Core>,
    id: SocketId,
    /// What arrived for a `recv` or `accept` that was dropped before it looked.
    stash: Rc<Stash>,
    receiving: Cell<bool>,
    sending: Cell<bool>,
    watching: Cell<bool>,
    /// The shard has let go of it, or is about to.
    is_gone: Cell<bool>,
}

impl Handle {
    fn new(core: &Rc<Core>, id: SocketId) -> Rc<Self> {
        core.count_socket();
        Rc::new(Self {
            core: Rc::clone(core),
            id,
            stash: Rc::default(),
            receiving: Cell::new(false),
            sending: Cell::new(false),
            watching: Cell::new(false),
            is_gone: Cell::new(false),
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let stashed = self.stash.take();
        for outcome in stashed {
            if let Outcome::Connection(Ok((socket, _))) = outcome {
                self.core.count_socket();
                self.core.close_socket(socket);
            }
        }
        if !self.is_gone.get() {
            self.core.close_socket(self.id);
        }
    }
}

/// One direction of a socket belongs to one task at a time; this flag is held while it works.
struct Busy<'a>(&'a Cell<bool>);

impl<'a> Busy<'a> {
    fn new(flag: &'a Cell<bool>, what: &str) -> Self {
        assert!(!flag.replace(true), "two tasks {what} on one socket at a time");
        Self(flag)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// What connections come in through. It closes when it is dropped.
pub struct Listener {
    handle: Rc<Handle>,
    local: SocketAddr,
    beyond_limit: usize,
}

impl Listener {
    pub(crate) fn new(core: &Rc<Core>, id: SocketId, local: SocketAddr, beyond_limit: usize) -> Self {
        Self { handle: Handle::new(core, id), local, beyond_limit }
    }

    /// The next connection, and its peer's address. `TCP_NODELAY` is set. Waits while the shard's sockets are at their
    /// limit. Errors of one connection (aborted before it was accepted) come out too: go on accepting, after a moment
    /// if the process is out of descriptors.
    /// Dropping the future loses no connection.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let _busy = Busy::new(&self.handle.receiving, "accept");
        let core = &self.handle.core;
        let accept = Op::Accept { listener: self.handle.id, beyond_limit: self.beyond_limit };
        match core.operate(accept).with_stash(&self.handle.stash).await {
            Outcome::Connection(connection) => connection.map(|(id, peer)| (Socket::new(core, id), peer)),
            other => mismatch(&other),
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.local)
    }
}

/// A connected socket. Clones share it; when the last one is dropped, what waits on it is cancelled and it closes.
/// One task receives, one task sends and one waits for the end at a time; a second one panics.
#[derive(Clone)]
pub struct Socket {
    handle: Rc<Handle>,
}

impl Socket {
    pub(crate) fn new(core: &Rc<Core>, id: SocketId) -> Self {
        Self { handle: Handle::new(core, id) }
    }

    pub(crate) fn with_unread(core: &Rc<Core>, id: SocketId, unread: Vec<u8>) -> Self {
        let socket = Self::new(core, id);
        if !unread.is_empty() {
            socket.handle.stash.borrow_mut().push_back(Outcome::Received(Ok(Received::elsewhere(unread))));
        }
        socket
    }

    /// What arrives next, in a buffer of the shard's pool; empty when the peer has closed its side. For small frames:
    /// the kernel fills buffers ahead of the call. Dropping the future loses no bytes.
    pub async fn recv(&self) -> io::Result<Received> {
        let _busy = Busy::new(&self.handle.receiving, "receive");
        let op = Op::Receive { socket: self.handle.id };
        match self.handle.core.operate(op).with_stash(&self.handle.stash).await {
            Outcome::Received(received) => received,
            other => mismatch(&other),
        }
    }

    /// Receives 1 to `bytes` bytes into the spare part of `chunk`, and advances it; 0 when the peer has closed its side.
    /// For large frames: the kernel copies straight into the frame's own buffer. Dropping the future may lose bytes:
    /// close the connection then. Panics if the spare part is smaller than `bytes`, or if `bytes` is 0.
    pub async fn recv_into(&self, mut chunk: Chunk, bytes: usize) -> (io::Result<usize>, Chunk) {
        assert!(0 < bytes && bytes <= chunk.spare_len(), "receive {bytes} bytes into {}", chunk.spare_len());
        let _busy = Busy::new(&self.handle.receiving, "receive");
        if let Some(result) = self.take_stashed(&mut chunk, bytes) {
            return (result, chunk);
        }
        match self.handle.core.operate(Op::ReceiveInto { socket: self.handle.id, chunk, bytes }).await {
            Outcome::Filled(result, chunk) => (result, chunk),
            other => mismatch(&other),
        }
    }

    /// Copies what a dropped `recv` left. What does not fit stays for the next call.
    fn take_stashed(&self, chunk: &mut Chunk, bytes: usize) -> Option<io::Result<usize>> {
        let mut stash = self.handle.stash.borrow_mut();
        match stash.pop_front()? {
            Outcome::Received(Ok(mut received)) => {
                let count = received.len().min(bytes);
                chunk.append(&received[..count]);
                if received.discard(count) {
                    stash.push_front(Outcome::Received(Ok(received)));
                }
                Some(Ok(count))
            }
            Outcome::Received(Err(error)) => Some(Err(error)),
            other => mismatch(&other),
        }
    }

    /// Sends every byte of the slices, one behind the other. After an error, or when the future is dropped, it is
    /// unknown how many were sent: close the connection then.
    pub async fn send(&self, slices: Vec<Slice>) -> io::Result<()> {
        let _busy = Busy::new(&self.handle.sending, "send");
        done(self.handle.core.operate(Op::Send { socket: self.handle.id, slices }).await)
    }

    /// Waits until the peer will send nothing more, or, with an error, until the connection has failed. What has arrived
    /// is left to be received: so one that is not read is known to be over. Dropping the future changes nothing.
    pub async fn hang_up(&self) -> io::Result<()> {
        let _busy = Busy::new(&self.handle.watching, "wait for the end");
        done(self.handle.core.operate(Op::HangUp { socket: self.handle.id }).await)
    }

    /// Says to the peer that nothing more will be sent; receiving goes on.
    pub async fn shutdown(&self) -> io::Result<()> {
        let _busy = Busy::new(&self.handle.sending, "send");
        done(self.handle.core.operate(Op::Shutdown { socket: self.handle.id }).await)
    }

    /// Takes the connection from this shard, for another one. What has arrived and was not received goes along, so that not a
    /// byte is lost or comes twice. To be called once, while no task uses the socket; what does so afterwards panics. Dropping
    /// the future closes the connection.
    pub async fn let_go(&self) -> io::Result<LooseSocket> {
        let Handle { core, id, stash, receiving, sending, watching, is_gone } = &*self.handle;
        // For ever: nobody may use it any more.
        for (direction, what) in [(receiving, "receive"), (sending, "send"), (watching, "wait for the end")] {
            std::mem::forget(Busy::new(direction, what));
        }
        is_gone.set(true);
        let mut unread = Vec::new();
        for outcome in stash.take() {
            // The end, or an error, is told again to who receives next.
            let Outcome::Received(Ok(received)) = outcome else { break };
            unread.extend_from_slice(&received);
        }
        match core.operate(Op::LetGo { socket: *id }).await {
            Outcome::Loose(loose) => {
                core.uncount_socket();
                loose.map(|mut loose| {
                    unread.append(&mut loose.unread);
                    LooseSocket { unread, ..loose }
                })
            }
            other => mismatch(&other),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.handle.id.0)
    }
}

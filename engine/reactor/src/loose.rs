//! A connected socket between two shards.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A connected socket that no shard has: [`Socket::let_go`](crate::Socket::let_go) makes it, and
/// [`Reactor::take_up`](crate::Reactor::take_up) of any shard of the same process makes a socket of it again. Dropped, it closes.
pub struct LooseSocket {
    pub(crate) hold: Hold,
    /// What had arrived for the shard before and was not read: at most what its pool of receive buffers holds.
    pub(crate) unread: Vec<u8>,
}

/// What keeps the connection open.
pub(crate) enum Hold {
    Descriptor(OwnedFd),
    /// One end of a connection of the simulator, which closes the end when this is gone.
    Simulated {
        connection: u64,
        is_caller: bool,
        alive: Arc<()>,
    },
}

impl fmt::Debug for LooseSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LooseSocket({} bytes unread)", self.unread.len())
    }
}

//! A connection that begins to be served: one that has come in, or one that another shard has given away.

use std::net::SocketAddr;
use std::sync::Arc;

use ringlog_cluster::connections::Origin;
use ringlog_net::conn::Carried;
use ringlog_storage::types::Nanos;

use crate::telemetry::Software;

/// All that is known of a connection, without its socket.
#[derive(Debug)]
pub(crate) struct Entrant {
    pub(crate) way: Way,
    pub(crate) conn: Carried,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// Index of the listener that it came in through.
    pub(crate) listener: usize,
    /// What the client has called itself.
    pub(crate) client_id: Option<Arc<str>>,
    /// What the client has told of its software.
    pub(crate) software: Option<Box<Software>>,
    /// Where it came in, if it counts.
    pub(crate) counts: Option<Origin>,
}

/// Whether a shard has served it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// None has.
    Accepted,
    /// Another one has.
    Moved,
}

impl Entrant {
    /// A connection that was accepted.
    pub(crate) fn accepted(peer: SocketAddr, listener: usize, counts: Option<Origin>, now: Nanos) -> Self {
        let (client_id, software) = (None, None);
        Self { way: Way::Accepted, conn: Carried::new(now), peer, listener, client_id, software, counts }
    }
}

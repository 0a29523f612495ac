//! Ends of connections on their way from shard to shard of one process.

use std::sync::{Arc, Weak};

use super::events::ShardKey;
use super::network::{ConnectionId, Side};
use super::sockets::Farewell;
use super::world::{Socket, World};
use crate::loose::{Hold, LooseSocket};
use crate::op::SocketId;

/// One end of a connection that no shard has.
#[derive(Debug)]
pub(super) struct LooseEnd {
    pub(super) connection: ConnectionId,
    pub(super) side: Side,
    pub(super) host: usize,
    /// Gone when nobody has it any more.
    alive: Weak<()>,
}

impl World {
    /// What arrives from now on waits for the shard that takes the end up. It keeps its descriptor.
    pub(super) fn let_go(
        &mut self,
        key: ShardKey,
        number: SocketId,
        connection: ConnectionId,
        side: Side,
    ) -> LooseSocket {
        if let Some(shard) = self.shard(key) {
            shard.sockets.remove(&number);
            let leaves = Socket::End(connection, side);
            shard.ready.retain(|ready| *ready != leaves);
            shard.starving.retain(|starving| *starving != leaves);
        }
        let end = self.end_of(connection, side);
        end.socket = None;
        let is_in_use = end.reader.is_some() || end.watcher.is_some() || end.out.sending.is_some();
        assert!(!is_in_use, "nobody uses a socket that leaves");
        let alive = Arc::new(());
        self.loose.push(LooseEnd { connection, side, host: key.host, alive: Arc::downgrade(&alive) });
        let hold = Hold::Simulated { connection: connection.0, is_caller: side == Side::Caller, alive };
        LooseSocket { hold, unread: Vec::new() }
    }

    pub(super) fn take_up(&mut self, key: ShardKey, loose: &LooseSocket) -> SocketId {
        let Hold::Simulated { connection, is_caller, alive } = &loose.hold else {
            unreachable!("a process has one kind of backend")
        };
        let (connection, side) = (ConnectionId(*connection), if *is_caller { Side::Caller } else { Side::Callee });
        self.loose.retain(|end| !std::ptr::eq(end.alive.as_ptr(), Arc::as_ptr(alive)));
        self.hosts[key.host].descriptors -= 1;
        let socket = self.add_socket(key, Socket::End(connection, side));
        self.end_of(connection, side).socket = Some((key, socket));
        socket
    }

    /// Closes the ends that were dropped on their way.
    pub(super) fn close_dropped(&mut self) {
        for end in self.loose.extract_if(.., |end| end.alive.strong_count() == 0).collect::<Vec<_>>() {
            self.hosts[end.host].descriptors -= 1;
            self.close_end(end.connection, end.side, Farewell::Polite);
        }
    }
}

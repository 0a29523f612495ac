//! How a connection goes to another shard: it reads nothing more, and goes when all that it has begun is answered and sent.

use ringlog_net::conn::Carried;
use ringlog_storage::types::Nanos;

use super::Connection;
use crate::connection_moves::{QUIET_TIME_MAX, destination, hand_over};
use crate::entrant::{Entrant, Way};

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    /// It is served here.
    Here,
    /// It goes as soon as nothing is under way.
    Going {
        /// To this shard.
        to: usize,
        /// Then it stays.
        until: Nanos,
    },
    /// It has gone: this shard has nothing to do with its socket any more.
    Gone,
}

impl Connection {
    /// Has it go to another shard, unless it is on its way already.
    pub(crate) fn go(&self, to: usize) {
        if self.presence.get() == Presence::Here && !self.is_closing() {
            let until = self.shard.now().saturating_add(QUIET_TIME_MAX);
            self.presence.set(Presence::Going { to, until });
            self.conn.borrow_mut().hold();
            self.closing_bell.ring();
            self.room_bell.ring();
            self.ring_waits();
        }
    }

    /// Has it stay, unless it has gone.
    pub(crate) fn stay(&self) {
        if self.is_going() {
            self.presence.set(Presence::Here);
            self.conn.borrow_mut().unhold();
            self.room_bell.ring();
        }
    }

    /// Has it stay if it has not come to rest in time.
    pub(super) fn give_up_going(&self, now: Nanos) {
        if let Presence::Going { until, .. } = self.presence.get()
            && now >= until
        {
            self.stay();
        }
    }

    pub(super) fn is_going(&self) -> bool {
        matches!(self.presence.get(), Presence::Going { .. })
    }

    pub(super) fn is_gone(&self) -> bool {
        self.presence.get() == Presence::Gone
    }

    /// Goes, if it is to and nothing is under way. Answers whether it has: then its tasks end, and say nothing to the client.
    pub(super) async fn try_to_go(&self) -> bool {
        let Presence::Going { to, .. } = self.presence.get() else { return false };
        let Some(to) = destination(&self.shard, Some(to)) else {
            self.stay();
            return false;
        };
        let carried = self.conn.borrow_mut().carry();
        let Some(conn) = carried else { return false };
        // On the heap, because every connection would have room for it all the time.
        Box::pin(self.leave(to, conn)).await;
        true
    }

    async fn leave(&self, to: usize, conn: Carried) {
        self.presence.set(Presence::Gone);
        self.writer_bell.ring();
        let entrant = Entrant {
            way: Way::Moved,
            conn,
            peer: self.peer,
            listener: self.listener,
            client_id: self.client_id.get().cloned(),
            software: self.software.take(),
            counts: self.counts.take(),
        };
        hand_over(&self.shard, to, &self.socket, entrant).await;
    }
}

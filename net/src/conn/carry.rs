//! What a connection takes along when another shard goes on with it.
//!
//! It goes between two requests: [`Conn::hold`] has it read nothing more, and once all that it has begun is answered and sent
//! [`Conn::carry`] makes it a value, which [`Conn::carried`] makes a connection again.

use super::{Arrived, Conn, ConnLimits, Muted, ServedApis, SpareChunks};
use ringlog_storage::types::Nanos;
use std::sync::Arc;

/// A connection between two requests, without the memory of a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carried {
    /// What was received and is no request that anybody has taken: the beginning of a frame, and whole frames of a client
    /// that is muted.
    unread: Vec<u8>,
    client_id: Arc<str>,
    muted: Option<Muted>,
    active_at: Nanos,
}

impl Carried {
    /// A connection that was accepted at `now`.
    pub fn new(now: Nanos) -> Self {
        Self { unread: Vec::new(), client_id: Arc::from(""), muted: None, active_at: now }
    }
}

impl Conn {
    /// Reads no more of the socket than the frame needs that has memory of the shell, or a chunk of it. Requests that have
    /// arrived are served.
    pub fn hold(&mut self) {
        self.is_held = true;
    }

    /// Reads on.
    pub fn unhold(&mut self) {
        self.is_held = false;
    }

    /// Whether it is held, and nothing has to be read first.
    pub fn is_held(&self) -> bool {
        self.is_held && self.receiver.is_free()
    }

    /// What another shard needs to go on; `None` while something is under way. Nothing is to be done with this connection
    /// behind that.
    pub fn carry(&mut self) -> Option<Carried> {
        let is_taken = self.frames.is_empty() || self.muted.is_some();
        let is_sent = self.slots.is_empty() && self.outbox.is_empty() && !self.is_sending;
        if !(is_taken && is_sent && self.is_held() && self.granted_bytes == 0 && self.closing.is_none()) {
            return None;
        }
        let mut unread = Vec::new();
        for Arrived { frame, .. } in self.frames.drain(..) {
            let size = i32::try_from(frame.bytes.len()).expect("its size field has announced it");
            unread.extend_from_slice(&size.to_be_bytes());
            unread.extend_from_slice(&frame.bytes);
        }
        self.bytes_in_flight = 0;
        self.receiver.take_unfinished(&mut unread);
        let client_id = Arc::clone(&self.client_id);
        Some(Carried { unread, client_id, muted: self.muted, active_at: self.active_at })
    }

    /// Goes on with a connection that another shard had until `now`.
    pub fn carried(
        carried: Carried,
        limits: ConnLimits,
        apis: Arc<ServedApis>,
        spares: SpareChunks,
        now: Nanos,
    ) -> Self {
        let Carried { unread, client_id, muted, active_at } = carried;
        let mut conn = Self::new(limits, apis, spares, now);
        conn.received(&unread, now);
        Self { client_id, muted, active_at, ..conn }
    }
}

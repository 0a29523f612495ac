//! The course of one request, from its arrival to its answer. It is measured here and nowhere else.
//!
//! A reading of the clock is what costs most of it, so there is one for each request: behind its handler. When it is taken up,
//! the clock was read for its arrival or for the request before it; when its answer comes later, at the end of the turn that
//! brought the answer.

use ringlog_net::conn::{Request, Response};
use ringlog_net::messages::ApiKey;
use ringlog_storage::types::Nanos;

use super::counters::Phases;
use crate::shard::Shard;

/// When a request reached each part of its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    api: ApiKey,
    frame_bytes: usize,
    arrived_at: Nanos,
    begun_at: Nanos,
    /// When its handler had done its part, if something was left to wait for.
    handled_at: Option<Nanos>,
}

impl Course {
    /// The request is taken up now.
    pub(crate) fn begin(shard: &Shard, request: &Request) -> Self {
        Self {
            api: request.header.api_key,
            frame_bytes: request.frame_bytes,
            arrived_at: request.arrived_at,
            begun_at: shard.seen_at(),
            handled_at: None,
        }
    }

    /// When the request was taken up.
    pub(crate) fn begun_at(&self) -> Nanos {
        self.begun_at
    }

    /// It has its place; the answer comes later.
    #[must_use]
    pub(crate) fn handled(self, shard: &Shard) -> Self {
        Self { handled_at: Some(shard.now()), ..self }
    }

    /// Its answer is there.
    pub(crate) fn end(self, shard: &Shard, response: &Response) {
        let ended_at = if self.handled_at.is_some() { shard.seen_at() } else { shard.now() };
        let handled_at = self.handled_at.unwrap_or(ended_at);
        let phases = Phases {
            total: ended_at.since(self.arrived_at),
            queued: self.begun_at.since(self.arrived_at),
            local: handled_at.since(self.begun_at),
            remote: ended_at.since(handled_at),
        };
        shard.with_counters(|counters| counters.answered(self.api, self.frame_bytes, response, &phases));
    }
}

//! The course of one request, from the first byte of it to the last one of its answer. It is measured here and nowhere else.

use ringlog_net::conn::{Request, RequestSeq, Response};
use ringlog_net::messages::ApiKey;
use ringlog_storage::types::{Millis, Nanos};

use super::record::{Reason, Record, Whose};
use super::trail::{Phase, Trail};
use crate::metrics::counters::Times;
use crate::partition::table::PartitionKey;

/// Names the course of a request of this shard that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CourseId(u32);

impl CourseId {
    pub(super) fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("far fewer requests are in flight"))
    }

    pub(super) fn index(self) -> usize {
        usize::try_from(self.0).expect("a length fits 32 bits")
    }
}

/// A request that was taken up.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) seq: RequestSeq,
    /// The next one of its connection whose answer is not sent.
    pub(super) next: Option<CourseId>,
    pub(super) trail: Trail,
    begun_at: Nanos,
    /// When its handler had done its part, if something was left to wait for.
    pub(super) handled_at: Option<Nanos>,
    answered_at: Nanos,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    request_bytes: u32,
    response_bytes: u32,
    error: Option<i16>,
    first_partition: Option<PartitionKey>,
    partitions: u32,
}

impl Course {
    /// The request is taken up now.
    pub(super) fn new(request: &Request, now: Nanos) -> Self {
        let mut trail = Trail::new(request.first_byte_at);
        trail.until(Phase::Receive, request.arrived_at);
        if !request.muted.is_zero() {
            trail.until(Phase::Throttle, request.arrived_at.saturating_add(request.muted).min(now));
        }
        trail.until(Phase::Queue, now);
        Self {
            seq: request.seq,
            next: None,
            trail,
            begun_at: now,
            handled_at: None,
            answered_at: now,
            api: request.header.api_key,
            version: request.header.api_version,
            correlation_id: request.header.correlation_id,
            request_bytes: count(request.frame_bytes),
            response_bytes: 0,
            error: None,
            first_partition: None,
            partitions: 0,
        }
    }

    pub(super) fn about(&mut self, first: PartitionKey, partitions: usize) {
        self.first_partition = Some(first);
        self.partitions = count(partitions);
    }

    pub(super) fn answered(&mut self, now: Nanos, response: &Response) -> Nanos {
        self.trail.until(Phase::Handle, now);
        self.answered_at = now;
        if let Response::Send(body) = response {
            self.response_bytes = count(body.len());
        }
        self.error = response.errors().next().map(|error| error.code);
        self.begun_at
    }

    pub(super) fn api(&self) -> ApiKey {
        self.api
    }

    pub(super) fn first_partition(&self) -> Option<PartitionKey> {
        self.first_partition
    }

    /// Its time as it is counted.
    pub(super) fn times(&self) -> Times {
        let handled_at = self.handled_at.unwrap_or(self.answered_at);
        let nanos = |from: Nanos, to: Nanos| to.get().saturating_sub(from.get());
        Times {
            total: self.trail.total_nanos() - self.trail.spent_nanos(Phase::Receive),
            queued: self.trail.spent_nanos(Phase::Queue) + self.trail.spent_nanos(Phase::Throttle),
            local: nanos(self.begun_at, handled_at),
            remote: nanos(handled_at, self.answered_at),
            sent: self.trail.spent_nanos(Phase::Send),
        }
    }

    /// What is kept of it.
    pub(super) fn record(&self, reason: Reason, at: Millis, whose: Whose) -> Record {
        Record {
            number: 0,
            reason,
            at,
            whose,
            api: self.api,
            version: self.version,
            correlation_id: self.correlation_id,
            partition: self.first_partition.map(|first| first.partition),
            partitions: self.partitions,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            error: self.error,
            trail: self.trail,
        }
    }
}

/// Of what a message has; a course is to be small.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

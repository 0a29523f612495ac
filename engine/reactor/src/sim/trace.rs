//! What happened, in order: a running hash that two runs of one seed must share, and the last events in clear.

use std::collections::VecDeque;
use std::fmt;

use super::random::mix;

/// How many events a failure report shows.
const RECENT_MAX: usize = 40;

/// One event of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    /// Virtual time, in nanoseconds.
    pub(super) at: u64,
    /// Number of the host.
    pub(super) host: usize,
    /// Shard within the host.
    pub(super) shard: usize,
    /// What happened, such as `submit write`.
    pub(super) what: &'static str,
    /// What it was about: a descriptor, an operation, a connection.
    pub(super) subject: u64,
    /// Its outcome or size.
    pub(super) value: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, host, shard, what, subject, value } = self;
        let value = value.cast_signed();
        write!(
            f,
            "{}.{:09} host {host} shard {shard}: {what} {subject} {value}",
            at / 1_000_000_000,
            at % 1_000_000_000
        )
    }
}

/// The running hash and the most recent events.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    events: u64,
    recent: VecDeque<Event>,
}

impl Trace {
    pub(super) fn new(seed: u64) -> Self {
        Self { hash: mix(seed), events: 0, recent: VecDeque::with_capacity(RECENT_MAX) }
    }

    pub(super) fn note(&mut self, event: Event) {
        self.events += 1;
        self.fold(event.at);
        self.fold((widen(event.host) << 32) | widen(event.shard));
        self.fold_bytes(event.what.as_bytes());
        self.fold(event.subject);
        self.fold(event.value);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(event);
    }

    /// Makes payload part of the hash.
    pub(super) fn fold_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u64::from_le_bytes(last) ^ widen(bytes.len()).rotate_left(32));
    }

    pub(super) fn hash(&self) -> u64 {
        mix(self.hash ^ self.events)
    }

    /// The last events, one a line, for a failure report.
    pub(super) fn recent(&self) -> String {
        let lines: Vec<_> = self.recent.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    fn fold(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    }
}

fn widen(value: usize) -> u64 {
    u64::try_from(value).expect("a usize fits 64 bits")
}

//! A token bucket, as Kafka limits changes of the metadata (KIP-599): it may run into debt by any single use, and lets
//! nothing happen before that is paid.

use std::time::Duration;

use ringlog_storage::types::Nanos;

use super::{QuotaWindows, throttle_time};

/// Tokens that are left, below 0 for a debt. A bucket begins full.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct TokenBucket {
    tokens: f64,
    filled_at: Nanos,
}

impl TokenBucket {
    pub(super) fn new(limit: f64, windows: QuotaWindows, now: Nanos) -> Self {
        Self { tokens: burst(limit, windows), filled_at: now }
    }

    pub(super) fn take(&mut self, amount: f64, limit: f64, windows: QuotaWindows, now: Nanos) {
        self.fill(limit, windows, now);
        self.tokens -= amount;
    }

    /// How long it takes until the debt is paid.
    pub(super) fn throttle_time(&mut self, limit: f64, windows: QuotaWindows, now: Nanos) -> Duration {
        self.fill(limit, windows, now);
        throttle_time(-self.tokens / limit)
    }

    /// Whether it has not been used for so long that it is full whatever the limit was, but for a debt.
    pub(super) fn is_unused(&self, windows: QuotaWindows, now: Nanos) -> bool {
        self.tokens >= 0.0 && now.since(self.filled_at) >= windows.span()
    }

    fn fill(&mut self, limit: f64, windows: QuotaWindows, now: Nanos) {
        let filled = self.tokens + limit * now.since(self.filled_at).as_secs_f64();
        self.tokens = filled.min(burst(limit, windows));
        self.filled_at = now;
    }
}

fn burst(limit: f64, windows: QuotaWindows) -> f64 {
    limit * windows.span().as_secs_f64()
}

//! The use of quotas by the scopes that one shard owns.

use std::collections::BTreeMap;
use std::time::Duration;

use ringlog_storage::types::Nanos;

use super::rate::Rate;
use super::token_bucket::TokenBucket;
use super::{Charge, QuotaScope, QuotaType, QuotaWindows};

/// How many uses of quotas a shard remembers. Where there are more, those that were used longest ago are forgotten first.
pub const TRACKED_MAX: usize = 32_768;

/// What a shard remembers of the use of quotas.
///
/// It lies in two halves, of which what is used goes to the recent one. When that is full, or has been filled for longer
/// than use counts, it becomes the other half, which is forgotten: so nothing that counts goes unless there is no room.
#[derive(Clone, PartialEq, Debug)]
pub struct Usages {
    /// Of rates.
    windows: QuotaWindows,
    /// Of token buckets.
    controller_windows: QuotaWindows,
    recent: BTreeMap<Key, Usage>,
    other: BTreeMap<Key, Usage>,
    turned_at: Nanos,
}

type Key = (QuotaType, QuotaScope);

#[derive(Clone, PartialEq, Debug)]
enum Usage {
    Rate(Rate),
    TokenBucket(TokenBucket),
}

impl Usages {
    /// Nothing is used yet.
    pub fn new(windows: QuotaWindows, controller_windows: QuotaWindows) -> Self {
        let (recent, other) = (BTreeMap::new(), BTreeMap::new());
        Self { windows, controller_windows, recent, other, turned_at: Nanos::new(0) }
    }

    /// How many uses are remembered.
    pub fn tracked_count(&self) -> usize {
        self.recent.len() + self.other.len()
    }

    /// Counts what one request uses, and answers for how long its client is throttled for it. A fetch that is throttled, be
    /// it by another of the charges, brings nothing, so what it would have brought does not count.
    pub fn record(&mut self, charges: &[Charge], now: Nanos) -> Duration {
        let throttled = charges.iter().map(|charge| self.record_one(charge, now)).max().unwrap_or_default();
        if !throttled.is_zero() {
            for charge in charges.iter().filter(|charge| charge.quota_type == QuotaType::Fetch) {
                self.count(charge, -charge.amount, now);
            }
        }
        throttled
    }

    /// Counts it, unless the client is over the quota already: then nothing is counted, and the answer is for how long that
    /// goes on.
    pub fn record_strictly(&mut self, charge: &Charge, now: Nanos) -> Result<(), Duration> {
        let throttled = self.count(charge, 0.0, now);
        if !throttled.is_zero() {
            return Err(throttled);
        }
        self.count(charge, charge.amount, now);
        Ok(())
    }

    fn record_one(&mut self, charge: &Charge, now: Nanos) -> Duration {
        let throttled = self.count(charge, charge.amount, now);
        match charge.quota_type {
            // Time is measured when it has been taken, so that a single slow request would be paid for at length.
            QuotaType::Request => throttled.min(self.windows.size),
            QuotaType::Produce | QuotaType::Fetch | QuotaType::ControllerMutation => throttled,
        }
    }

    fn count(&mut self, charge: &Charge, amount: f64, now: Nanos) -> Duration {
        let (windows, controller_windows, limit) = (self.windows, self.controller_windows, charge.limit);
        match self.usage(charge, now) {
            Usage::Rate(rate) => {
                if amount != 0.0 {
                    rate.record(amount, windows, now);
                }
                rate.throttle_time(limit, windows, now)
            }
            Usage::TokenBucket(bucket) => {
                bucket.take(amount, limit, controller_windows, now);
                bucket.throttle_time(limit, controller_windows, now)
            }
        }
    }

    fn usage(&mut self, charge: &Charge, now: Nanos) -> &mut Usage {
        let key = (charge.quota_type, charge.scope.clone());
        if now.since(self.turned_at) >= self.windows.span().max(self.controller_windows.span()) {
            self.turn(now);
        }
        if self.recent.len() >= TRACKED_MAX / 2 && !self.recent.contains_key(&key) {
            self.turn(now);
        }
        let known = self.other.remove(&key);
        let controller_windows = self.controller_windows;
        self.recent.entry(key).or_insert_with(|| {
            known.unwrap_or_else(|| match charge.quota_type {
                QuotaType::ControllerMutation => {
                    Usage::TokenBucket(TokenBucket::new(charge.limit, controller_windows, now))
                }
                QuotaType::Produce | QuotaType::Fetch | QuotaType::Request => Usage::Rate(Rate::default()),
            })
        })
    }

    /// Makes the recent half the other one. Of that, what still counts goes along as far as there is room: debts do.
    fn turn(&mut self, now: Nanos) {
        let (windows, controller_windows) = (self.windows, self.controller_windows);
        let mut forgotten = std::mem::replace(&mut self.other, std::mem::take(&mut self.recent));
        forgotten.retain(|_, usage| match usage {
            Usage::Rate(rate) => !rate.is_unused(windows, now),
            Usage::TokenBucket(bucket) => !bucket.is_unused(controller_windows, now),
        });
        let room = (TRACKED_MAX / 2).saturating_sub(self.other.len());
        self.other.extend(forgotten.into_iter().take(room));
        self.turned_at = now;
    }
}

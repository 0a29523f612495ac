//! A rate over windows, as Kafka measures it: a window begins with the first use after the one before is over, and counts
//! until everything in it is older than all windows together.

use std::time::Duration;

use ringlog_storage::types::Nanos;

use super::{QuotaWindows, throttle_time};

#[derive(Clone, PartialEq, Debug)]
struct Window {
    start: Nanos,
    last_use: Nanos,
    amount: f64,
}

/// The use of one quota by the second.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Rate {
    /// By their starts. One more than there are windows can overlap their span.
    windows: Vec<Window>,
}

impl Rate {
    pub(crate) fn record(&mut self, amount: f64, windows: QuotaWindows, now: Nanos) {
        self.forget(windows, now);
        match self.windows.last_mut() {
            Some(last) if now.since(last.start) < windows.size => {
                last.amount += amount;
                last.last_use = now;
            }
            _ => self.windows.push(Window { start: now, last_use: now, amount }),
        }
    }

    /// How long the use has to pause so that it comes down to `limit` a second; zero if it is not above.
    pub(crate) fn throttle_time(&mut self, limit: f64, windows: QuotaWindows, now: Nanos) -> Duration {
        self.forget(windows, now);
        let amount: f64 = self.windows.iter().map(|window| window.amount).sum();
        let span = self.span(windows, now).as_secs_f64();
        // The rate is amount / span, and a pause makes the span longer.
        if amount / span <= limit { Duration::ZERO } else { throttle_time(amount / limit - span) }
    }

    /// Whether nothing that it was used for counts any more.
    pub(crate) fn is_unused(&self, windows: QuotaWindows, now: Nanos) -> bool {
        self.windows.iter().all(|window| now.since(window.last_use) >= windows.span())
    }

    fn forget(&mut self, windows: QuotaWindows, now: Nanos) {
        self.windows.retain(|window| now.since(window.last_use) < windows.span());
    }

    /// From the start of the oldest window until now. Windows without use, before it, count as if they had been there: so
    /// a client may use at once what it has not used for a while.
    fn span(&self, windows: QuotaWindows, now: Nanos) -> Duration {
        let elapsed = self.windows.first().map_or(Duration::ZERO, |oldest| now.since(oldest.start));
        let over = windows.whole_span();
        let begun = Duration::from_nanos(remainder(elapsed, windows.size));
        let span = if elapsed < over { over + begun } else { elapsed };
        span.max(Duration::from_millis(1))
    }
}

fn remainder(time: Duration, size: Duration) -> u64 {
    u64::try_from(time.as_nanos() % size.as_nanos()).expect("less than the time itself, which fits")
}

//! Latencies of a run: a histogram of those that were meant for the time that is measured.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;
use ringlog_reactor::Instant;
use serde::Serialize;

use crate::report::number;
use crate::workload::schedule::latency;

/// Longer ones count as this long.
const LATENCY_MAX: Duration = Duration::from_hours(1);
const SIGNIFICANT_DIGITS: u8 = 3;

/// Collects latencies of requests that were meant for a moment within the window.
#[derive(Debug)]
pub(crate) struct Latencies {
    window: Range<Instant>,
    nanos: RefCell<Histogram<u64>>,
}

impl Latencies {
    pub(crate) fn new(window: Range<Instant>) -> Self {
        let nanos_max = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
        let nanos = Histogram::new_with_bounds(1, nanos_max, SIGNIFICANT_DIGITS).expect("such bounds are possible");
        Self { window, nanos: RefCell::new(nanos) }
    }

    /// Counts one, unless it was meant for the time before or after the window.
    pub(crate) fn add(&self, intended: Instant, answered: Instant) {
        if self.window.contains(&intended) {
            let nanos = u64::try_from(latency(intended, answered).as_nanos()).unwrap_or(u64::MAX);
            self.nanos.borrow_mut().saturating_record(nanos);
        }
    }

    /// `None` if there are none.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        let nanos = self.nanos.borrow();
        let us = |quantile: f64| number(nanos.value_at_quantile(quantile)) / 1e3;
        (!nanos.is_empty()).then(|| Quantiles {
            count: nanos.len(),
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p99_9_us: us(0.999),
            p99_99_us: us(0.9999),
            max_us: number(nanos.max()) / 1e3,
        })
    }
}

/// What a histogram is told by, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p99_9_us: f64,
    pub(crate) p99_99_us: f64,
    pub(crate) max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1_000)
    }

    #[test]
    fn only_what_was_meant_for_the_window_counts() {
        let latencies = Latencies::new(us(100)..us(200));
        assert_eq!(latencies.quantiles(), None);
        // Answered within the window, but meant for the time before; and meant for the time after.
        latencies.add(us(99), us(150));
        latencies.add(us(200), us(201));
        assert_eq!(latencies.quantiles(), None);
        // Meant for the window and answered long after it.
        latencies.add(us(199), us(5_199));
        let quantiles = latencies.quantiles().expect("one");
        assert_eq!(quantiles.count, 1);
        assert!((quantiles.max_us - 5_000.0).abs() < 5.0, "{quantiles:?}");
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let latencies = Latencies::new(us(0)..us(1));
        for micros in 1..=1_000 {
            latencies.add(us(0), us(micros));
        }
        let found = latencies.quantiles().expect("a thousand");
        for (value, expected) in [(found.p50_us, 500.0), (found.p90_us, 900.0), (found.p99_us, 990.0)] {
            assert!((value / expected - 1.0_f64).abs() < 0.002, "{value} for {expected}");
        }
        assert!(found.max_us >= 999.0 && found.p99_99_us <= found.max_us * 1.001, "{found:?}");
    }
}

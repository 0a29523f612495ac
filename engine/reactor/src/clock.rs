//! The clocks of the real backends.

use rustix::time::{ClockId, clock_gettime};

use crate::time::Instant;

/// `CLOCK_MONOTONIC`.
pub(crate) fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("monotonic time is not negative");
    let nanos = u64::try_from(time.tv_nsec).expect("monotonic time is not negative");
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}

/// `CLOCK_REALTIME`, in milliseconds.
pub(crate) fn wall_clock_ms() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

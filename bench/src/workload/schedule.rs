//! When each request of an open loop is to be sent: a line of times that nothing moves, dealt to the connections in turn.

use std::fmt;
use std::time::Duration;

use ringlog_reactor::Instant;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Request `i` is meant for the tick that holds `begin + i * records / rate`, and is the turn of connection
/// `i % connections`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Schedule {
    pub(crate) begin: Instant,
    /// Records a second.
    pub(crate) rate: u64,
    /// Records of one request.
    pub(crate) request_records: u64,
    /// Requests of one tick are all meant for its begin: a load that wakes up for several of them takes less CPU.
    pub(crate) tick: Tick,
}

/// The length of a tick, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tick(u64);

impl Tick {
    /// So short that every request has a time of its own.
    const SHORTEST: Self = Self(1);

    /// A length in microseconds; 0 asks for the shortest.
    pub(crate) const fn from_micros(micros: u64) -> Self {
        if micros == 0 { Self::SHORTEST } else { Self(micros * 1_000) }
    }

    fn nanos(self) -> u128 {
        u128::from(self.0)
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SHORTEST => f.write_str("each request at a time of its own"),
            Self(nanos) => write!(f, "in ticks of {:?}", Duration::from_nanos(nanos)),
        }
    }
}

impl Schedule {
    /// The time for which a request is meant.
    pub(crate) fn intended(&self, request: u64) -> Instant {
        let nanos = u128::from(request) * u128::from(self.request_records) * NANOS_PER_SECOND / u128::from(self.rate);
        let tick = nanos / self.tick.nanos() * self.tick.nanos();
        self.begin + Duration::from_nanos(u64::try_from(tick).unwrap_or(u64::MAX))
    }

    /// How many requests are meant for `now` or earlier.
    pub(crate) fn due(&self, now: Instant) -> u64 {
        if now < self.begin {
            return 0;
        }
        self.before(now + Duration::from_nanos(1))
    }

    /// How many requests are meant for a time before `end`.
    pub(crate) fn before(&self, end: Instant) -> u64 {
        let ticks = end.since(self.begin).as_nanos().div_ceil(self.tick.nanos());
        let due = (ticks * self.tick.nanos() * u128::from(self.rate))
            .div_ceil(u128::from(self.request_records) * NANOS_PER_SECOND);
        u64::try_from(due).unwrap_or(u64::MAX)
    }
}

/// How long a request took that was meant for `intended` and answered at `answered`. When it was really sent plays no
/// part: the time that it waited for its turn is the broker's as well, and leaving it out is coordinated omission.
pub(crate) fn latency(intended: Instant, answered: Instant) -> Duration {
    answered.since(intended)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn requests_are_evenly_apart_and_errors_do_not_add_up() {
        let thirds = Schedule { begin: at(1_000), rate: 3, request_records: 1, tick: Tick::SHORTEST };
        assert_eq!([0, 1, 2, 3].map(|i| thirds.intended(i)), [1_000, 333_334_333, 666_667_666, 1_000_001_000].map(at));
        assert_eq!(thirds.intended(3_000_000_000), at(1_000_000_000_000_001_000), "after 31 years");
        let batches = Schedule { begin: at(0), rate: 1_000, request_records: 16, tick: Tick::SHORTEST };
        assert_eq!(batches.intended(5), at(80_000_000));
    }

    #[test]
    fn a_request_is_due_from_its_time_on() {
        for (rate, request_records, micros) in [
            (3, 1, 0),
            (10_000, 1, 0),
            (7, 5, 0),
            (100_000_000, 1, 0),
            (1_000_000_000, 1, 0),
            (10_000, 3, 500),
            (3, 1, 7),
        ] {
            let tick = Tick::from_micros(micros);
            let schedule = Schedule { begin: at(5_000), rate, request_records, tick };
            for request in [0, 1, 2, 3, 10, 99, 12_345] {
                let time = schedule.intended(request);
                assert!(schedule.due(time) > request, "{schedule:?} {request}");
                assert!(schedule.before(time) <= request, "{schedule:?} {request}");
            }
        }
        let schedule = Schedule { begin: at(5_000), rate: 10_000, request_records: 1, tick: Tick::SHORTEST };
        let due = [0, 4_999, 5_000, 104_999, 105_000, 1_000_005_000].map(|nanos| schedule.due(at(nanos)));
        assert_eq!(due, [0, 0, 1, 1, 2, 10_001]);
        assert_eq!(schedule.before(at(1_000_005_000)), 10_000, "a second at this rate");
    }

    #[test]
    fn requests_of_one_tick_are_meant_for_its_begin() {
        let schedule = Schedule { begin: at(7), rate: 10_000, request_records: 1, tick: Tick::from_micros(500) };
        assert_eq!([0, 4, 5, 9, 10].map(|i| schedule.intended(i)), [7, 7, 500_007, 500_007, 1_000_007].map(at));
        assert_eq!([6, 7, 500_006, 500_007].map(|nanos| schedule.due(at(nanos))), [0, 5, 5, 10]);
        assert_eq!(schedule.before(at(1_000_000_007)), 10_000, "no more and no less than without ticks");
    }

    #[test]
    fn latency_counts_from_the_intended_time_however_late_it_was_sent() {
        let schedule = Schedule { begin: at(0), rate: 1_000, request_records: 1, tick: Tick::SHORTEST };
        // A broker that stops for 10 ms and answers everything then: those that waited behind it have waited.
        let answered = at(10_000_000);
        let latencies = [0, 1, 9].map(|request| latency(schedule.intended(request), answered).as_millis());
        assert_eq!(latencies, [10, 9, 1]);
    }
}

//! Lines of the log that outside events can cause again and again: so many of a kind are written in a time, and the others
//! are counted. Whoever writes the log asks before each line, and tells the counts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ringlog_storage::types::Nanos;

/// How many lines of one kind are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// So many at most. At least one.
    pub lines: u32,
    /// Within this time, which begins with the first of them.
    pub within: Duration,
}

/// Lines that were not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// So many.
    pub lines: u64,
    /// Since the first of the window that they fell into.
    pub within: Duration,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} more like it in the last {} s", self.lines, self.within.as_secs())
    }
}

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is written, behind the count of those before it that were not.
    Write(Option<LeftOut>),
    /// It is counted.
    LeaveOut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    since: Nanos,
    limit: Limit,
    written: u32,
    left_out: u64,
}

impl Window {
    fn has_ended(&self, now: Nanos) -> bool {
        now.since(self.since) >= self.limit.within
    }

    fn left_out(&self, now: Nanos) -> Option<LeftOut> {
        (self.left_out > 0).then(|| LeftOut { lines: self.left_out, within: now.since(self.since) })
    }
}

/// The lines of each kind. A kind is what the program calls it, never what comes from outside: so there are few.
#[derive(Clone, Debug)]
pub struct Repeats<K> {
    windows: BTreeMap<K, Window>,
}

impl<K> Default for Repeats<K> {
    fn default() -> Self {
        Self { windows: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Repeats<K> {
    /// Whether a line of this kind is written now. Costs a look into a small map.
    pub fn ask(&mut self, kind: K, limit: Limit, now: Nanos) -> Verdict {
        let fresh = Window { since: now, limit, written: 1, left_out: 0 };
        let Some(window) = self.windows.get_mut(&kind) else {
            self.windows.insert(kind, fresh);
            return Verdict::Write(None);
        };
        if window.has_ended(now) {
            let left_out = window.left_out(now);
            *window = fresh;
            return Verdict::Write(left_out);
        }
        if window.written < limit.lines {
            window.written += 1;
            return Verdict::Write(None);
        }
        window.left_out = window.left_out.saturating_add(1);
        Verdict::LeaveOut
    }

    /// The counts of windows that have ended. They are forgotten: the next line of their kind begins another one.
    pub fn ended(&mut self, now: Nanos) -> Vec<(K, LeftOut)> {
        self.take(now, |window| window.has_ended(now))
    }

    /// The counts of all windows, for the end of the log.
    pub fn all(&mut self, now: Nanos) -> Vec<(K, LeftOut)> {
        self.take(now, |_| true)
    }

    fn take(&mut self, now: Nanos, is_over: impl Fn(&Window) -> bool) -> Vec<(K, LeftOut)> {
        let mut told = Vec::new();
        self.windows.retain(|kind, window| {
            let is_over = is_over(window);
            if is_over {
                told.extend(window.left_out(now).map(|left_out| (*kind, left_out)));
            }
            !is_over
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { lines: 2, within: Duration::from_secs(10) };

    fn at(seconds: u64) -> Nanos {
        Nanos::new(seconds * 1_000_000_000)
    }

    fn left_out(lines: u64, seconds: u64) -> LeftOut {
        LeftOut { lines, within: Duration::from_secs(seconds) }
    }

    #[test]
    fn so_many_lines_of_a_kind_are_written_and_the_next_one_tells_the_others() {
        let mut repeats = Repeats::default();
        let mut ask = |kind, seconds| repeats.ask(kind, LIMIT, at(seconds));
        assert_eq!([ask('a', 0), ask('a', 1)], [Verdict::Write(None); 2]);
        assert_eq!([ask('a', 2), ask('a', 9)], [Verdict::LeaveOut; 2]);
        // Another kind has a window of its own.
        assert_eq!(
            [ask('b', 9), ask('b', 9), ask('b', 9)],
            [Verdict::Write(None), Verdict::Write(None), Verdict::LeaveOut]
        );
        assert_eq!(ask('a', 10), Verdict::Write(Some(left_out(2, 10))));
        assert_eq!([ask('a', 10), ask('a', 19)], [Verdict::Write(None), Verdict::LeaveOut]);
        assert_eq!(ask('a', 47), Verdict::Write(Some(left_out(1, 37))));
        assert_eq!(ask('b', 47), Verdict::Write(Some(left_out(1, 38))));
    }

    #[test]
    fn counts_are_told_when_their_window_ends_though_no_line_follows() {
        let mut repeats = Repeats::default();
        for seconds in 0..5 {
            repeats.ask('a', LIMIT, at(seconds));
        }
        repeats.ask('b', LIMIT, at(5));
        assert_eq!(repeats.ended(at(9)), []);
        assert_eq!(repeats.ended(at(10)), [('a', left_out(3, 10))]);
        assert_eq!(repeats.ended(at(10)), [], "once");
        assert_eq!(repeats.ask('a', LIMIT, at(11)), Verdict::Write(None), "it was told");
        // Nothing was left out of the other one, and nothing of it is kept.
        assert_eq!(repeats.ended(at(30)), []);
        assert_eq!(repeats.windows.len(), 0);
    }

    #[test]
    fn at_the_end_all_counts_are_told() {
        let mut repeats = Repeats::default();
        for kind in ['a', 'b', 'a', 'a'] {
            repeats.ask(kind, LIMIT, at(1));
        }
        assert_eq!(repeats.all(at(2)), [('a', left_out(1, 1))]);
        assert_eq!(left_out(1, 1).to_string(), "1 more like it in the last 1 s");
    }
}

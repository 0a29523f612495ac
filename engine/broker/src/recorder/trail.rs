//! Where the time of one request went.

use std::time::Duration;

use ringlog_storage::types::Nanos;

/// What a request does at a time, in the order in which it does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its bytes arrive.
    Receive,
    /// It waits because its client is over a quota.
    Throttle,
    /// It waits until it is taken up.
    Queue,
    /// It is on its way to the shards that own its partitions, or back.
    Mesh,
    /// Its batches are checked and put into the log.
    Append,
    /// They wait for a group commit to begin.
    CommitWait,
    /// That commit becomes durable.
    Flush,
    /// It waits for what a fetch has to read of the disk.
    Read,
    /// It waits by its own wish: for data, or for the members of a group.
    Purgatory,
    /// A handler does something else.
    Handle,
    /// Its answer waits for the socket to take it.
    Send,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Receive,
        Self::Throttle,
        Self::Queue,
        Self::Mesh,
        Self::Append,
        Self::CommitWait,
        Self::Flush,
        Self::Read,
        Self::Purgatory,
        Self::Handle,
        Self::Send,
    ];

    /// Those in which the broker has nothing to do: a fetch waits for records because its client wants it to, and a client for
    /// its quota.
    pub const BY_WISH: [Self; 2] = [Self::Throttle, Self::Purgatory];

    /// As `/perf/requests` tells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Queue => "queue",
            Self::Throttle => "throttle",
            Self::Mesh => "mesh",
            Self::Append => "append",
            Self::CommitWait => "commit_wait",
            Self::Flush => "flush",
            Self::Purgatory => "purgatory",
            Self::Read => "read",
            Self::Handle => "handle",
            Self::Send => "send",
        }
    }
}

/// From one moment to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
}

/// A request's time, cut into phases without gaps. It may be in a phase several times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trail {
    began: Nanos,
    at: Nanos,
    /// Nanoseconds of each phase.
    spent: [u64; Phase::ALL.len()],
}

impl Trail {
    pub(crate) fn new(began: Nanos) -> Self {
        Self { began, at: began, spent: [0; Phase::ALL.len()] }
    }

    /// What passed since the last such call was this phase. A moment before that one changes nothing.
    #[inline]
    pub(crate) fn until(&mut self, phase: Phase, at: Nanos) {
        if at > self.at {
            self.spent[phase as usize] += at.get() - self.at.get();
            self.at = at;
        }
    }

    /// It was in the log at `appended_at`, and then waited for a commit if there was need for one.
    pub(crate) fn appended(&mut self, appended_at: Nanos, commit: Option<Span>) {
        self.until(Phase::Append, appended_at);
        self.committed(commit);
    }

    /// It has waited for a commit, if there was need for one.
    pub(crate) fn committed(&mut self, commit: Option<Span>) {
        if let Some(commit) = commit {
            self.until(Phase::CommitWait, commit.from);
            self.until(Phase::Flush, commit.to);
        }
    }

    /// It has read from the disk, if there was need to.
    pub(crate) fn read(&mut self, disk: Option<Span>) {
        if let Some(disk) = disk {
            self.until(Phase::Handle, disk.from);
            self.until(Phase::Read, disk.to);
        }
    }

    /// The time in one phase.
    pub(crate) fn spent(&self, phase: Phase) -> Duration {
        Duration::from_nanos(self.spent_nanos(phase))
    }

    pub(super) fn spent_nanos(&self, phase: Phase) -> u64 {
        self.spent[phase as usize]
    }

    /// The whole time: the sum of all phases.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.total_nanos())
    }

    pub(super) fn total_nanos(&self) -> u64 {
        self.at.get() - self.began.get()
    }

    /// The nanoseconds that somebody else than the client is to blame for.
    pub(super) fn blamed_nanos(&self) -> u64 {
        self.total_nanos() - Phase::BY_WISH.iter().map(|phase| self.spent_nanos(*phase)).sum::<u64>()
    }

    /// The moment of the last call of [`until`](Self::until) that counted.
    pub(crate) fn at(&self) -> Nanos {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Nanos {
        Nanos::new(nanos)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as trails take it")]
    fn span(from: u64, to: u64) -> Option<Span> {
        Some(Span { from: at(from), to: at(to) })
    }

    fn check(trail: &Trail, expected: &[(Phase, u64)]) {
        for phase in Phase::ALL {
            let nanos = expected.iter().find(|(of, _)| *of == phase).map_or(0, |(_, nanos)| *nanos);
            assert_eq!(trail.spent(phase), Duration::from_nanos(nanos), "{}", phase.name());
        }
        let sum: Duration = Phase::ALL.iter().map(|phase| trail.spent(*phase)).sum();
        assert_eq!(sum, trail.total());
    }

    #[test]
    fn phases_follow_each_other_without_gaps() {
        let mut trail = Trail::new(at(100));
        for (phase, nanos) in [(Phase::Receive, 101), (Phase::Queue, 110), (Phase::Handle, 115), (Phase::Send, 140)] {
            trail.until(phase, at(nanos));
        }
        check(&trail, &[(Phase::Receive, 1), (Phase::Queue, 9), (Phase::Handle, 5), (Phase::Send, 25)]);
    }

    #[test]
    fn a_phase_may_come_again() {
        let mut trail = Trail::new(at(0));
        for (phase, nanos) in [(Phase::Handle, 1), (Phase::Purgatory, 5), (Phase::Handle, 6), (Phase::Purgatory, 9)] {
            trail.until(phase, at(nanos));
        }
        check(&trail, &[(Phase::Handle, 2), (Phase::Purgatory, 7)]);
        assert_eq!(trail.blamed_nanos(), 2);
    }

    #[test]
    fn time_does_not_go_back() {
        let mut trail = Trail::new(at(50));
        trail.until(Phase::Queue, at(40));
        trail.until(Phase::Handle, at(60));
        // It was appended while the commit that covers it was under way already: it is the repetition of another batch.
        trail.appended(at(70), span(55, 80));
        trail.until(Phase::Mesh, at(75));
        check(&trail, &[(Phase::Handle, 10), (Phase::Append, 10), (Phase::Flush, 10)]);
        assert_eq!(trail.at(), at(80));
    }

    #[test]
    fn an_append_waits_for_a_commit_and_then_for_the_disk() {
        let mut trail = Trail::new(at(0));
        trail.appended(at(3), span(10, 30));
        check(&trail, &[(Phase::Append, 3), (Phase::CommitWait, 7), (Phase::Flush, 20)]);
        let mut trail = Trail::new(at(0));
        trail.appended(at(3), None);
        check(&trail, &[(Phase::Append, 3)]);
    }

    #[test]
    fn a_read_waits_for_the_disk_alone() {
        let mut trail = Trail::new(at(0));
        trail.read(None);
        trail.read(span(2, 9));
        check(&trail, &[(Phase::Handle, 2), (Phase::Read, 7)]);
    }

    #[test]
    fn every_phase_has_its_place() {
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, index);
        }
    }
}

//! Lines of the log that outside events can cause again and again. Each goes through its shard's count of lines of its kind:
//! see [`Repeats`]. What was left out is told with the next line of the kind, when its time is over, or at the end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ringlog_cluster::repeats::{LeftOut, Limit, Repeats, Verdict};
use ringlog_reactor::Reactor;
use ringlog_storage::types::Nanos;

/// What such a line is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    AcceptFailed,
    AcceptWaits,
    AnswerNotSent,
    ClientUnsupported,
    ClockJump,
    DecisionNotWritten,
    LevelsChanged,
    MadeRoom,
    Malformed,
    MalformedTelemetry,
    Measurement,
    MemberGone,
    MemberJoined,
    MemberLeft,
    MemoryExhausted,
    PartitionFenced,
    PartitionNotOpened,
    PartitionsMoved,
    Rot,
    SlowFlush,
    Space,
    SpaceUnknown,
    Throttled,
    TooLarge,
    TopicChanged,
    TopicNotCreated,
    WriteWaits,
}

impl Kind {
    /// How many of them are written.
    const fn limit(self) -> Limit {
        let (lines, seconds) = match self {
            // One tells it all.
            Self::AcceptWaits | Self::ClockJump | Self::SlowFlush => (1, 60),
            // Each names something else that an operator has to look at.
            Self::MemberGone
            | Self::MemberJoined
            | Self::MemberLeft
            | Self::PartitionFenced
            | Self::PartitionNotOpened
            | Self::Rot
            | Self::TopicChanged => (100, 60),
            // The log is where they are wanted.
            Self::Measurement => (1000, 10),
            _ => (10, 60),
        };
        Limit { lines, within: Duration::from_secs(seconds) }
    }
}

/// Tells what was left out, where the lines themselves would have been.
type Tell = fn(LeftOut);

/// The lines of one shard. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Lines(Rc<Inner>);

struct Inner {
    reactor: Reactor,
    repeats: RefCell<Repeats<Kind>>,
    /// Of every kind that there was a line of.
    tells: RefCell<BTreeMap<Kind, Tell>>,
}

impl Lines {
    pub(crate) fn new(reactor: Reactor) -> Self {
        Self(Rc::new(Inner { reactor, repeats: RefCell::default(), tells: RefCell::default() }))
    }

    /// Whether a line may be written now. Tells those that were left out before it.
    pub(crate) fn pass(&self, kind: Kind, tell: Tell) -> bool {
        let verdict = self.0.repeats.borrow_mut().ask(kind, kind.limit(), self.now());
        match verdict {
            Verdict::Write(left_out) => {
                self.0.tells.borrow_mut().insert(kind, tell);
                left_out.into_iter().for_each(tell);
                true
            }
            Verdict::LeaveOut => false,
        }
    }

    /// Tells what was left out of kinds whose time is over.
    pub(crate) fn tell_ended(&self) {
        let ended = self.0.repeats.borrow_mut().ended(self.now());
        self.tell(ended);
    }

    /// Tells everything that was left out: the log ends.
    pub(crate) fn tell_all(&self) {
        let all = self.0.repeats.borrow_mut().all(self.now());
        self.tell(all);
    }

    fn tell(&self, left_out: Vec<(Kind, LeftOut)>) {
        for (kind, left_out) in left_out {
            let tell = self.0.tells.borrow().get(&kind).copied();
            tell.expect("the first line of every kind has passed")(left_out);
        }
    }

    fn now(&self) -> Nanos {
        Nanos::new(self.0.reactor.now().as_nanos())
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.repeats.borrow().fmt(f)
    }
}

/// Writes a line unless there were enough of its kind: the shard's lines, the kind, what it is about in words, and then what
/// `tracing::event` takes.
macro_rules! repeated {
    ($lines:expr, $kind:ident, $about:literal, target: $target:expr, $level:ident, $($line:tt)+) => {{
        let tell = |left_out: ::ringlog_cluster::repeats::LeftOut| {
            let (about, left_out_lines) = ($about, left_out.lines);
            ::tracing::event!(target: $target, ::tracing::Level::$level, left_out_lines, "{about}: {left_out}");
        };
        if ::tracing::enabled!(target: $target, ::tracing::Level::$level)
            && $lines.pass($crate::lines::Kind::$kind, tell)
        {
            ::tracing::event!(target: $target, ::tracing::Level::$level, $($line)+);
        }
    }};
    ($lines:expr, $kind:ident, $about:literal, $level:ident, $($line:tt)+) => {
        repeated!($lines, $kind, $about, target: ::core::module_path!(), $level, $($line)+)
    };
}

pub(crate) use repeated;

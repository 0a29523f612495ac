//! The contract of everything that decides.
//!
//! A command on a machine does not change its state: it answers a [`Decision`], the records to write and the reply to
//! give. The records are appended to the machine's internal partition, in one batch, so that all of a decision counts or
//! nothing. Only [`Coordinator::replay`] changes state. It runs right after the append, so that the next command sees
//! what this one decided; the reply, and whatever is published of the state, leaves when the records are committed.
//!
//! A machine may remember who is connected and what they wait for, which a restart forgets: that is no state, and has no
//! part in a comparison. Nothing else is ever known, so for every machine the live state, the state replayed from its log,
//! and the state replayed from its compacted log are equal, and its tests say so after every step.

use std::fmt::{Debug, Display};

use ringlog_storage::types::Offset;

/// What a command wants: records to write, and what to answer once they are committed.
#[derive(Clone, PartialEq, Debug)]
#[must_use = "a decision that is not written down has not been taken"]
pub struct Decision<Record, Reply> {
    /// To be written in one batch. Empty if the command changes nothing; then the reply leaves at once.
    pub records: Vec<Record>,
    /// The answer.
    pub reply: Reply,
}

impl<Record, Reply> Decision<Record, Reply> {
    /// Answers without writing anything.
    pub fn reply(reply: Reply) -> Self {
        Self { records: Vec::new(), reply }
    }
}

/// A machine whose state is what its log says.
pub trait Coordinator: Sized {
    /// What its log consists of.
    type Record;
    /// Why a record cannot be replayed: the log is damaged, or was written by a newer release.
    type Error: Debug + Display;

    /// Applies the record at `offset`.
    fn replay(&mut self, offset: Offset, record: &Self::Record) -> Result<(), Self::Error>;

    /// A shorter log that leads to the same state. `self` is the machine before the log's first record.
    fn compact(&self, log: &[Self::Record]) -> Result<Vec<Self::Record>, Self::Error>;
}

#[cfg(test)]
pub(crate) use rehearsal::Rehearsal;

#[cfg(test)]
mod rehearsal {
    use super::*;

    /// Runs commands on a machine the way a broker does, and checks the contract after every one.
    pub(crate) struct Rehearsal<C: Coordinator> {
        /// The machine before its first record.
        blank: C,
        /// The machine as it stands.
        pub(crate) live: C,
        /// All that was written.
        pub(crate) log: Vec<C::Record>,
    }

    impl<C: Coordinator + Clone + PartialEq + Debug> Rehearsal<C> {
        pub(crate) fn new(blank: C) -> Self {
            Self { live: blank.clone(), blank, log: Vec::new() }
        }

        /// Takes one decision, writes and replays its records, and gives its reply.
        pub(crate) fn step<Reply>(&mut self, decide: impl FnOnce(&mut C) -> Decision<C::Record, Reply>) -> Reply {
            let decision = decide(&mut self.live);
            for record in decision.records {
                let offset = Offset::new(i64::try_from(self.log.len()).expect("tests write few records"));
                self.live.replay(offset, &record).expect("a machine understands its own records");
                self.log.push(record);
            }
            self.check();
            decision.reply
        }

        fn check(&self) {
            let Some(last) = self.log.len().checked_sub(1) else { return };
            let last = Offset::new(i64::try_from(last).expect("tests write few records"));
            let replayed = |log: &[C::Record], offset_of: &dyn Fn(usize) -> Offset| {
                let mut machine = self.blank.clone();
                for (at, record) in log.iter().enumerate() {
                    machine.replay(offset_of(at), record).expect("a machine understands its own records");
                }
                machine
            };
            let offset_at = |at| Offset::new(i64::try_from(at).expect("tests write few records"));
            assert_eq!(self.live, replayed(&self.log, &offset_at), "live state and replayed log");
            let compacted = self.blank.compact(&self.log).expect("a machine understands its own records");
            assert_eq!(self.live, replayed(&compacted, &|_| last), "live state and replayed compacted log");
        }
    }
}

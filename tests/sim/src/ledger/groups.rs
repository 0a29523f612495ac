//! What members of groups know: who owns what, and which offsets are committed.

use std::collections::BTreeMap;

use ringlog_reactor::Instant;

use super::Partition;

/// A commit of one offset. Its number is the offset.
#[derive(Clone, Copy, Debug)]
struct Commit {
    begun: u64,
    /// `None` while, or because, nobody knows whether it is done.
    ended: Option<u64>,
    /// It was refused before anything was written.
    is_refused: bool,
}

/// What a member of a consumer group may read, until its session ends.
#[derive(Clone, Debug)]
struct Claim {
    member: String,
    until: Instant,
}

/// All groups of a run.
#[derive(Default)]
pub(crate) struct Groups {
    /// Counts what happens, so that commits can be told from those before and behind them.
    clock: u64,
    commits: BTreeMap<(String, Partition), Vec<Commit>>,
    /// Owners in each generation of a classic group.
    owners: BTreeMap<(String, i32, Partition), String>,
    claims: BTreeMap<(String, Partition), Claim>,
}

/// What was known when offsets were asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

impl Groups {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(crate) fn now(&mut self) -> Moment {
        Moment(self.tick())
    }

    /// An offset is about to be committed. Answers which.
    pub(crate) fn commit(&mut self, group: &str, partition: Partition) -> i64 {
        let begun = self.tick();
        let commits = self.commits.entry((group.to_owned(), partition)).or_default();
        commits.push(Commit { begun, ended: None, is_refused: false });
        i64::try_from(commits.len()).expect("few") - 1
    }

    fn end(&mut self, group: &str, partition: Partition, offset: i64) -> &mut Commit {
        let ended = self.tick();
        let commits = self.commits.get_mut(&(group.to_owned(), partition)).expect("it was begun");
        let commit = &mut commits[usize::try_from(offset).expect("it is a number of a commit")];
        commit.ended = Some(ended);
        commit
    }

    pub(crate) fn committed(&mut self, group: &str, partition: Partition, offset: i64) {
        self.end(group, partition, offset);
    }

    pub(crate) fn refused(&mut self, group: &str, partition: Partition, offset: i64) {
        self.end(group, partition, offset).is_refused = true;
    }

    /// The committed offset is the one of a commit behind which no other was done before the question.
    pub(crate) fn fetched(&self, group: &str, partition: Partition, offset: i64, asked: Moment) {
        let commits = self.commits.get(&(group.to_owned(), partition)).map(Vec::as_slice).unwrap_or_default();
        let ended = match usize::try_from(offset) {
            Ok(at) => {
                let commit =
                    commits.get(at).unwrap_or_else(|| panic!("{group} {partition:?}: nobody committed {offset}"));
                assert!(!commit.is_refused, "{group} {partition:?}: {offset} was refused, and is committed");
                commit.ended.unwrap_or(u64::MAX)
            }
            // There is none.
            Err(_) => 0,
        };
        for (number, other) in commits.iter().enumerate().filter(|(_, other)| !other.is_refused) {
            let is_lost = other.begun > ended && other.ended.is_some_and(|ended| ended < asked.0);
            assert!(!is_lost, "{group} {partition:?}: {number} was committed, and {offset} is back");
        }
    }

    /// Everything that somebody has tried to commit.
    pub(crate) fn known(&self) -> Vec<(String, Partition)> {
        self.commits.keys().cloned().collect()
    }

    /// A member of a classic group has got a partition in a generation.
    pub(crate) fn owns(&mut self, group: &str, generation: i32, partition: Partition, member: &str) {
        let owner = self.owners.entry((group.to_owned(), generation, partition)).or_insert_with(|| member.to_owned());
        assert_eq!(owner, member, "{group}: {partition:?} has two owners in generation {generation}");
    }

    /// A member of a consumer group has been told what it may read until its session ends.
    pub(crate) fn claims(&mut self, group: &str, member: &str, owned: &[Partition], now: Instant, until: Instant) {
        self.releases(group, member, owned);
        if until < now {
            // The answer was so long on its way that others may have had it all since: it tells nothing of the present.
            return;
        }
        for partition in owned {
            let claim = Claim { member: member.to_owned(), until };
            if let Some(before) = self.claims.insert((group.to_owned(), *partition), claim)
                && before.member != member
            {
                assert!(
                    before.until < now,
                    "{group}: {partition:?} is given to {member}, and {} still has it",
                    before.member
                );
            }
        }
    }

    /// A member is about to say that it has no more than these.
    pub(crate) fn releases(&mut self, group: &str, member: &str, owned: &[Partition]) {
        self.claims.retain(|(of, partition), claim| of != group || claim.member != member || owned.contains(partition));
    }
}

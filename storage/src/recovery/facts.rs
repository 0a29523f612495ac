//! What the journals say of each partition: which segments were touched, and how far they are proven.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::checkpoint::is_topic_name;
use crate::directory::Placement;
use crate::journal::format::{Entry, EntryKind, PartitionKey};
use crate::log::mark::Mark;
use crate::types::Offset;

/// What the journals say of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) topic: Option<Arc<str>>,
    /// Everything before this place was durable once.
    pub(crate) proven: Option<Mark>,
    /// Segments with batches in the journal, or written while it was.
    pub(crate) segments: BTreeSet<Offset>,
    pub(crate) log_start: Offset,
    pub(crate) removed: bool,
    /// Where it was placed last.
    pub(crate) placement: Placement,
    /// Batches went straight to its segments: its folder was there.
    pub(crate) direct: bool,
    /// Something was written behind what the checkpoint tells.
    pub(crate) touched: bool,
}

/// What the journals say of all partitions.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) partitions: BTreeMap<PartitionKey, Facts>,
    /// Direct writes of the last record: proven when another record follows.
    pending: Vec<(PartitionKey, Mark)>,
}

impl Survey {
    /// Takes a record's entries. Records come in order. Answers false if an entry cannot be read.
    pub(crate) fn take_record(&mut self, payload: &[u8]) -> bool {
        for (key, mark) in std::mem::take(&mut self.pending) {
            self.prove(key, mark);
        }
        let mut rest = payload;
        while !rest.is_empty() {
            let Some((entry, attached, behind)) = Entry::decode(rest) else { return false };
            self.take_entry(&entry, attached);
            rest = behind;
        }
        true
    }

    /// The journal of a shard ends: what its last record began may be incomplete.
    pub(crate) fn end_journal(&mut self) {
        self.pending.clear();
    }

    fn prove(&mut self, key: PartitionKey, mark: Mark) {
        let facts = self.partitions.entry(key).or_default();
        facts.proven = Some(facts.proven.map_or(mark, |proven| proven.max(mark)));
    }

    fn take_entry(&mut self, entry: &Entry, attached: &[u8]) {
        let facts = self.partitions.entry(entry.key).or_default();
        match entry.kind {
            EntryKind::Data => {
                facts.touched = true;
                facts.segments.insert(entry.from.segment);
                self.prove(entry.key, entry.to());
            }
            EntryKind::Direct => {
                (facts.touched, facts.direct) = (true, true);
                facts.segments.insert(entry.from.segment);
                // Everything up to where the write began was durable by then.
                self.prove(entry.key, entry.from);
                self.pending.push((entry.key, entry.to()));
            }
            EntryKind::Name => {
                let name = std::str::from_utf8(attached).ok().filter(|name| is_topic_name(name));
                facts.topic = name.map(Arc::from);
            }
            EntryKind::LogStart => facts.log_start = facts.log_start.max(entry.from.offset),
            EntryKind::Unproven => {
                facts.proven = facts.proven.filter(|proven| proven.offset <= entry.from.offset).or(Some(entry.from));
            }
            EntryKind::Removed => facts.removed = true,
            EntryKind::Placed => facts.placement = facts.placement.or_later(entry.placement),
        }
    }
}

//! What a process before was to remove and has not: folders of removed partitions and files of deleted segments, renamed
//! already. It goes in the background, a little at a time, and nothing goes that has not exactly such a name.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Phase, Purpose, Store};
use crate::io::{EntryKind, IoOp, IoOutput, IoResult};
use crate::journal::format::PartitionKey;
use crate::limits::LEFTOVERS_AT_ONCE_MAX;
use crate::log::segment::is_deleted_name;

/// What is left to be removed.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    folders: VecDeque<Arc<str>>,
    /// Files of the folder that was looked at last.
    files: Vec<String>,
    /// Open partitions with folders that are still to be looked at.
    unseen: BTreeSet<PartitionKey>,
    /// Operations that are out.
    under_way: usize,
}

impl Leftovers {
    pub(super) fn new(folders: Vec<Arc<str>>) -> Self {
        Self { folders: folders.into(), ..Self::default() }
    }

    /// The partition has a folder that there was before it was opened.
    pub(super) fn look_at(&mut self, key: PartitionKey) {
        self.unseen.insert(key);
    }

    /// The partition goes to another store. Answers whether its folder is still to be looked at, then by that one.
    pub(super) fn leave(&mut self, key: PartitionKey) -> bool {
        self.unseen.remove(&key)
    }

    /// What could not be removed is tried again after the next start.
    pub(super) fn removed(&mut self) {
        self.under_way -= 1;
    }
}

impl Store {
    /// Begins to remove what there is room for.
    pub(super) fn advance_leftovers(&mut self) {
        if self.phase != Phase::Running || self.fenced.is_some() {
            return;
        }
        while self.leftovers.under_way < LEFTOVERS_AT_ONCE_MAX {
            let (op, purpose) = if let Some(path) = self.leftovers.folders.pop_front() {
                (IoOp::RemoveDir { path }, Purpose::RemoveLeftover)
            } else if let Some(path) = self.leftovers.files.pop() {
                (IoOp::RemoveFile { file: self.queue.file(path) }, Purpose::RemoveLeftover)
            } else if let Some(path) = self.next_unseen() {
                (IoOp::List { path: Arc::clone(&path) }, Purpose::ListLeftovers(path))
            } else {
                return;
            };
            self.leftovers.under_way += 1;
            self.queue.start(op, purpose);
        }
    }

    /// The next folder to be looked at, when nothing is left of the one before.
    fn next_unseen(&mut self) -> Option<Arc<str>> {
        if self.leftovers.under_way > 0 {
            return None;
        }
        loop {
            let key = self.leftovers.unseen.pop_first()?;
            // It may be removed by now.
            if let Some(partition) = self.by_key.get(&key).and_then(|id| self.get(*id)) {
                return Some(Arc::clone(&partition.dir));
            }
        }
    }

    pub(super) fn leftovers_listed(&mut self, dir: &str, result: IoResult) {
        self.leftovers.under_way -= 1;
        // A folder that is gone has nothing to be removed.
        let Ok(IoOutput::Listing(entries)) = result else { return };
        let files = entries.into_iter().filter(|entry| entry.kind == EntryKind::File && is_deleted_name(&entry.name));
        self.leftovers.files.extend(files.map(|entry| format!("{dir}/{}", entry.name)));
    }
}

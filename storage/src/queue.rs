//! Operations on their way: numbered, handed out one by one, and remembered with what they are for.
//!
//! A *script* is a list of operations of which each begins when the one before has succeeded: make a file, reserve its
//! space, sync its directory. Its purpose comes back once, with the result of the last one or the first failure.

use std::collections::{BTreeMap, VecDeque};

use crate::io::{FileId, FileRef, Io, IoErrorKind, IoId, IoOp, IoOutput, IoResult};

/// The operations of one machine, each for a purpose `P`.
#[derive(Debug)]
pub(crate) struct IoQueue<P> {
    next_io: u64,
    next_file: u64,
    ready: VecDeque<Io>,
    /// Handed out or ready, by number. Bounded by what the machine starts: each of its parts has its own limit.
    under_way: BTreeMap<u64, UnderWay<P>>,
}

#[derive(Debug)]
struct UnderWay<P> {
    rest: VecDeque<IoOp>,
    purpose: P,
}

impl<P> IoQueue<P> {
    pub(crate) fn new() -> Self {
        Self { next_io: 0, next_file: 0, ready: VecDeque::new(), under_way: BTreeMap::new() }
    }

    /// A name for a file that no other file of this queue has had.
    pub(crate) fn file(&mut self, path: impl Into<std::sync::Arc<str>>) -> FileRef {
        let id = FileId::new(self.next_file);
        self.next_file += 1;
        FileRef { id, path: path.into() }
    }

    /// Asks for one operation.
    pub(crate) fn start(&mut self, op: IoOp, purpose: P) {
        self.begin(op, VecDeque::new(), purpose);
    }

    /// Asks for operations one after the other. Panics if there are none.
    pub(crate) fn start_script(&mut self, ops: impl IntoIterator<Item = IoOp>, purpose: P) {
        let mut rest: VecDeque<IoOp> = ops.into_iter().collect();
        let first = rest.pop_front().expect("a script has at least one operation");
        self.begin(first, rest, purpose);
    }

    fn begin(&mut self, op: IoOp, rest: VecDeque<IoOp>, purpose: P) {
        let id = self.next_io;
        self.next_io += 1;
        self.under_way.insert(id, UnderWay { rest, purpose });
        self.ready.push_back(Io { id: IoId::new(id), op });
    }

    /// Whether an operation waits to be performed.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next operation to perform.
    pub(crate) fn poll(&mut self) -> Option<Io> {
        self.ready.pop_front()
    }

    /// Takes a result. Gives back what the script was for, once it has ended. Panics on an id that is not under way.
    pub(crate) fn done(&mut self, id: IoId, result: IoResult) -> Option<(P, Result<IoOutput, IoErrorKind>)> {
        let mut ended = self.under_way.remove(&id.get()).expect("a result belongs to an operation under way");
        match (result, ended.rest.pop_front()) {
            (Ok(_), Some(next)) => {
                self.begin(next, ended.rest, ended.purpose);
                None
            }
            (result, _) => Some((ended.purpose, result)),
        }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
}

/// The operations that replace the file at `path` by `data` as one: whatever happens, it holds the old or the new bytes.
pub(crate) fn replacement<P>(queue: &mut IoQueue<P>, path: &str, data: ringlog_buffer::Slice) -> Vec<IoOp> {
    let temporary = queue.file(format!("{path}.tmp"));
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let bytes = u64::try_from(data.len()).expect("a length fits 64 bits");
    vec![
        IoOp::RemoveFile { file: temporary.clone() },
        IoOp::Create { file: temporary.clone(), allocate_bytes: bytes },
        IoOp::Write {
            file: temporary.clone(),
            offset: 0,
            data: vec![data],
            // Not synced afterwards: a sync of somebody else's could fail before, and lose it.
            durability: crate::io::WriteDurability::Durable,
        },
        IoOp::Close { file: temporary.clone() },
        IoOp::Rename { from: temporary.path, to: path.into() },
        IoOp::SyncDir { path: parent.into() },
    ]
}

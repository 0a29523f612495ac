//! What was read from segments and may be read again: bounded by bytes, the oldest goes first. And where sequential
//! readers stopped, so that they go on without the index.

use std::collections::{BTreeMap, VecDeque};

use ringlog_buffer::Slice;

use crate::io::FileId;
use crate::limits::READ_CURSORS_MAX;
use crate::log::tail::to_u64;
use crate::types::Offset;

/// Parts of files.
#[derive(Debug)]
pub(crate) struct ReadCache {
    bytes_max: usize,
    bytes: usize,
    parts: BTreeMap<(FileId, u64), Slice>,
    order: VecDeque<(FileId, u64)>,
    cursors: BTreeMap<(FileId, Offset), u64>,
    cursor_order: VecDeque<(FileId, Offset)>,
}

impl ReadCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            parts: BTreeMap::new(),
            order: VecDeque::new(),
            cursors: BTreeMap::new(),
            cursor_order: VecDeque::new(),
        }
    }

    /// Memory of its parts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The part that holds the byte at `position`, and where it begins.
    pub(crate) fn find(&self, file: FileId, position: u64) -> Option<(u64, Slice)> {
        let ((found, start), part) = self.parts.range(..=(file, position)).next_back()?;
        (*found == file && position < start + to_u64(part.len())).then(|| (*start, part.clone()))
    }

    /// Keeps a part. Its bytes must never change in the file.
    pub(crate) fn keep(&mut self, file: FileId, start: u64, part: Slice) {
        let held = part.held_bytes();
        if part.is_empty() || held > self.bytes_max / 4 {
            return;
        }
        if let Some(old) = self.parts.insert((file, start), part) {
            self.bytes -= old.held_bytes();
        } else {
            self.order.push_back((file, start));
        }
        self.bytes += held;
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(part) = self.parts.remove(&oldest) {
                self.bytes -= part.held_bytes();
            }
        }
    }

    /// Remembers where the batch that begins with `offset` lies.
    pub(crate) fn note_cursor(&mut self, file: FileId, offset: Offset, position: u64) {
        if self.cursors.insert((file, offset), position).is_none() {
            self.cursor_order.push_back((file, offset));
            if self.cursor_order.len() > READ_CURSORS_MAX
                && let Some(oldest) = self.cursor_order.pop_front()
            {
                self.cursors.remove(&oldest);
            }
        }
    }

    /// Where the batch that begins with `offset` lies, if a reader stopped there.
    pub(crate) fn cursor(&self, file: FileId, offset: Offset) -> Option<u64> {
        self.cursors.get(&(file, offset)).copied()
    }
}

//! The journal's files: which hold records that are still needed, which can be written again, and when to make another.

use std::collections::VecDeque;

use crate::io::FileRef;
use crate::types::ShardId;

/// A file that holds records.
#[derive(Debug)]
struct LiveFile {
    file: FileRef,
    /// Sequence of its first record.
    first_sequence: u64,
}

/// Files of a shard's journal. Each is filled from its begin; when its records are needed no more it is filled again.
#[derive(Debug)]
pub(crate) struct JournalSpace {
    shard: ShardId,
    file_bytes: u64,
    files_max: usize,
    /// Number of the next file to be made.
    next_number: u32,
    files: usize,
    ready: VecDeque<FileRef>,
    /// In order of sequences; the last one is being filled.
    live: VecDeque<LiveFile>,
    /// Where the next record goes in the last of `live`.
    position: u64,
    making: bool,
    /// There was no space for the last file that was to be made.
    is_short: bool,
}

impl JournalSpace {
    pub(crate) fn new(shard: ShardId, file_bytes: u64, bytes_max: u64, ready: Vec<FileRef>, next_number: u32) -> Self {
        let files_max = usize::try_from(bytes_max / file_bytes).expect("a journal has few files").max(3);
        Self {
            shard,
            file_bytes,
            files_max,
            next_number,
            files: ready.len(),
            ready: ready.into(),
            live: VecDeque::new(),
            position: 0,
            making: false,
            is_short: false,
        }
    }

    /// The journal's folder.
    pub(crate) fn dir(&self) -> String {
        format!("journal/{}", self.shard)
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes of the files that hold records, of the last one up to where the next goes.
    pub(crate) fn used_bytes(&self) -> u64 {
        let full = u64::try_from(self.live.len().saturating_sub(1)).expect("a journal has few files");
        if self.live.is_empty() { 0 } else { full * self.file_bytes + self.position }
    }

    /// Whether a record of this length goes in and leaves half a file for more, without another file being made or freed.
    pub(crate) fn leaves_room(&self, bytes: u64) -> bool {
        let (end, end_max) = (self.position + bytes, self.file_bytes / 2);
        if !self.live.is_empty() && end <= self.file_bytes {
            return !self.ready.is_empty() || end <= end_max;
        }
        self.ready.len() > 1 || (!self.ready.is_empty() && bytes <= end_max)
    }

    /// Where a record of this length and sequence goes; `None` when there is no room until another file is
    /// made, or a checkpoint frees some.
    pub(crate) fn reserve(&mut self, bytes: u64, sequence: u64) -> Option<(FileRef, u64)> {
        assert!(bytes <= self.file_bytes, "a record fits in a file");
        if self.live.is_empty() || self.position + bytes > self.file_bytes {
            let file = self.ready.pop_front()?;
            self.live.push_back(LiveFile { file, first_sequence: sequence });
            self.position = 0;
        }
        let file = self.live.back().expect("there is a file to fill").file.clone();
        let at = self.position;
        self.position += bytes;
        Some((file, at))
    }

    /// Whether another file is worth making, and its path. Ask until it says no.
    pub(crate) fn file_to_make(&mut self) -> Option<String> {
        let soon_full = self.live.is_empty() || self.position >= self.file_bytes / 2;
        if self.making || self.files >= self.files_max || !self.ready.is_empty() || !soon_full {
            return None;
        }
        self.making = true;
        let path = format!("{}/{}.journal", self.dir(), self.next_number);
        self.next_number += 1;
        Some(path)
    }

    /// Whether a file is wanted so much that it is taken before it has been filled with zeros.
    pub(crate) fn is_starved(&self) -> bool {
        self.ready.is_empty() && self.live.is_empty()
    }

    /// Whether there may come no other file when those that are there are full.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Whether there will be room without a checkpoint.
    pub(crate) fn is_making_file(&self) -> bool {
        self.making
    }

    /// The file asked for is there, or could not be made.
    pub(crate) fn made(&mut self, file: Option<FileRef>) {
        self.making = false;
        self.is_short = file.is_none();
        // What is left of one that could not be made is taken for the next.
        self.next_number -= u32::from(file.is_none());
        if let Some(file) = file {
            self.files += 1;
            self.ready.push_back(file);
        }
    }

    /// Whether so much of the journal is in use that a checkpoint should free the older half; the first sequence that
    /// is then still needed.
    pub(crate) fn cut_wanted(&self) -> Option<u64> {
        let free = self.ready.len() + self.files_max.saturating_sub(self.files);
        if free > self.files_max / 2 || self.live.len() < 2 {
            return None;
        }
        self.live.get((self.live.len() / 2).max(1)).map(|file| file.first_sequence)
    }

    /// Records before `cut` are needed no more; `next` is the sequence of the next one.
    pub(crate) fn release_before(&mut self, cut: u64, next: u64) {
        while self.live.get(1).is_some_and(|next| next.first_sequence <= cut) {
            let file = self.live.pop_front().expect("there are two").file;
            self.ready.push_back(file);
        }
        // With space for no other file the one that is being filled has to do, from its begin.
        if self.ready.is_empty() && self.live.len() == 1 && cut >= next {
            self.ready.extend(self.live.pop_front().map(|live| live.file));
        }
    }
}

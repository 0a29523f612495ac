//! Walking over one shard's journal, record by record, and telling its end from damage in its middle.
//!
//! A record is believed when its CRC is right and it continues the one before: next sequence, and its CRC in the chain.
//! At most one record is on its way to the disk at any time, so a bad record with a good one behind it was damaged
//! later; a bad record with nothing behind it was never complete.

use ringlog_buffer::Slice;

use crate::io::FileRef;
use crate::journal::format::{HEADER_BYTES, RecordHeader, record_bytes};
use crate::limits::{BLOCK_BYTES, RECOVERY_READ_BYTES};
use crate::log::tail::{to_u64, to_usize};

/// A file of the journal.
#[derive(Clone, Debug)]
pub(crate) struct JournalFile {
    pub(crate) file: FileRef,
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    /// What stands at its begin, if that looks like a record.
    pub(crate) first: Option<RecordHeader>,
}

/// The journal of one shard, and what is to be read of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) files: Vec<JournalFile>,
    /// Records of this generation and older are dead.
    pub(crate) drained_generation: u64,
    /// Records before this sequence are dead.
    pub(crate) cut: u64,
}

/// What the walk wants, or has found.
#[derive(Debug)]
pub(crate) enum WalkStep {
    /// Bytes of a file.
    Read { file: FileRef, offset: u64, bytes: usize },
    /// A record that counts, and its entries.
    Record { header: RecordHeader, payload: Slice },
    /// Records before the next one are lost.
    Damaged { sequence: u64 },
    /// There is nothing more.
    End,
}

/// A walk under way.
#[derive(Debug)]
pub(crate) struct Walk {
    journal: Journal,
    /// Place of the file in the list, and position in it.
    place: Option<(usize, u64)>,
    started: bool,
    /// The last record that was believed.
    last: Option<RecordHeader>,
    /// Looking for anything valid in the rest of the file.
    searching: bool,
    window: Slice,
    window_start: u64,
    window_file: Option<usize>,
    /// Bytes that the last read has asked for.
    asked_bytes: usize,
}

impl Walk {
    pub(crate) fn new(journal: Journal) -> Self {
        Self {
            journal,
            place: None,
            started: false,
            last: None,
            searching: false,
            window: Slice::default(),
            window_start: 0,
            window_file: None,
            asked_bytes: 0,
        }
    }

    /// Takes the bytes that were asked for.
    pub(crate) fn take(&mut self, offset: u64, bytes: Slice) {
        self.window = bytes;
        self.window_start = offset;
        self.window_file = self.place.map(|(file, _)| file);
    }

    /// The next step.
    pub(crate) fn next(&mut self) -> WalkStep {
        if !self.started {
            self.started = true;
            self.place = self.first_file().map(|file| (file, 0));
        }
        while let Some((file, position)) = self.place {
            if position >= self.journal.files[file].bytes {
                if let Some(damage) = self.leave_file(file) {
                    return damage;
                }
                continue;
            }
            let block = match self.window_at(file, position, to_usize(BLOCK_BYTES)) {
                Ok(block) => block,
                Err(read) => return read,
            };
            let header = RecordHeader::decode(&block).filter(|header| self.is_next(header));
            let Some(header) = header else {
                if let Some(damage) = self.step_over(file, position) {
                    return damage;
                }
                continue;
            };
            let length = header.file_bytes();
            let record = match self.window_at(file, position, to_usize(length)) {
                Ok(record) => record,
                Err(read) => return read,
            };
            let complete = record.len() >= HEADER_BYTES + header.payload_bytes;
            let payload = complete.then(|| record.slice(HEADER_BYTES..HEADER_BYTES + header.payload_bytes));
            let Some(payload) = payload.filter(|payload| header.crc_with(payload) == header.crc) else {
                if let Some(damage) = self.step_over(file, position) {
                    return damage;
                }
                continue;
            };
            if self.searching {
                // What was looked for is here: it is believed when the walk comes back to it.
                self.searching = false;
                self.last = None;
                return WalkStep::Damaged { sequence: header.sequence };
            }
            self.place = Some((file, position + length));
            self.last = Some(header);
            if header.sequence >= self.journal.cut {
                return WalkStep::Record { header, payload };
            }
        }
        WalkStep::End
    }

    /// Sequence behind the last record seen.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.last.map_or(self.journal.cut, |last| last.sequence.saturating_add(1).max(self.journal.cut))
    }

    fn is_live(&self, header: &RecordHeader) -> bool {
        header.generation > self.journal.drained_generation
    }

    fn is_next(&self, header: &RecordHeader) -> bool {
        let Some(last) = self.last else { return self.is_live(header) };
        if self.searching {
            return header.generation >= last.generation && header.sequence > last.sequence.saturating_add(1);
        }
        let same_start = header.generation == last.generation && header.previous_crc == last.crc;
        let next_start = header.generation > last.generation && header.previous_crc == 0;
        Some(header.sequence) == last.sequence.checked_add(1) && (same_start || next_start)
    }

    /// The file that holds the first record that counts.
    fn first_file(&self) -> Option<usize> {
        let live = |file: &JournalFile| file.first.filter(|first| self.is_live(first)).map(|first| first.sequence);
        let starts = self.journal.files.iter().enumerate().filter_map(|(at, file)| Some((live(file)?, at)));
        let before = starts.clone().filter(|(first, _)| *first <= self.journal.cut).max();
        before.or_else(|| starts.min()).map(|(_, at)| at)
    }

    /// Nothing believable stands here: go to where the next record may be.
    fn step_over(&mut self, file: usize, position: u64) -> Option<WalkStep> {
        if self.searching {
            self.place = Some((file, position + BLOCK_BYTES));
            return None;
        }
        self.leave_file(file)
    }

    fn leave_file(&mut self, file: usize) -> Option<WalkStep> {
        let wanted = self.next_sequence();
        let firsts: Vec<(RecordHeader, usize)> = self
            .journal
            .files
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != file)
            .filter_map(|(at, other)| Some((other.first.filter(|first| self.is_live(first))?, at)))
            .collect();
        if !self.searching {
            // Where the checkpoint cuts the chain, there is nothing to compare with.
            let jumps = self.last.is_none_or(|last| last.sequence.saturating_add(1) < wanted);
            let follows = |first: &RecordHeader| first.sequence == wanted && (jumps || self.is_next(first));
            if let Some((_, at)) = firsts.iter().find(|(first, _)| follows(first)) {
                if jumps {
                    self.last = None;
                }
                self.place = Some((*at, 0));
                return None;
            }
            if self.last.is_some() {
                // Look through the rest of this file before giving up.
                self.searching = true;
                return None;
            }
        }
        self.searching = false;
        // Only ever onwards: two files whose first records are damaged must not send the walk back and forth.
        let left = self.journal.files[file].first.map_or(0, |first| first.sequence);
        let is_later = |first: &RecordHeader| first.sequence > wanted.max(left);
        let later = firsts.iter().filter(|(first, _)| is_later(first)).min_by_key(|(first, _)| first.sequence);
        let Some((first, at)) = later else {
            self.place = None;
            return None;
        };
        let sequence = first.sequence;
        self.place = Some((*at, 0));
        self.last = None;
        Some(WalkStep::Damaged { sequence })
    }

    fn window_at(&mut self, file: usize, position: u64, bytes: usize) -> Result<Slice, WalkStep> {
        let length = self.journal.files[file].bytes;
        let end = (position + to_u64(bytes)).min(length);
        let window_end = self.window_start + to_u64(self.window.len());
        if self.window_file == Some(file) && self.window_start <= position && end <= window_end {
            let from = to_usize(position - self.window_start);
            return Ok(self.window.slice(from..from + to_usize(end - position)));
        }
        // A read that brought less than it was asked for: the file is shorter than its directory says. One that was asked for
        // less than is wanted now says nothing of that.
        let is_from_here = self.window_file == Some(file) && self.window_start == position;
        if is_from_here && window_end < end && self.window.len() < self.asked_bytes {
            return Ok(self.window.clone());
        }
        let wanted = bytes.max(RECOVERY_READ_BYTES).next_multiple_of(to_usize(BLOCK_BYTES));
        let most = to_usize((length - position).next_multiple_of(BLOCK_BYTES));
        self.asked_bytes = wanted.min(most);
        let file = self.journal.files[file].file.clone();
        Err(WalkStep::Read { file, offset: position, bytes: self.asked_bytes })
    }
}

/// Length of the largest record, for a first look at a file.
pub(crate) fn first_block_bytes() -> usize {
    to_usize(record_bytes(0))
}

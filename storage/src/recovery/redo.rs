//! Bringing journaled batches into their segments: collected per segment, written in large pieces.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use ringlog_buffer::{Chunk, Slice};

use crate::journal::format::{Entry as JournalEntry, PartitionKey};
use crate::limits::{BLOCK_BYTES, RECOVERY_DRAIN_BYTES_MAX};
use crate::log::tail::{to_u64, to_usize};
use crate::types::Offset;

/// Bytes to be written into a segment.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) key: PartitionKey,
    pub(crate) segment: Offset,
    /// Where the bytes go.
    pub(crate) position: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Piece {
    /// First block that is touched.
    pub(crate) fn from(&self) -> u64 {
        self.position - self.position % BLOCK_BYTES
    }

    /// Behind the last block that is touched.
    pub(crate) fn to(&self) -> u64 {
        (self.position + to_u64(self.bytes.len())).next_multiple_of(BLOCK_BYTES)
    }

    /// The blocks to write, given what they hold now.
    pub(crate) fn over(&self, present: &[u8]) -> Slice {
        let length = to_usize(self.to() - self.from());
        let mut chunk = Chunk::with_capacity(length);
        let spare = &mut chunk.spare_mut()[..length];
        let known = present.len().min(length);
        spare[..known].copy_from_slice(&present[..known]);
        let inside = to_usize(self.position - self.from());
        spare[inside..inside + self.bytes.len()].copy_from_slice(&self.bytes);
        chunk.advance(length);
        chunk.freeze()
    }
}

/// Pieces that are being collected.
#[derive(Debug, Default)]
pub(crate) struct Redo {
    open: BTreeMap<(PartitionKey, Offset), Piece>,
    closed: Vec<Piece>,
    bytes: usize,
    /// Segments that were written: they are synced in the end.
    pub(crate) written: BTreeSet<(PartitionKey, Offset)>,
}

impl Redo {
    /// Adds the batches of an entry.
    pub(crate) fn add(&mut self, entry: &JournalEntry, batches: &[u8]) {
        let place = (entry.key, entry.from.segment);
        self.bytes += batches.len();
        self.written.insert(place);
        let end_of = |piece: &Piece| piece.position + to_u64(piece.bytes.len());
        if let Some(piece) = self.open.get_mut(&place) {
            if end_of(piece) == entry.from.position {
                piece.bytes.extend_from_slice(batches);
                return;
            }
            // What lies between went straight to the segment.
            if let Some(piece) = self.open.remove(&place) {
                self.closed.push(piece);
            }
        }
        let piece = Piece {
            key: entry.key,
            segment: entry.from.segment,
            position: entry.from.position,
            bytes: batches.to_vec(),
        };
        self.open.insert(place, piece);
    }

    /// Whether so much is collected that it should be written before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= RECOVERY_DRAIN_BYTES_MAX
    }

    /// Pieces that can be written at the same time: of each segment one. Empty when all were taken.
    pub(crate) fn take_round(&mut self) -> Vec<Piece> {
        let mut round: BTreeMap<(PartitionKey, Offset), Piece> = BTreeMap::new();
        let mut later = Vec::new();
        let open = std::mem::take(&mut self.open).into_values();
        for piece in std::mem::take(&mut self.closed).into_iter().chain(open) {
            let place = (piece.key, piece.segment);
            match round.entry(place) {
                Entry::Vacant(free) => {
                    free.insert(piece);
                }
                Entry::Occupied(_) => later.push(piece),
            }
        }
        self.closed = later;
        if self.closed.is_empty() {
            self.bytes = 0;
        }
        round.into_values().collect()
    }
}

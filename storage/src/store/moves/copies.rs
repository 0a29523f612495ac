//! The copy of a partition that is being moved: which segments it has, how far, and which piece comes next.

use std::collections::BTreeMap;

use ringlog_buffer::{Chunk, Slice};

use crate::io::{FileRef, IoOp};
use crate::limits::{BLOCK_BYTES, MOVE_PIECE_BYTES};
use crate::log::partition::Partition;
use crate::log::segment::Seal;
use crate::log::tail::to_usize;
use crate::types::Offset;

/// A part of a segment that is copied at a time: from the begin of a block to where its content ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(super) base: Offset,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The copy of a segment.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) file: FileRef,
    /// How much of the segment it has.
    pub(super) bytes: u64,
    /// Reserved length of its file.
    pub(super) allocated: u64,
    /// It is cut to its content and synced, and has its index.
    pub(super) is_finished: bool,
}

/// The copies of a partition's segments, by their base offsets.
#[derive(Debug, Default)]
pub(super) struct Copies(BTreeMap<Offset, Copy>);

impl Piece {
    /// Bytes to read: whole blocks.
    pub(super) fn bytes(&self) -> usize {
        to_usize(self.to.next_multiple_of(BLOCK_BYTES) - self.from)
    }

    /// The blocks to write, of what was read. Behind the content there are zeros. `None` if less was read than there was.
    pub(super) fn blocks(&self, read: &Slice) -> Option<Vec<Slice>> {
        let content = to_usize(self.to - self.from);
        if read.len() < content {
            return None;
        }
        let block = to_usize(BLOCK_BYTES);
        let whole = content - content % block;
        let mut data = Vec::with_capacity(2);
        if whole > 0 {
            data.push(read.slice(0..whole));
        }
        if whole < content {
            let mut last = Chunk::with_capacity(block);
            last.append(&read[whole..content]);
            last.append(&vec![0; block - (content - whole)]);
            data.push(last.freeze());
        }
        Some(data)
    }
}

impl Copies {
    pub(super) fn iter(&self) -> impl Iterator<Item = (Offset, &Copy)> {
        self.0.iter().map(|(base, copy)| (*base, copy))
    }

    pub(super) fn get(&self, base: Offset) -> Option<&Copy> {
        self.0.get(&base)
    }

    fn bytes_of(&self, base: Offset) -> u64 {
        self.get(base).map_or(0, |copy| copy.bytes)
    }

    /// The next piece that is written to the partition's segments and not copied.
    pub(super) fn next(&self, partition: &Partition) -> Option<Piece> {
        partition.segments.iter().find_map(|segment| {
            let written = partition.written.position_in(segment.base, segment.bytes);
            let copied = self.bytes_of(segment.base);
            let from = copied - copied % BLOCK_BYTES;
            (copied < written).then(|| Piece { base: segment.base, from, to: written.min(from + MOVE_PIECE_BYTES) })
        })
    }

    /// A sealed segment whose copy is complete and not finished.
    pub(super) fn next_to_finish(&self, partition: &Partition) -> Option<Offset> {
        let sealed = partition.segments.iter().filter(|segment| segment.seal == Seal::Sealed);
        let mut wanting = sealed.filter(|segment| {
            self.get(segment.base).is_some_and(|copy| !copy.is_finished && copy.bytes == segment.bytes)
        });
        wanting.next().map(|segment| segment.base)
    }

    /// The file of a piece's segment. What has to be done before the piece is written goes into `script`.
    pub(super) fn reserve(
        &mut self,
        piece: Piece,
        allocate: u64,
        file: impl FnOnce() -> FileRef,
        script: &mut Vec<IoOp>,
    ) -> FileRef {
        let end = piece.to.next_multiple_of(BLOCK_BYTES);
        let allocate = allocate.max(end);
        if let Some(copy) = self.0.get_mut(&piece.base) {
            if copy.allocated < end {
                copy.allocated = allocate;
                script.push(IoOp::Allocate { file: copy.file.clone(), bytes: allocate });
            }
            return copy.file.clone();
        }
        let file = file();
        script.push(IoOp::Create { file: file.clone(), allocate_bytes: allocate });
        self.0.insert(piece.base, Copy { file: file.clone(), bytes: 0, allocated: allocate, is_finished: false });
        file
    }

    /// A piece is written. Answers how many bytes are new.
    pub(super) fn copied(&mut self, piece: Piece) -> u64 {
        let Some(copy) = self.0.get_mut(&piece.base) else { return 0 };
        let before = copy.bytes;
        copy.bytes = before.max(piece.to);
        copy.bytes - before
    }

    pub(super) fn finished(&mut self, base: Offset) {
        if let Some(copy) = self.0.get_mut(&base) {
            copy.is_finished = true;
        }
    }

    /// Bytes that are copied, and the offset behind them: where that lies within a segment, as far as its index tells.
    pub(super) fn extent(&self, partition: &Partition) -> (u64, Offset) {
        let bytes = self.0.values().map(|copy| copy.bytes).sum();
        let mut end = partition.log_start;
        for (at, segment) in partition.segments.iter().enumerate() {
            let copied = self.bytes_of(segment.base);
            if copied < segment.bytes || segment.bytes == 0 {
                let entries = segment.index.iter().flat_map(crate::log::index::SparseIndex::entries);
                let known = entries.take_while(|entry| entry.position <= copied).last();
                return (bytes, end.max(known.filter(|_| copied > 0).map_or(segment.base, |entry| entry.offset)));
            }
            end = end.max(partition.segment_end_offset(at));
        }
        (bytes, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_whole_blocks_with_zeros_behind_its_content() {
        for (from, to, blocks) in [(0, 4096, 1), (0, 1, 1), (4096, 3 * 4096, 2), (8192, 8192 + 4097, 2)] {
            let piece = Piece { base: Offset::ZERO, from, to };
            assert_eq!(piece.bytes(), blocks * 4096);
            let content = to_usize(to - from);
            let read = Slice::from(&vec![7; piece.bytes()][..]);
            let data: Vec<u8> = piece.blocks(&read).expect("enough").iter().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(data.len(), piece.bytes());
            assert!(data[..content].iter().all(|byte| *byte == 7) && data[content..].iter().all(|byte| *byte == 0));
            assert!(piece.blocks(&read.slice(0..content - 1)).is_none(), "the file is shorter than it should be");
        }
    }
}

//! LZ4 frames (version 1.6.4 of the format's description), read and written over the block codec of `lz4_flex`.
//!
//! The frame is our own work so that blocks decompress straight into the output: no second copy, and no buffer of a
//! block's declared 4 MiB for a frame of twenty bytes. Written as Kafka does: independent blocks of 64 KiB, no
//! checksums but the header's. Read: all of the format but dictionaries; Kafka's own reader refuses linked blocks too.

use super::{Codec, CodecError};
use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};
use twox_hash::XxHash32;

const MALFORMED: CodecError = CodecError::Malformed(Codec::Lz4);
const MAGIC: u32 = 0x184D_2204;
/// Skippable frames: sixteen magics that differ in their last four bits.
const MAGIC_SKIPPABLE: u32 = 0x184D_2A50;
/// Version 1, independent blocks.
const WRITTEN_FLAGS: u8 = 0x60;
/// Blocks of at most 64 KiB.
const WRITTEN_BLOCKS: u8 = 0x40;
const WRITTEN_BLOCK_BYTES: usize = 64 << 10;
/// Marks a block that is stored as it is.
const STORED: u32 = 1 << 31;
/// How far back a linked block may reach, in bytes.
const WINDOW_BYTES: usize = 64 << 10;
/// One byte of a match length adds at most 255 bytes of output.
const EXPANSION_MAX: usize = 255;

#[derive(Default)]
pub(super) struct Encoder {
    table: Option<CompressTable>,
}

impl Encoder {
    pub(super) fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let table = self.table.get_or_insert_with(CompressTable::large);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        let descriptor = [WRITTEN_FLAGS, WRITTEN_BLOCKS];
        out.extend_from_slice(&descriptor);
        out.push(descriptor_checksum(&descriptor));
        for block in plain.chunks(WRITTEN_BLOCK_BYTES) {
            let start = out.len() + 4;
            out.resize(start + get_maximum_output_size(block.len()), 0);
            let bytes = compress_into_with_table(block, &mut out[start..], table).expect("room for the worst");
            let mut length = u32::try_from(bytes.min(block.len())).expect("a block of 64 KiB");
            out.truncate(start + bytes);
            if bytes >= block.len() {
                length |= STORED;
                out.truncate(start);
                out.extend_from_slice(block);
            }
            out[start - 4..start].copy_from_slice(&length.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
    }
}

fn descriptor_checksum(descriptor: &[u8]) -> u8 {
    XxHash32::oneshot(0, descriptor).to_le_bytes()[1]
}

pub(super) fn decompress(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut input = Input { rest: payload };
    loop {
        let magic = input.u32()?;
        if magic == MAGIC {
            Frame::parse(&mut input)?.decompress(&mut input, limit, out)?;
        } else if magic & !0xf == MAGIC_SKIPPABLE {
            let bytes = input.u32()?;
            input.take(usize::try_from(bytes).map_err(|_| MALFORMED)?)?;
        } else {
            return Err(MALFORMED);
        }
        if input.rest.is_empty() {
            return Ok(());
        }
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*taken))
    }
}

/// What a frame's descriptor says.
struct Frame {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_bytes: Option<u64>,
    block_bytes_max: usize,
}

impl Frame {
    fn parse(input: &mut Input<'_>) -> Result<Self, CodecError> {
        let start = input.rest;
        let &[flags, blocks] = input.take(2)? else { return Err(MALFORMED) };
        // Version 01; the reserved bits are zero; a dictionary would have to be known beforehand.
        if flags & 0b1100_0011 != 0b0100_0000 || blocks & 0b1000_1111 != 0 {
            return Err(MALFORMED);
        }
        let block_bytes_max = match blocks >> 4 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(MALFORMED),
        };
        let content_bytes = match flags & 0b1000 {
            0 => None,
            _ => Some(u64::from_le_bytes(*input.take(8)?.first_chunk().expect("eight were taken"))),
        };
        let descriptor = &start[..start.len() - input.rest.len()];
        if input.take(1)? != [descriptor_checksum(descriptor)] {
            return Err(MALFORMED);
        }
        Ok(Self {
            linked: flags & 0b10_0000 == 0,
            block_checksums: flags & 0b1_0000 != 0,
            content_checksum: flags & 0b100 != 0,
            content_bytes,
            block_bytes_max,
        })
    }

    fn decompress(&self, input: &mut Input<'_>, limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let frame_start = out.len();
        loop {
            let length = input.u32()?;
            if length == 0 {
                break;
            }
            let bytes = usize::try_from(length & !STORED).map_err(|_| MALFORMED)?;
            if bytes > self.block_bytes_max {
                return Err(MALFORMED);
            }
            let block = input.take(bytes)?;
            if self.block_checksums && input.u32()? != XxHash32::oneshot(0, block) {
                return Err(MALFORMED);
            }
            if length & STORED == 0 {
                self.block(block, frame_start, limit, out)?;
            } else if block.len() > limit - out.len() {
                return Err(CodecError::OverLimit(limit));
            } else {
                out.extend_from_slice(block);
            }
        }
        let content = &out[frame_start..];
        if self.content_checksum && input.u32()? != XxHash32::oneshot(0, content) {
            return Err(MALFORMED);
        }
        if self.content_bytes.is_some_and(|bytes| usize::try_from(bytes) != Ok(content.len())) {
            return Err(MALFORMED);
        }
        Ok(())
    }

    fn block(&self, block: &[u8], frame_start: usize, limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let start = out.len();
        let possible = self.block_bytes_max.min(block.len() * EXPANSION_MAX);
        let room = possible.min(limit - start);
        out.resize(start + room, 0);
        let (before, target) = out.split_at_mut(start);
        let bytes = if self.linked {
            let window_start = frame_start.max(start.saturating_sub(WINDOW_BYTES));
            decompress_into_with_dict(block, target, &before[window_start..])
        } else {
            decompress_into(block, target)
        };
        let bytes = bytes.map_err(|error| match error {
            DecompressError::OutputTooSmall { .. } if room < possible => CodecError::OverLimit(limit),
            _ => MALFORMED,
        })?;
        out.truncate(start + bytes);
        Ok(())
    }
}

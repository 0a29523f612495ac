//! Zstandard frames, in one call each way: without a stream's window, output is written once and memory is what the
//! output takes. How much that can be is found by walking the block headers, since a frame may declare anything.

use super::{Codec, CodecError};
use zstd::bulk;
use zstd::zstd_safe::compress_bound;

const MALFORMED: CodecError = CodecError::Malformed(Codec::Zstd);
const MAGIC: u32 = 0xFD2F_B528;
/// Skippable frames: sixteen magics that differ in their last four bits.
const MAGIC_SKIPPABLE: u32 = 0x184D_2A50;
/// The most that one compressed block decompresses to, in bytes.
const BLOCK_BYTES_MAX: usize = 128 << 10;

#[derive(Default)]
pub(super) struct Encoder {
    state: Option<(i32, bulk::Compressor<'static>)>,
}

impl Encoder {
    pub(super) fn compress(&mut self, level: i32, plain: &[u8], out: &mut Vec<u8>) {
        let level = level.clamp(*Codec::Zstd.levels().start(), *Codec::Zstd.levels().end());
        if !matches!(&self.state, Some((current, _)) if *current == level) {
            self.state = Some((level, bulk::Compressor::new(level).expect("memory for a zstd context")));
        }
        let (_, state) = self.state.as_mut().expect("just made");
        let start = out.len();
        out.resize(start + compress_bound(plain.len()), 0);
        let bytes = state.compress_to_buffer(plain, &mut out[start..]).expect("room for the worst case");
        out.truncate(start + bytes);
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    state: Option<bulk::Decompressor<'static>>,
}

impl Decoder {
    /// `out` is empty at first: the one-call interface writes from a vector's beginning.
    pub(super) fn decompress(&mut self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let possible = output_bytes_max(payload).ok_or(MALFORMED)?;
        out.reserve_exact(possible.min(limit));
        let state = self.state.get_or_insert_with(|| bulk::Decompressor::new().expect("memory for a zstd context"));
        let result = state.decompress_to_buffer(payload, out);
        if out.len() > limit {
            // A larger buffer of an earlier use had room for it.
            return Err(CodecError::OverLimit(limit));
        }
        result.map(drop).map_err(|_| if possible > limit { CodecError::OverLimit(limit) } else { MALFORMED })
    }
}

/// The most that these frames can decompress to; `None` where they are malformed or cut short.
fn output_bytes_max(payload: &[u8]) -> Option<usize> {
    let mut rest = payload;
    let mut total = 0_usize;
    while !rest.is_empty() {
        let magic = u32::from_le_bytes(*take(&mut rest, 4)?.first_chunk()?);
        if magic == MAGIC {
            total = total.saturating_add(frame(&mut rest)?);
        } else if magic & !0xf == MAGIC_SKIPPABLE {
            let bytes = u32::from_le_bytes(*take(&mut rest, 4)?.first_chunk()?);
            take(&mut rest, usize::try_from(bytes).ok()?)?;
        } else {
            return None;
        }
    }
    (!payload.is_empty()).then_some(total)
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(bytes)?;
    *rest = behind;
    Some(taken)
}

/// Walks one frame, from behind its magic (RFC 8878, section 3.1.1).
fn frame(rest: &mut &[u8]) -> Option<usize> {
    let descriptor = take(rest, 1)?[0];
    let single_segment = descriptor & 0b10_0000 != 0;
    let content_size_bytes = match descriptor >> 6 {
        0 => usize::from(single_segment),
        flag => 1 << flag,
    };
    let dictionary_id_bytes = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    take(rest, usize::from(!single_segment) + dictionary_id_bytes)?;
    let mut content_size = [0; 8];
    content_size[..content_size_bytes].copy_from_slice(take(rest, content_size_bytes)?);
    let declared = match content_size_bytes {
        0 => u64::MAX,
        // Two bytes count from 256 on.
        2 => u64::from_le_bytes(content_size) + 256,
        _ => u64::from_le_bytes(content_size),
    };
    let mut total = 0_usize;
    loop {
        let header = take(rest, 3)?;
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let bytes = usize::try_from(header >> 3).ok()?;
        let (stored, output) = match header >> 1 & 0b11 {
            0 => (bytes, bytes),
            1 => (1, bytes),
            2 => (bytes, BLOCK_BYTES_MAX),
            _ => return None,
        };
        take(rest, stored)?;
        total = total.saturating_add(output);
        if header & 1 == 1 {
            break;
        }
    }
    take(rest, if descriptor & 0b100 == 0 { 0 } else { 4 })?;
    Some(total.min(usize::try_from(declared).unwrap_or(usize::MAX)))
}

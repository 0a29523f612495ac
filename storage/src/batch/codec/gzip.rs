//! Gzip: members one after the other, as RFC 1952 allows.

use super::{Codec, CodecError};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const MALFORMED: CodecError = CodecError::Malformed(Codec::Gzip);
/// Base-2 logarithm of the window: the most that the format knows.
const WINDOW_BITS: u8 = 15;
/// The least by which an output grows, in bytes.
const GROWTH_BYTES_MIN: usize = 16 << 10;

pub(super) fn compress(level: i32, plain: &[u8], out: &mut Vec<u8>) {
    let level = match u32::try_from(level) {
        Ok(level) => Compression::new(level.clamp(1, 9)),
        Err(_) => Compression::default(),
    };
    let mut state = Compress::new_gzip(level, WINDOW_BITS);
    // Deflate stores what it cannot shrink: at most 5 bytes more per 16 KiB, and the frame of a member.
    out.reserve(plain.len() + plain.len() / 1024 + 64);
    loop {
        let consumed = usize::try_from(state.total_in()).expect("a position in memory");
        let status = state.compress_vec(&plain[consumed..], out, FlushCompress::Finish).expect("a fresh deflate state");
        if status == Status::StreamEnd {
            return;
        }
        out.reserve(GROWTH_BYTES_MIN);
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    state: Option<Decompress>,
}

impl Decoder {
    pub(super) fn decompress(&mut self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let state = self.state.get_or_insert_with(|| Decompress::new_gzip(WINDOW_BITS));
        let mut rest = payload;
        loop {
            state.reset(true);
            rest = member(state, rest, limit, out)?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Decompresses one member and returns what follows it.
fn member<'a>(
    state: &mut Decompress,
    member: &'a [u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], CodecError> {
    loop {
        if out.len() == out.capacity() {
            // One byte beyond the limit shows an output that goes on, and no more than that is ever asked for.
            let growth = out.len().max(GROWTH_BYTES_MIN).min(limit.saturating_add(1) - out.len());
            out.reserve_exact(growth);
        }
        let consumed = usize::try_from(state.total_in()).expect("a position in memory");
        let before = (state.total_in(), state.total_out());
        let status = state.decompress_vec(&member[consumed..], out, FlushDecompress::None).map_err(|_| MALFORMED)?;
        if out.len() > limit {
            return Err(CodecError::OverLimit(limit));
        }
        if status == Status::StreamEnd {
            let consumed = usize::try_from(state.total_in()).expect("a position in memory");
            return Ok(&member[consumed..]);
        }
        if before == (state.total_in(), state.total_out()) {
            return Err(MALFORMED);
        }
    }
}

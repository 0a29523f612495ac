//! Snappy, bare or in the framing of snappy-java, which Kafka's clients call "xerial".
//!
//! Framed: `82 "SNAPPY" 00`, version 1, least compatible version 1, then blocks, each behind its length (all i32, big
//! endian). Kafka's Java client and broker write the framing; librdkafka and franz-go write bare blocks; all read both.

use super::{Codec, CodecError};
use snap::raw::{decompress_len, max_compress_len};

const MALFORMED: CodecError = CodecError::Malformed(Codec::Snappy);
const FRAMING: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// The part of the framing that tells it from a bare block; the versions behind it are not looked at.
const FRAMING_MAGIC_BYTES: usize = 8;
/// Input of one block in bytes, as Kafka's own writer has it.
const BLOCK_BYTES: usize = 32 << 10;
/// The format's most profitable element turns 3 bytes into 64; no honest block declares more.
const EXPANSION_MAX: usize = 22;

pub(super) struct Encoder {
    state: snap::raw::Encoder,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { state: snap::raw::Encoder::new() }
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&FRAMING);
        for block in plain.chunks(BLOCK_BYTES) {
            let start = out.len() + 4;
            out.resize(start + max_compress_len(block.len()), 0);
            let bytes = self.state.compress(block, &mut out[start..]).expect("room for the worst case");
            out.truncate(start + bytes);
            let length = i32::try_from(bytes).expect("a block of 32 KiB");
            out[start - 4..start].copy_from_slice(&length.to_be_bytes());
        }
    }
}

pub(super) struct Decoder {
    state: snap::raw::Decoder,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: snap::raw::Decoder::new() }
    }
}

impl Decoder {
    pub(super) fn decompress(&mut self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        if !payload.starts_with(&FRAMING[..FRAMING_MAGIC_BYTES]) {
            return self.block(payload, limit, out);
        }
        let mut rest = payload;
        while !rest.is_empty() {
            // A stream may follow a stream; its first byte, taken for a length, would be negative.
            if rest.starts_with(&FRAMING[..FRAMING_MAGIC_BYTES]) {
                rest = rest.get(FRAMING.len()..).ok_or(MALFORMED)?;
                continue;
            }
            let (length, behind) = rest.split_first_chunk().ok_or(MALFORMED)?;
            let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| MALFORMED)?;
            let (block, behind) = behind.split_at_checked(length).ok_or(MALFORMED)?;
            self.block(block, limit, out)?;
            rest = behind;
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let bytes = decompress_len(block).map_err(|_| MALFORMED)?;
        if bytes > block.len().saturating_mul(EXPANSION_MAX) {
            return Err(MALFORMED);
        }
        let start = out.len();
        if bytes > limit - start {
            return Err(CodecError::OverLimit(limit));
        }
        out.resize(start + bytes, 0);
        self.state.decompress(block, &mut out[start..]).map_err(|_| MALFORMED)?;
        Ok(())
    }
}

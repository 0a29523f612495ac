//! The compression codecs of record batches: [`Compressor`] and [`Decompressor`], with memory that is used again.
//!
//! Decompression takes a limit on its output. What it allocates follows what the input can really produce and never
//! exceeds the limit by more than an allocator's rounding, whatever lengths the input declares.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;
use std::ops::RangeInclusive;

/// Output that a [`Decompressor`] keeps for its next use, in bytes; a larger one is given back.
const RETAINED_BYTES_MAX: usize = 4 << 20;

/// How the records of a batch are compressed; the numbers are those of the attribute bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, bare or in the framing of snappy-java ("xerial").
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878; KIP-110.
    Zstd,
}

impl Codec {
    /// Every codec, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in a batch's attributes.
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The name that Kafka's settings use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The level that Kafka uses unless configured otherwise (KIP-390); 0 where the codec has none.
    pub const fn default_level(self) -> i32 {
        match self {
            Self::None | Self::Snappy => 0,
            Self::Gzip => -1,
            Self::Lz4 => 9,
            Self::Zstd => 3,
        }
    }

    /// The levels that `compression.*.level` accepts (KIP-390). Gzip also knows -1, its default.
    pub const fn levels(self) -> RangeInclusive<i32> {
        match self {
            Self::None | Self::Snappy => 0..=0,
            Self::Gzip => 1..=9,
            Self::Lz4 => 1..=17,
            Self::Zstd => -131_072..=22,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A codec and its level.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// Its level, one of [`Codec::levels`] or the default. For lz4 it changes nothing: only the fast compressor is
    /// there, and every level's output is the same.
    pub level: i32,
}

impl From<Codec> for Compression {
    /// The codec at its default level.
    fn from(codec: Codec) -> Self {
        Self { codec, level: codec.default_level() }
    }
}

/// Why a payload could not be decompressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes are not what the codec writes, or a checksum in them does not match.
    #[error("the {0} data is malformed")]
    Malformed(Codec),
    /// The output would exceed this limit.
    #[error("the decompressed data exceeds {0} bytes")]
    OverLimit(usize),
}

/// Compresses; keeps the codecs' working memory between uses.
#[derive(Default)]
pub struct Compressor {
    lz4: lz4::Encoder,
    snappy: snappy::Encoder,
    zstd: zstd::Encoder,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// Appends the compressed `plain` to `out`. A level outside of the codec's range is taken for the nearest one.
    pub fn compress(&mut self, compression: Compression, plain: &[u8], out: &mut Vec<u8>) {
        let level = compression.level;
        match compression.codec {
            Codec::None => out.extend_from_slice(plain),
            Codec::Gzip => gzip::compress(level, plain, out),
            Codec::Snappy => self.snappy.compress(plain, out),
            Codec::Lz4 => self.lz4.compress(plain, out),
            Codec::Zstd => self.zstd.compress(level, plain, out),
        }
    }
}

/// Decompresses into a buffer of its own; keeps it and the codecs' working memory between uses.
#[derive(Default)]
pub struct Decompressor {
    plain: Vec<u8>,
    gzip: gzip::Decoder,
    snappy: snappy::Decoder,
    zstd: zstd::Decoder,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("plain_capacity", &self.plain.capacity()).finish_non_exhaustive()
    }
}

impl Decompressor {
    /// The decompressed `payload`, at most `limit_bytes` long. With [`Codec::None`] that is the payload itself. All of
    /// the payload must be of the codec's format; bytes behind the end are an error.
    pub fn decompress<'a>(
        &'a mut self,
        codec: Codec,
        payload: &'a [u8],
        limit_bytes: usize,
    ) -> Result<&'a [u8], CodecError> {
        if self.plain.capacity() > RETAINED_BYTES_MAX {
            self.plain = Vec::new();
        }
        self.plain.clear();
        let out = &mut self.plain;
        match codec {
            Codec::None if payload.len() > limit_bytes => return Err(CodecError::OverLimit(limit_bytes)),
            Codec::None => return Ok(payload),
            Codec::Gzip => self.gzip.decompress(payload, limit_bytes, out)?,
            Codec::Snappy => self.snappy.decompress(payload, limit_bytes, out)?,
            Codec::Lz4 => lz4::decompress(payload, limit_bytes, out)?,
            Codec::Zstd => self.zstd.decompress(payload, limit_bytes, out)?,
        }
        assert!(self.plain.len() <= limit_bytes, "every codec keeps the limit");
        Ok(&self.plain)
    }
}

#[cfg(test)]
mod tests;

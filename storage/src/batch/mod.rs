//! Record batches of format version 2 (KIP-98): read, built, checked, compressed.
//!
//! A batch is kept and sent byte for byte as the producer made it. The broker patches only the base offset and the
//! leader epoch, both outside of the checksum, and rewrites more of it solely where a topic's settings ask for that.
//!
//! ```text
//!  0 base offset i64        17 crc u32 (CRC32C of 21..)   43 producer id i64
//!  8 length i32 (of 12..)   21 attributes i16             51 producer epoch i16
//! 12 leader epoch i32       23 last offset delta i32      53 base sequence i32
//! 16 magic i8               27 base timestamp i64         57 record count i32
//!                           35 max timestamp i64          61 records, or a compressed block of them
//! ```
//!
//! [`view`] reads headers and whole batches, [`record`] the records in them, [`codec`] what is compressed. [`build`] makes
//! batches, [`control`] those of transaction markers. [`validate`] decides whether a producer's batch is accepted.

pub mod build;
pub mod codec;
pub mod control;
#[cfg(test)]
mod noise;
pub mod record;
pub mod validate;
pub mod view;

pub use build::{BatchBuilder, Producer, Record};
pub use codec::{Codec, CodecError, Compression, Compressor, Decompressor};
pub use control::{ControlType, EndTransactionMarker, TransactionResult};
pub use record::{Header, Headers, RecordError, RecordView, Records};
pub use validate::{
    Codecs, CompressionRule, InvalidRecord, InvalidRecordKind, KeyRule, ProduceError, ProduceRules, Produced,
    TimestampRule, validate_produced,
};
pub use view::{Attributes, BatchHeader, BatchView, ParseError, Split, TimestampType, split, stamp};

/// The only format version that is stored; versions 0 and 1 ended with Kafka 4.0 (KIP-724).
pub const MAGIC: u8 = 2;
/// Bytes in front of the records.
pub const HEADER_BYTES: usize = 61;
/// Bytes of base offset and length, which the length field does not count.
pub const LENGTH_OVERHEAD_BYTES: usize = 12;
/// Where the checksum's coverage begins; it ends with the batch.
pub const CRC_COVERS_FROM: usize = 21;

/// CRC32C (Castagnoli) of the concatenation of `parts`.
pub fn crc32c(parts: &[&[u8]]) -> u32 {
    match parts {
        [one] => crc_fast::crc32_iscsi(one),
        several => {
            let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
            for part in several {
                digest.update(part);
            }
            u32::try_from(digest.finalize()).expect("a CRC of 32 bits")
        }
    }
}

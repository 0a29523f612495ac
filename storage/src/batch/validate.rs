//! Whether a batch that a client produced is accepted, and what is stored for it.
//!
//! The rules and the answers are those of Apache Kafka 4.4 for Produce 3 and later. Every record is looked at, inside
//! compressed batches too: a batch whose count or deltas lie would break every reader after it. Decompression goes into
//! memory that the caller keeps, so an accepted batch that needs no rewriting costs no allocation.

use super::build::{HeaderFields, Producer, header_for};
use super::codec::{Codec, CodecError, Compression, Compressor, Decompressor};
use super::record::{RecordError, Records};
use super::view::{BatchHeader, BatchView, ParseError, TimestampType};
use super::{HEADER_BYTES, LENGTH_OVERHEAD_BYTES};
use crate::types::{Millis, Offset, ProducerId};
use std::borrow::Cow;
use std::fmt;

/// Invalid records that are listed one by one; a batch with more is refused all the same.
pub const INVALID_RECORDS_MAX: usize = 1000;
/// The first version of Produce that may carry zstd (KIP-110).
const ZSTD_FROM_PRODUCE_VERSION: i16 = 7;

/// What is asked of a produced batch: the settings of its topic, and the request's version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProduceRules {
    /// API version of the Produce request.
    pub produce_version: i16,
    /// `max.message.bytes`: the largest batch, before and after recompression.
    pub batch_bytes_max: usize,
    /// The most that a batch may decompress to, in bytes: a bound of our own.
    pub plain_bytes_max: usize,
    /// `max.decompressed.message.bytes`: the largest record of a compressed batch, without its length field.
    pub record_bytes_max: usize,
    /// Whether records need keys: they do where `cleanup.policy` has `compact`.
    pub keys: KeyRule,
    /// `message.timestamp.type` and its bounds.
    pub timestamps: TimestampRule,
    /// `compression.type` and the level that goes with it.
    pub compression: CompressionRule,
}

/// Whether records need keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyRule {
    /// A null key is fine.
    Optional,
    /// A null key is an error.
    Required,
}

/// Whose timestamps are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampRule {
    /// The producer's, within bounds around the broker's time.
    CreateTime {
        /// `message.timestamp.before.max.ms`: how old a timestamp may be.
        before_max_ms: i64,
        /// `message.timestamp.after.max.ms`: how far in the future a timestamp may lie.
        after_max_ms: i64,
    },
    /// The broker's.
    LogAppendTime,
}

/// How batches are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompressionRule {
    /// As the producer sent them.
    Producer,
    /// With this codec; a batch that has it already is left alone, whatever its level.
    Fixed(Compression),
}

/// Working memory of [`validate_produced`], kept by its caller.
#[derive(Debug, Default)]
pub struct Codecs {
    /// Unpacks the producers' batches.
    pub decompressor: Decompressor,
    /// Packs what is recompressed.
    pub compressor: Compressor,
}

/// A batch that may be appended: 61 bytes of header, and the payload, which is the producer's own bytes unless the
/// topic's `compression.type` asked for others. Only base offset and leader epoch are still to be stamped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Produced<'a> {
    header: [u8; HEADER_BYTES],
    payload: Cow<'a, [u8]>,
}

impl Produced<'_> {
    /// The header as it will be stored, but for base offset and leader epoch.
    pub fn header(&self) -> BatchHeader<'_> {
        BatchHeader::parse(&self.header).expect("made from a valid one")
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// What is wrong with one record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InvalidRecordKind {
    /// Its offset delta is not its position. `INVALID_RECORD`.
    OffsetDelta,
    /// The topic is compacted and the key null. `INVALID_RECORD`.
    NullKey,
    /// Its timestamp lies outside of the bounds. `INVALID_TIMESTAMP`.
    Timestamp,
    /// The batch claims the broker's timestamps. `INVALID_TIMESTAMP`.
    TimestampType,
}

impl fmt::Display for InvalidRecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OffsetDelta => "the record's offset delta is not its position in the batch",
            Self::NullKey => "a compacted topic cannot accept a record without a key",
            Self::Timestamp => "the record's timestamp is out of range",
            Self::TimestampType => "a producer cannot set the timestamp type to LogAppendTime",
        })
    }
}

/// One entry of the response's `record_errors`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InvalidRecord {
    /// Position of the record in the batch.
    pub index: i32,
    /// What is wrong.
    pub kind: InvalidRecordKind,
}

/// Why a produced batch is refused. The Kafka error that answers it stands in capitals.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProduceError {
    /// There is no whole batch. `INVALID_RECORD`.
    #[error("a produce request must have one whole record batch per partition")]
    NoBatch,
    /// Something follows the batch. `INVALID_RECORD`.
    #[error("a produce request must have exactly one record batch per partition")]
    SeveralBatches,
    /// Message format 0 or 1. `INVALID_RECORD`.
    #[error("record batches must have format version 2, not {0}")]
    OldMagic(u8),
    /// A format version that never was. `CORRUPT_MESSAGE`.
    #[error("record batch format version {0} is not known")]
    UnknownMagic(u8),
    /// An impossible length. `CORRUPT_MESSAGE`.
    #[error("a record batch length of {0} is impossible")]
    Length(i32),
    /// The checksum does not match. `CORRUPT_MESSAGE`.
    #[error("the record batch is corrupt: its checksum does not match")]
    Crc,
    /// Zstd in a request too old for it. `UNSUPPORTED_COMPRESSION_TYPE`.
    #[error("produce version {0} cannot carry zstd")]
    ZstdTooEarly(i16),
    /// A codec that does not exist. `UNSUPPORTED_COMPRESSION_TYPE`.
    #[error("compression codec {0} is not known")]
    UnknownCodec(u8),
    /// Larger than `max.message.bytes`, as sent or as recompressed. `MESSAGE_TOO_LARGE`.
    #[error("the record batch has {bytes} bytes, more than the {limit} that the topic accepts")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The payload decompresses to more than this. `MESSAGE_TOO_LARGE`, which makes producers split the batch.
    #[error("the record batch decompresses to more than {0} bytes")]
    PlainTooLarge(usize),
    /// The payload cannot be decompressed. `INVALID_RECORD`.
    #[error("the record batch cannot be decompressed: the {0} data is malformed")]
    Malformed(Codec),
    /// The base offset is not 0. `INVALID_RECORD`.
    #[error("the base offset of a produced record batch must be 0, not {0}")]
    BaseOffset(Offset),
    /// The count is not positive, or not what the last offset delta says. `INVALID_RECORD`.
    #[error("a record batch of {record_count} records cannot have the last offset delta {last_offset_delta}")]
    Count {
        /// Records, as the header says.
        record_count: i32,
        /// Offset of the last record, as the header says.
        last_offset_delta: i32,
    },
    /// A client's control batch. `INVALID_RECORD`.
    #[error("clients are not allowed to write control records")]
    ControlBatch,
    /// A client's delete horizon, which only compaction sets. `INVALID_RECORD`.
    #[error("clients are not allowed to set a delete horizon")]
    DeleteHorizon,
    /// Producer id, epoch, sequence and transactional flag do not go together. `INVALID_RECORD`.
    #[error("producer id {0} needs an epoch and a base sequence, and a transaction needs a producer id")]
    ProducerFields(ProducerId),
    /// The payload is not the records that the header counts. `INVALID_RECORD`.
    #[error("the record batch is malformed: {0}")]
    Record(#[from] RecordError),
    /// A record of a compressed batch is larger than `max.decompressed.message.bytes`. `INVALID_RECORD`.
    #[error("a decompressed record has {bytes} bytes, more than the {limit} that the topic accepts")]
    RecordTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Some records are invalid; the batch as a whole is refused (KIP-467). `INVALID_TIMESTAMP` if
    /// [`has_invalid_timestamp`](Self::has_invalid_timestamp), otherwise `INVALID_RECORD`.
    #[error("{} records of the batch are invalid; the first: {}", .0.len(), .0[0].kind)]
    InvalidRecords(Vec<InvalidRecord>),
}

impl ProduceError {
    /// The response's `record_errors`.
    pub fn invalid_records(&self) -> &[InvalidRecord] {
        if let Self::InvalidRecords(records) = self { records } else { &[] }
    }

    /// Whether a record is refused for its timestamp, which decides the code for the whole batch.
    pub fn has_invalid_timestamp(&self) -> bool {
        let timestamps = [InvalidRecordKind::Timestamp, InvalidRecordKind::TimestampType];
        self.invalid_records().iter().any(|record| timestamps.contains(&record.kind))
    }
}

impl From<ParseError> for ProduceError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Incomplete { .. } => Self::NoBatch,
            ParseError::Length(length) => Self::Length(length),
            ParseError::Magic(magic @ (0 | 1)) => Self::OldMagic(magic),
            ParseError::Magic(magic) => Self::UnknownMagic(magic),
        }
    }
}

impl From<CodecError> for ProduceError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Malformed(codec) => Self::Malformed(codec),
            CodecError::OverLimit(limit) => Self::PlainTooLarge(limit),
        }
    }
}

/// Checks the `records` field of one partition of a Produce request, and makes what is to be appended at time `now`.
///
/// Costs a checksum pass over the bytes, a decompression where the batch is compressed, and a walk over the records.
pub fn validate_produced<'a>(
    bytes: &'a [u8],
    rules: &ProduceRules,
    now: Millis,
    codecs: &mut Codecs,
) -> Result<Produced<'a>, ProduceError> {
    let (batch, rest) = BatchView::parse(bytes)?;
    if !rest.is_empty() {
        return Err(ProduceError::SeveralBatches);
    }
    let codec = check_header(&batch, rules)?;
    let plain = codecs.decompressor.decompress(codec, batch.payload(), rules.plain_bytes_max)?;
    let max_timestamp = check_records(plain, &batch, rules, now)?;

    let target = match rules.compression {
        CompressionRule::Fixed(target) if target.codec != codec => Some(target),
        CompressionRule::Fixed(_) | CompressionRule::Producer => None,
    };
    let payload = match target {
        None => Cow::Borrowed(batch.payload()),
        Some(target) => {
            let mut packed = Vec::new();
            codecs.compressor.compress(target, plain, &mut packed);
            check_size(HEADER_BYTES + packed.len(), rules)?;
            Cow::Owned(packed)
        }
    };
    let attributes = batch.attributes().with_codec(target.map_or(codec, |target| target.codec));
    let (attributes, max_timestamp) = match rules.timestamps {
        TimestampRule::CreateTime { .. } => (attributes, max_timestamp),
        TimestampRule::LogAppendTime => (attributes.with_timestamp_type(TimestampType::LogAppendTime), now),
    };
    let header = if attributes == batch.attributes() && max_timestamp == batch.max_timestamp() {
        *batch.header().bytes()
    } else {
        rewritten_header(&batch, attributes, max_timestamp, &payload)
    };
    Ok(Produced { header, payload })
}

/// The checks that need no look at the records, in the order in which Kafka makes them.
fn check_header(batch: &BatchView<'_>, rules: &ProduceRules) -> Result<Codec, ProduceError> {
    let codec = batch.codec().map_err(ProduceError::UnknownCodec)?;
    if codec == Codec::Zstd && rules.produce_version < ZSTD_FROM_PRODUCE_VERSION {
        return Err(ProduceError::ZstdTooEarly(rules.produce_version));
    }
    if batch.base_offset() != Offset::ZERO {
        return Err(ProduceError::BaseOffset(batch.base_offset()));
    }
    check_size(batch.bytes().len(), rules)?;
    if !batch.check_crc() {
        return Err(ProduceError::Crc);
    }
    let (record_count, last_offset_delta) = (batch.record_count(), batch.last_offset_delta());
    if record_count <= 0 || last_offset_delta != record_count - 1 {
        return Err(ProduceError::Count { record_count, last_offset_delta });
    }
    if batch.is_control() {
        return Err(ProduceError::ControlBatch);
    }
    if batch.attributes().has_delete_horizon() {
        return Err(ProduceError::DeleteHorizon);
    }
    let producer_id = batch.producer_id();
    let is_sane = if producer_id == ProducerId::NONE {
        !batch.is_transactional()
    } else {
        producer_id.get() >= 0 && batch.producer_epoch().get() >= 0 && batch.base_sequence().get() >= 0
    };
    if is_sane { Ok(codec) } else { Err(ProduceError::ProducerFields(producer_id)) }
}

fn check_size(bytes: usize, rules: &ProduceRules) -> Result<(), ProduceError> {
    let limit = rules.batch_bytes_max;
    // The length field is signed and does not count its own place.
    let representable = i32::try_from(bytes.saturating_sub(LENGTH_OVERHEAD_BYTES)).is_ok();
    if bytes <= limit && representable { Ok(()) } else { Err(ProduceError::TooLarge { bytes, limit }) }
}

fn rewritten_header(
    batch: &BatchView<'_>,
    attributes: super::view::Attributes,
    max_timestamp: Millis,
    payload: &[u8],
) -> [u8; HEADER_BYTES] {
    let fields = HeaderFields {
        base_offset: batch.base_offset(),
        leader_epoch: batch.leader_epoch(),
        attributes,
        last_offset_delta: batch.last_offset_delta(),
        base_timestamp: batch.base_timestamp(),
        max_timestamp,
        producer: Producer {
            id: batch.producer_id(),
            epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
        },
        record_count: batch.record_count(),
    };
    header_for(&fields, payload)
}

/// Walks over the records. Answers the largest of their timestamps.
fn check_records(
    plain: &[u8],
    batch: &BatchView<'_>,
    rules: &ProduceRules,
    now: Millis,
) -> Result<Millis, ProduceError> {
    let record_bytes_max = if batch.codec() == Ok(Codec::None) { usize::MAX } else { rules.record_bytes_max };
    let claims_append_time = batch.timestamp_type() == TimestampType::LogAppendTime;
    let mut max_timestamp = Millis::NONE;
    let mut invalid = Vec::new();
    for (index, record) in (0..).zip(Records::new(plain, batch.record_count())) {
        let record = record?;
        if record.body_bytes > record_bytes_max {
            return Err(ProduceError::RecordTooLarge { bytes: record.body_bytes, limit: record_bytes_max });
        }
        // Not `timestamp_of`: what the batch says about its timestamps is not believed yet.
        let timestamp = batch.base_timestamp().saturating_add(record.timestamp_delta);
        max_timestamp = max_timestamp.max(timestamp);
        let kind = if record.offset_delta != index {
            Some(InvalidRecordKind::OffsetDelta)
        } else if record.key.is_none() && rules.keys == KeyRule::Required {
            Some(InvalidRecordKind::NullKey)
        } else if is_out_of_bounds(timestamp, rules.timestamps, now) {
            Some(InvalidRecordKind::Timestamp)
        } else if claims_append_time {
            Some(InvalidRecordKind::TimestampType)
        } else {
            None
        };
        if let Some(kind) = kind {
            invalid.push(InvalidRecord { index, kind });
            if invalid.len() == INVALID_RECORDS_MAX {
                break;
            }
        }
    }
    if invalid.is_empty() { Ok(max_timestamp) } else { Err(ProduceError::InvalidRecords(invalid)) }
}

fn is_out_of_bounds(timestamp: Millis, rule: TimestampRule, now: Millis) -> bool {
    match rule {
        TimestampRule::CreateTime { before_max_ms, after_max_ms } if timestamp != Millis::NONE => {
            now.since(timestamp) > before_max_ms || timestamp.since(now) > after_max_ms
        }
        TimestampRule::CreateTime { .. } | TimestampRule::LogAppendTime => false,
    }
}

#[cfg(test)]
mod tests;

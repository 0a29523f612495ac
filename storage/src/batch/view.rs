//! Borrowed reading of batches: [`BatchHeader`] over the 61 bytes in front, [`BatchView`] over a whole batch.
//!
//! A view proves what its parser checked: the length is whole and sane, the magic is 2. The checksum costs a pass over
//! the bytes and is asked for with [`BatchView::check_crc`]; until then every field is just what the bytes say, and the
//! accessors compute with it in a way that cannot panic.

use super::codec::Codec;
use super::record::Records;
use super::{CRC_COVERS_FROM, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, MAGIC, crc32c};
use crate::types::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, Sequence};
use std::ops::Deref;

/// The bytes are not a batch of version 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// The bytes end before the batch does; `bytes_needed` is the least length at which a decision is possible.
    #[error("a batch of at least {bytes_needed} bytes is cut short")]
    Incomplete {
        /// Length, from the batch's first byte, that has to be there.
        bytes_needed: usize,
    },
    /// The length field is negative or smaller than a header.
    #[error("a batch length of {0} is impossible")]
    Length(i32),
    /// The format version is not 2.
    #[error("batch format version {0} is not 2")]
    Magic(u8),
}

/// What a record's timestamp means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TimestampType {
    /// The producer's time.
    #[default]
    CreateTime,
    /// The broker's time of the append, one for the whole batch.
    LogAppendTime,
}

/// The attribute bits of a batch. Unknown bits are carried along.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes(u16);

impl Attributes {
    const CODEC: u16 = 0b111;
    const LOG_APPEND_TIME: u16 = 1 << 3;
    const TRANSACTIONAL: u16 = 1 << 4;
    const CONTROL: u16 = 1 << 5;
    const DELETE_HORIZON: u16 = 1 << 6;

    /// The attributes spelled by `bits`.
    pub const fn new(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits, as stored.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// How the records are compressed, or the number of an unknown codec.
    pub fn codec(self) -> Result<Codec, u8> {
        let number = self.0.to_le_bytes()[0] & Self::CODEC.to_le_bytes()[0];
        Codec::from_number(number).ok_or(number)
    }

    /// What the timestamps mean.
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Whether the batch belongs to a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds control records, which consumers skip.
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp field holds a delete horizon (KIP-534).
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These attributes with another codec.
    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !Self::CODEC | u16::from(codec.number()))
    }

    /// These attributes with another meaning of the timestamps.
    #[must_use]
    pub const fn with_timestamp_type(self, kind: TimestampType) -> Self {
        self.with(Self::LOG_APPEND_TIME, matches!(kind, TimestampType::LogAppendTime))
    }

    /// These attributes with the transactional bit set or cleared.
    #[must_use]
    pub const fn with_transactional(self, set: bool) -> Self {
        self.with(Self::TRANSACTIONAL, set)
    }

    /// These attributes with the control bit set or cleared.
    #[must_use]
    pub const fn with_control(self, set: bool) -> Self {
        self.with(Self::CONTROL, set)
    }

    /// These attributes with the delete-horizon bit set or cleared.
    #[must_use]
    pub const fn with_delete_horizon(self, set: bool) -> Self {
        self.with(Self::DELETE_HORIZON, set)
    }

    const fn with(self, bit: u16, set: bool) -> Self {
        if set { Self(self.0 | bit) } else { Self(self.0 & !bit) }
    }
}

/// The first 61 bytes of a batch whose magic and length were found sane. The records need not be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader<'a> {
    bytes: &'a [u8; HEADER_BYTES],
}

impl<'a> BatchHeader<'a> {
    /// Reads the header at the beginning of `bytes`; what follows it is not looked at.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        // The magic stands at the same place in all versions, so an old batch shorter than a header is told apart.
        if let Some(&magic) = bytes.get(16)
            && magic != MAGIC
        {
            return Err(ParseError::Magic(magic));
        }
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(ParseError::Incomplete { bytes_needed: HEADER_BYTES });
        };
        let header = Self { bytes: header };
        let length = header.length();
        match usize::try_from(length) {
            Ok(bytes) if bytes >= HEADER_BYTES - LENGTH_OVERHEAD_BYTES => Ok(header),
            _ => Err(ParseError::Length(length)),
        }
    }

    fn field<const N: usize>(self, start: usize) -> [u8; N] {
        *self.bytes[start..].first_chunk().expect("every field lies within the header")
    }

    /// The header's bytes.
    pub const fn bytes(self) -> &'a [u8; HEADER_BYTES] {
        self.bytes
    }

    fn length(self) -> i32 {
        i32::from_be_bytes(self.field(8))
    }

    /// Length of the whole batch in bytes, header included: at least 61.
    pub fn batch_bytes(self) -> usize {
        usize::try_from(self.length()).expect("checked when parsed") + LENGTH_OVERHEAD_BYTES
    }

    /// Offset of the first record; 0 as a producer sends it.
    pub fn base_offset(self) -> Offset {
        Offset::new(i64::from_be_bytes(self.field(0)))
    }

    /// Epoch of the leader that appended the batch.
    pub fn leader_epoch(self) -> LeaderEpoch {
        LeaderEpoch::new(i32::from_be_bytes(self.field(12)))
    }

    /// The stored checksum.
    pub fn crc(self) -> u32 {
        u32::from_be_bytes(self.field(17))
    }

    /// The attribute bits.
    pub fn attributes(self) -> Attributes {
        Attributes::new(u16::from_be_bytes(self.field(21)))
    }

    /// How the records are compressed, or the number of an unknown codec.
    pub fn codec(self) -> Result<Codec, u8> {
        self.attributes().codec()
    }

    /// What the timestamps mean.
    pub fn timestamp_type(self) -> TimestampType {
        self.attributes().timestamp_type()
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.attributes().is_transactional()
    }

    /// Whether the batch holds control records.
    pub fn is_control(self) -> bool {
        self.attributes().is_control()
    }

    /// Offset of the last record relative to the first. Compaction keeps it, so it may exceed the record count - 1.
    pub fn last_offset_delta(self) -> i32 {
        i32::from_be_bytes(self.field(23))
    }

    /// Offset of the last record, saturating.
    pub fn last_offset(self) -> Offset {
        Offset::new(self.base_offset().get().saturating_add(i64::from(self.last_offset_delta())))
    }

    /// The offset right behind the batch, saturating.
    pub fn next_offset(self) -> Offset {
        Offset::new(self.last_offset().get().saturating_add(1))
    }

    /// What the records' timestamp deltas count from. Under a delete horizon the field holds that instead.
    pub fn base_timestamp(self) -> Millis {
        Millis::new(i64::from_be_bytes(self.field(27)))
    }

    /// When the tombstones and markers in this batch may be removed (KIP-534), once a compaction has set it.
    pub fn delete_horizon(self) -> Option<Millis> {
        self.attributes().has_delete_horizon().then(|| self.base_timestamp())
    }

    /// Largest timestamp of the records; the append time under [`TimestampType::LogAppendTime`].
    pub fn max_timestamp(self) -> Millis {
        Millis::new(i64::from_be_bytes(self.field(35)))
    }

    /// The idempotent producer's id, or [`ProducerId::NONE`].
    pub fn producer_id(self) -> ProducerId {
        ProducerId::new(i64::from_be_bytes(self.field(43)))
    }

    /// The idempotent producer's epoch, or [`ProducerEpoch::NONE`].
    pub fn producer_epoch(self) -> ProducerEpoch {
        ProducerEpoch::new(i16::from_be_bytes(self.field(51)))
    }

    /// Sequence of the first record, or [`Sequence::NONE`].
    pub fn base_sequence(self) -> Sequence {
        Sequence::new(i32::from_be_bytes(self.field(53)))
    }

    /// Sequence of the last record, wrapped as sequences do, or [`Sequence::NONE`].
    pub fn last_sequence(self) -> Sequence {
        let (base, delta) = (self.base_sequence(), self.last_offset_delta());
        if base.get() < 0 || delta < 0 { Sequence::NONE } else { base.advance(delta) }
    }

    /// How many records the batch says that it holds; negative only in a corrupt one. A compacted batch may hold none.
    pub fn record_count(self) -> i32 {
        i32::from_be_bytes(self.field(57))
    }

    /// Timestamp of a record whose delta is `timestamp_delta`, saturating.
    pub fn timestamp_of(self, timestamp_delta: i64) -> Millis {
        match self.timestamp_type() {
            TimestampType::LogAppendTime => self.max_timestamp(),
            TimestampType::CreateTime => self.base_timestamp().saturating_add(timestamp_delta),
        }
    }

    /// Offset of a record whose delta is `offset_delta`, saturating.
    pub fn offset_of(self, offset_delta: i32) -> Offset {
        Offset::new(self.base_offset().get().saturating_add(i64::from(offset_delta)))
    }
}

/// One whole batch of version 2. Dereferences to its [`BatchHeader`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchView<'a> {
    header: BatchHeader<'a>,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Reads the batch at the beginning of `bytes`, and returns what follows it. The checksum is not looked at.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let header = BatchHeader::parse(bytes)?;
        let bytes_needed = header.batch_bytes();
        let Some((bytes, rest)) = bytes.split_at_checked(bytes_needed) else {
            return Err(ParseError::Incomplete { bytes_needed });
        };
        Ok((Self { header, bytes }, rest))
    }

    /// The header.
    pub const fn header(&self) -> BatchHeader<'a> {
        self.header
    }

    /// The whole batch.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, or one compressed block of them.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Whether the stored checksum is that of the bytes. One pass over them.
    pub fn check_crc(&self) -> bool {
        self.crc() == crc32c(&[&self.bytes[CRC_COVERS_FROM..]])
    }

    /// The records of an uncompressed batch; `None` for a compressed one, whose payload has to be decompressed first
    /// and then read with [`Records::new`].
    pub fn records(&self) -> Option<Records<'a>> {
        (self.codec() == Ok(Codec::None)).then(|| Records::new(self.payload(), self.record_count()))
    }
}

impl<'a> Deref for BatchView<'a> {
    type Target = BatchHeader<'a>;

    fn deref(&self) -> &BatchHeader<'a> {
        &self.header
    }
}

/// The batches that stand one behind the other in `bytes`. After an error the iterator ends;
/// [`rest`](Split::rest) tells what could not be read.
pub fn split(bytes: &[u8]) -> Split<'_> {
    Split { rest: bytes, ended: false }
}

/// Iterator over adjacent batches, made by [`split`].
#[derive(Clone, Debug)]
pub struct Split<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl<'a> Split<'a> {
    /// The bytes behind the last batch that was returned.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Split<'a> {
    type Item = Result<BatchView<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.rest.is_empty() {
            return None;
        }
        match BatchView::parse(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

/// Writes base offset and leader epoch into a batch, or into its first 16 bytes. The checksum covers neither.
pub fn stamp(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    batch[0..8].copy_from_slice(&base_offset.get().to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.get().to_be_bytes());
}

#[cfg(test)]
mod tests;

//! Making batches: for coordinators, the client, compaction and tests.

use super::codec::{Codec, Compression, Compressor};
use super::record::Header;
use super::view::{Attributes, TimestampType};
use super::{CRC_COVERS_FROM, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, MAGIC, crc32c};
use crate::types::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, Sequence};

/// A record to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// The record's time; [`Millis::NONE`] is allowed.
    pub timestamp: Millis,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a [Header<'a>],
}

/// The idempotent producer's part of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Producer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the batch's first record.
    pub base_sequence: Sequence,
}

impl Producer {
    /// No idempotence.
    pub const NONE: Self = Self { id: ProducerId::NONE, epoch: ProducerEpoch::NONE, base_sequence: Sequence::NONE };
}

/// The fields of a header that do not follow from the records' bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderFields {
    pub(super) base_offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) attributes: Attributes,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp: Millis,
    pub(super) max_timestamp: Millis,
    pub(super) producer: Producer,
    pub(super) record_count: i32,
}

/// The header in front of `payload`: length and checksum are made from it. Panics where the batch would reach 2 GiB.
pub(super) fn header_for(fields: &HeaderFields, payload: &[u8]) -> [u8; HEADER_BYTES] {
    let length = payload.len() + HEADER_BYTES - LENGTH_OVERHEAD_BYTES;
    let length = i32::try_from(length).expect("a batch is smaller than 2 GiB");
    let mut header = [0; HEADER_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&fields.base_offset.get().to_be_bytes());
    put(&length.to_be_bytes());
    put(&fields.leader_epoch.get().to_be_bytes());
    put(&[MAGIC]);
    put(&[0; 4]);
    put(&fields.attributes.get().to_be_bytes());
    put(&fields.last_offset_delta.to_be_bytes());
    put(&fields.base_timestamp.get().to_be_bytes());
    put(&fields.max_timestamp.get().to_be_bytes());
    put(&fields.producer.id.get().to_be_bytes());
    put(&fields.producer.epoch.get().to_be_bytes());
    put(&fields.producer.base_sequence.get().to_be_bytes());
    put(&fields.record_count.to_be_bytes());
    let crc = crc32c(&[&header[CRC_COVERS_FROM..], payload]);
    header[17..21].copy_from_slice(&crc.to_be_bytes());
    header
}

/// Collects records and writes them as one batch. Settings and records may come in any order.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    attributes: Attributes,
    compression: Compression,
    producer: Producer,
    /// Set by the first record, or beforehand.
    base_timestamp: Option<Millis>,
    max_timestamp: Millis,
    delete_horizon: Option<Millis>,
    log_append_time: Option<Millis>,
    last_offset_delta: i32,
    record_count: i32,
    plain: Vec<u8>,
    body: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::UNKNOWN,
            attributes: Attributes::default(),
            compression: Compression::default(),
            producer: Producer::NONE,
            base_timestamp: None,
            max_timestamp: Millis::NONE,
            delete_horizon: None,
            log_append_time: None,
            last_offset_delta: -1,
            record_count: 0,
            plain: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl BatchBuilder {
    /// A batch as a plain producer sends it: base offset 0, no epoch, no producer id, not compressed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compresses the records.
    #[must_use]
    pub fn compression(mut self, compression: impl Into<Compression>) -> Self {
        self.compression = compression.into();
        self
    }

    /// Names the idempotent producer.
    #[must_use]
    pub const fn producer(mut self, producer: Producer) -> Self {
        self.producer = producer;
        self
    }

    /// Makes the batch part of a transaction.
    #[must_use]
    pub const fn transactional(mut self) -> Self {
        self.attributes = self.attributes.with_transactional(true);
        self
    }

    /// Makes it a batch of control records.
    #[must_use]
    pub const fn control(mut self) -> Self {
        self.attributes = self.attributes.with_control(true);
        self
    }

    /// Places the batch in a log.
    #[must_use]
    pub const fn placed(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        self.base_offset = base_offset;
        self.leader_epoch = leader_epoch;
        self
    }

    /// Gives all records the time of their append.
    #[must_use]
    pub const fn log_append_time(mut self, now: Millis) -> Self {
        self.log_append_time = Some(now);
        self.attributes = self.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self
    }

    /// Sets when the batch's tombstones and markers may go (KIP-534). The timestamps then count from it.
    #[must_use]
    pub const fn delete_horizon(mut self, horizon: Millis) -> Self {
        self.delete_horizon = Some(horizon);
        self.base_timestamp = Some(horizon);
        self.attributes = self.attributes.with_delete_horizon(true);
        self
    }

    /// Adds a record behind the last one.
    pub fn push(&mut self, record: &Record<'_>) {
        let delta = self.last_offset_delta.checked_add(1).expect("a batch holds fewer than 2^31 records");
        self.push_at(delta, record);
    }

    /// Adds a record at a given distance from the base offset, larger than those before: compaction leaves gaps.
    pub fn push_at(&mut self, offset_delta: i32, record: &Record<'_>) {
        assert!(offset_delta > self.last_offset_delta, "offsets within a batch grow");
        let base = *self.base_timestamp.get_or_insert(record.timestamp);
        self.max_timestamp =
            if self.record_count == 0 { record.timestamp } else { self.max_timestamp.max(record.timestamp) };
        self.last_offset_delta = offset_delta;
        self.record_count += 1;

        self.body.clear();
        // No attribute of a record has a meaning yet.
        self.body.push(0);
        put_varlong(&mut self.body, record.timestamp.get().wrapping_sub(base.get()));
        put_varint(&mut self.body, offset_delta);
        put_nullable_bytes(&mut self.body, record.key);
        put_nullable_bytes(&mut self.body, record.value);
        put_length(&mut self.body, record.headers.len());
        for header in record.headers {
            put_nullable_bytes(&mut self.body, Some(header.key));
            put_nullable_bytes(&mut self.body, header.value);
        }
        put_length(&mut self.plain, self.body.len());
        self.plain.extend_from_slice(&self.body);
    }

    /// Keeps the offset range up to `last_offset_delta` although its last records were compacted away.
    pub fn keep_range(&mut self, last_offset_delta: i32) {
        assert!(last_offset_delta >= self.last_offset_delta, "the range holds all records");
        self.last_offset_delta = last_offset_delta;
    }

    /// How many records were pushed.
    pub const fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Length of the batch in bytes if it is not compressed.
    pub const fn plain_bytes(&self) -> usize {
        HEADER_BYTES + self.plain.len()
    }

    /// The batch. Takes the codec's working memory anew; see [`build_with`](Self::build_with).
    pub fn build(&self) -> Vec<u8> {
        self.build_with(&mut Compressor::default())
    }

    /// The batch, compressed with memory that is used again.
    pub fn build_with(&self, compressor: &mut Compressor) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        // An empty batch keeps a range of offsets; there is nothing in it to compress.
        let compression = if self.plain.is_empty() { Codec::None.into() } else { self.compression };
        compressor.compress(compression, &self.plain, &mut bytes);
        let fields = HeaderFields {
            base_offset: self.base_offset,
            leader_epoch: self.leader_epoch,
            attributes: self.attributes.with_codec(compression.codec),
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp.unwrap_or(Millis::NONE),
            max_timestamp: self.log_append_time.unwrap_or(self.max_timestamp),
            producer: self.producer,
            record_count: self.record_count,
        };
        let (header, payload) = bytes.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&header_for(&fields, payload));
        bytes
    }
}

fn put_nullable_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_length(out, bytes.len());
            out.extend_from_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_varint(out, i32::try_from(length).expect("a batch is smaller than 2 GiB"));
}

/// Appends `value` as a zigzag varint of 32 bits.
fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
}

/// Appends `value` as a zigzag varint of 64 bits.
fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchView, Decompressor, Records};

    #[test]
    fn what_is_built_is_read() {
        let headers = [Header { key: b"h", value: Some(b"1") }, Header { key: b"h", value: None }];
        let records = [
            Record { timestamp: Millis::new(100), key: Some(b"k"), value: Some(&[7; 5000]), headers: &headers },
            Record { timestamp: Millis::new(90), key: None, value: None, headers: &[] },
            Record { timestamp: Millis::new(i64::MAX), key: Some(b""), value: Some(b""), headers: &[] },
        ];
        let producer =
            Producer { id: ProducerId::new(1), epoch: ProducerEpoch::new(2), base_sequence: Sequence::new(3) };
        for codec in Codec::ALL {
            let mut builder = BatchBuilder::new()
                .compression(codec)
                .producer(producer)
                .transactional()
                .placed(Offset::new(50), LeaderEpoch::new(4));
            for record in &records {
                builder.push(record);
            }
            let bytes = builder.build();
            let (batch, rest) = BatchView::parse(&bytes).expect("just built");
            assert!(rest.is_empty() && batch.check_crc());
            assert_eq!((batch.codec(), batch.base_offset(), batch.last_offset()), {
                (Ok(codec), Offset::new(50), Offset::new(52))
            });
            assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (Millis::new(100), Millis::new(i64::MAX)));
            assert_eq!((batch.producer_epoch(), batch.last_sequence()), (producer.epoch, Sequence::new(5)));
            let mut unpacker = Decompressor::default();
            let plain = unpacker.decompress(codec, batch.payload(), 10_000).expect("just packed");
            assert_eq!(builder.plain_bytes(), HEADER_BYTES + plain.len());
            for (index, read) in Records::new(plain, batch.record_count()).enumerate() {
                let (read, written) = (read.expect("just built"), &records[index]);
                assert_eq!((read.key, read.value), (written.key, written.value));
                assert_eq!(batch.timestamp_of(read.timestamp_delta), written.timestamp);
                assert_eq!(usize::try_from(read.offset_delta), Ok(index));
                assert_eq!(read.headers.collect::<Vec<_>>(), written.headers);
            }
        }
    }

    #[test]
    fn compacted_batches_keep_gaps_and_range() {
        let mut builder = BatchBuilder::new().delete_horizon(Millis::new(500)).compression(Codec::Zstd);
        builder.push_at(3, &Record { timestamp: Millis::new(20), ..Record::default() });
        builder.keep_range(9);
        let bytes = builder.build();
        let (batch, _) = BatchView::parse(&bytes).expect("just built");
        assert_eq!((batch.record_count(), batch.last_offset()), (1, Offset::new(9)));
        assert_eq!((batch.delete_horizon(), batch.max_timestamp()), (Some(Millis::new(500)), Millis::new(20)));
        let mut unpacker = Decompressor::default();
        let plain = unpacker.decompress(Codec::Zstd, batch.payload(), 100).expect("just packed");
        let record = Records::new(plain, 1).next().expect("one").expect("just built");
        assert_eq!((record.offset_delta, batch.timestamp_of(record.timestamp_delta)), (3, Millis::new(20)));
    }

    #[test]
    fn an_empty_batch_keeps_its_range() {
        let mut builder = BatchBuilder::new().compression(Codec::Gzip).placed(Offset::new(5), LeaderEpoch::new(0));
        builder.keep_range(2);
        let bytes = builder.build();
        let (batch, _) = BatchView::parse(&bytes).expect("just built");
        assert_eq!((bytes.len(), batch.next_offset(), batch.record_count()), (HEADER_BYTES, Offset::new(8), 0));
    }
}

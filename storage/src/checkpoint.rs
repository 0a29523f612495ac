//! The bytes of checkpoints and of segment index files (`FORMAT.md`).

use std::sync::Arc;

use crate::batch::crc32c;
use crate::directory::Placement;
use crate::journal::format::PartitionKey;
use crate::limits::{BLOCK_BYTES, PRODUCER_BATCHES_MAX, TOPIC_NAME_BYTES_MAX};
use crate::log::epochs::{EpochStart, LeaderEpochs};
use crate::log::index::{IndexEntry, SparseIndex};
use crate::log::mark::Mark;
use crate::log::partition::RotRange;
use crate::log::producers::{Producer, Producers, RememberedBatch};
use crate::log::segment::Times;
use crate::log::tail::{to_u64, to_usize};
use crate::types::{LeaderEpoch, Millis, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Uuid};

/// First bytes of a checkpoint.
const CHECKPOINT_MAGIC: [u8; 4] = *b"RLC3";
/// Those of one that does not count moves.
const CHECKPOINT_MAGIC_2: [u8; 4] = *b"RLC2";
/// Those of one that was written when a broker had one directory: it does not tell where partitions lie.
const CHECKPOINT_MAGIC_1: [u8; 4] = *b"RLC1";
/// First bytes of a segment's index file.
const INDEX_MAGIC: [u8; 4] = *b"RLI1";
/// Magic, CRC, length.
const PREFIX_BYTES: usize = 16;

/// What a shard, or recovery, knows of all partitions at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Checkpoint {
    /// The start that wrote it.
    pub(crate) generation: u64,
    /// First journal record of the shard that still has something to say.
    pub(crate) cut: u64,
    /// Records of all shards up to this generation are dead: recovery has drained them.
    pub(crate) drained_generation: u64,
    /// Partitions that were deleted in this generation, which an older checkpoint may still tell.
    pub(crate) removed: Vec<PartitionKey>,
    pub(crate) partitions: Vec<PartitionState>,
}

/// What is known of a partition without looking into its segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PartitionState {
    pub(crate) key: PartitionKey,
    pub(crate) topic: Arc<str>,
    pub(crate) log_start: Offset,
    /// Up to here the segments are durable, and everything below is told here.
    pub(crate) durable: Mark,
    pub(crate) segments: Vec<SegmentState>,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) producers: Producers,
    pub(crate) rot: Vec<RotRange>,
    pub(crate) dir_exists: bool,
    pub(crate) placement: Placement,
}

impl PartitionState {
    /// A partition whose log begins, with nothing in it, at `base`.
    pub(crate) fn empty(key: PartitionKey, topic: Arc<str>, base: Offset) -> Self {
        Self {
            key,
            topic,
            log_start: base,
            durable: Mark::at_segment(base),
            segments: vec![SegmentState::empty(base)],
            epochs: LeaderEpochs::default(),
            producers: Producers::default(),
            rot: Vec::new(),
            dir_exists: false,
            placement: Placement::default(),
        }
    }
}

impl SegmentState {
    /// A segment without content.
    pub(crate) fn empty(base: Offset) -> Self {
        Self { base, bytes: 0, times: Times::NONE, sealed: false, index: SparseIndex::new(1) }
    }
}

/// What is known of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentState {
    pub(crate) base: Offset,
    pub(crate) bytes: u64,
    pub(crate) times: Times,
    pub(crate) sealed: bool,
    /// Empty for a sealed segment, which has a file for it.
    pub(crate) index: SparseIndex,
}

struct Out(Vec<u8>);

impl Out {
    fn new(magic: [u8; 4]) -> Self {
        let mut bytes = magic.to_vec();
        bytes.resize(PREFIX_BYTES, 0);
        Self(bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).expect("counts in a checkpoint are bounded"));
    }

    fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.bytes(&value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes(&value.to_le_bytes());
    }

    fn offset(&mut self, value: Offset) {
        self.i64(value.get());
    }

    fn times(&mut self, times: Times) {
        self.i64(times.first.get());
        self.i64(times.max.get());
        self.offset(times.max_batch);
    }

    fn index(&mut self, index: &SparseIndex) {
        self.count(index.entries().len());
        for entry in index.entries() {
            self.offset(entry.offset);
            self.u64(entry.position);
            self.i64(entry.max_timestamp_before.get());
        }
    }

    /// Fills in length and CRC, and pads to whole blocks.
    fn finish(mut self) -> Vec<u8> {
        let length = to_u64(self.0.len());
        self.0[8..16].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c(&[&self.0[8..]]);
        self.0[4..8].copy_from_slice(&crc.to_le_bytes());
        self.0.resize(self.0.len().next_multiple_of(to_usize(BLOCK_BYTES)), 0);
        self.0
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    /// Checks magic, length and CRC.
    fn open(bytes: &'a [u8], magic: [u8; 4]) -> Option<Self> {
        let prefix = bytes.first_chunk::<PREFIX_BYTES>()?;
        let length = usize::try_from(u64::from_le_bytes(prefix[8..16].try_into().ok()?)).ok()?;
        let content = bytes.get(8..length)?;
        let crc = u32::from_le_bytes(prefix[4..8].try_into().ok()?);
        (prefix[0..4] == magic && crc32c(&[content]) == crc).then(|| Self(&bytes[PREFIX_BYTES..length]))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A count of things that take at least `bytes_each`: never more than the bytes that are left can hold.
    fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(bytes_each)? <= self.0.len()).then_some(count)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn offset(&mut self) -> Option<Offset> {
        self.i64().map(Offset::new)
    }

    fn millis(&mut self) -> Option<Millis> {
        self.i64().map(Millis::new)
    }

    fn times(&mut self) -> Option<Times> {
        Some(Times { first: self.millis()?, max: self.millis()?, max_batch: self.offset()? })
    }

    fn mark(&mut self) -> Option<Mark> {
        Some(Mark { segment: self.offset()?, position: self.u64()?, offset: self.offset()? })
    }

    fn index(&mut self) -> Option<SparseIndex> {
        let entries = self.list(24, |input| {
            Some(IndexEntry { offset: input.offset()?, position: input.u64()?, max_timestamp_before: input.millis()? })
        })?;
        SparseIndex::from_entries(entries, 1)
    }

    fn list<T>(&mut self, bytes_each: usize, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count(bytes_each)?;
        (0..count).map(|_| one(self)).collect()
    }
}

/// A checkpoint's bytes, in whole blocks.
pub(crate) fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut out = Out::new(CHECKPOINT_MAGIC);
    out.u64(checkpoint.generation);
    out.u64(checkpoint.cut);
    out.u64(checkpoint.drained_generation);
    out.count(checkpoint.removed.len());
    for key in &checkpoint.removed {
        out.bytes(&key.topic_id.get());
        out.i32(key.partition.get());
    }
    out.count(checkpoint.partitions.len());
    for partition in &checkpoint.partitions {
        encode_partition(&mut out, partition);
    }
    out.finish()
}

fn encode_partition(out: &mut Out, partition: &PartitionState) {
    out.bytes(&partition.key.topic_id.get());
    out.i32(partition.key.partition.get());
    out.count(partition.topic.len());
    out.bytes(partition.topic.as_bytes());
    out.u8(u8::from(partition.dir_exists));
    out.bytes(&partition.placement.directory.get());
    out.u64(partition.placement.move_count);
    out.offset(partition.log_start);
    out.offset(partition.durable.segment);
    out.u64(partition.durable.position);
    out.offset(partition.durable.offset);
    out.count(partition.segments.len());
    for segment in &partition.segments {
        out.offset(segment.base);
        out.u64(segment.bytes);
        out.times(segment.times);
        out.u8(u8::from(segment.sealed));
        out.index(&segment.index);
    }
    out.count(partition.epochs.entries().len());
    for entry in partition.epochs.entries() {
        out.i32(entry.epoch.get());
        out.offset(entry.start);
    }
    out.count(partition.producers.len());
    for (id, producer) in partition.producers.iter() {
        out.i64(id.get());
        out.bytes(&producer.epoch.get().to_le_bytes());
        out.i64(producer.seen.get());
        out.u8(u8::try_from(producer.batches().len()).expect("at most five"));
        for batch in producer.batches() {
            out.i32(batch.base_sequence.get());
            out.i32(batch.last_sequence.get());
            out.offset(batch.base_offset);
            out.offset(batch.last_offset);
            out.i64(batch.timestamp.get());
        }
    }
    out.count(partition.rot.len());
    for range in &partition.rot {
        out.offset(range.from);
        out.offset(range.next_good);
        out.offset(range.segment);
        out.u64(range.next_position);
    }
}

/// Reads a checkpoint. `None` if the bytes are not exactly one.
pub(crate) fn decode(bytes: &[u8]) -> Option<Checkpoint> {
    let versions = [(1, CHECKPOINT_MAGIC_1), (2, CHECKPOINT_MAGIC_2), (3, CHECKPOINT_MAGIC)];
    let (mut input, version) =
        versions.into_iter().find_map(|(version, magic)| Some((In::open(bytes, magic)?, version)))?;
    let (generation, cut, drained_generation) = (input.u64()?, input.u64()?, input.u64()?);
    let removed = input.list(20, decode_key)?;
    let partitions = input.list(80, |input| decode_partition(input, version))?;
    input.0.is_empty().then_some(Checkpoint { generation, cut, drained_generation, removed, partitions })
}

fn decode_key(input: &mut In<'_>) -> Option<PartitionKey> {
    Some(PartitionKey { topic_id: Uuid::new(input.array()?), partition: PartitionIndex::new(input.i32()?) })
}

fn decode_partition(input: &mut In<'_>, version: u8) -> Option<PartitionState> {
    let key = decode_key(input)?;
    let name = input.list(1, In::u8)?;
    let topic: Arc<str> = std::str::from_utf8(&name).ok().filter(|name| is_topic_name(name))?.into();
    let dir_exists = input.u8()? != 0;
    let directory = if version >= 2 { Uuid::new(input.array()?) } else { Uuid::ZERO };
    let move_count = if version >= 3 { input.u64()? } else { 0 };
    let log_start = input.offset()?;
    let durable = input.mark()?;
    let segments = input.list(45, |input| {
        Some(SegmentState {
            base: input.offset()?,
            bytes: input.u64()?,
            times: input.times()?,
            sealed: input.u8()? != 0,
            index: input.index()?,
        })
    })?;
    let mut epochs = LeaderEpochs::default();
    for entry in
        input.list(12, |input| Some(EpochStart { epoch: LeaderEpoch::new(input.i32()?), start: input.offset()? }))?
    {
        epochs.assign(entry.epoch, entry.start);
    }
    let mut producers = Producers::default();
    for (id, producer) in input.list(19, decode_producer)? {
        producers.restore(id, producer);
    }
    let rot = input.list(32, |input| {
        Some(RotRange {
            from: input.offset()?,
            next_good: input.offset()?,
            segment: input.offset()?,
            next_position: input.u64()?,
        })
    })?;
    let in_order = segments.iter().zip(segments.iter().skip(1)).all(|(one, next)| one.base < next.base);
    let fits = segments.last().is_some_and(|last| last.base == durable.segment && last.bytes == durable.position);
    (in_order && fits).then_some(PartitionState {
        key,
        topic,
        log_start,
        durable,
        segments,
        epochs,
        producers,
        rot,
        dir_exists,
        placement: Placement { directory, move_count },
    })
}

fn decode_producer(input: &mut In<'_>) -> Option<(ProducerId, Producer)> {
    let id = ProducerId::new(input.i64()?);
    let epoch = ProducerEpoch::new(i16::from_le_bytes(input.array()?));
    let mut producer = Producer::new(epoch, input.millis()?);
    let count = usize::from(input.u8()?);
    if count > PRODUCER_BATCHES_MAX {
        return None;
    }
    for _ in 0..count {
        producer.push(RememberedBatch {
            base_sequence: Sequence::new(input.i32()?),
            last_sequence: Sequence::new(input.i32()?),
            base_offset: input.offset()?,
            last_offset: input.offset()?,
            timestamp: input.millis()?,
        });
    }
    Some((id, producer))
}

/// Whether a text can be a topic's name, and thereby part of a path (Kafka's rule).
pub(crate) fn is_topic_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    plain && (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len()) && name != "." && name != ".."
}

/// The bytes of a sealed segment's index file, in whole blocks.
pub(crate) fn encode_index(base: Offset, bytes: u64, times: Times, index: &SparseIndex) -> Vec<u8> {
    let mut out = Out::new(INDEX_MAGIC);
    out.offset(base);
    out.u64(bytes);
    out.times(times);
    out.index(index);
    out.finish()
}

/// Reads an index file. `None` if the bytes are not one of the segment with this base offset.
pub(crate) fn decode_index(bytes: &[u8], base: Offset) -> Option<(u64, Times, SparseIndex)> {
    let mut input = In::open(bytes, INDEX_MAGIC)?;
    let of_segment = input.offset()? == base;
    let (bytes, times, index) = (input.u64()?, input.times()?, input.index()?);
    (of_segment && input.0.is_empty()).then_some((bytes, times, index))
}

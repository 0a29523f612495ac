//! Produce requests, encoded before a run begins. What connections send in turn goes over all partitions and all batches.

use anyhow::{Context as _, ensure};
use ringlog_buffer::{Chunk, Slice};
use ringlog_reactor::Instant;
use ringlog_storage::batch::{CRC_COVERS_FROM, HEADER_BYTES, crc32c};
use ringlog_storage::types::Millis;

use crate::payload::Payload;
use crate::requests::{self, Acks, TopicIdPartition};

/// Behind the batch of a request stand the empty tagged fields of its partition, its topic and itself.
const TAIL_BYTES: usize = 3;
/// Requests with batches up to this size are in one piece each; of larger ones, many share a batch.
const WHOLE_BYTES_MAX: usize = 4096;
/// Where the checksum of a batch stands.
const CRC: std::ops::Range<usize> = 17..21;
/// What the value of a batch's first record begins with in end-to-end runs: the intended time, in nanoseconds.
const STAMP_BYTES: usize = 8;

/// One request, in one piece or in three.
#[derive(Clone, Debug)]
struct Frame {
    slices: Vec<Slice>,
    bytes: usize,
    /// Index of its partition.
    partition: usize,
}

/// The requests of a run, and where a time is written into them.
#[derive(Debug)]
pub(crate) struct Frames {
    /// In the order of turns.
    turns: Vec<Frame>,
    /// In the batch.
    stamp: Option<usize>,
    batch_bytes: usize,
    pub(crate) request_records: u64,
}

/// A request that is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) slices: Vec<Slice>,
    pub(crate) bytes: usize,
    /// Index of its partition.
    pub(crate) partition: usize,
}

/// Whether requests carry the time for which they are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamped {
    Yes,
    No,
}

impl Frames {
    pub(crate) fn new(
        payload: &Payload,
        acks: Acks,
        partitions: &[TopicIdPartition],
        stamped: Stamped,
        now: Millis,
    ) -> anyhow::Result<Self> {
        let batches = payload.batches(now)?;
        let batch_bytes = batches.first().context("a batch")?.len();
        let shared: Vec<Slice> = batches.iter().map(|batch| slice(batch)).collect();
        // Every partition is there as often as any other, and every batch is there.
        let count = partitions.len() * batches.len().div_ceil(partitions.len());
        let frames = (0..count).map(|index| {
            let (partition, batch) = (index % partitions.len(), index % batches.len());
            let whole = requests::produce(
                partitions[partition].topic_id,
                partitions[partition].partition,
                acks,
                &batches[batch],
            )?;
            let bytes = whole.len();
            if bytes <= WHOLE_BYTES_MAX {
                return Ok(Frame { slices: vec![whole], bytes, partition });
            }
            let behind = bytes - TAIL_BYTES;
            let before = behind - batches[batch].len();
            ensure!(whole[before..behind] == *batches[batch], "a request does not end with its batch");
            // Copies, so that the whole request is not kept.
            let slices = vec![slice(&whole[..before]), shared[batch].clone(), slice(&whole[behind..])];
            Ok(Frame { slices, bytes, partition })
        });
        let stamp = match stamped {
            Stamped::Yes => Some(value_at(payload, &batches[0])?),
            Stamped::No => None,
        };
        let request_records = u64::try_from(payload.batch_records())?;
        Ok(Self { turns: frames.collect::<anyhow::Result<_>>()?, stamp, batch_bytes, request_records })
    }

    /// The request whose turn it is, meant for `intended`.
    pub(crate) fn outgoing(&self, request: u64, intended: Instant) -> Outgoing {
        let count = u64::try_from(self.turns.len()).expect("a length fits 64 bits");
        let frame = &self.turns[usize::try_from(request % count).expect("an index")];
        let slices = match self.stamp {
            None => frame.slices.clone(),
            Some(at) => vec![self.stamped(frame, at, intended)],
        };
        Outgoing { slices, bytes: frame.bytes, partition: frame.partition }
    }

    /// A copy with the time in it, and the checksum that belongs to it.
    fn stamped(&self, frame: &Frame, at: usize, intended: Instant) -> Slice {
        let mut bytes = frame.slices.iter().fold(Vec::with_capacity(frame.bytes), |mut bytes, slice| {
            bytes.extend_from_slice(slice);
            bytes
        });
        let behind = bytes.len() - TAIL_BYTES;
        let batch = &mut bytes[behind - self.batch_bytes..behind];
        batch[at..at + STAMP_BYTES].copy_from_slice(&intended.as_nanos().to_be_bytes());
        let crc = crc32c(&[&batch[CRC_COVERS_FROM..]]);
        batch[CRC].copy_from_slice(&crc.to_be_bytes());
        slice(&bytes)
    }

    /// The time for which a batch of this run was meant.
    pub(crate) fn read_stamp(&self, batch: &[u8]) -> anyhow::Result<Instant> {
        let at = self.stamp.context("these requests carry no time")?;
        ensure!(batch.len() == self.batch_bytes, "a batch comes back with another size than it was sent with");
        let nanos = batch[at..].first_chunk::<STAMP_BYTES>().context("a batch that ends before its time")?;
        Ok(Instant::from_nanos(u64::from_be_bytes(*nanos)))
    }
}

/// Where the first record's value begins, in a batch that is not compressed.
fn value_at(payload: &Payload, batch: &[u8]) -> anyhow::Result<usize> {
    let (view, _) = ringlog_storage::batch::BatchView::parse(batch)?;
    let record = view.records().context("a batch that is not compressed")?.next().context("a record")??;
    let value = record.value.context("a value")?;
    ensure!(value.len() == payload.record_bytes && value.len() >= STAMP_BYTES, "a value too small for a time");
    let found = batch[HEADER_BYTES..].windows(value.len()).position(|window| window == value);
    found.map(|at| HEADER_BYTES + at).context("a record without its value")
}

fn slice(bytes: &[u8]) -> Slice {
    let mut chunk = Chunk::with_capacity(bytes.len());
    chunk.append(bytes);
    chunk.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_storage::batch::BatchView;
    use ringlog_storage::types::Uuid;
    use std::collections::BTreeSet;

    const NOW: Millis = Millis::new(1);

    fn partitions(count: i32) -> Vec<TopicIdPartition> {
        (0..count).map(|partition| TopicIdPartition { topic_id: Uuid::new([1; 16]), partition }).collect()
    }

    fn joined(outgoing: &Outgoing) -> Vec<u8> {
        outgoing.slices.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn a_request_in_pieces_is_the_same_request() {
        let payload = Payload::random(1024, 16 * 1024);
        let frames = Frames::new(&payload, Acks::All, &partitions(3), Stamped::No, NOW).expect("it is possible");
        let outgoing = frames.outgoing(5, Instant::default());
        assert_eq!((outgoing.slices.len(), outgoing.partition), (3, 2));
        let batch = payload.batches(NOW).expect("few keys").remove(0);
        let whole = requests::produce(Uuid::new([1; 16]), 2, Acks::All, &batch).expect("it is possible");
        assert_eq!((joined(&outgoing), outgoing.bytes), (whole.to_vec(), whole.len()));
    }

    #[test]
    fn turns_go_over_all_partitions_and_all_batches() {
        let payload = Payload { keys: Some(5), ..Payload::random(100, 0) };
        let frames = Frames::new(&payload, Acks::Leader, &partitions(2), Stamped::No, NOW).expect("it is possible");
        let turns: Vec<Outgoing> = (0..6).map(|request| frames.outgoing(request, Instant::default())).collect();
        assert_eq!(turns.iter().map(|turn| turn.partition).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(turns.iter().map(joined).collect::<BTreeSet<_>>().len(), 6);
    }

    #[test]
    fn a_time_is_read_where_it_was_written_and_the_checksum_is_right() {
        for payload in [Payload { keys: Some(1), ..Payload::random(100, 0) }, Payload::random(1024, 16 * 1024)] {
            let frames = Frames::new(&payload, Acks::All, &partitions(1), Stamped::Yes, NOW).expect("it is possible");
            let intended = Instant::from_nanos(123_456_789_012);
            let bytes = joined(&frames.outgoing(0, intended));
            let behind = bytes.len() - TAIL_BYTES;
            let batch = &bytes[behind - frames.batch_bytes..behind];
            let (view, rest) = BatchView::parse(batch).expect("still a batch");
            assert!(rest.is_empty() && view.check_crc());
            assert_eq!(frames.read_stamp(batch).expect("it was written"), intended);
        }
    }
}

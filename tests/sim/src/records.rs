//! What is sent: batches whose every byte follows from their number, so that whatever comes back can be told apart.

use ringlog_reactor::sim::Random;
use ringlog_storage::batch::{BatchBuilder, BatchView, Codec, Compressor, Decompressor, Producer, Record, Records};
use ringlog_storage::types::Millis;

/// Timestamps of one batch lie within so many milliseconds, and those of the next one begin there.
const TIMES_PER_BATCH: u64 = 4;
/// Most that a batch holds once it is decompressed.
const PLAIN_BYTES_MAX: usize = 64 << 20;
/// Number of the batch and index of the record, in front of every value.
const MARK_BYTES: usize = 12;

/// Names a batch: unique among all that were sent in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct BatchNumber(pub(crate) u64);

/// What a batch consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Form {
    /// Its records.
    pub(crate) records: u32,
    /// Upper bound of the length of each value.
    pub(crate) value_bytes_max: usize,
    /// How it is compressed.
    pub(crate) codec: Codec,
}

impl Form {
    /// Mostly small, sometimes large.
    pub(crate) fn random(random: &mut Random, codecs: &[Codec]) -> Self {
        let value_bytes_max = match random.below(20) {
            0 => 12_000,
            1..=3 => 3_000,
            _ => 300,
        };
        let records = u32::try_from(random.between(1, if value_bytes_max > 1000 { 3 } else { 8 })).expect("few");
        Self { records, value_bytes_max, codec: codecs[random.index(codecs.len())] }
    }
}

/// The time of a record. `start` is the time at which the run began.
pub(crate) fn time_of(start: Millis, number: BatchNumber, index: u32) -> Millis {
    let within = u64::from(index) % TIMES_PER_BATCH;
    let delta = i64::try_from(number.0 * TIMES_PER_BATCH + within).expect("runs are short");
    start.saturating_add(delta)
}

/// The number of a batch that keeps the producer's times.
pub(crate) fn number_of(start: Millis, base_timestamp: Millis) -> Option<BatchNumber> {
    let delta = u64::try_from(base_timestamp.since(start)).ok()?;
    delta.is_multiple_of(TIMES_PER_BATCH).then_some(BatchNumber(delta / TIMES_PER_BATCH))
}

fn value_of(number: BatchNumber, index: u32, form: Form) -> Vec<u8> {
    let mut random = Random::new(number.0 << 20 | u64::from(index));
    let bytes = random.index(form.value_bytes_max);
    let mut value = Vec::with_capacity(MARK_BYTES + bytes);
    value.extend_from_slice(&number.0.to_be_bytes());
    value.extend_from_slice(&index.to_be_bytes());
    while value.len() < MARK_BYTES + bytes {
        // Every word comes twice: codecs find something.
        let word = random.next_u64().to_le_bytes();
        value.extend_from_slice(&word);
        value.extend_from_slice(&word);
    }
    value.truncate(MARK_BYTES + bytes);
    value
}

fn key_of(number: BatchNumber, index: u32) -> Option<[u8; 8]> {
    ((number.0 + u64::from(index)) % 3 != 0).then(|| (number.0 ^ u64::from(index) << 32).to_be_bytes())
}

/// The batch as its producer sends it.
pub(crate) fn build(
    start: Millis,
    number: BatchNumber,
    form: Form,
    producer: Producer,
    compressor: &mut Compressor,
) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(form.codec).producer(producer);
    for index in 0..form.records {
        let (key, value) = (key_of(number, index), value_of(number, index, form));
        builder.push(&Record {
            timestamp: time_of(start, number, index),
            key: key.as_ref().map(<[u8; 8]>::as_slice),
            value: Some(&value),
            headers: &[],
        });
    }
    builder.build_with(compressor)
}

/// The number in the first record of a batch that a broker may have written anew.
pub(crate) fn number_within(batch: &BatchView<'_>, decompressor: &mut Decompressor) -> Result<BatchNumber, String> {
    let plain = plain(batch, decompressor)?;
    let first =
        Records::new(plain, batch.record_count()).next().ok_or("no record")?.map_err(|error| error.to_string())?;
    let mark = first.value.and_then(|value| value.first_chunk::<8>()).ok_or("a value without its mark")?;
    Ok(BatchNumber(u64::from_be_bytes(*mark)))
}

/// Whether all records are those of the batch that was sent.
pub(crate) fn check_records(
    batch: &BatchView<'_>,
    number: BatchNumber,
    form: Form,
    decompressor: &mut Decompressor,
) -> Result<(), String> {
    let count = u32::try_from(batch.record_count()).map_err(|error| error.to_string())?;
    if count != form.records {
        return Err(format!("{count} records of {}", form.records));
    }
    let plain = plain(batch, decompressor)?;
    for (index, record) in (0..).zip(Records::new(plain, batch.record_count())) {
        let record = record.map_err(|error| error.to_string())?;
        let (key, value) = (key_of(number, index), value_of(number, index, form));
        if record.value != Some(value.as_slice()) || record.key != key.as_ref().map(<[u8; 8]>::as_slice) {
            return Err(format!("record {index} is another one"));
        }
    }
    Ok(())
}

fn plain<'a>(batch: &BatchView<'a>, decompressor: &'a mut Decompressor) -> Result<&'a [u8], String> {
    let codec = batch.codec().map_err(|codec| format!("codec {codec}"))?;
    decompressor.decompress(codec, batch.payload(), PLAIN_BYTES_MAX).map_err(|error| error.to_string())
}

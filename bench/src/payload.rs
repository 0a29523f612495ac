//! What a run produces: record batches of a given size, keys, codec and compressibility, made once.

use anyhow::ensure;
use ringlog_storage::batch::{BatchBuilder, Codec, HEADER_BYTES, Record};
use ringlog_storage::types::Millis;

/// Different batches that a run takes turns with, at most: more distinct keys than fit into them are refused.
pub(crate) const BATCHES_MAX: usize = 64;
/// A key is a number of so many digits, so that all batches are of one size.
const KEY_BYTES: usize = 8;
/// Offset and length of a record that is not the first may take so many bytes more.
const LATER_RECORD_BYTES: usize = 2;
/// What the compressible part of a value repeats.
const REPEATED: &[u8] = b"The same words again and again. ";

/// The shape of the batches.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Payload {
    /// Bytes of a record's value.
    pub(crate) record_bytes: usize,
    /// As many records as fit into so many bytes before compression; one where that is smaller, so that 0 asks for one.
    pub(crate) batch_bytes: usize,
    /// The share of each value that repeats, from 0 to 1. The rest is pseudo-random: nothing can make it small.
    pub(crate) compressibility: f64,
    /// Distinct keys; `None` for records without a key.
    pub(crate) keys: Option<usize>,
    pub(crate) codec: Codec,
}

impl Payload {
    /// Records that nothing makes smaller, without keys.
    pub(crate) const fn random(record_bytes: usize, batch_bytes: usize) -> Self {
        Self { record_bytes, batch_bytes, compressibility: 0.0, keys: None, codec: Codec::None }
    }

    /// Records of each batch.
    pub(crate) fn batch_records(&self) -> usize {
        let key = self.keys.map(|_| [0; KEY_BYTES]);
        let value = vec![0; self.record_bytes];
        let mut builder = BatchBuilder::new();
        let key = key.as_ref().map(<[u8; KEY_BYTES]>::as_slice);
        builder.push(&Record { timestamp: Millis::new(0), key, value: Some(&value), headers: &[] });
        let bytes_per_record = builder.plain_bytes() - HEADER_BYTES + LATER_RECORD_BYTES;
        (self.batch_bytes.saturating_sub(HEADER_BYTES) / bytes_per_record).max(1)
    }

    /// The most distinct keys that such batches can have.
    pub(crate) fn keys_max(&self) -> usize {
        self.batch_records() * BATCHES_MAX
    }

    /// The batches that hold every key, all of them with as many records.
    pub(crate) fn batches(&self, now: Millis) -> anyhow::Result<Vec<Vec<u8>>> {
        let records = self.batch_records();
        let keys = self.keys.unwrap_or(1);
        ensure!(keys <= self.keys_max(), "{keys} keys, and at most {} fit", self.keys_max());
        let mut values = Values { seed: 0x9e37_79b9_7f4a_7c15 };
        let mut number = 0;
        let batches = (0..keys.div_ceil(records)).map(|_| {
            let mut builder = BatchBuilder::new().compression(self.codec);
            for _ in 0..records {
                let key = self.keys.map(|keys| format!("{:0KEY_BYTES$}", number % keys));
                let value = values.next(self);
                let key = key.as_ref().map(String::as_bytes);
                builder.push(&Record { timestamp: now, key, value: Some(&value), headers: &[] });
                number += 1;
            }
            builder.build()
        });
        Ok(batches.collect())
    }
}

/// Values, one behind the other.
struct Values {
    seed: u64,
}

impl Values {
    fn next(&mut self, payload: &Payload) -> Vec<u8> {
        let repeated = share(payload.record_bytes, payload.compressibility);
        let random = payload.record_bytes - repeated;
        let mut value: Vec<u8> = (0..random).map(|_| self.random()).collect();
        value.extend(REPEATED.iter().cycle().take(repeated));
        value
    }

    fn random(&mut self) -> u8 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed.to_le_bytes()[0]
    }
}

/// How many of `bytes` are within `share`, to a thousandth.
fn share(bytes: usize, share: f64) -> usize {
    let thousandths = (0_u16..=1000).rfind(|thousandth| f64::from(*thousandth) / 1000.0 <= share);
    bytes * usize::from(thousandths.unwrap_or(0)) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_storage::batch::{BatchView, Decompressor, Records};
    use std::collections::BTreeSet;

    const NOW: Millis = Millis::new(1);

    fn only(payload: Payload) -> Vec<u8> {
        let mut batches = payload.batches(NOW).expect("few keys");
        assert_eq!(batches.len(), 1);
        batches.remove(0)
    }

    #[test]
    fn batches_have_the_size_that_is_asked_for() {
        let payload = Payload::random(1024, 64 * 1024);
        let large = only(payload);
        assert!(large.len() <= 64 * 1024 && large.len() > 62 * 1024, "{} bytes", large.len());
        let (view, rest) = BatchView::parse(&large).expect("it was built a moment ago");
        assert!(rest.is_empty());
        assert_eq!(usize::try_from(view.record_count()), Ok(payload.batch_records()));
        let small = only(Payload::random(100, 0));
        let (view, _) = BatchView::parse(&small).expect("it was built a moment ago");
        assert_eq!(view.header().last_offset_delta(), 0);
    }

    #[test]
    fn the_repeated_share_is_what_a_codec_removes() {
        let bytes = |compressibility| {
            only(Payload { compressibility, codec: Codec::Zstd, ..Payload::random(1000, 100_000) }).len()
        };
        assert!(bytes(0.0) > 97_000);
        assert!((24_000..27_000).contains(&bytes(0.75)), "{} bytes", bytes(0.75));
        assert!(bytes(1.0) < 1_000);
        assert_eq!((share(1024, 0.0), share(1024, 0.5), share(1024, 1.0)), (0, 512, 1024));
    }

    #[test]
    fn every_key_is_there() {
        for (batch_bytes, batches) in [(0, 10), (8 * 1024, 2)] {
            let payload =
                Payload { keys: Some(10), batch_bytes, codec: Codec::Lz4, ..Payload::random(1024, batch_bytes) };
            let made = payload.batches(NOW).expect("few keys");
            assert_eq!(made.len(), batches);
            let mut keys = BTreeSet::new();
            for batch in &made {
                let (view, _) = BatchView::parse(batch).expect("it was built a moment ago");
                let mut unpacker = Decompressor::default();
                let plain = unpacker.decompress(Codec::Lz4, view.payload(), 1 << 20).expect("just packed");
                let records = Records::new(plain, view.record_count());
                keys.extend(records.filter_map(|record| record.expect("just built").key.map(<[u8]>::to_vec)));
            }
            assert_eq!(keys.len(), 10);
        }
        let too_many = Payload { keys: Some(65), ..Payload::random(100, 0) };
        assert_eq!((too_many.keys_max(), too_many.batches(NOW).is_err()), (64, true));
    }
}

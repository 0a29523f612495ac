//! Record batches of any bytes: views, records, and the validation of produced batches under rules that the first bytes
//! of the input choose. What is accepted must read back dense and sealed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_storage::batch::{
    BatchView, Codec, Codecs, CompressionRule, KeyRule, ProduceRules, Records, TimestampRule, crc32c, split,
    validate_produced,
};
use ringlog_storage::types::Millis;
use std::cell::RefCell;

const PLAIN_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static CODECS: RefCell<Codecs> = RefCell::default();
}

fn rules(choice: [u8; 2]) -> ProduceRules {
    let [flags, codec] = choice;
    ProduceRules {
        produce_version: if flags & 1 == 0 { 13 } else { 3 },
        batch_bytes_max: if flags & 2 == 0 { 1 << 20 } else { 200 },
        plain_bytes_max: PLAIN_BYTES_MAX,
        record_bytes_max: if flags & 4 == 0 { usize::MAX } else { 100 },
        keys: if flags & 8 == 0 { KeyRule::Optional } else { KeyRule::Required },
        timestamps: match flags >> 4 & 3 {
            0 => TimestampRule::CreateTime { before_max_ms: i64::MAX, after_max_ms: i64::MAX },
            1 => TimestampRule::CreateTime { before_max_ms: 1000, after_max_ms: 1000 },
            _ => TimestampRule::LogAppendTime,
        },
        compression: match Codec::from_number(codec % 8) {
            Some(codec) => CompressionRule::Fixed(codec.into()),
            None => CompressionRule::Producer,
        },
    }
}

/// Makes length and checksum right, so that the bytes behind them are looked at.
fn seal(batch: &mut [u8]) {
    if batch.len() >= 61
        && let Ok(length) = i32::try_from(batch.len() - 12)
    {
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c(&[&batch[21..]]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first_chunk::<2>() else { return };
    for batch in split(bytes).flatten() {
        let _ = (batch.check_crc(), batch.next_offset(), batch.last_sequence(), batch.delete_horizon());
        for record in batch.records().into_iter().flatten().flatten() {
            assert!(record.headers.map(|header| header.key.len()).sum::<usize>() <= bytes.len());
        }
    }
    let mut bytes = bytes.to_vec();
    if choice[0] & 0x80 == 0 {
        seal(&mut bytes);
    }
    CODECS.with_borrow_mut(|codecs| {
        let Ok(produced) = validate_produced(&bytes, &rules(*choice), Millis::new(1_700_000_000_000), codecs) else {
            return;
        };
        let stored = [&produced.header().bytes()[..], produced.payload()].concat();
        assert_eq!(stored.len(), produced.header().batch_bytes());
        let (batch, rest) = BatchView::parse(&stored).expect("accepted");
        assert!(rest.is_empty() && batch.check_crc());
        let codec = batch.codec().expect("accepted");
        let plain = codecs.decompressor.decompress(codec, batch.payload(), PLAIN_BYTES_MAX).expect("accepted");
        let mut count = 0;
        for record in Records::new(plain, batch.record_count()) {
            let record = record.expect("accepted");
            assert_eq!(record.offset_delta, count);
            assert!(
                batch.timestamp_of(record.timestamp_delta) <= batch.max_timestamp()
                    || batch.max_timestamp() == Millis::NONE
            );
            count += 1;
        }
        assert_eq!(count, batch.last_offset_delta() + 1);
    });
});

//! What is accepted, what is refused, and what damage does.

use super::*;
use crate::batch::noise::Noise;
use crate::batch::{BatchBuilder, Header, Record, crc32c, stamp};
use crate::types::LeaderEpoch;

const NOW: Millis = Millis::new(1_000_000);

const RULES: ProduceRules = ProduceRules {
    produce_version: 13,
    batch_bytes_max: 1 << 20,
    plain_bytes_max: 4 << 20,
    record_bytes_max: usize::MAX,
    keys: KeyRule::Optional,
    timestamps: TimestampRule::CreateTime { before_max_ms: i64::MAX, after_max_ms: 1000 },
    compression: CompressionRule::Producer,
};

fn validate<'a>(bytes: &'a [u8], rules: &ProduceRules) -> Result<Produced<'a>, ProduceError> {
    validate_produced(bytes, rules, NOW, &mut Codecs::default())
}

fn record(timestamp: i64, key: Option<&'static [u8]>) -> Record<'static> {
    Record { timestamp: Millis::new(timestamp), key, value: Some(b"some value some value"), headers: &[] }
}

fn built(codec: Codec, records: &[Record<'_>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(codec);
    for record in records {
        builder.push(record);
    }
    builder.build()
}

fn reseal(bytes: &mut [u8]) {
    let crc = crc32c(&[&bytes[21..]]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn an_accepted_batch_is_not_copied() {
    for codec in Codec::ALL {
        let bytes = built(codec, &[record(5, None), record(9, None), record(9, None)]);
        let produced = validate(&bytes, &RULES).expect("nothing is wrong with it");
        assert!(matches!(&produced.payload, Cow::Borrowed(payload) if *payload == &bytes[HEADER_BYTES..]));
        assert_eq!(produced.header().bytes()[..], bytes[..HEADER_BYTES]);
        let mut stored = [produced.header().bytes(), produced.payload()].concat();
        stamp(&mut stored, Offset::new(70), LeaderEpoch::new(2));
        let (batch, _) = BatchView::parse(&stored).expect("still one");
        assert!(batch.check_crc() && batch.last_offset() == Offset::new(72));
    }
}

#[test]
fn append_time_rewrites_the_header_alone() {
    let rules = ProduceRules { timestamps: TimestampRule::LogAppendTime, ..RULES };
    for codec in Codec::ALL {
        let bytes = built(codec, &[record(5, None), record(i64::MAX, None)]);
        let produced = validate(&bytes, &rules).expect("any timestamp will do");
        assert!(matches!(produced.payload, Cow::Borrowed(_)));
        assert_eq!(produced.header().timestamp_type(), TimestampType::LogAppendTime);
        let stored = [&produced.header().bytes()[..], produced.payload()].concat();
        let (batch, _) = BatchView::parse(&stored).expect("still one");
        assert!(batch.check_crc() && batch.timestamp_of(3) == NOW && batch.codec() == Ok(codec));
    }
}

#[test]
fn recompression_keeps_the_records() {
    let records = [record(5, Some(b"k")), record(6, None)];
    for (from, to) in Codec::ALL.into_iter().flat_map(|from| Codec::ALL.map(|to| (from, to))) {
        let rules = ProduceRules { compression: CompressionRule::Fixed(to.into()), ..RULES };
        let bytes = built(from, &records);
        let produced = validate(&bytes, &rules).expect("nothing is wrong with it");
        assert_eq!(matches!(produced.payload, Cow::Borrowed(_)), from == to);
        assert_eq!([&produced.header().bytes()[..], produced.payload()].concat(), built(to, &records), "{from} {to}");
    }
}

#[test]
fn sizes_are_bounded_before_and_after_recompression() {
    let value = vec![0; 10_000];
    let flat = built(Codec::None, &[Record { value: Some(&value), ..Record::default() }]);
    let packed = built(Codec::Zstd, &[Record { value: Some(&value), ..Record::default() }]);
    let limit = flat.len() - 1;
    let rules = ProduceRules { batch_bytes_max: limit, ..RULES };
    let to_zstd = ProduceRules { compression: CompressionRule::Fixed(Codec::Zstd.into()), ..rules };
    let to_none = ProduceRules { compression: CompressionRule::Fixed(Codec::None.into()), ..rules };
    let too_large = Err(ProduceError::TooLarge { bytes: flat.len(), limit });
    assert_eq!(validate(&flat, &rules), too_large);
    assert_eq!(validate(&flat, &to_zstd), too_large);
    assert!(validate(&packed, &rules).is_ok());
    assert_eq!(validate(&packed, &to_none), too_large);
    let tight = ProduceRules { plain_bytes_max: 9999, ..RULES };
    assert_eq!(validate(&packed, &tight), Err(ProduceError::PlainTooLarge(9999)));
}

#[test]
fn invalid_records_are_listed_up_to_a_limit() {
    let rules = ProduceRules { keys: KeyRule::Required, ..RULES };
    let records = [record(1, None), record(1, Some(b"k")), record(2_000_000, Some(b"k")), record(2_000_000, None)];
    let error = validate(&built(Codec::Lz4, &records), &rules).expect_err("three are wrong");
    let kinds: Vec<_> = error.invalid_records().iter().map(|invalid| (invalid.index, invalid.kind)).collect();
    let expected =
        [(0, InvalidRecordKind::NullKey), (2, InvalidRecordKind::Timestamp), (3, InvalidRecordKind::NullKey)];
    assert_eq!(kinds, expected);
    assert!(error.has_invalid_timestamp());
    let many = vec![record(1, None); 5000];
    let error = validate(&built(Codec::None, &many), &rules).expect_err("all are wrong");
    assert_eq!(error.invalid_records().len(), INVALID_RECORDS_MAX);
}

#[test]
fn timestamps_at_the_ends_of_time_do_not_overflow() {
    for before_max_ms in [0, i64::MAX] {
        let timestamps = TimestampRule::CreateTime { before_max_ms, after_max_ms: 0 };
        for timestamp in [i64::MIN, i64::MIN + 1, i64::MAX] {
            let bytes = built(Codec::None, &[record(timestamp, None)]);
            let accepted = validate(&bytes, &ProduceRules { timestamps, ..RULES }).is_ok();
            assert_eq!(accepted, timestamp < 0 && before_max_ms == i64::MAX, "{timestamp} {before_max_ms}");
        }
    }
}

#[test]
fn damaged_batches_never_panic_nor_lie() {
    let headers = [Header { key: b"h", value: None }, Header { key: b"i", value: Some(b"j") }];
    let mut records: Vec<Record<'_>> = vec![Record { headers: &headers, ..record(7, Some(b"key")) }; 20];
    records.push(record(8, None));
    let mut codecs = Codecs::default();
    let mut accepted = 0;
    for codec in Codec::ALL {
        let bytes = built(codec, &records);
        for seed in 0..2000 {
            let mut damaged = Noise::new(seed).damage(&bytes);
            if damaged.len() < HEADER_BYTES {
                continue;
            }
            // Damage that a checksum would catch is not the point here.
            let length = i32::try_from(damaged.len() - LENGTH_OVERHEAD_BYTES).expect("small");
            damaged[8..12].copy_from_slice(&length.to_be_bytes());
            reseal(&mut damaged);
            let rules = ProduceRules {
                compression: CompressionRule::Fixed(Codec::ALL[usize::try_from(seed % 5).expect("small")].into()),
                plain_bytes_max: 1 << 16,
                ..RULES
            };
            let Ok(produced) = validate_produced(&damaged, &rules, NOW, &mut codecs) else { continue };
            accepted += 1;
            let stored = [&produced.header().bytes()[..], produced.payload()].concat();
            let (batch, rest) = BatchView::parse(&stored).expect("accepted");
            assert!(rest.is_empty() && batch.check_crc(), "{codec} seed {seed}");
            let codec = batch.codec().expect("accepted");
            let plain = codecs.decompressor.decompress(codec, batch.payload(), 1 << 16).expect("accepted");
            let deltas: Vec<_> = Records::new(plain, batch.record_count())
                .map(|record| record.expect("accepted").offset_delta)
                .collect();
            assert_eq!(deltas, (0..batch.record_count()).collect::<Vec<_>>(), "{codec} seed {seed}");
        }
    }
    assert!(accepted > 100, "some damage is harmless: {accepted}");
}

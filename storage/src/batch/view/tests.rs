//! Headers and batches, whole, cut and impossible.

use super::*;
use crate::batch::{Header, RecordError};

/// One batch of two records, written down by hand: key "k", value null, header h=v; key null, value "value".
fn by_hand() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(7_i64.to_be_bytes());
    bytes.extend(0_i32.to_be_bytes());
    bytes.extend(3_i32.to_be_bytes());
    bytes.push(2);
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(0b1_0000_u16.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(1000_i64.to_be_bytes());
    bytes.extend(1005_i64.to_be_bytes());
    bytes.extend(42_i64.to_be_bytes());
    bytes.extend(6_i16.to_be_bytes());
    bytes.extend(i32::MAX.to_be_bytes());
    bytes.extend(2_i32.to_be_bytes());
    // length 11, attributes, timestamp delta 5, offset delta 0, "k", null, one header "h" = "v".
    bytes.extend([22, 0, 10, 0, 2, b'k', 1, 2, 2, b'h', 2, b'v']);
    // length 11, attributes, timestamp delta 0, offset delta 1, null, "value", no headers.
    bytes.extend([22, 0, 0, 2, 1, 10, b'v', b'a', b'l', b'u', b'e', 0]);
    let length = i32::try_from(bytes.len() - LENGTH_OVERHEAD_BYTES).expect("small");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&[&bytes[CRC_COVERS_FROM..]]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn header_fields_are_read() {
    let bytes = by_hand();
    let (batch, rest) = BatchView::parse(&bytes).expect("well-formed");
    assert!(rest.is_empty() && batch.check_crc());
    assert_eq!(batch.batch_bytes(), bytes.len());
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.next_offset()), {
        (Offset::new(7), Offset::new(8), Offset::new(9))
    });
    assert_eq!((batch.leader_epoch(), batch.record_count()), (LeaderEpoch::new(3), 2));
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (Millis::new(1000), Millis::new(1005)));
    assert_eq!((batch.producer_id(), batch.producer_epoch()), (ProducerId::new(42), ProducerEpoch::new(6)));
    assert_eq!((batch.base_sequence(), batch.last_sequence()), (Sequence::new(i32::MAX), Sequence::new(0)));
    assert!(batch.is_transactional() && !batch.is_control());
    assert_eq!((batch.codec(), batch.timestamp_type()), (Ok(Codec::None), TimestampType::CreateTime));
    assert_eq!(batch.delete_horizon(), None);
    assert_eq!(batch.timestamp_of(5), Millis::new(1005));
}

#[test]
fn records_are_read() {
    let bytes = by_hand();
    let (batch, _) = BatchView::parse(&bytes).expect("well-formed");
    let records: Vec<_> = batch.records().expect("not compressed").collect::<Result<_, _>>().expect("well-formed");
    assert_eq!((records[0].offset_delta, records[0].timestamp_delta), (0, 5));
    assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), None));
    assert_eq!(records[0].headers.clone().collect::<Vec<_>>(), [Header { key: b"h", value: Some(b"v") }]);
    assert_eq!((records[1].offset_delta, records[1].key, records[1].value), (1, None, Some(&b"value"[..])));
    assert_eq!((records[1].headers.len(), records.len()), (0, 2));
}

#[test]
fn the_checksum_covers_all_but_the_stamp() {
    let mut bytes = by_hand();
    stamp(&mut bytes, Offset::new(99), LeaderEpoch::new(17));
    let (batch, _) = BatchView::parse(&bytes).expect("well-formed");
    assert_eq!((batch.base_offset(), batch.leader_epoch()), (Offset::new(99), LeaderEpoch::new(17)));
    assert!(batch.check_crc());
    for position in 17..bytes.len() {
        let mut broken = bytes.clone();
        broken[position] ^= 1;
        let (batch, _) = BatchView::parse(&broken).expect("still the same length");
        assert!(!batch.check_crc(), "byte {position}");
    }
}

#[test]
fn every_cut_is_incomplete() {
    let bytes = by_hand();
    for length in 0..bytes.len() {
        let bytes_needed = if length < HEADER_BYTES { HEADER_BYTES } else { bytes.len() };
        let cut = &bytes[..length];
        assert_eq!(BatchView::parse(cut), Err(ParseError::Incomplete { bytes_needed }), "{length}");
    }
    assert!(BatchHeader::parse(&bytes[..HEADER_BYTES]).is_ok(), "a header needs no records");
}

#[test]
fn impossible_headers_are_refused() {
    for length in [i32::MIN, -1, 0, 48] {
        let mut bytes = by_hand();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(BatchView::parse(&bytes), Err(ParseError::Length(length)));
    }
    for magic in [0, 1, 3, 255] {
        let mut bytes = by_hand();
        bytes[16] = magic;
        assert_eq!(BatchView::parse(&bytes), Err(ParseError::Magic(magic)));
        assert_eq!(BatchView::parse(&bytes[..17]), Err(ParseError::Magic(magic)));
    }
}

#[test]
fn neighbours_are_split() {
    let one = by_hand();
    let mut three = [one.clone(), one.clone(), one.clone()].concat();
    assert_eq!(split(&three).map(|batch| batch.expect("whole").bytes().to_vec()).collect::<Vec<_>>().concat(), three);
    three.pop();
    let mut batches = split(&three);
    assert!(matches!((batches.next(), batches.next()), (Some(Ok(_)), Some(Ok(_)))));
    assert_eq!(batches.next(), Some(Err(ParseError::Incomplete { bytes_needed: one.len() })));
    assert_eq!((batches.next(), batches.rest().len()), (None, one.len() - 1));
}

#[test]
fn counts_that_lie_are_noticed() {
    for (count, expected) in [(1, RecordError::Trailing), (3, RecordError::Truncated), (-1, RecordError::Trailing)] {
        let mut bytes = by_hand();
        bytes[57..61].copy_from_slice(&i32::to_be_bytes(count));
        let (batch, _) = BatchView::parse(&bytes).expect("the length is right");
        let last = batch.records().expect("not compressed").last();
        assert_eq!(last, Some(Err(expected)), "{count}");
    }
}

#[test]
fn extremes_do_not_overflow() {
    let mut bytes = by_hand();
    bytes[..8].copy_from_slice(&i64::MAX.to_be_bytes());
    bytes[23..27].copy_from_slice(&i32::MIN.to_be_bytes());
    bytes[27..35].copy_from_slice(&i64::MIN.to_be_bytes());
    let (batch, _) = BatchView::parse(&bytes).expect("the length is right");
    assert_eq!(batch.last_sequence(), Sequence::NONE);
    assert_eq!(batch.timestamp_of(-1), Millis::new(i64::MIN));
    assert_eq!(batch.offset_of(1), Offset::MAX);
    assert!(batch.next_offset() < Offset::MAX);
}

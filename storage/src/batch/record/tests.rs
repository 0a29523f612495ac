//! Records and varints, well-formed and not.

use super::*;

fn one(bytes: &[u8]) -> Result<RecordView<'_>, RecordError> {
    Records::new(bytes, 1).next().expect("one is counted")
}

#[test]
fn varints_are_read_as_kafka_reads_them() {
    let read = |bytes: &[u8]| Cursor { rest: bytes }.varint();
    for (bytes, value) in [
        (&[0][..], 0),
        (&[1], -1),
        (&[2], 1),
        (&[0x7f], -64),
        (&[0x80, 0x01], 64),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f], i32::MAX),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], i32::MIN),
        // Not the shortest form, and bits beyond the 32nd.
        (&[0x80, 0x00], 0),
        (&[0xff, 0xff, 0xff, 0xff, 0x7f], i32::MIN),
    ] {
        assert_eq!(read(bytes), Ok(value), "{bytes:x?}");
    }
    assert_eq!(read(&[]), Err(RecordError::Truncated));
    assert_eq!(read(&[0x80, 0x80, 0x80, 0x80]), Err(RecordError::Truncated));
    assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(RecordError::Varint));
    let mut extreme = [0xff; 10];
    extreme[9] = 0x01;
    assert_eq!(Cursor { rest: &extreme }.varlong(), Ok(i64::MIN));
    assert_eq!(Cursor { rest: &[0xff; 10] }.varlong(), Err(RecordError::Varint));
}

#[test]
fn malformed_records_are_told_apart() {
    // length 6, attributes, timestamp delta, offset delta, null key, null value, no headers.
    assert!(one(&[12, 0, 0, 0, 1, 1, 0]).is_ok());
    for (bytes, error) in [
        (&[][..], RecordError::Truncated),
        (&[1], RecordError::Negative),
        (&[14, 0, 0, 0, 1, 1, 0], RecordError::Truncated),
        (&[14, 0, 0, 0, 1, 1, 0, 0], RecordError::Slack),
        // A key of two bytes, of which the record has one.
        (&[12, 0, 0, 0, 4, 1, 0], RecordError::Truncated),
        // A header count of -1; of 2^31-1; a header with a null key.
        (&[12, 0, 0, 0, 1, 1, 1], RecordError::Negative),
        (&[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f], RecordError::Truncated),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 1], RecordError::Negative),
    ] {
        assert_eq!(one(bytes), Err(error), "{bytes:x?}");
    }
}

#[test]
fn iteration_ends_after_an_error() {
    let mut records = Records::new(&[12, 0, 0, 0, 1, 1, 0, 1, 12], 3);
    assert!(matches!(records.next(), Some(Ok(_))));
    assert_eq!(records.next(), Some(Err(RecordError::Negative)));
    assert_eq!(records.next(), None);
}

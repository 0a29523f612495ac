//! Tests of the encoding of plain values.

use super::{DECODED_BYTES_BASE, DecodeError, EncodeError, ErrorCount, Reader, STRING_BYTES_MAX, Writer};

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_bytes()
}

#[test]
fn varints_are_those_of_the_protocol() {
    let check = |value: u32, bytes: &[u8]| {
        assert_eq!(written(|w| w.varint(value)), bytes);
        assert_eq!(Reader::new(bytes).varint(), Ok(value));
    };
    check(0, &[0]);
    check(127, &[0x7f]);
    check(128, &[0x80, 1]);
    check(300, &[0xac, 2]);
    check(u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x10]).varint(), Err(DecodeError::Varint));
    assert_eq!(Reader::new(&[0x80; 6]).varint(), Err(DecodeError::Varint));
    assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated { needed: 1 }));
}

#[test]
fn lengths_have_two_forms() {
    let check = |flexible: bool, value: Option<&str>, bytes: &[u8]| {
        assert_eq!(written(|w| w.opt_string(value, flexible, true).expect("short")), bytes);
        assert_eq!(Reader::new(bytes).opt_str(flexible, true), Ok(value));
        assert_eq!(Reader::new(bytes).opt_str(flexible, false), value.map(Some).ok_or(DecodeError::Null));
    };
    check(false, None, &[0xff, 0xff]);
    check(false, Some("ab"), b"\0\x02ab");
    check(true, None, &[0]);
    check(true, Some(""), &[1]);
    check(true, Some("ab"), b"\x03ab");
    assert_eq!(Reader::new(&[0xff, 0xfe]).opt_str(false, true), Err(DecodeError::Length(-2)));
    assert_eq!(Reader::new(&[3, 0xff, 0xff]).string(true), Err(DecodeError::Utf8));
    assert_eq!(Reader::new(&[3, b'a']).string(true), Err(DecodeError::Truncated { needed: 1 }));
}

#[test]
fn long_strings_are_refused_both_ways() {
    let longest = "x".repeat(STRING_BYTES_MAX);
    for flexible in [false, true] {
        let bytes = written(|w| w.string(&longest, flexible).expect("the longest one"));
        assert_eq!(Reader::new(&bytes).string(flexible).as_ref(), Ok(&longest));
        let error = Writer::new().string(&format!("{longest}x"), flexible);
        assert_eq!(error, Err(EncodeError::TooLong(STRING_BYTES_MAX + 1)));
    }
    let bytes = written(|w| w.varint(0x8001));
    assert_eq!(Reader::new(&bytes).string(true), Err(DecodeError::Length(0x8000)));
}

#[test]
fn an_array_longer_than_its_bytes_allocates_nothing() {
    let bytes = [0x7f, 0xff, 0xff, 0xff, 0, 0];
    let result = Reader::new(&bytes).array(false, Reader::i64);
    assert_eq!(result, Err(DecodeError::Truncated { needed: 0x7fff_ffff - 2 }));
    assert_eq!(Reader::new(&[0x80, 0, 0, 0]).array(false, Reader::i64), Err(DecodeError::Length(-0x8000_0000)));
}

#[test]
fn elements_cost_budget() {
    // One byte each on the wire, and 64 in memory: more than 16 times as much.
    let decode = |count: usize| {
        let bytes = written(|w| w.bytes(&vec![0; count], false).expect("short"));
        Reader::new(&bytes).array(false, |r| r.i8().map(|_| [0_u64; 8])).map(|elements| elements.len())
    };
    assert_eq!(decode(1000), Ok(1000));
    let most = DECODED_BYTES_BASE / (64 - 16);
    assert_eq!(decode(most + 2), Err(DecodeError::OverBudget));
}

#[test]
fn tagged_fields_are_counted_sized_and_skipped() {
    let bytes = written(|w| {
        let fields = w.tagged_fields();
        w.tagged(&fields, 1, |w| w.bytes(&[8; 3], false)).expect("short");
        w.tagged(&fields, 5, |w| w.bytes(&[9; 200], false)).expect("short");
    });
    assert_eq!(bytes[..12], [2, 1, 7, 0, 0, 0, 3, 8, 8, 8, 5, 0xcc]);
    let mut seen = Vec::new();
    let mut reader = Reader::new(&bytes);
    let read = reader.tagged_fields(|tag, r| {
        if tag == 1 {
            seen = r.bytes(false)?;
        }
        Ok(tag == 1)
    });
    assert_eq!((read, seen, reader.finish()), (Ok(()), vec![8; 3], Ok(())));
    let read = Reader::new(&bytes).tagged_fields(|_, r| r.i16().map(|_| true));
    assert_eq!(read, Err(DecodeError::TaggedField { tag: 1, left: 5 }));
    let read = Reader::new(&bytes).tagged_fields(|_, r| r.i64().map(|_| true));
    assert_eq!(read, Err(DecodeError::Truncated { needed: 1 }));
}

#[test]
fn errors_are_counted_as_they_are_written() {
    let mut writer = Writer::new();
    for code in [0, 3, 0, 3, -1] {
        writer.error_code(code);
    }
    for code in 100..300 {
        writer.error_code(code);
    }
    let (bytes, errors) = writer.into_parts();
    assert_eq!(bytes.len(), 2 * 205);
    assert_eq!(errors[..2], [ErrorCount { code: 3, count: 2 }, ErrorCount { code: -1, count: 1 }]);
    assert!(errors.len() < 100, "{} different ones are counted", errors.len());
}

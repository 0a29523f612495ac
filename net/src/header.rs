//! Headers of requests and responses, and the table of what a listener serves.
//!
//! A request header (version 1, or 2 with tagged fields) is followed by the body. The header version follows from key and
//! version, so both are looked up before the rest is read. `ApiVersions` is the exception that lets a client of any age
//! begin: a version of it that is not served is answered in the form of version 0, and none of the rest of that request
//! is read.

use crate::messages::ApiKey;
use crate::wire::{DecodeError, Reader, longest_string};
use std::borrow::Cow;
use std::sync::Arc;

/// What stands in front of every request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// Which request it is.
    pub api_key: ApiKey,
    /// Version of the body, one that is served.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// The client's name for itself; null counts as empty. Bytes that are no UTF-8 are replaced.
    pub client_id: Arc<str>,
}

/// What stands in front of every response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseHeader {
    /// That of the request.
    pub correlation_id: i32,
    /// Whether an (empty) list of tagged fields follows: header version 1.
    pub flexible: bool,
}

impl ResponseHeader {
    /// The header of the response to a request of `api_key` and `api_version`.
    pub fn new(api_key: ApiKey, api_version: i16, correlation_id: i32) -> Self {
        Self { correlation_id, flexible: api_key.response_header_version(api_version) >= 1 }
    }

    /// Bytes that [`encoded`](Self::encoded) gives.
    pub(crate) fn len(self) -> usize {
        4 + usize::from(self.flexible)
    }

    /// The bytes on the wire.
    pub fn encoded(self) -> impl AsRef<[u8]> {
        let [a, b, c, d] = self.correlation_id.to_be_bytes();
        // The fifth byte counts tagged fields.
        EncodedHeader { bytes: [a, b, c, d, 0], len: self.len() }
    }
}

struct EncodedHeader {
    bytes: [u8; 5],
    len: usize,
}

impl AsRef<[u8]> for EncodedHeader {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The first eight bytes of a request, which have one form in all versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestPrefix {
    /// As sent; may be no key at all.
    pub api_key: i16,
    /// As sent.
    pub api_version: i16,
    /// As sent.
    pub correlation_id: i32,
}

impl RequestPrefix {
    /// Reads the prefix of a frame.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { api_key: r.i16()?, api_version: r.i16()?, correlation_id: r.i32()? })
    }
}

/// Reads what follows the prefix in a header of `header_version` (0 to 2): the client id. The body comes next.
pub fn decode_client_id<'a>(r: &mut Reader<'a>, header_version: i16) -> Result<Cow<'a, str>, DecodeError> {
    if header_version == 0 {
        return Ok(Cow::Borrowed(""));
    }
    let client_id = match r.i16()? {
        -1 => Cow::Borrowed(""),
        length => {
            let length = usize::try_from(length).map_err(|_| DecodeError::Length(i64::from(length)))?;
            shortened(String::from_utf8_lossy(r.take(length)?))
        }
    };
    if header_version >= 2 {
        // Kafka 4.4 defines no tagged field for the header.
        r.tagged_fields(|_tag, _value| Ok(false))?;
    }
    Ok(client_id)
}

/// What is not UTF-8 becomes longer, and could not be told to anybody any more.
fn shortened(client_id: Cow<'_, str>) -> Cow<'_, str> {
    match client_id {
        Cow::Owned(text) => Cow::Owned(longest_string(&text).to_owned()),
        borrowed @ Cow::Borrowed(_) => borrowed,
    }
}

/// One request that a listener serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServedApi {
    /// Which.
    pub api_key: ApiKey,
    /// Lowest version served.
    pub min: i16,
    /// Highest version served.
    pub max: i16,
}

/// What a listener serves: at most one row per key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServedApis {
    /// Indexed by key.
    rows: Vec<Option<ServedApi>>,
}

/// Whether a request can be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// Yes.
    Served(ApiKey),
    /// It is an `ApiVersions` request of another version than this row's.
    OtherApiVersions(ServedApi),
    /// The key is served, in other versions.
    OtherVersion(ServedApi),
    /// The key is not served.
    NotServed,
}

impl ServedApis {
    /// A table of `rows`. Panics if a key stands there twice, or with versions that have no definition.
    pub fn new(rows: impl IntoIterator<Item = ServedApi>) -> Self {
        let mut table = Self { rows: Vec::new() };
        for row in rows {
            let valid = row.api_key.valid_versions();
            assert!(
                row.min <= row.max && valid.contains(&row.min) && valid.contains(&row.max),
                "{row:?}: defined are {valid:?}"
            );
            let index = usize::try_from(row.api_key.code()).expect("keys are not negative");
            if table.rows.len() <= index {
                table.rows.resize(index + 1, None);
            }
            assert!(table.rows[index].replace(row).is_none(), "{row:?} stands twice in the table");
        }
        table
    }

    /// The rows, in order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = ServedApi> {
        self.rows.iter().copied().flatten()
    }

    /// The row of a key.
    pub fn row(&self, api_key: ApiKey) -> Option<ServedApi> {
        self.row_of_code(api_key.code())
    }

    fn row_of_code(&self, api_key: i16) -> Option<ServedApi> {
        self.rows.get(usize::try_from(api_key).ok()?).copied().flatten()
    }

    /// What to do with a request of `api_key` and `api_version`, as sent.
    pub fn look_up(&self, api_key: i16, api_version: i16) -> Lookup {
        match self.row_of_code(api_key) {
            None => Lookup::NotServed,
            Some(row) if (row.min..=row.max).contains(&api_version) => Lookup::Served(row.api_key),
            Some(row) if row.api_key == ApiKey::ApiVersions => Lookup::OtherApiVersions(row),
            Some(row) => Lookup::OtherVersion(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_up_to_its_body() {
        let mut r = Reader::new(b"\x00\x12\x00\x04\x00\x00\x00\x07\x00\x02abBODY");
        let prefix = RequestPrefix::decode(&mut r);
        assert_eq!(prefix, Ok(RequestPrefix { api_key: 18, api_version: 4, correlation_id: 7 }));
        assert_eq!(decode_client_id(&mut r, 1), Ok(Cow::Borrowed("ab")));
        assert_eq!(r.rest(), b"BODY");
    }

    #[test]
    fn client_ids_and_tagged_fields() {
        let check = |bytes: &[u8], version, expected: Result<(&str, &[u8]), DecodeError>| {
            let mut r = Reader::new(bytes);
            let read = decode_client_id(&mut r, version);
            let read = read.as_ref().map(|id| (id.as_ref(), r.rest())).map_err(|error| *error);
            assert_eq!(read, expected, "{bytes:?} in version {version}");
        };
        check(b"body", 0, Ok(("", b"body")));
        check(b"\xff\xff", 1, Ok(("", b"")));
        check(b"\xff\xffbody", 1, Ok(("", b"body")));
        check(b"\xff\xff\x00body", 2, Ok(("", b"body")));
        check(b"\x00\x01\xff", 1, Ok(("\u{fffd}", b"")));
        // What is replaced is three bytes long, and the whole has to fit where ids are told.
        let broken = [vec![0x7f, 0xff], vec![0xff; 0x7fff]].concat();
        check(&broken, 1, Ok((&"\u{fffd}".repeat(0x7fff / 3), b"")));
        check(b"\x00\x00\x02\x00\x01x\x85\x01\x00body", 2, Ok(("", b"body")));
        check(b"\xff\xfe", 1, Err(DecodeError::Length(-2)));
        check(b"\x00\x02a", 1, Err(DecodeError::Truncated { needed: 1 }));
        check(b"\x00", 1, Err(DecodeError::Truncated { needed: 1 }));
        check(b"\x00\x00", 2, Err(DecodeError::Truncated { needed: 1 }));
        check(b"\x00\x00\x01\x00\x05abcd", 2, Err(DecodeError::Truncated { needed: 1 }));
        check(b"\x00\x00\xff\xff\xff\xff\x7f", 2, Err(DecodeError::Varint));
    }

    #[test]
    fn the_table_tells_what_to_do() {
        let versions = ServedApi { api_key: ApiKey::ApiVersions, min: 0, max: 4 };
        let produce = ServedApi { api_key: ApiKey::Produce, min: 3, max: 13 };
        let table = ServedApis::new([versions, produce]);
        assert_eq!(table.look_up(18, 4), Lookup::Served(ApiKey::ApiVersions));
        assert_eq!(table.look_up(18, 99), Lookup::OtherApiVersions(versions));
        assert_eq!(table.look_up(0, 2), Lookup::OtherVersion(produce));
        for unknown in [-1, 1, 17, 19, i16::MAX] {
            assert_eq!(table.look_up(unknown, 0), Lookup::NotServed);
        }
        assert_eq!(table.rows().map(|row| row.api_key).collect::<Vec<_>>(), [ApiKey::Produce, ApiKey::ApiVersions]);
    }

    #[test]
    fn the_response_to_api_versions_never_has_tagged_fields_in_its_header() {
        assert_eq!(ResponseHeader::new(ApiKey::ApiVersions, 4, 1).encoded().as_ref(), [0, 0, 0, 1]);
        assert_eq!(ResponseHeader::new(ApiKey::Produce, 13, 1).encoded().as_ref(), [0, 0, 0, 1, 0]);
        assert_eq!(ResponseHeader::new(ApiKey::Produce, 3, -2).encoded().as_ref(), [255, 255, 255, 254]);
    }
}

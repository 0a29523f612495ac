//! Records inside an uncompressed payload, and the zigzag varints that they are made of.
//!
//! Reading is checked and borrows: a record that parses is wholly inside of the payload, headers included. As in Kafka,
//! a varint of 32 bits has at most five bytes and one of 64 bits at most ten, and bits beyond are dropped.

/// Why a record cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// The payload or the record ends too early, or a length points outside of the record.
    #[error("a record is cut short")]
    Truncated,
    /// A varint has more bytes than its type allows.
    #[error("a record holds an overlong varint")]
    Varint,
    /// A record, header key or header count has a negative length.
    #[error("a record holds a negative length")]
    Negative,
    /// The record's fields end before the record does.
    #[error("a record is longer than its fields")]
    Slack,
    /// Bytes follow the last record that the batch counts.
    #[error("bytes follow the last record")]
    Trailing,
}

/// One record of a batch; offset and timestamp are relative to the batch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Offset minus the base offset.
    pub offset_delta: i32,
    /// Timestamp minus the base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order, repeated keys included.
    pub headers: Headers<'a>,
    /// Length of the record in bytes, without its length field.
    pub body_bytes: usize,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key: UTF-8 by convention, which nobody checks.
    pub key: &'a [u8],
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
}

/// The headers of one record; iterates without errors, since they were checked with the record.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    rest: &'a [u8],
    count: u32,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        let mut cursor = Cursor { rest: self.rest };
        let header = cursor.header().expect("checked when the record was read");
        self.rest = cursor.rest;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count was seen to be backed by bytes, so it fits.
        let count = usize::try_from(self.count).expect("headers lie in memory");
        (count, Some(count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// Iterator over the records of an uncompressed payload. It ends after the first error; bytes behind the last counted
/// record are an error too.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    remaining: u32,
}

impl<'a> Records<'a> {
    /// Reads `record_count` records from `payload`; a negative count is taken for none.
    pub fn new(payload: &'a [u8], record_count: i32) -> Self {
        Self { cursor: Cursor { rest: payload }, remaining: u32::try_from(record_count).unwrap_or(0) }
    }

    fn end(&mut self) {
        self.remaining = 0;
        self.cursor.rest = &[];
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Some(remaining) = self.remaining.checked_sub(1) else {
            if self.cursor.rest.is_empty() {
                return None;
            }
            self.end();
            return Some(Err(RecordError::Trailing));
        };
        self.remaining = remaining;
        let record = self.cursor.record();
        if record.is_err() {
            self.end();
        }
        Some(record)
    }
}

/// What is left to read.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn varint(&mut self) -> Result<i32, RecordError> {
        // One byte says it all for most lengths and deltas.
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(i32::from(byte >> 1) ^ -i32::from(byte & 1));
        }
        let raw = self.unsigned(5)?;
        let [a, b, c, d, ..] = raw.to_le_bytes();
        let raw = u32::from_le_bytes([a, b, c, d]);
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    #[inline]
    fn varlong(&mut self) -> Result<i64, RecordError> {
        let raw = self.unsigned(10)?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn unsigned(&mut self, bytes_max: usize) -> Result<u64, RecordError> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().take(bytes_max).enumerate() {
            // The tenth byte has one bit of room; what is beyond is dropped.
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < bytes_max { RecordError::Truncated } else { RecordError::Varint })
    }

    #[inline]
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Length and bytes; any negative length is null, as Kafka reads it.
    #[inline]
    fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, RecordError> {
        let length = self.varint()?;
        usize::try_from(length).ok().map(|length| self.take(length)).transpose()
    }

    fn header(&mut self) -> Result<Header<'a>, RecordError> {
        let key = self.nullable_bytes()?.ok_or(RecordError::Negative)?;
        Ok(Header { key, value: self.nullable_bytes()? })
    }

    #[inline]
    fn record(&mut self) -> Result<RecordView<'a>, RecordError> {
        let length = usize::try_from(self.varint()?).map_err(|_| RecordError::Negative)?;
        let mut body = Cursor { rest: self.take(length)? };
        // The attributes of a record: no bit has a meaning yet.
        body.take(1)?;
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key = body.nullable_bytes()?;
        let value = body.nullable_bytes()?;
        let count = u32::try_from(body.varint()?).map_err(|_| RecordError::Negative)?;
        let headers = Headers { rest: body.rest, count };
        // Every header takes at least two bytes, so the loop ends with the record whatever the count says.
        for _ in 0..count {
            body.header()?;
        }
        if !body.rest.is_empty() {
            return Err(RecordError::Slack);
        }
        Ok(RecordView { offset_delta, timestamp_delta, key, value, headers, body_bytes: length })
    }
}

#[cfg(test)]
mod tests;

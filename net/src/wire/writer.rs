//! Appends values to bytes.

use ringlog_storage::types::Uuid;

use super::{STRING_BYTES_MAX, longest_string};

/// Why a message cannot be said in a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("version {0} does not exist")]
    Version(i16),
    #[error("{field} has a value, which version {version} cannot say")]
    Field { field: &'static str, version: i16 },
    #[error("null where null is not allowed")]
    Null,
    #[error("{0} bytes or elements are too many")]
    TooLong(usize),
}

/// Bytes that grow at their end.
#[derive(Clone, Default, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    errors: Vec<ErrorCount>,
}

/// Different error codes of one message that are counted.
const ERRORS_COUNTED_MAX: usize = 64;

/// How often a message tells an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorCount {
    pub code: i16,
    pub count: u32,
}

/// The place where a structure's tagged fields are counted.
#[derive(Debug)]
pub struct TaggedFields {
    count_at: usize,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to `bytes`, which keep their place.
    pub fn append_to(bytes: Vec<u8>) -> Self {
        Self { bytes, errors: Vec::new() }
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Self::append_to(Vec::with_capacity(bytes))
    }

    /// What was written, and the error codes in it: each once, and none where all went well.
    pub fn into_parts(self) -> (Vec<u8>, Vec<ErrorCount>) {
        (self.bytes, self.errors)
    }

    /// An error code of a message, which is counted unless it says that nothing went wrong.
    pub fn error_code(&mut self, code: i16) {
        if code != 0 {
            self.count_error(code);
        }
        self.i16(code);
    }

    #[cold]
    fn count_error(&mut self, code: i16) {
        if let Some(error) = self.errors.iter_mut().find(|error| error.code == code) {
            error.count = error.count.saturating_add(1);
        } else if self.errors.len() < ERRORS_COUNTED_MAX {
            self.errors.push(ErrorCount { code, count: 1 });
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Overwrites four bytes that were written before, such as a length that is known only now.
    pub fn patch_i32(&mut self, position: usize, value: i32) {
        self.bytes[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn bool(&mut self, value: bool) {
        self.i8(i8::from(value));
    }

    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.raw(&value.to_be_bytes());
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.raw(&value.get());
    }

    /// An unsigned number, seven bits a byte, the lowest first.
    pub fn varint(&mut self, mut value: u32) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                // The seventh bit is clear: `low` had at most seven bits, or `value` would not be zero.
                return self.raw(&[low]);
            }
            self.raw(&[low | 0x80]);
        }
    }

    /// The length of an array or of bytes; `None` is null.
    pub(crate) fn array_length(&mut self, length: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        let length = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?,
        };
        if flexible {
            // From -1 up, so that this is never negative and always fits.
            self.varint((i64::from(length) + 1).try_into().expect("between 0 and 2^31"));
        } else {
            self.i32(length);
        }
        Ok(())
    }

    pub fn string(&mut self, value: &str, flexible: bool) -> Result<(), EncodeError> {
        self.opt_string(Some(value), flexible, false)
    }

    pub fn opt_string(&mut self, value: Option<&str>, flexible: bool, nullable: bool) -> Result<(), EncodeError> {
        let length = match allowed(value, nullable)? {
            None => -1,
            Some(text) if text.len() > STRING_BYTES_MAX => return Err(EncodeError::TooLong(text.len())),
            Some(text) => i16::try_from(text.len()).expect("the limit is i16::MAX"),
        };
        if flexible {
            self.varint((i32::from(length) + 1).try_into().expect("between 0 and 2^15"));
        } else {
            self.i16(length);
        }
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// A text that people read, such as that of an error. It tells what clients have sent, so it may be longer than a string
    /// can be, and is cut.
    pub fn opt_message(&mut self, value: Option<&str>, flexible: bool, nullable: bool) -> Result<(), EncodeError> {
        self.opt_string(value.map(longest_string), flexible, nullable)
    }

    pub fn bytes(&mut self, value: &[u8], flexible: bool) -> Result<(), EncodeError> {
        self.opt_bytes(Some(value), flexible, false)
    }

    pub fn opt_bytes(&mut self, value: Option<&[u8]>, flexible: bool, nullable: bool) -> Result<(), EncodeError> {
        self.array_length(allowed(value, nullable)?.map(<[u8]>::len), flexible)?;
        self.raw(value.unwrap_or_default());
        Ok(())
    }

    pub fn array<T>(
        &mut self,
        elements: &[T],
        flexible: bool,
        element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.opt_array(Some(elements), flexible, false, element)
    }

    pub fn opt_array<T>(
        &mut self,
        elements: Option<&[T]>,
        flexible: bool,
        nullable: bool,
        mut element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.array_length(allowed(elements, nullable)?.map(<[T]>::len), flexible)?;
        elements.unwrap_or_default().iter().try_for_each(|each| element(self, each))
    }

    /// A structure behind a byte that says whether there is one.
    pub fn opt_struct_by_byte<T>(
        &mut self,
        value: Option<&T>,
        nullable: bool,
        structure: impl FnOnce(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.i8(if value.is_some() { 1 } else { -1 });
        allowed(value, nullable)?.map_or(Ok(()), |value| structure(self, value))
    }

    /// A structure that may be null, as a tagged field.
    pub fn opt_struct_by_varint<T>(
        &mut self,
        value: Option<&T>,
        nullable: bool,
        structure: impl FnOnce(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.varint(u32::from(value.is_some()));
        allowed(value, nullable)?.map_or(Ok(()), |value| structure(self, value))
    }

    /// Begins the tagged fields of a flexible structure (KIP-482), with none so far.
    pub fn tagged_fields(&mut self) -> TaggedFields {
        let count_at = self.bytes.len();
        self.raw(&[0]);
        TaggedFields { count_at }
    }

    /// Appends a tagged field. Tags come in ascending order. The count has one byte: structures have few tags.
    pub fn tagged(
        &mut self,
        fields: &TaggedFields,
        tag: u32,
        value: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let count = &mut self.bytes[fields.count_at];
        assert!(*count < 0x7f, "a structure has at most 127 tagged fields");
        *count += 1;
        self.varint(tag);
        let start = self.bytes.len();
        value(self)?;
        let end = self.bytes.len();
        // The size comes first but is known last: it is written behind the value, and then turned to its front.
        self.varint(u32::try_from(end - start).map_err(|_| EncodeError::TooLong(end - start))?);
        let size_bytes = self.bytes.len() - end;
        self.bytes[start..].rotate_right(size_bytes);
        Ok(())
    }
}

fn allowed<T>(value: Option<T>, nullable: bool) -> Result<Option<T>, EncodeError> {
    if value.is_none() && !nullable { Err(EncodeError::Null) } else { Ok(value) }
}

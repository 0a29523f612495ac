//! Takes values from bytes. Never panics, and never allocates for a length that the bytes do not bear out.

use ringlog_storage::types::Uuid;

use super::{STRING_BYTES_MAX, VARINT_BYTES_MAX};

/// Memory that any message may decode to, however short it is.
pub const DECODED_BYTES_BASE: usize = 64 * 1024;

/// Memory that a message may decode to for each of its bytes, beyond the base. What clients send decodes to less than 8
/// times its size; arrays of empty strings and the like are what could reach more.
pub const DECODED_BYTES_PER_BYTE: usize = 16;

/// Why bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("{needed} bytes more are needed")]
    Truncated { needed: usize },
    #[error("the length {0} is impossible")]
    Length(i64),
    #[error("null where null is not allowed")]
    Null,
    #[error("a string is not UTF-8")]
    Utf8,
    #[error("an unsigned varint has more than 32 bits")]
    Varint,
    #[error("tagged field {tag} leaves {left} of its bytes unread")]
    TaggedField { tag: u32, left: usize },
    #[error("the message would decode to more memory than its size allows")]
    OverBudget,
    #[error("version {0} does not exist")]
    Version(i16),
    #[error("key {0} does not exist")]
    Key(i64),
    #[error("{0} bytes are left over")]
    Trailing(usize),
}

/// A place in the bytes of one message, and the memory that it may still decode to.
///
/// After an error the reader stands anywhere; nothing can be read from it that makes sense.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    budget_bytes: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let budget_bytes = bytes.len().saturating_mul(DECODED_BYTES_PER_BYTE).saturating_add(DECODED_BYTES_BASE);
        Self { bytes, budget_bytes }
    }

    /// The bytes that are not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Refuses bytes that are left over.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.bytes.len())) }
    }

    /// The next `count` bytes, borrowed.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(self.truncated(count))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(self.truncated(N))?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn truncated(&self, wanted: usize) -> DecodeError {
        DecodeError::Truncated { needed: wanted.saturating_sub(self.bytes.len()) }
    }

    /// Takes memory off the budget, before it is allocated.
    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.budget_bytes = self.budget_bytes.checked_sub(bytes).ok_or(DecodeError::OverBudget)?;
        Ok(())
    }

    /// Any byte but 0 is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.fixed().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_be_bytes)
    }

    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.fixed().map(f64::from_be_bytes)
    }

    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid::new)
    }

    /// An unsigned number, seven bits a byte, the lowest first.
    #[inline]
    pub fn varint(&mut self) -> Result<u32, DecodeError> {
        // Nearly all are lengths and counts of one byte.
        match *self.bytes {
            [byte @ 0..0x80, ref rest @ ..] => {
                self.bytes = rest;
                Ok(u32::from(byte))
            }
            _ => self.longer_varint(),
        }
    }

    fn longer_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for index in 0..VARINT_BYTES_MAX {
            let [byte] = self.fixed()?;
            let bits = u32::from(byte & 0x7f);
            let shifted = bits << (7 * index);
            if shifted >> (7 * index) != bits {
                break;
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// The number of elements that an array has, or `None` for null.
    pub(crate) fn array_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let length = if flexible { i64::from(self.varint()?) - 1 } else { i64::from(self.i32()?) };
        known_length(length)
    }

    fn string_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let length = if flexible { i64::from(self.varint()?) - 1 } else { i64::from(self.i16()?) };
        if length > i64::try_from(STRING_BYTES_MAX).expect("a small constant") {
            return Err(DecodeError::Length(length));
        }
        known_length(length)
    }

    /// A string, borrowed from the message; null only where it is allowed.
    pub fn opt_str(&mut self, flexible: bool, nullable: bool) -> Result<Option<&'a str>, DecodeError> {
        let Some(length) = allowed(self.string_length(flexible)?, nullable)? else {
            return Ok(None);
        };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| DecodeError::Utf8)
    }

    pub fn string(&mut self, flexible: bool) -> Result<String, DecodeError> {
        self.opt_string(flexible, false)?.ok_or(DecodeError::Null)
    }

    pub fn opt_string(&mut self, flexible: bool, nullable: bool) -> Result<Option<String>, DecodeError> {
        let Some(text) = self.opt_str(flexible, nullable)? else {
            return Ok(None);
        };
        self.charge(text.len())?;
        Ok(Some(text.to_owned()))
    }

    /// Bytes with their length before them, borrowed from the message; null only where it is allowed.
    pub fn opt_slice(&mut self, flexible: bool, nullable: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        // Bytes and arrays have the same form of length.
        let Some(length) = allowed(self.array_length(flexible)?, nullable)? else {
            return Ok(None);
        };
        self.take(length).map(Some)
    }

    pub fn bytes(&mut self, flexible: bool) -> Result<Vec<u8>, DecodeError> {
        self.opt_bytes(flexible, false)?.ok_or(DecodeError::Null)
    }

    pub fn opt_bytes(&mut self, flexible: bool, nullable: bool) -> Result<Option<Vec<u8>>, DecodeError> {
        let Some(bytes) = self.opt_slice(flexible, nullable)? else {
            return Ok(None);
        };
        self.charge(bytes.len())?;
        Ok(Some(bytes.to_vec()))
    }

    pub fn array<T>(
        &mut self,
        flexible: bool,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.opt_array(flexible, false, element)?.ok_or(DecodeError::Null)
    }

    /// An array whose elements `element` reads; null only where it is allowed. Every element has a byte at least, so an
    /// array of more elements than bytes is refused before memory is taken for it.
    pub fn opt_array<T>(
        &mut self,
        flexible: bool,
        nullable: bool,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(length) = allowed(self.array_length(flexible)?, nullable)? else {
            return Ok(None);
        };
        if length > self.remaining() {
            return Err(self.truncated(length));
        }
        self.charge(length.saturating_mul(size_of::<T>()))?;
        let mut elements = Vec::with_capacity(length);
        for _ in 0..length {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// A structure with a byte before it that says whether there is one.
    pub fn opt_struct_by_byte<T>(
        &mut self,
        nullable: bool,
        structure: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let present = self.i8()? >= 0;
        if present { structure(self).map(Some) } else { allowed(None, nullable) }
    }

    /// A structure that may be null, as a tagged field: 1 stands before one that is there, and 0 alone for null.
    pub fn opt_struct_by_varint<T>(
        &mut self,
        nullable: bool,
        structure: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let present = self.varint()? > 0;
        if present { structure(self).map(Some) } else { allowed(None, nullable) }
    }

    /// The tagged fields at the end of a flexible structure (KIP-482). `known` reads the value of a tag that it knows
    /// and returns true, or returns false; then the field is skipped.
    #[inline]
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()?;
            let size = usize::try_from(size).map_err(|_| DecodeError::Length(i64::from(size)))?;
            let mut value = Self { bytes: self.take(size)?, budget_bytes: self.budget_bytes };
            if known(tag, &mut value)? && value.remaining() > 0 {
                return Err(DecodeError::TaggedField { tag, left: value.remaining() });
            }
            self.budget_bytes = value.budget_bytes;
        }
        Ok(())
    }
}

fn known_length(length: i64) -> Result<Option<usize>, DecodeError> {
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length).map(Some).map_err(|_| DecodeError::Length(length)),
    }
}

fn allowed<T>(value: Option<T>, nullable: bool) -> Result<Option<T>, DecodeError> {
    if value.is_none() && !nullable { Err(DecodeError::Null) } else { Ok(value) }
}

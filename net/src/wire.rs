//! Kafka's encoding of plain values: [`Reader`] takes them from bytes that nobody vouches for, [`Writer`] appends them.
//!
//! `flexible` chooses between the two forms of a length (KIP-482): a fixed-size integer with -1 for null, or an unsigned
//! varint of the length plus one with 0 for null.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{DECODED_BYTES_BASE, DECODED_BYTES_PER_BYTE, DecodeError, Reader};
pub use writer::{EncodeError, ErrorCount, TaggedFields, Writer};

/// The longest string either way, in bytes: Kafka refuses more even where the encoding could hold it.
pub const STRING_BYTES_MAX: usize = 0x7fff;

/// As much of a text as a string can hold.
pub fn longest_string(text: &str) -> &str {
    &text[..text.floor_char_boundary(STRING_BYTES_MAX)]
}

/// The longest unsigned varint of 32 bits.
pub const VARINT_BYTES_MAX: usize = 5;

//! Kafka's messages: one module per API key with its request and its response, made from `schema/` when the crate is
//! built; the headers; what records carry; the records of the metadata log.
//!
//! A field has the name that it has in the protocol, in snake case. A structure that request and response of one key
//! define differently has `Request` or `Response` before its name. `decode` fills fields that the version does not have
//! with their defaults and skips tagged fields that it does not know; `encode` refuses a field that has a value which the
//! version cannot say, unless the schema calls the field ignorable.

use std::fmt;
use std::ops::RangeInclusive;

use crate::wire::{DecodeError, EncodeError, Reader, Writer};

mod frame;

/// What every message can do. The structures have the same functions of their own.
pub trait Message: fmt::Debug {
    fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>
    where
        Self: Sized;

    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// Ties a request to its key and to the response that answers it.
pub trait Request: Message + Sized {
    const KEY: ApiKey;
    type Response: Message;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Request,
    Response,
}

/// Decodes the body of any message, and refuses bytes behind it. For tests and fuzzing: who serves a message names it.
pub fn decode_any(
    key: ApiKey,
    version: i16,
    direction: Direction,
    bytes: &[u8],
) -> Result<Box<dyn Message>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = decode_boxed(key, version, direction, &mut reader)?;
    reader.finish()?;
    Ok(message)
}

/// The body of a response, given without it, that says how long the client is throttled; `None` where the version has no
/// place for that.
pub fn with_throttle_time(
    key: ApiKey,
    version: i16,
    body: &[u8],
    throttle_time_ms: i32,
) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut reader = Reader::new(body);
    let told = throttled(key, version, &mut reader, throttle_time_ms)?.map(Writer::into_bytes);
    if told.is_some() {
        reader.finish()?;
    }
    Ok(told)
}

/// What the schema says about a key as a whole.
struct ApiFacts {
    name: &'static str,
    versions: (i16, i16),
    /// How many of the newest versions may still change.
    unstable_versions: i16,
    flexible_from: Option<i16>,
    on_broker: bool,
    on_controller: bool,
}

impl ApiKey {
    pub fn from_i16(code: i16) -> Option<Self> {
        Self::ALL.binary_search_by_key(&code, |key| key.code()).ok().map(|index| Self::ALL[index])
    }

    /// The number on the wire.
    pub const fn code(self) -> i16 {
        // The numbers run from 0 to 94.
        (self as u16).cast_signed()
    }

    /// The name that the protocol gives it.
    pub const fn name(self) -> &'static str {
        facts(self).name
    }

    /// The versions that may be spoken. (Of Produce, a broker advertises older ones too, and refuses them: KAFKA-18659.)
    pub fn valid_versions(self) -> RangeInclusive<i16> {
        let facts = facts(self);
        facts.versions.0..=facts.versions.1 - facts.unstable_versions
    }

    /// The versions that can be decoded: the valid ones, and one that is not stable yet.
    pub fn known_versions(self) -> RangeInclusive<i16> {
        let (min, max) = facts(self).versions;
        min..=max
    }

    /// The versions with compact lengths and tagged fields (KIP-482), empty where there are none.
    pub fn flexible_versions(self) -> RangeInclusive<i16> {
        let facts = facts(self);
        match facts.flexible_from {
            Some(first) => first..=facts.versions.1,
            None => RangeInclusive::new(1, 0),
        }
    }

    pub fn is_flexible(self, version: i16) -> bool {
        self.flexible_versions().contains(&version)
    }

    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The answer to `ApiVersions` has the oldest header always: its client does not know yet what the broker speaks.
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self.is_flexible(version) && self != Self::ApiVersions)
    }

    /// Whether brokers serve it to clients and other brokers.
    pub const fn is_on_broker(self) -> bool {
        facts(self).on_broker
    }

    /// Whether controllers serve it.
    pub const fn is_on_controller(self) -> bool {
        facts(self).on_controller
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the modules of messages use.
mod wire {
    pub(super) use ringlog_storage::types::Uuid;

    pub(super) use super::{ApiKey, Message, Request};
    pub(super) use crate::wire::{DecodeError, EncodeError, Reader, Writer};
}

macro_rules! message {
    ($name:ident) => {
        impl Message for $name {
            fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
                Self::decode(r, version)
            }

            fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
                self.encode(w, version)
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));

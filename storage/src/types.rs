//! The words that every layer shares: ids, offsets, epochs, times. A newtype each, so that none is taken for another.
//!
//! All but [`Uuid`] and [`TopicPartition`] are `Copy` wrappers of the integer that the protocol or a file carries, with
//! `new` and `get`. They hold whatever the integer can hold: sentinels such as `-1` have names, and whether a value is
//! acceptable is decided where it is parsed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the bare number.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The bare number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Position of a record in its partition; the first record ever has 0. A log end offset is the offset that the next
    /// record will get. Negative values are sentinels of the protocol and never positions.
    Offset(i64)
}

impl Offset {
    /// The position of a partition's first record.
    pub const ZERO: Self = Self(0);
    /// "No offset", as the protocol says it.
    pub const UNKNOWN: Self = Self(-1);
    /// The last representable position.
    pub const MAX: Self = Self(i64::MAX);

    /// The offset right behind this one. Panics at `i64::MAX`, which no log can reach.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a log cannot hold 2^63 records"))
    }

    /// This offset moved by `delta` records, or `None` where 64 bits do not suffice.
    pub const fn checked_add(self, delta: i64) -> Option<Self> {
        match self.0.checked_add(delta) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// How many offsets lie between `earlier` and this one; saturating, negative when `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

number! {
    /// Counts the leaders of a partition, from 0 (KIP-101). Stored in every batch.
    LeaderEpoch(i32)
}

impl LeaderEpoch {
    /// No epoch is known: requests of old versions, batches not appended yet.
    pub const UNKNOWN: Self = Self(-1);
    /// The epoch of a new partition's first leader.
    pub const FIRST: Self = Self(0);
}

number! {
    /// Id that `InitProducerId` hands to an idempotent producer (KIP-98), from 0.
    ProducerId(i64)
}

impl ProducerId {
    /// The batch has no producer id: its producer is not idempotent.
    pub const NONE: Self = Self(-1);
}

number! {
    /// Generation of a producer id; a larger one fences the smaller ones (KIP-98).
    ProducerEpoch(i16)
}

impl ProducerEpoch {
    /// The batch has no producer epoch.
    pub const NONE: Self = Self(-1);
}

number! {
    /// Sequence number of a record within its producer id and partition (KIP-98): 0 to `i32::MAX`, and then 0 again.
    Sequence(i32)
}

impl Sequence {
    /// The batch has no sequence.
    pub const NONE: Self = Self(-1);

    /// The sequence `count` records further on; wraps from `i32::MAX` to 0. Neither may be negative.
    #[must_use]
    pub const fn advance(self, count: i32) -> Self {
        assert!(self.0 >= 0 && count >= 0, "only real sequences are counted on");
        match self.0.checked_add(count) {
            Some(sum) => Self(sum),
            // The cycle is 2^31 long: MAX + 1 is 0.
            None => Self(count - (i32::MAX - self.0) - 1),
        }
    }

    /// The one before. 0 has none: it is the first of all, but for a producer that has gone all the way round.
    pub const fn before(self) -> Option<Self> {
        if self.0 > 0 { Some(Self(self.0 - 1)) } else { None }
    }
}

number! {
    /// Wall-clock time in milliseconds since 1970-01-01 UTC: timestamps of records, and what retention compares with.
    Millis(i64)
}

impl Millis {
    /// "No timestamp", as the protocol says it.
    pub const NONE: Self = Self(-1);

    /// Milliseconds from `earlier` to this time; saturating, negative when `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time moved by `delta_ms` milliseconds, saturating.
    #[must_use]
    pub const fn saturating_add(self, delta_ms: i64) -> Self {
        Self(self.0.saturating_add(delta_ms))
    }
}

number! {
    /// Monotonic time in nanoseconds since an origin that only its giver knows: deadlines and durations.
    Nanos(u64)
}

impl Nanos {
    /// This time moved by `duration`, saturating (2^64 ns are 584 years).
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this one; zero when `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

number! {
    /// Number of a partition within its topic, from 0.
    PartitionIndex(i32)
}

number! {
    /// Number of a broker (`node.id`), from 0.
    BrokerId(i32)
}

impl BrokerId {
    /// No broker: a partition without a leader, a client's replica id.
    pub const NONE: Self = Self(-1);
}

number! {
    /// Number of a shard within one process, from 0; never stored on disk outside the journal's folder name.
    ShardId(u16)
}

impl ShardId {
    /// The shard as an index into a table of all shards.
    pub const fn index(self) -> usize {
        // A widening conversion; `usize::from` is not const.
        self.0 as usize
    }
}

/// One partition, named.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// Name of the topic; 1 to 249 bytes of `[a-zA-Z0-9._-]` once it has been accepted.
    pub topic: Arc<str>,
    /// Which of its partitions.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: PartitionIndex) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A 128-bit id of a topic, a directory or a cluster, in the byte order of the wire (KIP-516). Its text form is Kafka's:
/// base64 with the alphabet of URLs, without padding, 22 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Uuid([u8; 16]);

/// The 64 digits of base64url, RFC 4648 section 5.
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// "No id".
    pub const ZERO: Self = Self([0; 16]);
    /// Reserved: the id of the topic `__cluster_metadata`; as a directory's id, a lost directory.
    pub const METADATA_TOPIC: Self = Self::from_u128(1);
    /// Characters of the text form.
    pub const TEXT_BYTES: usize = 22;
    /// Ids below this number are reserved (KIP-858) and never given to anything that is created.
    const RESERVED_COUNT: u128 = 100;

    /// The id of these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, as on the wire.
    pub const fn get(self) -> [u8; 16] {
        self.0
    }

    /// The id whose bytes, read as a big-endian number, are `value`.
    pub const fn from_u128(value: u128) -> Self {
        Self(value.to_be_bytes())
    }

    /// The bytes as a big-endian number.
    pub const fn as_u128(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// An id made from random bits, or `None` where they spell an id that must not be given out: a reserved one, or one
    /// whose text begins with a dash, which command lines take for an option.
    pub fn from_random(bits: u128) -> Option<Self> {
        let id = Self::from_u128(bits);
        (!id.is_reserved() && id.text()[0] != b'-').then_some(id)
    }

    /// Whether the id is one of those that are never given to anything that is created.
    pub const fn is_reserved(self) -> bool {
        self.as_u128() < Self::RESERVED_COUNT
    }

    fn text(self) -> [u8; Self::TEXT_BYTES] {
        // 128 bits are 21 digits of 6 bits and a last digit of 2 bits, filled up with zeros.
        let bits = self.as_u128();
        std::array::from_fn(|position| {
            let digit = if position == Self::TEXT_BYTES - 1 { bits << 4 } else { bits >> (122 - 6 * position) };
            BASE64_URL[usize::from(digit.to_le_bytes()[0] & 0x3f)]
        })
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).expect("base64 digits are ASCII"))
    }
}

/// The text is not the base64url form of 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an id: wants 22 characters of base64url")]
pub struct UuidParseError;

impl FromStr for Uuid {
    type Err = UuidParseError;

    /// Reads 22 digits, with or without the two padding characters that Kafka also accepts.
    fn from_str(text: &str) -> Result<Self, UuidParseError> {
        let digits = text.strip_suffix("==").unwrap_or(text).as_bytes();
        let (last, head) = digits.split_last().ok_or(UuidParseError)?;
        if head.len() != Self::TEXT_BYTES - 1 {
            return Err(UuidParseError);
        }
        let value = |digit: &u8| BASE64_URL.iter().position(|known| known == digit).ok_or(UuidParseError);
        let mut bits = 0_u128;
        for digit in head {
            bits = bits << 6 | value(digit)? as u128;
        }
        // Like Java's decoder, the four unused bits of the last digit are ignored.
        Ok(Self::from_u128(bits << 2 | (value(last)? >> 4) as u128))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_what_kafka_prints() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        // Printed by `new Uuid(0x0123456789abcdefL, 0xfedcba9876543210L)` of kafka-clients 4.4.0.
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(id.to_string(), "ASNFZ4mrze_-3LqYdlQyEA");
        assert_eq!("ASNFZ4mrze_-3LqYdlQyEA".parse(), Ok(id));
        assert_eq!("ASNFZ4mrze_-3LqYdlQyEA==".parse(), Ok(id));
    }

    #[test]
    fn uuid_round_trips() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834_u128;
        for _ in 0..1000 {
            bits = bits.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
            let id = Uuid::from_u128(bits);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn uuid_refuses_other_texts() {
        for text in ["", "=", "==", "A", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA+A"] {
            assert_eq!(text.parse::<Uuid>(), Err(UuidParseError), "{text:?}");
        }
    }

    #[test]
    fn created_ids_are_neither_reserved_nor_options() {
        assert_eq!(Uuid::from_random(99), None);
        assert!(Uuid::from_random(100).is_some());
        // 0b111110 is the digit '-'.
        assert_eq!(Uuid::from_random(0b11_1110 << 122), None);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(Sequence::new(5).advance(3), Sequence::new(8));
        assert_eq!(Sequence::new(i32::MAX).advance(0), Sequence::new(i32::MAX));
        assert_eq!(Sequence::new(i32::MAX).advance(1), Sequence::new(0));
        assert_eq!(Sequence::new(i32::MAX - 2).advance(5), Sequence::new(2));
        assert_eq!(Sequence::new(i32::MAX).advance(i32::MAX), Sequence::new(i32::MAX - 1));
    }

    #[test]
    fn offsets_and_times_saturate_or_say_none() {
        assert_eq!(Offset::ZERO.next(), Offset::new(1));
        assert_eq!(Offset::MAX.checked_add(1), None);
        assert_eq!(Offset::new(7).since(Offset::new(9)), -2);
        assert_eq!(Nanos::new(5).since(Nanos::new(9)), Duration::ZERO);
        assert_eq!(Nanos::new(5).saturating_add(Duration::MAX), Nanos::new(u64::MAX));
    }
}

//! Which partition a record goes to: by its key as the Java client does it, so that both agree where a key lives.

use ringlog_storage::types::PartitionIndex;

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const ROTATION: u32 = 24;

/// Murmur2 of 32 bits, with the seed and the order of bytes that Kafka's clients use.
pub fn murmur2(bytes: &[u8]) -> u32 {
    let length = u32::try_from(bytes.len() & 0xffff_ffff).expect("masked to 32 bits");
    let mut hash = SEED ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> ROTATION;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        for (position, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * position);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of a key in a topic of `partition_count` partitions.
pub fn partition_of_key(key: &[u8], partition_count: u32) -> PartitionIndex {
    assert!(partition_count > 0, "a topic has partitions");
    let index = (murmur2(key) & 0x7fff_ffff) % partition_count;
    PartitionIndex::new(i32::try_from(index).expect("31 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by `Utils.murmur2` of kafka-clients 4.4.0.
    #[test]
    fn hashes_are_those_of_the_java_client() {
        let check = |key: &str, hash: i32, of_twelve: i32| {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
            assert_eq!(partition_of_key(key.as_bytes(), 12), PartitionIndex::new(of_twelve), "{key}");
        };
        check("", 275_646_681, 9);
        check("a", -1_563_381_124, 4);
        check("ab", 316_155_434, 2);
        check("abc", 479_470_107, 3);
        check("abcd", -1_323_649_548, 8);
        check("abcde", 461_995_741, 1);
        check("21", -973_932_308, 0);
        check("foobar", -790_332_482, 6);
        check("a-little-bit-long-string", -985_981_536, 8);
        check("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971, 5);
        check("schön", 1_827_820_449, 9);
    }
}

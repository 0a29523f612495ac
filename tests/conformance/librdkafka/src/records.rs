//! What is sent, and the comparison with what is read.

use std::collections::BTreeMap;

use crate::clients::PARTITIONS;

/// A record as a producer means it and a consumer finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp_ms: i64,
}

/// SplitMix64, so that the records of a seed are always the same.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Records with everything that one can have: no key, no value, both empty, headers, a time of its own.
pub fn records(count: i32, seed: u64) -> Vec<Record> {
    let mut random = Random(seed);
    (0..count)
        .map(|i| {
            let length = usize::try_from(random.next() % 1500).expect("below 1500");
            Record {
                partition: i % PARTITIONS,
                key: match i {
                    _ if i % 7 == 0 => None,
                    _ if i % 11 == 0 => Some(Vec::new()),
                    _ => Some(format!("key {i}").into_bytes()),
                },
                value: match i {
                    _ if i % 13 == 0 => None,
                    _ if i % 17 == 0 => Some(Vec::new()),
                    _ if i % 2 == 0 => Some(random.bytes(length)),
                    _ => Some(vec![b'v'; length]),
                },
                headers: (0..i % 4)
                    .map(|h| (format!("name {}", h / 2), (h != 2).then(|| format!("ü{i}").into_bytes())))
                    .collect(),
                timestamp_ms: 1_700_000_000_000 + i64::from(i) * 7919 % 900_000,
            }
        })
        .collect()
}

/// Holds what was read, by partition and offset, against what was sent.
pub fn compare(sent: &[Record], read: &[(i64, Record)]) -> Result<(), String> {
    let mut expected: BTreeMap<i32, Vec<&Record>> = BTreeMap::new();
    for record in sent {
        expected.entry(record.partition).or_default().push(record);
    }
    let mut next: BTreeMap<i32, usize> = BTreeMap::new();
    for (offset, found) in read {
        let at = next.entry(found.partition).or_default();
        let place = format!("partition {}, offset {offset}", found.partition);
        if usize::try_from(*offset) != Ok(*at) {
            return Err(format!("{place}: offset {at} is due"));
        }
        let wanted = expected.get(&found.partition).and_then(|all| all.get(*at));
        if wanted != Some(&found) {
            return Err(format!("{place}: the record differs: key {:?}, headers {:?}", found.key, found.headers));
        }
        *at += 1;
    }
    if read.len() == sent.len() { Ok(()) } else { Err(format!("{} records, {} were sent", read.len(), sent.len())) }
}

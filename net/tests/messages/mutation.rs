//! Damaged messages: a decoder may refuse them in any way but a panic.

use crate::sample::{Random, sample};
use crate::schema::{all_messages, recoded};

const SEED: u64 = 0x5ca1_ab1e;

/// Damaged copies of each sample.
const DAMAGES: usize = 24;

#[test]
fn random_messages_survive_recoding_and_damage() {
    let mut random = Random::new(SEED);
    let (mut whole, mut refused, mut accepted) = (0, 0, 0);
    for message in all_messages() {
        for version in message.valid.min..=message.valid.max {
            let sample = sample(&message, version, &mut random);
            let name = &message.body().name;
            let result = recoded(&message, version, &sample.bytes);
            let (bytes, _) = result.unwrap_or_else(|error| panic!("{name} {version}: {error}"));
            assert_eq!(bytes, sample.bytes, "{name} {version}, seed {SEED:#x}");
            whole += 1;
            for _ in 0..DAMAGES {
                match recoded(&message, version, &damaged(&sample.bytes, &mut random)) {
                    Ok(_) => accepted += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 0 && accepted > 0);
    println!("{whole} messages recoded; of damaged ones {refused} were refused, {accepted} made sense");
}

/// The bytes with a few changes of the kinds that hurt decoders most.
pub(crate) fn damaged(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(2) {
        let at = random.below(bytes.len() + 1);
        match random.below(9) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next().to_be_bytes()[0]),
            2 => bytes.splice(at..at, [0xff; 4]).for_each(drop),
            3 => bytes.splice(at..at, [0x7f, 0xff, 0xff, 0xff]).for_each(drop),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

//! However a message is damaged, decoding takes no more memory than its size allows. Alone in its program, because the
//! memory of the whole program is measured.
#![forbid(unsafe_code)]

use peak_alloc::PeakAlloc;
use ringlog_net::messages::{ApiKey, Direction, decode_any};
use ringlog_net::wire::{DECODED_BYTES_BASE, DECODED_BYTES_PER_BYTE};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of random content per message.
const LENGTHS: [usize; 4] = [8, 64, 1024, 64 * 1024];

/// Room for the outermost structure, which no length in the bytes decides about.
const OUTERMOST_BYTES_MAX: usize = 1024;

#[test]
fn decoding_stays_within_its_budget() {
    let mut seed = 0x600d_f00d_u64;
    let (mut decodes, mut most) = (0, 0.0_f64);
    for key in ApiKey::ALL {
        for version in key.known_versions() {
            for direction in [Direction::Request, Direction::Response] {
                for length in LENGTHS {
                    // Small bytes look like lengths and counts, so that decoding goes deep.
                    let bytes: Vec<u8> =
                        (0..length).map(|_| [0, 0, 0, 1, 2, 4, 0x7f, 0xff][below_8(&mut seed)]).collect();
                    let limit = DECODED_BYTES_BASE + DECODED_BYTES_PER_BYTE * length + OUTERMOST_BYTES_MAX;
                    let before = MEMORY.current_usage();
                    MEMORY.reset_peak_usage();
                    let result = decode_any(key, version, direction, &bytes);
                    let taken = MEMORY.peak_usage() - before;
                    drop(result);
                    assert!(taken <= limit, "{key} {version} {direction:?} took {taken} for {length} bytes");
                    most = most.max(
                        f64::from(u32::try_from(taken).expect("under a limit"))
                            / f64::from(u32::try_from(limit).expect("small")),
                    );
                    decodes += 1;
                }
            }
        }
    }
    println!("{decodes} decodes; the largest took {:.0}% of its budget", most * 100.0);
}

/// The generator xorshift64.
fn below_8(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 61).expect("three bits")
}

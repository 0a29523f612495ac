//! Copies that leave the processor's caches alone.

/// Copies `from` to the front of `to`, which must be as long, without bringing the destination into the caches: a third of
/// the memory traffic is saved, and what is in the caches stays there.
#[cfg(target_arch = "x86_64")]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    /// What leaves the core at once.
    const LINE_BYTES: usize = 64;
    const PART_BYTES: usize = size_of::<__m128i>();

    let (to_head, to) = to.split_at_mut(to.as_ptr().align_offset(LINE_BYTES).min(to.len()));
    let (from_head, from) = from.split_at(to_head.len());
    to_head.copy_from_slice(from_head);
    let lines = to.len() / LINE_BYTES * LINE_BYTES;
    let (to, to_rest) = to.split_at_mut(lines);
    let (from, from_rest) = from.split_at(lines);
    for (to, from) in to.chunks_exact_mut(LINE_BYTES).zip(from.chunks_exact(LINE_BYTES)) {
        for at in (0..LINE_BYTES).step_by(PART_BYTES) {
            // SAFETY: both have `LINE_BYTES` bytes from their starts on, and `to` is aligned to as many. SSE2 is part of every
            // x86_64.
            unsafe { _mm_stream_si128(to.as_mut_ptr().add(at).cast(), _mm_loadu_si128(from.as_ptr().add(at).cast())) }
        }
    }
    to_rest.copy_from_slice(from_rest);
    // Such stores are not ordered with those by which other threads, or the kernel, learn of them.
    // SAFETY: SSE is part of every x86_64.
    unsafe { _mm_sfence() }
}

/// Copies `from` to `to`, which must be as long.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    to.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_arrives_wherever_it_begins_and_ends() {
        let from: Vec<u8> = (0..=u8::MAX).cycle().take(700).collect();
        for start in [0, 1, 15, 16, 63, 64, 65, 100] {
            for len in [0, 1, 15, 63, 64, 65, 127, 128, 200, 500] {
                for behind in [0, 3] {
                    let mut to = [7; 700];
                    super::copy(&mut to[start..start + len], &from[behind..behind + len]);
                    assert_eq!(to[start..start + len], from[behind..behind + len]);
                    assert!(to[..start].iter().chain(&to[start + len..]).all(|byte| *byte == 7), "{start} {len}");
                }
            }
        }
    }
}

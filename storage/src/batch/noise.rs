//! Seeded bytes for tests: contents, and damage to encoded contents.

/// A `SplitMix64` sequence.
pub(super) struct Noise {
    state: u64,
}

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("64 bits hold any size");
        usize::try_from(self.next() % end).expect("below a size")
    }

    /// A copy with a few bits flipped, bytes overwritten with extremes, a piece cut out, doubled or cut off.
    pub(super) fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                break;
            }
            // Half of the damage goes where the structure is.
            let reach = if self.byte().is_multiple_of(2) { bytes.len().min(128) } else { bytes.len() };
            let at = self.below(reach);
            let end = (at + 1 + self.below(16)).min(bytes.len());
            match self.byte() % 6 {
                0 | 1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[at..end].fill(0xff),
                3 => drop(bytes.drain(at..end)),
                4 => bytes.extend_from_within(at..end),
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

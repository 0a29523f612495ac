//! Turns the bytes of an input into choices. An input that is used up answers zeros, and says so.

/// The bytes that are left.
#[derive(Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// Whether the input is used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Up to `count` bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// An index below `count`, and 0 if that is 0.
    pub fn index(&mut self, count: usize) -> usize {
        if count <= 256 { usize::from(self.byte()) % count.max(1) } else { usize::from(self.u16()) % count }
    }
}

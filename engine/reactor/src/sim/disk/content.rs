//! The bytes of one simulated file: what a reader sees, what a power cut leaves, and the changes in between.

use crate::sim::random::Random;

/// The unit that a disk writes whole or not at all, in bytes.
pub(super) const SECTOR_BYTES: u64 = 512;
/// The unit of storage here, in bytes.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Unsynced changes of one file. Above it the oldest half reaches the disk by itself, as a kernel's writeback does.
const CHANGES_MAX: usize = 4096;

type Page = [u8; 4096];

/// Sparse bytes: a page that was never written, or only with zeros, takes no memory.
#[derive(Debug, Default)]
struct Pages {
    pages: Vec<Option<Box<Page>>>,
}

impl Pages {
    fn read(&self, offset: u64, out: &mut [u8]) {
        for (index, within, done, len) in pieces(offset, out.len(), PAGE_BYTES) {
            let out = &mut out[done..done + len];
            match self.pages.get(index) {
                Some(Some(page)) => out.copy_from_slice(&page[within..within + len]),
                _ => out.fill(0),
            }
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (index, within, done, len) in pieces(offset, bytes.len(), PAGE_BYTES) {
            let bytes = &bytes[done..done + len];
            if self.pages.get(index).is_none_or(Option::is_none) && bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            if index >= self.pages.len() {
                self.pages.resize_with(index + 1, || None);
            }
            let page = self.pages[index].get_or_insert_with(|| Box::new([0; 4096]));
            page[within..within + len].copy_from_slice(bytes);
        }
    }

    /// Forgets everything from `len` on: a file that grows again shows zeros there.
    fn truncate(&mut self, len: u64) {
        let whole = to_usize(len / PAGE_BYTES);
        let within = to_usize(len % PAGE_BYTES);
        if let Some(Some(page)) = self.pages.get_mut(whole) {
            page[within..].fill(0);
        }
        self.pages.truncate(whole + usize::from(within > 0));
    }
}

/// What a power cut may still undo.
#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Box<[u8]> },
    SetLen(u64),
}

/// How many changes there were at some moment: a sync covers those before its submission, and no later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(in crate::sim) struct Mark(pub(super) u64);

/// Which of the unsynced changes of one file a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survival {
    Nothing,
    Everything,
    /// Each change whole or not at all.
    WholeChanges,
    /// Each sector of each change by itself.
    Sectors,
}

impl Survival {
    pub(super) fn draw(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Everything,
            1 | 2 => Self::Nothing,
            3 | 4 => Self::WholeChanges,
            _ => Self::Sectors,
        }
    }
}

/// A file's bytes.
#[derive(Debug, Default)]
pub(super) struct Content {
    current: Pages,
    len: u64,
    durable: Pages,
    durable_len: u64,
    /// With the number of each, in their order.
    changes: Vec<(Mark, Change)>,
    next: Mark,
    /// One bit per page that takes space on the device.
    allocated: Vec<u64>,
    allocated_pages: u64,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that the file takes on the device.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.allocated_pages * PAGE_BYTES
    }

    /// Whether a power cut could still take something away.
    pub(super) fn has_unsynced(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Reads what a process sees. Answers how many bytes lie before the end of the file.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let there = self.len.saturating_sub(offset).min(to_u64(out.len()));
        let there = to_usize(there);
        self.current.read(offset, &mut out[..there]);
        there
    }

    /// Bytes of new space that a write or an allocation of this range would take.
    pub(super) fn space_needed(&self, offset: u64, len: u64) -> u64 {
        let pages = offset / PAGE_BYTES..(offset + len).div_ceil(PAGE_BYTES);
        to_u64(pages.filter(|page| !self.is_allocated(*page)).count()) * PAGE_BYTES
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.current.write(offset, bytes);
        self.len = self.len.max(offset + to_u64(bytes.len()));
        self.take_space(offset, to_u64(bytes.len()));
        self.push(Change::Write { offset, bytes: bytes.into() });
    }

    /// A write that the device confirms as durable. Only its own range becomes durable, and the length it needs.
    pub(super) fn write_durable(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.commit_lengths();
        let end = offset + to_u64(bytes.len());
        self.forget_writes(offset, end);
        self.current.write(offset, bytes);
        self.durable.write(offset, bytes);
        self.len = self.len.max(end);
        self.durable_len = self.durable_len.max(end);
        self.take_space(offset, to_u64(bytes.len()));
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.current.truncate(len);
            self.free_space_from(len);
        }
        self.len = len;
        self.push(Change::SetLen(len));
    }

    /// Takes space for a range, and grows the file to its end.
    pub(super) fn allocate(&mut self, offset: u64, len: u64) {
        self.take_space(offset, len);
        if offset + len > self.len {
            self.len = offset + len;
            self.push(Change::SetLen(self.len));
        }
    }

    /// What a sync that is submitted now would cover.
    pub(super) fn mark(&self) -> Mark {
        self.next
    }

    /// Everything before the mark becomes durable.
    pub(super) fn sync(&mut self, before: Mark) {
        let changes = self.changes.partition_point(|(mark, _)| *mark < before);
        self.write_back(changes);
    }

    /// The device may have dropped what it held, and a later sync does not bring that back. Files are written and read past
    /// the page cache, so readers see what is left.
    pub(super) fn flush_failed(&mut self, random: &mut Random) {
        self.changes.retain(|(_, change)| matches!(change, Change::SetLen(_)) || random.chance(500));
        self.current = Pages { pages: self.durable.pages.clone() };
        for (_, change) in &self.changes {
            match change {
                Change::Write { offset, bytes } => self.current.write(*offset, bytes),
                Change::SetLen(len) => self.current.truncate(*len),
            }
        }
    }

    /// The power goes: what is left is the durable state plus whatever part of the changes `survival` lets through.
    pub(super) fn power_cut(&mut self, survival: Survival, random: &mut Random) {
        for (_, change) in std::mem::take(&mut self.changes) {
            match (change, survival) {
                (_, Survival::Nothing) => {}
                (Change::SetLen(len), _) => {
                    if survival == Survival::Everything || random.chance(500) {
                        self.durable_set_len(len);
                    }
                }
                (Change::Write { offset, bytes }, Survival::Everything) => self.durable_write(offset, &bytes),
                (Change::Write { offset, bytes }, Survival::WholeChanges) => {
                    if random.chance(500) {
                        self.durable_write(offset, &bytes);
                    }
                }
                (Change::Write { offset, bytes }, Survival::Sectors) => self.tear(offset, &bytes, random),
            }
        }
        self.len = self.durable_len;
        self.current = Pages { pages: self.durable.pages.clone() };
        self.free_space_from(self.len);
    }

    /// Flips one bit of what is stored, on the disk and in the cache. Answers whether the file is that long.
    pub(super) fn rot(&mut self, offset: u64, bit: u8) -> bool {
        if offset >= self.len {
            return false;
        }
        for pages in [&mut self.current, &mut self.durable] {
            let mut byte = [0];
            pages.read(offset, &mut byte);
            byte[0] ^= 1 << (bit % 8);
            pages.write(offset, &byte);
        }
        true
    }

    fn tear(&mut self, offset: u64, bytes: &[u8], random: &mut Random) {
        for (_, _, done, len) in pieces(offset, bytes.len(), SECTOR_BYTES) {
            if random.chance(500) {
                self.durable_write(offset + to_u64(done), &bytes[done..done + len]);
            }
        }
        // A file system may have committed the new length without the bytes that belong there.
        if random.chance(250) {
            self.durable_len = self.durable_len.max(offset + to_u64(bytes.len()));
        }
    }

    fn push(&mut self, change: Change) {
        if self.changes.len() == CHANGES_MAX {
            self.write_back(CHANGES_MAX / 2);
        }
        self.changes.push((self.next, change));
        self.next.0 += 1;
    }

    fn write_back(&mut self, count: usize) {
        let rest = self.changes.split_off(count);
        for (_, change) in std::mem::replace(&mut self.changes, rest) {
            match change {
                Change::Write { offset, bytes } => self.durable_write(offset, &bytes),
                Change::SetLen(len) => self.durable_set_len(len),
            }
        }
    }

    fn durable_write(&mut self, offset: u64, bytes: &[u8]) {
        self.durable.write(offset, bytes);
        self.durable_len = self.durable_len.max(offset + to_u64(bytes.len()));
    }

    fn durable_set_len(&mut self, len: u64) {
        if len < self.durable_len {
            self.durable.truncate(len);
        }
        self.durable_len = len;
    }

    /// A durable write carries the changes of length before it, in their order; data written before a cut to a shorter
    /// length is gone with it.
    fn commit_lengths(&mut self) {
        while let Some(index) = self.changes.iter().position(|(_, change)| matches!(change, Change::SetLen(_))) {
            let (_, Change::SetLen(len)) = self.changes.remove(index) else { unreachable!("just found as one") };
            self.durable_set_len(len);
            let later = self.changes.split_off(index);
            self.forget_writes(len, u64::MAX);
            self.changes.extend(later);
        }
    }

    /// Cuts the range `from..to` out of all unsynced writes.
    fn forget_writes(&mut self, from: u64, to: u64) {
        let overlaps = |(_, change): &(Mark, Change)| match change {
            Change::Write { offset, bytes } => *offset < to && offset + to_u64(bytes.len()) > from,
            Change::SetLen(_) => false,
        };
        if !self.changes.iter().any(overlaps) {
            return;
        }
        for (mark, change) in std::mem::take(&mut self.changes) {
            match change {
                Change::Write { offset, bytes } => {
                    let end = offset + to_u64(bytes.len());
                    if offset < from {
                        let keep = to_usize(from.min(end) - offset);
                        self.changes.push((mark, Change::Write { offset, bytes: bytes[..keep].into() }));
                    }
                    if end > to {
                        let start = offset.max(to);
                        let bytes = bytes[to_usize(start - offset)..].into();
                        self.changes.push((mark, Change::Write { offset: start, bytes }));
                    }
                }
                length @ Change::SetLen(_) => self.changes.push((mark, length)),
            }
        }
    }

    fn is_allocated(&self, page: u64) -> bool {
        self.allocated.get(to_usize(page / 64)).is_some_and(|word| word & (1 << (page % 64)) != 0)
    }

    fn take_space(&mut self, offset: u64, len: u64) {
        for page in offset / PAGE_BYTES..(offset + len).div_ceil(PAGE_BYTES) {
            if !self.is_allocated(page) {
                let word = to_usize(page / 64);
                if word >= self.allocated.len() {
                    self.allocated.resize(word + 1, 0);
                }
                self.allocated[word] |= 1 << (page % 64);
                self.allocated_pages += 1;
            }
        }
    }

    fn free_space_from(&mut self, len: u64) {
        let first = len.div_ceil(PAGE_BYTES);
        let words = to_usize(first.div_ceil(64));
        self.allocated.truncate(words);
        if !first.is_multiple_of(64)
            && let Some(word) = self.allocated.get_mut(words - 1)
        {
            *word &= (1 << (first % 64)) - 1;
        }
        self.allocated_pages = self.allocated.iter().map(|word| u64::from(word.count_ones())).sum();
    }
}

/// Cuts `len` bytes from `offset` on at the borders of `unit`: (unit, offset within it, bytes before, bytes here).
fn pieces(offset: u64, len: usize, unit: u64) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + to_u64(done);
        let within = at % unit;
        let here = to_usize(unit - within).min(len - done);
        let piece = (to_usize(at / unit), to_usize(within), done, here);
        done += here;
        Some(piece)
    })
}

pub(in crate::sim) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length fits 64 bits")
}

pub(in crate::sim) fn to_usize(len: u64) -> usize {
    usize::try_from(len).expect("a simulated file fits this machine's address space")
}

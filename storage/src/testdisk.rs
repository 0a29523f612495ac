//! A disk in memory for tests: sectors, what is not synced may vanish whole or torn, directories that forget, errors.

use std::collections::BTreeMap;

use ringlog_buffer::Chunk;

use crate::io::{DirEntry, EntryKind, FileRef, IoErrorKind, IoOp, IoOutput, IoResult, WriteDurability};
use crate::log::tail::{to_u64, to_usize};

const SECTOR_BYTES: usize = 512;

/// Numbers that look random (xorshift), so that a seed tells the whole story.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound.max(1)
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        to_usize(self.below(to_u64(bound)))
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

#[derive(Clone, Debug)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Debug)]
enum Node {
    /// What the kernel shows, what a power cut leaves, and what lies between the two.
    File {
        seen: Vec<u8>,
        kept: Vec<u8>,
        unsynced: Vec<Change>,
    },
    Dir {
        seen: BTreeMap<String, usize>,
        kept: BTreeMap<String, usize>,
    },
}

/// The disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    nodes: Vec<Node>,
    /// Bytes that files may have together.
    pub(crate) space_bytes: usize,
    pub(crate) writes: u64,
    pub(crate) durable_writes: u64,
    pub(crate) bytes_read: u64,
    /// Fails operations for which it answers an error.
    pub(crate) fault: fn(&IoOp) -> Option<IoErrorKind>,
    /// Some group syncs fail, and lose what is not synced.
    pub(crate) loses_group_syncs: bool,
}

const ROOT: usize = 0;
/// Data directories: home, and others, which here lie in it under their places.
const LOG_DIRS: usize = 3;

impl Disk {
    pub(crate) fn new() -> Self {
        Self {
            nodes: {
                let mut root = BTreeMap::new();
                let mut nodes = vec![Node::Dir { seen: BTreeMap::new(), kept: BTreeMap::new() }];
                for dir in 1..LOG_DIRS {
                    root.insert(format!("{dir}:"), nodes.len());
                    nodes.push(Node::Dir { seen: BTreeMap::new(), kept: BTreeMap::new() });
                }
                nodes[ROOT] = Node::Dir { seen: root.clone(), kept: root };
                nodes
            },
            space_bytes: usize::MAX,
            writes: 0,
            durable_writes: 0,
            bytes_read: 0,
            fault: |_| None,
            loses_group_syncs: false,
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        names(path).try_fold(ROOT, |at, name| match &self.nodes[at] {
            Node::Dir { seen, .. } => seen.get(name).copied(),
            Node::File { .. } => None,
        })
    }

    fn parent(path: &str) -> (&str, &str) {
        let after = path.rfind(['/', ':']).map_or(0, |at| at + 1);
        let (dir, name) = path.split_at(after);
        (dir.strip_suffix('/').unwrap_or(dir), name)
    }

    /// Whether a power cut leaves a node at its path.
    fn is_kept(&self, path: &str, node: usize) -> bool {
        let found = names(path).try_fold(ROOT, |at, name| match &self.nodes[at] {
            Node::Dir { kept, .. } => kept.get(name).copied(),
            Node::File { .. } => None,
        });
        found == Some(node)
    }

    fn entries(&mut self, dir: &str) -> Result<&mut BTreeMap<String, usize>, IoErrorKind> {
        let at = self.find(dir).ok_or(IoErrorKind::NotFound)?;
        match &mut self.nodes[at] {
            Node::Dir { seen, .. } => Ok(seen),
            Node::File { .. } => Err(IoErrorKind::Other(20)),
        }
    }

    fn make(&mut self, path: &str, node: Node) -> Result<usize, IoErrorKind> {
        if let Some(at) = self.find(path) {
            return Ok(at);
        }
        let (dir, name) = Self::parent(path);
        let at = self.nodes.len();
        self.entries(dir)?.insert(name.to_owned(), at);
        self.nodes.push(node);
        Ok(at)
    }

    /// Bytes of all files that can be reached.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_below(ROOT)
    }

    fn used_below(&self, at: usize) -> usize {
        match &self.nodes[at] {
            Node::File { seen, .. } => seen.len(),
            Node::Dir { seen, .. } => seen.values().map(|at| self.used_below(*at)).sum(),
        }
    }

    fn allocate(&mut self, at: usize, bytes: usize) -> Result<(), IoErrorKind> {
        let used = self.used_bytes();
        let Node::File { seen, unsynced, .. } = &mut self.nodes[at] else { return Err(IoErrorKind::Other(21)) };
        if bytes > seen.len() {
            if used + bytes - seen.len() > self.space_bytes {
                return Err(IoErrorKind::NoSpace);
            }
            seen.resize(bytes, 0);
            unsynced.push(Change::Length(bytes));
        }
        Ok(())
    }

    /// The content of a file, as the kernel shows it.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        match &self.nodes[self.find(path)?] {
            Node::File { seen, .. } => Some(seen),
            Node::Dir { .. } => None,
        }
    }

    /// Changes a byte of a file behind everybody's back: rot.
    pub(crate) fn rot(&mut self, path: &str, at: usize) {
        let node = self.find(path).expect("the file is there");
        if let Node::File { seen, kept, .. } = &mut self.nodes[node] {
            seen[at] ^= 0x55;
            if let Some(byte) = kept.get_mut(at) {
                *byte ^= 0x55;
            }
        }
    }

    /// Names in a directory.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        match self.find(path).map(|at| &self.nodes[at]) {
            Some(Node::Dir { seen, .. }) => seen.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Performs an operation.
    pub(crate) fn perform(&mut self, op: &IoOp) -> IoResult {
        if let Some(error) = (self.fault)(op) {
            return Err(error);
        }
        match op {
            IoOp::List { path } => self.list(path),
            IoOp::CreateDir { path } => {
                self.make(path, Node::Dir { seen: BTreeMap::new(), kept: BTreeMap::new() }).map(|_| IoOutput::Done)
            }
            IoOp::Create { file, allocate_bytes } => {
                let empty = Node::File { seen: Vec::new(), kept: Vec::new(), unsynced: Vec::new() };
                let at = self.make(&file.path, empty)?;
                self.allocate(at, to_usize(*allocate_bytes)).map(|()| IoOutput::Done)
            }
            IoOp::Allocate { file, bytes } => {
                let at = self.find(&file.path).ok_or(IoErrorKind::NotFound)?;
                self.allocate(at, to_usize(*bytes)).map(|()| IoOutput::Done)
            }
            IoOp::Write { file, offset, data, durability } => {
                let at = self.find(&file.path).ok_or(IoErrorKind::NotFound)?;
                let bytes: Vec<u8> = data.iter().flat_map(|slice| slice.iter().copied()).collect();
                let is_named = file.path.ends_with(".tmp") || self.is_kept(&file.path, at);
                let lost = *durability == WriteDurability::Durable && !is_named;
                assert!(!lost, "{} may be gone after a power cut: its directory was not synced", file.path);
                self.write(at, to_usize(*offset), bytes, *durability)
            }
            IoOp::Read { file, offset, bytes } => self.read(&file.path, to_usize(*offset), *bytes),
            IoOp::Sync { file } => self.sync(file),
            IoOp::SyncDir { path } => self.sync_dir(path),
            IoOp::SyncAll { files, dirs } => {
                files.iter().try_for_each(|file| self.sync(file).map(drop))?;
                dirs.iter().try_for_each(|path| self.sync_dir(path).map(drop))?;
                Ok(IoOutput::Done)
            }
            IoOp::Truncate { file, bytes } => {
                let at = self.find(&file.path).ok_or(IoErrorKind::NotFound)?;
                if let Node::File { seen, unsynced, .. } = &mut self.nodes[at] {
                    let bytes = to_usize(*bytes);
                    seen.resize(bytes, 0);
                    unsynced.push(Change::Length(bytes));
                }
                Ok(IoOutput::Done)
            }
            IoOp::Rename { from, to } => self.rename(from, to),
            IoOp::RemoveFile { file } => Ok(self.remove(&file.path)),
            IoOp::RemoveDir { path } => Ok(self.remove(path)),
            IoOp::Close { .. } => Ok(IoOutput::Done),
        }
    }

    fn sync(&mut self, file: &FileRef) -> IoResult {
        let at = self.find(&file.path).ok_or(IoErrorKind::NotFound)?;
        if let Node::File { seen, kept, unsynced } = &mut self.nodes[at] {
            kept.clone_from(seen);
            unsynced.clear();
        }
        Ok(IoOutput::Done)
    }

    fn sync_dir(&mut self, path: &str) -> IoResult {
        let at = self.find(path).ok_or(IoErrorKind::NotFound)?;
        if let Node::Dir { seen, kept } = &mut self.nodes[at] {
            kept.clone_from(seen);
        }
        Ok(IoOutput::Done)
    }

    fn list(&mut self, path: &str) -> IoResult {
        let names: Vec<(String, usize)> = self.entries(path)?.iter().map(|(name, at)| (name.clone(), *at)).collect();
        let entries = names.into_iter().map(|(name, at)| match &self.nodes[at] {
            Node::File { seen, .. } => DirEntry { name, kind: EntryKind::File, bytes: to_u64(seen.len()) },
            Node::Dir { .. } => DirEntry { name, kind: EntryKind::Directory, bytes: 0 },
        });
        Ok(IoOutput::Listing(entries.collect()))
    }

    fn rename(&mut self, from: &str, to: &str) -> IoResult {
        let (from_dir, from_name) = Self::parent(from);
        let node = self.entries(from_dir)?.remove(from_name).ok_or(IoErrorKind::NotFound)?;
        let (to_dir, to_name) = Self::parent(to);
        self.entries(to_dir)?.insert(to_name.to_owned(), node);
        Ok(IoOutput::Done)
    }

    fn remove(&mut self, path: &str) -> IoOutput {
        let (dir, name) = Self::parent(path);
        if let Ok(entries) = self.entries(dir) {
            entries.remove(name);
        }
        IoOutput::Done
    }

    fn write(&mut self, at: usize, offset: usize, bytes: Vec<u8>, durability: WriteDurability) -> IoResult {
        assert!(offset.is_multiple_of(4096) && bytes.len().is_multiple_of(4096), "writes are of whole blocks");
        assert!(!bytes.is_empty(), "a write has something to write");
        self.writes += 1;
        let end = offset + bytes.len();
        let used = self.used_bytes();
        let Node::File { seen, kept, unsynced } = &mut self.nodes[at] else { return Err(IoErrorKind::Other(21)) };
        assert!(end <= seen.len(), "space was reserved before: {end} of {}", seen.len());
        if used > self.space_bytes && end > seen.len() {
            return Err(IoErrorKind::NoSpace);
        }
        put(seen, offset, &bytes);
        match durability {
            WriteDurability::Buffered => unsynced.push(Change::Bytes(offset, bytes)),
            WriteDurability::Durable => {
                self.durable_writes += 1;
                // The length becomes durable with the bytes.
                unsynced.retain(|change| {
                    if let Change::Length(bytes) = change {
                        kept.resize(*bytes, 0);
                    }
                    matches!(change, Change::Bytes(..))
                });
                if kept.len() < end {
                    kept.resize(end, 0);
                }
                put(kept, offset, &bytes);
                // Older unsynced writes of these blocks are superseded.
                for change in unsynced.iter_mut() {
                    if let Change::Bytes(start, old) = change {
                        overlay(*start, old, offset, &bytes);
                    }
                }
            }
        }
        Ok(IoOutput::Done)
    }

    fn read(&mut self, path: &str, offset: usize, bytes: usize) -> IoResult {
        assert!(offset.is_multiple_of(4096) && bytes.is_multiple_of(4096) && bytes > 0, "reads are of whole blocks");
        let content = self.file(path).ok_or(IoErrorKind::NotFound)?;
        let start = offset.min(content.len());
        let end = (offset + bytes).min(content.len());
        let mut chunk = Chunk::with_capacity(bytes);
        chunk.append(&content[start..end]);
        self.bytes_read += to_u64(end - start);
        Ok(IoOutput::Read(chunk))
    }

    /// An operation that was under way when the process or the power went: whatever part of it.
    pub(crate) fn perform_in_part(&mut self, op: &IoOp, dice: &mut Dice) {
        match op {
            IoOp::Write { file, offset, data, .. } => {
                let Some(at) = self.find(&file.path) else { return };
                let bytes: Vec<u8> = data.iter().flat_map(|slice| slice.iter().copied()).collect();
                let offset = to_usize(*offset);
                if let Node::File { seen, unsynced, .. } = &mut self.nodes[at] {
                    for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if dice.one_in(2) {
                            put(seen, offset + number * SECTOR_BYTES, sector);
                            unsynced.push(Change::Bytes(offset + number * SECTOR_BYTES, sector.to_vec()));
                        }
                    }
                }
            }
            IoOp::Read { .. } => {}
            other => {
                if dice.one_in(2) {
                    let _ = self.perform(other);
                }
            }
        }
    }

    /// A flush of the device fails: of what was not synced any write may be gone, for readers too, and for every later sync.
    pub(crate) fn lose_unsynced(&mut self, dice: &mut Dice) {
        for node in &mut self.nodes {
            let Node::File { seen, kept, unsynced } = node else { continue };
            unsynced.retain(|change| matches!(change, Change::Length(_)) || dice.one_in(2));
            let bytes = seen.len();
            seen.clone_from(kept);
            for change in unsynced.iter() {
                match change {
                    Change::Bytes(offset, bytes) => {
                        seen.resize(seen.len().max(offset + bytes.len()), 0);
                        put(seen, *offset, bytes);
                    }
                    Change::Length(bytes) => seen.resize(*bytes, 0),
                }
            }
            seen.resize(bytes, 0);
        }
    }

    /// The power goes: of what was not synced any part remains.
    pub(crate) fn cut_power(&mut self, dice: &mut Dice) {
        for node in &mut self.nodes {
            match node {
                Node::File { seen, kept, unsynced } => {
                    for change in unsynced.drain(..) {
                        match change {
                            Change::Bytes(offset, bytes) => {
                                for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                                    if dice.one_in(2) {
                                        let at = offset + number * SECTOR_BYTES;
                                        if kept.len() < at + sector.len() {
                                            kept.resize(at + sector.len(), 0);
                                        }
                                        put(kept, at, sector);
                                    }
                                }
                            }
                            Change::Length(bytes) => {
                                if dice.one_in(2) {
                                    kept.resize(bytes, 0);
                                }
                            }
                        }
                    }
                    seen.clone_from(kept);
                }
                Node::Dir { seen, kept } => {
                    if dice.one_in(2) {
                        seen.clone_from(kept);
                    } else {
                        kept.clone_from(seen);
                    }
                }
            }
        }
    }
}

/// The names that lead to a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split_inclusive(':').flat_map(|part| part.split('/')).filter(|name| !name.is_empty())
}

fn put(content: &mut [u8], offset: usize, bytes: &[u8]) {
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Replaces the part of `old` (which begins at `start`) that `new` (at `offset`) covers.
fn overlay(start: usize, old: &mut [u8], offset: usize, new: &[u8]) {
    let from = start.max(offset);
    let to = (start + old.len()).min(offset + new.len());
    if from < to {
        old[from - start..to - start].copy_from_slice(&new[from - offset..to - offset]);
    }
}

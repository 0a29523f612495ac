//! A disk in memory that does what storage asks of it, and finds requests for impossible amounts of memory.

use ringlog_buffer::Chunk;
use ringlog_storage::io::{DirEntry, EntryKind, IoErrorKind, IoOp, IoOutput, IoResult};
use ringlog_storage::limits::{BLOCK_BYTES, RECOVERY_READ_BYTES};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of all files together.
const SPACE_BYTES: usize = 8 << 20;

#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Disk {
    pub fn add_file(&mut self, path: String, content: Vec<u8>) {
        self.folders.insert(folder_of(&path).to_owned());
        self.files.insert(path, content);
    }

    fn file(&mut self, path: &str) -> Result<&mut Vec<u8>, IoErrorKind> {
        self.files.get_mut(path).ok_or(IoErrorKind::NotFound)
    }

    fn extend(&mut self, path: &str, bytes: usize) -> Result<(), IoErrorKind> {
        let used: usize = self.files.values().map(Vec::len).sum();
        let file = self.file(path)?;
        if bytes > file.len() {
            if (used - file.len()).saturating_add(bytes) > SPACE_BYTES {
                return Err(IoErrorKind::NoSpace);
            }
            file.resize(bytes, 0);
        }
        Ok(())
    }

    pub fn perform(&mut self, op: &IoOp) -> IoResult {
        match op {
            IoOp::List { path } => return self.list(path).map(IoOutput::Listing),
            IoOp::Read { file, offset, bytes } => return self.read(&file.path, *offset, *bytes).map(IoOutput::Read),
            IoOp::CreateDir { path } => {
                self.folders.insert(path.to_string());
            }
            IoOp::Create { file, allocate_bytes } => {
                self.files.entry(file.path.to_string()).or_default();
                self.extend(&file.path, size(*allocate_bytes))?;
            }
            IoOp::Allocate { file, bytes } => self.extend(&file.path, size(*bytes))?,
            IoOp::Write { file, offset, data, .. } => {
                let data: Vec<u8> = data.iter().flat_map(|slice| slice.iter().copied()).collect();
                let end = size(*offset).saturating_add(data.len());
                self.extend(&file.path, end)?;
                self.file(&file.path)?[size(*offset)..end].copy_from_slice(&data);
            }
            IoOp::Truncate { file, bytes } => {
                self.extend(&file.path, size(*bytes))?;
                self.file(&file.path)?.truncate(size(*bytes));
            }
            IoOp::Rename { from, to } => self.rename(from, to),
            IoOp::RemoveFile { file } => {
                self.files.remove(&*file.path);
            }
            IoOp::RemoveDir { path } => {
                self.folders.remove(&**path);
                self.files.retain(|file, _| folder_of(file) != &**path);
            }
            IoOp::Sync { .. } | IoOp::SyncDir { .. } | IoOp::SyncAll { .. } | IoOp::Close { .. } => {}
        }
        Ok(IoOutput::Done)
    }

    fn list(&self, path: &str) -> Result<Vec<DirEntry>, IoErrorKind> {
        let entry =
            |path: &str, kind, bytes| DirEntry { name: path.rsplit('/').next().unwrap_or("").to_owned(), kind, bytes };
        let inside = |candidate: &&String| !candidate.is_empty() && folder_of(candidate) == path;
        let files = self.files.iter().filter(|(file, _)| inside(file));
        let files = files.map(|(file, content)| entry(file, EntryKind::File, content.len() as u64));
        let folders = self.folders.iter().filter(inside).map(|folder| entry(folder, EntryKind::Directory, 0));
        let entries: Vec<_> = files.chain(folders).collect();
        if entries.is_empty() && !self.folders.contains(path) { Err(IoErrorKind::NotFound) } else { Ok(entries) }
    }

    fn read(&mut self, path: &str, offset: u64, bytes: usize) -> Result<Chunk, IoErrorKind> {
        let content = self.file(path)?;
        // Whoever asks has either seen so many bytes of the file, or asks for one step of a bounded size.
        let step = content.len().max(RECOVERY_READ_BYTES) + 2 * size(BLOCK_BYTES);
        assert!(bytes <= step, "{bytes} bytes are asked for of {path}, which has {}", content.len());
        let from = size(offset).min(content.len());
        let to = size(offset).saturating_add(bytes).min(content.len());
        let mut chunk = Chunk::with_capacity(bytes);
        chunk.append(&content[from..to]);
        Ok(chunk)
    }

    fn rename(&mut self, from: &str, to: &str) {
        let renamed = |path: &str| path.strip_prefix(from).map(|rest| format!("{to}{rest}"));
        for path in self.files.keys().cloned().collect::<Vec<_>>() {
            if path == from || folder_of(&path) == from {
                let content = self.files.remove(&path).expect("was listed");
                self.files.insert(renamed(&path).expect("has the prefix"), content);
            }
        }
        if self.folders.remove(from) {
            self.folders.insert(to.to_owned());
        }
    }
}

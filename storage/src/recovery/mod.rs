//! Recovery: brings a data directory in order before the first store of a process is made.
//!
//! It reads all shards' checkpoints, walks over their journals, and, if there is anything in them, drains them into the
//! segments: writes every journaled batch where it belongs, reads the tails of the partitions that were touched, and
//! notes in one checkpoint for all shards that the journals are dead. Only then the partitions are given to the shards
//! that own them now, however many there are. Like a store it performs no I/O.
//!
//! The work is bounded by the journals and by what was written straight to segments between two checkpoints.

mod checkpoints;
mod deleted;
mod facts;
mod outcome;
mod places;
mod redo;
mod tails;
mod walk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ringlog_buffer::Slice;

use self::facts::Survey;
pub use self::outcome::{Recovered, RecoveredShard, RecoveryError, RecoveryNews};
use self::outcome::{ShardFiles, folder, name_of};
use self::places::Found;
use self::redo::{Piece, Redo};
use self::tails::{ScanStep, TailScan};
use self::walk::{Journal, JournalFile, Walk, WalkStep, first_block_bytes};
use crate::checkpoint::{Checkpoint, PartitionState, encode};
use crate::directory::{LogDir, LogDirs};
use crate::io::{
    DirEntry, EntryKind as Kind, FileRef, Io, IoErrorKind, IoId, IoOp, IoOutput, IoResult, WriteDurability,
};
use crate::journal::format::{Entry, EntryKind, PartitionKey, RecordHeader};
use crate::limits::BLOCK_BYTES;
use crate::log::segment::file_name;
use crate::log::tail::to_usize;
use crate::queue::{IoQueue, replacement};
use crate::types::{Millis, Offset, ShardId};

/// The checkpoint that recovery writes, for all shards.
const BASE_CHECKPOINT: &str = "journal/checkpoint";
/// Partitions whose tails are read at the same time.
const SCANS_IN_FLIGHT_MAX: usize = 64;

/// What an operation under way is for.
#[derive(Debug)]
enum Purpose {
    ListJournals,
    ListShard(ShardId),
    Checkpoint(Option<ShardId>, String),
    FirstBlock(ShardId, usize),
    Walk(u64),
    RedoRead(Box<(Piece, FileRef)>),
    Scan(PartitionKey, u64, usize),
    ListFolders(LogDir),
    /// Something whose success is all that matters; the path is for the error.
    Step(Arc<str>),
}

#[derive(Debug)]
enum Phase {
    Begin,
    Listing,
    Checkpoints,
    FirstBlocks,
    Survey,
    Folders,
    Drain,
    Scan,
    Repair,
    Note,
    Done,
}

/// The machine. Drive it with [`poll_io`](Self::poll_io) and [`io_done`](Self::io_done) until
/// [`is_done`](Self::is_done), then take what it found with [`finish`](Self::finish).
#[derive(Debug)]
pub struct Recovery {
    now: Millis,
    dirs: LogDirs,
    queue: IoQueue<Purpose>,
    phase: Phase,
    failed: Option<RecoveryError>,
    base: Checkpoint,
    checkpoints: BTreeMap<ShardId, Checkpoint>,
    journals: BTreeMap<ShardId, Vec<JournalFile>>,
    states: BTreeMap<PartitionKey, (u64, PartitionState)>,
    generation_seen: u64,
    /// Shards whose journals are still to be walked in this pass.
    to_walk: VecDeque<ShardId>,
    walk: Option<(ShardId, Walk)>,
    next_sequences: BTreeMap<ShardId, u64>,
    survey: Survey,
    redo: Redo,
    files: BTreeMap<(PartitionKey, Offset), FileRef>,
    /// Segments whose files have no use any more.
    deleted: BTreeMap<PartitionKey, BTreeSet<Offset>>,
    /// Partitions that a checkpoint calls removed. The journal of a shard that had one before may still tell of it.
    removed: BTreeSet<PartitionKey>,
    /// Folders of removed partitions, which may still have the names that they had.
    left_behind: BTreeSet<String>,
    /// In which directories there are folders of partitions.
    folders: BTreeMap<String, Vec<LogDir>>,
    /// Other folders.
    found: Found,
    /// Partitions that were being moved.
    moves: BTreeMap<PartitionKey, LogDir>,
    /// Folders that nobody needs any more.
    leftovers: Vec<Arc<str>>,
    /// Folders of partitions of which nothing is known.
    orphans: BTreeMap<String, LogDir>,
    scans: BTreeMap<PartitionKey, TailScan>,
    to_scan: VecDeque<PartitionKey>,
    news: Vec<RecoveryNews>,
    records_seen: u64,
}

impl Recovery {
    /// A recovery of these directories that begins at wall-clock time `now`: from then on the idleness of producers counts
    /// whose batches are found.
    pub fn new(now: Millis, dirs: LogDirs) -> Self {
        Self {
            now,
            dirs,
            queue: IoQueue::new(),
            phase: Phase::Begin,
            failed: None,
            base: Checkpoint::default(),
            checkpoints: BTreeMap::new(),
            journals: BTreeMap::new(),
            states: BTreeMap::new(),
            generation_seen: 0,
            to_walk: VecDeque::new(),
            walk: None,
            next_sequences: BTreeMap::new(),
            survey: Survey::default(),
            redo: Redo::default(),
            files: BTreeMap::new(),
            deleted: BTreeMap::new(),
            removed: BTreeSet::new(),
            left_behind: BTreeSet::new(),
            folders: BTreeMap::new(),
            found: Found::default(),
            moves: BTreeMap::new(),
            leftovers: Vec::new(),
            orphans: BTreeMap::new(),
            scans: BTreeMap::new(),
            to_scan: VecDeque::new(),
            news: Vec::new(),
            records_seen: 0,
        }
    }

    /// The next operation to perform; `None` while results are awaited, and when recovery has ended.
    pub fn poll_io(&mut self) -> Option<Io> {
        while self.queue.is_idle() && !self.is_done() {
            self.advance();
        }
        self.queue.poll()
    }

    /// Whether it has ended, in success or not.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done) || (self.failed.is_some() && self.queue.is_idle())
    }

    /// Takes the result of an operation. Panics on an id that is not under way.
    pub fn io_done(&mut self, id: IoId, result: IoResult) {
        let Some((purpose, result)) = self.queue.done(id, result) else { return };
        match (purpose, result) {
            (Purpose::ListJournals, Ok(IoOutput::Listing(entries))) => self.journals_listed(entries),
            (Purpose::ListFolders(dir), Ok(IoOutput::Listing(entries))) => self.folders_listed(dir, entries),
            (Purpose::ListShard(shard), Ok(IoOutput::Listing(entries))) => self.shard_listed(shard, entries),
            (Purpose::Checkpoint(shard, path), Ok(IoOutput::Read(bytes))) => {
                self.checkpoint_read(shard, path, &bytes);
            }
            (Purpose::FirstBlock(shard, at), Ok(IoOutput::Read(bytes))) => {
                let first = RecordHeader::decode(&bytes).filter(|header| header.shard == shard);
                if let Some(file) = self.journals.get_mut(&shard).and_then(|files| files.get_mut(at)) {
                    file.first = first;
                }
            }
            (Purpose::Walk(offset), Ok(IoOutput::Read(bytes))) => {
                let (_, walk) = self.walk.as_mut().expect("a walk is under way");
                walk.take(offset, bytes.freeze());
            }
            (Purpose::RedoRead(piece), Ok(IoOutput::Read(present))) => self.redo_write(*piece, &present),
            (Purpose::Scan(key, offset, asked), Ok(IoOutput::Read(bytes))) => {
                self.scan_mut(key).take(offset, asked, bytes.freeze());
            }
            (Purpose::Scan(key, offset, asked), Err(IoErrorKind::NotFound)) => {
                self.scan_mut(key).take(offset, asked, Slice::default());
            }
            // A directory that is not there has nothing: what has to be in it is missed then.
            (Purpose::ListJournals | Purpose::ListShard(_) | Purpose::ListFolders(_), Err(IoErrorKind::NotFound))
            | (_, Ok(_)) => {}
            (purpose, Err(reason)) => self.fail(RecoveryError::Io { path: path_of(&purpose), reason }),
        }
    }

    /// What was found. Panics before [`is_done`](Self::is_done).
    pub fn finish(self) -> Result<Recovered, RecoveryError> {
        assert!(self.is_done(), "recovery has not ended");
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut shards: BTreeMap<ShardId, ShardFiles> = BTreeMap::new();
        for (shard, files) in &self.journals {
            let checkpointed = self.checkpoints.get(shard).map_or(0, |checkpoint| checkpoint.cut);
            let firsts = files.iter().filter_map(|file| file.first.map(|first| first.sequence.saturating_add(1))).max();
            let walked = self.next_sequences.get(shard).copied();
            let next = [Some(checkpointed), firsts, walked].into_iter().flatten().max();
            shards.insert(
                *shard,
                ShardFiles {
                    files: files.iter().map(|file| (file.file.path.to_string(), file.bytes)).collect(),
                    next_file_number: files.iter().map(|file| file.number + 1).max().unwrap_or(0),
                    next_sequence: next.unwrap_or(0),
                },
            );
        }
        Ok(Recovered {
            generation: self.generation_seen + 1,
            shards,
            partitions: self.states.into_values().map(|(_, state)| state).collect(),
            journal_records: self.records_seen,
            news: self.news,
            dirs: self.dirs,
            moves: self.moves,
            leftovers: self.leftovers,
            orphans: Arc::new(self.orphans),
        })
    }

    fn fail(&mut self, error: RecoveryError) {
        self.failed.get_or_insert(error);
    }

    fn scan_mut(&mut self, key: PartitionKey) -> &mut TailScan {
        self.scans.get_mut(&key).expect("its scan is under way")
    }

    /// Everything that was asked for is here: go on.
    fn advance(&mut self) {
        match self.phase {
            Phase::Begin => {
                self.queue.start(IoOp::List { path: "journal".into() }, Purpose::ListJournals);
                self.phase = Phase::Listing;
            }
            Phase::Listing => self.phase = Phase::Checkpoints,
            Phase::Checkpoints => {
                self.merge_checkpoints();
                self.read_first_blocks();
                self.phase = Phase::FirstBlocks;
            }
            Phase::FirstBlocks => {
                self.begin_pass();
                self.phase = Phase::Survey;
            }
            Phase::Survey => {
                if !self.walk_on() {
                    self.forget_removed();
                    self.forget_deleted();
                    self.secure_journals();
                    self.list_folders();
                    self.phase = Phase::Folders;
                }
            }
            Phase::Folders => {
                self.place_partitions();
                self.begin_pass();
                self.phase = Phase::Drain;
            }
            Phase::Drain => {
                if self.redo.is_full() {
                    self.write_round();
                } else if !self.walk_on() && !self.write_round() {
                    self.begin_scans();
                    self.phase = Phase::Scan;
                }
            }
            Phase::Scan => {
                if !self.scan_on() {
                    self.begin_repairs();
                    self.phase = Phase::Repair;
                }
            }
            Phase::Repair => {
                // What is known is always noted for all shards: a partition may have another owner from now on. So is that
                // nothing is left of what the last note tells: the shards' checkpoints that tell it will be replaced.
                let is_newer = self.generation_seen > self.base.generation;
                if self.records_seen > 0 || !self.states.is_empty() || is_newer {
                    self.write_base();
                }
                self.phase = Phase::Note;
            }
            Phase::Note => self.phase = Phase::Done,
            Phase::Done => {}
        }
    }

    fn journals_listed(&mut self, entries: Vec<DirEntry>) {
        for entry in entries {
            match (entry.kind, entry.name.parse::<u16>()) {
                (Kind::Directory, Ok(shard)) => {
                    let path: Arc<str> = format!("journal/{shard}").into();
                    self.queue.start(IoOp::List { path }, Purpose::ListShard(ShardId::new(shard)));
                }
                (Kind::File, _) if entry.name == "checkpoint" => {
                    self.read_checkpoint(None, BASE_CHECKPOINT.to_owned(), entry.bytes);
                }
                _ => {}
            }
        }
    }

    fn shard_listed(&mut self, shard: ShardId, entries: Vec<DirEntry>) {
        let mut files = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.kind == Kind::File) {
            let path = format!("journal/{shard}/{}", entry.name);
            if entry.name == "checkpoint" {
                self.read_checkpoint(Some(shard), path, entry.bytes);
            } else if let Some(number) = entry.name.strip_suffix(".journal").and_then(|name| name.parse().ok()) {
                let file = self.queue.file(path);
                files.push(JournalFile { file, number, bytes: entry.bytes, first: None });
            }
        }
        files.sort_by_key(|file| file.number);
        self.journals.insert(shard, files);
    }

    fn read_first_blocks(&mut self) {
        for (shard, files) in &self.journals {
            for (at, file) in files.iter().enumerate().filter(|(_, file)| file.bytes >= BLOCK_BYTES) {
                let op = IoOp::Read { file: file.file.clone(), offset: 0, bytes: first_block_bytes() };
                self.queue.start(op, Purpose::FirstBlock(*shard, at));
            }
        }
    }

    fn begin_pass(&mut self) {
        self.to_walk = self.journals.keys().copied().collect();
    }

    fn journal(&self, shard: ShardId) -> Journal {
        let drained_generation = self.base.drained_generation;
        let of_shard = self.checkpoints.get(&shard).filter(|one| one.generation > drained_generation);
        Journal {
            files: self.journals.get(&shard).cloned().unwrap_or_default(),
            drained_generation,
            cut: of_shard.map_or(0, |one| one.cut),
        }
    }

    /// Takes the walk further. Answers false when all journals of the pass have ended.
    fn walk_on(&mut self) -> bool {
        let (shard, mut walk) = match self.walk.take() {
            Some(walk) => walk,
            None => match self.to_walk.pop_front() {
                Some(shard) => (shard, Walk::new(self.journal(shard))),
                None => return false,
            },
        };
        loop {
            match walk.next() {
                WalkStep::Read { file, offset, bytes } => {
                    self.queue.start(IoOp::Read { file, offset, bytes }, Purpose::Walk(offset));
                    self.walk = Some((shard, walk));
                    return true;
                }
                WalkStep::Record { header, payload } => self.take_record(&header, &payload),
                WalkStep::Damaged { sequence } => {
                    if matches!(self.phase, Phase::Survey) {
                        self.news.push(RecoveryNews::JournalDamaged { shard, sequence });
                    }
                }
                WalkStep::End => {
                    self.survey.end_journal();
                    self.next_sequences.insert(shard, walk.next_sequence());
                    return true;
                }
            }
            if self.redo.is_full() {
                self.walk = Some((shard, walk));
                return true;
            }
        }
    }

    fn take_record(&mut self, header: &RecordHeader, payload: &[u8]) {
        if matches!(self.phase, Phase::Survey) {
            self.generation_seen = self.generation_seen.max(header.generation);
            self.records_seen += 1;
            self.survey.take_record(payload);
            return;
        }
        let mut rest = payload;
        while let Some((entry, attached, behind)) = Entry::decode(rest) {
            if entry.kind == EntryKind::Data && self.is_wanted(&entry) {
                self.redo.add(&entry, attached);
            }
            rest = behind;
        }
    }

    /// Whether the batches of an entry may be missing in their segment.
    fn is_wanted(&self, entry: &Entry) -> bool {
        self.states.get(&entry.key).is_some_and(|(_, state)| entry.to_offset > state.durable.offset)
    }

    fn file(&mut self, key: PartitionKey, segment: Offset) -> FileRef {
        if let Some(file) = self.files.get(&(key, segment)) {
            return file.clone();
        }
        let (_, state) = self.states.get(&key).expect("only known partitions have files");
        let path = format!("{}/{}", self.dir_of(state), file_name(segment, "log"));
        let file = self.queue.file(path);
        self.files.insert((key, segment), file.clone());
        file
    }

    /// Begins to write collected pieces. Answers false if there are none.
    fn write_round(&mut self) -> bool {
        let round = self.redo.take_round();
        let any = !round.is_empty();
        for piece in round {
            let file = self.file(piece.key, piece.segment);
            let (_, state) = self.states.get_mut(&piece.key).expect("only known partitions have pieces");
            state.dir_exists = true;
            let (_, state) = &self.states[&piece.key];
            let dir = self.dir_of(state);
            let script = [
                IoOp::CreateDir { path: dir.clone() },
                IoOp::SyncDir { path: LogDir::of_path(&dir).0.path("") },
                IoOp::Create { file: file.clone(), allocate_bytes: piece.to() },
                IoOp::SyncDir { path: dir },
                IoOp::Read { file: file.clone(), offset: piece.from(), bytes: to_usize(piece.to() - piece.from()) },
            ];
            self.queue.start_script(script, Purpose::RedoRead(Box::new((piece, file))));
        }
        any
    }

    fn redo_write(&mut self, (piece, file): (Piece, FileRef), present: &[u8]) {
        let op = IoOp::Write {
            file: file.clone(),
            offset: piece.from(),
            data: vec![piece.over(present)],
            durability: WriteDurability::Buffered,
        };
        self.queue.start(op, Purpose::Step(file.path));
    }

    fn begin_scans(&mut self) {
        self.to_scan = self.touched().collect();
    }

    /// Partitions of which something was written behind what the checkpoint tells.
    fn touched(&self) -> impl Iterator<Item = PartitionKey> {
        let touched = self.survey.partitions.iter().filter(|(_, facts)| facts.touched).map(|(key, _)| *key);
        touched.filter(|key| self.states.contains_key(key))
    }

    /// Takes the scans further. Answers false when all have ended.
    fn scan_on(&mut self) -> bool {
        while self.scans.len() < SCANS_IN_FLIGHT_MAX {
            let Some(key) = self.to_scan.pop_front() else { break };
            let facts = &self.survey.partitions[&key];
            let (_, state) = self.states.get(&key).expect("only known partitions are scanned");
            let segments = facts.segments.iter().copied().collect();
            let scan = TailScan::new(state.clone(), facts.proven, segments, self.now);
            self.scans.insert(key, scan);
        }
        let keys: Vec<PartitionKey> = self.scans.keys().copied().collect();
        for key in keys {
            match self.scan_mut(key).next() {
                ScanStep::Read { segment, offset, bytes } => {
                    let file = self.file(key, segment);
                    self.queue.start(IoOp::Read { file, offset, bytes }, Purpose::Scan(key, offset, bytes));
                }
                ScanStep::Done => self.end_scan(key),
            }
        }
        !self.scans.is_empty() || !self.to_scan.is_empty()
    }

    fn end_scan(&mut self, key: PartitionKey) {
        let scan = self.scans.remove(&key).expect("its scan is under way");
        let torn = scan.torn;
        let known_rot = scan.state.rot.len();
        let (_, before) = self.states.get(&key).expect("only known partitions are scanned");
        let rot_before = before.rot.len();
        let mut state = scan.finish();
        state.dir_exists = true;
        let partition = name_of(&state);
        if torn {
            self.news.push(RecoveryNews::TornTail { partition: partition.clone(), log_end: state.durable.offset });
        }
        for range in state.rot.iter().take(known_rot).skip(rot_before) {
            self.news.push(RecoveryNews::Rot {
                partition: partition.clone(),
                from: range.from,
                next_good: range.next_good,
            });
        }
        self.states.insert(key, (0, state));
    }

    /// Makes the journals durable, before anything is done because of them that cannot be undone. A process that was killed may
    /// have left writes and names that a power cut would still take; the next start would then look for files that are gone.
    fn secure_journals(&mut self) {
        let journals = self.journals.keys().map(|shard| format!("journal/{shard}").into());
        let above = (!self.journals.is_empty()).then(|| "journal".into());
        for path in journals.chain(above) {
            self.queue.start(IoOp::SyncDir { path: Arc::clone(&path) }, Purpose::Step(path));
        }
        if self.records_seen > 0 {
            for JournalFile { file, .. } in self.journals.values().flatten() {
                self.queue.start(IoOp::Sync { file: file.clone() }, Purpose::Step(file.path.clone()));
            }
        }
    }

    /// Cuts torn ends off, removes segments that never came to be, and makes what was written durable.
    fn begin_repairs(&mut self) {
        self.remove_deleted();
        self.remove_left_behind();
        for key in self.touched().collect::<Vec<_>>() {
            let (_, state) = &self.states[&key];
            let end = state.durable;
            let kept: BTreeSet<Offset> = state.segments.iter().map(|segment| segment.base).collect();
            // What was read of the last one counts, whether a journal has named it or not.
            let mut segments = self.survey.partitions[&key].segments.clone();
            segments.insert(end.segment);
            for base in segments {
                let file = self.file(key, base);
                let path = file.path.clone();
                if !kept.contains(&base) {
                    self.queue.start(IoOp::RemoveFile { file }, Purpose::Step(path));
                } else if base == end.segment {
                    self.end_segment(file, end.position);
                } else {
                    self.queue.start(IoOp::Sync { file }, Purpose::Step(path));
                }
            }
        }
    }

    /// What lies behind the end is cut off, so that it cannot be taken for something new.
    fn end_segment(&mut self, file: FileRef, bytes: u64) {
        let path = file.path.clone();
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let script = [
            IoOp::CreateDir { path: dir.into() },
            IoOp::SyncDir { path: LogDir::of_path(dir).0.path("") },
            IoOp::Create { file: file.clone(), allocate_bytes: 0 },
            IoOp::Truncate { file: file.clone(), bytes },
            IoOp::Sync { file },
            IoOp::SyncDir { path: dir.into() },
        ];
        self.queue.start_script(script, Purpose::Step(path));
    }

    fn write_base(&mut self) {
        let base = Checkpoint {
            generation: self.generation_seen,
            cut: 0,
            drained_generation: self.generation_seen,
            removed: Vec::new(),
            partitions: self.states.values().map(|(_, state)| state.clone()).collect(),
        };
        let script = replacement(&mut self.queue, BASE_CHECKPOINT, encode(&base).as_slice().into());
        self.queue.start_script(script, Purpose::Step(BASE_CHECKPOINT.into()));
    }
}

fn path_of(purpose: &Purpose) -> String {
    match purpose {
        Purpose::ListJournals | Purpose::Walk(_) => "journal".to_owned(),
        Purpose::ListShard(shard) | Purpose::FirstBlock(shard, _) => format!("journal/{shard}"),
        Purpose::Checkpoint(_, path) => path.clone(),
        Purpose::RedoRead(piece) => piece.1.path.to_string(),
        Purpose::ListFolders(dir) => dir.path(".").to_string(),
        Purpose::Scan(key, ..) => format!("partition {} of topic {}", key.partition, key.topic_id),
        Purpose::Step(path) => path.to_string(),
    }
}

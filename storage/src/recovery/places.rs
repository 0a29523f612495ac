//! Where partitions lie. The journals and checkpoints name a directory for each; what is found in the directories may differ
//! from that where somebody moved a folder, a disk is missing, or a move had come to its last steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::outcome::{folder, name_of};
use super::{Purpose, Recovery, RecoveryError, RecoveryNews};
use crate::checkpoint::PartitionState;
use crate::directory::{Folder, LogDir, delete_of, stray_of, understand};
use crate::io::{DirEntry, EntryKind, IoOp};
use crate::journal::format::PartitionKey;
use crate::types::Uuid;

/// Folders that are not simply those of partitions.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Copies that were being made: partition, directory, name.
    futures: Vec<(PartitionKey, LogDir, String)>,
    /// Copies that are complete.
    moved: BTreeMap<(PartitionKey, LogDir), String>,
    /// Every name, so that nothing is renamed to one that there is.
    names: BTreeSet<Arc<str>>,
    /// Counts renamed folders.
    renamed: u128,
}

/// Where a partition's folder is.
#[derive(Clone, Copy, Debug)]
enum Choice {
    /// Where it should be, or will be once there is something of it.
    There(LogDir),
    /// A complete copy is here, and takes its place.
    Copy(LogDir),
    /// Somewhere else: somebody has moved it.
    ByHand(LogDir),
}

/// What is to be done about one partition's folders.
#[derive(Debug, Default)]
struct Repair {
    script: Vec<IoOp>,
    /// Directories whose entries have changed.
    changed: BTreeSet<LogDir>,
}

impl Recovery {
    /// The path of the partition's folder. Before its place is found: where it should be.
    pub(super) fn dir_of(&self, state: &PartitionState) -> Arc<str> {
        self.dirs.find(state.placement.directory).unwrap_or_default().path(&folder(state))
    }

    /// Lists what no power cut takes any more. A new directory may not be there yet, and has nothing then.
    pub(super) fn list_folders(&mut self) {
        for dir in self.dirs.iter() {
            let path = dir.path("");
            let script = [IoOp::SyncDir { path: Arc::clone(&path) }, IoOp::List { path }];
            self.queue.start_script(script, Purpose::ListFolders(dir));
        }
    }

    pub(super) fn folders_listed(&mut self, dir: LogDir, entries: Vec<DirEntry>) {
        for entry in entries {
            self.found.names.insert(dir.path(&entry.name));
            if entry.kind != EntryKind::Directory {
                continue;
            }
            match understand(&entry.name) {
                Some((Folder::Log, _)) => self.folders.entry(entry.name).or_default().push(dir),
                Some((Folder::Future, Some(key))) => self.found.futures.push((key, dir, entry.name)),
                Some((Folder::Moved, Some(key))) => drop(self.found.moved.insert((key, dir), entry.name)),
                Some((Folder::Delete, _)) => self.leftovers.push(dir.path(&entry.name)),
                _ => {}
            }
        }
    }

    /// Finds every partition's folder, brings moves to their end that had come so far, and puts aside what is there twice.
    pub(super) fn place_partitions(&mut self) {
        for places in self.folders.values_mut() {
            places.sort_unstable();
        }
        let keys = self.states.keys().copied();
        let choices: Result<Vec<_>, _> = keys.map(|key| Ok((key, self.choose(key)?))).collect();
        // Nothing is changed while something is missing.
        match choices {
            Ok(choices) => choices.into_iter().for_each(|(key, choice)| self.place(key, choice)),
            Err(error) => return self.fail(error),
        }
        self.settle_copies();
        let known: BTreeSet<String> = self.states.values().map(|(_, state)| folder(state)).collect();
        let is_orphan = |name: &&String| !known.contains(*name) && !self.left_behind.contains(*name);
        let orphans = self.folders.iter().filter(|(name, _)| is_orphan(name));
        self.orphans = orphans.filter_map(|(name, dirs)| Some((name.clone(), *dirs.first()?))).collect();
    }

    /// Where there are folders of the partition's name that may be its own.
    fn places_of(&self, state: &PartitionState) -> Vec<LogDir> {
        let name = folder(state);
        let mut places = self.folders.get(&name).cloned().unwrap_or_default();
        if self.left_behind.contains(&name) {
            // Any other one may be that of a removed partition of this name, and will go.
            let told = self.told(state);
            places.retain(|dir| self.dirs.id(*dir) == told);
        }
        places
    }

    /// The id of the directory in which the partition is said to be.
    fn told(&self, state: &PartitionState) -> Uuid {
        if state.placement.directory == Uuid::ZERO { self.dirs.id(LogDir::HOME) } else { state.placement.directory }
    }

    fn choose(&self, key: PartitionKey) -> Result<Choice, RecoveryError> {
        let (_, state) = &self.states[&key];
        let (told, places) = (self.told(state), self.places_of(state));
        let has_records = state.durable.offset > state.log_start
            || self.survey.partitions.get(&key).is_some_and(|facts| facts.direct);
        Ok(match (self.dirs.find(told), places.first()) {
            (Some(dir), _) if places.contains(&dir) => Choice::There(dir),
            (Some(dir), _) if self.found.moved.contains_key(&(key, dir)) => Choice::Copy(dir),
            (_, None) if has_records => match self.moved_copy(key) {
                // What is told is older: moves of format 2 are not counted, and a damaged journal may have told the last one.
                Some(copy) => Choice::Copy(copy),
                None => return Err(RecoveryError::FolderMissing { partition: name_of(state), directory: told }),
            },
            (_, Some(found)) => Choice::ByHand(*found),
            // Nothing of it was ever there: it is as good as a new one.
            (dir, None) => Choice::There(dir.unwrap_or_default()),
        })
    }

    fn place(&mut self, key: PartitionKey, choice: Choice) {
        let (_, state) = &self.states[&key];
        let (name, partition, places) = (folder(state), name_of(state), self.places_of(state));
        let place = match choice {
            Choice::Copy(dir) => {
                self.complete_move(key, dir, &name, &places);
                self.news.push(RecoveryNews::MoveCompleted { partition, to: dir });
                return self.set_place(key, dir);
            }
            Choice::ByHand(dir) => {
                self.news.push(RecoveryNews::MovedByHand { partition: partition.clone(), to: dir });
                dir
            }
            Choice::There(dir) => dir,
        };
        let mut repair = Repair::default();
        for other in places.iter().filter(|other| **other != place) {
            let stray = self.unused_name(*other, |unique| stray_of(&name, unique));
            repair.rename(*other, &name, &stray);
            self.news.push(RecoveryNews::Stray { partition: partition.clone(), dir: *other, folder: stray });
        }
        self.begin(repair, &name);
        self.set_place(key, place);
        // Nothing may have told of the folder of a partition without records. One that a removed partition of this name has left
        // behind may be that one's.
        if !self.left_behind.contains(&name) {
            let (_, state) = self.states.get_mut(&key).expect("it has a place");
            state.dir_exists = places.contains(&place);
        }
    }

    /// Where a complete copy of the partition lies.
    fn moved_copy(&self, key: PartitionKey) -> Option<LogDir> {
        self.found.moved.keys().find(|(of, _)| *of == key).map(|(_, dir)| *dir)
    }

    fn set_place(&mut self, key: PartitionKey, place: LogDir) {
        let id = self.dirs.id(place);
        if let Some((_, state)) = self.states.get_mut(&key) {
            state.placement.directory = id;
        }
    }

    /// The copy in `dir` is the partition, and every other folder of it is what it was copied from.
    fn complete_move(&mut self, key: PartitionKey, dir: LogDir, name: &str, places: &[LogDir]) {
        let mut repair = Repair::default();
        for old in places {
            let gone = self.unused_name(*old, |unique| delete_of(name, unique));
            repair.rename(*old, name, &gone);
            self.leftovers.push(old.path(&gone));
        }
        // The old one first: with both names there, it would not be known what was copied from what.
        let olds = std::mem::take(&mut repair.changed);
        repair.script.extend(olds.into_iter().map(|old| IoOp::SyncDir { path: old.path("") }));
        let copy = self.found.moved.remove(&(key, dir)).expect("it was found there");
        repair.rename(dir, &copy, name);
        self.begin(repair, name);
        if let Some((_, state)) = self.states.get_mut(&key) {
            state.dir_exists = true;
        }
    }

    /// What is left of copies is of no use, but tells where the partition was to go.
    fn settle_copies(&mut self) {
        let moved = std::mem::take(&mut self.found.moved).into_iter().map(|((key, dir), name)| (key, dir, name));
        let copies: Vec<_> = std::mem::take(&mut self.found.futures).into_iter().chain(moved).collect();
        for (key, dir, name) in copies {
            let place = self.states.get(&key).and_then(|(_, state)| self.dirs.find(state.placement.directory));
            if place.is_some_and(|place| place != dir) {
                self.moves.entry(key).or_insert(dir);
            }
            let origin = name.rsplit_once('.').map_or(&*name, |(origin, _)| origin).to_owned();
            let gone = self.unused_name(dir, |unique| delete_of(&origin, unique));
            let mut repair = Repair::default();
            repair.rename(dir, &name, &gone);
            self.begin(repair, &name);
            self.leftovers.push(dir.path(&gone));
        }
    }

    /// A name that nothing in the directory has.
    fn unused_name(&mut self, dir: LogDir, name: impl Fn(u128) -> String) -> String {
        loop {
            // No store counts so far.
            let unique = u128::from(self.generation_seen) << 64 | 1 << 63 | self.found.renamed;
            self.found.renamed += 1;
            let name = name(unique);
            if self.found.names.insert(dir.path(&name)) {
                return name;
            }
        }
    }

    fn begin(&mut self, repair: Repair, name: &str) {
        let Repair { mut script, changed } = repair;
        script.extend(changed.into_iter().map(|dir| IoOp::SyncDir { path: dir.path("") }));
        if !script.is_empty() {
            self.queue.start_script(script, Purpose::Step(name.into()));
        }
    }
}

impl Repair {
    fn rename(&mut self, dir: LogDir, from: &str, to: &str) {
        self.script.push(IoOp::Rename { from: dir.path(from), to: dir.path(to) });
        self.changed.insert(dir);
    }
}

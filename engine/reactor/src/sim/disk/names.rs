//! The tree of names of one simulated disk: what processes see, what a power cut leaves, and the changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use super::content::{Content, Mark, Survival};
use crate::sim::errno::Errno;
use crate::sim::random::Random;

/// The longest name in a directory, in bytes: Linux's `NAME_MAX`.
const NAME_BYTES_MAX: usize = 255;
/// Unsynced changes of names. Above it the older half reaches the disk by itself.
const CHANGES_MAX: usize = 4096;
/// Removed files are collected when so many may have gone.
const GARBAGE_MAX: usize = 64;

/// A file or directory, whatever its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

const ROOT: NodeId = NodeId(0);

#[derive(Debug, Default)]
struct Directory {
    current: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
}

#[derive(Debug)]
enum Kind {
    File(Box<Content>),
    Directory(Directory),
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// Whether a current name leads here.
    named: bool,
    /// Open descriptors.
    handles: u32,
}

/// A place for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    directory: NodeId,
    name: String,
}

/// A change that a power cut may still undo.
#[derive(Debug, Clone)]
enum Change {
    Link { at: Place, node: NodeId },
    Unlink { at: Place, node: NodeId },
    Rename { from: Place, to: Place, node: NodeId },
}

impl Change {
    fn node(&self) -> NodeId {
        match self {
            Self::Link { node, .. } | Self::Unlink { node, .. } | Self::Rename { node, .. } => *node,
        }
    }

    fn directories(&self) -> [NodeId; 2] {
        match self {
            Self::Link { at, .. } | Self::Unlink { at, .. } => [at.directory; 2],
            Self::Rename { from, to, .. } => [from.directory, to.directory],
        }
    }
}

/// What stands in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_directory: bool,
    pub(crate) bytes: u64,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Names {
    nodes: Vec<Option<Node>>,
    /// With the number of each, in their order.
    changes: Vec<(Mark, Change)>,
    next: Mark,
    garbage: usize,
}

impl Names {
    pub(super) fn new() -> Self {
        let root = Node { kind: Kind::Directory(Directory::default()), named: true, handles: 0 };
        Self { nodes: vec![Some(root)], changes: Vec::new(), next: Mark::default(), garbage: 0 }
    }

    pub(super) fn find(&self, path: &Path) -> Result<NodeId, Errno> {
        let mut node = ROOT;
        for name in normal(path)? {
            node = *self.directory(node)?.current.get(name).ok_or(Errno::NOT_FOUND)?;
        }
        Ok(node)
    }

    pub(super) fn file(&self, node: NodeId) -> Result<&Content, Errno> {
        match &self.node(node).kind {
            Kind::File(content) => Ok(content),
            Kind::Directory(_) => Err(Errno::IS_A_DIRECTORY),
        }
    }

    pub(super) fn file_mut(&mut self, node: NodeId) -> Result<&mut Content, Errno> {
        match &mut self.node_mut(node).kind {
            Kind::File(content) => Ok(content),
            Kind::Directory(_) => Err(Errno::IS_A_DIRECTORY),
        }
    }

    pub(super) fn create_file(&mut self, path: &Path) -> Result<NodeId, Errno> {
        self.create(path, Kind::File(Box::default()))
    }

    pub(super) fn create_directory(&mut self, path: &Path) -> Result<NodeId, Errno> {
        self.create(path, Kind::Directory(Directory::default()))
    }

    pub(super) fn opened(&mut self, node: NodeId) {
        self.node_mut(node).handles += 1;
    }

    pub(super) fn closed(&mut self, node: NodeId) {
        let closed = self.node_mut(node);
        closed.handles -= 1;
        self.garbage += usize::from(!closed.named);
    }

    /// Forgets every open descriptor: their processes are gone.
    pub(super) fn close_all(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            node.handles = 0;
        }
        self.garbage = GARBAGE_MAX;
    }

    /// Whether a file still takes space: it has a name or a descriptor.
    pub(super) fn takes_space(&self, node: NodeId) -> bool {
        let node = self.node(node);
        node.named || node.handles > 0
    }

    pub(super) fn remove(&mut self, path: &Path, wanted: Removal) -> Result<NodeId, Errno> {
        let at = self.place(path)?;
        let node = *self.directory(at.directory)?.current.get(&at.name).ok_or(Errno::NOT_FOUND)?;
        match (&self.node(node).kind, wanted) {
            (Kind::File(_), Removal::Directory) => return Err(Errno::NOT_A_DIRECTORY),
            (Kind::Directory(_), Removal::File) => return Err(Errno::IS_A_DIRECTORY),
            (Kind::Directory(directory), Removal::Directory) if !directory.current.is_empty() => {
                return Err(Errno::NOT_EMPTY);
            }
            _ => {}
        }
        self.directory_mut(at.directory)?.current.remove(&at.name);
        self.unnamed(node);
        self.push(Change::Unlink { at, node });
        Ok(node)
    }

    /// Renames, and answers which file the new name had led to.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<Option<NodeId>, Errno> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        let node = *self.directory(from.directory)?.current.get(&from.name).ok_or(Errno::NOT_FOUND)?;
        let replaced = self.directory(to.directory)?.current.get(&to.name).copied();
        if replaced == Some(node) {
            return Ok(None);
        }
        if self.is_within(to.directory, node) {
            return Err(Errno::INVALID);
        }
        if let Some(replaced) = replaced {
            match (&self.node(node).kind, &self.node(replaced).kind) {
                (Kind::File(_), Kind::Directory(_)) => return Err(Errno::IS_A_DIRECTORY),
                (Kind::Directory(_), Kind::File(_)) => return Err(Errno::NOT_A_DIRECTORY),
                (_, Kind::Directory(directory)) if !directory.current.is_empty() => return Err(Errno::NOT_EMPTY),
                _ => {}
            }
        }
        self.directory_mut(from.directory)?.current.remove(&from.name);
        self.directory_mut(to.directory)?.current.insert(to.name.clone(), node);
        if let Some(replaced) = replaced {
            self.unnamed(replaced);
        }
        self.push(Change::Rename { from, to, node });
        Ok(replaced)
    }

    pub(super) fn list(&self, path: &Path) -> Result<Vec<Entry>, Errno> {
        let directory = self.directory(self.find(path)?)?;
        let entry = |(name, node): (&String, &NodeId)| match &self.node(*node).kind {
            Kind::File(content) => Entry { name: name.clone(), is_directory: false, bytes: content.len() },
            Kind::Directory(_) => Entry { name: name.clone(), is_directory: true, bytes: 0 },
        };
        Ok(directory.current.iter().map(entry).collect())
    }

    /// What a sync of a directory that is submitted now would cover.
    pub(super) fn mark(&self) -> Mark {
        self.next
    }

    /// Makes the changes of one directory before the mark durable, and those of every directory that shares a rename
    /// with it.
    pub(super) fn sync(&mut self, path: &Path, before: Mark) -> Result<(), Errno> {
        let directory = self.find(path)?;
        self.directory(directory)?;
        let mut changes = std::mem::take(&mut self.changes);
        let later = changes.split_off(changes.partition_point(|(mark, _)| *mark < before));
        let mut group = BTreeSet::from([directory]);
        loop {
            let size = group.len();
            for (_, change) in &changes {
                let directories = change.directories();
                if directories.iter().any(|directory| group.contains(directory)) {
                    group.extend(directories);
                }
            }
            if group.len() == size {
                break;
            }
        }
        let (sync, keep): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|(_, change)| group.contains(&change.directories()[0]));
        self.changes = keep;
        self.changes.extend(later);
        self.commit(sync);
        Ok(())
    }

    /// Makes all changes before the mark durable.
    pub(super) fn sync_all(&mut self, before: Mark) {
        let later = self.changes.split_off(self.changes.partition_point(|(mark, _)| *mark < before));
        let changes = std::mem::replace(&mut self.changes, later);
        self.commit(changes);
    }

    /// The files with changes that a power cut may undo, and what a sync that is submitted now would cover of them.
    pub(super) fn unsynced_files(&self) -> Vec<(NodeId, Mark)> {
        let files = self.nodes.iter().enumerate().filter_map(|(at, node)| match &node.as_ref()?.kind {
            Kind::File(content) if content.has_unsynced() => Some((NodeId(at), content.mark())),
            _ => None,
        });
        files.collect()
    }

    /// The power goes: any part of the unsynced names is lost, then any part of the unsynced contents.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        let changes = std::mem::take(&mut self.changes);
        let mut survives = draw_survivors(changes.len(), random);
        // Names of one file change in order: a later change that survived brings the earlier ones of that file.
        for later in (0..changes.len()).rev().filter(|index| survives[*index]).collect::<Vec<_>>() {
            for earlier in 0..later {
                survives[earlier] |= changes[earlier].1.node() == changes[later].1.node();
            }
        }
        let survivors = changes.into_iter().zip(survives).filter_map(|(change, survives)| survives.then_some(change));
        self.commit(survivors.collect());
        for node in self.nodes.iter_mut().flatten() {
            node.handles = 0;
            node.named = false;
            match &mut node.kind {
                Kind::Directory(directory) => directory.current.clone_from(&directory.durable),
                Kind::File(content) => content.power_cut(Survival::draw(random), random),
            }
        }
        for node in self.reachable() {
            self.node_mut(node).named = true;
        }
        self.collect();
    }

    /// Bytes that all files take on the device.
    pub(super) fn allocated_bytes(&self) -> u64 {
        let size = |node: &Node| match &node.kind {
            Kind::File(content) if node.named || node.handles > 0 => content.allocated_bytes(),
            _ => 0,
        };
        self.nodes.iter().flatten().map(size).sum()
    }

    /// Whether any name or content could be lost to a power cut.
    pub(super) fn has_unsynced(&self) -> bool {
        let unsynced = |node: &Node| matches!(&node.kind, Kind::File(content) if content.has_unsynced());
        !self.changes.is_empty() || self.nodes.iter().flatten().any(unsynced)
    }

    fn create(&mut self, path: &Path, kind: Kind) -> Result<NodeId, Errno> {
        let at = self.place(path)?;
        if self.directory(at.directory)?.current.contains_key(&at.name) {
            return Err(Errno::EXISTS);
        }
        let new = Some(Node { kind, named: true, handles: 0 });
        let node = if let Some(free) = self.nodes.iter().position(Option::is_none) {
            self.nodes[free] = new;
            NodeId(free)
        } else {
            self.nodes.push(new);
            NodeId(self.nodes.len() - 1)
        };
        self.directory_mut(at.directory)?.current.insert(at.name.clone(), node);
        self.push(Change::Link { at, node });
        Ok(node)
    }

    fn push(&mut self, change: Change) {
        if self.changes.len() == CHANGES_MAX {
            let rest = self.changes.split_off(CHANGES_MAX / 2);
            let older = std::mem::replace(&mut self.changes, rest);
            self.commit(older);
        }
        self.changes.push((self.next, change));
        self.next.0 += 1;
    }

    fn commit(&mut self, changes: Vec<(Mark, Change)>) {
        for (_, change) in changes {
            match change {
                Change::Link { at, node } => self.durable_insert(at, node),
                Change::Unlink { at, node } => self.durable_remove(&at, node),
                Change::Rename { from, to, node } => {
                    self.durable_remove(&from, node);
                    self.durable_insert(to, node);
                }
            }
        }
        if self.garbage >= GARBAGE_MAX {
            self.collect();
        }
    }

    fn durable_insert(&mut self, at: Place, node: NodeId) {
        let directory = self.directory_mut(at.directory).expect("a name stands in a directory");
        directory.durable.insert(at.name, node);
    }

    fn durable_remove(&mut self, at: &Place, node: NodeId) {
        let directory = self.directory_mut(at.directory).expect("a name stands in a directory");
        if directory.durable.get(&at.name) == Some(&node) {
            directory.durable.remove(&at.name);
        }
    }

    fn unnamed(&mut self, node: NodeId) {
        self.node_mut(node).named = false;
        self.garbage += 1;
    }

    /// Every node that a name leads to, now or after a power cut.
    fn reachable(&self) -> BTreeSet<NodeId> {
        let mut seen = BTreeSet::from([ROOT]);
        let mut next = vec![ROOT];
        while let Some(node) = next.pop() {
            if let Kind::Directory(directory) = &self.node(node).kind {
                let below = directory.current.values().chain(directory.durable.values());
                next.extend(below.filter(|node| seen.insert(**node)));
            }
        }
        seen
    }

    fn collect(&mut self) {
        let mut keep = self.reachable();
        for (_, change) in &self.changes {
            keep.insert(change.node());
            keep.extend(change.directories());
        }
        for (index, slot) in self.nodes.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(|node| node.handles == 0) && !keep.contains(&NodeId(index)) {
                *slot = None;
            }
        }
        self.garbage = 0;
    }

    fn is_within(&self, inner: NodeId, outer: NodeId) -> bool {
        let Kind::Directory(directory) = &self.node(outer).kind else { return false };
        inner == outer || directory.current.values().any(|below| self.is_within(inner, *below))
    }

    fn place(&self, path: &Path) -> Result<Place, Errno> {
        let mut names = normal(path)?;
        let name = names.pop().ok_or(Errno::EXISTS)?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::NAME_TOO_LONG);
        }
        let mut directory = ROOT;
        for name in names {
            directory = *self.directory(directory)?.current.get(name).ok_or(Errno::NOT_FOUND)?;
        }
        self.directory(directory)?;
        Ok(Place { directory, name: name.to_owned() })
    }

    fn node(&self, node: NodeId) -> &Node {
        self.nodes[node.0].as_ref().expect("a node lives while a name or descriptor leads to it")
    }

    fn node_mut(&mut self, node: NodeId) -> &mut Node {
        self.nodes[node.0].as_mut().expect("a node lives while a name or descriptor leads to it")
    }

    fn directory(&self, node: NodeId) -> Result<&Directory, Errno> {
        match &self.node(node).kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::NOT_A_DIRECTORY),
        }
    }

    fn directory_mut(&mut self, node: NodeId) -> Result<&mut Directory, Errno> {
        match &mut self.node_mut(node).kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::NOT_A_DIRECTORY),
        }
    }
}

/// What a removal is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    File,
    Directory,
}

/// Which of `count` changes of names survive: none, all, the older ones as a journaling file system keeps them, or any.
fn draw_survivors(count: usize, random: &mut Random) -> Vec<bool> {
    match random.below(6) {
        0 => vec![true; count],
        1 => vec![false; count],
        2 | 3 => {
            let kept = random.index(count + 1);
            (0..count).map(|index| index < kept).collect()
        }
        _ => (0..count).map(|_| random.chance(500)).collect(),
    }
}

/// The names along a path from the root. The working directory is the root.
fn normal(path: &Path) -> Result<Vec<&str>, Errno> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                let name = name.to_str().filter(|name| !name.contains('\0'));
                names.push(name.ok_or(Errno::INVALID)?);
            }
            Component::ParentDir => {
                names.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}

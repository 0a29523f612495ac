//! What a test does to the disks and the network.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringlog_buffer::Slice;

use super::disk::{DiskFault, DiskOptions, nanos};
use super::network::{ConnectionId, NetworkOptions, Side};
use super::{Node, world::World};
use crate::op::{Create, Durability};

/// A host's disk, in a test's hands.
#[derive(Debug, Clone)]
pub struct DiskControl {
    world: Rc<RefCell<World>>,
    node: Node,
}

impl DiskControl {
    pub(super) fn new(world: &Rc<RefCell<World>>, node: Node) -> Self {
        Self { world: Rc::clone(world), node }
    }

    fn with<R>(&self, f: impl FnOnce(&mut super::disk::Disk) -> R) -> R {
        f(&mut self.world.borrow_mut().hosts[self.node.0].disk)
    }

    /// Adds a rule. Rules stand until [`clear_faults`](Self::clear_faults), `Trigger::Nth` ones until they strike.
    pub fn fault(&self, fault: DiskFault) {
        self.with(|disk| disk.add_fault(fault));
    }

    /// Removes every rule.
    pub fn clear_faults(&self) {
        self.with(super::disk::Disk::clear_faults);
    }

    /// Changes latency, bandwidth, capacity. Capacity below what is used means that nothing is free.
    pub fn set_options(&self, change: impl FnOnce(&mut DiskOptions)) {
        self.with(|disk| change(disk.options_mut()));
    }

    /// Sets the space for contents, in bytes.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.set_options(|options| options.capacity_bytes = capacity_bytes);
    }

    /// Leaves so many bytes free.
    pub fn set_free_bytes(&self, free_bytes: u64) {
        self.with(|disk| {
            let capacity_bytes = disk.used_bytes() + free_bytes;
            disk.options_mut().capacity_bytes = capacity_bytes;
        });
    }

    /// Bytes that may still be written.
    pub fn free_bytes(&self) -> u64 {
        self.with(|disk| disk.free_bytes())
    }

    /// Whether a power cut could take anything away.
    pub fn has_unsynced(&self) -> bool {
        self.with(|disk| disk.has_unsynced())
    }

    /// Flips one bit of the byte at `offset` of a file, in the cache and on the disk.
    pub fn rot(&self, path: impl AsRef<Path>, offset: u64) -> io::Result<()> {
        self.with(|disk| disk.rot(path.as_ref(), offset)).map_err(Into::into)
    }

    /// The file's bytes, as a process would read them.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.with(|disk| disk.contents(path.as_ref())).map_err(Into::into)
    }

    /// Puts a file on the disk, as if it had been there before. Its directory must exist.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let path = path.as_ref();
        self.with(|disk| {
            let node = disk.open(path, Create::IfMissing)?;
            let written = disk.set_len(node, 0).and_then(|()| {
                disk.write(node, 0, &[Slice::from(bytes)], Durability::None, None)?;
                disk.sync_files(&disk.covered_of_file(node));
                disk.sync_directory(path.parent().unwrap_or(Path::new("")), &disk.covered_names())
            });
            disk.close(node, u64::MAX);
            written.map_err(io::Error::from)
        })
    }

    /// Puts a directory on the disk, as if it had been there before. Its parent must exist.
    pub fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.with(|disk| {
            disk.create_directory(path)?;
            Ok(disk.sync_directory(path.parent().unwrap_or(Path::new("")), &disk.covered_names())?)
        })
    }

    /// Names in a directory, sorted.
    pub fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let entries = self.with(|disk| disk.list(path.as_ref()))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }
}

/// The network, in a test's hands.
#[derive(Debug, Clone)]
pub struct NetworkControl {
    world: Rc<RefCell<World>>,
}

impl NetworkControl {
    pub(super) fn new(world: &Rc<RefCell<World>>) -> Self {
        Self { world: Rc::clone(world) }
    }

    /// Nothing passes between the two sets of hosts any more, in either direction, until it is healed. Connections
    /// stay and wait.
    pub fn partition(&self, some: &[Node], others: &[Node]) {
        for (one, other) in pairs(some, others) {
            self.block(one, other);
            self.block(other, one);
        }
    }

    /// Nothing passes from one host to another any more; the other direction stays as it is.
    pub fn block(&self, from: Node, to: Node) {
        self.world.borrow_mut().network.blocked.insert((from.0, to.0));
    }

    /// Everything passes between the two sets of hosts again. What waited is sent again.
    pub fn heal(&self, some: &[Node], others: &[Node]) {
        let mut world = self.world.borrow_mut();
        for (one, other) in pairs(some, others) {
            world.network.blocked.remove(&(one.0, other.0));
            world.network.blocked.remove(&(other.0, one.0));
        }
        world.resume_connections();
    }

    /// Everything passes again everywhere.
    pub fn heal_all(&self) {
        let mut world = self.world.borrow_mut();
        world.network.blocked.clear();
        world.resume_connections();
    }

    /// Resets every connection between two hosts, or within one. Answers how many.
    pub fn cut(&self, one: Node, other: Node) -> usize {
        let mut world = self.world.borrow_mut();
        let between = world.connections_between(one.0, other.0);
        for connection in &between {
            world.send_reset(*connection, Side::Caller);
            world.send_reset(*connection, Side::Callee);
        }
        between.len()
    }

    /// Makes every present connection between two hosts half-open: packets vanish, nobody is told. New connections
    /// work. Answers how many.
    pub fn vanish(&self, one: Node, other: Node) -> usize {
        let mut world = self.world.borrow_mut();
        let between = world.connections_between(one.0, other.0);
        for connection in &between {
            if let Some(open) = world.network.connections.get_mut(connection) {
                open.is_vanished = true;
            }
        }
        between.len()
    }

    /// Adds to the latency from one host to another.
    pub fn set_delay(&self, from: Node, to: Node, delay: Duration) {
        self.world.borrow_mut().network.delays.insert((from.0, to.0), nanos(delay));
    }

    /// Changes latency, bandwidth, buffers and losses.
    pub fn set_options(&self, change: impl FnOnce(&mut NetworkOptions)) {
        change(&mut self.world.borrow_mut().network.options);
    }

    /// Connections that at least one process has open.
    pub fn connections(&self) -> usize {
        self.world.borrow().network.connections.len()
    }
}

fn pairs<'a>(some: &'a [Node], others: &'a [Node]) -> impl Iterator<Item = (Node, Node)> + 'a {
    some.iter().flat_map(|one| others.iter().map(|other| (*one, *other))).filter(|(one, other)| one != other)
}

impl World {
    fn connections_between(&self, one: usize, other: usize) -> Vec<ConnectionId> {
        let hosts = |id: &ConnectionId| {
            let open = &self.network.connections[id];
            (open.end(Side::Caller).host, open.end(Side::Callee).host)
        };
        let wanted = [(one, other), (other, one)];
        self.network.connections.keys().filter(|id| wanted.contains(&hosts(id))).copied().collect()
    }
}

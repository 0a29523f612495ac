//! The mesh: bounded queues between every two shards, and from each shard to itself.
//!
//! A message crosses as an owned value. Whoever sends looks at the receiver's door at the end of its loop turn, and
//! rings only if that shard sleeps.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};

use crate::backend::Bell;
use crate::core::{Core, MeshPort};
use crate::counts::MeshCounts;

mod ring;

use ring::{Door, Ring};

/// What all shards see of one of them.
#[derive(Debug, Default)]
struct Entrance {
    door: Door,
    /// Set before its owner first sleeps.
    bell: OnceLock<Bell>,
}

struct Fabric<M> {
    shards: usize,
    /// From shard `f` to shard `t` at `f * shards + t`.
    rings: Box<[Ring<M>]>,
    entrances: Box<[Entrance]>,
}

impl<M> Fabric<M> {
    fn ring(&self, from: usize, to: usize) -> &Ring<M> {
        assert!(from < self.shards && to < self.shards, "no ring from {from} to {to} of {} shards", self.shards);
        &self.rings[from * self.shards + to]
    }
}

/// One shard's place in a mesh, on its way to the shard's thread. There is one per shard, which is what makes each
/// ring's sender and receiver single.
pub(crate) struct Seat<M> {
    fabric: Arc<Fabric<M>>,
    index: usize,
}

/// The seats of a new mesh, in the order of shards.
pub(crate) fn seats<M: Send + 'static>(shards: usize, messages: usize) -> Vec<Seat<M>> {
    let fabric = Arc::new(Fabric {
        shards,
        rings: (0..shards * shards).map(|_| Ring::new(messages.next_power_of_two())).collect(),
        entrances: (0..shards).map(|_| Entrance::default()).collect(),
    });
    (0..shards).map(|index| Seat { fabric: Arc::clone(&fabric), index }).collect()
}

impl<M: Send + 'static> Seat<M> {
    /// Takes the place, on the shard's own thread.
    pub(crate) fn attach(self, core: &Rc<Core>) -> Mesh<M> {
        let entrance = &self.fabric.entrances[self.index];
        assert!(entrance.bell.set(core.bell()).is_ok(), "a seat is taken once");
        let port = Rc::new(Port {
            waiting_senders: (0..self.fabric.shards).map(|_| RefCell::default()).collect(),
            touched: (0..self.fabric.shards).map(|_| Cell::new(false)).collect(),
            fabric: self.fabric,
            index: self.index,
            core: Rc::downgrade(core),
            inbox: RefCell::default(),
            receiver: Cell::new(None),
            counts: Cell::default(),
        });
        core.set_mesh(Rc::clone(&port) as Rc<dyn MeshPort>);
        Mesh { port }
    }
}

struct Port<M> {
    fabric: Arc<Fabric<M>>,
    index: usize,
    core: Weak<Core>,
    /// Taken from the rings and not yet received. Filled only when it is empty, so bounded by the rings.
    inbox: RefCell<VecDeque<(usize, M)>>,
    receiver: Cell<Option<Waker>>,
    /// Who waits for room, by destination.
    waiting_senders: Box<[RefCell<Vec<Waker>>]>,
    /// The shards that have a message or room since the last `flush`.
    touched: Box<[Cell<bool>]>,
    counts: Cell<MeshCounts>,
}

impl<M> Port<M> {
    fn outgoing(&self, to: usize) -> &Ring<M> {
        self.fabric.ring(self.index, to)
    }

    fn incoming(&self, from: usize) -> &Ring<M> {
        self.fabric.ring(from, self.index)
    }

    /// Empties every incoming ring into the empty inbox.
    fn collect(&self) {
        let mut inbox = self.inbox.borrow_mut();
        if !inbox.is_empty() {
            return;
        }
        for from in 0..self.fabric.shards {
            let ring = self.incoming(from);
            let before = inbox.len();
            // SAFETY: this port has the only seat of its shard and never leaves its thread, so it is the only receiver.
            while let Some(message) = unsafe { ring.pop() } {
                inbox.push_back((from, message));
            }
            if inbox.len() > before && ring.take_waiting_sender() {
                self.touched[from].set(true);
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut MeshCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    fn push(&self, to: usize, message: M) -> Result<(), M> {
        let ring = self.outgoing(to);
        if ring.is_receiver_gone() {
            return Ok(());
        }
        // SAFETY: this port has the only seat of its shard and never leaves its thread, so it is the only sender.
        if let Err(message) = unsafe { ring.push(message) } {
            self.count(|counts| counts.full += 1);
            return Err(message);
        }
        self.count(|counts| counts.sent += 1);
        self.touched[to].set(true);
        Ok(())
    }

    fn wake_senders(&self) {
        for (to, waiting) in self.waiting_senders.iter().enumerate() {
            let ring = self.outgoing(to);
            if !waiting.borrow().is_empty() && (ring.has_room() || ring.is_receiver_gone()) {
                waiting.take().into_iter().for_each(Waker::wake);
            }
        }
    }
}

impl<M> MeshPort for Port<M> {
    fn poll(&self) {
        if (0..self.fabric.shards).any(|from| !self.incoming(from).is_empty())
            && let Some(receiver) = self.receiver.take()
        {
            receiver.wake();
        }
        self.wake_senders();
    }

    fn flush(&self) {
        for (shard, touched) in self.touched.iter().enumerate() {
            if !touched.take() || shard == self.index {
                continue;
            }
            let entrance = &self.fabric.entrances[shard];
            if entrance.door.must_ring() {
                let bell = entrance.bell.get().expect("a shard that sleeps has set its bell");
                if let Some(core) = self.core.upgrade() {
                    self.count(|counts| counts.rung += 1);
                    core.ring(bell);
                }
            }
        }
    }

    fn has_work(&self) -> bool {
        let has_messages = (0..self.fabric.shards).any(|from| !self.incoming(from).is_empty());
        let has_receiver = {
            let receiver = self.receiver.take();
            let has = receiver.is_some();
            self.receiver.set(receiver);
            has
        };
        let may_send = self.waiting_senders.iter().enumerate().any(|(to, waiting)| {
            let ring = self.outgoing(to);
            !waiting.borrow().is_empty() && (ring.has_room() || ring.is_receiver_gone())
        });
        (has_messages && has_receiver) || may_send
    }

    fn announce_sleep(&self) -> bool {
        self.fabric.entrances[self.index].door.sleep();
        self.has_work()
    }

    fn announce_awake(&self) {
        self.fabric.entrances[self.index].door.awake();
    }
}

impl<M> Drop for Port<M> {
    fn drop(&mut self) {
        for from in 0..self.fabric.shards {
            let ring = self.incoming(from);
            ring.leave();
            let entrance = &self.fabric.entrances[from];
            if ring.take_waiting_sender()
                && let Some(bell) = entrance.bell.get()
            {
                bell.ring();
            }
        }
    }
}

/// One shard's end of the mesh. Clones are the same end.
pub struct Mesh<M> {
    port: Rc<Port<M>>,
}

impl<M: Send + 'static> Mesh<M> {
    /// How many shards there are, this one included.
    pub fn shards(&self) -> usize {
        self.port.fabric.shards
    }

    /// This shard's index.
    pub fn index(&self) -> usize {
        self.port.index
    }

    /// What this end has done since its start.
    pub fn counts(&self) -> MeshCounts {
        self.port.counts.get()
    }

    /// Sends a message unless the ring to that shard is full; then it comes back. To a shard that has ended, messages
    /// go to nowhere. Panics if there is no shard `to`.
    pub fn try_send(&self, to: usize, message: M) -> Result<(), M> {
        self.port.push(to, message)
    }

    /// Sends a message, and waits while the ring to that shard is full. Dropped while it waits, nothing is sent.
    pub async fn send(&self, to: usize, message: M) {
        let mut message = Some(message);
        poll_fn(|context| {
            loop {
                let unsent = message.take().expect("polled after it was sent");
                let Err(unsent) = self.port.push(to, unsent) else { return Poll::Ready(()) };
                message = Some(unsent);
                if !self.port.outgoing(to).wait_for_room() {
                    self.port.waiting_senders[to].borrow_mut().push(context.waker().clone());
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    /// The next message and the shard that sent it. Messages of one shard come in their order. One task at a time
    /// receives: of several, the last to wait gets the message.
    pub async fn recv(&self) -> (usize, M) {
        poll_fn(|context| {
            if let Some(message) = self.try_recv() {
                return Poll::Ready(message);
            }
            self.port.receiver.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// The next message, if one is there.
    pub fn try_recv(&self) -> Option<(usize, M)> {
        self.port.collect();
        let message = self.port.inbox.borrow_mut().pop_front();
        if message.is_some() {
            self.port.count(|counts| counts.received += 1);
        }
        message
    }
}

impl<M> Clone for Mesh<M> {
    fn clone(&self) -> Self {
        Self { port: Rc::clone(&self.port) }
    }
}

impl<M> fmt::Debug for Mesh<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mesh({} of {} shards)", self.port.index, self.port.fabric.shards)
    }
}

//! What is served over HTTP to those who watch a broker: metrics, health, settings, where the time of requests went. On shard 0,
//! from before recovery on, so that a broker that takes its time can be told from one that is gone.

mod answers;
pub(crate) mod health;
mod requests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_reactor::{ListenOptions, Listener, Reactor, Socket};
use ringlog_storage::types::Millis;

use crate::event::Event;
use crate::http;
use crate::metrics::gather::Gatherer;
use crate::shard::Shard;
use crate::turn::Turn;

/// Connections at a time. For another one the one is ended that has been without a request for longest; only while all of
/// them are being answered it waits.
const CONNECTIONS_MAX: usize = 16;
/// Scrapes that wait for the one that is being made; more are refused, so that there is always room for what is answered at
/// once.
const SCRAPES_WAITING_MAX: usize = 8;
/// The same of those who read what the recorder has kept. With the scrapes they do not take all connections.
const READINGS_WAITING_MAX: usize = 4;
const _: () = assert!(SCRAPES_WAITING_MAX + 1 + READINGS_WAITING_MAX + 1 < CONNECTIONS_MAX);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;
/// How long accepting rests after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server.
pub(crate) struct Admin {
    reactor: Reactor,
    address: SocketAddr,
    /// Once there is one that serves.
    served: RefCell<Option<Served>>,
    connections: Cell<usize>,
    /// Those whose request has not arrived, the oldest first, with what ends them. As many as there are connections at most.
    without_request: RefCell<BTreeMap<u64, Rc<Event>>>,
    accepted: Cell<u64>,
    /// Rings when a connection has ended.
    room: Event,
    /// Scrapes are made one at a time.
    scrapes: Turn,
    /// So is what tells of requests.
    readings: Turn,
}

/// What there is to tell once the broker serves.
#[derive(Clone, Debug)]
struct Served {
    shard: Shard,
    gatherer: Rc<Gatherer>,
    since: Millis,
}

impl Admin {
    /// Listens, and begins to serve.
    pub(crate) async fn start(reactor: &Reactor, address: SocketAddr) -> io::Result<Rc<Self>> {
        let listener = reactor
            .listen(
                address,
                ListenOptions { backlog: BACKLOG, beyond_limit: CONNECTIONS_MAX, ..ListenOptions::default() },
            )
            .await?;
        let admin = Rc::new(Self {
            reactor: reactor.clone(),
            address: listener.local_addr(),
            served: RefCell::default(),
            connections: Cell::new(0),
            without_request: RefCell::default(),
            accepted: Cell::new(0),
            room: Event::default(),
            scrapes: Turn::default(),
            readings: Turn::default(),
        });
        reactor.spawn_detached(Rc::clone(&admin).accept(listener));
        Ok(admin)
    }

    /// Where it is served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The broker serves its clients from now on.
    pub(crate) fn serving(&self, shard: &Shard) {
        let gatherer = Rc::new(Gatherer::new(shard));
        *self.served.borrow_mut() = Some(Served { shard: shard.clone(), gatherer, since: shard.wall_clock() });
    }

    async fn accept(self: Rc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    self.make_room().await;
                    self.connections.set(self.connections.get() + 1);
                    self.reactor.spawn_detached(Rc::clone(&self).serve(socket));
                }
                Err(error) => {
                    tracing::error!("ringlog.admin.listener: accepting connections fails and is tried again: {error}");
                    self.reactor.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits until there is room for another connection, and ends one that has brought nothing if there is none.
    async fn make_room(&self) {
        let mut pushed_out = None;
        while self.connections.get() >= CONNECTIONS_MAX {
            // Whichever ends first makes the room, and no other one has to.
            if pushed_out.is_none() {
                pushed_out = self.without_request.borrow_mut().pop_first();
                if let Some((_, oldest)) = &pushed_out {
                    oldest.ring();
                }
            }
            self.room.wait().await;
        }
    }

    async fn serve(self: Rc<Self>, socket: Socket) {
        let number = self.accepted.get();
        self.accepted.set(number + 1);
        let pushed_out = Rc::new(Event::default());
        self.without_request.borrow_mut().insert(number, Rc::clone(&pushed_out));
        let answer = |request| {
            self.without_request.borrow_mut().remove(&number);
            answers::answer(Rc::clone(&self), request)
        };
        http::serve(&self.reactor, socket, pushed_out.wait(), answer).await;
        self.without_request.borrow_mut().remove(&number);
        self.connections.set(self.connections.get() - 1);
        self.room.ring();
    }

    fn served(&self) -> Option<Served> {
        self.served.borrow().clone()
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admin({}, {} connections)", self.address, self.connections.get())
    }
}

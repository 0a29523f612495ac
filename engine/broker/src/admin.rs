//! What is served over HTTP to those who watch a broker: metrics, health, settings. On shard 0, from before recovery on, so
//! that a broker that takes its time can be told from one that is gone.

mod answers;
pub(crate) mod health;
mod turn;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_reactor::{ListenOptions, Listener, Reactor};

use crate::event::Event;
use crate::http;
use crate::metrics::gather::Gatherer;
use crate::shard::Shard;
use turn::Turn;

/// Connections at a time; more wait in the backlog.
const CONNECTIONS_MAX: usize = 16;
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
    /// Rings when a connection has ended.
    room: Event,
    /// Scrapes are made one at a time.
    scrapes: Turn,
}

/// What there is to tell once the broker serves.
#[derive(Clone, Debug)]
struct Served {
    shard: Shard,
    gatherer: Rc<Gatherer>,
}

impl Admin {
    /// Listens, and begins to serve.
    pub(crate) async fn start(reactor: &Reactor, address: SocketAddr) -> io::Result<Rc<Self>> {
        let listener = reactor.listen(address, ListenOptions { reuse_port: false, backlog: BACKLOG }).await?;
        let admin = Rc::new(Self {
            reactor: reactor.clone(),
            address: listener.local_addr(),
            served: RefCell::default(),
            connections: Cell::new(0),
            room: Event::default(),
            scrapes: Turn::default(),
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
        *self.served.borrow_mut() = Some(Served { shard: shard.clone(), gatherer });
    }

    async fn accept(self: Rc<Self>, listener: Listener) {
        loop {
            while self.connections.get() >= CONNECTIONS_MAX {
                self.room.wait().await;
            }
            match listener.accept().await {
                Ok((socket, _)) => {
                    self.connections.set(self.connections.get() + 1);
                    let admin = Rc::clone(&self);
                    self.reactor.spawn_detached(async move {
                        http::serve(&admin.reactor, socket, |request| answers::answer(Rc::clone(&admin), request))
                            .await;
                        admin.connections.set(admin.connections.get() - 1);
                        admin.room.ring();
                    });
                }
                Err(error) => {
                    tracing::error!("ringlog.admin.listener: accepting connections fails and is tried again: {error}");
                    self.reactor.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
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

//! Listens, and starts connections. Every shard has a socket of its own on every port; the kernel spreads clients.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use ringlog_cluster::config::BrokerConfig;
use ringlog_reactor::{ListenOptions, Listener, Reactor};

use crate::connection::Connection;
use crate::connection_limits::{Admission, admit};
use crate::dispatch::served_apis;
use crate::shard::Shard;

/// How often connections are looked at for idle deadlines.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a stop waits for requests in flight.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a stop looks whether they are answered.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// How long accepting rests after it failed: too many open files, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connections of one shard.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    open: RefCell<BTreeMap<u64, Weak<Connection>>>,
    next: RefCell<u64>,
}

impl OpenConnections {
    fn insert(&self, connection: &Rc<Connection>) {
        let mut next = self.next.borrow_mut();
        self.open.borrow_mut().insert(*next, Rc::downgrade(connection));
        *next += 1;
    }

    /// Waits until every connection has ended, but no longer than [`DRAIN_TIME_MAX`].
    pub(crate) async fn drained(&self, shard: &Shard) {
        let deadline = shard.reactor().now() + DRAIN_TIME_MAX;
        while !self.live().is_empty() && shard.reactor().now() < deadline {
            shard.reactor().sleep(DRAIN_CHECK_INTERVAL).await;
        }
    }

    /// Connections that are still there. Forgets those that are not.
    pub(crate) fn live(&self) -> Vec<Rc<Connection>> {
        let mut live = Vec::new();
        self.open.borrow_mut().retain(|_, connection| {
            let connection = connection.upgrade();
            live.extend(connection.clone());
            connection.is_some()
        });
        live
    }
}

/// Listens on a port that other shards listen on too.
pub(crate) async fn listen(reactor: &Reactor, config: &BrokerConfig, address: SocketAddr) -> io::Result<Listener> {
    let backlog = u32::try_from(config.listen_backlog).unwrap_or(u32::MAX);
    reactor.listen(address, ListenOptions { reuse_port: true, backlog }).await
}

/// Accepts until the shard stops.
pub(crate) async fn accept(shard: Shard, listener: Listener, index: usize) {
    let apis = Arc::new(served_apis());
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let admission = admit(&shard, socket, peer, index).await;
                if shard.with(|state| state.stopping) {
                    return;
                }
                if let Admission::Served(socket, counts) = admission {
                    let connection = Connection::start(&shard, socket, peer, index, Arc::clone(&apis), counts);
                    shard.connections().insert(&connection);
                }
            }
            Err(error) => {
                tracing::error!("accepting connections fails and is tried again: {error}");
                shard.reactor().sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Closes connections whose time has come.
pub(crate) async fn watch_idle(shard: Shard) {
    loop {
        shard.reactor().sleep(IDLE_CHECK_INTERVAL).await;
        let now = shard.now();
        for connection in shard.connections().live() {
            connection.handle_timeout(now);
        }
    }
}

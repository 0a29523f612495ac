//! Listens, and starts connections. Every shard has a socket of its own on every port; the kernel spreads clients.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use ringlog_cluster::config::BrokerConfig;
use ringlog_net::conn::CloseReason;
use ringlog_net::header::ServedApis;
use ringlog_reactor::{ListenOptions, Listener, Reactor};

use crate::clock::Clock;
use crate::connection::Connection;
use crate::connection_limits::{Admission, admit};
use crate::dispatch::served_apis;
use crate::lines::repeated;
use crate::shard::Shard;

/// How often connections are looked at for idle deadlines, and clocks for jumps.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a stop waits for requests in flight.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a stop looks whether they are answered.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// How long accepting rests after it failed: too many open files, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// `EMFILE` and `ENFILE`: this process, or the whole machine, has too many open files.
pub(crate) const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];

/// Connections of a shard that is taken out of use which end at a time, and the time from some to the next.
const LEFT_AT_ONCE_MAX: usize = 64;
const LEAVE_PAUSE: Duration = Duration::from_millis(5);

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

/// Accepts while the shard is in use, until it stops. Other shards listen on the port, so it is not lost meanwhile.
pub(crate) async fn accept(shard: Shard, listener: Listener, index: usize) {
    let (apis, address) = (Arc::new(served_apis()), listener.local_addr());
    let mut listener = Some(listener);
    loop {
        match listener {
            Some(open) => accept_while_in_use(&shard, &open, index, &apis).await,
            None => shard.reactor().sleep(ACCEPT_PAUSE).await,
        }
        shard.until_used(true).await;
        if shard.with(|state| state.stopping) {
            return;
        }
        listener = match listen(shard.reactor(), &shard.settings().broker, address).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                repeated!(
                    shard.lines(),
                    AcceptFailed,
                    "ports that could not be listened on",
                    ERROR,
                    "listening on {address} again failed and is tried again: {error}"
                );
                None
            }
        };
    }
}

async fn accept_while_in_use(shard: &Shard, listener: &Listener, index: usize, apis: &Arc<ServedApis>) {
    // One wait for all connections: each would leave something behind with whoever changes the shards in use.
    let mut unused = pin!(shard.until_used(false));
    loop {
        let Either::Left((accepted, _)) = select(pin!(listener.accept()), unused.as_mut()).await else { return };
        match accepted {
            Ok((socket, peer)) => {
                let admission = admit(shard, socket, peer, index).await;
                if shard.with(|state| state.stopping) {
                    return;
                }
                let Admission::Served(socket, counts) = admission else { continue };
                if shard.is_used() {
                    let connection = Connection::start(shard, socket, peer, index, Arc::clone(apis), counts);
                    shard.connections().insert(&connection);
                } else if let Some(origin) = counts {
                    // The shard was taken out of use while the connection waited to be let in: its client comes again.
                    shard.connection_gate().ended(origin);
                }
            }
            Err(error) => {
                accept_failed(shard, &error);
                shard.reactor().sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn accept_failed(shard: &Shard, error: &io::Error) {
    shard.connection_gate().accept_failed();
    let is_out = error.raw_os_error().is_some_and(|errno| OUT_OF_DESCRIPTORS.contains(&errno));
    let remedy = if is_out {
        "; clients wait until others leave: raise the limit of open files (ulimit -n, LimitNOFILE=), which a line of the start \
         tells"
    } else {
        ""
    };
    repeated!(
        shard.lines(),
        AcceptFailed,
        "connections that could not be accepted",
        ERROR,
        "accepting a connection failed and is tried again: {error}{remedy}"
    );
}

/// Ends the connections of a shard that is taken out of use, some at a time, each when its requests are answered: their
/// clients come back to other shards.
pub(crate) async fn leave(shard: Shard) {
    loop {
        shard.until_used(false).await;
        let live = shard.connections().live();
        if live.is_empty() {
            shard.until_used(true).await;
            continue;
        }
        for connection in live.iter().take(LEFT_AT_ONCE_MAX) {
            connection.close(CloseReason::ShardUnused);
        }
        shard.reactor().sleep(LEAVE_PAUSE).await;
    }
}

/// Looks at everything that time changes: closes connections whose time has come, tells what the log has left out, and whether
/// a clock was set.
pub(crate) async fn watch(shard: Shard, listeners: usize) {
    let mut clock = Clock::new(shard.both_clocks());
    loop {
        shard.reactor().sleep(CHECK_INTERVAL).await;
        let now = shard.now();
        let live = shard.connections().live();
        for connection in &live {
            connection.handle_timeout(now);
        }
        shard.lines().tell_ended();
        tell_full(&shard, live.len(), listeners);
        // The clock is the machine's: one shard tells it.
        if let Some(set_ms) = clock.look(shard.both_clocks()).filter(|_| shard.index() == 0) {
            tell_jump(&shard, set_ms);
        }
    }
}

/// The reactor lets clients wait in the backlog where a shard has as many sockets as it may: nobody would know why.
fn tell_full(shard: &Shard, connections: usize, listeners: usize) {
    let sockets_max = shard.reactor().limits().sockets;
    if connections + listeners >= sockets_max {
        repeated!(
            shard.lines(),
            AcceptWaits,
            "a shard that has as many connections as it may",
            WARN,
            connections,
            sockets_max,
            "this shard has as many connections as it may, and others wait until some of them end: close some, raise the limit \
             of open files (ulimit -n, LimitNOFILE=; a third of it is for connections), or run more shards"
        );
    }
}

fn tell_jump(shard: &Shard, set_ms: i64) {
    let direction = if set_ms < 0 { "back" } else { "forward" };
    repeated!(
        shard.lines(),
        ClockJump,
        "jumps of the clock",
        WARN,
        set_ms,
        "the clock of this machine was set {direction} by {} ms: records have its time, and retention goes by that; look at \
         what keeps the time (chrony, ntpd)",
        set_ms.unsigned_abs()
    );
}

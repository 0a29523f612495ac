//! Listens, and starts connections. Every shard has a socket of its own on every port, whether it is in use or not; the kernel
//! spreads clients.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ringlog_cluster::config::BrokerConfig;
use ringlog_reactor::{ListenOptions, Listener, Reactor, Socket, is_out_of_descriptors};

use crate::clock::Clock;
use crate::connection::Connection;
use crate::connection_limits::{Admission, admit};
use crate::connection_moves::{destination, hand_over};
use crate::entrant::Entrant;
use crate::lines::repeated;
use crate::shard::Shard;

/// How often connections are looked at for idle deadlines, and clocks for jumps.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long accepting rests after it failed: too many open files, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on a port that other shards listen on too.
pub(crate) async fn listen(reactor: &Reactor, config: &BrokerConfig, address: SocketAddr) -> io::Result<Listener> {
    let backlog = u32::try_from(config.listen_backlog).unwrap_or(u32::MAX);
    let options = ListenOptions {
        reuse_port: true,
        backlog,
        receive_buffer_bytes: config.socket_receive_buffer_bytes,
        send_buffer_bytes: config.socket_send_buffer_bytes,
        ..ListenOptions::default()
    };
    reactor.listen(address, options).await
}

/// Accepts until the shard stops. Who comes to a shard that is not in use is handed over to another: closing the socket would
/// reset those that wait in its queue, and those that are about to.
pub(crate) async fn accept(shard: Shard, listener: Listener, index: usize) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let admission = admit(&shard, socket, peer, index).await;
                if shard.with(|state| state.stopping) {
                    return;
                }
                if let Admission::Served(socket, counts) = admission {
                    enter(&shard, socket, Entrant::accepted(peer, index, counts, shard.now())).await;
                }
            }
            Err(error) => {
                accept_failed(&shard, &error);
                shard.reactor().sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Starts to serve a connection, on another shard if this one is not in use. Ends when it is served.
async fn enter(shard: &Shard, socket: Socket, entrant: Entrant) {
    match destination(shard, None) {
        Some(to) => hand_over(shard, to, &socket, entrant).await,
        None => shard.connections().insert(&Connection::start(shard, socket, entrant)),
    }
}

fn accept_failed(shard: &Shard, error: &io::Error) {
    shard.connection_gate().accept_failed();
    let is_out = error.raw_os_error().is_some_and(is_out_of_descriptors);
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

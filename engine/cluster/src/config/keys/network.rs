//! Listeners, sockets, connections and what one request may bring.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::{ClusterWide, ReadOnly};
use crate::config::key::Valid::{AddressCounts, Any, AtLeast};

use super::keys;
use super::reason::{BACK_PRESSURE, LATER_CLUSTER, LATER_SASL, ONE_PROCESS};

keys! {
    /// What clients are told to connect to; `listeners` when not given.
    "advertised.listeners": List = null, Any, ReadOnly, Acts;
    /// How long the answer to a failed login is held back.
    "connection.failed.authentication.delay.ms": Int = "100", AtLeast(0), ReadOnly, LATER_SASL;
    /// A connection that is silent for this long is closed.
    "connections.max.idle.ms": Long = "600000", Any, ReadOnly, Acts;
    /// How long one SASL login is good for; 0 is without end.
    "connections.max.reauth.ms": Long = "0", Any, ReadOnly, LATER_SASL;
    /// The listeners that belong to the controller, not to clients.
    "controller.listener.names": List = null, Any, ReadOnly, Acts;
    /// Listeners that open before the authorizer is ready.
    "early.start.listeners": List = null, Any, ReadOnly, ONE_PROCESS;
    /// The most bytes of records in one Fetch response, whatever the client asks for.
    "fetch.max.bytes": Int = "57671680", AtLeast(1024), ReadOnly, Acts;
    /// The listener over which brokers talk to each other.
    "inter.broker.listener.name": String = null, Any, ReadOnly, Acts;
    /// Which security protocol each listener name stands for.
    "listener.security.protocol.map": String =
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        Any, ReadOnly, Acts;
    /// Where this server listens: comma-separated `NAME://host:port`.
    "listeners": List = "PLAINTEXT://127.0.0.1:9092", Any, ReadOnly, Acts;
    /// The most connections accepted per second.
    "max.connection.creation.rate": Int = "2147483647", AtLeast(1), ClusterWide, Acts;
    /// The most connections of this broker.
    "max.connections": Int = "2147483647", AtLeast(1), ClusterWide, Acts;
    /// The most connections from one address.
    "max.connections.per.ip": Int = "2147483647", AtLeast(0), ClusterWide, Acts;
    /// Limits for particular addresses: `address:count`, comma-separated.
    "max.connections.per.ip.overrides": String = "", AddressCounts, ClusterWide, Acts;
    /// Fetch sessions that this broker remembers.
    "max.incremental.fetch.session.cache.slots": Int = "1000", AtLeast(0), ReadOnly, Acts;
    /// Bytes of requests that may wait before sockets are no longer read.
    "queued.max.request.bytes": Long = "-1", Any, ReadOnly, BACK_PRESSURE;
    /// Requests that may wait before sockets are no longer read.
    "queued.max.requests": Int = "500", AtLeast(1), ReadOnly, BACK_PRESSURE;
    /// The longest such wait after repeated failures.
    "socket.connection.setup.timeout.max.ms": Long = "30000", Any, ReadOnly, LATER_CLUSTER;
    /// First wait for a connection to another server to be set up.
    "socket.connection.setup.timeout.ms": Long = "10000", Any, ReadOnly, LATER_CLUSTER;
    /// Connections that may wait to be accepted, per listener.
    "socket.listen.backlog.size": Int = "50", AtLeast(1), ReadOnly, Acts;
    /// Receive buffer of a client's socket; -1 leaves it to the kernel, and so does who sets nothing.
    "socket.receive.buffer.bytes": Int = "102400", AtLeast(-1), ReadOnly, Acts;
    /// The largest request frame; a larger one closes its connection.
    "socket.request.max.bytes": Int = "104857600", AtLeast(1), ReadOnly, Acts;
    /// Send buffer of a client's socket; -1 leaves it to the kernel, and so does who sets nothing.
    "socket.send.buffer.bytes": Int = "102400", AtLeast(-1), ReadOnly, Acts;
}

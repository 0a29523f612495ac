//! Listeners: where a broker listens, what it tells clients to connect to, and which protocol is spoken there.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::layers::ConfigLayers;

/// How a listener is secured, with Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(i16)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext = 0,
    /// TLS.
    Ssl = 1,
    /// SASL without TLS.
    SaslPlaintext = 2,
    /// SASL over TLS.
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// The protocol's name in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// The protocol's number in `RegisterBrokerRecord`.
    pub fn wire_code(self) -> i16 {
        self as i16
    }

    /// The protocol of this number.
    pub fn from_wire_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.wire_code() == code)
    }

    const ALL: [Self; 4] = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One listener: what is bound, and what clients are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Its name, in upper case.
    pub name: String,
    /// How it is secured.
    pub protocol: SecurityProtocol,
    /// The host to bind; empty for every address of the machine.
    pub host: String,
    /// The port to bind; 0 lets the kernel choose one.
    pub port: u16,
    /// Whether it is the controller's and not for clients.
    pub is_controller: bool,
    /// What clients are told, exactly as configured. The port 0 stands for the port that was bound.
    pub advertised: Endpoint,
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `host:port`; an IPv6 address stands in brackets. A host may be missing: every address of the machine.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:%".contains(&byte));
        is_host.then(|| Some(Self { host: host.to_owned(), port: port.parse().ok()? }))?
    }
}

/// What is wrong with the configured listeners.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ListenerError {
    /// An entry that is not of the form `NAME://host:port`.
    #[error("{key}: {entry} is not of the form NAME://host:port")]
    Malformed {
        /// The key.
        key: &'static str,
        /// The entry.
        entry: String,
    },
    /// More entries than one broker may have.
    #[error("{key}: {LISTENERS_MAX} listeners are the most")]
    TooMany {
        /// The key.
        key: &'static str,
    },
    /// Two entries of one name.
    #[error("{key}: listener {name} is named twice")]
    Duplicate {
        /// The key.
        key: &'static str,
        /// The listener.
        name: String,
    },
    /// Two entries of one port.
    #[error("listeners: {first} and {second} both want port {port}")]
    SamePort {
        /// One listener.
        first: String,
        /// The other one.
        second: String,
        /// The port.
        port: u16,
    },
    /// No listener for clients at all.
    #[error("listeners: there must be a listener that is not the controller's")]
    NoneForClients,
    /// An entry of the protocol map that cannot be read.
    #[error(
        "listener.security.protocol.map: {0} is not of the form NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )]
    BadProtocol(String),
    /// A listener without an entry in the protocol map.
    #[error("listeners: listener.security.protocol.map does not say what {0} is")]
    NoProtocol(String),
    /// A protocol that this release does not speak.
    #[error("listeners: {name} is {protocol}, which is not supported yet; PLAINTEXT is")]
    Unsupported {
        /// The listener.
        name: String,
        /// Its protocol.
        protocol: SecurityProtocol,
    },
    /// A host that no client can connect to.
    #[error(
        "advertised.listeners: clients cannot connect to {host} of listener {name}; advertise a name or address that they can reach"
    )]
    NotRoutable {
        /// The listener.
        name: String,
        /// The host.
        host: String,
    },
    /// A listener is advertised that does not exist.
    #[error("advertised.listeners: {0} is not among the listeners")]
    NotListening(String),
    /// The listener between brokers does not exist.
    #[error("inter.broker.listener.name: {0} is not among the listeners for clients")]
    NoInterBroker(String),
}

/// The most listeners of one broker.
pub(super) const LISTENERS_MAX: usize = 64;

/// Reads the listener keys. A listener that binds every address and is not advertised otherwise tells clients
/// `hostname`. The first error found is answered.
pub fn parse_listeners(config: &ConfigLayers<'_>, hostname: &str) -> Result<Vec<Listener>, ListenerError> {
    let bound = parse_entries("listeners", &config.list("listeners"))?;
    let advertised = match config.value("advertised.listeners") {
        Some(_) => parse_entries("advertised.listeners", &config.list("advertised.listeners"))?,
        None => Vec::new(),
    };
    let protocols = parse_protocols(&config.text("listener.security.protocol.map"))?;
    let controllers: Vec<String> =
        config.list("controller.listener.names").iter().map(|name| name.to_ascii_uppercase()).collect();
    check_ports(&bound)?;
    if let Some(stray) = advertised.iter().find(|entry| bound.iter().all(|bound| bound.name != entry.name)) {
        // A controller may be advertised by a server that only connects to it.
        if !controllers.contains(&stray.name) {
            return Err(ListenerError::NotListening(stray.name.clone()));
        }
    }
    let mut listeners = Vec::with_capacity(bound.len());
    for Entry { name, host, port } in bound {
        let is_controller = controllers.contains(&name);
        let protocol = match protocols.iter().find(|(known, _)| *known == name) {
            Some((_, protocol)) => *protocol,
            // As in Kafka, the controller's listener needs no entry.
            None if is_controller => SecurityProtocol::Plaintext,
            None => return Err(ListenerError::NoProtocol(name)),
        };
        if protocol != SecurityProtocol::Plaintext {
            return Err(ListenerError::Unsupported { name, protocol });
        }
        let own = advertised.iter().find(|entry| entry.name == name);
        let advertised = match own {
            Some(entry) => Endpoint { host: entry.host.clone(), port: entry.port },
            None => Endpoint { host: host.clone(), port },
        };
        let advertised = routable(advertised, &name, hostname)?;
        listeners.push(Listener { name, protocol, host, port, is_controller, advertised });
    }
    if listeners.iter().all(|listener| listener.is_controller) {
        return Err(ListenerError::NoneForClients);
    }
    check_inter_broker(config, &listeners)?;
    Ok(listeners)
}

fn check_inter_broker(config: &ConfigLayers<'_>, listeners: &[Listener]) -> Result<(), ListenerError> {
    let Some(name) = config.value("inter.broker.listener.name").map(|name| name.to_string().to_ascii_uppercase())
    else {
        return Ok(());
    };
    let exists = listeners.iter().any(|listener| listener.name == name && !listener.is_controller);
    if exists { Ok(()) } else { Err(ListenerError::NoInterBroker(name)) }
}

fn routable(endpoint: Endpoint, listener: &str, hostname: &str) -> Result<Endpoint, ListenerError> {
    match endpoint.host.as_str() {
        "" => Ok(Endpoint { host: hostname.to_owned(), ..endpoint }),
        "0.0.0.0" | "::" | "0:0:0:0:0:0:0:0" => {
            Err(ListenerError::NotRoutable { name: listener.to_owned(), host: endpoint.host })
        }
        _ => Ok(endpoint),
    }
}

/// Two listeners may share a port only on different hosts.
fn check_ports(entries: &[Entry]) -> Result<(), ListenerError> {
    for (at, first) in entries.iter().enumerate() {
        let clash = entries[at + 1..].iter().find(|second| {
            let same_host = first.host == second.host || first.host.is_empty() || second.host.is_empty();
            first.port != 0 && first.port == second.port && same_host
        });
        if let Some(second) = clash {
            let (first, second, port) = (first.name.clone(), second.name.clone(), first.port);
            return Err(ListenerError::SamePort { first, second, port });
        }
    }
    Ok(())
}

struct Entry {
    name: String,
    host: String,
    port: u16,
}

impl FromStr for Entry {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, address) = text.split_once("://").ok_or(())?;
        let Endpoint { host, port } = Endpoint::parse(address).ok_or(())?;
        let is_named =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if !is_named {
            return Err(());
        }
        Ok(Self { name: name.to_ascii_uppercase(), host, port })
    }
}

fn parse_entries(key: &'static str, items: &[String]) -> Result<Vec<Entry>, ListenerError> {
    let mut entries: Vec<Entry> = Vec::new();
    if items.len() > LISTENERS_MAX {
        return Err(ListenerError::TooMany { key });
    }
    for item in items {
        let entry: Entry = item.parse().map_err(|()| ListenerError::Malformed { key, entry: item.clone() })?;
        if entries.iter().any(|known| known.name == entry.name) {
            return Err(ListenerError::Duplicate { key, name: entry.name });
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn parse_protocols(map: &str) -> Result<Vec<(String, SecurityProtocol)>, ListenerError> {
    let entry = |item: &String| {
        let (name, protocol) = item.split_once(':')?;
        let protocol = protocol.trim().to_ascii_uppercase();
        let protocol = SecurityProtocol::ALL.into_iter().find(|known| known.name() == protocol)?;
        Some((name.trim().to_ascii_uppercase(), protocol))
    };
    let items = super::key::split_list(map);
    let mut protocols = Vec::new();
    for item in &items {
        protocols.push(entry(item).ok_or_else(|| ListenerError::BadProtocol(item.clone()))?);
    }
    // A name that is a protocol's needs no entry.
    protocols.extend(SecurityProtocol::ALL.map(|protocol| (protocol.name().to_owned(), protocol)));
    Ok(protocols)
}

#[cfg(test)]
mod tests;

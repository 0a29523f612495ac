//! From configured listeners to socket addresses, and whether those are free.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ringlog_cluster::config::{Endpoint, Listener};

/// The address of each listener, in their order.
pub(super) fn resolve(listeners: &[Listener]) -> anyhow::Result<Vec<SocketAddr>> {
    listeners.iter().map(address_of).collect()
}

fn address_of(listener: &Listener) -> anyhow::Result<SocketAddr> {
    resolved(&listener.host, listener.port, || shown(listener))
}

fn resolved(host: &str, port: u16, shown: impl Fn() -> String) -> anyhow::Result<SocketAddr> {
    if host.is_empty() {
        // As in Java: every address of both protocols, where the machine has IPv6.
        let has_ipv6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        let any = if has_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        return Ok(SocketAddr::new(any, port));
    }
    let found = (host, port).to_socket_addrs();
    let mut found = found.with_context(|| format!("{}: the name cannot be resolved; give another host", shown()))?;
    found.next().with_context(|| format!("{}: the name has no address; give another host", shown()))
}

/// Where metrics and health are served. The port is free now, or this is an error.
pub(super) fn admin(endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
    let Endpoint { host, port } = endpoint;
    let shown = || format!("ringlog.admin.listener={host}:{port}");
    let address = resolved(host, *port, shown)?;
    let way_out = "set the key to another address, or to nothing to go without metrics";
    match bind(address) {
        Ok(_) => Ok(address),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!("{}: the port is in use; stop what uses it, {way_out}", shown())
        }
        Err(error) => bail!("{}: it cannot be listened on: {error}; {way_out}", shown()),
    }
}

/// How long a port may stay in use after the process that used it is gone: the kernel takes a ring with its sockets apart
/// some milliseconds after it has told the parent that a killed process has ended.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(2);
/// Pause between two attempts to have it.
const RELEASE_PAUSE: Duration = Duration::from_millis(10);

/// Tries each address. The shards share their ports with `SO_REUSEPORT`, which would let two brokers share one as well: a
/// plain bind finds a port that is in use, before anything is changed on the disk.
pub(super) fn check_free(listeners: &[Listener], addresses: &[SocketAddr]) -> anyhow::Result<()> {
    for (listener, address) in listeners.iter().zip(addresses) {
        let Err(error) = bind(*address) else { continue };
        let listener = shown(listener);
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                bail!("{listener}: the port is in use; stop what uses it, or set listeners to another one")
            }
            io::ErrorKind::AddrNotAvailable => {
                bail!("{listener}: this machine does not have the address; set listeners to one that it has")
            }
            io::ErrorKind::PermissionDenied => {
                bail!("{listener}: this user may not use the port; set listeners to one from 1024 on")
            }
            _ => bail!("{listener}: it cannot be listened on: {error}; set listeners to another address"),
        }
    }
    Ok(())
}

/// Binds, and waits a while for a port that a killed process has left behind.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let give_up_at = Instant::now() + RELEASE_TIME_MAX;
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up_at => {
                // Nobody unparks this thread: it pauses.
                thread::park_timeout(RELEASE_PAUSE);
            }
            result => return result,
        }
    }
}

/// The listener as it is configured.
fn shown(listener: &Listener) -> String {
    let Listener { name, host, port, .. } = listener;
    if host.contains(':') {
        format!("listeners={name}://[{host}]:{port}")
    } else {
        format!("listeners={name}://{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_cluster::config::{Endpoint, SecurityProtocol};

    fn listener(host: &str, port: u16) -> Listener {
        let advertised = Endpoint { host: host.to_owned(), port };
        let (name, host) = ("PLAINTEXT".to_owned(), host.to_owned());
        Listener { name, protocol: SecurityProtocol::Plaintext, host, port, is_controller: false, advertised }
    }

    #[test]
    fn a_used_port_is_found() {
        let used = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = used.local_addr().expect("it is bound").port();
        let listeners = [listener("127.0.0.1", port)];
        let addresses = resolve(&listeners).expect("an address");
        let error = check_free(&listeners, &addresses).expect_err("it is in use").to_string();
        assert!(error.starts_with(&format!("listeners=PLAINTEXT://127.0.0.1:{port}: the port is in use")), "{error}");
        drop(used);
        check_free(&listeners, &addresses).expect("it is free");
    }

    #[test]
    fn a_used_port_of_metrics_is_no_reason_to_go_without_a_broker() {
        let used = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: used.local_addr().expect("it is bound").port() };
        let error = admin(&endpoint).expect_err("it is in use").to_string();
        assert!(error.starts_with(&format!("ringlog.admin.listener=127.0.0.1:{}: ", endpoint.port)), "{error}");
        assert!(error.ends_with("or to nothing to go without metrics"), "{error}");
        drop(used);
        assert_eq!(admin(&endpoint).expect("it is free").port(), endpoint.port);
    }

    #[test]
    fn hosts_become_addresses() {
        let resolved = |host: &str| resolve(&[listener(host, 9092)]).map(|addresses| addresses[0].to_string());
        assert_eq!(resolved("::1").expect("an address"), "[::1]:9092");
        assert!(resolved("").expect("any address").ends_with(":9092"));
        let error = resolved("no.such.name.invalid").expect_err("no such name");
        assert!(format!("{error:#}").contains("cannot be resolved"), "{error:#}");
    }
}

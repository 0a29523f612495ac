//! What a start has decided, and why: one line of the log each.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ringlog_cluster::config::{Backend, BrokerConfig, Listener};
use ringlog_reactor::BackendKind;
use ringlog_tuning::Plan;
use rustix::fs::{FsWord, Mode, OFlags, statfs};

/// Who starts.
pub(super) fn version(broker: &BrokerConfig) {
    let system = rustix::system::uname();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node_id = broker.node_id.get(),
        rack = broker.rack,
        process_id = std::process::id(),
        kernel = %system.release().to_string_lossy(),
        "ringlog starts"
    );
}

/// What the broker takes of the machine, and why.
pub(super) fn plan(plan: &Plan) {
    for line in &plan.lines {
        tracing::info!(what = line.what, value = line.value, "{}: {}. {}", line.what, line.value, line.because);
    }
}

/// How the broker talks to the kernel.
pub(super) fn backend(kind: BackendKind, wanted: Backend) {
    let why = match (wanted, kind) {
        (Backend::Auto, BackendKind::Uring) => "the kernel allows io_uring",
        (Backend::Auto, BackendKind::Posix) => "the kernel refuses io_uring, as a warning says",
        (Backend::Uring | Backend::Posix, _) => "ringlog.backend asks for it",
    };
    tracing::info!(backend = %kind, "the backend is {kind}: {why}");
}

/// Where clients and brokers are served, and where they are told to go.
pub(super) fn listeners(listeners: &[Listener], bound: &[SocketAddr]) {
    for (listener, bound) in listeners.iter().zip(bound) {
        let port = if listener.advertised.port == 0 { bound.port() } else { listener.advertised.port };
        let advertised = shown(&listener.advertised.host, port);
        tracing::info!(listener = listener.name, protocol = %listener.protocol, %bound, advertised, "listening");
        if let Some(reason) = doubt(&listener.advertised.host, bound.ip()).filter(|_| !listener.is_controller) {
            tracing::warn!(
                listener = listener.name,
                advertised,
                "clients of other machines will not reach this broker: {reason}; set advertised.listeners to a name or an \
                 address that they can reach"
            );
        }
    }
}

fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why clients may not get to an advertised host. A listener of the loopback interface is meant to be for this machine.
fn doubt(advertised: &str, bound: IpAddr) -> Option<&'static str> {
    let address: Option<IpAddr> = advertised.parse().ok();
    if address.is_some_and(|address| address.is_unspecified()) {
        return Some("the advertised address stands for every address, and is none");
    }
    let is_local = advertised == "localhost" || address.is_some_and(|address| address.is_loopback());
    (is_local && !bound.is_loopback()).then_some("the advertised host is this machine to everybody")
}

/// What the data directory lies on.
pub(super) fn data_directory(path: &str) {
    let (file_system, free_bytes) = match statfs(path) {
        Ok(found) => {
            let block_bytes = u64::try_from(found.f_bsize).unwrap_or(0);
            (file_system_name(found.f_type), found.f_bavail.saturating_mul(block_bytes))
        }
        Err(_) => ("unknown", 0),
    };
    // Any file of the directory tells; this one is always there.
    let file = Path::new(path).join("meta.properties");
    let direct_io = rustix::fs::open(file, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()).is_ok();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    tracing::info!(path = %path.display(), file_system, free_bytes, direct_io, "the data directory");
    if !direct_io {
        tracing::warn!(
            file_system,
            "this file system has no direct I/O (O_DIRECT): flushes go through the page cache, and cost more; ext4 and xfs \
             have it"
        );
    }
    if file_system == "tmpfs" {
        tracing::warn!("log.dirs is in memory (tmpfs): nothing of it is left when the machine stops");
    }
}

/// The name of a file system by its number (`statfs`).
fn file_system_name(magic: FsWord) -> &'static str {
    match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x6969 => "nfs",
        0x6573_5546 => "fuse",
        0x0102_1997 => "9p",
        _ => "unknown",
    }
}

/// Clients are served.
pub(super) fn ready(took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(took_ms, "ready: clients are served");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_host_that_clients_cannot_reach_is_found() {
        let check = |advertised: &str, bound: &str, is_doubtful: bool| {
            let bound = bound.parse().expect("an address");
            assert_eq!(doubt(advertised, bound).is_some(), is_doubtful, "{advertised} {bound}");
        };
        check("0.0.0.0", "0.0.0.0", true);
        check("::", "::", true);
        check("localhost", "0.0.0.0", true);
        check("127.0.0.1", "10.0.0.1", true);
        check("127.0.0.1", "127.0.0.1", false);
        check("localhost", "::1", false);
        check("broker-1.example.com", "0.0.0.0", false);
        check("10.0.0.1", "0.0.0.0", false);
    }

    #[test]
    fn addresses_of_version_6_have_brackets() {
        assert_eq!((shown("::1", 9092), shown("b", 1)), ("[::1]:9092".to_owned(), "b:1".to_owned()));
    }
}

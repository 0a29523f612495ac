//! Socket calls that both real backends make in the same way.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::op::ListenOptions;

/// A new TCP socket. Non-blocking for a backend that polls; a ring waits by itself, and would answer `EAGAIN` at once
/// on a non-blocking one.
pub(crate) fn tcp_socket(address: &SocketAddr, extra: SocketFlags) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | extra, None)?)
}

/// A listening socket and the address that it got.
pub(crate) fn listen(
    address: &SocketAddr,
    options: ListenOptions,
    extra: SocketFlags,
) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = tcp_socket(address, extra)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if options.reuse_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    // Connections have what their listener has.
    if let Some(bytes) = options.receive_buffer_bytes {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        sockopt::set_socket_send_buffer_size(&socket, bytes)?;
    }
    net::bind(&socket, address)?;
    net::listen(&socket, i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    let local = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((socket, local))
}

/// Frames are sent whole, so waiting for more to fill a packet only costs time.
pub(crate) fn set_nodelay(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(socket, true)?)
}

/// The address that a connected socket talks to.
pub(crate) fn peer_address(socket: impl AsFd) -> io::Result<SocketAddr> {
    let address = net::getpeername(socket)?.ok_or(io::ErrorKind::NotConnected)?;
    Ok(SocketAddr::try_from(address)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_the_buffers_of_their_listener() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let sized = |receive_buffer_bytes, send_buffer_bytes| {
            let options = ListenOptions { receive_buffer_bytes, send_buffer_bytes, ..ListenOptions::default() };
            let (listener, local) = listen(&address, options, SocketFlags::empty()).expect("a free port");
            let client = tcp_socket(&local, SocketFlags::empty()).expect("a socket");
            net::connect(&client, &local).expect("it listens");
            let accepted = net::accept(&listener).expect("a connection");
            let receive = sockopt::socket_recv_buffer_size(&accepted).expect("a socket");
            (receive, sockopt::socket_send_buffer_size(&accepted).expect("a socket"))
        };
        // The kernel doubles what it is told, for its own needs.
        assert_eq!(sized(Some(60_000), Some(50_000)), (120_000, 100_000));
        let (receive, send) = sized(None, None);
        assert!(receive != 120_000 && send != 100_000, "{receive} {send}");
    }
}

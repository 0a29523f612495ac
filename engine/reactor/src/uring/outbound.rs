//! What goes out through one socket: a send of several slices, and the address of a connect.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::ptr;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use ringlog_buffer::Slice;

use crate::op::OpId;

/// Slices that one request sends at most; the rest goes with the next.
const SLICES_PER_SEND_MAX: usize = 256;

/// A send with the ring: what it sends, and what its request points to besides.
pub(crate) struct SendFlight {
    pub(crate) id: OpId,
    pub(crate) socket: usize,
    slices: Vec<Slice>,
    /// Whole slices that were sent.
    slices_sent: usize,
    /// Bytes of the next slice that were sent.
    bytes_sent: usize,
    parts: Vec<libc::iovec>,
    /// On the heap, so that it stays where it is.
    header: Box<libc::msghdr>,
}

impl SendFlight {
    pub(crate) fn new(id: OpId, socket: usize, slices: Vec<Slice>) -> Self {
        // SAFETY: an all-zero `msghdr` is a valid one: no address, no parts, no control data.
        let header = Box::new(unsafe { std::mem::zeroed::<libc::msghdr>() });
        let mut flight = Self { id, socket, slices, slices_sent: 0, bytes_sent: 0, parts: Vec::new(), header };
        flight.advance(0);
        flight
    }

    /// Whether every byte was sent.
    pub(crate) fn is_over(&self) -> bool {
        self.slices_sent == self.slices.len()
    }

    /// Counts `bytes` more as sent, and steps over slices that are empty.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        while let Some(slice) = self.slices.get(self.slices_sent) {
            let left = slice.len() - self.bytes_sent;
            if bytes < left {
                self.bytes_sent += bytes;
                return;
            }
            bytes -= left;
            self.slices_sent += 1;
            self.bytes_sent = 0;
        }
        assert_eq!(bytes, 0, "more was sent than there is");
    }

    /// The request that sends the next part. Its pointers lead into the slices, and into `parts` and `header`, which
    /// are on the heap.
    pub(crate) fn request(&mut self, fd: RawFd) -> squeue::Entry {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let rest = &self.slices[self.slices_sent..];
        let first = &rest[0][self.bytes_sent..];
        if let ([_], Ok(bytes)) = (rest, u32::try_from(first.len())) {
            return opcode::Send::new(Fd(fd), first.as_ptr(), bytes).flags(flags).build();
        }
        let part = |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        self.parts.clear();
        self.parts.push(part(first));
        self.parts.extend(rest[1..].iter().take(SLICES_PER_SEND_MAX - 1).map(|slice| part(slice)));
        self.header.msg_iov = self.parts.as_mut_ptr();
        self.header.msg_iovlen = self.parts.len() as _;
        opcode::SendMsg::new(Fd(fd), ptr::from_ref(&*self.header)).flags(flags.cast_unsigned()).build()
    }
}

/// A socket address as the kernel reads it, on the heap so that it stays where it is.
pub(crate) enum RawAddress {
    V4(Box<libc::sockaddr_in>),
    V6(Box<libc::sockaddr_in6>),
}

impl RawAddress {
    pub(crate) fn new(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(Box::new(libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            })),
            SocketAddr::V6(address) => Self::V6(Box::new(libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            })),
        }
    }

    /// The request that connects to it.
    pub(crate) fn connect(&self, fd: RawFd) -> squeue::Entry {
        let (address, bytes) = match self {
            Self::V4(address) => (ptr::from_ref(&**address).cast(), size_of::<libc::sockaddr_in>()),
            Self::V6(address) => (ptr::from_ref(&**address).cast(), size_of::<libc::sockaddr_in6>()),
        };
        let bytes = libc::socklen_t::try_from(bytes).expect("an address has a few bytes");
        opcode::Connect::new(Fd(fd), address, bytes).build()
    }
}

fn family(family: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).expect("address families are small numbers")
}

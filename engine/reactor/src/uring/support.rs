//! What the kernel lets this process do with `io_uring`.

use std::io;

use io_uring::opcode::{
    AcceptMulti, AsyncCancel2, Close, Connect, Fallocate, Fsync, Ftruncate, MkDirAt, MsgRingData, OpenAt, PollAdd,
    Read, Recv, RenameAt, Send, SendMsg, UnlinkAt, Writev,
};
use io_uring::register::Probe;

use crate::limits::Limits;
use crate::uring::ring::Ring;

/// The operations that the backend sends, by the names of the kernel.
const OPERATIONS: &[(&str, u8)] = &[
    ("ACCEPT", AcceptMulti::CODE),
    ("ASYNC_CANCEL", AsyncCancel2::CODE),
    ("CLOSE", Close::CODE),
    ("CONNECT", Connect::CODE),
    ("FALLOCATE", Fallocate::CODE),
    ("FSYNC", Fsync::CODE),
    ("FTRUNCATE", Ftruncate::CODE),
    ("MKDIRAT", MkDirAt::CODE),
    ("MSG_RING", MsgRingData::CODE),
    ("OPENAT", OpenAt::CODE),
    ("POLL_ADD", PollAdd::CODE),
    ("READ", Read::CODE),
    ("RECV", Recv::CODE),
    ("RENAMEAT", RenameAt::CODE),
    ("SEND", Send::CODE),
    ("SENDMSG", SendMsg::CODE),
    ("UNLINKAT", UnlinkAt::CODE),
    ("WRITEV", Writev::CODE),
];

/// What the kernel that runs lets this process do with `io_uring`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UringSupport {
    /// Why a ring of the kind that a shard has cannot be set up; `None` if it can.
    pub refusal: Option<String>,
    /// Operations of the backend that the kernel does not have, by its names.
    pub missing_operations: Vec<&'static str>,
    /// Whether a shard that waits shows as idle, and not as waiting for a disk.
    pub waits_as_idle: bool,
}

impl UringSupport {
    /// Sets up a small ring on this thread, asks it, and gives it back.
    pub fn ask() -> Self {
        let limits = Limits { ring_entries: 8, receive_buffers: 8, receive_buffer_bytes: 4096, ..Limits::default() };
        match Ring::new(&limits) {
            Ok(ring) => Self::of(&ring),
            Err(refusal) => Self { refusal: Some(refusal.to_string()), ..Self::default() },
        }
    }

    fn of(ring: &Ring) -> Self {
        let mut probe = Probe::new();
        let missing_operations = match ring.register_probe(&mut probe) {
            Ok(()) => missing(|code| probe.is_supported(code)),
            // A filter that lets rings be set up may still forbid the question.
            Err(_) => Vec::new(),
        };
        Self { refusal: None, missing_operations, waits_as_idle: ring.waits_as_idle() }
    }
}

fn missing(is_supported: impl Fn(u8) -> bool) -> Vec<&'static str> {
    OPERATIONS.iter().filter(|(_, code)| !is_supported(*code)).map(|(name, _)| *name).collect()
}

impl Ring {
    fn register_probe(&self, probe: &mut Probe) -> io::Result<()> {
        self.uring().submitter().register_probe(probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_operations_are_named() {
        assert_eq!(missing(|_| true), [""; 0]);
        assert_eq!(missing(|code| code != Ftruncate::CODE), ["FTRUNCATE"]);
    }

    #[test]
    fn the_kernel_answers_one_way_or_the_other() {
        let support = UringSupport::ask();
        let works = Ring::new(&Limits::default()).is_ok();
        assert_eq!(support.refusal.is_none(), works, "{support:?}");
        // A backend that runs here has what it needs.
        assert!(!works || support.missing_operations.is_empty(), "{support:?}");
    }
}

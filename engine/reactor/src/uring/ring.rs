//! The ring itself: its set-up, one system call per turn, and the ring of receive buffers.

use std::fmt;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};
use ringlog_buffer::Chunk;
use rustix::io::Errno;

use crate::backend::Wait;
use crate::clock;
use crate::counts::RingCounts;
use crate::limits::{COMPLETIONS_PER_SUBMISSION, Limits};
use crate::received::ReceivePool;

/// The group of buffers that receives choose from.
pub(crate) const BUFFER_GROUP: u16 = 0;

/// `IORING_REGISTER_RING_FDS`.
const REGISTER_RING_FDS: libc::c_uint = 20;

/// `IORING_UNREGISTER_RING_FDS`.
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct RegisterRing {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct GetEventsArg {
    sigmask: u64,
    sigmask_bytes: u32,
    min_wait_usec: u32,
    timespec: u64,
}

/// A ring with deferred task work: the kernel works for it only inside [`turn`](Self::turn).
pub(crate) struct Ring {
    uring: IoUring,
    /// What names the ring in `io_uring_enter`: its index among the registered ones, or its descriptor.
    enter_fd: libc::c_int,
    /// Flags of every `io_uring_enter`.
    enter_flags: EnterFlags,
    buffers: BufferRing,
    /// Completions that were taken to make room before the turn that reports them.
    early: Vec<cqueue::Entry>,
    counts: RingCounts,
}

impl Ring {
    /// Sets a ring up for this thread. Errors are what the kernel refuses with.
    pub(crate) fn new(limits: &Limits) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(limits.ring_entries.saturating_mul(COMPLETIONS_PER_SUBMISSION))
            .setup_clamp()
            .dontfork()
            .build(limits.ring_entries)?;
        let params = ring.params();
        if !params.is_feature_ext_arg() || !params.is_feature_nodrop() {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        // An idle shard is idle, not waiting for a device: without this it shows as 100% iowait of its core.
        let mut enter_flags = EnterFlags::GETEVENTS;
        if params.is_feature_no_iowait() {
            enter_flags |= EnterFlags::NO_IOWAIT;
        }
        let mut enter_fd = ring.as_raw_fd();
        if let Some(index) = register_ring(enter_fd) {
            enter_fd = index;
            enter_flags |= EnterFlags::REGISTERED_RING;
        }
        let buffers = BufferRing::new(&ring, ReceivePool::new(limits), limits.receive_buffers)?;
        Ok(Self { uring: ring, enter_fd, enter_flags, buffers, early: Vec::new(), counts: RingCounts::default() })
    }

    /// Another descriptor of this ring, for those who send to it.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        // SAFETY: the ring owns its descriptor and is borrowed for the call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.uring.as_raw_fd()) };
        Ok(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)
    }

    pub(crate) fn uring(&self) -> &IoUring {
        &self.uring
    }

    /// Whether waiting counts as idle time.
    pub(crate) fn waits_as_idle(&self) -> bool {
        self.enter_flags.contains(EnterFlags::NO_IOWAIT)
    }

    /// What the ring has done. It does not know what is in flight.
    pub(crate) fn counts(&self) -> RingCounts {
        self.counts
    }

    pub(crate) fn pool(&self) -> &Rc<ReceivePool> {
        &self.buffers.pool
    }

    /// Gives the kernel the buffers that have come back. Answers whether there were any.
    pub(crate) fn feed(&mut self) -> bool {
        self.buffers.pool.take_returned() > 0 && self.buffers.publish()
    }

    /// Queues a request. When the queue is full, what is in it is submitted first; completions are taken then too, for
    /// a kernel whose completions have no room refuses submissions.
    ///
    /// # Safety
    /// All memory that the entry points to stays valid until the request's last completion.
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: the caller's promise.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                self.counts.submissions += 1;
                return;
            }
            self.enter(Wait::No);
            self.early.extend(self.uring.completion());
        }
    }

    /// Submits what is queued, waits as told, and appends the completions.
    pub(crate) fn turn(&mut self, wait: Wait, completions: &mut Vec<cqueue::Entry>) {
        let wait = if self.early.is_empty() { wait } else { Wait::No };
        let idle = {
            let submission = self.uring.submission();
            submission.is_empty() && !submission.taskrun() && !submission.cq_overflow()
        };
        if wait != Wait::No || !idle {
            self.enter(wait);
        }
        completions.append(&mut self.early);
        completions.extend(self.uring.completion());
        self.counts.completions += u64::try_from(completions.len()).expect("a length fits 64 bits");
    }

    fn enter(&mut self, wait: Wait) {
        self.counts.enters += 1;
        let to_submit = u32::try_from(self.uring.submission().len()).expect("a queue's length fits 32 bits");
        let timespec = match wait {
            Wait::Until(deadline) => Timespec::from(deadline.since(clock::now())),
            Wait::No | Wait::Forever => Timespec::new(),
        };
        let timespec_address = if matches!(wait, Wait::Until(_)) { (&raw const timespec).addr() } else { 0 };
        let argument = GetEventsArg {
            sigmask: 0,
            sigmask_bytes: 0,
            min_wait_usec: 0,
            timespec: u64::try_from(timespec_address).expect("an address fits 64 bits"),
        };
        let wanted = u32::from(wait != Wait::No);
        // SAFETY: the argument and the time outlive the call; what the submitted entries point to is `push`'s promise.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                to_submit,
                wanted,
                (self.enter_flags | EnterFlags::EXT_ARG).bits(),
                &raw const argument,
                size_of::<GetEventsArg>(),
            )
        };
        if result >= 0 {
            return;
        }
        match Errno::from_io_error(&io::Error::last_os_error()) {
            // The time is over; a signal came; completions must be taken before more can be submitted.
            Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => {}
            other => panic!("io_uring_enter: {other:?}"),
        }
    }
}

impl Drop for Ring {
    /// A registered ring lives as long as the thread that registered it.
    fn drop(&mut self) {
        if self.enter_flags.contains(EnterFlags::REGISTERED_RING) {
            let offset = u32::try_from(self.enter_fd).expect("an index is not negative");
            let argument = RegisterRing { offset, reserved: 0, data: 0 };
            let fd = self.uring.as_raw_fd();
            // SAFETY: the argument is one `io_uring_rsrc_update` and outlives the call. Failing changes nothing.
            unsafe { libc::syscall(libc::SYS_io_uring_register, fd, UNREGISTER_RING_FDS, &raw const argument, 1) };
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("flags", &self.enter_flags)
            .field("pool", &self.buffers.pool)
            .finish_non_exhaustive()
    }
}

/// Saves the kernel a look-up of the descriptor per call. Only a convenience: kernels may refuse.
fn register_ring(fd: libc::c_int) -> Option<libc::c_int> {
    let data = u64::try_from(fd).expect("a descriptor is not negative");
    let mut argument = RegisterRing { offset: u32::MAX, reserved: 0, data };
    // SAFETY: the argument is one `io_uring_rsrc_update` and outlives the call.
    let registered = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut argument, 1) };
    (registered == 1).then(|| libc::c_int::try_from(argument.offset).expect("an index of at most 16"))
}

/// The ring through which the kernel is given the free buffers of the pool.
struct BufferRing {
    pool: Rc<ReceivePool>,
    /// The entries. Freed after the `IoUring`, which is declared before in `Ring`.
    memory: Chunk,
    entries: u16,
    tail: u16,
}

impl BufferRing {
    fn new(ring: &IoUring, pool: Rc<ReceivePool>, entries: u16) -> io::Result<Self> {
        let memory = Chunk::with_capacity(usize::from(entries) * size_of::<BufRingEntry>());
        let address = u64::try_from(memory.as_ptr().addr()).expect("an address fits 64 bits");
        // SAFETY: the memory holds that many entries, is aligned to a page, and outlives the ring, see `memory`.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, entries, BUFFER_GROUP, 0) }?;
        let mut buffers = Self { pool, memory, entries, tail: 0 };
        buffers.publish();
        Ok(buffers)
    }

    fn base(&self) -> *mut BufRingEntry {
        self.memory.as_ptr().cast_mut().cast()
    }

    /// Publishes every free buffer of the pool. Answers whether there was one.
    fn publish(&mut self) -> bool {
        let base = self.base();
        let before = self.tail;
        let bytes = u32::try_from(self.pool.buffer_bytes()).expect("it came from 32 bits");
        while let Some(index) = self.pool.take() {
            let address = u64::try_from(self.pool.address(index).addr()).expect("an address fits 64 bits");
            let slot = usize::from(self.tail & (self.entries - 1));
            // SAFETY: the slot lies in the memory, which starts zeroed and is aligned. There are as many slots as
            // buffers, and a buffer that the kernel still has is not in the pool: so the kernel is done with this
            // slot. It reads it after the tail is published.
            let entry = unsafe { &mut *base.add(slot) };
            entry.set_addr(address);
            entry.set_len(bytes);
            entry.set_bid(index);
            self.tail = self.tail.wrapping_add(1);
        }
        if self.tail == before {
            return false;
        }
        // SAFETY: the base is the address of the first entry; its reserved field is the tail, aligned for 16 bits, and
        // written by this side only.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        true
    }
}

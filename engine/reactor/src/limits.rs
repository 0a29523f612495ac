//! The named limits of one shard's reactor.

/// How many times more completions than submissions fit.
pub(crate) const COMPLETIONS_PER_SUBMISSION: u32 = 4;

/// Limits of one shard. What is over a limit waits, unless the field says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// File operations in flight.
    pub file_operations: usize,
    /// Sockets and listeners open. Accepting and taking up wait; connecting and listening fail with `QuotaExceeded`.
    pub sockets: usize,
    /// Tasks alive. Spawning more is a broken invariant and panics: whoever spawns has limits that add up to less.
    pub tasks: usize,
    /// Tasks polled before the loop looks at the outside world again.
    pub polls_per_turn: usize,
    /// Buffers of the shared receive pool; a power of two, at most 32768. When it runs empty, what arrived and nobody
    /// waits for moves to as much memory again.
    pub receive_buffers: u16,
    /// Bytes of one of them.
    pub receive_buffer_bytes: u32,
    /// Received buffers that wait for one connection's reader before the socket is left alone.
    pub receive_queue_buffers: usize,
    /// Accepted connections that wait for one listener's `accept` before the backlog is left alone.
    pub accept_queue: usize,
    /// Entries of the submission queue of a ring; its completion queue has four times as many.
    pub ring_entries: u32,
    /// Threads that the posix backend runs file operations on.
    pub posix_workers: usize,
    /// Messages in one direction between two shards.
    pub mesh_messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_operations: 1024,
            sockets: 16 * 1024,
            tasks: 256 * 1024,
            polls_per_turn: 1024,
            receive_buffers: 1024,
            receive_buffer_bytes: 16 * 1024,
            receive_queue_buffers: 8,
            accept_queue: 256,
            ring_entries: 1024,
            posix_workers: 4,
            mesh_messages: 1024,
        }
    }
}

impl Limits {
    /// Memory that the kernel takes for one ring, in bytes, about: what it may count as locked by the user. Both queues, the
    /// index of the first, and the ring of receive buffers, in pages.
    pub fn ring_bytes(&self) -> u64 {
        const PAGE_BYTES: u64 = 4096;
        const HEADER_BYTES: u64 = 256;
        let entries = u64::from(self.ring_entries.next_power_of_two());
        let (submission, index, completion) = (64, 4, 16 * u64::from(COMPLETIONS_PER_SUBMISSION));
        let queues = HEADER_BYTES + entries * (index + completion);
        let parts = [entries * submission, queues, u64::from(self.receive_buffers) * 16];
        parts.iter().map(|bytes| bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES).sum()
    }

    /// Panics on limits that nothing could run with. Whoever starts shards asks first, on a thread of its own.
    pub(crate) fn assert_possible(&self) {
        let count = self.receive_buffers;
        assert!(count.is_power_of_two() && count <= 32 * 1024, "{count} receive buffers: not a power of two to 32768");
        let least = [
            self.file_operations,
            self.sockets,
            self.tasks,
            self.polls_per_turn,
            self.receive_queue_buffers,
            self.accept_queue,
            self.posix_workers,
            self.mesh_messages,
        ];
        assert!(least.iter().all(|limit| *limit > 0), "a limit of 0 lets nothing happen: {self:?}");
        assert!(self.receive_buffer_bytes > 0 && self.ring_entries > 0, "a limit of 0 lets nothing happen: {self:?}");
    }
}

/// Whether an error of the system says that this process, or the whole machine, has too many open files: `EMFILE`, `ENFILE`.
pub fn is_out_of_descriptors(errno: i32) -> bool {
    matches!(errno, 24 | 23)
}

//! Every bound of the store that is not a setting, in one place.

/// Block of the file system and of `O_DIRECT`: what positions, lengths and memory of transfers are multiples of.
pub const BLOCK_BYTES: u64 = 4096;

/// Data directories of one broker.
pub const LOG_DIRS_MAX: usize = 256;

/// Partitions that one shard can hold.
pub const PARTITIONS_MAX: usize = 1 << 20;

/// Producers remembered by one partition; the one that was idle the longest is forgotten first.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 10_000;

/// Batches remembered of each producer (KIP-98: what a client may have in flight).
pub const PRODUCER_BATCHES_MAX: usize = 5;

/// Payload of one journal record: what the small partitions of one group commit may bring together.
pub const RECORD_PAYLOAD_BYTES_MAX: usize = 2 << 20;

/// Length of a topic's name (Kafka's rule).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Partitions whose batches may stand in one group commit.
pub const GROUP_PARTITIONS_MAX: usize = 4096;

/// Direct segment writes of one group commit.
pub const GROUP_DIRECT_MAX: usize = 32;

/// Bytes of one write to a segment.
pub const SEGMENT_WRITE_BYTES_MAX: u64 = 8 << 20;

/// Partitions that are written back at the same time.
pub const WRITEBACK_IN_FLIGHT_MAX: usize = 16;

/// Partitions that are synced together.
pub const GROUP_SYNC_MAX: usize = 4096;

/// Milliseconds for which a group sync waits for partitions that are still being written.
pub const SYNC_GATHER_MS: u64 = 20;

/// First reservation of a segment; it doubles from there.
pub const SEGMENT_ALLOCATE_BYTES_MIN: u64 = 64 << 10;

/// Largest step by which a segment's reservation grows ahead of its content.
pub const SEGMENT_ALLOCATE_STEP_BYTES_MAX: u64 = 16 << 20;

/// Capacity of the first tail chunk of a partition.
pub const CHUNK_BYTES_MIN: usize = 4096;

/// Capacity up to which the tail chunks of a busy partition double.
pub const CHUNK_BYTES_MAX: usize = 2 << 20;

/// Chunks double for as long as each is full after so many milliseconds: huge pages, which take their time to be zeroed, are
/// for partitions that use them up.
pub const CHUNK_FILL_MS_MAX: u64 = 100;

/// Parts of batches from this size on are copied past the processor's caches: they go to the disk from where they lie.
pub const UNCACHED_BYTES_MIN: usize = 256 << 10;

/// Entries of one segment's sparse index in memory; when it is full every second one goes.
pub const INDEX_ENTRIES_MAX: usize = 4096;

/// Bytes of sealed segments' indexes kept in memory.
pub const INDEX_CACHE_BYTES_MAX: usize = 4 << 20;

/// Bytes that one disk read of a fetch asks for, at most; a single larger batch may take more.
pub const READ_BYTES_MAX: usize = (1 << 20) + READ_SLACK_BYTES;

/// Read beyond what a fetch wants: the largest batch that a topic takes by default is 12 bytes longer than what a consumer
/// asks for by default, and would be read twice.
pub const READ_SLACK_BYTES: usize = 4096;

/// Reads of one shard that wait for a disk: a quarter of what a shard may ask of it, so that commits have their turn.
pub const READS_IN_FLIGHT_MAX: usize = 256;

/// Positions remembered of sequential cold readers.
pub const READ_CURSORS_MAX: usize = 1024;

/// Bytes of a partition that are copied at a time when it is moved to another directory.
pub const MOVE_PIECE_BYTES: u64 = 1 << 20;

/// Bytes that may be left to copy when a move begins to hold the partition's commits: a busy producer has one write to the
/// segment under way at any time.
pub const MOVE_HOLD_BYTES_MAX: u64 = 2 * SEGMENT_WRITE_BYTES_MAX;

/// Milliseconds after which a hold is given up that has not come to its end.
pub const MOVE_HOLD_MS_MAX: u64 = 2000;

/// Milliseconds until a move holds commits again.
pub const MOVE_RETRY_MS: u64 = 1000;

/// Milliseconds for which a checkpoint that tells of a partition taken over waits for others.
pub const ADOPTION_GATHER_MS: u64 = 100;

/// Folders and files that are removed at the same time of those that a process before has left.
pub const LEFTOVERS_AT_ONCE_MAX: usize = 4;

/// The smallest record batch: its fixed header.
pub const BATCH_HEADER_BYTES: usize = 61;

/// The largest record batch that is believed while a segment is scanned.
pub const BATCH_BYTES_MAX: usize = 128 << 20;

/// Bytes read at a time from journals and segments while recovering.
pub const RECOVERY_READ_BYTES: usize = 1 << 20;

/// Bytes of journaled data held in memory while journals are drained into segments.
pub const RECOVERY_DRAIN_BYTES_MAX: usize = 32 << 20;

/// Damaged ranges remembered of one partition; neighbours are joined when there are more.
pub const ROT_RANGES_MAX: usize = 64;

/// Leader epochs remembered by one partition; the oldest go first.
pub const LEADER_EPOCHS_MAX: usize = 4096;

/// Length of a checkpoint or other side file that is believed.
pub const SIDE_FILE_BYTES_MAX: u64 = 1 << 30;

/// Milliseconds between two tries to reserve space on a full device.
pub const SPACE_PROBE_MS: u64 = 1000;

//! How much of everything a shard takes.

use ringlog_reactor::Limits;

use crate::machine::Resources;
use crate::plan::{CoreChoice, PlanError, PlanLine, Wishes, bytes};

/// The part of what the machine or the container has that a broker takes for itself unless it is told otherwise: the rest
/// is for the kernel, and for what the budget does not count.
const MEMORY_DIVISOR: u64 = 2;
/// What a shard's journal takes at most where nothing speaks against it.
const JOURNAL_BYTES: u64 = 256 << 20;
/// The least that it is made: some of its files of 16 MiB are always being written back.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;
/// One of its files.
const JOURNAL_FILE_BYTES: u64 = 16 << 20;
/// The part of a file system that all journals may take.
const JOURNALS_DIVISOR: u64 = 8;
/// The part of a shard's memory that its receive buffers may take.
const RECEIVE_DIVISOR: u64 = 8;
/// The fewest receive buffers: what runs out of them copies.
const RECEIVE_BUFFERS_MIN: u16 = 64;
/// The fewest entries of a ring: a turn that has more to submit makes a second call.
const RING_ENTRIES_MIN: u32 = 64;
/// The part of the memory that may be locked which rings take: other processes of the user may want some.
const MEMLOCK_DIVISOR: u64 = 2;
/// What all rings of messages between shards take at most, and the part of the memory budget.
const MESH_BYTES_MAX: u64 = 256 << 20;
const MESH_DIVISOR: u64 = 16;
/// The fewest messages on the way from one shard to another.
const MESH_MESSAGES_MIN: usize = 64;
/// Sockets of one shard, however few descriptors there are.
const SOCKETS_MIN: usize = 64;

/// The memory of all shards.
pub(super) struct Budget {
    /// `None` where nobody tells how much there is.
    pub(super) bytes: Option<u64>,
    because: String,
}

/// Half of what there is, or what is asked for.
pub(super) fn budget(resources: &Resources, wishes: &Wishes) -> Budget {
    if let Some(given) = wishes.memory_bytes {
        return Budget { bytes: Some(given), because: format!("ringlog.memory={given} is for all shards") };
    }
    let of_group = resources.control_group.memory_bytes;
    let (available, who) = match (resources.memory_bytes, of_group) {
        (Some(machine), Some(group)) if group < machine => (Some(group), "control group"),
        (None, Some(group)) => (Some(group), "control group"),
        (machine, _) => (machine, "machine"),
    };
    match available {
        None => Budget { bytes: None, because: "Nobody tells how much memory there is".to_owned() },
        Some(available) => {
            let because = format!("Half of the {} of the {who} is for all shards", bytes(available));
            Budget { bytes: Some(available / MEMORY_DIVISOR), because }
        }
    }
}

/// A number of bytes, and its line.
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) line: PlanLine,
}

/// What one of so many shards may use.
pub(super) fn of_shard(budget: &Budget, wishes: &Wishes, shards: usize) -> Result<Size, PlanError> {
    let count = u64::try_from(shards).unwrap_or(u64::MAX);
    let least = wishes.shard_memory_bytes_min;
    let share = budget.bytes.unwrap_or(0) / count;
    if let Some(given) = wishes.memory_bytes.filter(|_| share < least) {
        // Without cores that are asked for there are only as many shards as the memory is enough for.
        let is_one = wishes.cores == CoreChoice::Auto && shards == 1;
        if !is_one {
            return Err(PlanError::TooLittleMemory { given, shards, needed: count.saturating_mul(least) });
        }
    }
    let size = share.max(least);
    let reason = if share < least {
        format!("A shard works with no less. {}.", budget.because)
    } else {
        format!("{}.", budget.because)
    };
    let value = format!("{} a shard", bytes(size));
    Ok(Size { bytes: size, line: PlanLine { what: "memory", value, because: reason } })
}

/// The journal of one of so many shards.
pub(super) fn journal(resources: &Resources, wishes: &Wishes, shards: usize) -> Size {
    let count = u64::try_from(shards).unwrap_or(u64::MAX);
    let (size, because) = if let Some(given) = wishes.journal_bytes {
        (given, format!("ringlog.journal.bytes={given}."))
    } else {
        let most = resources.space.map_or(u64::MAX, |space| space.total_bytes / JOURNALS_DIVISOR / count);
        let fitting = (most / JOURNAL_FILE_BYTES * JOURNAL_FILE_BYTES).clamp(JOURNAL_BYTES_MIN, JOURNAL_BYTES);
        let read = bytes(fitting.saturating_mul(count));
        let because = if fitting < JOURNAL_BYTES {
            format!("All journals take an eighth of the file system at most; a start reads {read} of them.")
        } else {
            format!("Room for bursts; a start after a crash reads at most {read} of journals.")
        };
        (fitting, because)
    };
    Size { bytes: size, line: PlanLine { what: "journal", value: format!("{} a shard", bytes(size)), because } }
}

/// The sizes of rings.
pub(super) struct Rings {
    pub(super) limits: Limits,
    pub(super) lines: Vec<PlanLine>,
}

pub(super) fn rings(resources: &Resources, wishes: &Wishes, shards: usize, shard_memory_bytes: u64) -> Rings {
    let mut limits = Limits::default();
    let mut lines = vec![receive_buffers(&mut limits, shard_memory_bytes), ring(&mut limits, resources, shards)];
    if shards > 1 {
        lines.push(mesh(&mut limits, wishes, shards, shard_memory_bytes));
    }
    Rings { limits, lines }
}

fn receive_buffers(limits: &mut Limits, shard_memory_bytes: u64) -> PlanLine {
    let one = u64::from(limits.receive_buffer_bytes);
    let most = shard_memory_bytes / RECEIVE_DIVISOR / one;
    let most = u16::try_from(most).unwrap_or(u16::MAX).max(1);
    let fitting = 1 << most.ilog2();
    let is_less = fitting < limits.receive_buffers;
    limits.receive_buffers = fitting.clamp(RECEIVE_BUFFERS_MIN, limits.receive_buffers);
    let all = bytes(u64::from(limits.receive_buffers) * one);
    let because = if is_less {
        format!("They take {all}, of a shard's memory an eighth at most.")
    } else {
        format!("They take {all}, enough for small frames of a thousand connections at once.")
    };
    let value = format!("{} of {} a shard", limits.receive_buffers, bytes(one));
    PlanLine { what: "receive buffers", value, because }
}

/// Unprivileged rings count against the memory that a user may lock.
fn ring(limits: &mut Limits, resources: &Resources, shards: usize) -> PlanLine {
    let count = u64::try_from(shards).unwrap_or(u64::MAX);
    let needed = |limits: &Limits| limits.ring_bytes().saturating_mul(count);
    let most = resources.memlock_bytes.map(|bytes| bytes / MEMLOCK_DIVISOR);
    while most.is_some_and(|most| needed(limits) > most) && limits.ring_entries > RING_ENTRIES_MIN {
        limits.ring_entries /= 2;
    }
    let all = bytes(needed(limits));
    let because = match resources.memlock_bytes {
        Some(locked) if limits.ring_entries < Limits::default().ring_entries => {
            format!("Rings take {all}, and half of the {} that may be locked is for them.", bytes(locked))
        }
        Some(locked) => format!("Rings take {all} of the {} that may be locked.", bytes(locked)),
        None => format!("Rings take {all}; nothing limits what may be locked."),
    };
    PlanLine { what: "ring", value: format!("{} entries a shard", limits.ring_entries), because }
}

/// Every two shards have a ring of messages each way.
fn mesh(limits: &mut Limits, wishes: &Wishes, shards: usize, shard_memory_bytes: u64) -> PlanLine {
    let count = u64::try_from(shards).unwrap_or(u64::MAX);
    let all = shard_memory_bytes.saturating_mul(count);
    let most = (all / MESH_DIVISOR).min(MESH_BYTES_MAX);
    let needed = |messages: usize| {
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        count.saturating_mul(count).saturating_mul(messages).saturating_mul(wishes.message_bytes)
    };
    while needed(limits.mesh_messages) > most && limits.mesh_messages > MESH_MESSAGES_MIN {
        limits.mesh_messages /= 2;
    }
    let because = if limits.mesh_messages < Limits::default().mesh_messages {
        format!("Rings of {} pairs are kept to {}.", count * count, bytes(needed(limits.mesh_messages)))
    } else {
        format!(
            "They take {}, and a shard that is behind holds up those who send.",
            bytes(needed(limits.mesh_messages))
        )
    };
    PlanLine { what: "mesh", value: format!("{} messages a pair", limits.mesh_messages), because }
}

/// What descriptors are for.
pub(super) struct Descriptors {
    pub(super) limits: Limits,
    pub(super) open_files_max: usize,
    pub(super) lines: Vec<PlanLine>,
}

/// Half is for files. A third is for sockets, so that accepting waits before files cannot be opened.
pub(super) fn descriptors(resources: &Resources, shards: usize, limits: Limits) -> Descriptors {
    let all = resources.descriptors.unwrap_or(u64::MAX);
    let part = |divisor: u64| usize::try_from(all / divisor).unwrap_or(usize::MAX) / shards;
    let sockets = limits.sockets.min(part(3).max(SOCKETS_MIN));
    let open_files_max = part(2);
    let most = limits.sockets;
    let (files, files_because, sockets_because) = if all == u64::MAX {
        let nobody = "Nobody limits descriptors";
        ("without a limit".to_owned(), format!("{nobody}."), format!("{nobody}, and {most} are the most."))
    } else {
        let of_all = format!("of the {all} descriptors that this process may have");
        (format!("{open_files_max} a shard"), format!("Half {of_all}."), format!("A third {of_all}, {most} at most."))
    };
    let lines = vec![
        PlanLine { what: "open files", value: files, because: files_because },
        PlanLine { what: "sockets", value: format!("{sockets} a shard"), because: sockets_because },
    ];
    // Those that have come in and are not taken up yet have descriptors, too.
    let accept_queue = limits.accept_queue.min((sockets / 8).max(1));
    Descriptors { limits: Limits { sockets, accept_queue, ..limits }, open_files_max, lines }
}

//! Drives the shard's store: takes the operations that it asks for to the disk, brings results back, hands on events.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_storage::io::{Io, IoOp, WriteDurability};
use ringlog_storage::types::Nanos;

use super::files::Files;
use crate::limits::STORE_OPERATIONS_MAX;
use crate::lines::repeated;
use crate::shard::Shard;
use crate::state::OPERATIONS_PER_TURN;

/// The longest that the driver sleeps while the store names no deadline.
const SLEEP_MAX: Duration = Duration::from_mins(1);
/// A flush that takes longer is told.
const SLOW_FLUSH: Duration = Duration::from_secs(1);

/// Runs until the store is closed.
pub(crate) async fn drive(shard: Shard, files: Rc<Files>) {
    let under_way = Rc::new(Cell::new(0));
    let mut operations = Vec::with_capacity(OPERATIONS_PER_TURN);
    loop {
        if under_way.get() + OPERATIONS_PER_TURN > STORE_OPERATIONS_MAX {
            // Every operation that ends rings.
            shard.driver_bell().wait().await;
            continue;
        }
        let step = shard.with(|state| state.take_store_work(shard.now(), &mut operations));
        for io in operations.drain(..) {
            under_way.set(under_way.get() + 1);
            shard.reactor().spawn_detached(perform(shard.clone(), Rc::clone(&files), Rc::clone(&under_way), io));
        }
        if step.closed {
            shard.closed().ring();
            return;
        }
        let deadline = step.deadline.map_or(SLEEP_MAX, |deadline| time_until(deadline, shard.now()));
        // Either the bell or the deadline ends the wait; both mean the same: look again.
        let _ = shard.reactor().timeout(shard.driver_bell().wait(), deadline).await;
    }
}

async fn perform(shard: Shard, files: Rc<Files>, under_way: Rc<Cell<usize>>, io: Io) {
    let flush = flushed(&io.op).map(|file| (file, shard.now()));
    let result = files.perform(io.op).await;
    if let Some((file, began)) = flush {
        let took = shard.now().since(began);
        if took >= SLOW_FLUSH {
            tell_slow(&shard, &file, took);
        }
    }
    under_way.set(under_way.get() - 1);
    shard.with(|state| state.store_io_done(io.id, result, shard.now()));
}

/// The file or directory, below the data directories, that an operation flushes to the device.
fn flushed(op: &IoOp) -> Option<Arc<str>> {
    match op {
        IoOp::Write { file, durability: WriteDurability::Durable, .. } | IoOp::Sync { file } => Some(file.path.clone()),
        IoOp::SyncDir { path } => Some(path.clone()),
        IoOp::SyncAll { files, dirs } => files.first().map(|file| &file.path).or(dirs.first()).cloned(),
        _ => None,
    }
}

fn tell_slow(shard: &Shard, file: &str, took: Duration) {
    repeated!(
        shard.lines(),
        SlowFlush,
        "flushes of more than a second",
        WARN,
        file,
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "slow disk: a flush took {:.1} s, and acknowledgements wait for it; look at what else uses the disk of log.dirs \
         (iostat -x), and at its health (smartctl, dmesg)",
        took.as_secs_f64()
    );
}

fn time_until(deadline: Nanos, now: Nanos) -> Duration {
    Duration::from_nanos(deadline.get().saturating_sub(now.get()))
}

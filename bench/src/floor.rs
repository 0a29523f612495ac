//! The machine's floor: CPU that the parts of a broker's work take with nothing around them, on the broker's core.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use ringlog_buffer::Chunk;
use ringlog_storage::batch::crc32c;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::Setup;
use crate::broker;
use crate::interrupt::Leftovers;
use crate::report::gigabytes;
use crate::usage::thread_cpu;

/// As large as batches come by default.
const PIECE_BYTES: usize = 1 << 20;
/// What is sent, and what is copied and checked: enough for a hundredth of a second of CPU at any speed.
const PIECES: usize = 2_048;
/// What is written, in place of what was written before.
const WRITTEN_PIECES: usize = 256;

/// A part of the work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// From a socket of the loopback interface.
    Receive,
    /// To such a socket.
    Send,
    /// CRC32C.
    Checksum,
    /// From memory to memory.
    Copy,
    /// To the disk, past the page cache, and durable.
    Write,
}

impl Step {
    pub(crate) const ALL: [Self; 5] = [Self::Receive, Self::Send, Self::Checksum, Self::Copy, Self::Write];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Send => "send",
            Self::Checksum => "checksum",
            Self::Copy => "copy",
            Self::Write => "write",
        }
    }
}

/// CPU seconds per GB of each part.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Floor {
    receive: f64,
    send: f64,
    checksum: f64,
    copy: f64,
    /// `None` where files cannot be written past the page cache.
    write: Option<f64>,
}

impl Floor {
    /// Measures it; takes some seconds.
    pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Self> {
        let (core, other) = (setup.broker_core, setup.load_core);
        let (_, receive) = loopback(other, core)?;
        let (send, _) = loopback(core, other)?;
        let folder = broker::folder(setup)?;
        let path = folder.join(format!("floor-{}", std::process::id()));
        let leftovers = Leftovers::at(&path);
        let write = on_core(core, || write(&path));
        drop(leftovers);
        Ok(Self {
            receive,
            send,
            checksum: on_core(core, || Ok(checksum()))?,
            copy: on_core(core, || Ok(copy()))?,
            write: write.ok(),
        })
    }

    pub(crate) fn of(&self, step: Step) -> Option<f64> {
        match step {
            Step::Receive => Some(self.receive),
            Step::Send => Some(self.send),
            Step::Checksum => Some(self.checksum),
            Step::Copy => Some(self.copy),
            Step::Write => self.write,
        }
    }

    /// All of these together; `None` of nothing, and where a part is not known.
    pub(crate) fn sum(&self, steps: &[Step]) -> Option<f64> {
        let sum = steps.iter().map(|step| self.of(*step)).sum::<Option<f64>>();
        sum.filter(|_| !steps.is_empty())
    }
}

/// Sends from one core to another; tells the cost of either side.
fn loopback(from: usize, to: usize) -> anyhow::Result<(f64, f64)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the loopback interface")?;
    let address = listener.local_addr().context("the loopback interface")?;
    std::thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            on_core(to, || {
                let (mut socket, _) = listener.accept().context("a connection")?;
                let mut piece = vec![0; PIECE_BYTES];
                per_gigabyte(PIECES, |_| socket.read_exact(&mut piece).context("receiving"))
            })
        });
        let sent = on_core(from, || {
            let mut socket = TcpStream::connect(address).context("a connection")?;
            let piece = vec![7; PIECE_BYTES];
            per_gigabyte(PIECES, |_| socket.write_all(&piece).context("sending"))
        })?;
        let received = receiving.join().map_err(|_| anyhow!("the receiver has panicked"))??;
        Ok((sent, received))
    })
}

fn checksum() -> f64 {
    let piece = vec![7; PIECE_BYTES];
    let cost = per_gigabyte(PIECES, |_| {
        black_box(crc32c(&[black_box(&piece)]));
        Ok(())
    });
    cost.expect("it cannot fail")
}

fn copy() -> f64 {
    // Too many for the processor's caches, as what a broker copies is.
    let mut to = vec![vec![7_u8; PIECE_BYTES]; 64];
    let from = to.clone();
    let cost = per_gigabyte(PIECES, |at| {
        let at = at % from.len();
        black_box(&mut to[at]).copy_from_slice(black_box(&from[at]));
        Ok(())
    });
    cost.expect("it cannot fail")
}

fn write(path: &Path) -> anyhow::Result<f64> {
    let flags = OFlags::DIRECT | OFlags::DSYNC;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(i32::try_from(flags.bits())?)
        .open(path);
    let file = file.with_context(|| path.display().to_string())?;
    // Aligned, as such writes must be.
    let mut chunk = Chunk::with_capacity(PIECE_BYTES);
    chunk.append(&vec![7; PIECE_BYTES]);
    let piece = chunk.freeze();
    let pass = |file: &File| {
        per_gigabyte(WRITTEN_PIECES, |at| {
            file.write_all_at(&piece, u64::try_from(at * PIECE_BYTES)?).context("writing")
        })
    };
    // The first pass makes the file; the second one writes over it, as a journal does.
    pass(&file)?;
    pass(&file)
}

/// CPU of this thread for a GB of pieces.
fn per_gigabyte(pieces: usize, mut work: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let before = thread_cpu();
    for piece in 0..pieces {
        work(piece)?;
    }
    let used: Duration = thread_cpu().saturating_sub(before);
    Ok(used.as_secs_f64() / gigabytes(u64::try_from(pieces * PIECE_BYTES)?))
}

/// Runs on a thread of its own, on one core.
fn on_core<T: Send>(core: usize, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            core_affinity::set_for_current(core_affinity::CoreId { id: core });
            work()
        });
        thread.join().map_err(|_| anyhow!("a measurement has panicked"))?
    })
}

#[cfg(test)]
impl Floor {
    /// One that adds up without rounding.
    pub(crate) const fn sample() -> Self {
        Self { receive: 0.125, send: 0.25, checksum: 0.5, copy: 1.0, write: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_the_sum_of_its_parts() {
        let floor = Floor::sample();
        assert_eq!(floor.sum(&[Step::Receive, Step::Checksum]), Some(0.625));
        assert_eq!((floor.sum(&[Step::Receive, Step::Write]), floor.sum(&[])), (None, None));
    }
}

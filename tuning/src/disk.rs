//! Measures the disk of a data directory with the reactor's own operations, on a file that is gone before the first write:
//! its name is removed while it is open, so nothing stays behind, whatever ends the process.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringlog_buffer::{Chunk, Slice};
use ringlog_reactor::{
    BackendChoice, Create, Durability, File, Instant, LaunchError, Limits, Mesh, OpenOptions, Reactor, ShardSpec,
    launch,
};
use serde::Serialize;

/// Bytes of the file. With little time it is made shorter.
const FILE_BYTES: u64 = 64 << 20;
/// The least of it that can be measured on.
const FILE_BYTES_MIN: u64 = 4 << 20;
/// A large write.
const LARGE_BYTES: usize = 1 << 20;
/// The writes of a group commit, small and large.
const FLUSH_BYTES: [usize; 2] = [4 << 10, 64 << 10];
/// A read and a write of the curve.
const PIECE_BYTES: usize = 4 << 10;
/// Operations under way at a time.
const DEPTHS: [usize; 4] = [1, 4, 16, 64];
/// How long the file is written for the first time, at most.
const FILL_TIME_MAX: Duration = Duration::from_millis(700);
/// How long one figure is measured.
const FIGURE_TIME: Duration = Duration::from_millis(250);
/// How long a point of a curve is measured.
const POINT_TIME: Duration = Duration::from_millis(125);
/// Operations of one figure: what is measured is known long before.
const SAMPLES_MAX: usize = 1 << 16;
/// An odd number, so that its multiples go through all places of a file whose pieces are a power of two.
const STRIDE: u64 = 0x9e37_79b1;

/// Times of operations that were made one after the other.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Latency {
    /// Bytes of one operation.
    pub bytes: usize,
    /// How many were made.
    pub count: usize,
    /// Half of them took less, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 took less, in microseconds.
    pub p99_us: u64,
}

/// A point of a curve.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Point {
    /// Operations under way at a time.
    pub depth: usize,
    /// Operations a second.
    pub per_second: u64,
    /// Half of them took less, in microseconds.
    pub p50_us: u64,
}

/// What a disk does.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DiskFigures {
    /// Whether the file system lets writes go past the page cache. If not, the figures are of the page cache too.
    pub is_direct: bool,
    /// Bytes of the file that was measured on.
    pub file_bytes: u64,
    /// Writes that are durable when they return, over what was written before: what a group commit waits for.
    pub flushes: Vec<Latency>,
    /// Large durable writes over what was written before, in megabytes a second.
    pub write_mb_per_second: u64,
    /// Small durable writes, by how many are under way.
    pub write_curve: Vec<Point>,
    /// Small reads, by how many are under way.
    pub read_curve: Vec<Point>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The reactor could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The disk did not do what it was asked.
    #[error("measuring the disk in {directory} failed: {error}")]
    Disk {
        /// Where.
        directory: String,
        /// What the system said.
        error: io::Error,
    },
    /// The thread of the reactor panicked.
    #[error("measuring has panicked")]
    Panicked,
}

/// Measures the disk that holds `directory`, which must exist: two to three seconds, 64 MiB of space, and what a disk can
/// write in that time. Blocks.
pub fn measure(directory: &Path, backend: BackendChoice) -> Result<DiskFigures, MeasureError> {
    let place = directory.to_owned();
    let main = move |reactor: Reactor, _: Mesh<()>| {
        let place = place.clone();
        async move { figures(&reactor, &place).await }
    };
    let shards = launch(&[ShardSpec::default()], backend, Limits::default(), main)?;
    let results = shards.join().map_err(|_| MeasureError::Panicked)?;
    let result = results.into_iter().next().ok_or(MeasureError::Panicked)?;
    result.map_err(|error| MeasureError::Disk { directory: directory.display().to_string(), error })
}

async fn figures(reactor: &Reactor, directory: &Path) -> io::Result<DiskFigures> {
    let file = nameless(reactor, directory).await?;
    let large = piece(LARGE_BYTES);
    let file_bytes = fill(reactor, &file, &large).await?;
    let mut flushes = Vec::new();
    for bytes in FLUSH_BYTES {
        let written = write_in_turn(reactor, &file, &large.slice(0..bytes), file_bytes).await?;
        let mut times = written.times;
        let (p50_us, p99_us) = (percentile(&mut times, 50), percentile(&mut times, 99));
        flushes.push(Latency { bytes, count: times.len(), p50_us, p99_us });
    }
    let written = write_in_turn(reactor, &file, &large, file_bytes).await?;
    let write_mb_per_second = per_second(written.times.len() * LARGE_BYTES, written.took) / 1_000_000;
    let small = large.slice(0..PIECE_BYTES);
    let (mut write_curve, mut read_curve) = (Vec::new(), Vec::new());
    for depth in DEPTHS {
        write_curve.push(point(reactor, depth, &Work::Write(file.clone(), small.clone()), file_bytes).await?);
        read_curve.push(point(reactor, depth, &Work::Read(file.clone()), file_bytes).await?);
    }
    Ok(DiskFigures { is_direct: file.is_direct(), file_bytes, flushes, write_mb_per_second, write_curve, read_curve })
}

/// A new file without a name.
async fn nameless(reactor: &Reactor, directory: &Path) -> io::Result<File> {
    let path = directory.join(format!("tune-{:016x}.scratch", reactor.random_u64()));
    let options = OpenOptions { write: true, create: Create::New, direct: true };
    let file = reactor.open(&path, options).await?;
    reactor.remove_file(path).await?;
    Ok(file)
}

/// Bytes that no disk makes less of: neither zeros nor the same block again.
fn piece(bytes: usize) -> Slice {
    let mut chunk = Chunk::with_capacity(bytes);
    let mut state = STRIDE;
    for _ in 0..bytes / 8 {
        // Xorshift, which is enough to look like nothing in particular.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.append(&state.to_le_bytes());
    }
    chunk.freeze()
}

/// Writes the file for the first time, as far as time allows. Answers its length.
async fn fill(reactor: &Reactor, file: &File, large: &Slice) -> io::Result<u64> {
    let piece = bytes_of(large);
    file.allocate(0, FILE_BYTES).await?;
    let until = reactor.now() + FILL_TIME_MAX;
    let mut length = 0;
    while length < FILE_BYTES && (reactor.now() < until || length < FILE_BYTES_MIN) {
        file.write(vec![large.clone()], length, Durability::Dsync).await?;
        length += piece;
    }
    // A power of two, so that strides go everywhere.
    Ok(1 << length.ilog2())
}

/// Operations that were made, and how long all of them took.
struct Made {
    times: Vec<u64>,
    took: Duration,
}

/// Durable writes one behind the other, as a journal makes them.
async fn write_in_turn(reactor: &Reactor, file: &File, slice: &Slice, file_bytes: u64) -> io::Result<Made> {
    let begin = reactor.now();
    let (mut times, mut offset) = (Vec::new(), 0);
    let until = begin + FIGURE_TIME;
    while times.is_empty() || (reactor.now() < until && times.len() < SAMPLES_MAX) {
        let before = reactor.now();
        file.write(vec![slice.clone()], offset, Durability::Dsync).await?;
        times.push(micros(reactor.now(), before));
        offset = (offset + bytes_of(slice)) % file_bytes;
    }
    Ok(Made { times, took: reactor.now().since(begin) })
}

#[derive(Clone)]
enum Work {
    Write(File, Slice),
    Read(File),
}

/// As many tasks as operations are to be under way, each of which makes one after the other.
async fn point(reactor: &Reactor, depth: usize, work: &Work, file_bytes: u64) -> io::Result<Point> {
    let begin = reactor.now();
    let until = begin + POINT_TIME;
    let next = Rc::new(Cell::new(0));
    let times = Rc::new(RefCell::new(Vec::new()));
    let task = || {
        let (reactor, work, next, times) = (reactor.clone(), work.clone(), Rc::clone(&next), Rc::clone(&times));
        reactor.clone().spawn(async move {
            let mut chunk = Some(Chunk::with_capacity(PIECE_BYTES));
            loop {
                let number: u64 = next.get();
                if number > 0 && (reactor.now() >= until || times.borrow().len() >= SAMPLES_MAX) {
                    return Ok::<_, io::Error>(());
                }
                next.set(number + 1);
                let pieces = file_bytes / u64::try_from(PIECE_BYTES).expect("it is small");
                let offset = number.wrapping_mul(STRIDE) % pieces * (file_bytes / pieces);
                let before = reactor.now();
                operate(&work, offset, &mut chunk).await?;
                times.borrow_mut().push(micros(reactor.now(), before));
            }
        })
    };
    let tasks: Vec<_> = (0..depth).map(|_| task()).collect();
    for task in tasks {
        task.await?;
    }
    let took = reactor.now().since(begin);
    let mut times = times.take();
    let p50_us = percentile(&mut times, 50);
    Ok(Point { depth, per_second: per_second(times.len(), took), p50_us })
}

async fn operate(work: &Work, offset: u64, spare: &mut Option<Chunk>) -> io::Result<()> {
    match work {
        Work::Write(file, slice) => file.write(vec![slice.clone()], offset, Durability::Dsync).await,
        Work::Read(file) => {
            let chunk = spare.take().filter(|chunk| chunk.spare_len() >= PIECE_BYTES);
            let chunk = chunk.unwrap_or_else(|| Chunk::with_capacity(PIECE_BYTES));
            let (result, mut chunk) = file.read(chunk, offset, PIECE_BYTES).await;
            *spare = chunk.try_clear().then_some(chunk);
            result.map(|_| ())
        }
    }
}

fn bytes_of(slice: &Slice) -> u64 {
    u64::try_from(slice.len()).expect("a length fits 64 bits")
}

fn micros(now: Instant, before: Instant) -> u64 {
    u64::try_from(now.since(before).as_micros()).unwrap_or(u64::MAX)
}

/// The time that so many of a hundred are not above; 0 of none.
fn percentile(times: &mut [u64], percent: usize) -> u64 {
    times.sort_unstable();
    let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or(0)
}

fn per_second(count: usize, took: Duration) -> u64 {
    let count = u128::try_from(count).unwrap_or(u128::MAX);
    u64::try_from(count * 1_000_000 / took.as_micros().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_kit::folder::Folder;
    use std::fs;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times: Vec<u64> = (1..=100).rev().collect();
        assert_eq!((percentile(&mut times, 50), percentile(&mut times, 99)), (50, 99));
        assert_eq!((percentile(&mut [7], 99), percentile(&mut [], 50)), (7, 0));
    }

    #[test]
    fn a_disk_is_measured_in_bounded_time_and_nothing_stays() {
        for backend in [BackendChoice::Auto, BackendChoice::Posix] {
            let folder = Folder::new("measure");
            let figures = measure(folder.path(), backend).expect("the disk works");
            assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "the file is gone");
            let depths = |curve: &[Point]| curve.iter().map(|point| point.depth).collect::<Vec<_>>();
            assert_eq!((depths(&figures.read_curve), depths(&figures.write_curve)), (DEPTHS.to_vec(), DEPTHS.to_vec()));
            assert!(figures.write_mb_per_second > 0 && figures.file_bytes >= FILE_BYTES_MIN, "{figures:?}");
            assert!(figures.flushes.iter().all(|flush| flush.count > 0 && flush.p50_us <= flush.p99_us), "{figures:?}");
            assert!(figures.read_curve.iter().all(|point| point.per_second > 0), "{figures:?}");
        }
    }

    #[test]
    fn a_missing_directory_is_told() {
        let folder = Folder::new("measure");
        let error = measure(&folder.path().join("none"), BackendChoice::Auto).expect_err("it is not there");
        assert!(error.to_string().contains("none failed"), "{error}");
    }
}

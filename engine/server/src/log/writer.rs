//! Lines on their way to a file descriptor: a bounded queue, and one thread that writes. Whoever logs never waits for
//! whoever reads the log. Where the queue is full a line is dropped, and the log itself tells how many were.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

/// The thread that writes.
pub(super) const THREAD: &str = "log";

/// Lines on their way. A line has a limit of its own, so this is 64 MiB at the very most, and 1 MiB of usual lines.
const LINES_MAX: usize = 4096;
/// Bytes that are gathered for one write.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// How long a flush waits for a reader that does not read.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// Between two attempts to have a full queue take the flush.
const FLUSH_PAUSE: Duration = Duration::from_millis(5);

enum Order {
    Line(Box<[u8]>),
    /// Say so when everything before is written.
    Flush(SyncSender<()>),
}

/// The way in.
#[derive(Debug)]
pub(super) struct LogWriter {
    orders: SyncSender<Order>,
    /// Since the start.
    dropped: Arc<AtomicU64>,
}

impl LogWriter {
    /// Starts the thread. It writes to `out`; `tell_dropped` makes the line that tells how many were dropped.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        tell_dropped: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, queue) = mpsc::sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        thread::Builder::new().name(THREAD.to_owned()).spawn(move || write(out, &queue, &counted, &tell_dropped))?;
        Ok(Self { orders, dropped })
    }

    /// Takes a line, or drops it. Never waits.
    pub(super) fn take(&self, line: Box<[u8]>) {
        if self.orders.try_send(Order::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was taken before is written, but not for ever. Not to be called by the thread that writes, which would wait for itself.
    pub(super) fn flush(&self) {
        let (done, written) = mpsc::sync_channel(1);
        let give_up_at = Instant::now() + FLUSH_TIME_MAX;
        let mut order = Order::Flush(done);
        loop {
            match self.orders.try_send(order) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < give_up_at => order = back,
                Err(_) => return,
            }
            // Nobody unparks this thread: it pauses.
            thread::park_timeout(FLUSH_PAUSE);
        }
        // Who reads the log may be gone, or stuck; then there is nobody to wait for.
        let _ = written.recv_timeout(give_up_at.saturating_duration_since(Instant::now()));
    }
}

fn write(mut out: impl Write, queue: &Receiver<Order>, dropped: &AtomicU64, tell_dropped: &impl Fn(u64) -> String) {
    let mut gathered = Vec::new();
    let mut told = 0;
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        let mut flushed = None;
        while let Some(order) = next.take() {
            match order {
                Order::Line(line) => gathered.extend_from_slice(&line),
                Order::Flush(done) => flushed = Some(done),
            }
            if gathered.len() < WRITE_BYTES_MAX && flushed.is_none() {
                next = queue.try_recv().ok();
            }
        }
        let count = dropped.load(Ordering::Relaxed);
        if count > told {
            gathered.extend_from_slice(tell_dropped(count - told).as_bytes());
            told = count;
        }
        // There is nobody to tell if standard error is closed.
        let _ = out.write_all(&gathered).and_then(|()| out.flush());
        gathered.clear();
        if let Some(done) = flushed {
            // Who asked may have given up.
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Takes bytes only while its gate is open.
    #[derive(Clone, Default)]
    struct Gated {
        gate: Arc<Mutex<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().expect("no test panics with it");
            self.written.lock().expect("no test panics with it").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Gated {
        fn lines(&self) -> Vec<String> {
            let written = self.written.lock().expect("no test panics with it");
            String::from_utf8_lossy(&written).lines().map(str::to_owned).collect()
        }
    }

    fn start(out: &Gated) -> LogWriter {
        LogWriter::start(out.clone(), |dropped| format!("dropped {dropped}\n")).expect("a thread can be started")
    }

    #[test]
    fn what_was_taken_is_written_in_order_when_a_flush_ends() {
        let out = Gated::default();
        let writer = start(&out);
        for number in 0..1000 {
            writer.take(format!("{number}\n").into_bytes().into());
        }
        writer.flush();
        assert_eq!(out.lines(), (0..1000).map(|number: i32| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_waits_for_a_reader_that_is_stuck_and_the_dropped_lines_are_told() {
        let out = Gated::default();
        let shut = out.gate.lock().expect("it is free");
        let writer = start(&out);
        // Long enough that the lines which are gathered while the gate is shut are few.
        let line = format!("line{}\n", " ".repeat(1023)).into_bytes();
        let offered = 3 * LINES_MAX;
        for _ in 0..offered {
            writer.take(line.clone().into());
        }
        let gathered_max = WRITE_BYTES_MAX / line.len() + 1;
        let dropped = usize::try_from(writer.dropped()).expect("a count of lines");
        assert!((offered - LINES_MAX - gathered_max..=offered - LINES_MAX).contains(&dropped), "{dropped} dropped");
        drop(shut);
        writer.flush();
        // The last count may be taken with the next line.
        writer.take(line.into());
        writer.flush();
        let lines = out.lines();
        let written = lines.iter().filter(|line| line.starts_with("line")).count();
        let told = lines.iter().filter_map(|line| line.strip_prefix("dropped ")?.parse::<usize>().ok()).sum::<usize>();
        assert_eq!((written, told), (offered + 1 - dropped, dropped));
    }
}

//! What the shards know of each other's flushes: a device has one write cache for all of them.
//!
//! When a flush fails, the device may have lost whatever was written to it and not flushed, whoever wrote that; only the
//! one who asked is told, and later flushes succeed. So a flush counts only when no other one has failed since that was
//! written which it is to keep, and one that is still under way may be about to.
//!
//! Shards share this behind a lock and do not ask each other over the mesh: one that starts or ends answers no questions, and
//! has flushes all the same. The lock is taken once for each write to a segment and a few times for each flush, never for a
//! commit.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringlog_storage::LogDir;
use ringlog_storage::io::IoErrorKind;

/// The devices that the data directories are on, the same for all shards.
#[derive(Clone, Debug)]
pub(crate) struct Devices(Arc<[Arc<Device>]>);

impl Devices {
    /// Of directories on devices with these numbers (`st_dev`); those of the same number are on the same one.
    pub(crate) fn new(numbers: &[u64]) -> Self {
        let devices: Vec<Arc<Device>> = numbers.iter().map(|_| Arc::default()).collect();
        let first = |number| numbers.iter().position(|other| other == number).expect("it is one of them");
        Self(numbers.iter().map(|number| Arc::clone(&devices[first(number)])).collect())
    }

    /// That of a directory.
    pub(crate) fn of(&self, dir: LogDir) -> &Device {
        &self.0[dir.index()]
    }
}

/// The flushes of one device.
#[derive(Debug, Default)]
pub(crate) struct Device(Mutex<Flushes>);

#[derive(Debug, Default)]
struct Flushes {
    next: FlushNumber,
    under_way: BTreeSet<FlushNumber>,
    failures: Failures,
    last_failure: Option<IoErrorKind>,
}

/// Flushes have numbers in the order in which they begin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct FlushNumber(u64);

/// How many flushes have failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Failures(u64);

impl Device {
    /// How many flushes have failed until now.
    pub(crate) fn failures(&self) -> Failures {
        self.flushes().failures
    }

    /// A flush begins.
    pub(crate) fn begin_flush(&self) -> FlushNumber {
        let mut flushes = self.flushes();
        let number = flushes.next;
        flushes.next.0 += 1;
        flushes.under_way.insert(number);
        number
    }

    /// A flush has ended.
    pub(crate) fn end_flush(&self, number: FlushNumber, failure: Option<IoErrorKind>) {
        let mut flushes = self.flushes();
        if failure.is_some() {
            flushes.last_failure = failure;
            flushes.failures.0 += 1;
        }
        flushes.under_way.remove(&number);
    }

    /// The number of the flush that begins next: all that have begun have lower ones.
    pub(crate) fn next_flush(&self) -> FlushNumber {
        self.flushes().next
    }

    /// Whether all flushes with lower numbers have ended.
    pub(crate) fn have_ended(&self, before: FlushNumber) -> bool {
        self.flushes().under_way.first().is_none_or(|oldest| *oldest >= before)
    }

    /// Why that may be lost which was written when there were so many failures, if it may.
    pub(crate) fn failure_since(&self, failures: Failures) -> Option<IoErrorKind> {
        let flushes = self.flushes();
        flushes.last_failure.filter(|_| flushes.failures != failures)
    }

    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        // Nothing panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_on_one_device_share_its_flushes() {
        let devices = Devices::new(&[7, 9, 7]);
        let [first, second, third] = ["0:", "1:", "2:"].map(|path| devices.of(LogDir::of_path(path).0));
        let reason = IoErrorKind::Other(5);
        third.end_flush(third.begin_flush(), Some(reason));
        assert_eq!(
            [first, second, third].map(|device| device.failure_since(Failures(0))),
            [Some(reason), None, Some(reason)]
        );
        assert_eq!(first.failure_since(first.failures()), None, "what is written from now on is not lost");
    }

    #[test]
    fn flushes_end_in_any_order() {
        let device = Device::default();
        let [first, second] = [device.begin_flush(), device.begin_flush()];
        let begun = device.next_flush();
        device.end_flush(second, None);
        assert!(!device.have_ended(begun), "the first is under way");
        device.begin_flush();
        device.end_flush(first, None);
        assert!(device.have_ended(begun), "whatever began later");
        assert_eq!(device.failures(), Failures(0));
    }
}

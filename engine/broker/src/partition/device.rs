//! What the shards know of each other's flushes: a device has one write cache for all of them.
//!
//! When a flush fails, the device may have lost whatever was written to it and not flushed, whoever wrote that; only the
//! one who asked is told, and later flushes succeed. So a flush counts only when no other one has failed since that was
//! written which it is to keep, and one that is still under way may be about to.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringlog_storage::LogDir;
use ringlog_storage::io::IoErrorKind;

/// The devices that the data directories are on, the same for all shards.
#[derive(Clone, Debug)]
pub(crate) struct Devices(Arc<[Arc<Device>]>);

impl Devices {
    /// Of directories on devices with these names; those of the same name are on the same one.
    pub(crate) fn new(names: &[u64]) -> Self {
        let devices: Vec<Arc<Device>> = names.iter().map(|_| Arc::default()).collect();
        let first = |name| names.iter().position(|other| other == name).expect("it is one of them");
        Self(names.iter().map(|name| Arc::clone(&devices[first(name)])).collect())
    }

    /// That of a directory.
    pub(crate) fn of(&self, dir: LogDir) -> &Device {
        &self.0[dir.index()]
    }
}

/// The flushes of one device.
#[derive(Debug, Default)]
pub(crate) struct Device {
    failed: AtomicU64,
    flushes: Mutex<Flushes>,
}

#[derive(Debug, Default)]
struct Flushes {
    /// How many have begun: the number of the next one.
    begun: u64,
    under_way: BTreeSet<u64>,
    last_failure: Option<IoErrorKind>,
}

impl Device {
    /// How many flushes have failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Acquire)
    }

    /// A flush begins. Answers its number.
    pub(crate) fn begin_flush(&self) -> u64 {
        let mut flushes = self.flushes();
        let number = flushes.begun;
        flushes.begun += 1;
        flushes.under_way.insert(number);
        number
    }

    /// A flush has ended.
    pub(crate) fn end_flush(&self, number: u64, failure: Option<IoErrorKind>) {
        let mut flushes = self.flushes();
        if failure.is_some() {
            flushes.last_failure = failure;
            self.failed.fetch_add(1, Ordering::Release);
        }
        flushes.under_way.remove(&number);
    }

    /// Why what was written when so many flushes had failed may be lost, if it may.
    pub(crate) fn failure_since(&self, failed: u64) -> Option<IoErrorKind> {
        let flushes = self.flushes();
        flushes.last_failure.filter(|_| self.failed() != failed)
    }

    /// How many flushes have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.flushes().begun
    }

    /// Whether the first flushes, so many, have ended.
    pub(crate) fn have_ended(&self, first: u64) -> bool {
        self.flushes().under_way.first().is_none_or(|oldest| *oldest >= first)
    }

    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        // Nothing panics while it is locked.
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!([first, second, third].map(|device| device.failure_since(0)), [Some(reason), None, Some(reason)]);
        assert_eq!(first.failure_since(first.failed()), None, "what is written from now on is not lost");
    }

    #[test]
    fn flushes_end_in_any_order() {
        let device = Device::default();
        let [first, second] = [device.begin_flush(), device.begin_flush()];
        let begun = device.begun();
        device.end_flush(second, None);
        assert!(!device.have_ended(begun), "the first is under way");
        device.begin_flush();
        device.end_flush(first, None);
        assert!(device.have_ended(begun), "whatever began later");
        assert_eq!(device.failed(), 0);
    }
}

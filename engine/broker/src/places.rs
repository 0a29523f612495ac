//! In which data directory new partitions are placed: where the broker has the fewest, unless an administrator has named
//! another one before they were made.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_cluster::image::Image;
use ringlog_storage::LogDir;
use ringlog_storage::types::PartitionIndex;

use crate::partition::table::PartitionKey;
use crate::topology::TakenFolders;

/// Wishes for partitions that do not exist that are remembered.
const WISHES_MAX: usize = 10_000;

/// What the shards know before an image is put in force.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// Removed partitions whose folders are not free.
    pub(crate) taken: TakenFolders,
    /// How many partitions each data directory has.
    pub(crate) partitions_by_dir: Vec<usize>,
    /// Partitions that come with the image, and lie nowhere yet.
    pub(crate) unplaced: BTreeSet<PartitionKey>,
}

/// What every shard is told with an image.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Removed partitions whose folders are not free.
    pub(crate) taken: TakenFolders,
    places: BTreeMap<PartitionKey, LogDir>,
}

/// Where partitions are to be placed that do not exist, by topic and number. On shard 0. A restart forgets it.
#[derive(Debug, Default)]
pub(crate) struct WantedPlaces(BTreeMap<(String, PartitionIndex), LogDir>);

impl WantedPlaces {
    /// Remembers a wish. With too many of them it is dropped: then the partition is placed like any other.
    pub(crate) fn want(&mut self, topic: &str, partition: PartitionIndex, dir: LogDir) {
        let wish = (topic.to_owned(), partition);
        if self.0.len() < WISHES_MAX || self.0.contains_key(&wish) {
            self.0.insert(wish, dir);
        }
    }

    fn take(&mut self, topic: &str, partition: PartitionIndex) -> Option<LogDir> {
        if self.0.is_empty() { None } else { self.0.remove(&(topic.to_owned(), partition)) }
    }
}

impl Ground {
    /// Adds what another shard knows.
    pub(crate) fn join(&mut self, other: Self) {
        self.taken.extend(other.taken);
        for (count, more) in self.partitions_by_dir.iter_mut().zip(other.partitions_by_dir) {
            *count += more;
        }
        self.unplaced.extend(other.unplaced);
    }

    /// Gives every new partition its place: one after the other to the directory with the fewest, of equal ones the first.
    /// None goes to a cordoned one, if there are others: not even where it was wished for before that was cordoned.
    pub(crate) fn plan(self, image: &Image, cordoned: &[LogDir], wanted: &mut WantedPlaces) -> Plan {
        let Self { taken, mut partitions_by_dir, unplaced } = self;
        let all = (0..).map(LogDir::new).take(partitions_by_dir.len());
        let mut dirs: Vec<LogDir> = all.clone().filter(|dir| !cordoned.contains(dir)).collect();
        if dirs.is_empty() {
            // They were let in before the last one was cordoned.
            dirs = all.collect();
        }
        let mut places = BTreeMap::new();
        for key in unplaced {
            let Some(topic) = image.topic_by_id(key.topic_id) else { continue };
            let wish = wanted.take(&topic.name, key.partition).filter(|dir| dirs.contains(dir));
            let least = dirs.iter().copied().min_by_key(|dir| partitions_by_dir[dir.index()]);
            let Some(dir) = wish.or(least) else { continue };
            partitions_by_dir[dir.index()] += 1;
            places.insert(key, dir);
        }
        Plan { taken, places }
    }
}

impl Plan {
    /// Where a partition is to be if it lies nowhere.
    pub(crate) fn place(&self, key: PartitionKey) -> LogDir {
        self.places.get(&key).copied().unwrap_or_default()
    }
}

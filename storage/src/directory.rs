//! The data directories (`log.dirs`), and what folders of partitions are called in them.

use std::sync::Arc;

use crate::checkpoint::is_topic_name;
use crate::journal::format::PartitionKey;
use crate::limits::LOG_DIRS_MAX;
use crate::types::{PartitionIndex, Uuid};

/// Bytes of the longest name that file systems take.
const NAME_BYTES_MAX: usize = 255;
/// Hexadecimal digits of what makes a folder's name unique.
const UNIQUE_DIGITS: usize = 32;

/// One data directory: its place in the list of this start. The first one is home: journals, checkpoints and the cluster's
/// metadata lie there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LogDir(u16);

impl LogDir {
    /// The first one.
    pub const HOME: Self = Self(0);

    /// The one at this place of the list.
    pub const fn new(place: u16) -> Self {
        Self(place)
    }

    /// Its place in the list.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The path of something in it, as [`IoOp`](crate::io::IoOp) names it: at home the plain name, elsewhere with the place
    /// of the directory and a colon before. No name in a data directory has a colon.
    pub fn path(self, name: &str) -> Arc<str> {
        if self == Self::HOME { name.into() } else { format!("{}:{name}", self.0).into() }
    }

    /// The directory that a path lies in, and the path from there.
    pub fn of_path(path: &str) -> (Self, &str) {
        let elsewhere = path.split_once(':').and_then(|(place, name)| Some((Self(place.parse().ok()?), name)));
        elsewhere.unwrap_or((Self::HOME, path))
    }
}

/// The data directories of one start, by their ids (`directory.id` of their `meta.properties`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogDirs(Arc<[Uuid]>);

impl Default for LogDirs {
    /// One directory, whose id does not matter.
    fn default() -> Self {
        Self(Arc::new([Uuid::ZERO]))
    }
}

impl LogDirs {
    /// Directories with these ids, home first. Panics if there are none, or more than [`LOG_DIRS_MAX`].
    pub fn new(ids: &[Uuid]) -> Self {
        assert!((1..=LOG_DIRS_MAX).contains(&ids.len()), "there is a home, and not too many others");
        Self(ids.into())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them, home first.
    pub fn iter(&self) -> impl Iterator<Item = LogDir> + use<> {
        (0..).take(self.0.len()).map(LogDir)
    }

    /// The id of one. Panics if it is not of this list.
    pub fn id(&self, dir: LogDir) -> Uuid {
        self.0[dir.index()]
    }

    /// The one with this id.
    pub fn find(&self, id: Uuid) -> Option<LogDir> {
        self.iter().find(|dir| self.id(*dir) == id)
    }
}

/// What a folder is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Folder {
    /// A partition's log.
    Log,
    /// A copy of one that is being made (Kafka's name).
    Future,
    /// A copy that is complete and durable, of which it is not sure yet that it is told to be the log.
    Moved,
    /// Whatever is in it is not needed any more (Kafka's name).
    Delete,
}

const KINDS: [(Folder, &str); 3] =
    [(Folder::Future, "-future"), (Folder::Moved, "-moved"), (Folder::Delete, "-delete")];

/// A word on where a partition lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Placement {
    /// Id of the directory; [`Uuid::ZERO`] where nothing tells that: then it is home.
    pub(crate) directory: Uuid,
    /// The moves that brought it there.
    pub(crate) move_count: u64,
}

impl Placement {
    /// Which one counts of this and another word, which is read later, if it is one: several shards may have moved the
    /// partition, and their words are read in any order.
    pub(crate) fn or_later(self, other: Self) -> Self {
        if other == Self::default() || self.move_count > other.move_count { self } else { other }
    }
}

/// The folder of a partition.
pub(crate) fn folder_of(topic: &str, partition: PartitionIndex) -> String {
    format!("{topic}-{partition}")
}

/// A folder's name with something unique and a suffix. The topic's name is cut where it would be too long.
fn suffixed(folder: &str, unique: u128, suffix: &str) -> String {
    let (topic, partition) = folder.rsplit_once('-').unwrap_or((folder, "0"));
    let rest = format!("-{partition}.{unique:032x}{suffix}");
    // Names that are found on the disk may be anything.
    let topic = &topic[..topic.floor_char_boundary(NAME_BYTES_MAX.saturating_sub(rest.len()))];
    format!("{topic}{rest}")
}

/// The folder of a copy that is being made.
pub(crate) fn future_of(topic: &str, key: PartitionKey) -> String {
    suffixed(&folder_of(topic, key.partition), key.topic_id.as_u128(), "-future")
}

/// The folder of a copy that is complete.
pub(crate) fn moved_of(topic: &str, key: PartitionKey) -> String {
    suffixed(&folder_of(topic, key.partition), key.topic_id.as_u128(), "-moved")
}

/// What a folder is called that is to be deleted.
pub(crate) fn delete_of(folder: &str, unique: u128) -> String {
    suffixed(folder, unique, "-delete")
}

/// What a folder is called that nobody knows what to do with (Kafka's name).
pub(crate) fn stray_of(folder: &str, unique: u128) -> String {
    suffixed(folder, unique, "-stray")
}

/// What the folder of this name is for, and of which partition the copy in it is. `None` for other names.
pub(crate) fn understand(name: &str) -> Option<(Folder, Option<PartitionKey>)> {
    let partition_of = |name: &str| {
        let (topic, number) = name.rsplit_once('-')?;
        let index = number.parse::<i32>().ok().filter(|index| *index >= 0 && index.to_string() == number)?;
        is_topic_name(topic).then_some(PartitionIndex::new(index))
    };
    let Some((folder, rest)) = KINDS.iter().find_map(|(folder, suffix)| Some((*folder, name.strip_suffix(suffix)?)))
    else {
        return partition_of(name).map(|_| (Folder::Log, None));
    };
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_unique = |unique: &str| unique.len() == UNIQUE_DIGITS && unique.bytes().all(is_digit);
    let (of, unique) = rest.rsplit_once('.').filter(|(_, unique)| is_unique(unique))?;
    let topic_id = Uuid::from_u128(u128::from_str_radix(unique, 16).ok()?);
    Some((folder, Some(PartitionKey { topic_id, partition: partition_of(of)? })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(topic: u128, partition: i32) -> PartitionKey {
        PartitionKey { topic_id: Uuid::from_u128(topic), partition: PartitionIndex::new(partition) }
    }

    #[test]
    fn a_path_tells_its_directory() {
        for (place, name) in [(0, "topic-0/1.log"), (1, "topic-0"), (37, ""), (0, "")] {
            let dir = LogDir::new(place);
            assert_eq!(LogDir::of_path(&dir.path(name)), (dir, name));
        }
        assert_eq!(&*LogDir::HOME.path("journal"), "journal");
        assert_eq!(&*LogDir::new(2).path(""), "2:");
    }

    #[test]
    fn the_word_with_most_moves_counts() {
        let word = |directory, move_count| Placement { directory: Uuid::from_u128(directory), move_count };
        assert_eq!(word(1, 1).or_later(word(2, 2)), word(2, 2));
        assert_eq!(word(2, 2).or_later(word(1, 1)), word(2, 2));
        assert_eq!(word(1, 0).or_later(word(2, 0)), word(2, 0), "those of older formats are not counted");
        assert_eq!(Placement::default().or_later(word(1, 0)), word(1, 0));
        assert_eq!(word(1, 0).or_later(Placement::default()), word(1, 0));
    }

    #[test]
    fn names_of_folders_are_understood() {
        let copy = key(u128::MAX - 5, 17);
        assert_eq!(understand("a-b.c-0"), Some((Folder::Log, None)));
        assert_eq!(understand(&future_of("a.b-c", copy)), Some((Folder::Future, Some(copy))));
        assert_eq!(understand(&moved_of("a.b-c", copy)), Some((Folder::Moved, Some(copy))));
        let deleted = delete_of("topic-3", 7);
        assert_eq!(understand(&deleted), Some((Folder::Delete, Some(key(7, 3)))));
        // As topics are deleted.
        assert_eq!(understand(&format!("topic-3.{:032x}-delete", 7)), Some((Folder::Delete, Some(key(7, 3)))));
        for name in ["journal", "topic", "topic-", "topic--1", "topic-x", "t-0.123-future", "t.123-future", ".lock"] {
            let expected = (name == "topic--1").then_some((Folder::Log, None));
            assert_eq!(understand(name), expected, "{name}");
        }
        assert_eq!(understand(&stray_of("topic-0", 3)), None);
    }

    /// What is removed has exactly such a name.
    #[test]
    fn names_that_are_almost_those_of_deleted_folders_are_not_understood() {
        let unique = "0123456789abcdef0123456789abcdef";
        assert!(understand(&format!("topic-3.{unique}-delete")).is_some());
        for name in [
            format!("topic-3.{}-delete", unique.to_uppercase()),
            format!("topic-3.+{}-delete", &unique[1..]),
            format!("topic-3.{}-delete", &unique[1..]),
            format!("topic-3.0{unique}-delete"),
            format!("topic-03.{unique}-delete"),
            format!("topic-+3.{unique}-delete"),
            format!("topic.{unique}-delete"),
            format!("-3.{unique}-delete"),
            format!("to pic-3.{unique}-delete"),
            format!("topic-3.{unique}-deleted"),
            format!("topic-3.{unique}-delete "),
            format!("{unique}-delete"),
        ] {
            assert_eq!(understand(&name), None, "{name}");
        }
    }

    #[test]
    fn long_names_are_cut() {
        let topic = "t".repeat(249);
        let copy = key(9, i32::MAX);
        for name in [future_of(&topic, copy), moved_of(&topic, copy), stray_of(&folder_of(&topic, copy.partition), 1)] {
            assert!(name.len() <= NAME_BYTES_MAX, "{name}");
        }
        assert_eq!(understand(&future_of(&topic, copy)), Some((Folder::Future, Some(copy))));
    }
}

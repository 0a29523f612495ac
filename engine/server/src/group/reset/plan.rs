//! What a reset does to each partition.

use ringlog_storage::types::{Offset, PartitionIndex, TopicPartition};
use serde::Serialize;

use super::destination::Destination;
use crate::group::lag::shown;
use crate::output::table;
use crate::printable::printable;

/// What is to be done.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) group: String,
    /// Nobody has it yet, so perhaps another one was meant.
    pub(super) is_new_group: bool,
    /// Whether it was done.
    pub(super) executed: bool,
    pub(super) partitions: Vec<Planned>,
}

/// What is to be done to one partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Planned {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// What is committed; `None` if nothing is.
    pub(super) current_offset: Option<i64>,
    pub(super) new_offset: i64,
    /// How many records on; negative when they are read again.
    pub(super) by: Option<i64>,
    /// Why it is not quite where it was asked to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<&'static str>,
}

/// What is known of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// What is committed.
    pub(super) current: Option<Offset>,
    pub(super) start: Offset,
    pub(super) end: Offset,
    /// The first record's of the time that was asked for, or later.
    pub(super) of_time: Option<Offset>,
}

/// Where the offset of a partition goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moved {
    current: Option<Offset>,
    new: Offset,
    note: Option<&'static str>,
}

/// Why no offset can be told for a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Unplannable {
    #[error("it has no leader at the moment, so its offsets are not known: try again when its broker is up")]
    NoLeader,
    #[error("nothing is committed that could be shifted: use --to-offset, --to-earliest or --to-latest")]
    NothingToShift,
}

const BEFORE_START: &str = "the log starts here";
const BEYOND_END: &str = "the log ends here";
const NO_RECORD_OF_TIME: &str = "no record is that young: the log ends here";
const NOTHING_COMMITTED: &str = "nothing was committed: the log ends here";

/// Where the offset of a partition goes. Offsets stay within the log, but for those that stay where they are.
pub(super) fn plan_partition(destination: Destination, known: Known) -> Result<Moved, Unplannable> {
    let Known { current, start, end, of_time } = known;
    let within = |offset: i64| match offset {
        offset if offset < start.get() => (start, Some(BEFORE_START)),
        offset if offset > end.get() => (end, Some(BEYOND_END)),
        offset => (Offset::new(offset), None),
    };
    let (new, note) = match destination {
        Destination::Earliest => (start, None),
        Destination::Latest => (end, None),
        Destination::Current => current.map_or((end, Some(NOTHING_COMMITTED)), |current| (current, None)),
        Destination::Offset(offset) => within(offset.get()),
        Destination::Shift(records) => {
            let current = current.ok_or(Unplannable::NothingToShift)?;
            within(current.get().saturating_add(records))
        }
        Destination::Time(_) => of_time.map_or((end, Some(NO_RECORD_OF_TIME)), |offset| within(offset.get())),
    };
    Ok(Moved { current, new, note })
}

impl Planned {
    pub(super) fn new(partition: &TopicPartition, Moved { current, new, note }: Moved) -> Self {
        Self {
            topic: partition.topic.to_string(),
            partition: partition.partition.get(),
            current_offset: current.map(Offset::get),
            new_offset: new.get(),
            by: current.map(|current| new.since(current)),
            note,
        }
    }

    pub(super) fn partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), PartitionIndex::new(self.partition))
    }
}

impl Plan {
    /// The plan for people.
    pub(super) fn text(&self) -> String {
        let row = |each: &Planned| {
            [
                each.topic.clone(),
                each.partition.to_string(),
                each.current_offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
                shown(Some(each.new_offset)),
                each.by.map_or_else(|| "-".to_owned(), |by| format!("{by:+}")),
                each.note.unwrap_or_default().to_owned(),
            ]
        };
        let headings = ["TOPIC", "PARTITION", "CURRENT", "NEW", "BY", "NOTE"];
        table(headings, &self.partitions.iter().map(row).collect::<Vec<_>>())
    }

    /// What has become of it, for people.
    pub(super) fn conclusion(&self) -> String {
        let group = printable(&self.group);
        match (self.executed, self.is_new_group) {
            (false, false) => "\nnothing was changed; add --execute to commit the new offsets\n".to_owned(),
            (false, true) => format!(
                "\ngroup {group} does not exist; see those that do with: ringlog group list\nnothing was changed; add --execute \
                 to make it, with these offsets\n"
            ),
            (true, _) => {
                let (count, s) = (self.partitions.len(), if self.partitions.len() == 1 { "" } else { "s" });
                let new = if self.is_new_group { ", which is new" } else { "" };
                format!("\ncommitted {count} offset{s} for group {group}{new}\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlog_storage::types::Millis;

    use super::*;

    fn moved(destination: Destination, current: Option<i64>, of_time: Option<i64>) -> (i64, Option<&'static str>) {
        let (current, of_time) = (current.map(Offset::new), of_time.map(Offset::new));
        let known = Known { current, start: Offset::new(10), end: Offset::new(20), of_time };
        let moved = plan_partition(destination, known).expect("it can be planned");
        (moved.new.get(), moved.note)
    }

    #[test]
    fn every_destination_lies_within_the_log() {
        let offset = |offset| Destination::Offset(Offset::new(offset));
        let time = Destination::Time(Millis::new(1));
        for (destination, current, of_time, expected) in [
            (Destination::Earliest, None, None, (10, None)),
            (Destination::Latest, Some(12), None, (20, None)),
            (Destination::Current, Some(12), None, (12, None)),
            (Destination::Current, Some(5), None, (5, None)),
            (Destination::Current, None, None, (20, Some(NOTHING_COMMITTED))),
            (offset(10), None, None, (10, None)),
            (offset(20), None, None, (20, None)),
            (offset(9), None, None, (10, Some(BEFORE_START))),
            (offset(21), None, None, (20, Some(BEYOND_END))),
            (Destination::Shift(-2), Some(15), None, (13, None)),
            (Destination::Shift(-6), Some(15), None, (10, Some(BEFORE_START))),
            (Destination::Shift(6), Some(15), None, (20, Some(BEYOND_END))),
            (Destination::Shift(i64::MIN), Some(15), None, (10, Some(BEFORE_START))),
            (Destination::Shift(i64::MAX), Some(15), None, (20, Some(BEYOND_END))),
            (time, Some(15), Some(17), (17, None)),
            (time, Some(15), None, (20, Some(NO_RECORD_OF_TIME))),
        ] {
            assert_eq!(moved(destination, current, of_time), expected, "{destination:?} from {current:?}");
        }
    }

    #[test]
    fn a_group_that_is_new_is_told() {
        let concluded = |is_new_group, executed| {
            Plan { group: "shop\n".to_owned(), is_new_group, executed, partitions: Vec::new() }.conclusion()
        };
        assert!(
            concluded(true, false)
                .contains("\ngroup shop\\n does not exist; see those that do with: ringlog group list\n")
        );
        assert!(!concluded(false, false).contains("exist"));
        assert_eq!(concluded(true, true), "\ncommitted 0 offsets for group shop\\n, which is new\n");
        assert_eq!(concluded(false, true), "\ncommitted 0 offsets for group shop\\n\n");
    }

    #[test]
    fn what_was_not_committed_cannot_be_shifted() {
        let known = Known { current: None, start: Offset::new(0), end: Offset::new(1), of_time: None };
        assert_eq!(plan_partition(Destination::Shift(1), known), Err(Unplannable::NothingToShift));
    }
}

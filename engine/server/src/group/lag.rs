//! `ringlog group lag`: how far groups are behind.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use ringlog_storage::types::{Millis, Offset, TopicPartition};
use serde::Serialize;

use super::membership::{look_up, missing};
use super::offsets::{Topics, committed};
use super::{listing, unread};
use crate::diagnostics::several;
use crate::offsets::Place;
use crate::output::{self, Form, table};
use crate::session::Session;

/// Groups that are asked about at a time.
const GROUPS_AT_ONCE: usize = 64;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The groups [default: all].
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    /// One line for each group, not for each partition.
    #[arg(short, long)]
    total: bool,
}

/// How far a group is behind in one partition.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PartitionLag {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// The next record to be read; unknown where nothing was committed.
    pub(super) committed_offset: Option<i64>,
    /// Behind the last record; unknown without a leader.
    pub(super) end_offset: Option<i64>,
    /// Records that are not read yet.
    pub(super) lag: Option<i64>,
    /// How old the next of them is: 0 if there is none, unknown where it is gone.
    pub(super) lag_seconds: Option<f64>,
}

/// How far a group is behind.
#[derive(Debug, Serialize)]
struct GroupLag {
    group: String,
    /// Over all partitions; unknown where one is.
    lag: Option<i64>,
    /// Of the partition that is furthest behind; unknown where one is.
    lag_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<PartitionLag>,
}

/// Tells what can be told; groups that are not there are the command's error.
pub(super) async fn tell(session: &Session, form: Form, arguments: &Arguments) -> anyhow::Result<()> {
    let are_named = !arguments.groups.is_empty();
    let groups = if are_named { arguments.groups.clone() } else { listing::ids(session).await? };
    let topics = Topics::all(session).await?;
    let lag_of = |group| group_lag(session, &topics, group, are_named);
    let questions = stream::iter(groups.iter().map(|group| lag_of(group.as_str())));
    let mut answers = pin!(questions.buffered(GROUPS_AT_ONCE));
    let (mut told, mut refused) = (Vec::new(), Vec::new());
    for group in &groups {
        match answers.next().await.expect("there is one for each group")? {
            Some(lag) if arguments.total => told.push(GroupLag { partitions: Vec::new(), ..lag }),
            Some(lag) => told.push(lag),
            None => refused.push(missing(group)),
        }
    }
    output::print(form, &told, |told| match told.as_slice() {
        // What was refused says it all.
        [] if !refused.is_empty() => String::new(),
        told if arguments.total => totals(told),
        told => rows(told),
    })?;
    if refused.is_empty() { Ok(()) } else { Err(several(refused)) }
}

/// How far one group is behind; `None` if it is not there.
async fn group_lag(
    session: &Session,
    topics: &Topics,
    group: &str,
    is_named: bool,
) -> anyhow::Result<Option<GroupLag>> {
    let offsets = committed(session, topics, group).await?;
    // Who has committed something exists, and so did who was listed.
    if is_named && offsets.is_empty() && look_up(session, group).await?.is_none() {
        return Ok(None);
    }
    let offsets = offsets.into_iter().map(|(partition, offset)| (partition, Some(offset))).collect();
    let partitions = lags(session, topics, &offsets).await?;
    let (lag, lag_seconds) = total(&partitions);
    Ok(Some(GroupLag { group: group.to_owned(), lag, lag_seconds, partitions }))
}

/// How far a group with these offsets is behind, partition by partition.
pub(super) async fn lags(
    session: &Session,
    topics: &Topics,
    offsets: &BTreeMap<TopicPartition, Option<Offset>>,
) -> anyhow::Result<Vec<PartitionLag>> {
    let ends = topics.offsets(session, offsets.keys(), Place::End).await?;
    let is_unread = |partition: &TopicPartition, offset: Offset| ends.get(partition).is_some_and(|end| offset < *end);
    let unread = offsets.iter().filter_map(|(partition, offset)| Some((partition, (*offset)?)));
    let unread = unread.filter(|(partition, offset)| is_unread(partition, *offset));
    let times = unread::times(session, topics, unread.map(|(partition, offset)| (partition.clone(), offset)).collect());
    let times = times.await?;
    // Behind the question: no record is younger than it will be told to be.
    let now = Millis::new(session.driver.reactor().wall_clock_ms());
    let lag = offsets.iter().map(|(partition, offset)| {
        partition_lag(partition, *offset, ends.get(partition).copied(), times.get(partition).copied(), now)
    });
    Ok(lag.collect())
}

fn partition_lag(
    partition: &TopicPartition,
    committed: Option<Offset>,
    end: Option<Offset>,
    next_record: Option<Millis>,
    now: Millis,
) -> PartitionLag {
    let lag = committed.zip(end).map(|(committed, end)| end.since(committed).max(0));
    let lag_seconds = match lag {
        Some(0) => Some(0.0),
        Some(_) => next_record.map(|time| seconds(now.since(time))),
        None => None,
    };
    PartitionLag {
        topic: partition.topic.to_string(),
        partition: partition.partition.get(),
        committed_offset: committed.map(Offset::get),
        end_offset: end.map(Offset::get),
        lag,
        lag_seconds,
    }
}

/// A record from the future, by a clock that is ahead, is as young as one can be.
fn seconds(age_ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)).as_secs_f64()
}

/// Records in all partitions, and the seconds of the one that is furthest behind.
pub(super) fn total(partitions: &[PartitionLag]) -> (Option<i64>, Option<f64>) {
    let lag = partitions.iter().try_fold(0_i64, |sum, each| Some(sum.saturating_add(each.lag?)));
    let lag_seconds = partitions.iter().try_fold(0.0_f64, |most, each| Some(most.max(each.lag_seconds?)));
    (lag, lag_seconds)
}

/// A number in a table.
pub(super) fn shown(number: Option<i64>) -> String {
    number.map_or("?".to_owned(), |number| number.to_string())
}

/// Seconds in a table.
pub(super) fn shown_seconds(seconds: Option<f64>) -> String {
    seconds.map_or("?".to_owned(), |seconds| format!("{seconds:.1}"))
}

fn rows(told: &[GroupLag]) -> String {
    let row = |group: &str, each: &PartitionLag| {
        [
            group.to_owned(),
            each.topic.clone(),
            each.partition.to_string(),
            shown(each.committed_offset),
            shown(each.end_offset),
            shown(each.lag),
            shown_seconds(each.lag_seconds),
        ]
    };
    let rows = told.iter().flat_map(|group| group.partitions.iter().map(|each| row(&group.group, each)));
    let headings = ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS"];
    table(headings, &rows.collect::<Vec<_>>())
}

fn totals(told: &[GroupLag]) -> String {
    let row = |group: &GroupLag| [group.group.clone(), shown(group.lag), shown_seconds(group.lag_seconds)];
    table(["GROUP", "LAG", "SECONDS"], &told.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use ringlog_storage::types::PartitionIndex;

    use super::*;

    fn lag(committed: Option<i64>, end: Option<i64>, time: Option<i64>) -> PartitionLag {
        let partition = TopicPartition::new("t", PartitionIndex::new(0));
        let (committed, end) = (committed.map(Offset::new), end.map(Offset::new));
        partition_lag(&partition, committed, end, time.map(Millis::new), Millis::new(10_500))
    }

    #[test]
    fn lag_is_told_in_records_and_seconds() {
        let check = |committed, end, time, expected: (Option<i64>, Option<f64>)| {
            let lag = lag(committed, end, time);
            assert_eq!((lag.lag, lag.lag_seconds), expected, "{committed:?} {end:?} {time:?}");
        };
        check(Some(3), Some(10), Some(500), (Some(7), Some(10.0)));
        check(Some(3), Some(10), Some(99_999), (Some(7), Some(0.0)));
        check(Some(3), Some(10), None, (Some(7), None));
        check(Some(10), Some(10), None, (Some(0), Some(0.0)));
        check(Some(11), Some(10), None, (Some(0), Some(0.0)));
        check(None, Some(10), None, (None, None));
        check(Some(3), None, None, (None, None));
    }

    #[test]
    fn a_group_is_as_late_as_its_latest_partition() {
        let (slow, done) = (lag(Some(0), Some(5), Some(500)), lag(Some(5), Some(5), None));
        assert_eq!(total(&[slow.clone(), done.clone()]), (Some(5), Some(10.0)));
        assert_eq!(total(&[done, lag(None, Some(5), None)]), (None, None));
        assert_eq!(total(&[slow, lag(Some(0), Some(5), None)]), (Some(10), None));
        assert_eq!(total(&[]), (Some(0), Some(0.0)));
    }
}

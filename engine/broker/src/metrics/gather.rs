//! Brings together what all shards tell, for one scrape.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_cluster::fetch_session::TopicKey;
use ringlog_cluster::group::GroupFacts;
use ringlog_cluster::image::{Image, PartitionImage};
use ringlog_measure::Durations;
use ringlog_net::messages::ApiKey;
use ringlog_reactor::ProcessUsage;
use ringlog_storage::answer::PartitionOffsets;
use ringlog_storage::types::{Nanos, PartitionIndex};

use super::counters::{ApiCounts, Traffic};
use super::exposition::Label;
use super::snapshot::{self, PartitionRow, ShardSnapshot};
use crate::controller;
use crate::errand::on_shard;
use crate::shard::Shard;

/// The topic that stands for all those that have no labels of their own. No topic can have this name.
pub(crate) const OTHER_TOPICS: &str = "(others)";
/// Partitions, and committed offsets, that one scrape tells of; it says how many it left out.
const ROWS_MAX: usize = 500_000;
/// Rows that are worked on before others have their turn.
const ROWS_PER_TURN: usize = 2048;
/// Rates are taken over this time at least.
const WINDOW_MIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Everything that one scrape tells.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) node_id: i32,
    pub(crate) image: Arc<Image>,
    pub(crate) shards: Vec<ShardSnapshot>,
    /// Of all shards.
    pub(crate) apis: BTreeMap<ApiKey, ApiCounts>,
    pub(crate) errors: BTreeMap<(ApiKey, i16), u64>,
    pub(crate) traffic: Traffic,
    pub(crate) sent_bytes: u64,
    pub(crate) flush_time: Durations,
    pub(crate) rates: Rates,
    pub(crate) topics: Vec<TopicRow>,
    /// By topic and number; only those whose topics have labels of their own.
    pub(crate) partitions: Vec<PartitionRow>,
    pub(crate) groups: Vec<GroupRow>,
    pub(crate) group_topics: Vec<GroupTopicRow>,
    pub(crate) offsets: Vec<OffsetRow>,
    /// Partitions and committed offsets that were left out.
    pub(crate) left_out: usize,
    pub(crate) metadata_log: Option<PartitionOffsets>,
    pub(crate) process: Option<ProcessUsage>,
    /// Bytes of the file system of the data directory: in all, and free.
    pub(crate) space: Option<(u64, u64)>,
    /// Of the log, since the start.
    pub(crate) log_lines_dropped: u64,
}

/// One topic, or all that have no labels of their own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TopicRow {
    /// `None` for those together.
    pub(crate) topic: Option<Arc<str>>,
    pub(crate) partitions: usize,
    pub(crate) replicas: usize,
    pub(crate) traffic: Traffic,
    pub(crate) sent_bytes: u64,
    pub(crate) bytes: u64,
    pub(crate) log_starts: i64,
    pub(crate) high_watermarks: i64,
}

impl TopicRow {
    pub(crate) fn label(&self) -> Label<'_> {
        self.topic.as_deref().unwrap_or(OTHER_TOPICS).into()
    }

    fn add(&mut self, row: &PartitionRow) {
        self.partitions += 1;
        self.traffic.merge(&row.traffic);
        self.bytes += row.extent.bytes;
        self.log_starts += row.extent.offsets.log_start.get();
        self.high_watermarks += row.extent.offsets.high_watermark.get();
    }
}

impl PartitionRow {
    pub(crate) fn labels(&self) -> [Label<'_>; 2] {
        [self.topic.as_ref().into(), self.partition.get().into()]
    }
}

/// One group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GroupRow {
    pub(crate) group: Arc<str>,
    pub(crate) group_type: &'static str,
    pub(crate) protocol_type: Arc<str>,
    pub(crate) state: &'static str,
    pub(crate) members: usize,
    /// One more with each rebalance.
    pub(crate) epoch: i32,
}

/// What a group has committed of one topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GroupTopicRow {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) offsets: i64,
    pub(crate) lag: i64,
}

impl GroupTopicRow {
    pub(crate) fn labels(&self) -> [Label<'_>; 2] {
        [self.group.as_ref().into(), self.topic.as_ref().into()]
    }
}

/// What a group has committed of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OffsetRow {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: PartitionIndex,
    pub(crate) offset: i64,
    /// `None` for a partition that is not there.
    pub(crate) lag: Option<i64>,
}

impl OffsetRow {
    pub(crate) fn labels(&self) -> [Label<'_>; 3] {
        [self.group.as_ref().into(), self.topic.as_ref().into(), self.partition.get().into()]
    }
}

/// What has no meaning but over a time: since the scrape before, unless that was just now.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Rates {
    /// Part of the time, from 0 to 1, in which shards had nothing to do.
    pub(crate) idle: f64,
    pub(crate) accepted_per_second: f64,
    pub(crate) closed_per_second: f64,
    /// Records of the metadata log.
    pub(crate) metadata_records_per_second: f64,
}

/// What rates are calculated from.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    at: Nanos,
    wait_nanos: u64,
    accepted: u64,
    closed: u64,
    metadata_end: u64,
    rates: Rates,
}

/// Takes one look at everything after the other.
#[derive(Debug)]
pub(crate) struct Gatherer {
    shard: Shard,
    since: Cell<Since>,
}

impl Gatherer {
    /// On shard 0.
    pub(crate) fn new(shard: &Shard) -> Self {
        let since = Since { at: shard.now(), ..Since::default() };
        Self { shard: shard.clone(), since: Cell::new(since) }
    }

    /// Asks all shards. No shard works on it for long at a time.
    pub(crate) async fn gather(&self) -> Gathered {
        let shard = &self.shard;
        let directory = shard.settings().home().path.clone();
        let process = shard.reactor().process_usage().await.ok();
        let total = shard.reactor().total_space(directory.clone()).await.ok();
        let space = total.zip(shard.reactor().free_space(directory).await.ok());
        let (mut shards, mut partitions, mut facts) = (Vec::new(), Vec::new(), Vec::new());
        // A partition that goes from shard to shard meanwhile might be on neither, and its counters would go back.
        let turn = controller::publications(shard).turn().await;
        for index in 0..shard.count() {
            shards.push(on_shard(shard, index, snapshot::shard).await);
            let mut cursor = None;
            loop {
                let look = move |shard: &Shard| shard.with(|state| snapshot::partitions(state, cursor));
                let (rows, next) = on_shard(shard, index, look).await;
                partitions.extend(rows);
                shard.reactor().yield_now().await;
                cursor = next;
                if cursor.is_none() || partitions.len() >= ROWS_MAX {
                    break;
                }
            }
            facts.extend(self.groups_of(index).await);
        }
        drop(turn);
        let metadata_log = controller::log_offsets(shard).await.ok();
        let image = shard.with(|state| Arc::clone(&state.image));
        let mut gathered = merge(shard, image, shards, self.rates());
        gathered.rates = self.rates_of(&gathered.shards, metadata_log.as_ref());
        (gathered.process, gathered.space, gathered.metadata_log) = (process, space, metadata_log);
        self.sort_partitions(&mut gathered, partitions).await;
        self.sort_groups(&mut gathered, facts).await;
        gathered
    }

    async fn groups_of(&self, index: usize) -> Vec<GroupFacts> {
        let (mut facts, mut rows, mut cursor) = (Vec::new(), 0, None);
        loop {
            let look = move |shard: &Shard| shard.with(|state| snapshot::groups(state, &cursor));
            let (more, next): (Vec<GroupFacts>, _) = on_shard(&self.shard, index, look).await;
            rows += more.iter().map(|group| 1 + group.offsets.len()).sum::<usize>();
            facts.extend(more);
            self.shard.reactor().yield_now().await;
            cursor = next;
            if cursor.is_none() || rows >= ROWS_MAX {
                return facts;
            }
        }
    }

    fn rates(&self) -> Rates {
        self.since.get().rates
    }

    fn rates_of(&self, shards: &[ShardSnapshot], metadata_log: Option<&PartitionOffsets>) -> Rates {
        let now = Since {
            at: self.shard.now(),
            wait_nanos: shards.iter().map(|shard| shard.reactor.wait_nanos).sum(),
            accepted: shards.iter().map(|shard| shard.connections.accepted).sum(),
            closed: shards.iter().map(|shard| shard.connections.closed).sum(),
            metadata_end: metadata_log.map_or(0, |log| u64::try_from(log.log_end.get()).unwrap_or(0)),
            rates: Rates::default(),
        };
        let before = self.since.get();
        let Some(rates) = rates_between(&before, &now, shards.len()) else { return before.rates };
        self.since.set(Since { rates, ..now });
        rates
    }

    /// Sorts partitions by topic, and adds up what topics are made of.
    async fn sort_partitions(&self, gathered: &mut Gathered, mut rows: Vec<PartitionRow>) {
        gathered.left_out += rows.len().saturating_sub(ROWS_MAX);
        rows.truncate(ROWS_MAX);
        let image = Arc::clone(&gathered.image);
        // Those of the cluster's topics alone: not the metadata log.
        rows.retain(|row| image.topic(&row.topic).is_some());
        let mut by_place = BTreeMap::new();
        for (number, row) in (1..).zip(rows) {
            by_place.insert((Arc::clone(&row.topic), row.partition), row);
            self.yield_at(number).await;
        }
        let topics_max = usize::try_from(self.shard.settings().broker.metrics.topics_max).unwrap_or(usize::MAX);
        let mut topics: Vec<TopicRow> = Vec::new();
        let mut others = TopicRow { traffic: of_gone(&gathered.shards), ..TopicRow::default() };
        for (number, ((topic, partition), row)) in (1..).zip(by_place) {
            let is_new = topics.last().is_none_or(|last| last.topic.as_ref() != Some(&topic));
            if is_new && topics.len() < topics_max {
                let known = image.topic(&topic).and_then(|topic| topic.partition(partition));
                let replicas = known.map_or(0, |known| known.replicas.len());
                topics.push(TopicRow { topic: Some(Arc::clone(&topic)), replicas, ..TopicRow::default() });
            }
            match topics.last_mut().filter(|last| last.topic.as_ref() == Some(&topic)) {
                Some(last) => {
                    last.add(&row);
                    gathered.partitions.push(row);
                }
                None => others.add(&row),
            }
            self.yield_at(number).await;
        }
        let mut of_topics = 0;
        for (number, (key, bytes)) in (1..).zip(gathered.shards.iter().flat_map(|shard| &shard.sent)) {
            self.yield_at(number).await;
            let name = match key {
                TopicKey::Name(name) => Some(Arc::clone(name)),
                TopicKey::Id(id) => image.topic_by_id(*id).map(|topic| Arc::clone(&topic.name)),
            };
            let place = name.and_then(|name| topics.binary_search_by(|row| row.topic.as_ref().cmp(&Some(&name))).ok());
            if let Some(place) = place {
                topics[place].sent_bytes += bytes;
                of_topics += bytes;
            }
        }
        others.sent_bytes = gathered.sent_bytes.saturating_sub(of_topics);
        if others != TopicRow::default() {
            topics.push(others);
        }
        gathered.topics = topics;
    }

    /// Joins what groups have committed with where partitions end.
    async fn sort_groups(&self, gathered: &mut Gathered, mut facts: Vec<GroupFacts>) {
        facts.sort_by(|one, other| one.group.cmp(&other.group));
        let mut number = 0;
        for GroupFacts { group, group_type, protocol_type, state, members, epoch, offsets } in facts {
            let mut topics: Vec<GroupTopicRow> = Vec::new();
            for committed in offsets {
                number += 1;
                self.yield_at(number).await;
                if gathered.offsets.len() == ROWS_MAX {
                    gathered.left_out += 1;
                    continue;
                }
                let offset = committed.offset.get();
                let found = find(&gathered.partitions, &committed.topic, committed.partition);
                let lag = found.map(|row| (row.extent.offsets.high_watermark.get() - offset).max(0));
                let (group, topic) = (Arc::clone(&group), committed.topic);
                match topics.last_mut().filter(|last| last.topic == topic) {
                    Some(last) => {
                        last.offsets += offset;
                        last.lag += lag.unwrap_or(0);
                    }
                    None => topics.push(GroupTopicRow {
                        group: Arc::clone(&group),
                        topic: Arc::clone(&topic),
                        offsets: offset,
                        lag: lag.unwrap_or(0),
                    }),
                }
                gathered.offsets.push(OffsetRow { group, topic, partition: committed.partition, offset, lag });
            }
            gathered.group_topics.extend(topics);
            gathered.groups.push(GroupRow { group, group_type, protocol_type, state, members, epoch });
        }
    }

    async fn yield_at(&self, number: usize) {
        if number.is_multiple_of(ROWS_PER_TURN) {
            self.shard.reactor().yield_now().await;
        }
    }
}

#[cfg(test)]
impl Default for Gathered {
    fn default() -> Self {
        Self {
            node_id: 1,
            image: Arc::new(Image::new("cluster", ringlog_storage::types::BrokerId::new(1))),
            shards: Vec::new(),
            apis: BTreeMap::new(),
            errors: BTreeMap::new(),
            traffic: Traffic::default(),
            sent_bytes: 0,
            flush_time: Durations::default(),
            rates: Rates::default(),
            topics: Vec::new(),
            partitions: Vec::new(),
            groups: Vec::new(),
            group_topics: Vec::new(),
            offsets: Vec::new(),
            left_out: 0,
            metadata_log: None,
            process: None,
            space: None,
            log_lines_dropped: 0,
        }
    }
}

impl Gathered {
    /// Does something with what the cluster knows of a partition, if it is still there.
    pub(crate) fn image_of(&self, row: &PartitionRow, tell: impl FnOnce(&PartitionImage)) {
        if let Some(partition) = self.image.topic(&row.topic).and_then(|topic| topic.partition(row.partition)) {
            tell(partition);
        }
    }

    /// A number of all shards together.
    pub(crate) fn sum(&self, of_shard: impl Fn(&ShardSnapshot) -> u64) -> u64 {
        self.shards.iter().map(of_shard).sum()
    }
}

fn find<'a>(rows: &'a [PartitionRow], topic: &str, partition: PartitionIndex) -> Option<&'a PartitionRow> {
    let place = rows.binary_search_by(|row| (row.topic.as_ref(), row.partition).cmp(&(topic, partition))).ok()?;
    Some(&rows[place])
}

fn of_gone(shards: &[ShardSnapshot]) -> Traffic {
    let mut gone = Traffic::default();
    for shard in shards {
        gone.merge(&shard.gone);
    }
    gone
}

fn merge(shard: &Shard, image: Arc<Image>, shards: Vec<ShardSnapshot>, rates: Rates) -> Gathered {
    let (mut apis, mut errors) = (BTreeMap::<ApiKey, ApiCounts>::new(), BTreeMap::new());
    let (mut traffic, mut sent_bytes, mut flush_time) = (Traffic::default(), 0, Durations::default());
    for of_shard in &shards {
        for (api, counts) in &of_shard.apis {
            apis.entry(*api).or_default().merge(counts);
        }
        for (key, count) in &of_shard.errors {
            *errors.entry(*key).or_default() += count;
        }
        traffic.merge(&of_shard.traffic);
        sent_bytes += of_shard.sent_bytes;
        flush_time.merge(&of_shard.store.commit_time);
    }
    Gathered {
        node_id: shard.settings().broker.node_id.get(),
        image,
        shards,
        apis,
        errors,
        traffic,
        sent_bytes,
        flush_time,
        rates,
        topics: Vec::new(),
        partitions: Vec::new(),
        groups: Vec::new(),
        group_topics: Vec::new(),
        offsets: Vec::new(),
        left_out: 0,
        metadata_log: None,
        process: None,
        space: None,
        log_lines_dropped: shard.with(|state| state.logging.dropped_lines()),
    }
}

/// `None` while too little time has passed.
fn rates_between(before: &Since, now: &Since, shards: usize) -> Option<Rates> {
    let time = now.at.since(before.at);
    if time < WINDOW_MIN || shards == 0 {
        return None;
    }
    let seconds = time.as_secs_f64();
    let per_second = |now: u64, before: u64| super::exposition::decimal(now.saturating_sub(before)) / seconds;
    let shards = f64::from(u32::try_from(shards).unwrap_or(u32::MAX));
    Some(Rates {
        idle: (per_second(now.wait_nanos, before.wait_nanos) / 1e9 / shards).min(1.0),
        accepted_per_second: per_second(now.accepted, before.accepted),
        closed_per_second: per_second(now.closed, before.closed),
        metadata_records_per_second: per_second(now.metadata_end, before.metadata_end),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between_two_scrapes() {
        let at = |seconds: u64| Nanos::new(seconds * 1_000_000_000);
        let since = |seconds, wait_nanos, accepted, closed, metadata_end| Since {
            at: at(seconds),
            wait_nanos,
            accepted,
            closed,
            metadata_end,
            rates: Rates::default(),
        };
        let (before, now) = (since(10, 5, 7, 1, 20), since(14, 5 + 6_000_000_000, 15, 3, 60));
        let expected =
            Rates { idle: 0.75, accepted_per_second: 2.0, closed_per_second: 0.5, metadata_records_per_second: 10.0 };
        assert_eq!(rates_between(&before, &now, 2), Some(expected));
        assert_eq!(rates_between(&now, &now, 2), None);
    }
}

//! One scrape: everything is gathered, and then written piece by piece, as it is sent.

use std::rc::Rc;
use std::sync::Arc;

use ringlog_cluster::config::BrokerConfig;

use super::exposition::Samples;
use super::families::{self, Family, Source};
use super::gather::Gathered;

/// Rows that one piece is made of at most: some ten microseconds of work.
const ROWS_PER_PIECE: usize = 256;
/// What a family of the whole broker counts as: some look at every partition.
const ROWS_PER_FAMILY: usize = 32;
/// A piece of families with few samples ends behind this many bytes.
const PIECE_BYTES: usize = 32 * 1024;

/// A scrape that is being written.
#[derive(Debug)]
pub(crate) struct Scrape {
    gathered: Rc<Gathered>,
    config: Arc<BrokerConfig>,
    family: usize,
    row: usize,
    is_named: bool,
}

impl Scrape {
    pub(crate) fn new(gathered: Gathered, config: &Arc<BrokerConfig>) -> Self {
        Self { gathered: Rc::new(gathered), config: Arc::clone(config), family: 0, row: 0, is_named: false }
    }

    /// The next piece; `None` at the end. It is empty where there was much to look at and nothing to tell.
    pub(crate) fn next_piece(&mut self) -> Option<String> {
        let mut piece = String::with_capacity(PIECE_BYTES + PIECE_BYTES / 2);
        let mut rows_left = ROWS_PER_PIECE;
        while let Some(family) = families::ALL.iter().copied().flatten().nth(self.family) {
            if piece.len() >= PIECE_BYTES || rows_left == 0 {
                return Some(piece);
            }
            if !family.set.is_on(self.config.metrics.families) || self.write_rows(family, &mut piece, &mut rows_left) {
                (self.family, self.row, self.is_named) = (self.family + 1, 0, false);
            }
        }
        (!piece.is_empty()).then_some(piece)
    }

    /// Writes some rows, and answers whether those were the last of the family.
    fn write_rows(&mut self, family: &'static Family, out: &mut String, rows_left: &mut usize) -> bool {
        let gathered = Rc::clone(&self.gathered);
        let mut samples = Samples::new(family, out, &mut self.is_named);
        let from = self.row;
        let (end, count) = match family.source {
            Source::Broker(tell) => {
                tell(&gathered, &mut samples);
                *rows_left = rows_left.saturating_sub(ROWS_PER_FAMILY);
                return true;
            }
            Source::Traffic(of) => {
                total(&mut samples, from, of(&gathered.traffic));
                each(&gathered.topics, from, *rows_left, |row| samples.put(&[row.label()], of(&row.traffic)))
            }
            Source::Sent => {
                total(&mut samples, from, gathered.sent_bytes);
                each(&gathered.topics, from, *rows_left, |row| samples.put(&[row.label()], row.sent_bytes))
            }
            Source::Topics(tell) => each(&gathered.topics, from, *rows_left, |row| tell(row, &mut samples)),
            Source::Partitions(tell) => {
                each(&gathered.partitions, from, *rows_left, |row| tell(&gathered, row, &mut samples))
            }
            Source::Groups(tell) => each(&gathered.groups, from, *rows_left, |row| tell(row, &mut samples)),
            Source::GroupTopics(tell) => each(&gathered.group_topics, from, *rows_left, |row| tell(row, &mut samples)),
            Source::Offsets(tell) => each(&gathered.offsets, from, *rows_left, |row| tell(row, &mut samples)),
        };
        *rows_left -= end - from;
        self.row = end;
        end == count
    }
}

/// The sample of all topics together, before those of each.
fn total(samples: &mut Samples<'_>, from: usize, count: u64) {
    if from == 0 {
        samples.put(&[], count);
    }
}

/// Does something with some of the rows; answers where to go on, and how many rows there are.
fn each<T>(rows: &[T], from: usize, rows_max: usize, tell: impl FnMut(&T)) -> (usize, usize) {
    let end = rows.len().min(from + rows_max);
    rows[from..end].iter().for_each(tell);
    (end, rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::counters::Traffic;
    use crate::metrics::gather::TopicRow;
    use crate::metrics::snapshot::PartitionRow;
    use ringlog_cluster::config::{ConfigLayers, Sources, StaticConfig};
    use ringlog_storage::answer::PartitionOffsets;
    use ringlog_storage::statistics::PartitionExtent;
    use ringlog_storage::types::{Offset, PartitionIndex};
    use std::collections::BTreeMap;

    const PARTITIONS: i32 = 10_000;

    fn row(index: i32) -> PartitionRow {
        let end = Offset::new(index.into());
        let offsets = PartitionOffsets { log_start: Offset::ZERO, high_watermark: end, last_stable: end, log_end: end };
        PartitionRow {
            topic: "a-topic-with-a-name-of-some-length".into(),
            partition: PartitionIndex::new(index),
            extent: PartitionExtent { offsets, bytes: 1 << 30, segments: 3 },
            traffic: Traffic::default(),
        }
    }

    /// However many partitions there are, no piece is more than a bounded amount of work.
    #[test]
    fn ten_thousand_partitions_are_written_in_small_pieces() {
        let (fixed, _) = StaticConfig::load(&Sources::default()).expect("the defaults are good");
        let config = BrokerConfig::new(&ConfigLayers::of_start(&fixed), "b").expect("the defaults are good");
        let gathered = Gathered {
            topics: vec![TopicRow { topic: Some(row(0).topic), ..TopicRow::default() }],
            partitions: (0..PARTITIONS).map(row).collect(),
            ..Gathered::default()
        };
        let mut scrape = Scrape::new(gathered, &Arc::new(config));
        let mut samples = BTreeMap::<String, i32>::new();
        let mut named = Vec::new();
        while let Some(piece) = scrape.next_piece() {
            assert!(piece.len() <= PIECE_BYTES + ROWS_PER_PIECE * 200, "{} bytes", piece.len());
            assert!(piece.lines().count() <= 4 * ROWS_PER_PIECE, "{} lines", piece.lines().count());
            for line in piece.lines() {
                match line.strip_prefix("# TYPE ") {
                    Some(family) => named.push(family.to_owned()),
                    None if line.starts_with('#') => {}
                    None => {
                        let name = line.split(['{', ' ']).next().unwrap_or_default();
                        *samples.entry(name.to_owned()).or_default() += 1;
                    }
                }
            }
        }
        for name in ["kafka_log_log_size", "kafka_topic_partition_current_offset", "ringlog_partition_bytes_in_total"] {
            assert_eq!(samples.get(name), Some(&PARTITIONS), "{name}");
        }
        let count = named.len();
        named.sort();
        named.dedup();
        assert_eq!(named.len(), count, "each family is named once, though it comes in many pieces");
    }
}

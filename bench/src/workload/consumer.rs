//! Connections that fetch, each from partitions of its own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::Context as _;
use ringlog_reactor::{Instant, Reactor};

use crate::client::Connection;
use crate::requests::{self, FetchLimits, TopicIdPartition};
use crate::workload::frames::Frames;
use crate::workload::lane::{Bell, add};
use crate::workload::latency::Latencies;

/// `max.partition.fetch.bytes` and `fetch.max.wait.ms` of Kafka's consumer.
const LIMITS: FetchLimits = FetchLimits { bytes_max: 1024 * 1024, wait_ms: 500 };

/// Which latency is told.
#[derive(Debug, Default)]
pub(crate) enum Told {
    /// None: a fetch that waits for data takes as long as there is none.
    #[default]
    Nothing,
    /// Of each fetch, from the request to the response.
    Fetches(Latencies),
    /// Of each batch, from the time that it carries.
    Batches(Latencies, Rc<Frames>),
}

impl Told {
    pub(crate) fn latencies(&self) -> Option<&Latencies> {
        match self {
            Self::Nothing => None,
            Self::Fetches(latencies) | Self::Batches(latencies, _) => Some(latencies),
        }
    }
}

/// What all consumers of a run share.
#[derive(Debug, Default)]
pub(crate) struct Consumption {
    pub(crate) told: Told,
    pub(crate) requests: Cell<u64>,
    pub(crate) batches: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
    /// Consumers that have read everything that they were to read.
    pub(crate) ended: Cell<usize>,
    /// Rung by each of them.
    pub(crate) end: Bell,
}

impl Consumption {
    pub(crate) fn new(told: Told) -> Rc<Self> {
        Rc::new(Self { told, ..Self::default() })
    }
}

/// Where a consumer is in one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) partition: TopicIdPartition,
    pub(crate) end: End,
}

/// How far a consumer reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// For ever.
    Never,
    /// To this offset.
    At(i64),
    /// To this offset, and then from the beginning again, for ever.
    AgainFrom(i64),
}

/// Fetches these partitions from their beginning.
pub(crate) async fn consume(
    reactor: Reactor,
    mut connection: Connection,
    of: Rc<Consumption>,
    positions: Vec<Position>,
) -> anyhow::Result<()> {
    // By partition, where it ends and the offset of the next fetch.
    let mut offsets: BTreeMap<TopicIdPartition, (End, i64)> =
        positions.into_iter().map(|position| (position.partition, (position.end, 0))).collect();
    loop {
        offsets.retain(|_, (end, offset)| match *end {
            End::Never => true,
            End::At(end) => *offset < end,
            End::AgainFrom(end) => {
                *offset = if *offset < end { *offset } else { 0 };
                true
            }
        });
        if offsets.is_empty() {
            of.ended.set(of.ended.get() + 1);
            of.end.ring();
            return Ok(());
        }
        let wanted = offsets.iter().map(|(partition, (_, offset))| (*partition, *offset));
        let request = requests::fetch_all(wanted, LIMITS)?;
        let begin = reactor.now();
        let frame = connection.call(request).await?;
        let now = reactor.now();
        add(&of.requests, 1);
        if let Told::Fetches(latencies) = &of.told {
            latencies.add(begin, now);
        }
        requests::read_fetched(&frame, |partition, records| {
            let (_, offset) = offsets.get_mut(&partition).context("a partition that was not asked for")?;
            *offset = take(&of, records, now)?.unwrap_or(*offset);
            Ok(())
        })?;
    }
}

/// Counts the batches of one partition, and answers the offset behind them.
fn take(of: &Consumption, records: &[u8], now: Instant) -> anyhow::Result<Option<i64>> {
    let mut next_offset = None;
    let mut rest = records;
    while let Some((batch, behind)) = requests::next_batch(rest)? {
        if let Told::Batches(latencies, frames) = &of.told {
            latencies.add(frames.read_stamp(batch.bytes)?, now);
        }
        add(&of.batches, 1);
        add(&of.bytes, u64::try_from(batch.bytes.len())?);
        next_offset = Some(batch.next_offset);
        rest = behind;
    }
    Ok(next_offset)
}

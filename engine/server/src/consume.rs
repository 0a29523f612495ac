//! `ringlog consume`: records of a topic, to standard output or a file.

mod format;
mod member;
mod range;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use ringlog_net::client::{ClientConfig, ConsumerConfig, Event, Fetched, Start};
use ringlog_net::messages::metadata::MetadataResponsePartition;
use ringlog_storage::batch::Decompressor;
use ringlog_storage::types::{Offset, PartitionIndex, TopicPartition};

use crate::offsets::{self, Place};
use crate::session::{self, AutoCreate, ClusterArguments, LossReport, Session, client_error, refusal};
use format::{Format, Shown};
use member::Member;
use range::{Bounds, Point, Range};

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Read records from a topic.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The consumer group to be a member of: it shares the partitions with the others, goes on where the group has
    /// committed, and commits. --offset then holds for partitions that nothing was committed of.
    #[arg(short, long, conflicts_with = "partition")]
    group: Option<String>,
    /// From the first record on: the same as --offset start.
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Where to begin and, behind a colon, where to stop, in each partition: start, end, an offset, -N for N records before
    /// the end, @MS for the first record of that time (milliseconds since 1970). `:end` is everything that is there now.
    #[arg(short, long, value_name = "FROM[:TO]", value_parser = Range::parse, default_value = "end", allow_hyphen_values = true)]
    offset: Range,
    /// Stop at what is the end when the command starts.
    #[arg(short = 'e', long)]
    exit_at_end: bool,
    /// Partitions to read, separated by commas [default: all].
    #[arg(short, long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// Stop after so many records.
    #[arg(short = 'n', long, value_name = "N")]
    max_messages: Option<u64>,
    /// What is printed of each record: %t topic, %p partition, %o offset, %k key, %v value, %T time in milliseconds,
    /// %h headers, %K and %V lengths of key and value, %% a percent sign, \n \t \r \0 \\ \xHH.
    #[arg(short, long, value_parser = Format::parse, default_value = r"%v\n")]
    format: Format,
    /// The file to write to [default: standard output].
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let consumer = ConsumerConfig { reset: Some(Start::Earliest), ..ConsumerConfig::default() };
    let config = ClientConfig { allow_auto_topic_creation: false, consumer, ..ClientConfig::default() };
    session::run(arguments.cluster.clone(), config, move |session| {
        let arguments = arguments.clone();
        async move {
            match consume(&session, &arguments).await {
                // A reader that has gone away, such as `head`, wants no more.
                Err(error) if is_broken_pipe(&error) => Ok(()),
                result => result,
            }
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn consume(session: &Session, arguments: &Arguments) -> anyhow::Result<()> {
    let topic: Arc<str> = Arc::from(arguments.topic.as_str());
    let mut range = arguments.offset;
    if arguments.from_beginning {
        range.from = Point::Start;
    }
    if arguments.exit_at_end {
        range.to = range.to.or(Some(Point::End));
    }
    let (member, bounds) = if let Some(group) = &arguments.group {
        (Some(Member::new(session, group, &topic, range).await?), BTreeMap::new())
    } else {
        let described = session.ready_topic(&topic, AutoCreate::No).await?;
        let partitions = chosen(&topic, described.partitions, &arguments.partition)?;
        (None, bounds(session, &topic, &partitions, range).await?)
    };
    let out: Box<dyn Write> = match &arguments.to {
        Some(path) => Box::new(File::create(path).with_context(|| format!("--to {}", path.display()))?),
        None => Box::new(io::stdout()),
    };
    let mut reading = Reading {
        out: BufWriter::with_capacity(WRITE_BYTES, out),
        format: arguments.format.clone(),
        wanted: arguments.max_messages.unwrap_or(u64::MAX),
        stops: BTreeMap::new(),
        decompressor: Decompressor::default(),
    };
    if let Some(member) = member {
        return member.run(session, &mut reading).await;
    }
    for (index, Bounds { from, to }) in bounds {
        if to.is_none_or(|to| from < to) {
            let partition = TopicPartition::new(Arc::clone(&topic), index);
            reading.stops.insert(partition.clone(), to);
            session.driver.with(|client, _| client.assign(partition, Start::At(from)));
        }
    }
    reading.run(session).await
}

/// The partitions that were asked for.
fn chosen(
    topic: &str,
    partitions: Vec<MetadataResponsePartition>,
    wanted: &[i32],
) -> anyhow::Result<Vec<MetadataResponsePartition>> {
    let exists = |index: &i32| partitions.iter().any(|partition| partition.partition_index == *index);
    if let Some(missing) = wanted.iter().find(|index| !exists(index)) {
        bail!("topic {topic} has no partition {missing}; it has {}", partitions.len());
    }
    let is_wanted = |each: &MetadataResponsePartition| wanted.is_empty() || wanted.contains(&each.partition_index);
    Ok(partitions.into_iter().filter(is_wanted).collect())
}

/// Where each partition is read from, and up to where.
async fn bounds(
    session: &Session,
    topic: &str,
    partitions: &[MetadataResponsePartition],
    range: Range,
) -> anyhow::Result<BTreeMap<PartitionIndex, Bounds>> {
    let start = offsets::list(session, topic, partitions, Place::Start).await?;
    let end = offsets::list(session, topic, partitions, Place::End).await?;
    let mut times = Vec::new();
    for point in [Some(range.from), range.to] {
        times.push(match point {
            Some(Point::Time(time)) => offsets::list(session, topic, partitions, Place::Time(time)).await?,
            _ => BTreeMap::new(),
        });
    }
    let resolved = start.into_iter().filter_map(|(index, start)| {
        let end = *end.get(&index)?;
        let at = |point: Point, times: &BTreeMap<PartitionIndex, Offset>| match point {
            Point::Start => start,
            Point::End => end,
            Point::At(offset) => offset.clamp(start, end),
            Point::BeforeEnd(records) => Offset::new(end.get().saturating_sub(records)).max(start),
            Point::Time(_) => times.get(&index).copied().unwrap_or(end),
        };
        // A stop beyond the end waits for records to come.
        let to = range.to.map(|to| match to {
            Point::At(offset) => offset,
            other => at(other, &times[1]),
        });
        Some((index, Bounds { from: at(range.from, &times[0]), to }))
    });
    Ok(resolved.collect())
}

/// Records on their way to the output.
struct Reading {
    out: BufWriter<Box<dyn Write>>,
    format: Format,
    /// Records that are still to be written.
    wanted: u64,
    /// The partitions that are being read, and where to stop.
    stops: BTreeMap<TopicPartition, Option<Offset>>,
    decompressor: Decompressor,
}

impl Reading {
    async fn run(mut self, session: &Session) -> anyhow::Result<()> {
        let mut losses = LossReport::default();
        while self.wanted > 0 && !self.stops.is_empty() {
            match session.driver.event().await {
                Event::Fetched(fetched) => {
                    self.take(&fetched)?;
                    if let Some(Some(stop)) = self.stops.get(&fetched.partition)
                        && fetched.next_position >= *stop
                    {
                        self.stops.remove(&fetched.partition);
                        session.driver.with(|client, _| client.unassign(&fetched.partition));
                    }
                }
                Event::PartitionFailed(partition, error) => {
                    bail!(refusal(&format!("partition {partition}"), error, None));
                }
                Event::ConnectionLost(address, reason) => losses.lost(address, reason),
                Event::Delivered(_) | Event::Answered(..) => {}
            }
        }
        Ok(())
    }

    /// Writes what is wanted of the records, and lets readers of the output see them. Answers what is to be written next.
    fn take(&mut self, fetched: &Fetched) -> anyhow::Result<Offset> {
        let stop = self.stops.get(&fetched.partition).copied().flatten().unwrap_or(Offset::new(i64::MAX));
        let failure = RefCell::new(None);
        let mut left = None;
        let (out, wanted, format) = (&mut self.out, &mut self.wanted, &self.format);
        let visited = fetched.visit(&mut self.decompressor, |record| {
            if *wanted == 0 || record.offset >= stop || failure.borrow().is_some() {
                left.get_or_insert(record.offset);
                return;
            }
            *wanted -= 1;
            let shown = Shown { partition: &fetched.partition, record: &record };
            if let Err(error) = format.write(out, &shown) {
                failure.replace(Some(error));
            }
        });
        visited.map_err(|error| client_error(&format!("partition {}", fetched.partition), &error))?;
        if let Some(error) = failure.into_inner() {
            return Err(error.into());
        }
        self.out.flush()?;
        Ok(left.unwrap_or(fetched.next_position))
    }
}

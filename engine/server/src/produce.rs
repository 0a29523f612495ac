//! `ringlog produce`: lines of files or of standard input, as records of a topic.

mod input;
mod progress;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use ringlog_client::race;
use ringlog_net::client::{Acks, BufferFull, ClientConfig, Delivery, Event, ProduceRecord, ProducerConfig};
use ringlog_net::error::ErrorCode;
use ringlog_reactor::{BackendChoice, Mesh, Reactor, ShardSpec, launch};
use ringlog_storage::batch::{Codec, Compression, Record};
use ringlog_storage::types::{Millis, PartitionIndex};

use crate::session::{self, AutoCreate, ClusterArguments, LossReport, Session, refusal};
use input::{Block, Input};
use progress::Progress;

/// The shard of the client; the other one reads.
const CLIENT: usize = 0;
/// Least and most of `--batch-bytes`: a broker's `message.max.bytes` ends it earlier, as a rule.
const BATCH_BYTES: std::ops::RangeInclusive<u64> = 1..=64 * 1024 * 1024;
/// Records that wait for their delivery, in bytes.
const BUFFER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Write lines as records to a topic.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// Files to read; `-` is standard input [default: standard input].
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// What divides a line into key and value, at its first occurrence; a line without it has no key.
    #[arg(short, long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,
    /// When a record counts as delivered: 0 when it was sent, 1 when the leader has it, all when all in-sync replicas do.
    #[arg(short, long, value_name = "ACKS", value_parser = parse_acks, default_value = "all")]
    acks: Acks,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd; gzip and zstd also with a level, as in zstd:9.
    #[arg(short = 'z', long, value_name = "CODEC", value_parser = parse_compression, default_value = "none")]
    compression: Compression,
    /// A batch of so many bytes, before compression, is sent.
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024, value_parser = clap::value_parser!(u64).range(BATCH_BYTES))]
    batch_bytes: u64,
    /// How long a batch waits to become full, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5)]
    linger_ms: u64,
    /// The partition of all records [default: by the key; without keys, batch by batch].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Whether a record that is sent again is kept once; auto is what --acks all allows.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    idempotent: Idempotent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Idempotent {
    #[default]
    Auto,
    True,
    False,
}

fn parse_acks(text: &str) -> Result<Acks, String> {
    match text {
        "0" => Ok(Acks::None),
        "1" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("expected 0, 1 or all".to_owned()),
    }
}

fn parse_compression(text: &str) -> Result<Compression, String> {
    let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
    let codec = Codec::ALL.iter().copied().find(|codec| codec.name() == name);
    let codec = codec.ok_or("expected none, gzip, snappy, lz4 or zstd")?;
    let Some(level) = level else { return Ok(codec.into()) };
    let levels = codec.levels();
    let level = level.parse().ok().filter(|level| levels.contains(level));
    let level = level.ok_or_else(|| format!("{name} has levels from {} to {}", levels.start(), levels.end()))?;
    Ok(Compression { codec, level })
}

impl Arguments {
    fn producer(&self) -> anyhow::Result<ProducerConfig> {
        let idempotent = match self.idempotent {
            Idempotent::Auto => self.acks == Acks::All,
            Idempotent::True if self.acks != Acks::All => {
                bail!("--idempotent needs --acks all: only then does the broker tell whether a record was kept")
            }
            Idempotent::True => true,
            Idempotent::False => false,
        };
        let batch_bytes = usize::try_from(self.batch_bytes).expect("its range ends far below");
        Ok(ProducerConfig {
            acks: self.acks,
            idempotent,
            compression: self.compression,
            batch_bytes,
            linger: Duration::from_millis(self.linger_ms),
            request_bytes_max: batch_bytes.max(1024 * 1024),
            buffer_bytes_max: BUFFER_BYTES_MAX,
            ..ProducerConfig::default()
        })
    }
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let producer = arguments.producer()?;
    let inputs = Input::open_all(&arguments.files)?;
    let progress = Progress::new(Input::bytes(&inputs));
    let config = ClientConfig { producer, ..ClientConfig::default() };
    let (tell, told) = mpsc::channel();
    let (arguments, inputs) = (Arc::new(arguments), Arc::new(inputs));
    let main = move |reactor: Reactor, mesh: Mesh<Block>| {
        let (arguments, inputs, progress) = (Arc::clone(&arguments), Arc::clone(&inputs), progress.clone());
        let (config, tell) = (config.clone(), tell.clone());
        async move {
            if mesh.index() != CLIENT {
                input::read(&reactor, &mesh, CLIENT, &inputs).await;
                return;
            }
            let result = async {
                let session = Session::open(&reactor, &arguments.cluster, config).await?;
                Producing::new(&session, &arguments, progress).run(&mesh).await
            };
            // Whoever waits for it is there until it comes.
            let _ = tell.send(result.await);
        }
    };
    let _shards = launch(&[ShardSpec::default(); 2], BackendChoice::Auto, session::limits(), main)?;
    // Not joined: after a failure the reading shard may wait for input that never comes.
    told.recv().map_err(|_| anyhow::anyhow!("the command's thread has panicked"))?
}

/// Records on their way to the cluster.
struct Producing<'a> {
    session: &'a Session,
    topic: Arc<str>,
    partition: Option<PartitionIndex>,
    key_separator: Option<&'a [u8]>,
    progress: Progress,
    delivered_records: u64,
    losses: LossReport,
}

/// What happens next.
enum Next {
    Input(Block),
    Event(Event),
}

impl<'a> Producing<'a> {
    fn new(session: &'a Session, arguments: &'a Arguments, progress: Progress) -> Self {
        Self {
            session,
            topic: Arc::from(arguments.topic.as_str()),
            partition: arguments.partition.map(PartitionIndex::new),
            key_separator: arguments.key_separator.as_deref().map(str::as_bytes),
            progress,
            delivered_records: 0,
            losses: LossReport::default(),
        }
    }

    async fn run(mut self, mesh: &Mesh<Block>) -> anyhow::Result<()> {
        let topic = self.session.ready_topic(&self.topic, AutoCreate::Yes).await?;
        if let Some(wanted) = self.partition
            && topic.partitions.iter().all(|partition| partition.partition_index != wanted.get())
        {
            bail!("topic {} has no partition {wanted}; it has {}", self.topic, topic.partitions.len());
        }
        let driver = &self.session.driver;
        loop {
            let input = async { Next::Input(mesh.recv().await.1) };
            let event = async { Next::Event(driver.event().await) };
            match race(input, event).await {
                Next::Input(Block::Lines(lines)) => self.send(&lines).await?,
                Next::Input(Block::End) => break,
                Next::Input(Block::Failed(error)) => return Err(self.stopped(&error)),
                Next::Event(event) => self.take(event)?,
            }
        }
        while !driver.with(|client, _| {
            client.flush();
            client.all_delivered()
        }) {
            self.take(driver.event().await)?;
        }
        while let Some(event) = driver.try_event() {
            self.take(event)?;
        }
        self.progress.finish(self.delivered_records);
        Ok(())
    }

    /// Hands whole lines to the client, and waits while it has no room.
    async fn send(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        let driver = &self.session.driver;
        let mut rest = lines;
        loop {
            let timestamp = Millis::new(driver.reactor().wall_clock_ms());
            let pushed = driver.with(|client, now| {
                while !rest.is_empty() {
                    let (line, after) = input::first_line(rest);
                    let (key, value) = divide(line, self.key_separator);
                    let record = Record { timestamp, key, value: Some(value), headers: &[] };
                    let token = (rest.len() - after.len()) as u64;
                    let (topic, partition) = (&self.topic, self.partition);
                    client.produce(&ProduceRecord { topic, partition, record, token }, now)?;
                    rest = after;
                }
                Ok(())
            });
            match pushed {
                Ok(()) => break,
                Err(BufferFull) => self.take(driver.event().await)?,
            }
        }
        // So that batches leave while the next lines are read.
        driver.reactor().yield_now().await;
        Ok(())
    }

    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Delivered(Delivery { partition, result: Err(error), tokens }) => {
                let what = match error {
                    ErrorCode::RequestTimedOut => format!("{} records were not acknowledged in time", tokens.len()),
                    error => format!("{} records were refused: {}", tokens.len(), error.message()),
                };
                Err(self.stopped(&refusal(&format!("partition {partition}"), error, Some(&what)).to_string()))
            }
            Event::Delivered(Delivery { result: Ok(_), tokens, .. }) => {
                self.delivered_records += tokens.len() as u64;
                self.progress.advance(tokens.iter().sum());
                Ok(())
            }
            Event::ConnectionLost(address, reason) => {
                self.losses.lost(address, reason);
                Ok(())
            }
            Event::Fetched(_) | Event::PartitionFailed(..) | Event::Answered(..) => Ok(()),
        }
    }

    fn stopped(&self, why: &str) -> anyhow::Error {
        self.progress.clear();
        anyhow::anyhow!("{why}; {} records were delivered before", self.delivered_records)
    }
}

/// Key and value of a line.
fn divide<'a>(line: &'a [u8], separator: Option<&[u8]>) -> (Option<&'a [u8]>, &'a [u8]) {
    let at = separator.and_then(|separator| {
        let at = line.windows(separator.len()).position(|window| window == separator)?;
        Some((at, separator.len()))
    });
    match at {
        Some((at, length)) => (Some(&line[..at]), &line[at + length..]),
        None => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_divided_at_the_first_separator() {
        let check = |line: &str, separator: Option<&str>, key: Option<&str>, value: &str| {
            let divided = divide(line.as_bytes(), separator.map(str::as_bytes));
            assert_eq!(divided, (key.map(str::as_bytes), value.as_bytes()), "{line}");
        };
        check("k:v:w", Some(":"), Some("k"), "v:w");
        check("k=>v", Some("=>"), Some("k"), "v");
        check(":v", Some(":"), Some(""), "v");
        check("v", Some(":"), None, "v");
        check("", Some("=>"), None, "");
        check("k:v", None, None, "k:v");
    }

    #[test]
    fn codecs_have_levels() {
        assert_eq!(parse_compression("zstd"), Ok(Codec::Zstd.into()));
        assert_eq!(parse_compression("gzip:9"), Ok(Compression { codec: Codec::Gzip, level: 9 }));
        for bad in ["brotli", "gzip:77", "zstd:", "zstd:x", ""] {
            assert!(parse_compression(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn acks_are_kafka_s() {
        assert_eq!(parse_acks("0"), Ok(Acks::None));
        assert_eq!(parse_acks("all"), Ok(Acks::All));
        assert!(parse_acks("2").is_err());
    }
}

//! What clients see while the number of shards changes: the latency of records before, meanwhile and after.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_reactor::Instant;
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::{Millis, Uuid};

use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::Receive;
use crate::load::{self, Load};
use crate::ranges::within;
use crate::report::{Target, figure};
use crate::requests::{self, Acks};

const TOPIC: &str = "resized";
const ALTER_CONFIGS_VERSION: i16 = 1;
/// The resource type of brokers, and the name of the only one.
const BROKER_RESOURCE: i8 = 4;
const BROKER: &str = "1";
/// After a change, until everything is as it was before: connections have moved, too.
const AFTERMATH: Duration = Duration::from_secs(1);
/// A latency so many times the usual p99 is one that the change has caused.
const OUT_OF_ORDINARY: u64 = 10;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Partitions of the topic.
    #[arg(long, default_value_t = 64, value_parser = within::<i32>(1..=10_000))]
    partitions: i32,
    /// Connections, each with its own share of the partitions.
    #[arg(long, default_value_t = 16, value_parser = within::<u32>(1..=256))]
    connections: u32,
    /// Records of 100 bytes that all of them send in a second, each when it is due.
    #[arg(long, default_value_t = 2000, value_parser = within::<u32>(1..=100_000))]
    rate: u32,
}

/// A record: when it was due, and how long after that it was acknowledged.
type Sample = (Instant, Duration);

#[derive(Debug, Default)]
struct Seen {
    samples: RefCell<Vec<Sample>>,
    /// Connections that the broker has ended.
    reconnects: Cell<u64>,
}

/// Of one change, in milliseconds.
struct Change {
    usual_p99: f64,
    took_ms: f64,
    p99: f64,
    longest: f64,
    /// From the first to the last record that was out of the ordinary.
    disturbed: f64,
    reconnects: f64,
}

pub(crate) fn run(setup: &Setup, arguments: &Arguments) -> anyhow::Result<()> {
    setup.check_cores()?;
    let Arguments { partitions, connections, rate } = *arguments;
    println!(
        "resize: {rate} records/s on {connections} connections to {partitions} partitions, 2 shards to 1 and back"
    );
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for _ in 0..setup.runs() {
        let mut broker = Broker::start(setup, Cores::First(2))?;
        let (arguments, measured) = (arguments.clone(), setup.measured());
        let run = load::run(&mut broker, setup, move |load| drive(load, arguments.clone(), measured))?;
        let [first, second] = run;
        down.push(first);
        up.push(second);
        broker.stop()?;
    }
    for (what, changes) in [("2 shards to 1", &down), ("1 shard to 2", &up)] {
        println!("{what}");
        let each = |of: fn(&Change) -> f64| changes.iter().map(of).collect::<Vec<_>>();
        figure("the change", "ms", &each(|of| of.took_ms), Target::None);
        figure("usual p99", "ms", &each(|of| of.usual_p99), Target::None);
        figure("p99 in the second of the change", "ms", &each(|of| of.p99), Target::None);
        figure("longest", "ms", &each(|of| of.longest), Target::None);
        figure(
            "from the first to the last record over 10 times the usual p99",
            "ms",
            &each(|of| of.disturbed),
            Target::None,
        );
        figure("connections that came anew", "", &each(|of| of.reconnects), Target::None);
    }
    Ok(())
}

async fn drive(load: Load, arguments: Arguments, measured: Duration) -> anyhow::Result<[Change; 2]> {
    let topic_id = load.connect(Receive::Pooled).await?.create_topic(TOPIC, arguments.partitions).await?;
    let seen = Rc::<Seen>::default();
    for number in 0..arguments.connections {
        spawn_writer(&load, &arguments, topic_id, number, &seen)?;
    }
    load.reactor.sleep(measured).await;
    let first = change(&load, &seen, 1, measured).await?;
    let second = change(&load, &seen, 2, measured).await?;
    Ok([first, second])
}

async fn change(load: &Load, seen: &Rc<Seen>, shards: u16, usual: Duration) -> anyhow::Result<Change> {
    seen.samples.borrow_mut().clear();
    load.reactor.sleep(usual).await;
    let usual_p99 = p99(seen.samples.borrow().iter().map(|(_, latency)| *latency))?;
    let reconnects = seen.reconnects.get();
    seen.samples.borrow_mut().clear();
    let begun = load.reactor.now();
    set_shards(load, shards).await?;
    let took = load.reactor.now() - begun;
    load.reactor.sleep(AFTERMATH.saturating_sub(took)).await;
    load.counts.check()?;
    let samples = seen.samples.borrow();
    let latencies = || samples.iter().map(|(_, latency)| *latency);
    let odd = || {
        samples.iter().filter(|(_, latency)| latency.as_nanos() > u128::from(OUT_OF_ORDINARY) * usual_p99.as_nanos())
    };
    let disturbed = odd().map(|(due, _)| *due).min().zip(odd().map(|(due, latency)| *due + *latency).max());
    let ms = |duration: Duration| 1e3 * duration.as_secs_f64();
    Ok(Change {
        usual_p99: ms(usual_p99),
        took_ms: ms(took),
        p99: ms(p99(latencies())?),
        longest: ms(latencies().max().unwrap_or_default()),
        disturbed: disturbed.map_or(0.0, |(from, to)| ms(to - from)),
        reconnects: f64::from(u32::try_from(seen.reconnects.get() - reconnects)?),
    })
}

fn p99(latencies: impl Iterator<Item = Duration>) -> anyhow::Result<Duration> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for latency in latencies {
        histogram.record(u64::try_from(latency.as_nanos())?)?;
    }
    Ok(Duration::from_nanos(histogram.value_at_quantile(0.99)))
}

async fn set_shards(load: &Load, shards: u16) -> anyhow::Result<()> {
    let config = AlterableConfig {
        name: "ringlog.shards".to_owned(),
        value: Some(shards.to_string()),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource {
        resource_type: BROKER_RESOURCE,
        resource_name: BROKER.to_owned(),
        configs: vec![config],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let mut connection = load.connect(Receive::Pooled).await?;
    let answer = connection.ask("another number of shards", requests::frame(&request, ALTER_CONFIGS_VERSION)?).await?;
    let mut reader = requests::body(&answer, ApiKey::IncrementalAlterConfigs, ALTER_CONFIGS_VERSION)?;
    let answer = ringlog_net::messages::incremental_alter_configs::IncrementalAlterConfigsResponse::decode(
        &mut reader,
        ALTER_CONFIGS_VERSION,
    )?;
    let told = answer.responses.first().context("one resource, one answer")?;
    requests::check_error(told.error_code, || told.error_message.clone().unwrap_or_default())
}

/// Sends a record when it is due, to one of its partitions after the other. A connection that ends is opened anew, and the
/// record sent again: its latency is from when it was due.
fn spawn_writer(
    load: &Load,
    arguments: &Arguments,
    topic_id: Uuid,
    number: u32,
    seen: &Rc<Seen>,
) -> anyhow::Result<()> {
    let mut batch = BatchBuilder::new();
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(&[7; 100]), headers: &[] });
    let batch = batch.build();
    let own = (0..arguments.partitions).filter(|partition| partition.unsigned_abs() % arguments.connections == number);
    let frames: Result<Vec<_>, _> =
        own.map(|partition| requests::produce(topic_id, partition, Acks::All, &batch)).collect();
    let frames = frames?;
    if frames.is_empty() {
        return Ok(());
    }
    let interval = Duration::from_secs(1) * arguments.connections / arguments.rate;
    let (load, seen, connections) = (load.clone(), Rc::clone(seen), arguments.connections);
    load.clone().spawn(async move {
        // Not all at the same moment.
        let mut due = load.reactor.now() + interval * number / connections;
        let mut connection = load.connect(Receive::Pooled).await?;
        for frame in frames.iter().cycle() {
            due = due + interval;
            load.reactor.sleep_until(due).await;
            loop {
                if let Ok(answer) = connection.call(frame.clone()).await {
                    break requests::check_produced(&answer)?;
                }
                seen.reconnects.set(seen.reconnects.get() + 1);
                connection = load.connect(Receive::Pooled).await?;
            }
            seen.samples.borrow_mut().push((due, load.reactor.now() - due));
        }
        Ok(())
    });
    Ok(())
}

//! Who is compared: a Ringlog or an Apache Kafka that is started for each block, or a broker that runs already.

use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ringlog_net::error::ErrorCode;

use crate::Setup;
use crate::broker::{self, Broker, Cores};
use crate::client::Receive;
use crate::compare::durability::{Durability, RINGLOG_KEY, Vendor};
use crate::compare::kafka::{Kafka, KafkaBroker};
use crate::load::{self, Load, Server};
use crate::requests::{Intent, Refused};
use crate::workload::scenario::Leave;

/// Between two questions to a broker that is not ready yet, and how long it is asked.
const RETRY: Duration = Duration::from_millis(50);
const READY_MAX: Duration = Duration::from_mins(1);
/// No topic of this name is ever made.
const PROBE: &str = "bench-probe";

/// One of two.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    Ringlog,
    Kafka(Kafka),
    Running(Running),
}

/// A broker that was there before.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    name: String,
    server: Server,
    vendor: Vendor,
}

/// A broker during a block. One that was started for it ends when this is dropped.
pub(crate) struct Contender {
    pub(crate) server: Server,
    pub(crate) vendor: Vendor,
    pub(crate) leave: Leave,
    process: Process,
}

enum Process {
    Ringlog(Broker),
    Kafka(KafkaBroker),
    Running,
}

impl Side {
    /// A broker that runs, once it has answered: whose settings it knows is found by asking.
    pub(crate) fn running(setup: &Setup, name: &str, address: SocketAddr, pid: Option<u32>) -> anyhow::Result<Self> {
        let server = Server { address, process: pid, data: None };
        let vendor = vendor(setup, &server)
            .with_context(|| format!("{name} does not answer as a Kafka broker: is one listening there?"))?;
        Ok(Self::Running(Running { name: name.to_owned(), server, vendor }))
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Ringlog => "ringlog".to_owned(),
            Self::Kafka(kafka) => format!("kafka {}", kafka.version()),
            Self::Running(running) => running.name.clone(),
        }
    }

    /// Starts it with these settings, unless it runs already, and waits until it makes topics.
    pub(crate) fn start(&self, setup: &Setup, settings: &[(String, String)]) -> anyhow::Result<Contender> {
        match self {
            Self::Ringlog => {
                let settings = settings.iter().map(|(key, value)| format!("{key}={value}"));
                let set = setup.set.iter().cloned().chain(settings).collect();
                let broker = Broker::start(&Setup { set, ..setup.clone() }, Cores::One)?;
                let (server, process) = (broker.server(), Process::Ringlog(broker));
                Ok(Contender { server, vendor: Vendor::Ringlog, leave: Leave::Topics, process })
            }
            Self::Kafka(kafka) => {
                let folder = broker::folder(setup)?.join(format!("kafka-{}", std::process::id()));
                let mut broker = kafka.start(&folder, setup.broker_core, settings)?;
                let server = broker.server.clone();
                if let Err(error) = wait(setup, &server) {
                    // That it has ended is the better explanation.
                    broker.check()?;
                    return Err(error);
                }
                Ok(Contender { server, vendor: Vendor::Kafka, leave: Leave::Topics, process: Process::Kafka(broker) })
            }
            Self::Running(Running { server, vendor, .. }) => Ok(Contender {
                server: server.clone(),
                vendor: *vendor,
                leave: Leave::Nothing,
                process: Process::Running,
            }),
        }
    }
}

impl Contender {
    /// Ends a broker that was started for the block: it is killed, since nobody needs its data, and an error tells if it
    /// had ended before.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        match self.process {
            Process::Ringlog(mut broker) => broker.check(),
            Process::Kafka(mut broker) => broker.check(),
            Process::Running => Ok(()),
        }
    }

    /// Has everything written to the disk that was not yet, so that nobody pays for what was before.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        let Some(data) = &self.server.data else { return Ok(()) };
        let folder = File::open(data).with_context(|| data.display().to_string())?;
        rustix::fs::syncfs(&folder).context("writing back what is in memory")
    }
}

/// Waits until a broker that was just started would make a topic.
fn wait(setup: &Setup, server: &Server) -> anyhow::Result<()> {
    load::run_against(server.clone(), setup, async |load: Load| {
        let end = load.reactor.now() + READY_MAX;
        while let Err(error) = probe(&load, &[]).await {
            if load.reactor.now() >= end {
                return Err(error.context("the broker does not become ready"));
            }
            load.reactor.sleep(RETRY).await;
        }
        Ok(())
    })
}

/// Asks a broker that runs whose settings it knows.
fn vendor(setup: &Setup, server: &Server) -> anyhow::Result<Vendor> {
    load::run_against(server.clone(), setup, async |load: Load| {
        let Err(error) = probe(&load, &Durability::D2.settings(Vendor::Ringlog)).await else {
            return Ok(Vendor::Ringlog);
        };
        match error.downcast_ref::<Refused>().and_then(|refused| refused.error) {
            Some(ErrorCode::InvalidConfig) => {
                probe(&load, &Durability::D2.settings(Vendor::Kafka)).await?;
                Ok(Vendor::Kafka)
            }
            Some(other) => bail!("a question for {RINGLOG_KEY} is answered with {}", other.name()),
            None => Err(error),
        }
    })
}

/// Asks whether a topic could be made with these settings.
async fn probe(load: &Load, settings: &[(String, String)]) -> anyhow::Result<()> {
    let mut connection = load.connect(Receive::Direct).await?;
    connection.create_topic_with(PROBE, 1, settings, Intent::Ask).await?;
    Ok(())
}

//! `ringlog cores`: how many of a broker's cores are in use, while it runs.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use ringlog_cluster::config::{AlterOperation, ResourceType, SHARDS_KEY};
use ringlog_cluster::metadata::Intent;
use ringlog_net::client::ClientConfig;
use serde::Serialize;

use crate::output::{self, Form, table};
use crate::resource::{self, Config, change};
use crate::session::{self, AutoCreate, ClusterArguments, Session};

/// The cores that a broker was started on.
const CORES_KEY: &str = "ringlog.cores";

/// Tell and change how many of a broker's cores own partitions and take connections.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The broker's id; with several brokers it has to be given.
    #[arg(long, global = true)]
    broker: Option<i32>,
    /// The form of what is printed.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Tell what is configured.
    Show,
    /// Use so many cores, the first ones of those that the broker was started on; 0 for all of them. Partitions move while
    /// clients go on, and the setting stays over a restart.
    Set {
        /// How many.
        count: u16,
    },
}

/// What is configured of a broker.
#[derive(Debug, Serialize)]
struct Usage {
    broker: i32,
    /// Those that it was started on: `all`, a count, or numbers.
    cores: String,
    /// How many of them are in use; 0 for all of them.
    in_use: u16,
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    session::run(arguments.cluster.clone(), ClientConfig::default(), move |session| {
        let arguments = arguments.clone();
        async move {
            let broker = broker(&session, arguments.broker).await?;
            if let Command::Set { count } = arguments.command {
                set(&session, broker, count).await?;
            }
            let cores = show(&session, broker).await?;
            output::print(arguments.output, &cores, |cores| {
                let in_use = if cores.in_use == 0 { "all".to_owned() } else { cores.in_use.to_string() };
                table(["BROKER", "CORES", "IN USE"], &[[cores.broker.to_string(), cores.cores.clone(), in_use]])
            })
        }
    })
}

/// The broker that is meant.
async fn broker(session: &Session, named: Option<i32>) -> anyhow::Result<i32> {
    if let Some(named) = named {
        return Ok(named);
    }
    let brokers = session.topics(Some(&[]), AutoCreate::No).await?.brokers;
    match &brokers[..] {
        [broker] => Ok(broker.node_id),
        brokers => {
            let ids: Vec<_> = brokers.iter().map(|broker| broker.node_id.to_string()).collect();
            bail!("which broker is meant has to be said, with --broker; there are: {}", ids.join(", "))
        }
    }
}

async fn set(session: &Session, broker: i32, count: u16) -> anyhow::Result<()> {
    let changes = [change(SHARDS_KEY, AlterOperation::Set, Some(&count.to_string()))];
    let altered =
        resource::alter(session, ResourceType::Broker, &[broker.to_string()], &changes, Intent::Apply).await?;
    altered.into_iter().try_for_each(|(_, result)| result)
}

async fn show(session: &Session, broker: i32) -> anyhow::Result<Usage> {
    let described = resource::describe(session, ResourceType::Broker, &[broker.to_string()]).await?;
    let configs = described.into_values().next().transpose()?.unwrap_or_default();
    let value = |name: &str| {
        let config = configs.iter().find(|config: &&Config| config.name == name);
        let value = config.and_then(|config| config.value.clone());
        value.with_context(|| format!("broker {broker} does not know {name}: is it Ringlog?"))
    };
    let in_use = value(SHARDS_KEY)?.parse().with_context(|| format!("{SHARDS_KEY} of broker {broker}"))?;
    Ok(Usage { broker, cores: value(CORES_KEY)?, in_use })
}

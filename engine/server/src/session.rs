//! How commands reach a cluster: our own client, on a reactor of one shard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ringlog_client::{ClientDriver, race, system_resolver};
use ringlog_net::client::{Address, Client, ClientConfig, ClientError, Event, Target};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::Request;
use ringlog_net::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic};
use ringlog_reactor::{BackendChoice, Limits, Reactor, ShardSpec, launch};

/// How long a topic that was just created may be without leaders.
const TOPIC_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at it.
const TOPIC_RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Brokers that may be named to begin with.
const BOOTSTRAP_MAX: usize = 64;

/// Where the cluster is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClusterArguments {
    /// Brokers to begin with, separated by commas.
    #[arg(
        short, long, global = true, value_name = "HOST:PORT", value_delimiter = ',', value_parser = parse_address,
        default_value = "127.0.0.1:9092"
    )]
    bootstrap_server: Vec<Address>,
}

/// Reads `host:port`.
pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    let (host, port) = text.trim().rsplit_once(':').ok_or("expected host:port")?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port > 0).ok_or("expected a port from 1 to 65535 behind the colon")?;
    if host.is_empty() {
        return Err("expected a host before the colon".to_owned());
    }
    Ok(Address { host: host.to_owned(), port })
}

/// Limits of a shard that serves one command.
pub(crate) fn limits() -> Limits {
    Limits { receive_buffers: 64, receive_buffer_bytes: 64 * 1024, mesh_messages: 8, ..Limits::default() }
}

/// Runs a command's work on a shard of its own, with a session.
pub(crate) fn run<W, F>(cluster: ClusterArguments, config: ClientConfig, work: W) -> anyhow::Result<()>
where
    W: Fn(Session) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let main = move |reactor: Reactor, _mesh: ringlog_reactor::Mesh<()>| {
        let (cluster, config, work) = (cluster.clone(), config.clone(), work.clone());
        async move { work(Session::open(&reactor, &cluster, config).await?).await }
    };
    let shards = launch(&[ShardSpec::default()], BackendChoice::Auto, limits(), main)?;
    let results = shards.join().map_err(|_| anyhow::anyhow!("the command's thread has panicked"))?;
    results.into_iter().collect()
}

/// A cluster that answers.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) driver: ClientDriver,
}

impl Session {
    /// Connects. Fails when every address failed once.
    pub(crate) async fn open(
        reactor: &Reactor,
        cluster: &ClusterArguments,
        config: ClientConfig,
    ) -> anyhow::Result<Self> {
        let bootstrap = &cluster.bootstrap_server;
        if bootstrap.len() > BOOTSTRAP_MAX {
            bail!("--bootstrap-server: {BOOTSTRAP_MAX} brokers are the most");
        }
        let config = ClientConfig { seed: reactor.random_u64(), ..config };
        let driver = ClientDriver::new(reactor, Client::new(config, bootstrap.clone()), system_resolver());
        let session = Self { driver };
        let asked = async {
            let nothing = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
            session.driver.call(Target::Any, nothing).await.map(drop).map_err(anyhow::Error::from)
        };
        if let Err(error) = race(asked, session.all_lost(bootstrap)).await {
            let addresses: Vec<String> = bootstrap.iter().map(Address::to_string).collect();
            let addresses = addresses.join(", ");
            bail!(
                "no Kafka broker answers at {addresses} ({error}): start one, or name another with --bootstrap-server"
            );
        }
        Ok(session)
    }

    /// Waits until every address failed.
    async fn all_lost(&self, addresses: &[Address]) -> anyhow::Result<()> {
        let mut lost: BTreeMap<Address, String> = BTreeMap::new();
        while !addresses.iter().all(|address| lost.contains_key(address)) {
            if let Event::ConnectionLost(address, reason) = self.driver.event().await {
                lost.insert(address, reason);
            }
        }
        bail!("{}", lost.into_values().next().unwrap_or_default())
    }

    /// Sends a request; the errors inside of its answer are the caller's affair.
    pub(crate) async fn call<R: Request + 'static>(&self, target: Target, request: R) -> anyhow::Result<R::Response> {
        self.driver.call(target, request).await.with_context(|| R::KEY.name())
    }

    /// What is known of some topics, or of all.
    pub(crate) async fn topics(
        &self,
        names: Option<&[String]>,
        create: AutoCreate,
    ) -> anyhow::Result<MetadataResponse> {
        let topic =
            |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..MetadataRequestTopic::default() };
        let request = MetadataRequest {
            topics: names.map(|names| names.iter().map(topic).collect()),
            allow_auto_topic_creation: create == AutoCreate::Yes,
            ..MetadataRequest::default()
        };
        self.call(Target::Any, request).await
    }

    /// A topic all of whose partitions have leaders. Waits a while for one that is being created.
    pub(crate) async fn ready_topic(
        &self,
        name: &Arc<str>,
        create: AutoCreate,
    ) -> anyhow::Result<MetadataResponseTopic> {
        let reactor = self.driver.reactor();
        let give_up_at = reactor.now() + TOPIC_TIME_MAX;
        // The client keeps leaders of its own, and looks them up meanwhile.
        self.driver.with(|client, _| client.want_topic(name));
        loop {
            let answer = self.topics(Some(&[name.to_string()]), create).await?;
            let Some(topic) = answer.topics.into_iter().next() else { bail!("the broker does not tell about {name}") };
            let error = ErrorCode::from_wire(topic.error_code);
            let is_led = topic.partitions.iter().all(|partition| partition.leader_id >= 0);
            if error == ErrorCode::None && is_led && !topic.partitions.is_empty() {
                return Ok(topic);
            }
            let may_come = create == AutoCreate::Yes || error != ErrorCode::UnknownTopicOrPartition;
            let is_passing = error == ErrorCode::None || error.is_retriable();
            if !may_come || !is_passing || reactor.now() > give_up_at {
                return Err(not_ready(name, error));
            }
            reactor.sleep(TOPIC_RETRY_PAUSE).await;
        }
    }
}

fn not_ready(name: &str, error: ErrorCode) -> anyhow::Error {
    match error {
        ErrorCode::UnknownTopicOrPartition => {
            anyhow::anyhow!("topic {name} does not exist; create it with: ringlog topic create {name}")
        }
        ErrorCode::None => anyhow::anyhow!("topic {name} has partitions without a leader: their brokers are down"),
        error => refusal(&format!("topic {name}"), error, None),
    }
}

/// Whether asking for a topic may create it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AutoCreate {
    Yes,
    No,
}

/// What a broker refused, as one sentence: its own words where it has some.
pub(crate) fn refusal(what: &str, error: ErrorCode, said: Option<&str>) -> anyhow::Error {
    let said = said.map_or(error.message(), |said| said.trim_end_matches('.'));
    anyhow::anyhow!("{what}: {said} ({})", error.name())
}

/// `Ok` for an error code that says so.
pub(crate) fn accepted(what: &str, error_code: i16, said: Option<&str>) -> anyhow::Result<()> {
    match ErrorCode::from_wire(error_code) {
        ErrorCode::None => Ok(()),
        error => Err(refusal(what, error, said)),
    }
}

/// Tells once that a connection was lost, not at every attempt to have it back.
#[derive(Debug, Default)]
pub(crate) struct LossReport {
    last: Option<(Address, String)>,
}

impl LossReport {
    /// The connection to `address` was lost for this reason.
    pub(crate) fn lost(&mut self, address: Address, reason: String) {
        let loss = (address, reason);
        if self.last.as_ref() != Some(&loss) {
            tracing::warn!("{}: {}; trying again", loss.0, loss.1);
            self.last = Some(loss);
        }
    }
}

/// Errors of the client that a command cannot go on after.
pub(crate) fn client_error(what: &str, error: &ClientError) -> anyhow::Error {
    anyhow::anyhow!("{what}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        let address = |host: &str, port| Ok(Address { host: host.to_owned(), port });
        assert_eq!(parse_address("localhost:9092"), address("localhost", 9092));
        assert_eq!(parse_address("[::1]:9092"), address("::1", 9092));
        for bad in ["localhost", ":9092", "localhost:", "localhost:0", "localhost:70000", "localhost:x"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }
}

//! From nothing to a shard that serves, and back.
//!
//! Shard 0 goes first: it listens, takes the data directories, recovers them for all shards, reads the metadata log, and then
//! tells the others what they own. Nothing on the disk is changed before it is sure that the ports are free and the
//! directories are this process's. Clients that connect meanwhile wait in the listeners' backlogs.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ringlog_cluster::config::{BrokerConfig, StaticConfig};
use ringlog_cluster::connections::Connections;
use ringlog_cluster::fetch_session::FetchSessions;
use ringlog_cluster::image::Image;
use ringlog_cluster::quota::Usages;
use ringlog_cluster::telemetry::Telemetry;
use ringlog_net::conn::CloseReason;
use ringlog_reactor::{Listener, Mesh, Reactor};
use ringlog_storage::io::IoErrorKind;
use ringlog_storage::{RecoveredShard, RecoveryError, Store};

use crate::acceptor;
use crate::admin::Admin;
use crate::controller::{self, ControllerError};
use crate::directory::{self, DirectoryError};
use crate::limits::ShardLimits;
use crate::lines::Lines;
use crate::logging::Logging;
use crate::message::{Call, Message, ShardMessage};
use crate::partition::device::Devices;
use crate::partition::driver;
use crate::partition::files::Files;
use crate::partition::recovery;
use crate::random::random_id;
use crate::settings::{Settings, StoreSizes};
use crate::shard::Shard;
use crate::state::State;
use crate::{connection_limits, connection_moves, group, jobs, mesh_loop, resize};

/// Where a broker is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Of each listener of the configuration.
    pub listeners: Vec<SocketAddr>,
    /// Of metrics and health, if they are served.
    pub admin: Option<SocketAddr>,
}

/// Told the addresses in force, when clients are served.
pub type OnListening = Arc<dyn Fn(&Addresses) + Send + Sync>;

/// What a broker is started with.
#[derive(Clone)]
pub struct Start {
    /// The configuration, as its parts want it.
    pub broker: Arc<BrokerConfig>,
    /// The configuration, as it was given.
    pub fixed: Arc<StaticConfig>,
    /// The cluster that the data directory must belong to, if that is known.
    pub cluster_id: Option<String>,
    /// Where each listener of the configuration listens. Port 0 takes a free one.
    pub addresses: Vec<SocketAddr>,
    /// Where metrics and health are served, if anywhere. Port 0 takes a free one.
    pub admin_address: Option<SocketAddr>,
    /// Memory that one shard may use, in bytes.
    pub shard_memory_bytes: usize,
    /// The most that the journal of one shard takes, in bytes.
    pub journal_bytes_max: u64,
    /// Files that one shard may keep open.
    pub open_files_max: usize,
    /// Sizes of the stores in the place of those that follow from the memory; `None` outside of simulations.
    pub store_sizes: Option<StoreSizes>,
    /// The loggers of the process.
    pub logging: Logging,
    /// Called once, on shard 0, when clients are served: with the addresses in force.
    pub on_listening: OnListening,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("broker", &self.broker)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Why a broker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be listened on.
    #[error("listeners={address}: listening failed: {error}; stop what uses the port, or configure another one")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// Metrics and health cannot be served.
    #[error(
        "ringlog.admin.listener={address}: listening failed: {error}; stop what uses the port, configure another one, or set \
         the key to nothing to go without metrics"
    )]
    Admin {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// A data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The data directories cannot be brought in order.
    #[error("log.dirs={directory}: recovery failed: {error}; {}", recovery_remedy(.error))]
    Recovery {
        /// The directories.
        directory: String,
        /// What went wrong.
        error: RecoveryError,
    },
    /// The metadata log cannot be read or written.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// Another shard could not start; it tells why.
    #[error("another shard could not start")]
    Other,
}

/// How a shard ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BrokerEnd {
    /// Everything is on the disk, and the next start has nothing to recover.
    Clean,
    /// The disk failed: the next start recovers.
    Unclean,
}

/// What shard 0 tells the others.
#[derive(Debug)]
pub(crate) struct Boot {
    settings: Settings,
    devices: Devices,
    recovered: RecoveredShard,
    addresses: Vec<SocketAddr>,
}

/// Runs one shard until the broker stops.
pub async fn run_shard(reactor: Reactor, mesh: Mesh<ShardMessage>, start: Start) -> Result<BrokerEnd, StartError> {
    if mesh.index() == 0 {
        let result = run_first(&reactor, &mesh, &start).await;
        if result.is_err() {
            for other in 1..mesh.shards() {
                mesh.send(other, ShardMessage(Message::Boot(None))).await;
            }
        }
        return result;
    }
    let Some(boot) = wait_for_boot(&mesh).await else { return Err(StartError::Other) };
    run_other(&reactor, &mesh, *boot).await
}

async fn wait_for_boot(mesh: &Mesh<ShardMessage>) -> Option<Box<Boot>> {
    let (_, ShardMessage(message)) = mesh.recv().await;
    let Message::Boot(boot) = message else {
        unreachable!("shard 0 boots a shard before anybody calls it: {message:?}")
    };
    boot
}

async fn run_first(reactor: &Reactor, mesh: &Mesh<ShardMessage>, start: &Start) -> Result<BrokerEnd, StartError> {
    let mut listeners = Vec::with_capacity(start.addresses.len());
    for address in &start.addresses {
        listeners.push(acceptor::listen(reactor, &start.broker, *address).await.map_err(listen_error(*address))?);
    }
    let addresses: Vec<_> = listeners.iter().map(Listener::local_addr).collect();
    let admin = match start.admin_address {
        Some(address) => {
            Some(Admin::start(reactor, address).await.map_err(|error| StartError::Admin { address, error })?)
        }
        None => None,
    };
    let paths = &start.broker.data_directories;
    let mut taken =
        directory::take_all(reactor, paths, start.broker.node_id, start.cluster_id.as_deref(), || random_id(reactor))
            .await?;
    for (path, directory_id) in paths.iter().zip(&taken.ids) {
        tracing::info!(
            path,
            cluster_id = taken.cluster_id,
            node_id = start.broker.node_id.get(),
            %directory_id,
            "the data directory is this broker's"
        );
    }
    let settings = Settings::new(start, &taken.cluster_id, &taken.ids);
    let lines = Lines::new(reactor.clone());
    let shards = u16::try_from(mesh.shards()).expect("there are fewer shards than cores can be numbered");
    let recovered = recovery::recover(reactor, &settings, shards, lines.clone())
        .await
        .map_err(|error| StartError::Recovery { directory: start.broker.data_directories.join(","), error })?;
    // What is told of partitions lies where it should: so a directory without anything is a new one.
    taken.found(reactor).await?;
    let devices = Devices::new(&directory::devices(reactor, paths).await?);
    let files = Rc::new(Files::new(reactor.clone(), &settings, devices.clone(), lines.clone()));
    let mut recovered = recovered.into_iter();
    let mine = recovered.next().expect("recovery answers for every shard");
    let shard = begin(reactor, mesh, settings, mine, lines, &files);
    shard.with(|state| {
        state.logging = start.logging.clone();
        state.telemetry = Telemetry::new(usize::try_from(start.broker.telemetry_bytes_max).unwrap_or(0));
    });
    let image = controller::start(&shard, &addresses).await?;
    for (other, recovered) in (1..mesh.shards()).zip(recovered) {
        let settings = shard.settings().clone();
        let boot = Boot { settings, devices: devices.clone(), recovered, addresses: addresses.clone() };
        mesh.send(other, ShardMessage(Message::Boot(Some(Box::new(boot))))).await;
    }
    controller::publish_first(&shard, image).await;
    // Not before: a shard that has the image asks the others for partitions of it.
    for other in 1..mesh.shards() {
        shard.post(other, Message::Serve);
    }
    reactor.spawn(resize::follow(shard.clone()));
    shard.serving().ring();
    if let Some(admin) = &admin {
        admin.serving(&shard);
    }
    let signal = reactor.clone();
    let stopping = shard.clone();
    reactor.spawn(async move {
        if let Ok(signal) = signal.signal().await {
            tracing::info!("{signal:?}: finishing what is in flight, then stopping");
            stop_all(&stopping).await;
        }
    });
    // Who is told that the broker listens may stop it at once.
    reactor.yield_now().await;
    (start.on_listening)(&Addresses { listeners: addresses, admin: admin.map(|admin| admin.address()) });
    let end = serve(&shard, listeners).await;
    drop(taken);
    Ok(end)
}

async fn run_other(reactor: &Reactor, mesh: &Mesh<ShardMessage>, boot: Boot) -> Result<BrokerEnd, StartError> {
    let Boot { settings, devices, recovered, addresses } = boot;
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(acceptor::listen(reactor, &settings.broker, address).await.map_err(listen_error(address))?);
    }
    let lines = Lines::new(reactor.clone());
    let files = Rc::new(Files::new(reactor.clone(), &settings, devices, lines.clone()));
    let shard = begin(reactor, mesh, settings, recovered, lines, &files);
    Ok(serve(&shard, listeners).await)
}

/// Stops every shard: first all of them end their connections, whose requests may need any of them; then they close.
async fn stop_all(shard: &Shard) {
    shard.stopping().ring();
    let mut calls = Vec::with_capacity(shard.count());
    for other in 1..shard.count() {
        calls.push(shard.call(other, Call::Drain).await);
    }
    for call in calls {
        call.reply().await;
    }
    shard.drained().wait().await;
    for other in 1..shard.count() {
        shard.call(other, Call::Shutdown).await.reply().await;
    }
    shard.closing().ring();
}

/// What an operator can do about it.
fn recovery_remedy(error: &RecoveryError) -> &'static str {
    match error {
        RecoveryError::Io { reason: IoErrorKind::NoSpace, .. } => {
            "make space: what the journals hold goes into segments first, so there must be as much as they take"
        }
        _ => "look at the disk, or restore the directory from a backup",
    }
}

fn listen_error(address: SocketAddr) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::Listen { address, error }
}

/// Makes the shard, and starts to drive its store and to answer the others.
fn begin(
    reactor: &Reactor,
    mesh: &Mesh<ShardMessage>,
    settings: Settings,
    recovered: RecoveredShard,
    lines: Lines,
    files: &Rc<Files>,
) -> Shard {
    let store = Store::new(settings.store(mesh.index()), recovered);
    let sessions = usize::try_from(settings.broker.fetch_sessions_max).unwrap_or(0);
    let image = Arc::new(Image::new(Arc::clone(&settings.cluster_id), settings.broker.node_id));
    let limits = ShardLimits::new(reactor.limits(), mesh.shards());
    let usages = Usages::new(settings.broker.quota_windows, settings.broker.controller_quota_windows);
    let mut state = State::new(image, store, FetchSessions::new(sessions), usages, &limits, lines);
    if mesh.index() == 0 {
        let limits = connection_limits::limits(&settings, &state.image);
        state.connections = Some(Connections::new(limits, settings.broker.quota_windows, mesh.shards()));
    }
    let shard = Shard::new(reactor.clone(), mesh.clone(), settings, &limits, state);
    reactor.spawn(driver::drive(shard.clone(), Rc::clone(files)));
    reactor.spawn(mesh_loop::serve(shard.clone()));
    shard
}

/// Serves from when it may until the shard is told to stop; then finishes what is in flight and, when all shards have,
/// closes the store.
async fn serve(shard: &Shard, listeners: Vec<Listener>) -> BrokerEnd {
    let reactor = shard.reactor();
    shard.serving().wait().await;
    let listener_count = listeners.len();
    for (index, listener) in listeners.into_iter().enumerate() {
        reactor.spawn(acceptor::accept(shard.clone(), listener, index));
    }
    reactor.spawn(connection_limits::tell(shard.clone()));
    if shard.index() == 0 {
        reactor.spawn(connection_limits::answer(shard.clone()));
    }
    reactor.spawn(acceptor::watch(shard.clone(), listener_count));
    reactor.spawn(connection_moves::give(shard.clone()));
    reactor.spawn(group::run_timers(shard.clone()));
    reactor.spawn(jobs::maintain(shard.clone()));
    reactor.spawn(jobs::expire_requests(shard.clone()));
    shard.stopping().wait().await;
    shard.with(|state| {
        state.stopping = true;
        group::stop(state);
    });
    for connection in shard.connections().live() {
        connection.close(CloseReason::ShuttingDown);
    }
    shard.connections().drained(shard).await;
    shard.drained().ring();
    shard.closing().wait().await;
    shard.with(|state| state.store.shutdown());
    shard.closed().wait().await;
    shard.lines().tell_all();
    shard.with(|state| state.end())
}

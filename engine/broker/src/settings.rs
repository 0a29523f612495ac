//! What a shard is told once, at its start.

use std::path::PathBuf;
use std::sync::Arc;

use ringlog_cluster::config::{BrokerConfig, ConfigLayers, StaticConfig};
use ringlog_cluster::image::Image;
use ringlog_net::conn::ConnLimits;
use ringlog_storage::config::StoreConfig;
use ringlog_storage::types::{ShardId, Uuid};
use ringlog_storage::{LogDir, LogDirs};
use std::time::Duration;

use crate::boot::Start;

/// The most memory of a shard for tails of partitions, and as much again for what was read. Memory that was used before
/// costs half the CPU of fresh memory, so more of it would slow a shard down until all of it was touched.
const TAIL_BYTES_MAX: usize = 256 * 1024 * 1024;
const CACHE_BYTES_MAX: usize = TAIL_BYTES_MAX;

/// The least memory that a shard works with.
pub const SHARD_MEMORY_BYTES_MIN: usize = 32 * 1024 * 1024;

/// Sizes of a shard's store in the place of those that follow from its memory. No configuration key reaches them: with them
/// a simulation fills and rolls everything with little data.
#[derive(Clone, Debug)]
pub struct StoreSizes {
    /// The store of every shard; its `shard` is replaced.
    pub store: StoreConfig,
    /// No segment grows beyond, whatever `segment.bytes` says.
    pub segment_bytes_max: u32,
}

/// What all shards of a broker are told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration of the start, as its parts want it.
    pub broker: Arc<BrokerConfig>,
    /// The configuration of the start, as it was given.
    pub fixed: Arc<StaticConfig>,
    /// The cluster that the data directory belongs to, as text.
    pub cluster_id: Arc<str>,
    /// Where everything is kept: home first.
    pub log_dirs: Arc<[LogDirectory]>,
    /// Limits of a connection.
    pub connection: ConnLimits,
    /// Memory of one shard for large frames, in bytes.
    pub frame_bytes_max: usize,
    /// Memory of one shard for answers that are not sent yet, in bytes.
    pub answer_bytes_max: usize,
    /// Memory of one shard, in bytes; the store's parts are sized from it.
    pub shard_memory_bytes: usize,
    /// The most that the journal of one shard takes, in bytes.
    pub journal_bytes_max: u64,
    /// Files that one shard may keep open.
    pub open_files_max: usize,
    /// Sizes of the stores, where they do not follow from the memory.
    pub store_sizes: Option<StoreSizes>,
}

/// A data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// The same as a path from the root, which is how clients know it.
    pub name: String,
    /// Names it for ever.
    pub id: Uuid,
}

impl LogDirectory {
    /// The directory at this path, which has this id.
    pub(crate) fn new(path: &str, id: Uuid) -> Self {
        let path = PathBuf::from(path);
        let from_root = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        Self { name: from_root.to_string_lossy().into_owned(), path, id }
    }
}

impl Settings {
    /// Derives the limits from what the broker is started with.
    pub(crate) fn new(start: &Start, cluster_id: &str, ids: &[Uuid]) -> Self {
        let shard_memory_bytes = start.shard_memory_bytes.max(SHARD_MEMORY_BYTES_MIN);
        let (broker, fixed) = (Arc::clone(&start.broker), Arc::clone(&start.fixed));
        let cluster_id = cluster_id.into();
        let connection = ConnLimits {
            frame_bytes_max: usize::try_from(broker.request_bytes_max).unwrap_or(usize::MAX),
            idle: u64::try_from(broker.connection_idle_ms_max).ok().map(Duration::from_millis),
            ..ConnLimits::default()
        };
        let log_dirs = broker.data_directories.iter().zip(ids).map(|(path, id)| LogDirectory::new(path, *id)).collect();
        // A quarter for what arrives and an eighth for what is sent; the store takes a quarter for tails and an eighth for the
        // cache; the rest is for connections and metadata.
        let (frame_bytes_max, answer_bytes_max) = (shard_memory_bytes / 4, shard_memory_bytes / 8);
        Self {
            broker,
            fixed,
            cluster_id,
            log_dirs,
            connection,
            frame_bytes_max,
            answer_bytes_max,
            shard_memory_bytes,
            journal_bytes_max: start.journal_bytes_max,
            open_files_max: start.open_files_max,
            store_sizes: start.store_sizes.clone(),
        }
    }

    /// The configuration of the broker with what an image says.
    pub(crate) fn layers<'a>(&'a self, image: &'a Image) -> ConfigLayers<'a> {
        image.layers(self.broker.node_id, &self.fixed)
    }

    /// The data directories, as storage knows them.
    pub(crate) fn dirs(&self) -> LogDirs {
        let ids: Vec<Uuid> = self.log_dirs.iter().map(|directory| directory.id).collect();
        LogDirs::new(&ids)
    }

    /// Those with their places.
    pub(crate) fn places(&self) -> impl Iterator<Item = (LogDir, &LogDirectory)> {
        self.dirs().iter().zip(self.log_dirs.iter())
    }

    /// The directory that clients know by this path.
    pub(crate) fn log_dir(&self, name: &str) -> Option<LogDir> {
        self.places().find(|(_, directory)| directory.name == name).map(|(dir, _)| dir)
    }

    /// Where the journals and the metadata are.
    pub(crate) fn home(&self) -> &LogDirectory {
        self.log_dirs.first().expect("there is a home")
    }

    /// The settings of one shard's store.
    pub(crate) fn store(&self, shard: usize) -> StoreConfig {
        let shard = ShardId::new(u16::try_from(shard).expect("there are fewer shards than cores can be numbered"));
        if let Some(sizes) = &self.store_sizes {
            return StoreConfig { shard, ..sizes.store.clone() };
        }
        let mut store = StoreConfig::new(shard);
        store.journal_bytes_max = self.journal_bytes_max;
        let interval_us = u64::try_from(self.broker.commit_interval_us).expect("the key's range begins at 0");
        store.commit_interval = Duration::from_micros(interval_us);
        store.tail_bytes_max = (self.shard_memory_bytes / 4).min(TAIL_BYTES_MAX);
        store.cache_bytes_max = (self.shard_memory_bytes / 8).min(CACHE_BYTES_MAX);
        // It lies in tails.
        let unwritten = (self.shard_memory_bytes / 8).min(TAIL_BYTES_MAX);
        store.unwritten_bytes_max = u64::try_from(unwritten).expect("fits 64 bits");
        store
    }
}

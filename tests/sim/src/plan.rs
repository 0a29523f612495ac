//! What a seed decides at its start: the broker's sizes, who takes part, what goes wrong.

use std::time::Duration;

use ringlog_broker::StoreSizes;
use ringlog_reactor::Limits;
use ringlog_reactor::sim::{DiskOptions, NetworkOptions, Random, SimOptions};
use ringlog_storage::config::StoreConfig;
use ringlog_storage::types::ShardId;

use crate::clients::member::{BOTH, MemberPlan, Protocol};
use crate::clients::producer::Manner;

/// Most shards of a broker.
pub(crate) const SHARDS_MAX: u64 = 4;
/// Turns after which a run is taken for endless.
const STEPS_MAX: u64 = 1_000_000;
const KIB: u64 = 1024;

/// Something that goes wrong, or at least happens, to the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// The power fails.
    PowerCut,
    /// `kill -9`.
    Kill,
    /// SIGTERM.
    Stop,
    /// Writes or syncs fail.
    DiskError,
    /// The disk is full for a while.
    NoSpace,
    /// The disk is slow for a while.
    SlowDisk,
    /// Connections are reset, vanish, or wait.
    Network,
    /// Partitions are moved to other data directories.
    Moves,
}

/// All that a seed decides beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) options: SimOptions,
    pub(crate) sizes: StoreSizes,
    pub(crate) shards: usize,
    pub(crate) retention_check_ms: u64,
    pub(crate) producers: Vec<Manner>,
    pub(crate) readers: Vec<u32>,
    pub(crate) admins: Vec<u32>,
    pub(crate) members: Vec<MemberPlan>,
    pub(crate) troubles: Vec<Trouble>,
    /// How often the number of shards changes while the broker runs.
    pub(crate) resizes: u32,
    /// Data directories.
    pub(crate) dirs: usize,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let producers = (0..random.between(1, 3)).map(|_| manner(random)).collect();
        let readers = (0..random.between(1, 2)).map(|_| small(random, 10, 60)).collect();
        let admins = (0..random.below(2)).map(|_| small(random, 5, 20)).collect();
        // In half of the runs, so that the others are not slower than they were.
        let members = if random.chance(500) { random.between(1, 4) } else { 0 };
        let members = (0..members).map(|_| member(random)).collect();
        Self {
            options: options(random),
            sizes: sizes(random),
            shards: shards(random),
            retention_check_ms: random.between(20, 500),
            producers,
            readers,
            admins,
            members,
            troubles: troubles(random),
            resizes: 0,
            dirs: 1,
        }
    }

    /// In some of the runs the number of shards changes while the broker runs. With a `random` of its own, as for moves.
    pub(crate) fn add_resizes(&mut self, random: &mut Random) {
        if random.chance(300) {
            self.resizes = small(random, 1, 12);
        }
    }

    /// In half of the runs there are two directories, and partitions are moved between them. With a `random` of its own: in the
    /// other half a seed decides what it decides without this, and in this half the rest of it too.
    pub(crate) fn add_moves(&mut self, random: &mut Random) {
        if random.chance(500) {
            return;
        }
        self.dirs = 2;
        for _ in 0..random.between(1, 4) {
            let at = random.index(self.troubles.len() + 1);
            self.troubles.insert(at, Trouble::Moves);
        }
    }

    /// Whether nothing in this run makes the broker or the network slow, or has requests wait for partitions that move.
    pub(crate) fn is_calm(&self) -> bool {
        self.resizes == 0 && self.troubles.iter().all(|trouble| *trouble == Trouble::Moves)
    }
}

/// How many shards a start has.
pub(crate) fn shards(random: &mut Random) -> usize {
    usize::try_from(random.between(1, SHARDS_MAX)).expect("small")
}

fn small(random: &mut Random, from: u64, to: u64) -> u32 {
    u32::try_from(random.between(from, to)).expect("small")
}

fn manner(random: &mut Random) -> Manner {
    let idempotent = random.chance(600);
    let acks = if idempotent { [-1, -1, -1, 1] } else { [-1, 1, 1, 0] }[random.index(4)];
    let version = i16::try_from(random.between(3, 13)).expect("small");
    // Half of them know topics by their ids: only those can work where topics are deleted.
    let version = if random.chance(500) { 13 } else { version };
    Manner { version, acks, idempotent, rounds: small(random, 5, 40), pause_ms_max: [1, 5, 30][random.index(3)] }
}

fn options(random: &mut Random) -> SimOptions {
    let mut network = NetworkOptions::default();
    network.losses_per_mille = [0, 1, 10][random.index(3)];
    network.give_up_after = Duration::from_secs(5);
    SimOptions {
        disk: DiskOptions {
            direct_alignment_bytes: [512, 4096][random.index(2)],
            syncs_as_a_whole: random.index(2) == 0,
            ..DiskOptions::default()
        },
        network,
        limits: Limits { receive_buffers: 16, receive_buffer_bytes: 4096, ..Limits::default() },
        steps_max: STEPS_MAX,
        ..SimOptions::default()
    }
}

fn sizes(random: &mut Random) -> StoreSizes {
    let journal_file_bytes = 64 * KIB;
    let store = StoreConfig {
        journal_file_bytes,
        journal_bytes_max: journal_file_bytes * random.between(3, 8),
        direct_bytes_min: [1, 4 * KIB, 16 * KIB, 64 * KIB, 1 << 40][random.index(5)],
        commit_interval: Duration::from_micros([0, 0, 300, 5000][random.index(4)]),
        tail_bytes_max: [64 << 10, 256 << 10, 1 << 20][random.index(3)],
        unwritten_bytes_max: [64 * KIB, 256 * KIB, 1024 * KIB, 16 * 1024 * KIB][random.index(4)],
        cache_bytes_max: [0, 64 << 10, 1 << 20][random.index(3)],
        writeback_age: Duration::from_millis([5, 50, 500, 5000][random.index(4)]),
        direct_bytes_per_checkpoint: [64 * KIB, 512 * KIB][random.index(2)],
        ..StoreConfig::new(ShardId::new(0))
    };
    let segment_bytes_max = [64 << 10, 128 << 10, 1 << 20, 16 << 20][random.index(4)];
    StoreSizes { store, segment_bytes_max }
}

/// Each run has troubles of few kinds, so that they meet each other often enough to tell what caused what.
fn troubles(random: &mut Random) -> Vec<Trouble> {
    const CRASHES: [Trouble; 3] = [Trouble::PowerCut, Trouble::Kill, Trouble::Stop];
    const OTHERS: [Trouble; 4] = [Trouble::DiskError, Trouble::NoSpace, Trouble::SlowDisk, Trouble::Network];
    let mut kinds = Vec::new();
    if random.chance(850) {
        kinds.push(CRASHES[random.index(3)]);
        kinds.push(CRASHES[random.index(3)]);
    }
    if random.chance(500) {
        kinds.push(OTHERS[random.index(4)]);
    }
    if kinds.is_empty() {
        return Vec::new();
    }
    (0..random.between(1, 5)).map(|_| kinds[random.index(kinds.len())]).collect()
}

/// A member of a group of one protocol, or of a group that has members of both.
fn member(random: &mut Random) -> MemberPlan {
    let (group, protocol) = [
        ("classic", Protocol::Classic),
        ("consumer", Protocol::Consumer),
        (BOTH, Protocol::Classic),
        (BOTH, Protocol::Consumer),
    ][random.index(4)];
    MemberPlan { protocol, group, rounds: small(random, 10, 60) }
}

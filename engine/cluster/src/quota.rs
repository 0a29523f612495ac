//! Client quotas (KIP-13, KIP-124, KIP-599): which of them applies to a client, how much of it is used, and for how long a
//! client that is over it is throttled.
//!
//! Rates are measured in windows and token buckets are filled exactly as Kafka does, so that a client is throttled here
//! for the times that it is throttled there.

pub mod filter;
mod mutations;
mod rate;
#[cfg(test)]
mod tests;
mod token_bucket;
mod usages;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use ringlog_storage::types::ShardId;

use crate::image::{Image, QuotaEntity, QuotaName};

pub use mutations::{Enforcement, MutationQuota};
pub(crate) use rate::Rate;
pub use usages::{TRACKED_MAX, Usages};

/// Names of a scope are told apart by so many bytes: a client can have a longer id, and no quota of its own for it.
const SCOPE_NAME_BYTES_MAX: usize = 1024;
/// The most windows that are remembered, whatever is configured.
const WINDOWS_MAX: u32 = 1000;
/// The longest time that a response can tell.
const THROTTLE_MS_MAX: f64 = 2_147_483_647.0;

/// What quotas limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum QuotaType {
    /// Bytes of `Produce` requests a second.
    Produce,
    /// Bytes of `Fetch` responses a second.
    Fetch,
    /// Time that requests take, in percent of one shard's.
    Request,
    /// Partitions made and deleted a second.
    ControllerMutation,
}

impl QuotaType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::Request, Self::ControllerMutation];

    /// Its key in the quotas of an entity.
    pub fn key(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
            Self::Request => "request_percentage",
            Self::ControllerMutation => "controller_mutation_rate",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Produce => 0,
            Self::Fetch => 1,
            Self::Request => 2,
            Self::ControllerMutation => 3,
        }
    }
}

/// The windows that a rate is measured over: `quota.window.num` and `quota.window.size.seconds`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaWindows {
    /// How many there are, the one that is going on among them.
    count: u32,
    size: Duration,
}

impl QuotaWindows {
    /// So many windows of such a length. Both are at least 1 and a millisecond; of windows, a thousand count.
    pub fn new(count: u32, size: Duration) -> Self {
        Self { count: count.clamp(1, WINDOWS_MAX), size: size.max(Duration::from_millis(1)) }
    }

    /// How long one of them is.
    pub(crate) fn size(self) -> Duration {
        self.size
    }

    /// The time that all of them take.
    pub(crate) fn span(self) -> Duration {
        self.size * self.count
    }

    /// The time of those that are over.
    fn whole_span(self) -> Duration {
        self.size * (self.count - 1)
    }
}

/// Who shares the use of one quota: one user with one client id, all clients of a user, or all users of a client id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct QuotaScope {
    user: Option<Arc<str>>,
    client_id: Option<Arc<str>>,
}

impl QuotaScope {
    /// The shard that counts the use.
    pub fn owner(&self, shard_count: u16) -> ShardId {
        assert!(shard_count > 0, "a broker has at least one shard");
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let shard = hasher.finish() % u64::from(shard_count);
        ShardId::new(u16::try_from(shard).expect("a remainder is below its divisor"))
    }
}

/// A quota that applies to a client.
#[derive(Clone, PartialEq, Debug)]
pub struct AppliedQuota {
    /// Who shares it.
    pub scope: QuotaScope,
    /// How much there is each second.
    pub limit: f64,
}

/// The quotas that apply to one client, one of each type at most.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ClientQuotas([Option<AppliedQuota>; 4]);

impl ClientQuotas {
    /// Those of a client with this user and this client id. Of each type the most specific one applies, as in Kafka: first
    /// those of the user, with this client id, with the default one, with none; then the same of the default user; then
    /// those of the client id, and of the default one. A client without an id has no quota that speaks of client ids.
    pub fn of(image: &Image, user: &Arc<str>, client_id: &Arc<str>) -> Self {
        let named = |name: &Arc<str>| Some(QuotaName::Named(Arc::clone(name)));
        let default = Some(QuotaName::Default);
        let entities = [
            (named(user), named(client_id)),
            (named(user), default.clone()),
            (named(user), None),
            (default.clone(), named(client_id)),
            (default.clone(), default.clone()),
            (default.clone(), None),
            (None, named(client_id)),
            (None, default),
        ];
        let mut quotas = Self::default();
        for (user_part, client_part) in entities {
            if client_part.is_some() && client_id.is_empty() {
                continue;
            }
            let scope = QuotaScope {
                user: user_part.is_some().then(|| scope_name(user)),
                client_id: client_part.is_some().then(|| scope_name(client_id)),
            };
            let values = image.quotas_of(&QuotaEntity { user: user_part, client_id: client_part, ip: None });
            for quota_type in QuotaType::ALL {
                if let Some(limit) = values.get(quota_type.key()).copied() {
                    let applied = &mut quotas.0[quota_type.index()];
                    applied.get_or_insert_with(|| AppliedQuota { scope: scope.clone(), limit });
                }
            }
        }
        quotas
    }

    /// That of a type.
    pub fn get(&self, quota_type: QuotaType) -> Option<&AppliedQuota> {
        self.0[quota_type.index()].as_ref()
    }

    /// Whether none applies.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// What it is to use so much of a quota; nothing to charge where none of the type applies.
    pub fn charge(&self, quota_type: QuotaType, amount: f64) -> Option<Charge> {
        let AppliedQuota { scope, limit } = self.get(quota_type)?.clone();
        Some(Charge { quota_type, scope, limit, amount })
    }

    /// The most bytes that a fetch may bring without being throttled in any case, however long the client was quiet.
    pub fn fetch_bytes_max(&self, windows: QuotaWindows) -> Option<usize> {
        let limit = self.get(QuotaType::Fetch)?.limit;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is too large is as much as can be"
        )]
        let bytes = (limit * windows.whole_span().as_secs_f64()) as usize;
        Some(bytes)
    }
}

/// Use of a quota, to be counted.
#[derive(Clone, PartialEq, Debug)]
pub struct Charge {
    /// Of which type the quota is.
    pub quota_type: QuotaType,
    /// Who uses it.
    pub scope: QuotaScope,
    /// How much there is each second.
    pub limit: f64,
    /// How much is used: bytes, percent of a second, or partitions.
    pub amount: f64,
}

/// Requests for `percent` of a shard's time are charged in percent of a second.
pub fn percent_of_second(time: Duration) -> f64 {
    time.as_secs_f64() * 100.0
}

fn scope_name(name: &Arc<str>) -> Arc<str> {
    if name.len() <= SCOPE_NAME_BYTES_MAX {
        return Arc::clone(name);
    }
    name[..name.floor_char_boundary(SCOPE_NAME_BYTES_MAX)].into()
}

/// A throttle time, in whole milliseconds, from one that was computed.
fn throttle_time(seconds: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 2^31")]
    let ms = (seconds * 1000.0).round().clamp(0.0, THROTTLE_MS_MAX) as u64;
    Duration::from_millis(ms)
}

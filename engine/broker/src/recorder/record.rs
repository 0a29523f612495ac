//! What is kept of a request.

use std::net::SocketAddr;
use std::sync::Arc;

use ringlog_net::messages::ApiKey;
use ringlog_storage::types::{Millis, Nanos, PartitionIndex};

use super::trail::Trail;

/// The longest client id that is kept; of a longer one it is the beginning.
const CLIENT_ID_BYTES_MAX: usize = 256;

/// Why a request is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// It was slow; perhaps it would have been kept in any case.
    Slow { is_sampled: bool },
    /// It is the one of so many.
    Sampled,
}

/// A request that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// How many of its kind its shard had kept before.
    pub(crate) number: u64,
    pub(crate) reason: Reason,
    /// When it ended.
    pub(crate) at: Millis,
    pub(crate) whose: Whose,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// The first one that it works on.
    pub(crate) partition: Option<PartitionIndex>,
    /// How many.
    pub(crate) partitions: u32,
    pub(crate) request_bytes: u32,
    pub(crate) response_bytes: u32,
    /// The first one that its answer tells.
    pub(crate) error: Option<i16>,
    pub(crate) trail: Trail,
}

impl Record {
    /// When it ended, by the clock that all shards share.
    pub(crate) fn ended_at(&self) -> Nanos {
        self.trail.at()
    }
}

/// Who sent it, and the topic of its first partition, if that is still there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Whose {
    pub(crate) client_id: Arc<str>,
    pub(crate) peer: SocketAddr,
    pub(crate) topic: Option<Arc<str>>,
}

impl Whose {
    pub(crate) fn new(client_id: Option<&Arc<str>>, peer: SocketAddr, topic: Option<Arc<str>>) -> Self {
        let client_id = client_id.map_or_else(|| "".into(), shortened);
        Self { client_id, peer, topic }
    }
}

/// The text itself, which is shared, unless it is long.
fn shortened(text: &Arc<str>) -> Arc<str> {
    if text.len() <= CLIENT_ID_BYTES_MAX {
        return Arc::clone(text);
    }
    text[..text.floor_char_boundary(CLIENT_ID_BYTES_MAX)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_client_id_is_cut_between_characters() {
        let check = |text: &str, bytes| assert_eq!(shortened(&text.into()).len(), bytes);
        check("loader", 6);
        check(&"x".repeat(CLIENT_ID_BYTES_MAX), CLIENT_ID_BYTES_MAX);
        check(&"x".repeat(30_000), CLIENT_ID_BYTES_MAX);
        check(&"\u{20ac}".repeat(30_000), CLIENT_ID_BYTES_MAX - CLIENT_ID_BYTES_MAX % 3);
    }
}

//! Random ids from the shard's generator.

use ringlog_reactor::Reactor;
use ringlog_storage::types::Uuid;

/// 128 random bits.
pub(crate) fn random_bits(reactor: &Reactor) -> u128 {
    u128::from(reactor.random_u64()) << 64 | u128::from(reactor.random_u64())
}

/// An id that may be given out.
pub(crate) fn random_id(reactor: &Reactor) -> Uuid {
    loop {
        // A few ids are reserved.
        if let Some(id) = Uuid::from_random(random_bits(reactor)) {
            return id;
        }
    }
}

//! What a client may do to a resource, as bits of the operations that there are on its kind (KIP-430). Without an authorizer
//! everybody may do all of them.

/// What responses say that were not asked.
pub(crate) const UNASKED: i32 = i32::MIN;

/// Read, write, create, delete, alter, describe, describe and alter configurations.
pub(crate) const OF_TOPICS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// Read, delete, describe, and describe and alter configurations.
pub(crate) const OF_GROUPS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Create, alter, describe, cluster action, describe and alter configurations, idempotent write.
pub(crate) const OF_THE_CLUSTER: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

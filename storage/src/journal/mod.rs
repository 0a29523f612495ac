//! The shard's journal: one sequential write makes the appends of many partitions durable.

pub(crate) mod format;
pub(crate) mod space;

//! One partition's log as values: segments, tail, index, leader epochs, producers.

pub(crate) mod epochs;
pub(crate) mod index;
pub(crate) mod mark;
pub(crate) mod partition;
pub(crate) mod producers;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod tail;

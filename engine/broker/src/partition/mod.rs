//! The partitions of a shard: what requests do with them, who waits for them, and the driver that performs their I/O.

pub(crate) mod append;
pub(crate) mod commit;
pub(crate) mod deletion;
pub(crate) mod device;
pub(crate) mod driver;
pub(crate) mod files;
pub(crate) mod lookup;
pub(crate) mod moves;
pub(crate) mod producers;
pub(crate) mod read;
pub(crate) mod read_error;
pub(crate) mod recovery;
pub(crate) mod replay;
pub(crate) mod sizes;
pub(crate) mod table;
pub(crate) mod watch;

//! What the broker tells of itself, in numbers.
//!
//! Counting is plain: each shard has [`counters`] of its own, and so do its reactor, its end of the mesh and its store. What is
//! counted of a request's time is what the [`recorder`](crate::recorder) has measured. A scrape asks every shard once for a
//! [`snapshot`], and in slices for its partitions and groups ([`gather`]); the table of [`families`] says what is made of that,
//! and [`exposition`] writes it.

pub(crate) mod counters;
pub(crate) mod exposition;
pub(crate) mod families;
pub(crate) mod gather;
pub(crate) mod scrape;
pub(crate) mod snapshot;

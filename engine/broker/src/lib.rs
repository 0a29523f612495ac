//! A shard: it receives requests, drives its partitions through storage, and answers.

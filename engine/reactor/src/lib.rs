//! One thread's I/O: a closed set of operations on three backends, an executor, timers, and the mesh between shards.

//! The `ringlog` binary: boot, configuration, command line.
fn main() {}

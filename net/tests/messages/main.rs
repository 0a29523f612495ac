//! Holds the messages against four witnesses: Apache Kafka's own definitions, bytes that its classes wrote, the
//! `kafka-protocol` crate, and a second encoder that reads the notation by itself.
#![forbid(unsafe_code)]

mod definitions;
mod encoding;
mod golden;
mod mutation;
#[allow(dead_code, reason = "the build uses what the tests do not")]
#[path = "../../generator/notation.rs"]
mod notation;
mod notation_errors;
mod oracle;
mod sample;
mod schema;
mod versions;

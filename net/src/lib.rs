//! What is said: Kafka's messages, the connection state machine, a client. Pure: bytes in, bytes out.

#![forbid(unsafe_code)]

pub mod client;
pub mod conn;
pub mod error;
pub mod header;
pub mod messages;
#[cfg(test)]
mod seeded;
pub mod views;
pub mod wire;

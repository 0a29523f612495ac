//! What is said: Kafka's messages, the connection state machine, a client. Pure: bytes in, bytes out.

#![forbid(unsafe_code)]

pub mod error;
pub mod messages;
pub mod wire;

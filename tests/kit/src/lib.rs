//! What tests share: broker processes, test data, programs from outside.
//!
//! Nothing here waits for time to pass. A broker is ready when it has printed its listening line, has ended when its
//! process has; a client has a deadline that only a fault reaches.
#![forbid(unsafe_code)]

pub mod binary;
pub mod broker;
pub mod external;
pub mod folder;
pub mod lines;
pub mod target;

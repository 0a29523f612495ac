//! What a conformance test talks to: a Ringlog of its own, or a broker that already runs.

use crate::broker::{Broker, Options};

/// Names a broker that already runs, `host:port`: the same cases then show that they hold on Apache Kafka.
pub const BOOTSTRAP: &str = "RINGLOG_CONFORMANCE_BOOTSTRAP";

/// A broker to test.
#[derive(Debug)]
pub enum Target {
    /// A process of this test's own.
    Own(Box<Broker>),
    /// One that somebody else runs.
    Running(String),
}

impl Target {
    /// The broker that `RINGLOG_CONFORMANCE_BOOTSTRAP` names, or a new Ringlog.
    pub fn new(options: Options) -> Self {
        match std::env::var(BOOTSTRAP) {
            Ok(bootstrap) => Self::Running(bootstrap),
            Err(_) => Self::Own(Box::new(Broker::start(options))),
        }
    }

    /// Where clients connect.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Own(broker) => broker.bootstrap(),
            Self::Running(bootstrap) => bootstrap.clone(),
        }
    }
}

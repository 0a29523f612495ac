//! What an acknowledgement is worth: two classes, which are never compared with each other.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::requests::TopicSetting;

/// A class of durability.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, Serialize, clap::ValueEnum)]
pub(crate) enum Durability {
    /// Acknowledged from memory; written back when convenient.
    #[value(name = "D0")]
    D0,
    /// Acknowledged when no power cut can take it any more.
    #[value(name = "D2")]
    D2,
}

/// Whose settings a broker knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Vendor {
    Ringlog,
    Kafka,
}

/// The topic setting of Ringlog that decides, and which brokers of others refuse.
pub(crate) const RINGLOG_KEY: &str = "ringlog.durability";

impl Durability {
    /// The topic settings that make a broker keep to it.
    pub(crate) fn settings(self, vendor: Vendor) -> Vec<TopicSetting> {
        let setting = match (vendor, self) {
            (Vendor::Ringlog, Self::D0) => (RINGLOG_KEY, "none"),
            (Vendor::Ringlog, Self::D2) => (RINGLOG_KEY, "sync"),
            // As it is by default, whatever the broker's own settings say: no flush by count.
            (Vendor::Kafka, Self::D0) => ("flush.messages", "9223372036854775807"),
            (Vendor::Kafka, Self::D2) => ("flush.messages", "1"),
        };
        vec![(setting.0.to_owned(), setting.1.to_owned())]
    }

    /// What it means, in words.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::D0 => "acknowledged from memory",
            Self::D2 => "acknowledged after the flush",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::D0 => "D0",
            Self::D2 => "D2",
        })
    }
}

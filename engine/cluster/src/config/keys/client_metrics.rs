//! Subscriptions to metrics of clients (KIP-714).

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::ClientMetrics;
use crate::config::key::Valid::{Between, ClientMatch, NotBlank};

use super::keys;

keys! {
    /// How often the clients push what is subscribed to.
    "interval.ms": Int = "300000", Between(100, 3_600_000), ClientMetrics, Acts;
    /// Which clients: `name=expression` pairs that all match; without any, every client.
    "match": List = "", ClientMatch, ClientMetrics, Acts;
    /// Which metrics: prefixes of their names, or `*` for all.
    "metrics": List = "", NotBlank, ClientMetrics, Acts;
}

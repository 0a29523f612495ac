//! A record as JSON.

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use serde_json::{Map, Value, json};

use crate::recorder::{Phase, Reason, Record};

/// The record of a shard. What does not apply to it is left out, and so are phases that it was not in.
pub(super) fn record(shard: usize, record: &Record) -> Value {
    let (kind, is_sampled) = match record.reason {
        Reason::Slow { is_sampled } => ("slow", is_sampled),
        Reason::Sampled => ("sample", true),
    };
    let spent = Phase::ALL.into_iter().map(|phase| (phase, record.trail.spent(phase)));
    let phases = spent.filter(|(_, spent)| !spent.is_zero());
    let mut told = json!({
        "shard": shard,
        "at_ms": record.at.get(),
        "kind": kind,
        "sampled": is_sampled,
        "api": record.api.name(),
        "version": record.version,
        "correlation_id": record.correlation_id,
        "client_id": &*record.whose.client_id,
        "peer": record.whose.peer.to_string(),
        "request_bytes": record.request_bytes,
        "response_bytes": record.response_bytes,
        "total_us": micros(record.trail.total()),
        "phases_us": phases.map(|(phase, spent)| (phase.name().to_owned(), micros(spent))).collect::<Map<_, _>>(),
    });
    if let (Some(topic), Some(partition)) = (&record.whose.topic, record.partition) {
        told["topic"] = json!(&**topic);
        told["partition"] = json!(partition.get());
        told["partitions"] = json!(record.partitions);
    }
    if let Some(code) = record.error {
        told["error"] = json!(ErrorCode::from_wire(code).name());
    }
    told
}

/// Microseconds, with three decimals.
#[expect(clippy::cast_precision_loss, reason = "2^53 nanoseconds are 104 days")]
fn micros(time: Duration) -> Value {
    json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{Trail, Whose};
    use ringlog_net::messages::ApiKey;
    use ringlog_storage::types::{Millis, Nanos, PartitionIndex};

    #[test]
    fn a_record_tells_everything_that_applies_to_it() {
        let mut trail = Trail::new(Nanos::new(500));
        trail.until(Phase::Receive, Nanos::new(1500));
        trail.until(Phase::Flush, Nanos::new(2_001_750));
        let peer = ([127, 0, 0, 1], 53210).into();
        let slow = Record {
            number: 3,
            reason: Reason::Slow { is_sampled: true },
            at: Millis::new(1_764_399_999_990),
            whose: Whose::new(Some(&"loader".into()), peer, Some("orders".into())),
            api: ApiKey::Produce,
            version: 13,
            correlation_id: 77,
            partition: Some(PartitionIndex::new(3)),
            partitions: 12,
            request_bytes: 1093,
            response_bytes: 57,
            error: Some(6),
            trail,
        };
        let expected = json!({
            "shard": 1, "at_ms": 1_764_399_999_990_i64, "kind": "slow", "sampled": true,
            "api": "Produce", "version": 13, "correlation_id": 77, "client_id": "loader", "peer": "127.0.0.1:53210",
            "topic": "orders", "partition": 3, "partitions": 12, "request_bytes": 1093, "response_bytes": 57,
            "error": "NOT_LEADER_OR_FOLLOWER", "total_us": 2001.25, "phases_us": {"receive": 1.0, "flush": 2000.25},
        });
        assert_eq!(record(1, &slow), expected);
        let plain = Record {
            reason: Reason::Sampled,
            whose: Whose::new(None, peer, None),
            error: None,
            partition: None,
            ..slow
        };
        let told = record(0, &plain);
        assert_eq!((&told["kind"], &told["sampled"], &told["client_id"]), (&json!("sample"), &json!(true), &json!("")));
        for absent in ["topic", "partition", "partitions", "error"] {
            assert!(told.get(absent).is_none(), "{absent}: {told}");
        }
    }
}

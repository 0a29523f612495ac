//! Metrics that a client pushes: as many numbers as there may be, each of them one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_cluster::telemetry::metrics::{MEASUREMENTS_MAX, read_metrics};

fuzz_target!(|data: &[u8]| {
    if let Ok(measurements) = read_metrics(data) {
        assert!(measurements.len() <= MEASUREMENTS_MAX);
        for measurement in measurements {
            let line = measurement.to_string();
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
});

//! What a run has measured, as people and as programs read it.

use std::fmt::Write as _;

use anyhow::ensure;
use serde::Serialize;

use crate::report::{gigabytes, number};
use crate::usage::Usage;
use crate::workload::latency::Quantiles;

/// Requests without an answer, of all, that a run may have at its end.
const UNANSWERED_SHARE_MAX: f64 = 0.05;
/// Width of the column of names.
const NAME_WIDTH: usize = 26;

/// What was moved in one direction.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub(crate) struct Volume {
    pub(crate) requests: u64,
    pub(crate) records: u64,
    /// Of whole requests, or of fetched batches.
    pub(crate) bytes: u64,
}

/// CPU time.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub(crate) struct Cpu {
    pub(crate) load_seconds: f64,
    /// `None` of a broker whose process is not known.
    pub(crate) broker_seconds: Option<f64>,
}

/// One run. Latencies are those of requests that were meant for the time that was measured; everything else is what
/// happened in that time.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    /// From the intended time of a request, in an open loop, or from its sending.
    pub(crate) produce: Option<Quantiles>,
    /// From the intended time of a request until a consumer has its batch.
    pub(crate) end_to_end: Option<Quantiles>,
    /// Of a fetch.
    pub(crate) fetch: Option<Quantiles>,
    pub(crate) intended_records_per_second: Option<u64>,
    /// Requests without an answer when the run was given up. They count among the latencies with the time that they
    /// had waited by then.
    pub(crate) unanswered_requests: u64,
    pub(crate) produced: Volume,
    pub(crate) fetched: Volume,
    pub(crate) cpu: Cpu,
    /// What the broker's process has used; `None` if it is not known.
    pub(crate) broker: Option<Usage>,
    /// What it needs for what does nothing.
    pub(crate) idle: Option<Idle>,
}

/// Resident memory that has come with partitions and connections without work.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) partitions: u64,
    pub(crate) partitions_bytes: u64,
    pub(crate) connections: u64,
    pub(crate) connections_bytes: u64,
}

/// Everything about one invocation.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) workload: String,
    /// The workload in words.
    pub(crate) shape: String,
    pub(crate) machine: String,
    pub(crate) broker: String,
    /// The same against a broker that does nothing.
    pub(crate) calibration: Option<Measured>,
    pub(crate) runs: Vec<Measured>,
}

impl Measured {
    /// The share of the intended rate that was achieved; `None` in a closed loop, which intends none.
    pub(crate) fn rate_share(&self) -> Option<f64> {
        let intended = self.intended_records_per_second?;
        Some(number(self.produced.records) / self.seconds / number(intended))
    }

    /// Refuses a run with many requests that no answer came to: what it tells is not what it is to measure.
    pub(crate) fn check_answered(&self) -> anyhow::Result<()> {
        let (unanswered, answered) = (self.unanswered_requests, self.produced.requests);
        let share = number(unanswered) / number(unanswered.saturating_add(answered).max(1));
        ensure!(
            share <= UNANSWERED_SHARE_MAX,
            "{unanswered} requests were left unanswered beside {answered} that were answered: more than {:.0} %",
            100.0 * UNANSWERED_SHARE_MAX
        );
        Ok(())
    }

    /// The lines that tell it, beside the calibration.
    pub(crate) fn lines(&self, calibration: Option<&Self>) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:NAME_WIDTH$}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "latency, us", "p50", "p90", "p99", "p99.9", "p99.99", "max", "requests"
        );
        for (name, latency) in [("produce", self.produce), ("end to end", self.end_to_end), ("fetch", self.fetch)] {
            text.extend(latency.map(|latency| row(name, &latency)));
        }
        if let Some(calibration) = calibration {
            text.extend(calibration.produce.map(|latency| row("produce, null broker", &latency)));
        }
        if self.unanswered_requests > 0 {
            let _ = writeln!(text, "UNANSWERED at the end: {} requests", self.unanswered_requests);
        }
        self.write_volumes(&mut text);
        self.write_cpu(&mut text, calibration);
        text
    }

    fn write_volumes(&self, text: &mut String) {
        if self.produced.requests > 0 {
            let _ = write!(text, "produced: {:.1} records/s", number(self.produced.records) / self.seconds);
            if let Some((intended, share)) = self.intended_records_per_second.zip(self.rate_share()) {
                let _ = write!(text, " of {intended} intended ({:.2}%)", 100.0 * share);
            }
            let _ = writeln!(text, ", {}", rates(&self.produced, self.seconds));
        }
        if self.fetched.requests > 0 {
            let records = number(self.fetched.records) / self.seconds;
            let _ = writeln!(text, "fetched: {records:.1} records/s, {}", rates(&self.fetched, self.seconds));
        }
    }

    fn write_cpu(&self, text: &mut String, calibration: Option<&Self>) {
        let _ = write!(text, "load CPU: {:.1}% of a core", 100.0 * self.cpu.load_seconds / self.seconds);
        if let Some(calibration) = calibration {
            let share = 100.0 * calibration.cpu.load_seconds / calibration.seconds;
            let _ = write!(text, "; {share:.1}% with the null broker");
        }
        let _ = writeln!(text);
        let Some(broker) = self.cpu.broker_seconds else { return };
        let _ = write!(text, "broker CPU: {:.1}% of a core", 100.0 * broker / self.seconds);
        // Bytes cost in both directions; requests and records are those that were produced, where any were.
        let bytes = self.produced.bytes + self.fetched.bytes;
        let (requests, records) = match self.produced.requests {
            0 => (self.fetched.requests, self.fetched.records),
            _ => (self.produced.requests, self.produced.records),
        };
        if requests > 0 {
            let _ = write!(
                text,
                ", {:.3} s/GB, {:.2} us/request, {:.3} s per million records",
                broker / gigabytes(bytes),
                1e6 * broker / number(requests),
                1e6 * broker / number(records)
            );
        }
        let _ = writeln!(text);
    }
}

fn row(name: &str, latency: &Quantiles) -> String {
    let Quantiles { count, p50_us, p90_us, p99_us, p99_9_us, p99_99_us, max_us } = *latency;
    format!(
        "{name:NAME_WIDTH$}{p50_us:>11.1}{p90_us:>11.1}{p99_us:>11.1}{p99_9_us:>11.1}{p99_99_us:>11.1}{max_us:>11.1}{count:>11}\n"
    )
}

fn rates(volume: &Volume, seconds: f64) -> String {
    let megabytes = 1e3 * gigabytes(volume.bytes) / seconds;
    format!("{:.1} requests/s, {megabytes:.1} MB/s", number(volume.requests) / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        let produce = Quantiles {
            count: 4,
            p50_us: 1.0,
            p90_us: 2.0,
            p99_us: 3.0,
            p99_9_us: 4.0,
            p99_99_us: 5.0,
            max_us: 60_000.5,
        };
        Measured {
            seconds: 2.0,
            produce: Some(produce),
            intended_records_per_second: Some(200),
            produced: Volume { requests: 100, records: 200, bytes: 1_000_000 },
            cpu: Cpu { load_seconds: 0.2, broker_seconds: Some(0.001) },
            ..Measured::default()
        }
    }

    #[test]
    fn every_figure_has_its_unit() {
        let null = Measured { cpu: Cpu { load_seconds: 0.1, broker_seconds: None }, ..measured() };
        let text = measured().lines(Some(&null));
        for expected in [
            "produced: 100.0 records/s of 200 intended (50.00%), 50.0 requests/s, 0.5 MB/s\n",
            "load CPU: 10.0% of a core; 5.0% with the null broker\n",
            "broker CPU: 0.1% of a core, 1.000 s/GB, 10.00 us/request, 5.000 s per million records\n",
            "    60000.5          4\n",
            "\nproduce, null broker ",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        let unanswered = Measured { unanswered_requests: 7, ..measured() };
        assert!(unanswered.lines(None).contains("UNANSWERED at the end: 7 requests\n"));
    }

    #[test]
    fn a_run_that_is_mostly_unanswered_fails() {
        let with = |unanswered_requests| Measured { unanswered_requests, ..measured() };
        with(5).check_answered().expect("5 of 105");
        let error = with(6).check_answered().expect_err("6 of 106").to_string();
        assert_eq!(error, "6 requests were left unanswered beside 100 that were answered: more than 5 %");
        Measured::default().check_answered().expect("nothing was produced");
    }
}

//! The figures of a comparison: what each is, and how it is found in what a run has measured.

use serde::{Deserialize, Serialize};

use crate::report::{gigabytes, number};
use crate::workload::latency::Quantiles;
use crate::workload::results::Measured;

/// Fewer connections or partitions tell nothing of the memory of one.
const IDLE_COUNT_MIN: u64 = 100;

/// A figure, under the name that it has in matrix files and in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    BrokerCpuSPerGb,
    BothCpuSPerGb,
    BrokerCpuSPerMillion,
    BothCpuSPerMillion,
    BrokerCpuUsPerRequest,
    FetchCpuSPerGb,
    RecordsPerSecond,
    MegabytesPerSecond,
    RateShare,
    P50Us,
    P90Us,
    P99Us,
    #[serde(rename = "p99_9_us")]
    P999Us,
    #[serde(rename = "p99_99_us")]
    P9999Us,
    P99TimesWithoutReaders,
    UnansweredRequests,
    ResidentMib,
    FlushesPerSecond,
    DeviceBytesPerByte,
    ProcessWrittenBytesPerByte,
    ContextSwitchesPerRequest,
    ResidentKibPerConnection,
    ResidentKibPerPartition,
}

impl Metric {
    /// In the order in which they are told.
    pub(crate) const ALL: &[Self] = &[
        Self::BrokerCpuSPerGb,
        Self::BothCpuSPerGb,
        Self::BrokerCpuSPerMillion,
        Self::BothCpuSPerMillion,
        Self::BrokerCpuUsPerRequest,
        Self::FetchCpuSPerGb,
        Self::RecordsPerSecond,
        Self::MegabytesPerSecond,
        Self::RateShare,
        Self::P50Us,
        Self::P90Us,
        Self::P99Us,
        Self::P999Us,
        Self::P9999Us,
        Self::P99TimesWithoutReaders,
        Self::UnansweredRequests,
        Self::ResidentMib,
        Self::FlushesPerSecond,
        Self::DeviceBytesPerByte,
        Self::ProcessWrittenBytesPerByte,
        Self::ContextSwitchesPerRequest,
        Self::ResidentKibPerConnection,
        Self::ResidentKibPerPartition,
    ];

    /// What people read, with its unit.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::BrokerCpuSPerGb => "broker CPU, s/GB",
            Self::BothCpuSPerGb => "broker and client CPU, s/GB",
            Self::BrokerCpuSPerMillion => "broker CPU, s/million records",
            Self::BothCpuSPerMillion => "broker and client CPU, s/million records",
            Self::BrokerCpuUsPerRequest => "broker CPU, us/request",
            Self::FetchCpuSPerGb => "broker CPU of fetches, s/GB fetched",
            Self::RecordsPerSecond => "records/s",
            Self::MegabytesPerSecond => "MB/s",
            Self::RateShare => "share of the rate that was asked for",
            Self::P50Us => "latency p50, us",
            Self::P90Us => "latency p90, us",
            Self::P99Us => "latency p99, us",
            Self::P999Us => "latency p99.9, us",
            Self::P9999Us => "latency p99.99, us",
            Self::P99TimesWithoutReaders => "p99, times that without readers",
            Self::UnansweredRequests => "requests left unanswered",
            Self::ResidentMib => "resident memory, MiB",
            Self::FlushesPerSecond => "flushes of the disk/s",
            Self::DeviceBytesPerByte => "bytes to the device/byte",
            Self::ProcessWrittenBytesPerByte => "bytes that the broker writes/byte",
            Self::ContextSwitchesPerRequest => "context switches/request",
            Self::ResidentKibPerConnection => "resident memory, KiB/idle connection",
            Self::ResidentKibPerPartition => "resident memory, KiB/idle partition",
        }
    }

    /// Whether it is made of latencies.
    pub(crate) const fn is_latency(self) -> bool {
        use Metric::{P50Us, P90Us, P99TimesWithoutReaders, P99Us, P999Us, P9999Us};
        matches!(self, P50Us | P90Us | P99Us | P999Us | P9999Us | P99TimesWithoutReaders)
    }

    /// What one block says; `None` where it says nothing.
    pub(crate) fn of(self, block: &Block) -> Option<f64> {
        let Block { run, without_readers } = block;
        let usage = run.broker.as_ref();
        let (cpu, both) =
            (usage.map(|usage| usage.cpu_seconds), usage.map(|usage| usage.cpu_seconds + run.cpu.load_seconds));
        let moved = Moved::of(run);
        let per = |amount: Option<f64>, count: f64| amount.filter(|_| count > 0.0).map(|amount| amount / count);
        let latency = |of: fn(&Quantiles) -> f64| latency(run).map(|latency| of(&latency));
        match self {
            Self::BrokerCpuSPerGb => per(cpu, gigabytes(moved.bytes)),
            Self::BothCpuSPerGb => per(both, gigabytes(moved.bytes)),
            Self::BrokerCpuSPerMillion => per(cpu, number(moved.records) / 1e6),
            Self::BothCpuSPerMillion => per(both, number(moved.records) / 1e6),
            Self::BrokerCpuUsPerRequest => per(cpu.map(|cpu| cpu * 1e6), number(moved.requests)),
            Self::FetchCpuSPerGb => Cost::of(run)?.of_fetches(&Cost::of(without_readers.as_ref()?)?),
            // Of a broker that has stood still it is told; of one that had nothing to do it is not.
            Self::RecordsPerSecond | Self::MegabytesPerSecond if run.idle.is_some() => None,
            Self::RecordsPerSecond => per(Some(number(moved.records)), run.seconds),
            Self::MegabytesPerSecond => per(Some(gigabytes(moved.bytes) * 1e3), run.seconds),
            Self::RateShare => run.rate_share(),
            Self::P50Us => latency(|latency| latency.p50_us),
            Self::P90Us => latency(|latency| latency.p90_us),
            Self::P99Us => latency(|latency| latency.p99_us),
            Self::P999Us => latency(|latency| latency.p99_9_us),
            Self::P9999Us => latency(|latency| latency.p99_99_us),
            Self::P99TimesWithoutReaders => Some(run.produce?.p99_us / without_readers.as_ref()?.produce?.p99_us),
            // Told where there are some: it is a warning.
            Self::UnansweredRequests => Some(number(run.unanswered_requests)).filter(|count| *count > 0.0),
            Self::ResidentMib => usage.map(|usage| number(usage.resident_bytes) / 1_048_576.0),
            Self::FlushesPerSecond => per(usage.and_then(|usage| Some(number(usage.disk?.flushes))), run.seconds),
            Self::DeviceBytesPerByte => {
                per(usage.and_then(|usage| Some(number(usage.disk?.written_bytes))), number(run.produced.bytes))
            }
            Self::ProcessWrittenBytesPerByte => {
                per(usage.map(|usage| number(usage.write_bytes)), number(run.produced.bytes))
            }
            Self::ContextSwitchesPerRequest => {
                per(usage.map(|usage| number(usage.context_switches)), number(moved.requests))
            }
            Self::ResidentKibPerConnection => {
                run.idle.and_then(|idle| each_kib(idle.connections_bytes, idle.connections))
            }
            Self::ResidentKibPerPartition => run.idle.and_then(|idle| each_kib(idle.partitions_bytes, idle.partitions)),
        }
    }
}

/// What one side has measured in one block.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Block {
    pub(crate) run: Measured,
    /// The same workload without its readers, a moment before or after on the same broker, where the row asks for it.
    pub(crate) without_readers: Option<Measured>,
}

/// What a run is divided by. Bytes cost in both directions; requests and records are those that were produced, where any
/// were.
struct Moved {
    bytes: u64,
    records: u64,
    requests: u64,
}

impl Moved {
    fn of(run: &Measured) -> Self {
        let main = if run.produced.requests > 0 { run.produced } else { run.fetched };
        Self { bytes: run.produced.bytes + run.fetched.bytes, records: main.records, requests: main.requests }
    }
}

/// What each of many takes; `None` of so few that other memory would be told.
fn each_kib(bytes: u64, count: u64) -> Option<f64> {
    (count >= IDLE_COUNT_MIN).then(|| number(bytes) / number(count) / 1024.0)
}

/// The latency that a workload is about.
fn latency(run: &Measured) -> Option<Quantiles> {
    run.end_to_end.or(run.produce).or(run.fetch)
}

/// What a run has cost the broker, and what it has moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    pub(crate) produced_bytes: u64,
    pub(crate) fetched_bytes: u64,
}

impl Cost {
    fn of(run: &Measured) -> Option<Self> {
        let cpu_seconds = run.broker?.cpu_seconds;
        Some(Self { cpu_seconds, produced_bytes: run.produced.bytes, fetched_bytes: run.fetched.bytes })
    }

    /// What fetches cost beyond what is produced beside them, which a run without readers tells; CPU seconds per GB
    /// fetched. `None` if nothing was produced in that run, or nothing fetched in this.
    pub(crate) fn of_fetches(&self, without: &Self) -> Option<f64> {
        if without.produced_bytes == 0 || self.fetched_bytes == 0 {
            return None;
        }
        let of_produce = without.cpu_seconds / number(without.produced_bytes) * number(self.produced_bytes);
        Some((self.cpu_seconds - of_produce) / gigabytes(self.fetched_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{DiskUsage, Usage};
    use crate::workload::results::{Cpu, Volume};

    fn run(cpu_seconds: f64, fetched: u64) -> Measured {
        let disk = Some(DiskUsage { flushes: 10, written_bytes: 3_000_000_000 });
        let usage = Usage { cpu_seconds, disk, context_switches: 400, ..Usage::default() };
        Measured {
            seconds: 2.0,
            produced: Volume { requests: 200, records: 1_000_000, bytes: 1_000_000_000 },
            fetched: Volume { requests: 1, records: 1, bytes: fetched },
            cpu: Cpu { load_seconds: 0.5, broker_seconds: None },
            broker: Some(usage),
            ..Measured::default()
        }
    }

    fn of(metric: Metric, block: &Block) -> Option<f64> {
        metric.of(block).map(|value| (value * 1e6).round() / 1e6)
    }

    #[test]
    fn figures_are_those_of_the_run() {
        let block = Block { run: run(1.5, 0), without_readers: None };
        for (metric, expected) in [
            (Metric::BrokerCpuSPerGb, Some(1.5)),
            (Metric::BothCpuSPerGb, Some(2.0)),
            (Metric::BrokerCpuSPerMillion, Some(1.5)),
            (Metric::BrokerCpuUsPerRequest, Some(7_500.0)),
            (Metric::RecordsPerSecond, Some(500_000.0)),
            (Metric::MegabytesPerSecond, Some(500.0)),
            (Metric::FlushesPerSecond, Some(5.0)),
            (Metric::DeviceBytesPerByte, Some(3.0)),
            (Metric::ContextSwitchesPerRequest, Some(2.0)),
            (Metric::P50Us, None),
            (Metric::UnansweredRequests, None),
            (Metric::FetchCpuSPerGb, None),
        ] {
            assert_eq!(of(metric, &block), expected, "{metric:?}");
        }
    }

    #[test]
    fn fetches_cost_what_is_left_when_the_cost_of_produce_is_taken_away() {
        let block = Block { run: run(1.5, 2_000_000_000), without_readers: Some(run(1.0, 0)) };
        assert_eq!(of(Metric::FetchCpuSPerGb, &block), Some(0.25));
    }

    #[test]
    fn a_broker_whose_process_is_unknown_has_no_cost() {
        let block = Block { run: Measured { broker: None, ..run(0.0, 0) }, without_readers: None };
        let told: Vec<Metric> = Metric::ALL.iter().copied().filter(|metric| metric.of(&block).is_some()).collect();
        assert_eq!(told, [Metric::RecordsPerSecond, Metric::MegabytesPerSecond]);
    }
}

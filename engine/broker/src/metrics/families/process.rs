//! What Prometheus' client libraries tell of any process.

use ringlog_reactor::ProcessUsage;

use super::{Family, FamilySet, Kind, Source};
use crate::metrics::exposition::{Samples, decimal};
use crate::metrics::gather::Gathered;

const NANOS_PER_SECOND: f64 = 1e9;

const fn family(name: &'static str, kind: Kind, help: &'static str, source: fn(&Gathered, &mut Samples<'_>)) -> Family {
    Family { name, kind, set: FamilySet::Process, help, labels: &[], source: Source::Broker(source) }
}

fn of_process(gathered: &Gathered, tell: impl FnOnce(&ProcessUsage)) {
    if let Some(process) = &gathered.process {
        tell(process);
    }
}

pub(super) const FAMILIES: &[Family] = &[
    family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "CPU time of all threads, in user and in kernel mode.",
        |all, samples| {
            of_process(all, |process| samples.put(&[], decimal(process.cpu_nanos) / NANOS_PER_SECOND));
        },
    ),
    family("process_resident_memory_bytes", Kind::Gauge, "Memory that is in RAM.", |all, samples| {
        of_process(all, |process| samples.put(&[], process.resident_bytes));
    }),
    family("process_virtual_memory_bytes", Kind::Gauge, "Address space.", |all, samples| {
        of_process(all, |process| samples.put(&[], process.virtual_bytes));
    }),
    family(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the process was started, in seconds since 1970.",
        |all, samples| {
            of_process(all, |process| samples.put(&[], decimal(process.started_at_ms) / 1000.0));
        },
    ),
    family("process_open_fds", Kind::Gauge, "File descriptors in use.", |all, samples| {
        of_process(all, |process| samples.put(&[], process.open_descriptors));
    }),
    family("process_max_fds", Kind::Gauge, "File descriptors that the process may have.", |all, samples| {
        of_process(all, |process| samples.put(&[], process.descriptors_max));
    }),
    family("process_threads", Kind::Gauge, "Threads of the process.", |all, samples| {
        of_process(all, |process| samples.put(&[], process.threads));
    }),
    family(
        "process_storage_read_bytes_total",
        Kind::Counter,
        "Bytes read from storage devices for the process.",
        |all, samples| {
            of_process(all, |process| process.read_bytes.into_iter().for_each(|bytes| samples.put(&[], bytes)));
        },
    ),
    family(
        "process_storage_written_bytes_total",
        Kind::Counter,
        "Bytes written to storage devices for the process.",
        |all, samples| {
            of_process(all, |process| process.written_bytes.into_iter().for_each(|bytes| samples.put(&[], bytes)));
        },
    ),
];

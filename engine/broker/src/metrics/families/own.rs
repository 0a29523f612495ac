//! What Ringlog is made of, and Apache Kafka is not: shards, their rings, their group commits, the mesh between them.

use super::{Family, FamilySet, Kind, Source};
use crate::metrics::counters::ApiCounts;
use crate::metrics::exposition::{Samples, decimal};
use crate::metrics::gather::Gathered;
use crate::metrics::snapshot::ShardSnapshot;
use crate::state::Disk;

const NANOS_PER_SECOND: f64 = 1e9;
const SHARD: &[&str] = &["shard"];
const API: &[&str] = &["api"];

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    source: fn(&Gathered, &mut Samples<'_>),
) -> Family {
    Family { name, kind, set: FamilySet::Ringlog, help, labels, source: Source::Broker(source) }
}

/// A sample of each shard.
fn shards(all: &Gathered, samples: &mut Samples<'_>, tell: impl Fn(&ShardSnapshot) -> u64) {
    for (index, shard) in all.shards.iter().enumerate() {
        samples.put(&[index.into()], tell(shard));
    }
}

/// Seconds of each shard.
fn seconds(all: &Gathered, samples: &mut Samples<'_>, nanos: impl Fn(&ShardSnapshot) -> u64) {
    for (index, shard) in all.shards.iter().enumerate() {
        samples.put(&[index.into()], decimal(nanos(shard)) / NANOS_PER_SECOND);
    }
}

fn apis(all: &Gathered, samples: &mut Samples<'_>, tell: impl Fn(&ApiCounts) -> u64) {
    for (api, counts) in &all.apis {
        samples.put(&[api.name().into()], tell(counts));
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a length fits 64 bits")
}

/// What a shard holds of what it may, by the name of the part.
fn memory(shard: &ShardSnapshot) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
    let of_connections = shard.budgets.iter().filter(|budget| budget.name != "requests");
    let of_connections = of_connections.map(|budget| (budget.name, count(budget.used), count(budget.limit)));
    let usage = &shard.usage;
    of_connections.chain([
        ("tails", count(usage.tail_bytes), count(usage.tail_bytes_max)),
        ("cache", count(usage.cache_bytes), count(usage.cache_bytes_max)),
        ("unwritten", usage.unwritten_bytes, usage.unwritten_bytes_max),
    ])
}

pub(super) const FAMILIES: &[Family] = &[
    family("ringlog_build_info", Kind::Gauge, &["version"], "The release that runs.", |_, samples| {
        samples.put(&[env!("CARGO_PKG_VERSION").into()], true);
    }),
    family(
        "ringlog_ready",
        Kind::Gauge,
        &[],
        "Whether the broker is of use to clients, as /health/ready tells.",
        |all, samples| {
            samples.put(&[], all.shards.iter().all(|shard| shard.health.is_ready()));
        },
    ),
    family(
        "ringlog_request_duration_seconds",
        Kind::Histogram,
        API,
        "Time from a request's arrival to its answer.",
        |all, samples| {
            for (api, counts) in &all.apis {
                samples.put_histogram(&[api.name().into()], &counts.total_time, NANOS_PER_SECOND);
            }
        },
    ),
    family(
        "ringlog_request_phase_seconds_total",
        Kind::Counter,
        &["api", "phase"],
        "Where the time of requests went: queued until they are taken up, local with their handler, remote for other shards, the disk, members of a group, or data to come.",
        |all, samples| {
            for (api, counts) in &all.apis {
                for (phase, nanos) in
                    [("queued", counts.queued_nanos), ("local", counts.local_nanos), ("remote", counts.remote_nanos)]
                {
                    samples.put(&[api.name().into(), phase.into()], decimal(nanos) / NANOS_PER_SECOND);
                }
            }
        },
    ),
    family(
        "ringlog_request_bytes_total",
        Kind::Counter,
        API,
        "Bytes of requests, with their headers.",
        |all, samples| apis(all, samples, |counts| counts.request_bytes),
    ),
    family(
        "ringlog_response_bytes_total",
        Kind::Counter,
        API,
        "Bytes of responses, without their headers.",
        |all, samples| apis(all, samples, |counts| counts.response_bytes),
    ),
    family(
        "ringlog_throttled_requests_total",
        Kind::Counter,
        API,
        "Requests whose clients were over a quota.",
        |all, samples| apis(all, samples, |counts| counts.throttled),
    ),
    family(
        "ringlog_throttle_seconds_total",
        Kind::Counter,
        API,
        "Time for which those clients were told to wait.",
        |all, samples| {
            for (api, counts) in &all.apis {
                samples.put(&[api.name().into()], decimal(counts.throttled_nanos) / NANOS_PER_SECOND);
            }
        },
    ),
    family(
        "ringlog_response_send_seconds",
        Kind::Histogram,
        &[],
        "Time until a socket has what was handed to it: one response, or several.",
        |all, samples| {
            let mut time = ringlog_measure::Durations::default();
            all.shards.iter().for_each(|shard| time.merge(&shard.send_time));
            samples.put_histogram(&[], &time, NANOS_PER_SECOND);
        },
    ),
    family("ringlog_connections", Kind::Gauge, SHARD, "Connections that are open.", |all, samples| {
        shards(all, samples, |shard| shard.connections.accepted - shard.connections.closed);
    }),
    family("ringlog_connections_accepted_total", Kind::Counter, SHARD, "Connections accepted.", |all, samples| {
        shards(all, samples, |shard| shard.connections.accepted);
    }),
    family(
        "ringlog_connections_refused_total",
        Kind::Counter,
        &["shard", "reason"],
        "Connections that were not taken: too_many (max.connections.per.ip), too_fast (a quota of connections), failed (attempts to accept: open files, mostly).",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                let refused = shard.refused;
                for (reason, count) in
                    [("too_many", refused.too_many), ("too_fast", refused.too_fast), ("failed", refused.failed)]
                {
                    samples.put(&[index.into(), reason.into()], count);
                }
            }
        },
    ),
    family(
        "ringlog_connections_muted",
        Kind::Gauge,
        SHARD,
        "Connections that are not read, because their client is over a quota.",
        |all, samples| shards(all, samples, |shard| shard.connections.muted),
    ),
    family(
        "ringlog_requests_in_flight",
        Kind::Gauge,
        SHARD,
        "Requests that were begun and are not answered.",
        |all, samples| {
            shards(all, samples, |shard| {
                shard.budgets.iter().filter(|budget| budget.name == "requests").map(|budget| count(budget.used)).sum()
            });
        },
    ),
    family("ringlog_requests_in_flight_limit", Kind::Gauge, SHARD, "How many of them there may be.", |all, samples| {
        shards(all, samples, |shard| {
            shard.budgets.iter().filter(|budget| budget.name == "requests").map(|budget| count(budget.limit)).sum()
        });
    }),
    family(
        "ringlog_requests_queued",
        Kind::Gauge,
        SHARD,
        "Requests that wait for one of those places.",
        |all, samples| shards(all, samples, |shard| count(shard.queued_requests)),
    ),
    family("ringlog_fetches_waiting", Kind::Gauge, SHARD, "Fetches that wait for data.", |all, samples| {
        shards(all, samples, |shard| count(shard.waiting_fetches));
    }),
    family(
        "ringlog_memory_used_bytes",
        Kind::Gauge,
        &["shard", "part"],
        "Memory in use, of each budget of a shard; unwritten lies in tails.",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                memory(shard).for_each(|(part, used, _)| samples.put(&[index.into(), part.into()], used));
            }
        },
    ),
    family(
        "ringlog_memory_limit_bytes",
        Kind::Gauge,
        &["shard", "part"],
        "Memory that each budget of a shard has.",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                memory(shard).for_each(|(part, _, limit)| samples.put(&[index.into(), part.into()], limit));
            }
        },
    ),
    family(
        "ringlog_shard_busy_seconds_total",
        Kind::Counter,
        SHARD,
        "Time that a shard spent with its tasks. With the two that follow it adds up to the time since its start.",
        |all, samples| seconds(all, samples, |shard| shard.reactor.busy.sum()),
    ),
    family(
        "ringlog_shard_poll_seconds_total",
        Kind::Counter,
        SHARD,
        "Time in which it handed work to the kernel, with more to do.",
        |all, samples| seconds(all, samples, |shard| shard.reactor.poll_nanos),
    ),
    family(
        "ringlog_shard_wait_seconds_total",
        Kind::Counter,
        SHARD,
        "Time in which it had nothing to do.",
        |all, samples| seconds(all, samples, |shard| shard.reactor.wait_nanos),
    ),
    family(
        "ringlog_shard_turn_seconds",
        Kind::Histogram,
        SHARD,
        "Time of each turn of a shard's loop, in which nobody else on it has his turn.",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                samples.put_histogram(&[index.into()], &shard.reactor.busy, NANOS_PER_SECOND);
            }
        },
    ),
    family("ringlog_shard_tasks", Kind::Gauge, SHARD, "Tasks of a shard that have not ended.", |all, samples| {
        shards(all, samples, |shard| count(shard.reactor.tasks));
    }),
    family("ringlog_shard_partitions", Kind::Gauge, SHARD, "Partitions of a shard.", |all, samples| {
        shards(all, samples, |shard| count(shard.partitions));
    }),
    family(
        "ringlog_operations_total",
        Kind::Counter,
        SHARD,
        "Operations on files, sockets and signals that a shard has begun.",
        |all, samples| shards(all, samples, |shard| shard.reactor.operations_begun),
    ),
    family(
        "ringlog_disk_operations_in_flight",
        Kind::Gauge,
        SHARD,
        "Operations of the disk that have not ended.",
        |all, samples| shards(all, samples, |shard| count(shard.reactor.file_operations)),
    ),
    family(
        "ringlog_ring_submissions_total",
        Kind::Counter,
        SHARD,
        "Requests queued in a shard's io_uring.",
        |all, samples| rings(all, samples, |ring| ring.submissions),
    ),
    family("ringlog_ring_completions_total", Kind::Counter, SHARD, "Completions taken from it.", |all, samples| {
        rings(all, samples, |ring| ring.completions);
    }),
    family("ringlog_ring_enters_total", Kind::Counter, SHARD, "System calls for it.", |all, samples| {
        rings(all, samples, |ring| ring.enters);
    }),
    family("ringlog_ring_depth", Kind::Gauge, SHARD, "Requests that the kernel has of it.", |all, samples| {
        rings(all, samples, |ring| count(ring.in_flight));
    }),
    family(
        "ringlog_mesh_messages_sent_total",
        Kind::Counter,
        SHARD,
        "Messages from a shard to others.",
        |all, samples| shards(all, samples, |shard| shard.mesh.sent),
    ),
    family("ringlog_mesh_messages_received_total", Kind::Counter, SHARD, "Messages from others.", |all, samples| {
        shards(all, samples, |shard| shard.mesh.received);
    }),
    family(
        "ringlog_mesh_full_total",
        Kind::Counter,
        SHARD,
        "Times that there was no room for a message.",
        |all, samples| shards(all, samples, |shard| shard.mesh.full),
    ),
    family("ringlog_mesh_bells_total", Kind::Counter, SHARD, "Shards that slept and were woken.", |all, samples| {
        shards(all, samples, |shard| shard.mesh.rung);
    }),
    family(
        "ringlog_mesh_calls_in_flight",
        Kind::Gauge,
        SHARD,
        "Calls to other shards that are not answered.",
        |all, samples| shards(all, samples, |shard| count(shard.calls_in_flight)),
    ),
    family(
        "ringlog_commit_duration_seconds",
        Kind::Histogram,
        SHARD,
        "Time of each group commit, from its first write to the end of its last one.",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                samples.put_histogram(&[index.into()], &shard.store.commit_time, NANOS_PER_SECOND);
            }
        },
    ),
    family(
        "ringlog_commit_size_bytes",
        Kind::Histogram,
        SHARD,
        "Bytes of batches in each group commit.",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                samples.put_histogram(&[index.into()], &shard.store.commit_bytes, 1.0);
            }
        },
    ),
    family(
        "ringlog_commit_partitions_total",
        Kind::Counter,
        SHARD,
        "Partitions that took part in group commits.",
        |all, samples| shards(all, samples, |shard| shard.store.commit_partitions),
    ),
    family(
        "ringlog_journal_written_bytes_total",
        Kind::Counter,
        SHARD,
        "Bytes of batches that group commits wrote to the journal.",
        |all, samples| shards(all, samples, |shard| shard.store.journaled_bytes),
    ),
    family(
        "ringlog_segment_written_bytes_total",
        Kind::Counter,
        SHARD,
        "Bytes of batches that group commits wrote straight to segments.",
        |all, samples| shards(all, samples, |shard| shard.store.direct_bytes),
    ),
    family(
        "ringlog_journal_used_bytes",
        Kind::Gauge,
        SHARD,
        "Bytes of the journal that a restart would read.",
        |all, samples| shards(all, samples, |shard| shard.usage.journal_bytes),
    ),
    family("ringlog_journal_limit_bytes", Kind::Gauge, SHARD, "The most that the journal takes.", |all, samples| {
        shards(all, samples, |shard| shard.usage.journal_bytes_max);
    }),
    family(
        "ringlog_sync_duration_seconds",
        Kind::Histogram,
        SHARD,
        "Time of each group sync of segments.",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                samples.put_histogram(&[index.into()], &shard.store.sync_time, NANOS_PER_SECOND);
            }
        },
    ),
    family(
        "ringlog_reads_total",
        Kind::Counter,
        &["shard", "from"],
        "Reads of partitions, by where they were answered from: tail and cache are memory.",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                let store = &shard.store;
                for (from, reads) in [
                    ("tail", store.reads_from_tail),
                    ("cache", store.reads_from_cache),
                    ("disk", store.reads_from_disk),
                ] {
                    samples.put(&[index.into(), from.into()], reads);
                }
            }
        },
    ),
    family("ringlog_reads_in_flight", Kind::Gauge, SHARD, "Reads that wait for the disk.", |all, samples| {
        shards(all, samples, |shard| count(shard.usage.reads_in_flight));
    }),
    family(
        "ringlog_disk_state",
        Kind::Gauge,
        &["shard", "state"],
        "1 for what the disk lets a shard do: good, full (nothing new is taken), failed (until a restart).",
        |all, samples| {
            for (index, shard) in all.shards.iter().enumerate() {
                for (state, of) in [("good", Disk::Good), ("full", Disk::Full), ("failed", Disk::Failed)] {
                    samples.put(&[index.into(), state.into()], shard.disk == of);
                }
            }
        },
    ),
    family(
        "ringlog_fenced_partitions",
        Kind::Gauge,
        SHARD,
        "Partitions that take nothing until a restart, because a write failed.",
        |all, samples| shards(all, samples, |shard| shard.store.fenced_partitions),
    ),
    family(
        "ringlog_disk_capacity_bytes",
        Kind::Gauge,
        &[],
        "Bytes of the file system of the data directory.",
        |all, samples| {
            all.space.iter().for_each(|(total, _)| samples.put(&[], *total));
        },
    ),
    family("ringlog_disk_free_bytes", Kind::Gauge, &[], "Bytes of it that are free.", |all, samples| {
        all.space.iter().for_each(|(_, free)| samples.put(&[], *free));
    }),
    family("ringlog_groups", Kind::Gauge, &["type", "state"], "Groups, by type and state.", |all, samples| {
        let mut counts = std::collections::BTreeMap::<_, u64>::new();
        for group in &all.groups {
            *counts.entry((group.group_type, group.state)).or_default() += 1;
        }
        for ((group_type, state), count) in counts {
            samples.put(&[group_type.into(), state.into()], count);
        }
    }),
    Family {
        name: "ringlog_group_rebalances_total",
        kind: Kind::Counter,
        set: FamilySet::Ringlog,
        help: "Rebalances of a group since there is one: its generation, or its epoch where it speaks the consumer protocol.",
        labels: &["group"],
        source: Source::Groups(|row, samples| samples.put(&[row.group.as_ref().into()], i64::from(row.epoch))),
    },
    Family {
        name: "ringlog_partition_messages_in_total",
        kind: Kind::Counter,
        set: FamilySet::Ringlog,
        help: "Records appended to a partition since the start, or since its shard has it.",
        labels: &["topic", "partition"],
        source: Source::Partitions(|_, row, samples| samples.put(&row.labels(), row.traffic.messages_in)),
    },
    Family {
        name: "ringlog_partition_bytes_in_total",
        kind: Kind::Counter,
        set: FamilySet::Ringlog,
        help: "Bytes of batches appended to a partition since the start, or since its shard has it.",
        labels: &["topic", "partition"],
        source: Source::Partitions(|_, row, samples| samples.put(&row.labels(), row.traffic.bytes_in)),
    },
    family(
        "ringlog_log_lines_dropped_total",
        Kind::Counter,
        &[],
        "Lines of the log that were dropped, because they came faster than whoever reads it takes them.",
        |all, samples| samples.put(&[], all.log_lines_dropped),
    ),
    family(
        "ringlog_metrics_rows_left_out",
        Kind::Gauge,
        &[],
        "Partitions and committed offsets that this scrape has no samples of, because there are too many.",
        |all, samples| samples.put(&[], all.left_out),
    ),
];

fn rings(all: &Gathered, samples: &mut Samples<'_>, tell: impl Fn(&ringlog_reactor::RingCounts) -> u64) {
    for (index, shard) in all.shards.iter().enumerate() {
        if let Some(ring) = &shard.reactor.ring {
            samples.put(&[index.into()], tell(ring));
        }
    }
}

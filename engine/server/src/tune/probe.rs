//! `ringlog tune probe`: what the machine is.

use ringlog_reactor::BackendChoice;
use ringlog_tuning::{Bound, DiskFigures, Interface, Machine, Plan, Point, Resources, Storage, bounds, bytes, measure};
use serde::Serialize;

use super::PlaceArguments;
use crate::output::{self, Form, table};
use crate::start::settings::wishes;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Do not measure the disk, which takes two to three seconds and 64 MiB of space in the data directory, or in the nearest
    /// directory above that exists.
    #[arg(long)]
    no_disk: bool,
    /// The form of what is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// What is told.
#[derive(Debug, Serialize)]
struct Probed {
    #[serde(flatten)]
    machine: Machine,
    disk: Option<DiskFigures>,
    /// What bounds a producer of large batches, the least first.
    bounds: Vec<Bound>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (machine, broker) = arguments.place.read()?;
    let plan: Plan = ringlog_tuning::plan(&machine.resources, &wishes(&broker))?;
    let directory = machine.storage.as_ref().map(|storage| storage.directory.clone());
    let is_measured = arguments.place.is_running() && !arguments.no_disk;
    let directory = directory.filter(|_| is_measured);
    let disk = directory.map(|directory| measure(&directory, BackendChoice::Auto)).transpose()?;
    let bounds = bounds(&machine, &plan, disk.as_ref());
    output::print(arguments.output, &Probed { machine, disk, bounds }, described)
}

type Row = [String; 2];

fn row(what: &str, value: impl Into<String>) -> Row {
    [what.to_owned(), value.into()]
}

fn described(probed: &Probed) -> String {
    let Probed { machine, disk, bounds } = probed;
    let mut rows = processors(machine);
    rows.extend(memory(machine));
    rows.extend(limits(&machine.resources));
    rows.extend(kernel(machine));
    rows.extend(machine.interfaces.iter().map(interface));
    rows.extend(machine.storage.iter().flat_map(|storage| storage_rows(storage, &machine.resources)));
    rows.extend(disk.iter().flat_map(disk_rows));
    rows.extend(bounds.iter().map(|bound| {
        row(&format!("bound by {}", bound.resource), format!("{} MB/s: {}", bound.mb_per_second, bound.because))
    }));
    table(["WHAT", "VALUE"], &rows)
}

/// What nobody tells.
fn or_unknown(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "unknown".to_owned(), |text| text.to_string())
}

fn processors(machine: &Machine) -> Vec<Row> {
    let resources = &machine.resources;
    let cores = resources.cpus.iter().filter(|cpu| cpu.core == cpu.number).count();
    let mut rows = vec![
        row("processors", format!("{} on {cores} cores", resources.cpus.len())),
        row("allowed", or_unknown(resources.allowed.as_ref())),
    ];
    if !resources.isolated.is_empty() {
        rows.push(row("isolated", resources.isolated.to_string()));
    }
    for node in &machine.nodes {
        let value = format!("processors {}, {}", node.cpus, or_unknown(node.memory_bytes.map(bytes)));
        rows.push(row(&format!("node {}", node.number), value));
    }
    for cache in &machine.caches {
        let (count, size) = (cache.count, bytes(cache.bytes));
        let value = format!("{count} of {size}, the first for {}", cache.shared_by);
        rows.push(row(&format!("cache L{} {}", cache.level, cache.kind.to_lowercase()), value));
    }
    for (governor, cpus) in &machine.governors {
        rows.push(row("governor", format!("{governor} of {cpus}")));
    }
    rows.push(row("clocksource", or_unknown(machine.kernel.clocksource.as_ref())));
    rows.push(row("interrupts go to", or_unknown(machine.interrupts.as_ref())));
    rows
}

fn memory(machine: &Machine) -> Vec<Row> {
    let available = or_unknown(machine.memory_available_bytes.map(bytes));
    let swap = or_unknown(machine.swap_bytes.map(bytes));
    let all = or_unknown(machine.resources.memory_bytes.map(bytes));
    vec![
        row("memory", format!("{all}, {available} available, swap {swap}")),
        row("huge pages", or_unknown(machine.kernel.transparent_hugepage.as_ref())),
    ]
}

fn limits(resources: &Resources) -> Vec<Row> {
    let group = &resources.control_group;
    let memory = group.memory_bytes.map_or_else(|| "unlimited".to_owned(), bytes);
    let cores = |millis: u64| format!("{}.{:03} cores", millis / 1000, millis % 1000);
    let time = group.cpu_millis.map_or_else(|| "unlimited".to_owned(), cores);
    let locked = resources.memlock_bytes.map_or_else(|| "unlimited".to_owned(), bytes);
    vec![
        row("control group", format!("memory {memory}, processor time {time}")),
        row("limits", format!("{} file descriptors, locked memory {locked}", or_unknown(resources.descriptors))),
    ]
}

fn kernel(machine: &Machine) -> Vec<Row> {
    let uring = match &machine.uring {
        None => "not asked".to_owned(),
        Some(uring) => match (&uring.refusal, uring.missing_operations.as_slice()) {
            (Some(refusal), _) => format!("refused: {refusal}"),
            (None, []) => "allowed, with all operations".to_owned(),
            (None, missing) => format!("allowed, without {}", missing.join(", ")),
        },
    };
    let mut rows = vec![row("kernel", or_unknown(machine.kernel.release.as_ref())), row("io_uring", uring)];
    rows.extend(machine.kernel.sysctls.iter().map(|(name, value)| row(name, value.clone())));
    rows
}

fn interface(interface: &Interface) -> Row {
    let speed = interface.speed_mbit.map_or_else(|| "speed unknown".to_owned(), |speed| format!("{speed} Mbit/s"));
    let state = if interface.is_up { "up" } else { "down" };
    let (mtu, queues) = (or_unknown(interface.mtu), interface.receive_queues);
    row(
        &format!("interface {}", interface.name),
        format!("{state}, {speed}, packets of {mtu}, {queues} receive queues"),
    )
}

fn storage_rows(storage: &Storage, resources: &Resources) -> Vec<Row> {
    let mut rows = vec![row("data directory", storage.directory.display().to_string())];
    let space = resources.space.map(|space| {
        let (free, all) = (bytes(space.free_bytes), bytes(space.total_bytes));
        format!(", {free} of {all} free")
    });
    let (kind, point, source) = (&storage.file_system, storage.mount_point.display(), &storage.source);
    rows.push(row("file system", format!("{kind} of {source} at {point}{}", space.unwrap_or_default())));
    rows.push(row("mount options", storage.options.join(",")));
    if let Some(device) = &storage.device {
        let heads = match device.is_rotational {
            Some(true) => "rotational",
            Some(false) => "not rotational",
            None => "rotational or not",
        };
        let blocks = (or_unknown(device.logical_block_bytes), or_unknown(device.physical_block_bytes));
        let value = format!(
            "{}, {heads}, blocks of {} and {}, scheduler {}, {} requests, {}",
            device.name,
            blocks.0,
            blocks.1,
            or_unknown(device.scheduler.as_ref()),
            or_unknown(device.requests),
            or_unknown(device.write_cache.as_ref())
        );
        rows.push(row("disk", value));
    }
    rows
}

fn disk_rows(disk: &DiskFigures) -> Vec<Row> {
    let direct = if disk.is_direct { "past the page cache" } else { "through the page cache" };
    let mut rows = vec![row("measured", format!("{direct}, on {}", bytes(disk.file_bytes)))];
    rows.extend(disk.flushes.iter().map(|flush| {
        let size = bytes(u64::try_from(flush.bytes).unwrap_or(u64::MAX));
        row(
            &format!("flush of {size}"),
            format!("p50 {} us, p99 {} us, {} flushes", flush.p50_us, flush.p99_us, flush.count),
        )
    }));
    rows.push(row("durable writes of 1 MiB", format!("{} MB/s", disk.write_mb_per_second)));
    rows.extend([
        row("durable writes of 4 KiB", curve(&disk.write_curve)),
        row("reads of 4 KiB", curve(&disk.read_curve)),
    ]);
    rows
}

fn curve(points: &[Point]) -> String {
    let point = |point: &Point| format!("{} at a time {}/s (p50 {} us)", point.depth, point.per_second, point.p50_us);
    points.iter().map(point).collect::<Vec<_>>().join(", ")
}

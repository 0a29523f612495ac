//! The kernel: whether it has what the reactor needs, its limits, and how it deals with memory.

use ringlog_reactor::Limits;

use crate::check::{Item, Needs};
use crate::knob::Knob;
use crate::machine::Machine;
use crate::plan::{Plan, bytes};

/// The first kernel whose rings have all that a shard sets up.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// With fewer descriptors than this a broker warns at its start.
const DESCRIPTORS_MIN: u64 = 4096;
/// Enough for some thousand partitions and connections.
const DESCRIPTORS_WANTED: u64 = 65_536;
/// What the kernel has by default; large pieces of memory are mappings of their own.
const MAPS_MIN: u64 = 65_530;
/// A dirty page cache of other programs is written before a flush returns.
const DIRTY_PERCENT_MAX: u64 = 20;
const DIRTY_BACKGROUND_PERCENT_MAX: u64 = 10;

pub(super) fn check(machine: &Machine, plan: &Plan, needs: Needs) -> Vec<Item> {
    let mut items = vec![
        version(machine, needs),
        uring(machine, needs),
        descriptors(machine),
        memlock(machine, plan),
        memory(machine, plan),
        huge_pages(machine),
        swappiness(machine),
        at_least(
            machine,
            "memory mappings",
            "vm.max_map_count",
            MAPS_MIN,
            "Large pieces of memory are mapped one by one.",
        ),
        dirty(machine),
    ];
    if machine.nodes.len() > 1 {
        let because =
            "Pinned shards allocate where they run; moving their pages costs faults and finds nothing better.";
        items.push(zero(machine, "numa balancing", "kernel.numa_balancing", because));
        let because = "The kernel would rather drop caches of a node than use the memory of another.";
        items.push(zero(machine, "zone reclaim", "vm.zone_reclaim_mode", because));
    }
    items
}

fn version(machine: &Machine, needs: Needs) -> Item {
    const NAME: &str = "kernel";
    let (major, minor) = KERNEL_MIN;
    let wanted = format!("{major}.{minor} or later");
    let Some((version, release)) = machine.kernel.version().zip(machine.kernel.release.clone()) else {
        return Item::unknown(NAME, wanted);
    };
    let item = Item::new(NAME, release, wanted);
    if version >= KERNEL_MIN {
        return item;
    }
    without_uring(item, needs, "install a newer kernel")
}

/// Degrades to the posix backend, or does not start.
fn without_uring(item: Item, needs: Needs, remedy: impl Into<String>) -> Item {
    if needs.uring {
        return item.fail("ringlog.backend=uring asks for io_uring by name, so a broker does not start.", remedy);
    }
    item.warn("The posix backend runs instead: more CPU for each request, a thread for every disk operation.", remedy)
}

fn uring(machine: &Machine, needs: Needs) -> Item {
    const NAME: &str = "io_uring";
    const SYSCTL: &str = "kernel.io_uring_disabled";
    let wanted = "allowed";
    let disabled = machine.kernel.sysctl(SYSCTL).filter(|value| *value > 0);
    if let Some(value) = disabled {
        let item = Item::new(NAME, format!("{SYSCTL}={value}"), wanted);
        let works = machine.uring.as_ref().is_some_and(|uring| uring.refusal.is_none());
        // 1 lets in those of a group, and the administrator.
        return if works { item } else { without_uring(item, needs, format!("sysctl -w {SYSCTL}=0")) };
    }
    let Some(uring) = &machine.uring else { return Item::unknown(NAME, wanted) };
    if let Some(refusal) = &uring.refusal {
        let remedy =
            "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container";
        return without_uring(Item::new(NAME, format!("refused: {refusal}"), wanted), needs, remedy);
    }
    if uring.missing_operations.is_empty() {
        return Item::new(NAME, "allowed", wanted);
    }
    let item = Item::new(NAME, format!("without {}", uring.missing_operations.join(", ")), wanted);
    item.warn(
        "The rare operations that are missing fail on this kernel.",
        "install a newer kernel, or start with --backend posix",
    )
}

fn descriptors(machine: &Machine) -> Item {
    const NAME: &str = "file descriptors";
    let wanted = format!("{DESCRIPTORS_WANTED} or more");
    let Some(descriptors) = machine.resources.descriptors else { return Item::unknown(NAME, wanted) };
    let measured = if descriptors == u64::MAX { "unlimited".to_owned() } else { descriptors.to_string() };
    let item = Item::new(NAME, measured, wanted);
    let because = "Each connection takes one, and each partition that is used one or more.";
    let remedy = "LimitNOFILE=1048576 in the service, ulimit -Hn 1048576 in a shell, --ulimit nofile=1048576 of docker";
    match descriptors {
        DESCRIPTORS_WANTED.. => item,
        DESCRIPTORS_MIN.. => item.warn(because, remedy),
        _ => item.fail(because, remedy),
    }
}

fn memlock(machine: &Machine, plan: &Plan) -> Item {
    let shards = u64::try_from(plan.shards.len()).unwrap_or(u64::MAX);
    let limits = Limits { ring_entries: Limits::default().ring_entries, ..plan.limits };
    let needed = limits.ring_bytes().saturating_mul(shards).saturating_mul(2);
    let Some(locked) = machine.resources.memlock_bytes else {
        return Item::new("locked memory", "without a limit", bytes(needed) + " or more");
    };
    let item = Item::new("locked memory", bytes(locked), bytes(needed) + " or more");
    if locked >= needed {
        return item;
    }
    let because = "Newer kernels count rings as locked memory; the plan makes them smaller than it would.";
    item.warn(because, format!("LimitMEMLOCK={needed} in the service, --ulimit memlock={needed} of docker"))
}

fn memory(machine: &Machine, plan: &Plan) -> Item {
    const NAME: &str = "memory";
    let shards = u64::try_from(plan.shards.len()).unwrap_or(u64::MAX);
    let budget = plan.shard_memory_bytes.saturating_mul(shards);
    let wanted = format!("the budget of {}, and as much again for the kernel", bytes(budget));
    let resources = &machine.resources;
    let Some(memory) = resources.memory_bytes.into_iter().chain(resources.control_group.memory_bytes).min() else {
        return Item::unknown(NAME, wanted);
    };
    let item = Item::new(NAME, bytes(memory), wanted);
    let remedy = "set ringlog.memory to half of what there is, or less; or take fewer cores";
    if budget > memory {
        return item.fail("The budget is more than there is: the kernel would end the broker.", remedy);
    }
    if budget.saturating_mul(10) > memory.saturating_mul(8) {
        return item.warn("Little is left for sockets, metadata and the page cache.", remedy);
    }
    item
}

fn huge_pages(machine: &Machine) -> Item {
    const NAME: &str = "transparent huge pages";
    let wanted = "madvise";
    let Some(mode) = &machine.kernel.transparent_hugepage else { return Item::unknown(NAME, wanted) };
    let item = Item::new(NAME, mode.clone(), wanted);
    let because = match mode.as_str() {
        "madvise" => return item,
        "never" => "Large pieces of memory ask for huge pages; without, large batches cost a fifth more CPU.",
        _ => "Small allocations grow to 2 MiB each, and the kernel stops to make room for them.",
    };
    item.warn_and_set(because, vec![(Some(Knob::TransparentHugepage), wanted.to_owned())])
}

fn swappiness(machine: &Machine) -> Item {
    const NAME: &str = "swappiness";
    let wanted = "1 or less, or no swap";
    let Some(value) = machine.kernel.sysctl("vm.swappiness") else { return Item::unknown(NAME, wanted) };
    if machine.swap_bytes == Some(0) {
        return Item::new(NAME, format!("{value}, no swap"), wanted);
    }
    let item = Item::new(NAME, value.to_string(), wanted);
    if value <= 1 {
        return item;
    }
    let because = "A broker's memory that was swapped out holds up a whole shard until it is back.";
    item.warn_and_set(because, vec![(Knob::sysctl("vm.swappiness"), "1".to_owned())])
}

fn dirty(machine: &Machine) -> Item {
    const NAME: &str = "dirty pages";
    let wanted = format!("{DIRTY_BACKGROUND_PERCENT_MAX}% and {DIRTY_PERCENT_MAX}% or less");
    let settings = [("vm.dirty_background_ratio", DIRTY_BACKGROUND_PERCENT_MAX), ("vm.dirty_ratio", DIRTY_PERCENT_MAX)];
    let values = settings.map(|(name, _)| machine.kernel.sysctl(name));
    let [Some(background), Some(all)] = values else { return Item::unknown(NAME, wanted) };
    let item = Item::new(NAME, format!("{background}% and {all}%"), wanted);
    let over = settings.iter().zip([background, all]).filter(|((_, most), value)| value > most);
    let changes: Vec<_> = over.map(|((name, most), _)| (Knob::sysctl(name), most.to_string())).collect();
    if changes.is_empty() {
        return item;
    }
    item.warn_and_set(
        "What other programs have not written yet is in the way of a flush when it is written at last.",
        changes,
    )
}

/// A setting with a least value.
pub(super) fn at_least(machine: &Machine, name: &'static str, sysctl: &str, least: u64, because: &str) -> Item {
    let wanted = format!("{least} or more");
    let Some(value) = machine.kernel.sysctl(sysctl) else { return Item::unknown(name, wanted) };
    let item = Item::new(name, value.to_string(), wanted);
    if value >= least { item } else { item.warn_and_set(because, vec![(Knob::sysctl(sysctl), least.to_string())]) }
}

/// A setting that should be off.
fn zero(machine: &Machine, name: &'static str, sysctl: &str, because: &str) -> Item {
    let Some(value) = machine.kernel.sysctl(sysctl) else { return Item::unknown(name, "0") };
    let item = Item::new(name, value.to_string(), "0");
    if value == 0 { item } else { item.warn_and_set(because, vec![(Knob::sysctl(sysctl), "0".to_owned())]) }
}

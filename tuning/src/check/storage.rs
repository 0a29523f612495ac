//! The data directory: its file system, how it is mounted, its disk, its space.

use crate::check::{Item, percent};
use crate::knob::Knob;
use crate::machine::{BlockDevice, Machine, Storage};
use crate::plan::{Plan, bytes};

/// Direct writes are made of such blocks.
const BLOCK_BYTES: u64 = 4096;
/// What a broker keeps back for deletes, commits and metadata.
const RESERVE_BYTES: u64 = 256 << 20;
/// Below this part of free space file systems take longer to find some.
const FREE_PERCENT_MIN: u64 = 10;

pub(super) fn check(machine: &Machine, plan: &Plan) -> Vec<Item> {
    let Some(storage) = &machine.storage else {
        return vec![Item::unknown("file system", "xfs or ext4"), space(machine, plan)];
    };
    let mut items = vec![file_system(storage), mount_options(storage), space(machine, plan)];
    match &storage.device {
        None => items.push(Item::unknown("disk", "a disk of this machine")),
        Some(device) => items.extend([blocks(device), kind(device), scheduler(device), write_cache(device)]),
    }
    items
}

fn file_system(storage: &Storage) -> Item {
    let kind = storage.file_system.as_str();
    let item = Item::new("file system", format!("{kind} at {}", storage.mount_point.display()), "xfs or ext4");
    let remedy = "put log.dirs on a disk with XFS or ext4";
    match kind {
        "xfs" | "ext4" => item,
        "tmpfs" | "ramfs" => item.fail("It is memory: what was acknowledged is gone with the machine.", remedy),
        "overlay" => item
            .warn("It is the container's own layer: slow, and gone with the container.", "mount a volume at log.dirs"),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" | "ceph" | "lustre" => {
            item.warn("What is durable is what the other side says.", remedy)
        }
        other if other.starts_with("fuse") => item.warn("What is durable is what a program says.", remedy),
        _ => item
            .warn("It copies on write, or is not known to keep flushes cheap: latency was not measured on it.", remedy),
    }
}

fn mount_options(storage: &Storage) -> Item {
    let has = |option: &str| storage.options.iter().any(|known| known == option);
    let point = storage.mount_point.display();
    let item = Item::new("mount options", storage.options.join(","), "rw,noatime with barriers");
    if has("ro") {
        return item.fail("Nothing can be written.", format!("mount -o remount,rw {point}"));
    }
    if let Some(option) = ["nobarrier", "barrier=0"].into_iter().find(|option| has(option)) {
        let because = "Flushes do not reach the disk, so what was acknowledged is lost with the power.";
        return item.fail(because, format!("mount -o remount,barrier {point} (in place of {option})"));
    }
    if has("data=journal") {
        let because = "Everything is written twice, and no write goes past the page cache.";
        return item.warn(because, "mount with data=ordered: take data=journal out of /etc/fstab");
    }
    if let Some(option) = ["sync", "strictatime"].into_iter().find(|option| has(option)) {
        let because = "The file system writes with every operation.";
        let instead = if option == "sync" { "async" } else { "noatime" };
        return item.warn(because, format!("mount -o remount,{instead} {point}"));
    }
    if has("discard") {
        let because = "The disk is told of every deleted file at once, and flushes wait for that.";
        return item.warn(because, format!("mount -o remount,nodiscard {point}; systemctl enable --now fstrim.timer"));
    }
    item
}

fn space(machine: &Machine, plan: &Plan) -> Item {
    const NAME: &str = "free space";
    let shards = u64::try_from(plan.shards.len()).unwrap_or(u64::MAX);
    let least = plan.journal_bytes.saturating_mul(shards).saturating_add(RESERVE_BYTES);
    let wanted = format!("{} for journals, and {FREE_PERCENT_MIN}%", bytes(least));
    let Some(space) = machine.resources.space else { return Item::unknown(NAME, wanted) };
    let share = percent(space.free_bytes, space.total_bytes);
    let item = Item::new(NAME, format!("{}, {share}%", bytes(space.free_bytes)), wanted);
    if space.free_bytes < least {
        let remedy = "make room, or set ringlog.journal.bytes lower";
        return item.fail("Journals do not fit, so nothing can be acknowledged for long.", remedy);
    }
    if share < FREE_PERCENT_MIN {
        return item.warn("Producers are refused when it is used up.", "make room, or set log.retention.bytes");
    }
    item
}

fn blocks(device: &BlockDevice) -> Item {
    const NAME: &str = "block size";
    let wanted = format!("{BLOCK_BYTES} bytes or less");
    let Some(logical) = device.logical_block_bytes else { return Item::unknown(NAME, wanted) };
    let item = Item::new(NAME, format!("{}: {logical} bytes", device.name), wanted);
    if logical <= BLOCK_BYTES {
        return item;
    }
    item.fail(
        "Writes of 4 KiB cannot go past the page cache on this disk.",
        "format the disk with blocks of 4096 bytes (nvme format --lbaf)",
    )
}

fn kind(device: &BlockDevice) -> Item {
    const NAME: &str = "disk";
    let wanted = "an SSD, better NVMe";
    let Some(is_rotational) = device.is_rotational else { return Item::unknown(NAME, wanted) };
    // Virtual disks say that they have heads unless somebody told them otherwise.
    if is_rotational && ["vd", "xvd"].iter().any(|prefix| device.name.starts_with(prefix)) {
        return Item { measured: format!("{}, virtual", device.name), ..Item::unknown(NAME, wanted) };
    }
    let what = if is_rotational { "rotating" } else { "solid state" };
    let item = Item::new(NAME, format!("{}, {what}", device.name), wanted);
    if !is_rotational {
        return item;
    }
    item.warn(
        "A flush waits for the platter: some 10 ms for each group of acknowledgements.",
        "use an SSD for log.dirs",
    )
}

fn scheduler(device: &BlockDevice) -> Item {
    const NAME: &str = "disk scheduler";
    let good = ["none", "mq-deadline", "deadline", "noop"];
    let wanted = "none or mq-deadline";
    let Some(scheduler) = &device.scheduler else { return Item::unknown(NAME, wanted) };
    let item = Item::new(NAME, format!("{}: {scheduler}", device.name), wanted);
    if good.contains(&scheduler.as_str()) {
        return item;
    }
    let because = "It holds requests back to be fair to programs, and takes CPU for each.";
    let preferred = if device.is_rotational == Some(true) { "mq-deadline" } else { "none" };
    let offered = |name: &str| device.schedulers.iter().any(|known| known == name);
    match [preferred, "none", "mq-deadline"].into_iter().find(|name| offered(name)) {
        Some(better) => item.warn_and_set(because, vec![(Knob::scheduler(&device.name), better.to_owned())]),
        None => item.warn(because, "the kernel offers no other one"),
    }
}

fn write_cache(device: &BlockDevice) -> Item {
    const NAME: &str = "write cache";
    let wanted = "write through, or flushes";
    match device.write_cache.as_deref() {
        None => Item::unknown(NAME, wanted),
        Some("write back") => Item::new(NAME, format!("{}: write back, flushed for each group", device.name), wanted),
        Some(other) => Item::new(NAME, format!("{}: {other}", device.name), wanted),
    }
}

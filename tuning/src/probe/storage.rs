//! What a directory lies on: its mount, its file system, its disk.

use std::path::{Path, PathBuf};

use crate::machine::{BlockDevice, Storage};
use crate::tree::{Tree, choices, selected};

/// The mount that holds `directory`, and its disk.
pub(super) fn read(tree: &Tree<'_>, directory: &Path) -> Option<Storage> {
    let mounts = tree.text("proc/self/mountinfo")?;
    let mount = mount_of(&mounts, directory)?;
    Some(Storage {
        directory: directory.to_owned(),
        device: device(tree, &mount),
        mount_point: mount.point,
        file_system: mount.file_system,
        source: mount.source,
        options: mount.options,
    })
}

struct Mount {
    /// `254:0`
    device: String,
    point: PathBuf,
    file_system: String,
    source: String,
    options: Vec<String>,
}

/// The mount that a path is on: the one with the longest mount point, and of two at one point the later one.
fn mount_of(mounts: &str, directory: &Path) -> Option<Mount> {
    let mounts = mounts.lines().filter_map(parse).filter(|mount| directory.starts_with(&mount.point));
    mounts.max_by_key(|mount| mount.point.components().count())
}

/// A line of `/proc/self/mountinfo`: `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue`.
fn parse(line: &str) -> Option<Mount> {
    let (mount, super_block) = line.split_once(" - ")?;
    let mount: Vec<&str> = mount.split(' ').collect();
    let super_block: Vec<&str> = super_block.split(' ').collect();
    let [_, _, device, _, point, of_mount, ..] = mount.as_slice() else { return None };
    let [file_system, source, of_file_system] = super_block.as_slice() else { return None };
    let mut options: Vec<String> = Vec::new();
    for option in of_mount.split(',').chain(of_file_system.split(',')) {
        if !options.iter().any(|known| known == option) {
            options.push(option.to_owned());
        }
    }
    Some(Mount {
        device: (*device).to_owned(),
        point: PathBuf::from(unescaped(point)),
        file_system: (*file_system).to_owned(),
        source: unescaped(source),
        options,
    })
}

/// Blanks, tabs, line ends and backslashes of a path are written as three octal digits.
fn unescaped(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// The disk of a mount. File systems with several disks have no number of a disk, but name one as their source.
fn device(tree: &Tree<'_>, mount: &Mount) -> Option<BlockDevice> {
    let source = mount.source.strip_prefix("/dev/").filter(|name| !name.contains('/'));
    let by_number = (!mount.device.starts_with("0:")).then(|| format!("sys/dev/block/{}", mount.device));
    let by_name = source.map(|name| format!("sys/class/block/{name}"));
    let own = by_number.into_iter().chain(by_name).find(|path| tree.has(path))?;
    // Both are links to the folder of the disk, or of a partition, which lies in that of its disk.
    let own = tree.path(own).canonicalize().ok()?;
    let disk = if own.join("partition").exists() { own.parent()?.to_owned() } else { own };
    let name = disk.file_name()?.to_str()?.to_owned();
    let queue = Tree::new(&disk);
    let scheduler = queue.text("queue/scheduler");
    Some(BlockDevice {
        name,
        logical_block_bytes: queue.number("queue/logical_block_size"),
        physical_block_bytes: queue.number("queue/physical_block_size"),
        is_rotational: queue.number("queue/rotational").map(|rotational| rotational != 0),
        scheduler: scheduler.as_deref().map(|text| selected(text).to_owned()),
        schedulers: scheduler.as_deref().map(choices).unwrap_or_default(),
        requests: queue.number("queue/nr_requests"),
        write_cache: queue.text("queue/write_cache"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        28 27 0:5 / /var/lib rw shared:1 - tmpfs none rw\n\
        29 27 254:1 / /var/lib/a\\040b rw,noatime - xfs /dev/vdb1 rw,noquota\n\
        30 27 254:2 / /var rw - xfs /dev/vdc rw\nnonsense\n1 2 - a\n";

    #[test]
    fn the_deepest_mount_holds_a_path() {
        let mount = |path: &str| mount_of(MOUNTS, Path::new(path)).map(|mount| mount.source);
        assert_eq!(mount("/var/lib/a b/data").as_deref(), Some("/dev/vdb1"));
        assert_eq!(mount("/var/lib/a").as_deref(), Some("none"));
        assert_eq!(mount("/variable").as_deref(), Some("/dev/vda"));
        let both = mount_of(MOUNTS, Path::new("/var/lib/a b")).expect("it is there").options;
        assert_eq!(both, ["rw", "noatime", "noquota"]);
        assert!(mount_of("", Path::new("/")).is_none());
    }
}

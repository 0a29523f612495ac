//! The facts of the machine that a figure belongs to, and its disk's count of flushes.

use std::fmt;
use std::fs;
use std::os::linux::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::usage::DiskUsage;

/// What the machine is.
#[derive(Debug)]
pub(crate) struct Facts {
    cores: usize,
    processor: String,
    kernel: String,
    memory: String,
    file_system: String,
    load: String,
}

impl Facts {
    pub(crate) const fn cores(&self) -> usize {
        self.cores
    }

    /// Reads them; the file system is that of `folder`.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let processors = read("/proc/cpuinfo")?;
        let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
        let processor = ["model name", "cpu family", "model", "stepping"].map(|name| field(&processors, name));
        let [name, family, model, stepping] = processor.map(Option::unwrap_or_default);
        let load = read("/proc/loadavg")?;
        Ok(Self {
            cores,
            processor: format!("{name} (family {family}, model {model}, stepping {stepping})"),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            memory: field(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default(),
            file_system: file_system(&read("/proc/mounts")?, &folder.canonicalize()?),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "machine: {} cores, {}; Linux {}; {}; {}; load {} before the first run",
            self.cores, self.processor, self.kernel, self.memory, self.file_system, self.load
        )
    }
}

/// Device, type and place of the mount that holds `folder`.
fn file_system(mounts: &str, folder: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let of_folder = mounts.filter(|(_, at, _)| folder.starts_with(at)).max_by_key(|(_, at, _)| at.len());
    of_folder.map_or_else(String::new, |(device, _, kind)| format!("{kind} on {device}"))
}

/// The `stat` file of the whole disk that holds `folder`.
pub(crate) fn disk_stat(folder: &Path) -> anyhow::Result<PathBuf> {
    let device = fs::metadata(folder).with_context(|| folder.display().to_string())?.st_dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let own = link.canonicalize().with_context(|| link.display().to_string())?;
    // Flushes are counted for whole disks; a partition's folder lies in that of its disk.
    let of_partition = own.join("partition").exists();
    let disk = if of_partition { own.parent().context("a disk")?.to_owned() } else { own };
    Ok(disk.join("stat"))
}

/// What the disk has done since it is there, for everybody who uses it.
pub(crate) fn disk_usage(disk_stat: &Path) -> anyhow::Result<DiskUsage> {
    let stat = fs::read_to_string(disk_stat).with_context(|| disk_stat.display().to_string())?;
    DiskUsage::parse(&stat)
}

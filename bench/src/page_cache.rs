//! The kernel's page cache of a broker's files, freed, so that what is read next comes from the disk.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{Advice, fadvise, syncfs};

/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 8;

/// Writes back what is not on the disk yet, and lets the kernel forget what it keeps of all files below `folder`. What a
/// process has mapped stays.
pub(crate) fn free(folder: &Path) -> anyhow::Result<()> {
    let opened = File::open(folder).with_context(|| folder.display().to_string())?;
    // Only pages that are on the disk can be forgotten.
    syncfs(&opened).context("writing back what is in memory")?;
    free_below(folder, DEPTH_MAX)
}

fn free_below(folder: &Path, depth: usize) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        // A broker may take away its files at any time.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() && depth > 0 {
            free_below(&path, depth - 1)?;
        } else if let (true, Ok(file)) = (metadata.is_file(), File::open(&path)) {
            fadvise(&file, 0, None, Advice::DontNeed).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_as_they_are() {
        let folder = std::env::temp_dir().join(format!("ringlog-bench-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).expect("a folder");
        let path = folder.join("inner/file");
        fs::write(&path, "kept").expect("a file");
        free(&folder).expect("it is there");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("kept"));
        fs::remove_dir_all(&folder).expect("it is ours");
        assert!(free(&folder).is_err());
    }
}

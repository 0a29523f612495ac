//! Data directories behind the names that they are given by: links, and parts that lead back, may make two names one.

use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use ringlog_cluster::config::check_apart;

/// Looks whether the directories are apart from each other, before anything is made of one.
pub(super) fn check(directories: &[String]) -> anyhow::Result<()> {
    let real = |name: &String| {
        let path = real(Path::new(name)).with_context(|| format!("log.dirs={name}: it cannot be looked at"))?;
        Ok::<_, anyhow::Error>((name.clone(), path))
    };
    let real = directories.iter().map(real).collect::<anyhow::Result<Vec<_>>>()?;
    check_apart(&real).with_context(|| format!("log.dirs={}", directories.join(",")))
}

/// The path from the root without links, as far as there is something; what is to be made lies below that.
fn real(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let mut real = PathBuf::new();
    for component in absolute.components() {
        match component {
            // Behind links, so it leads where it would lead the kernel.
            Component::ParentDir => _ = real.pop(),
            component => real.push(component),
        }
        // What cannot be looked at is told when it is to be used.
        if let Ok(found) = real.canonicalize() {
            real = found;
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use ringlog_kit::folder::Folder;

    use super::*;

    #[test]
    fn names_are_followed_to_what_they_stand_for() {
        let folder = Folder::new("directories");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir_all(path("a/in")).expect("a folder of ours");
        symlink(path("a"), path("link")).expect("a folder of ours");
        symlink("in", path("a/down")).expect("a folder of ours");
        let told = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| path(name)).collect();
            check(&names).map_err(|error| format!("{error:#}").replace(&path(""), ""))
        };
        assert_eq!(told(&["a", "b", "new/c"]).ok(), Some(()));
        for names in [["a", "link"], ["a", "a/../a/"], ["a", "a/down/.."], ["new", "new/x/.."], ["link/new", "a/new"]] {
            let [one, other] = names;
            let expected =
                format!("log.dirs={one},{other}: {one} and {other} are the same directory; name every directory once");
            assert_eq!(told(&names), Err(expected));
        }
        for (inner, outer) in [("link/in", "a"), ("link/new", "a"), ("a/down/x", "a/in")] {
            let expected = format!("{inner} is inside of {outer}; name directories that are apart from each other");
            assert!(told(&[outer, inner]).is_err_and(|told| told.ends_with(&expected)), "{inner}");
            assert!(told(&[inner, outer]).is_err_and(|told| told.ends_with(&expected)), "{inner}");
        }
    }
}

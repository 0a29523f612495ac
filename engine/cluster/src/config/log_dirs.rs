//! The data directories of a broker: which there are (`log.dirs`, `log.dir`), and which of them get no new partitions
//! (`cordoned.log.dirs`, KIP-1066).

use std::path::{Component, Path, PathBuf};

use ringlog_storage::LogDir;
use ringlog_storage::limits::LOG_DIRS_MAX;
use thiserror::Error;

use super::layers::ConfigLayers;
use super::static_config::ConfigError;
use super::value::Value;

/// Stands for all of them in `cordoned.log.dirs`.
const ALL_DIRECTORIES: &str = "*";

/// Two data directories that are not apart from each other.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Overlap {
    /// Both are one.
    #[error("{0} and {1} are the same directory; name every directory once")]
    Same(String, String),
    /// One is in the other, where partitions lie.
    #[error("{inner} is inside of {outer}; name directories that are apart from each other")]
    Inside {
        /// The one that is inside.
        inner: String,
        /// The one around it.
        outer: String,
    },
}

/// Looks whether directories are apart from each other: names, and the paths that they stand for. Only paths without links
/// tell everything.
pub fn check_apart(directories: &[(String, PathBuf)]) -> Result<(), Overlap> {
    for (at, (name, path)) in directories.iter().enumerate() {
        for (before, path_before) in &directories[..at] {
            let (name, before) = (name.clone(), before.clone());
            match (path.starts_with(path_before), path_before.starts_with(path)) {
                (true, true) => return Err(Overlap::Same(before, name)),
                (true, false) => return Err(Overlap::Inside { inner: name, outer: before }),
                (false, true) => return Err(Overlap::Inside { inner: before, outer: name }),
                (false, false) => {}
            }
        }
    }
    Ok(())
}

/// The data directories, at least one. The first is home.
pub(super) fn data_directories(layers: &ConfigLayers<'_>) -> Result<Vec<String>, ConfigError> {
    let directories = named(layers);
    if directories.is_empty() {
        let text = "log.dirs is empty, and so is log.dir where log.dirs is not set; name the data directory";
        return Err(ConfigError::Conflict(text.to_owned()));
    }
    if directories.len() > LOG_DIRS_MAX {
        let text = format!("log.dirs names {} directories; a broker has at most {LOG_DIRS_MAX}", directories.len());
        return Err(ConfigError::Conflict(text));
    }
    // What leads back is judged where links can be followed.
    let leads_back = |path: &PathBuf| path.components().any(|component| component == Component::ParentDir);
    let paths = directories.iter().map(|directory| (directory.clone(), plain(directory)));
    let paths: Vec<_> = paths.filter(|(_, path)| !leads_back(path)).collect();
    match check_apart(&paths) {
        Ok(()) => Ok(directories),
        Err(overlap) => Err(ConfigError::Conflict(format!("log.dirs={}: {overlap}", directories.join(",")))),
    }
}

/// As in Kafka, `log.dirs` counts where it is set, be it to nothing.
fn named(layers: &ConfigLayers<'_>) -> Vec<String> {
    match layers.value("log.dirs") {
        Some(Value::List(directories)) => directories,
        _ => layers.list("log.dir"),
    }
}

/// The path without the parts that lead nowhere. What `..` leads to depends on links, so it stays.
fn plain(directory: &str) -> PathBuf {
    Path::new(directory).components().filter(|component| *component != Component::CurDir).collect()
}

/// The directories that get no new partitions; those that have some keep them. May change while the broker runs.
pub fn cordoned_log_dirs(layers: &ConfigLayers<'_>) -> Vec<LogDir> {
    // What an older release has let through counts as not set.
    cordons(layers).unwrap_or_default()
}

/// Whether no directory gets new partitions.
pub(crate) fn are_all_cordoned(layers: &ConfigLayers<'_>) -> bool {
    cordoned_log_dirs(layers).len() >= named(layers).len()
}

/// As in Kafka, each is named as in `log.dirs`, or `*` alone names all.
pub(super) fn cordons(layers: &ConfigLayers<'_>) -> Result<Vec<LogDir>, String> {
    let (directories, cordoned) = (named(layers), layers.list("cordoned.log.dirs"));
    let refuse = |reason: String| Err(format!("cordoned.log.dirs={}: {reason}", cordoned.join(",")));
    let all = || (0..).map(LogDir::new).take(directories.len());
    if cordoned.iter().any(|name| name == ALL_DIRECTORIES) {
        return match &cordoned[..] {
            [_] => Ok(all().collect()),
            _ => refuse("* names all directories, so nothing else may stand beside it".to_owned()),
        };
    }
    let is_known = |name: &&String| directories.iter().any(|directory| plain(directory) == plain(name));
    if let Some(unknown) = cordoned.iter().find(|name| !is_known(name)) {
        let reason = format!("{unknown} is none of log.dirs={}; name those, or * for all", directories.join(","));
        return refuse(reason);
    }
    let is_cordoned = |dir: &LogDir| cordoned.iter().any(|name| plain(name) == plain(&directories[dir.index()]));
    Ok(all().filter(is_cordoned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, StaticConfig};

    fn apart(paths: &[&str]) -> Result<(), String> {
        let named: Vec<_> = paths.iter().map(|path| ((*path).to_owned(), plain(path))).collect();
        check_apart(&named).map_err(|overlap| overlap.to_string())
    }

    #[test]
    fn directories_are_apart_or_not() {
        assert_eq!(apart(&["/a", "/ab", "a", "/b/c", "/b/d"]), Ok(()));
        let same = |one: &str, other: &str| {
            Err(format!("{one} and {other} are the same directory; name every directory once"))
        };
        assert_eq!(apart(&["a", "b", "a/"]), same("a", "a/"));
        assert_eq!(apart(&["a", "./a/."]), same("a", "./a/."));
        let inside = Err("/a/b/c is inside of /a/b; name directories that are apart from each other".to_owned());
        assert_eq!(apart(&["/a/b", "/a/b/c"]), inside);
        assert_eq!(apart(&["/a/b/c", "/x", "/a/b"]), inside);
    }

    #[test]
    fn cordons_are_directories_of_the_list() {
        let check = |dirs: &str, cordoned: &str, expected: Result<&[u16], &str>| {
            let set = [dirs.to_owned(), format!("cordoned.log.dirs={cordoned}")];
            let (fixed, _) = StaticConfig::load(&Sources { set: &set, ..Sources::default() }).expect("lists");
            let layers = ConfigLayers::of_start(&fixed);
            let expected = expected.map(|dirs| dirs.iter().copied().map(LogDir::new).collect::<Vec<_>>());
            assert_eq!(cordons(&layers), expected.map_err(ToOwned::to_owned), "{dirs} {cordoned}");
        };
        check("log.dirs=/a,b,/c", "", Ok(&[]));
        check("log.dirs=/a,b,/c", "/c, ./b", Ok(&[1, 2]));
        check("log.dirs=/a,b,/c", "*", Ok(&[0, 1, 2]));
        check("log.dir=/a", "/a", Ok(&[0]));
        let why = "cordoned.log.dirs=*,b: * names all directories, so nothing else may stand beside it";
        check("log.dirs=/a,b", "*,b", Err(why));
        let why = "cordoned.log.dirs=b,/d: /d is none of log.dirs=/a,b; name those, or * for all";
        check("log.dirs=/a,b", "b,/d", Err(why));
    }

    #[test]
    fn all_are_cordoned_or_not() {
        for (cordoned, all) in [("", false), ("a", false), ("a,b", true), ("*", true), ("c", false)] {
            let set = ["log.dirs=a,b".to_owned(), format!("cordoned.log.dirs={cordoned}")];
            let (fixed, _) = StaticConfig::load(&Sources { set: &set, ..Sources::default() }).expect("lists");
            assert_eq!(are_all_cordoned(&ConfigLayers::of_start(&fixed)), all, "{cordoned}");
        }
    }
}

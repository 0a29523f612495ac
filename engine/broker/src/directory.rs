//! The data directories as wholes: who uses them, which cluster they belong to, which format they have.

use std::io;
use std::path::{Path, PathBuf};

use ringlog_buffer::{Chunk, Slice};
use ringlog_reactor::{Create, Durability, File, OpenOptions, Reactor};
use ringlog_storage::types::{BrokerId, Uuid};

/// Held locked for as long as a broker uses the directory; Kafka's name for the same purpose.
const LOCK_FILE: &str = ".lock";
/// Where journals are, at home.
const JOURNAL_FOLDER: &str = "journal";
/// What the directory belongs to; Kafka's name and form.
const META_FILE: &str = "meta.properties";
/// The new content of [`META_FILE`], until it is whole.
const META_FILE_NEW: &str = "meta.properties.tmp";
/// The form of [`META_FILE`] that Kafka calls 1.
const META_VERSION: &str = "1";
/// The format of everything else in the directory: see `FORMAT.md` of storage.
pub const FORMAT_VERSION: u32 = 3;
/// A larger [`META_FILE`] is not one.
const META_BYTES_MAX: usize = 16 * 1024;

/// The identity of a data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_field_names, reason = "they are called so in the file")]
pub(crate) struct Meta {
    /// The cluster, as text.
    pub(crate) cluster_id: String,
    /// The broker.
    pub(crate) node_id: BrokerId,
    /// The directory itself.
    pub(crate) directory_id: Uuid,
    /// The one with the journals; older releases did not tell.
    pub(crate) home_id: Option<Uuid>,
}

/// What is in a [`META_FILE`].
#[derive(Clone, PartialEq, Eq, Debug)]
struct FoundMeta {
    meta: Meta,
    format: u32,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be created, read or written.
    #[error("log.dirs={path}: {what} failed: {error}; give a directory that this user can write to")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// Another process uses it, or it stands in the list by another path.
    #[error(
        "log.dirs={0}: another broker is using this directory, or it is named twice; stop that broker, or give another \
         directory"
    )]
    Locked(PathBuf),
    /// Somebody has founded it while this broker was starting.
    #[error("log.dirs={0}: the directory has become another one while this broker was starting; start it again")]
    Changed(PathBuf),
    /// It has the id of another one.
    #[error(
        "log.dirs={path}: the directory has the same directory.id as {other}; one is a copy of the other, or both are the same: \
         name one of them"
    )]
    SameId {
        /// The directory.
        path: PathBuf,
        /// The one before it.
        other: PathBuf,
    },
    /// It belongs to another cluster than the one before it.
    #[error(
        "log.dirs={path}: the directory belongs to cluster {found}, and {other} to cluster {cluster}; name directories of one \
         cluster"
    )]
    Mixed {
        /// The directory.
        path: PathBuf,
        /// Its cluster.
        found: String,
        /// The one before it.
        other: PathBuf,
        /// That one's cluster.
        cluster: String,
    },
    /// It has been home, and is not the first one any more.
    #[error("log.dirs={path}: the directory has the journals of this broker; name it first, before {home}")]
    NotHome {
        /// The directory.
        path: PathBuf,
        /// The first one.
        home: PathBuf,
    },
    /// It was added to another one, which is not the first of the list.
    #[error(
        "log.dirs={path}: the directory belongs to the one with directory.id={home}, which has the journals of this broker; name \
         that one first"
    )]
    HomeElsewhere {
        /// The directory.
        path: PathBuf,
        /// The id of the first one, as it was.
        home: Uuid,
    },
    /// Its meta.properties is damaged or not one.
    #[error("{path}: {what}; restore the file, or give an empty directory")]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It was written by a newer release.
    #[error(
        "log.dirs={path}: the directory has format {found}, and this release knows formats up to {known}; start a newer release"
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// It is another broker's.
    #[error(
        "log.dirs={path}: the directory belongs to node.id={found}, and this broker is node.id={expected}; correct node.id or the directory"
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: BrokerId,
        /// Who asks.
        expected: BrokerId,
    },
    /// It is another cluster's.
    #[error(
        "log.dirs={path}: the directory belongs to cluster {found}, and cluster {expected} was asked for; correct the cluster id or the directory"
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        expected: String,
    },
}

/// The data directories, which are this process's alone.
#[derive(Debug)]
pub(crate) struct Directories {
    /// The cluster that they belong to.
    pub(crate) cluster_id: String,
    /// Their ids, home first.
    pub(crate) ids: Vec<Uuid>,
    /// The locks go with it.
    locks: Vec<File>,
    /// Those that are nobody's yet, with what they will be.
    unfounded: Vec<(PathBuf, Meta)>,
}

/// What each directory has to be.
#[derive(Clone, Copy)]
struct Expected<'a> {
    node_id: BrokerId,
    cluster_id: Option<&'a str>,
}

/// Takes the directories: locks them, and checks or founds their identities; on the first start of all it makes those that
/// are missing. `cluster_id` is what the configuration asks for, if it does; `new_id` serves what has none yet. Nothing is
/// made or written while something is wrong with what there is.
///
/// Behind the first start a directory without an identity may be a new one, or one whose disk is missing: nothing is made of
/// it before [`Directories::found`], which is due when it is sure that nothing was in it.
pub(crate) async fn take_all(
    reactor: &Reactor,
    paths: &[String],
    node_id: BrokerId,
    cluster_id: Option<&str>,
    mut new_id: impl FnMut() -> Uuid,
) -> Result<Directories, DirectoryError> {
    let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
    let expected = Expected { node_id, cluster_id };
    let found = check_all(reactor, &paths, expected).await?;
    let is_first_start = found.first().is_none_or(Option::is_none);
    let mut locks = Vec::with_capacity(paths.len());
    for (path, found) in paths.iter().zip(&found) {
        if is_first_start || found.is_some() {
            locks.push(lock(reactor, path).await?);
        }
    }
    // Again, because nobody changes them from here on.
    let found = check_all(reactor, &paths, expected).await?;
    let of_others = found.iter().flatten().next().map(|found| found.meta.cluster_id.clone());
    let cluster_id = of_others.or(cluster_id.map(str::to_owned)).unwrap_or_else(|| new_id().to_string());
    let mut directories =
        Directories { cluster_id, ids: Vec::with_capacity(paths.len()), locks, unfounded: Vec::new() };
    for (path, found) in paths.iter().zip(found) {
        let is_current = found.as_ref().is_some_and(|found| found.format == FORMAT_VERSION);
        let is_new = found.is_none();
        let cluster_id = directories.cluster_id.clone();
        let founded = || Meta { cluster_id, node_id, directory_id: new_id(), home_id: None };
        let mut meta = found.map_or_else(founded, |found| found.meta);
        let home_id = directories.ids.first().copied().unwrap_or(meta.directory_id);
        let is_as_told = is_current && meta.home_id == Some(home_id);
        meta.home_id = Some(home_id);
        directories.ids.push(meta.directory_id);
        if is_new && !is_first_start {
            directories.unfounded.push((path.to_path_buf(), meta));
        } else if !is_as_told {
            write_meta(reactor, path, &meta).await.map_err(unusable(path, "writing meta.properties"))?;
        }
    }
    Ok(directories)
}

impl Directories {
    /// Makes directories of those that have no identity yet.
    pub(crate) async fn found(&mut self, reactor: &Reactor) -> Result<(), DirectoryError> {
        for (path, meta) in self.unfounded.drain(..) {
            self.locks.push(lock(reactor, &path).await?);
            if read_meta(reactor, &path).await.map_err(unusable(&path, "reading meta.properties"))?.is_some() {
                // It was another broker's in between, or is that of a disk that has just come.
                return Err(DirectoryError::Changed(path));
            }
            write_meta(reactor, &path, &meta).await.map_err(unusable(&path, "writing meta.properties"))?;
        }
        Ok(())
    }
}

/// The numbers of the devices that the directories are on.
pub(crate) async fn devices(reactor: &Reactor, paths: &[String]) -> Result<Vec<u64>, DirectoryError> {
    let mut devices = Vec::with_capacity(paths.len());
    for path in paths {
        let device = reactor.device(path).await;
        devices.push(device.map_err(unusable(Path::new(path), "looking for its device"))?);
    }
    Ok(devices)
}

fn unusable(path: &Path, what: &'static str) -> impl Fn(io::Error) -> DirectoryError {
    move |error| DirectoryError::Unusable { path: path.to_owned(), what, error }
}

async fn lock(reactor: &Reactor, path: &Path) -> Result<File, DirectoryError> {
    create_all(reactor, path).await.map_err(unusable(path, "creating it"))?;
    let options = OpenOptions { write: true, create: Create::IfMissing, direct: false };
    let lock = reactor.open(path.join(LOCK_FILE), options).await.map_err(unusable(path, "making a lock file in it"))?;
    lock.lock().await.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => DirectoryError::Locked(path.to_owned()),
        _ => unusable(path, "locking it")(error),
    })?;
    Ok(lock)
}

/// What stands in each directory's meta.properties, if there is one. They must fit together.
async fn check_all(
    reactor: &Reactor,
    paths: &[&Path],
    expected: Expected<'_>,
) -> Result<Vec<Option<FoundMeta>>, DirectoryError> {
    let mut all: Vec<Option<FoundMeta>> = Vec::with_capacity(paths.len());
    for path in paths {
        let text = read_meta(reactor, path).await.map_err(unusable(path, "reading meta.properties"))?;
        let found = text.map(|text| check_meta(path, &text, expected)).transpose()?;
        if let Some(found) = &found {
            let others = paths.iter().zip(&all).filter_map(|(path, other)| Some((*path, &other.as_ref()?.meta)));
            for (other, meta) in others {
                check_pair(path, &found.meta, other, meta)?;
            }
        }
        if !all.is_empty() && found.is_some() {
            check_not_home(reactor, path, paths[0]).await?;
        }
        if let Some(meta) = found.as_ref().map(|found| &found.meta) {
            let first = all.first().map_or(Some(meta.directory_id), |first| Some(first.as_ref()?.meta.directory_id));
            if let Some(home) = meta.home_id.filter(|home| first != Some(*home)) {
                return Err(DirectoryError::HomeElsewhere { path: path.to_path_buf(), home });
            }
        }
        all.push(found);
    }
    Ok(all)
}

fn check_pair(path: &Path, meta: &Meta, other: &Path, of_other: &Meta) -> Result<(), DirectoryError> {
    let (path, other) = (path.to_owned(), other.to_owned());
    if meta.directory_id == of_other.directory_id {
        return Err(DirectoryError::SameId { path, other });
    }
    if meta.cluster_id != of_other.cluster_id {
        let (found, cluster) = (meta.cluster_id.clone(), of_other.cluster_id.clone());
        return Err(DirectoryError::Mixed { path, found, other, cluster });
    }
    Ok(())
}

/// Journals lie at home alone.
async fn check_not_home(reactor: &Reactor, path: &Path, home: &Path) -> Result<(), DirectoryError> {
    match reactor.read_dir(path.join(JOURNAL_FOLDER)).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unusable(path, "looking for journals in it")(error)),
        Ok(_) => Err(DirectoryError::NotHome { path: path.to_owned(), home: home.to_owned() }),
    }
}

/// Makes a directory and those above it that are missing, each durable in its parent.
async fn create_all(reactor: &Reactor, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for ancestor in path.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
        match reactor.create_dir(ancestor).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(ancestor);
                continue;
            }
            Err(error) => return Err(error),
        }
        missing.push(ancestor);
        break;
    }
    for created in missing.iter().rev() {
        match reactor.create_dir(*created).await {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let parent = created.parent().filter(|parent| !parent.as_os_str().is_empty());
        reactor.sync_dir(parent.unwrap_or(Path::new("."))).await?;
    }
    Ok(())
}

async fn read_meta(reactor: &Reactor, path: &Path) -> io::Result<Option<String>> {
    let file = match reactor.open(path.join(META_FILE), OpenOptions::default()).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let (result, chunk) = file.read(Chunk::with_capacity(META_BYTES_MAX), 0, META_BYTES_MAX).await;
    result?;
    Ok(Some(String::from_utf8_lossy(&chunk).into_owned()))
}

async fn write_meta(reactor: &Reactor, path: &Path, meta: &Meta) -> io::Result<()> {
    let Meta { cluster_id, node_id, directory_id, home_id } = meta;
    let home_id = home_id.unwrap_or(*directory_id);
    let text = format!(
        "version={META_VERSION}\nringlog.format={FORMAT_VERSION}\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\nringlog.home={home_id}\n"
    );
    let options = OpenOptions { write: true, create: Create::IfMissing, direct: false };
    let file = reactor.open(path.join(META_FILE_NEW), options).await?;
    file.truncate(0).await?;
    file.write(vec![Slice::from(text.as_bytes())], 0, Durability::Dsync).await?;
    file.sync_data().await?;
    reactor.rename(path.join(META_FILE_NEW), path.join(META_FILE)).await?;
    reactor.sync_dir(path).await
}

fn check_meta(path: &Path, text: &str, expected: Expected<'_>) -> Result<FoundMeta, DirectoryError> {
    let Expected { node_id, cluster_id } = expected;
    let broken = |what: String| DirectoryError::Meta { path: path.join(META_FILE), what };
    let value = |key: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let found = lines.filter_map(|line| line.split_once('=')).find(|(name, _)| name.trim() == key);
        found.map(|(_, value)| value.trim()).ok_or_else(|| broken(format!("{key} is missing")))
    };
    let version = value("version")?;
    if version != META_VERSION {
        return Err(broken(format!("version={version} is not {META_VERSION}")));
    }
    let format = value("ringlog.format")?;
    let format: u32 = format.parse().map_err(|_| broken(format!("ringlog.format={format} is not a number")))?;
    if format > FORMAT_VERSION {
        return Err(DirectoryError::Newer { path: path.to_owned(), found: format, known: FORMAT_VERSION });
    }
    let found = value("node.id")?;
    let found = found.parse().map(BrokerId::new).map_err(|_| broken(format!("node.id={found} is not a number")))?;
    if found != node_id {
        return Err(DirectoryError::OtherNode { path: path.to_owned(), found, expected: node_id });
    }
    let of_directory = value("cluster.id")?.to_owned();
    if let Some(expected) = cluster_id.filter(|expected| *expected != of_directory) {
        let (path, expected) = (path.to_owned(), expected.to_owned());
        return Err(DirectoryError::OtherCluster { path, found: of_directory, expected });
    }
    let directory_id = value("directory.id")?;
    let directory_id = directory_id
        .parse()
        .map_err(|_| broken(format!("directory.id={directory_id} is not an id of Kafka's form")))?;
    let home_id = match value("ringlog.home") {
        Ok(id) => Some(id.parse().map_err(|_| broken(format!("ringlog.home={id} is not an id of Kafka's form")))?),
        Err(_) => None,
    };
    Ok(FoundMeta { meta: Meta { cluster_id: of_directory, node_id, directory_id, home_id }, format })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "#comment\nversion=1\nringlog.format=1\ncluster.id=abc\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n";

    #[test]
    fn an_identity_is_checked_line_by_line() {
        let check = |text: &str, cluster_id, expected: Result<(), &str>| {
            let checked = check_meta(Path::new("d"), text, Expected { node_id: BrokerId::new(1), cluster_id });
            let checked = checked.map(drop).map_err(|error| error.to_string());
            match expected {
                Ok(()) => assert_eq!(checked, Ok(()), "{text}"),
                Err(part) => assert!(checked.as_ref().is_err_and(|error| error.contains(part)), "{text}: {checked:?}"),
            }
        };
        check(GOOD, None, Ok(()));
        check(GOOD, Some("abc"), Ok(()));
        check(GOOD, Some("abd"), Err("belongs to cluster abc, and cluster abd"));
        check(&GOOD.replace("node.id=1", "node.id=2"), None, Err("belongs to node.id=2, and this broker is node.id=1"));
        check(&GOOD.replace("format=1", "format=3"), None, Ok(()));
        check(&GOOD.replace("format=1", "format=4"), None, Err("format 4, and this release knows formats up to 3"));
        check(&GOOD.replace("format=1", "format=x"), None, Err("ringlog.format=x is not a number"));
        check(&GOOD.replace("version=1", "version=0"), None, Err("version=0 is not 1"));
        check("", None, Err("version is missing"));
        check(&GOOD.replace("AAAAAAAAAAAAAAAAAAAAAQ", "?"), None, Err("directory.id=? is not an id"));
    }
}

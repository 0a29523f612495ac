//! Writes settings to the kernel that runs, and puts the old ones back.
//!
//! What was there before is noted, and the note is durable, before the first setting is written: whatever ends the process
//! in between, [`undo`] finds the old values. A second [`execute`] adds to the note and keeps the oldest values.

mod note;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::knob::{Change, Knob};
use crate::tree::{Tree, choices, selected};
use note::{Note, Noted};

/// Where the note is kept unless another place is named, as a path of the machine.
pub const NOTE_PATH: &str = "/var/lib/ringlog/tune.undo";

/// What is to be written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// The setting.
    pub knob: Knob,
    /// What is in force.
    pub old: String,
    /// What will be.
    pub new: String,
    /// Why.
    pub because: String,
}

/// What became of a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Written {
    /// The setting.
    pub knob: Knob,
    /// What was in force.
    pub old: String,
    /// What should be.
    pub new: String,
    /// Why it is not; `None` if it is.
    pub error: Option<String>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The old values could not be noted.
    #[error("the old values cannot be noted in {path}: {error}; nothing was changed")]
    NotNoted {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The note cannot be read.
    #[error("{path} cannot be read: {error}; nothing was changed")]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What the system said, or what is wrong with it.
        error: io::Error,
    },
    /// There is no note.
    #[error("there is nothing to undo: {path} does not exist")]
    NoNote {
        /// Where.
        path: PathBuf,
    },
}

/// What changes would come to, in their order. Settings that are so already, and those that the machine does not have, are
/// left out.
pub fn steps(root: &Path, changes: &[Change]) -> Vec<Step> {
    let tree = Tree::new(root);
    let step = |change: &Change| {
        let old = current(&tree, &change.knob)?;
        let Change { knob, value, because } = change.clone();
        (old != value).then_some(Step { knob, old, new: value, because })
    };
    changes.iter().filter_map(step).collect()
}

/// Notes the old values in `note_path`, and writes the new ones. One that fails does not keep the others back.
pub fn execute(root: &Path, note_path: &Path, steps: &[Step]) -> Result<Vec<Written>, ApplyError> {
    execute_with(root, note_path, steps, write)
}

fn execute_with(
    root: &Path,
    note_path: &Path,
    steps: &[Step],
    mut write: impl FnMut(&Tree<'_>, &Knob, &str) -> io::Result<()>,
) -> Result<Vec<Written>, ApplyError> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let unreadable = |error| ApplyError::Unreadable { path: note_path.to_owned(), error };
    let mut note = Note::read(note_path).map_err(unreadable)?.unwrap_or_default();
    for step in steps {
        note.add(Noted { knob: step.knob.clone(), old: step.old.clone(), new: step.new.clone() });
    }
    note.write(note_path).map_err(|error| ApplyError::NotNoted { path: note_path.to_owned(), error })?;
    let tree = Tree::new(root);
    let written = steps.iter().map(|step| {
        let Step { knob, old, new, .. } = step.clone();
        let error = write(&tree, &knob, &new).err().map(|error| error.to_string());
        Written { knob, old, new, error }
    });
    Ok(written.collect())
}

/// Puts back what the note says was there, the last one first. The note goes when all of it is done; what could not be put
/// back, or was changed by somebody else since, stays in it.
pub fn undo(root: &Path, note_path: &Path) -> Result<Vec<Written>, ApplyError> {
    let path = || note_path.to_owned();
    let note = Note::read(note_path).map_err(|error| ApplyError::Unreadable { path: path(), error })?;
    let Some(note) = note else { return Err(ApplyError::NoNote { path: path() }) };
    let tree = Tree::new(root);
    let (mut written, mut left) = (Vec::new(), Vec::new());
    for noted in note.entries().iter().rev() {
        let error = put_back(&tree, noted).err();
        if error.is_some() {
            left.push(noted.clone());
        }
        let Noted { knob, old, new } = noted.clone();
        written.push(Written { knob, old: new, new: old, error: error.map(|error| error.to_string()) });
    }
    left.reverse();
    let kept = if left.is_empty() { Note::remove(note_path) } else { Note::of(left).write(note_path) };
    kept.map_err(|error| ApplyError::NotNoted { path: path(), error })?;
    Ok(written)
}

fn put_back(tree: &Tree<'_>, noted: &Noted) -> io::Result<()> {
    let Some(current) = current(tree, &noted.knob) else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the machine does not have this setting any more"));
    };
    if current == noted.old {
        return Ok(());
    }
    if current != noted.new {
        let text = format!("somebody has set it to {current} since; set it to {} if that is wanted", noted.old);
        return Err(io::Error::other(text));
    }
    write(tree, &noted.knob, &noted.old)
}

/// The value in force, fields divided by one blank.
fn current(tree: &Tree<'_>, knob: &Knob) -> Option<String> {
    let text = tree.text(knob.path())?;
    Some(selected(&text).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Writes a value, and looks whether the kernel took it. The file must exist; nothing is created.
fn write(tree: &Tree<'_>, knob: &Knob, value: &str) -> io::Result<()> {
    let path = tree.path(knob.path());
    let before = tree.text(knob.path()).unwrap_or_default();
    if before.contains('[') && !choices(&before).iter().any(|choice| choice == value) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the kernel offers {before}")));
    }
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(format!("{value}\n").as_bytes())?;
    match current(tree, knob) {
        Some(current) if current == value => Ok(()),
        current => Err(io::Error::other(format!("the kernel made {} of it", current.unwrap_or_default()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_kit::folder::Folder;
    use std::fs;

    fn knob(name: &str) -> Knob {
        Knob::sysctl(name).expect("it is known")
    }

    /// A machine with some settings, as files.
    fn machine(settings: &[(&str, &str)]) -> Folder {
        let folder = Folder::new("apply");
        for (name, value) in settings {
            let path = folder.path().join(knob(name).path());
            fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            fs::write(path, format!("{value}\n")).expect("a file");
        }
        folder
    }

    fn value(machine: &Folder, name: &str) -> String {
        fs::read_to_string(machine.path().join(knob(name).path())).expect("a file").trim().to_owned()
    }

    fn step(name: &str, old: &str, new: &str) -> Step {
        Step { knob: knob(name), old: old.to_owned(), new: new.to_owned(), because: String::new() }
    }

    #[test]
    fn the_note_is_there_before_the_first_write_and_a_half_done_apply_is_undone() {
        let machine = machine(&[("vm.swappiness", "60"), ("vm.dirty_ratio", "40"), ("vm.zone_reclaim_mode", "1")]);
        let note = machine.path().join("state/tune.undo");
        let steps = [
            step("vm.swappiness", "60", "1"),
            step("vm.dirty_ratio", "40", "20"),
            step("vm.zone_reclaim_mode", "1", "0"),
        ];
        let mut writes = 0;
        let crashed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            execute_with(machine.path(), &note, &steps, |tree, knob, value| {
                let noted = Note::read(&note)?.expect("the note is there before anything is written");
                assert_eq!(noted.entries().len(), 3);
                writes += 1;
                assert!(writes < 3, "the process ends here");
                write(tree, knob, value)
            })
        }));
        assert!(crashed.is_err());
        let now = ["vm.swappiness", "vm.dirty_ratio", "vm.zone_reclaim_mode"].map(|name| value(&machine, name));
        assert_eq!(now, ["1", "20", "1"], "half of it was done");
        let undone = undo(machine.path(), &note).expect("it can be undone");
        assert!(undone.iter().all(|written| written.error.is_none()), "{undone:?}");
        let now = ["vm.swappiness", "vm.dirty_ratio", "vm.zone_reclaim_mode"].map(|name| value(&machine, name));
        assert_eq!(now, ["60", "40", "1"]);
        assert!(matches!(undo(machine.path(), &note), Err(ApplyError::NoNote { .. })));
    }

    #[test]
    fn without_a_note_nothing_is_written() {
        let machine = machine(&[("vm.swappiness", "60")]);
        // A file where a folder would have to be.
        fs::write(machine.path().join("state"), "").expect("a file");
        let result =
            execute(machine.path(), &machine.path().join("state/tune.undo"), &[step("vm.swappiness", "60", "1")]);
        assert!(matches!(result, Err(ApplyError::NotNoted { .. } | ApplyError::Unreadable { .. })), "{result:?}");
        assert_eq!(value(&machine, "vm.swappiness"), "60");
    }

    #[test]
    fn a_second_apply_keeps_the_oldest_values() {
        let machine = machine(&[("vm.swappiness", "60"), ("vm.dirty_ratio", "40")]);
        let note = machine.path().join("tune.undo");
        execute(machine.path(), &note, &[step("vm.swappiness", "60", "10")]).expect("written");
        execute(machine.path(), &note, &[step("vm.swappiness", "10", "1"), step("vm.dirty_ratio", "40", "20")])
            .expect("written");
        undo(machine.path(), &note).expect("undone");
        assert_eq!((value(&machine, "vm.swappiness"), value(&machine, "vm.dirty_ratio")), ("60".into(), "40".into()));
    }

    #[test]
    fn what_somebody_else_changed_is_left_alone() {
        let machine = machine(&[("vm.swappiness", "60"), ("vm.dirty_ratio", "40")]);
        let note = machine.path().join("tune.undo");
        execute(machine.path(), &note, &[step("vm.swappiness", "60", "1"), step("vm.dirty_ratio", "40", "20")])
            .expect("written");
        fs::write(machine.path().join(knob("vm.swappiness").path()), "30\n").expect("a file");
        let undone = undo(machine.path(), &note).expect("the other one is undone");
        let failed: Vec<_> = undone.iter().filter(|written| written.error.is_some()).collect();
        assert_eq!((failed.len(), &failed[0].knob), (1, &knob("vm.swappiness")));
        assert_eq!((value(&machine, "vm.swappiness"), value(&machine, "vm.dirty_ratio")), ("30".into(), "40".into()));
        let left = Note::read(&note).expect("readable").expect("there");
        assert_eq!(left.entries().len(), 1);
    }

    #[test]
    fn choices_of_the_kernel_are_kept_to() {
        let folder = Folder::new("apply");
        let path = folder.path().join(Knob::TransparentHugepage.path());
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(&path, "[always] madvise never\n").expect("a file");
        let change = |value: &str| Change {
            knob: Knob::TransparentHugepage,
            value: value.to_owned(),
            because: "Because.".to_owned(),
        };
        assert_eq!(steps(folder.path(), &[change("always")]), []);
        let steps = steps(folder.path(), &[change("sometimes"), change("madvise")]);
        assert_eq!(steps.iter().map(|step| step.old.as_str()).collect::<Vec<_>>(), ["always", "always"]);
        let written = execute(folder.path(), &folder.path().join("tune.undo"), &steps).expect("noted");
        assert!(written[0].error.as_ref().is_some_and(|error| error.contains("offers")), "{written:?}");
        assert_eq!(written[1].error, None);
        assert_eq!(fs::read_to_string(&path).expect("a file"), "madvise\n");
        // A setting that the machine does not have is no step.
        assert_eq!(super::steps(folder.path(), &[Change { knob: knob("vm.swappiness"), ..change("1") }]), []);
    }
}

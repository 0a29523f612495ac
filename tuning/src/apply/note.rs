//! What was there before settings were written: one file, replaced whole, durable when it is said to be.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::knob::Knob;

/// Names the form of the file.
const FORM: &str = "ringlog tune undo 1";
/// Settings that one note has at most: a governor for each of the most processors, and a few more.
const ENTRIES_MAX: usize = 32 * 1024;
/// Bytes of a note.
const BYTES_MAX: u64 = 8 << 20;
/// Bytes of one value.
const VALUE_BYTES_MAX: usize = 4096;

/// A setting with the value that it had, and the one that it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Noted {
    pub(super) knob: Knob,
    pub(super) old: String,
    pub(super) new: String,
}

/// The settings, in the order in which they were written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Note(Vec<Noted>);

#[derive(Deserialize, Serialize)]
struct Text {
    form: String,
    settings: Vec<Line>,
}

#[derive(Deserialize, Serialize)]
struct Line {
    path: String,
    old: String,
    new: String,
}

impl Note {
    pub(super) fn of(entries: Vec<Noted>) -> Self {
        Self(entries)
    }

    pub(super) fn entries(&self) -> &[Noted] {
        &self.0
    }

    /// Adds a setting. Of one that is known already the oldest value stays.
    pub(super) fn add(&mut self, noted: Noted) {
        match self.0.iter_mut().find(|known| known.knob == noted.knob) {
            Some(known) => known.new = noted.new,
            None => self.0.push(noted),
        }
    }

    /// Reads a note; `None` if there is none. Whatever is in the file, it names nothing but settings that can be written.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > BYTES_MAX) {
            return Err(invalid("it is too long"));
        }
        Self::parse(&bytes).map(Some)
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text: Text = serde_json::from_slice(bytes).map_err(io::Error::from)?;
        if text.form != FORM {
            return Err(invalid("it is of another form"));
        }
        if text.settings.len() > ENTRIES_MAX {
            return Err(invalid("it has too many settings"));
        }
        let mut note = Self::default();
        for Line { path, old, new } in text.settings {
            let knob = Knob::at(path.trim_start_matches('/'));
            let knob = knob.ok_or_else(|| invalid(&format!("{path} is not a setting that is written")))?;
            let is_value = |value: &str| value.len() <= VALUE_BYTES_MAX && !value.contains(char::is_control);
            if !is_value(&old) || !is_value(&new) {
                return Err(invalid(&format!("the value of {path} is none")));
            }
            note.add(Noted { knob, old, new });
        }
        Ok(note)
    }

    /// Replaces the file. When this answers, the note survives a loss of power.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        if self.0.len() > ENTRIES_MAX {
            return Err(invalid("there are too many settings"));
        }
        let line = |noted: &Noted| Line {
            path: format!("/{}", noted.knob.path()),
            old: noted.old.clone(),
            new: noted.new.clone(),
        };
        let text = Text { form: FORM.to_owned(), settings: self.0.iter().map(line).collect() };
        let folder = folder_of(path);
        fs::create_dir_all(folder)?;
        let beside = path.with_extension("undo.new");
        let mut file = File::create(&beside)?;
        serde_json::to_writer_pretty(&mut file, &text).map_err(io::Error::from)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_upwards(folder)
    }

    /// Removes the file for good.
    pub(super) fn remove(path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        File::open(folder_of(path))?.sync_all()
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the name of the file durable, and those of folders that were created for it.
fn sync_upwards(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    match folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        Some(above) => File::open(above)?.sync_all(),
        None => Ok(()),
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &str, expected: Result<usize, &str>) {
        let text = format!("{{\"form\": \"{FORM}\", \"settings\": {settings}}}");
        match (Note::parse(text.as_bytes()), expected) {
            (Ok(note), Ok(count)) => assert_eq!(note.entries().len(), count, "{settings}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{settings}: {error}"),
            (result, _) => panic!("{settings}: {result:?}"),
        }
    }

    #[test]
    fn a_note_names_nothing_but_settings() {
        check("[]", Ok(0));
        check(r#"[{"path": "/proc/sys/vm/swappiness", "old": "60", "new": "1"}]"#, Ok(1));
        check(r#"[{"path": "/etc/passwd", "old": "", "new": ""}]"#, Err("/etc/passwd is not a setting"));
        check(r#"[{"path": "/proc/sys/vm/../kernel/core_pattern", "old": "", "new": ""}]"#, Err("is not a setting"));
        check(r#"[{"path": "/proc/sys/vm/swappiness", "old": "6\n0", "new": "1"}]"#, Err("is none"));
        check("{}", Err("sequence"));
        assert!(Note::parse(b"\xff").is_err() && Note::parse(b"").is_err());
        assert!(Note::parse(br#"{"form": "else", "settings": []}"#).is_err());
    }
}

//! What checks find is written to the machine, found to be right, and put back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ringlog_tuning::{Change, Needs, Verdict, apply, check, plan};

use crate::recorded::{Recorded, SMT, no_wishes};

/// A machine with several things wrong.
fn machine() -> Recorded {
    let machine = Recorded::new(SMT);
    machine.disk("xfs", "rw", &[("scheduler", "none mq-deadline [bfq]"), ("rotational", "0")]);
    machine.file("proc/meminfo", "MemTotal: 67108864 kB\nSwapTotal: 1024 kB");
    machine.file("proc/sys/vm/swappiness", "60");
    machine.file("proc/sys/net/ipv4/tcp_rmem", "4096\t8192\t65536");
    machine.file("proc/sys/vm/dirty_ratio", "20");
    machine.file("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    for cpu in 0..8 {
        machine.file(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"), "powersave");
    }
    machine
}

fn changes(machine: &Recorded) -> Vec<Change> {
    let read = machine.machine();
    let plan = plan(&read.resources, &no_wishes()).expect("a plan");
    check(&read, &plan, Needs::default()).into_iter().flat_map(|item| item.changes).collect()
}

/// Every file with its text, the brackets of choices left out.
fn texts(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            texts.extend(self::texts(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            texts.insert(path, text);
        }
    }
    texts
}

#[test]
fn what_is_wrong_is_written_and_put_back() {
    let machine = machine();
    let before = texts(machine.path());
    let note = machine.path().join("state/tune.undo");
    let steps = apply::steps(machine.path(), &changes(&machine));
    assert_eq!(texts(machine.path()), before, "a plan writes nothing");
    let paths: Vec<_> = steps.iter().map(|step| step.knob.path()).collect();
    assert_eq!(paths.len(), 8 + 4, "{paths:?}");
    let written = apply::execute(machine.path(), &note, &steps).expect("noted");
    assert!(written.iter().all(|written| written.error.is_none()), "{written:?}");
    // Nothing but the settings and the note.
    let after = texts(machine.path());
    let changed = after.iter().filter(|(path, text)| before.get(*path) != Some(text)).map(|(path, _)| path);
    let mut expected: Vec<PathBuf> = paths.iter().map(|path| machine.path().join(path)).chain([note.clone()]).collect();
    expected.sort();
    assert_eq!(changed.cloned().collect::<Vec<_>>(), expected);
    // In sysfs both paths lead to the one scheduler.
    machine.file("sys/devices/pci0/nvme0n1/queue/scheduler", "[none] mq-deadline bfq");
    let left: Vec<_> = changes(&machine);
    assert_eq!(left, [], "a second check finds nothing to set");
    let undone = apply::undo(machine.path(), &note).expect("there is a note");
    assert!(undone.iter().all(|written| written.error.is_none()), "{undone:?}");
    let value = |path: &str| fs::read_to_string(machine.path().join(path)).expect("a file").trim().to_owned();
    assert_eq!(value("proc/sys/vm/swappiness"), "60");
    assert_eq!(value("proc/sys/net/ipv4/tcp_rmem"), "4096 8192 65536");
    assert_eq!(value("sys/kernel/mm/transparent_hugepage/enabled"), "always");
    assert_eq!(value("sys/block/nvme0n1/queue/scheduler"), "bfq");
    assert_eq!(value("sys/devices/system/cpu/cpu7/cpufreq/scaling_governor"), "powersave");
    assert!(!note.exists());
}

#[test]
fn verdicts_say_what_would_be_written() {
    let machine = machine();
    let read = machine.machine();
    let plan = plan(&read.resources, &no_wishes()).expect("a plan");
    for item in check(&read, &plan, Needs::default()) {
        assert!(item.changes.is_empty() || item.verdict == Verdict::Warn, "{item:?}");
        for change in &item.changes {
            assert!(item.remedy.is_some() && change.because.ends_with('.'), "{item:?}");
        }
    }
}

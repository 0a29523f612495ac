//! `ringlog tune` on recorded machines, and on the one that runs.

use std::fs;
use std::path::Path;

use ringlog_kit::folder::Folder;

use crate::{printed, refusal, ringlog};

/// Four cores of two threads each, with some things wrong.
fn machine(file_system: &str) -> Folder {
    let folder = Folder::new("tune");
    let file = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("folders can be made");
        fs::write(path, format!("{text}\n")).expect("files can be made");
    };
    for cpu in 0..8 {
        let list = format!("{},{}", cpu % 4, cpu % 4 + 4);
        file(&format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), &list);
    }
    file("sys/devices/system/cpu/online", "0-7");
    file("proc/self/status", "Cpus_allowed_list:\t0-7");
    file("proc/meminfo", "MemTotal: 8388608 kB\nSwapTotal: 1024 kB");
    file("proc/sys/vm/swappiness", "60");
    file("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    file("proc/self/mountinfo", &format!("20 1 259:1 / / rw - {file_system} /dev/sda1 rw"));
    folder
}

fn text(machine: &Folder, path: &str) -> String {
    fs::read_to_string(machine.path().join(path)).expect("it is a file").trim().to_owned()
}

/// Runs `ringlog tune` on a recorded machine.
fn tune(machine: &Folder, words: &[&str]) -> std::process::Output {
    let root = machine.path().to_str().expect("text");
    ringlog(&[&["tune"], words, &["--root", root]].concat())
}

#[test]
fn a_recorded_machine_is_planned_for() {
    let machine = machine("xfs");
    let output = tune(&machine, &["plan", "-o", "json"]);
    let plan: serde_json::Value = serde_json::from_str(printed(&output)).expect("JSON");
    assert_eq!(plan["shards"].as_array().map(Vec::len), Some(4), "{plan}");
    assert_eq!((&plan["shard_memory_bytes"], &plan["ring_entries"]), (&(1_u64 << 30).into(), &1024.into()), "{plan}");
    let output = tune(&machine, &["plan", "--cores", "6", "--set", "ringlog.memory=1GiB"]);
    let table = printed(&output);
    assert!(
        table.contains("ringlog.cores=6 asks for so many.") && table.contains("ringlog.memory=1073741824"),
        "{table}"
    );
    let refused = refusal(&tune(&machine, &["plan", "--cores", "9"]));
    assert_eq!(refused, "ringlog.cores=9: this process may use cores 0-7; give a smaller count");
}

#[test]
fn a_machine_that_is_not_there_is_no_machine() {
    let empty = Folder::new("tune");
    for words in [&["probe", "--no-disk"][..], &["plan"], &["check"], &["apply"]] {
        let refused = refusal(&ringlog(&[&["tune"], words, &["--root", "/nonexistent"]].concat()));
        let way_out = "give a folder with the /proc and /sys of a machine";
        assert_eq!(
            refused,
            "--root /nonexistent: there is no such folder; give one with the /proc and /sys of a machine"
        );
        let refused = refusal(&tune(&empty, words));
        assert!(refused.ends_with(&format!("it has no sys/devices/system/cpu; {way_out}")), "{words:?}: {refused}");
    }
}

#[test]
fn a_machine_that_fails_ends_the_check_with_1() {
    let good = machine("xfs");
    let output = tune(&good, &["check", "-o", "json"]);
    let items: serde_json::Value = serde_json::from_str(printed(&output)).expect("JSON");
    let verdict = |name: &str| {
        let items = items.as_array().expect("a list");
        items.iter().find(|item| item["name"] == name).map(|item| item["verdict"].clone())
    };
    assert_eq!((verdict("swappiness"), verdict("file system")), (Some("warn".into()), Some("ok".into())), "{items}");
    assert_eq!(refusal(&tune(&machine("tmpfs"), &["check"])), "this machine fails at: file system");
}

#[test]
fn settings_are_told_then_set_then_put_back() {
    const HUGEPAGE: &str = "sys/kernel/mm/transparent_hugepage/enabled";
    const SWAPPINESS: &str = "proc/sys/vm/swappiness";
    let machine = machine("xfs");
    let output = tune(&machine, &["apply"]);
    let told = printed(&output);
    assert!(told.contains("/proc/sys/vm/swappiness") && told.contains("to set it: --execute"), "{told}");
    assert_eq!(text(&machine, SWAPPINESS), "60", "nothing is set without being asked for");
    printed(&tune(&machine, &["apply", "--execute"]));
    assert_eq!((text(&machine, SWAPPINESS), text(&machine, HUGEPAGE)), ("1".to_owned(), "madvise".to_owned()));
    assert!(machine.path().join("var/lib/ringlog/tune.undo").exists());
    assert_eq!(printed(&tune(&machine, &["apply"])), "nothing is to be set\n");
    printed(&tune(&machine, &["apply", "--undo"]));
    assert_eq!((text(&machine, SWAPPINESS), text(&machine, HUGEPAGE)), ("60".to_owned(), "always".to_owned()));
    assert!(refusal(&tune(&machine, &["apply", "--undo"])).starts_with("there is nothing to undo"));
}

#[test]
fn the_running_machine_is_told_and_nothing_is_left_of_measuring() {
    let data = Folder::new("tune");
    let directory = data.path().to_str().expect("text");
    let output = ringlog(&["tune", "probe", "-o", "json", "--data-dir", directory]);
    let probed: serde_json::Value = serde_json::from_str(printed(&output)).expect("JSON");
    let curve = probed["disk"]["read_curve"].as_array().map(Vec::len);
    assert_eq!(curve, Some(4), "{probed}");
    assert!(probed["bounds"].as_array().is_some_and(|bounds| bounds.len() >= 2), "{probed}");
    assert_eq!(fs::read_dir(data.path()).expect("a folder").count(), 0);
    let output = ringlog(&["tune", "probe", "--no-disk", "--data-dir", directory]);
    let table = printed(&output);
    assert!(table.contains("\nkernel ") && !table.contains("flush of"), "{table}");
    assert!(!Path::new(directory).join("meta.properties").exists());
}

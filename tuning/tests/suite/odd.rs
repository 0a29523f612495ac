//! Machines that tell little, or nonsense.

use std::fs;

use ringlog_tuning::{CoreChoice, Machine, Needs, Resources, Wishes, check, plan};

use crate::recorded::{Recorded, TWO_CORES, no_wishes};

/// Every file of a machine, in order.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn whole() -> Recorded {
    let machine = Recorded::new(TWO_CORES);
    machine.disk("xfs", "rw", &[("scheduler", "[none] mq-deadline"), ("logical_block_size", "512")]);
    machine.control_group(&[("cpu.max", "200000 100000"), ("memory.max", "4294967296"), ("cpu.stat", "nr_periods 1")]);
    machine.file("proc/sys/vm/swappiness", "60");
    machine.file("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456");
    machine.file("sys/class/net/eth0/speed", "-1");
    machine.file("sys/class/net/eth0/operstate", "up");
    machine.file("proc/irq/1/smp_affinity_list", "0-1");
    machine
}

/// Reads, plans and checks; none of that fails on any machine.
fn run(machine: &Recorded) -> usize {
    let read = machine.machine();
    let plan = plan(&read.resources, &no_wishes()).expect("without wishes there is always a plan");
    assert!(!check(&read, &plan, Needs::default()).is_empty());
    plan.shards.len()
}

#[test]
fn nothing_at_all_gives_one_shard_that_is_not_pinned() {
    let machine = Recorded::new(TWO_CORES);
    fs::remove_dir_all(machine.path()).expect("it is there");
    assert_eq!(machine.resources(), Resources::default());
    assert_eq!(machine.machine(), Machine::default());
    let made = machine.plan(&no_wishes()).expect("a plan");
    assert_eq!((made.shards.len(), made.shards[0].cpu), (1, None));
    assert_eq!(made.shard_memory_bytes, 32 << 20);
    // Whoever names cores knows better.
    let named = Wishes { cores: CoreChoice::These(vec![2, 3]), ..no_wishes() };
    let named = machine.plan(&named).expect("a plan");
    assert_eq!(named.shards.iter().map(|shard| shard.cpu).collect::<Vec<_>>(), [Some(2), Some(3)]);
    fs::create_dir_all(machine.path()).expect("for its end");
}

#[test]
fn without_a_topology_every_processor_is_a_core() {
    let machine = Recorded::new(TWO_CORES);
    fs::remove_dir_all(machine.path().join("sys")).expect("it is there");
    machine.allow("3,5-6");
    let made = machine.plan(&no_wishes()).expect("a plan");
    assert_eq!(made.shards.iter().map(|shard| shard.cpu).collect::<Vec<_>>(), [Some(3), Some(5), Some(6)]);
}

/// Each file is taken away, emptied, and filled with things that it should not hold.
#[test]
fn no_file_is_needed_and_none_is_trusted() {
    let garbage: &[&[u8]] = &[
        b"",
        b"\xff\xfe\x00",
        b"-1",
        b"18446744073709551616",
        b"18446744073709551615",
        b"0-99999999999",
        b"a b c\n\n : = kB\n0::/../../..\n1 2 3 4 5 6 - 7 8 9\n",
        b"[[[]]] - ]",
    ];
    let machine = whole();
    for path in files(machine.path()) {
        let before = fs::read(&path).expect("it is a file");
        for bytes in garbage {
            fs::write(&path, bytes).expect("it is a file");
            assert!(run(&machine) >= 1, "{}", path.display());
        }
        fs::remove_file(&path).expect("it is a file");
        assert!(run(&machine) >= 1, "{}", path.display());
        // A folder in the place of a file.
        fs::create_dir(&path).expect("nothing is there");
        assert!(run(&machine) >= 1, "{}", path.display());
        fs::remove_dir(&path).expect("it is empty");
        fs::write(&path, before).expect("nothing is there");
    }
}

#[test]
fn a_file_that_does_not_end_is_left() {
    let machine = whole();
    fs::write(machine.path().join("sys/devices/system/cpu/online"), "0,".repeat(1 << 20)).expect("it is a file");
    assert_eq!(run(&machine), 2, "what has a folder is there");
}

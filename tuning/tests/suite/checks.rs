//! What is found wrong with recorded machines.

use ringlog_tuning::{Item, Needs, Verdict, check};

use crate::recorded::{Recorded, SMT, TWO_CORES, TWO_NODES, no_wishes};

/// A machine with nothing wrong.
fn good() -> Recorded {
    let machine = Recorded::new(SMT);
    machine.disk(
        "xfs",
        "rw,noatime",
        &[
            ("logical_block_size", "512"),
            ("physical_block_size", "4096"),
            ("rotational", "0"),
            ("scheduler", "[none] mq-deadline kyber"),
            ("nr_requests", "1023"),
            ("write_cache", "write through"),
        ],
    );
    machine.file("proc/sys/kernel/osrelease", "6.12.1-generic");
    for (name, value) in [
        ("kernel/io_uring_disabled", "0"),
        ("kernel/numa_balancing", "0"),
        ("net/core/somaxconn", "4096"),
        ("net/ipv4/tcp_rmem", "4096\t131072\t6291456"),
        ("net/ipv4/tcp_wmem", "4096\t16384\t4194304"),
        ("vm/dirty_background_ratio", "10"),
        ("vm/dirty_ratio", "20"),
        ("vm/max_map_count", "65530"),
        ("vm/swappiness", "60"),
        ("vm/zone_reclaim_mode", "0"),
    ] {
        machine.file(&format!("proc/sys/{name}"), value);
    }
    machine.file("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    machine.file("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
    machine.file("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm");
    for cpu in 0..8 {
        machine.file(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"), "performance");
    }
    for (name, text) in [("speed", "25000"), ("operstate", "up"), ("mtu", "1500"), ("device/numa_node", "0")] {
        machine.file(&format!("sys/class/net/eth0/{name}"), text);
    }
    for queue in 0..8 {
        machine.file(&format!("sys/class/net/eth0/queues/rx-{queue}/rps_cpus"), "0");
    }
    machine
}

fn items(machine: &Recorded, needs: Needs) -> Vec<Item> {
    let read = machine.machine();
    let plan = ringlog_tuning::plan(&read.resources, &no_wishes()).expect("a plan");
    check(&read, &plan, needs)
}

fn item(machine: &Recorded, name: &str) -> Item {
    let items = items(machine, Needs::default());
    let names: Vec<_> = items.iter().map(|item| item.name).collect();
    let found = items.iter().find(|item| item.name == name).cloned();
    found.unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

/// One item with a verdict, a part of what was measured, and a part of the remedy.
fn expect(machine: &Recorded, name: &str, verdict: Verdict, measured: &str, remedy: Option<&str>) {
    let item = item(machine, name);
    assert_eq!(item.verdict, verdict, "{item:?}");
    assert!(item.measured.contains(measured), "{item:?}");
    match (&item.remedy, remedy) {
        (None, None) => {}
        (Some(found), Some(part)) => assert!(found.contains(part), "{item:?}"),
        _ => panic!("{item:?}"),
    }
}

#[test]
fn a_good_machine_has_no_remedies() {
    let items = items(&good(), Needs::default());
    for item in &items {
        // No file tells these two.
        let is_told = !matches!(item.name, "io_uring" | "free space");
        let verdict = if is_told { Verdict::Ok } else { Verdict::Unknown };
        assert_eq!((item.verdict, &item.remedy), (verdict, &None), "{item:?}");
    }
    assert!(items.len() > 20, "{}", items.len());
}

#[test]
fn an_unknown_machine_fails_at_nothing() {
    let machine = Recorded::new(TWO_CORES);
    let items = items(&machine, Needs::default());
    let bad: Vec<_> = items.iter().filter(|item| item.verdict > Verdict::Unknown).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn settings_of_the_kernel_are_found_and_can_be_set() {
    for (path, text, name, measured, command) in [
        ("proc/sys/vm/dirty_ratio", "40", "dirty pages", "10% and 40%", "sysctl -w vm.dirty_ratio=20"),
        ("proc/sys/vm/max_map_count", "1000", "memory mappings", "1000", "sysctl -w vm.max_map_count=65530"),
        ("proc/sys/net/core/somaxconn", "128", "listen backlog", "128", "sysctl -w net.core.somaxconn=1024"),
        (
            "proc/sys/net/ipv4/tcp_rmem",
            "4096 8192 65536",
            "receive buffers of TCP",
            "64 KiB",
            "sysctl -w net.ipv4.tcp_rmem=\"4096 8192 4194304\"",
        ),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "transparent huge pages",
            "always",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
    ] {
        let machine = good();
        machine.file(path, text);
        expect(&machine, name, Verdict::Warn, measured, Some(command));
        assert_eq!(item(&machine, name).changes.len(), 1, "{name}");
    }
}

#[test]
fn swap_is_what_swappiness_is_about() {
    let machine = good();
    expect(&machine, "swappiness", Verdict::Ok, "60, no swap", None);
    machine.file("proc/meminfo", "MemTotal: 67108864 kB\nSwapTotal: 1024 kB");
    expect(&machine, "swappiness", Verdict::Warn, "60", Some("sysctl -w vm.swappiness=1"));
    machine.file("proc/sys/vm/swappiness", "1");
    expect(&machine, "swappiness", Verdict::Ok, "1", None);
}

#[test]
fn processors_are_looked_at() {
    let machine = good();
    machine.file("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave");
    let name = "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor";
    expect(&machine, "cpu governor", Verdict::Warn, "performance (0-2,4-7), powersave (3)", Some(name));
    machine.file("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
    expect(&machine, "clocksource", Verdict::Warn, "hpet", Some("echo tsc >"));
    machine.control_group(&[("cpu.max", "150000 100000"), ("cpu.stat", "nr_periods 100\nnr_throttled 40")]);
    expect(&machine, "cpu quota", Verdict::Warn, "1.500 cores", Some("cpu.max"));
    expect(&machine, "cpu throttling", Verdict::Warn, "40 of 100 periods", Some("cpu.max"));
    machine.file("sys/devices/system/cpu/isolated", "1-2");
    expect(&machine, "isolated cores", Verdict::Warn, "0 shards", Some("taskset -c 1-2"));
    machine.allow("1-2");
    expect(&machine, "isolated cores", Verdict::Ok, "2 shards", None);
    machine.file("proc/irq/17/smp_affinity_list", "0-7");
    machine.file("proc/irq/17/effective_affinity_list", "2");
    expect(&machine, "isolated cores", Verdict::Warn, "2 shards", Some("irqbalance"));
    let two = Recorded::new(TWO_NODES);
    two.file("proc/sys/kernel/numa_balancing", "1");
    expect(&two, "numa balancing", Verdict::Warn, "1", Some("sysctl -w kernel.numa_balancing=0"));
}

#[test]
fn limits_of_the_process_are_looked_at() {
    let machine = good();
    machine.limits(10_000, "65536");
    expect(&machine, "file descriptors", Verdict::Warn, "10000", Some("LimitNOFILE"));
    expect(&machine, "locked memory", Verdict::Warn, "64 KiB", Some("LimitMEMLOCK"));
    machine.limits(1024, "unlimited");
    expect(&machine, "file descriptors", Verdict::Fail, "1024", Some("LimitNOFILE"));
    machine.control_group(&[("memory.max", "16777216")]);
    expect(&machine, "memory", Verdict::Fail, "16 MiB", Some("ringlog.memory"));
}

#[test]
fn without_io_uring_a_broker_runs_slower_or_not_at_all() {
    let machine = good();
    machine.file("proc/sys/kernel/io_uring_disabled", "2");
    expect(
        &machine,
        "io_uring",
        Verdict::Warn,
        "kernel.io_uring_disabled=2",
        Some("sysctl -w kernel.io_uring_disabled=0"),
    );
    machine.file("proc/sys/kernel/osrelease", "5.15.0");
    expect(&machine, "kernel", Verdict::Warn, "5.15.0", Some("newer kernel"));
    let items = items(&machine, Needs { uring: true, ..Needs::default() });
    let failed: Vec<_> = items.iter().filter(|item| item.verdict == Verdict::Fail).map(|item| item.name).collect();
    assert_eq!(failed, ["kernel", "io_uring"]);
    // A person may allow it again; no program does so on its own.
    assert!(items.iter().filter(|item| item.name == "io_uring").all(|item| item.changes.is_empty()));
}

#[test]
fn disks_and_file_systems_are_looked_at() {
    for (file_system, verdict) in [
        ("ext4", Verdict::Ok),
        ("btrfs", Verdict::Warn),
        ("overlay", Verdict::Warn),
        ("nfs4", Verdict::Warn),
        ("tmpfs", Verdict::Fail),
    ] {
        let machine = Recorded::new(SMT);
        machine.disk(file_system, "rw", &[]);
        assert_eq!(item(&machine, "file system").verdict, verdict, "{file_system}");
    }
    for (options, verdict, remedy) in [
        ("rw,noatime", Verdict::Ok, ""),
        ("ro", Verdict::Fail, "remount,rw"),
        ("rw,nobarrier", Verdict::Fail, "remount,barrier"),
        ("rw,discard", Verdict::Warn, "fstrim.timer"),
        ("rw,sync", Verdict::Warn, "remount,async"),
        ("rw,data=journal", Verdict::Warn, "data=ordered"),
    ] {
        let machine = Recorded::new(SMT);
        machine.disk("ext4", options, &[]);
        let item = item(&machine, "mount options");
        assert_eq!(item.verdict, verdict, "{item:?}");
        assert!(item.remedy.unwrap_or_default().contains(remedy), "{options}");
    }
    let machine = Recorded::new(SMT);
    machine.disk(
        "xfs",
        "rw",
        &[
            ("logical_block_size", "16384"),
            ("rotational", "1"),
            ("scheduler", "none mq-deadline [bfq]"),
            ("write_cache", "write back"),
        ],
    );
    expect(&machine, "block size", Verdict::Fail, "nvme0n1: 16384", Some("4096"));
    expect(&machine, "disk", Verdict::Warn, "nvme0n1, rotating", Some("SSD"));
    let command = "echo mq-deadline > /sys/block/nvme0n1/queue/scheduler";
    expect(&machine, "disk scheduler", Verdict::Warn, "nvme0n1: bfq", Some(command));
    expect(&machine, "write cache", Verdict::Ok, "write back", None);
}

#[test]
fn the_network_is_looked_at() {
    let machine = good();
    machine.file("sys/class/net/eth0/speed", "1000");
    expect(&machine, "network", Verdict::Warn, "eth0: 1000 Mbit/s", Some("faster"));
    for queue in 1..8 {
        std::fs::remove_dir_all(machine.path().join(format!("sys/class/net/eth0/queues/rx-{queue}")))
            .expect("a folder");
    }
    expect(&machine, "receive queues", Verdict::Warn, "eth0: 1", Some("ethtool -L eth0 combined 4"));
    machine.file("sys/class/net/eth0/speed", "-1");
    expect(&machine, "network", Verdict::Unknown, "unknown", None);
    let items = items(&machine, Needs { listen_backlog: 10_000, ..Needs::default() });
    let backlog = items.iter().find(|item| item.name == "listen backlog").expect("it is looked at");
    assert_eq!((backlog.verdict, backlog.wanted.as_str()), (Verdict::Warn, "10000 or more"));
}

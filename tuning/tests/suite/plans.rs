//! Plans of recorded machines.

use ringlog_tuning::{CoreChoice, CpuSet, DiskFigures, NodePolicy, Plan, SHARDS_MAX, Space, Wishes, bounds, plan};

use crate::recorded::{MANY, ONE_CORE, Recorded, SMT, Shape, TOO_MANY, TWO_CORES, TWO_NODES, no_wishes};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn cpus(plan: &Plan) -> String {
    plan.shards.iter().filter_map(|shard| shard.cpu).collect::<CpuSet>().to_string()
}

/// The reason of a line.
fn because<'a>(plan: &'a Plan, what: &str) -> &'a str {
    let line = plan.lines.iter().find(|line| line.what == what);
    &line.unwrap_or_else(|| panic!("no line {what}: {:?}", plan.lines)).because
}

/// The processors that a machine's shards get.
fn check(machine: &Recorded, wishes: &Wishes, expected: Result<&str, &str>) {
    match (machine.plan(wishes), expected) {
        (Ok(plan), Ok(expected)) => assert_eq!(cpus(&plan), expected, "{:?}", plan.lines),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (result, expected) => panic!("{result:?}, and not {expected:?}"),
    }
}

fn cores(text: &str) -> Wishes {
    let these = |text| CpuSet::parse(text).expect("a list").iter().collect();
    let cores = match text.parse() {
        Ok(count) => CoreChoice::Count(count),
        Err(_) => CoreChoice::These(these(text)),
    };
    Wishes { cores, ..no_wishes() }
}

#[test]
fn one_shard_runs_on_each_core() {
    check(&Recorded::new(ONE_CORE), &no_wishes(), Ok("0"));
    check(&Recorded::new(TWO_CORES), &no_wishes(), Ok("0-1"));
    check(&Recorded::new(MANY), &no_wishes(), Ok("0-127"));
}

#[test]
fn siblings_are_left_alone_unless_more_shards_are_asked_for_than_cores() {
    let machine = Recorded::new(SMT);
    check(&machine, &no_wishes(), Ok("0-3"));
    let plan = machine.plan(&no_wishes()).expect("a plan");
    assert!(because(&plan, "cores").starts_with("4-7 share their cores with others"), "{:?}", plan.lines);
    check(&machine, &cores("2"), Ok("0-1"));
    check(&machine, &cores("6"), Ok("0-5"));
    check(&machine, &cores("9"), Err("ringlog.cores=9: this process may use cores 0-7; give a smaller count"));
    check(&machine, &cores("0,4-4"), Ok("0,4"));
    // Of a core whose first processor may not be used, the other one is as good.
    machine.allow("1-4");
    check(&machine, &no_wishes(), Ok("1-4"));
}

#[test]
fn nodes_are_filled_or_taken_in_turn() {
    let machine = Recorded::new(TWO_NODES);
    check(&machine, &no_wishes(), Ok("0-7"));
    check(&machine, &cores("3"), Ok("0-2"));
    check(&machine, &cores("6"), Ok("0-5"));
    check(&machine, &Wishes { nodes: NodePolicy::Spread, ..cores("3") }, Ok("0-1,4"));
    check(&machine, &Wishes { nodes: NodePolicy::Spread, ..cores("6") }, Ok("0-2,4-6"));
    let plan = machine.plan(&cores("3")).expect("a plan");
    assert!(because(&plan, "cores").contains("one node has room for all of them"), "{:?}", plan.lines);
    // The first node has too few left, the second one enough.
    machine.allow("2-7,10-15");
    check(&machine, &cores("3"), Ok("4-6"));
    let line = machine.plan(&no_wishes()).expect("a plan").lines.swap_remove(1);
    assert_eq!(line.value, "2-3 (node 0), 4-7 (node 1)");
}

#[test]
fn isolated_and_offline_cores_are_left_out() {
    let machine = Recorded::new(Shape { nodes: 1, cores_of_node: 8, threads_of_core: 1 });
    machine.file("sys/devices/system/cpu/online", "0-5,7");
    machine.file("sys/devices/system/cpu/isolated", "2-3");
    check(&machine, &no_wishes(), Ok("0-1,4-5,7"));
    check(&machine, &cores("6"), Err("this process may use cores 0-1,4-5,7"));
    check(&machine, &cores("2-3"), Ok("2-3"));
    check(&machine, &cores("6-7"), Err("core 6 is not available, this process may use cores 0-5,7"));
    let plan = machine.plan(&no_wishes()).expect("a plan");
    assert!(because(&plan, "cores").starts_with("2-3 are isolated, and would have to be named"), "{:?}", plan.lines);
    // Whoever starts a broker on isolated cores alone means it.
    machine.allow("2-3");
    check(&machine, &no_wishes(), Ok("2-3"));
}

#[test]
fn control_groups_are_kept_to() {
    let machine = Recorded::new(SMT);
    // What cpuset leaves is what the process may run on.
    machine.allow("1,5,2");
    check(&machine, &no_wishes(), Ok("1-2"));
    machine.allow("0-7");
    machine.control_group(&[("cpu.max", "150000 100000"), ("memory.max", "2147483648")]);
    check(&machine, &no_wishes(), Ok("0-1"));
    let plan = machine.plan(&no_wishes()).expect("a plan");
    assert_eq!(because(&plan, "shards"), "There are 4 cores, but the control group gives processor time of 1.5 cores.");
    assert_eq!(plan.shard_memory_bytes, 512 * MIB);
    assert_eq!(because(&plan, "memory"), "Half of the 2 GiB of the control group is for all shards.");
    // What is asked for by number is not lowered.
    check(&machine, &cores("3"), Ok("0-2"));
    machine.control_group(&[("cpu.max", "max 100000"), ("memory.max", "max")]);
    check(&machine, &no_wishes(), Ok("0-3"));
    // A group above counts too, and so does version 1.
    machine.file("sys/fs/cgroup/kubepods/memory.high", "1073741824");
    assert_eq!(machine.plan(&no_wishes()).expect("a plan").shard_memory_bytes, 128 * MIB);
    machine.file("proc/self/cgroup", "4:cpu,cpuacct:/a\n5:memory:/a\n");
    machine.file("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000");
    machine.file("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000");
    machine.file("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712");
    let plan = machine.plan(&no_wishes()).expect("a plan");
    assert_eq!((cpus(&plan).as_str(), plan.shard_memory_bytes), ("0", 32 * GIB));
}

#[test]
fn shards_are_bounded() {
    let machine = Recorded::new(TOO_MANY);
    let plan = machine.plan(&no_wishes()).expect("a plan");
    assert_eq!((plan.shards.len(), cpus(&plan).as_str()), (SHARDS_MAX, "0-127"));
    assert_eq!(because(&plan, "shards"), "There are 256 cores, but a broker has at most 128.");
    let all = u64::try_from(SHARDS_MAX * SHARDS_MAX * plan.limits.mesh_messages).expect("fits") * 128;
    assert!(all <= 256 * MIB, "{all} bytes of rings between shards");
    check(&machine, &cores("0-199"), Err("ringlog.cores names 200 cores: a broker has at most 128 shards"));
    let plan = machine.plan(&Wishes { nodes: NodePolicy::Spread, ..no_wishes() }).expect("a plan");
    assert_eq!(cpus(&plan), "0-31,64-95,128-159,192-223");
}

#[test]
fn memory_is_shared_by_the_shards() {
    let machine = Recorded::new(SMT);
    let plan = machine.plan(&no_wishes()).expect("a plan");
    assert_eq!(plan.shard_memory_bytes, 8 * GIB);
    let given = |bytes| Wishes { memory_bytes: Some(bytes), ..no_wishes() };
    assert_eq!(machine.plan(&given(256 * MIB)).expect("a plan").shard_memory_bytes, 64 * MIB);
    // Too little for all cores: fewer shards, unless their number is asked for.
    let plan = machine.plan(&given(80 * MIB)).expect("a plan");
    assert_eq!((plan.shards.len(), plan.shard_memory_bytes), (2, 40 * MIB));
    assert_eq!(because(&plan, "shards"), "There are 4 cores, but 80 MiB of memory are 32 MiB for each of so many.");
    let wishes = Wishes { memory_bytes: Some(64 * MIB), ..cores("0-3") };
    check(&machine, &wishes, Err("ringlog.memory=67108864: 4 shards need 134217728 bytes at least"));
    // A small container: as many shards as work with half of it, and no less than one.
    machine.control_group(&[("memory.max", "134217728")]);
    let plan = machine.plan(&no_wishes()).expect("a plan");
    assert_eq!((plan.shards.len(), plan.shard_memory_bytes), (2, 32 * MIB));
    machine.control_group(&[("memory.max", "1048576")]);
    let plan = machine.plan(&no_wishes()).expect("a plan");
    assert_eq!((plan.shards.len(), plan.shard_memory_bytes), (1, 32 * MIB));
    assert!(because(&plan, "memory").starts_with("A shard works with no less"), "{:?}", plan.lines);
    // With cores that are asked for a shard has what it works with, whatever there is.
    let plan = machine.plan(&cores("0-3")).expect("a plan");
    assert_eq!((plan.shards.len(), plan.shard_memory_bytes), (4, 32 * MIB));
}

#[test]
fn rings_fit_into_the_memory_that_may_be_locked() {
    let machine = Recorded::new(MANY);
    let plan_with = |memlock: &str| {
        machine.limits(1_048_576, memlock);
        machine.plan(&no_wishes()).expect("a plan")
    };
    assert_eq!(plan_with("unlimited").limits.ring_entries, 1024);
    let plan = plan_with("8388608");
    assert!(plan.limits.ring_bytes() * 128 <= 4 * MIB && plan.limits.ring_entries >= 64, "{:?}", plan.limits);
    assert!(because(&plan, "ring").ends_with("half of the 8 MiB that may be locked is for them."), "{:?}", plan.lines);
    assert_eq!(plan_with("65536").limits.ring_entries, 64, "there is a least number");
    // The administrator may lock everything.
    machine.file("proc/self/status", "CapEff:\t000001ffffffffff\nCpus_allowed_list:\t0-127\n");
    assert_eq!(plan_with("65536").limits.ring_entries, 1024);
}

#[test]
fn receive_buffers_follow_the_memory_of_a_shard() {
    let machine = Recorded::new(TWO_CORES);
    let buffers = |bytes: u64| {
        let wishes = Wishes { memory_bytes: Some(bytes), ..no_wishes() };
        machine.plan(&wishes).expect("a plan").limits.receive_buffers
    };
    assert_eq!([buffers(64 * MIB), buffers(128 * MIB), buffers(256 * MIB), buffers(8 * GIB)], [256, 512, 1024, 1024]);
}

#[test]
fn descriptors_are_shared_with_files() {
    let machine = Recorded::new(SMT);
    let sizes = |descriptors| {
        machine.limits(descriptors, "unlimited");
        let plan = machine.plan(&no_wishes()).expect("a plan");
        (plan.limits.sockets, plan.limits.accept_queue, plan.open_files_max)
    };
    assert_eq!(sizes(1 << 20), (16 * 1024, 256, 131_072));
    assert_eq!(sizes(4096), (341, 42, 512));
    assert_eq!(sizes(100), (64, 8, 12));
}

#[test]
fn journals_leave_most_of_a_small_disk() {
    let machine = Recorded::new(MANY);
    let journal = |total_bytes, given| {
        let mut resources = machine.resources();
        resources.space = Some(Space { total_bytes, free_bytes: total_bytes });
        plan(&resources, &Wishes { journal_bytes: given, ..no_wishes() }).expect("a plan").journal_bytes
    };
    assert_eq!(journal(4096 * GIB, None), 256 * MIB);
    assert_eq!(journal(100 * GIB, None), 96 * MIB);
    assert_eq!(journal(GIB, None), 64 * MIB);
    assert_eq!(journal(GIB, Some(512 * MIB)), 512 * MIB);
    assert_eq!(machine.plan(&no_wishes()).expect("a plan").journal_bytes, 256 * MIB, "of an unknown disk");
}

#[test]
fn every_line_has_a_sentence() {
    for shape in [ONE_CORE, TWO_CORES, SMT, TWO_NODES, MANY, TOO_MANY] {
        for line in Recorded::new(shape).plan(&no_wishes()).expect("a plan").lines {
            let begins = line.because.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit());
            assert!(begins && line.because.ends_with('.'), "{line:?}");
        }
    }
}

#[test]
fn the_scarcest_resource_is_named_first() {
    let machine = Recorded::new(TWO_CORES);
    machine.file("sys/class/net/eth0/operstate", "up");
    machine.file("sys/class/net/eth0/speed", "10000");
    let plan = machine.plan(&no_wishes()).expect("a plan");
    let resources = |machine: &Recorded, disk: Option<&DiskFigures>| {
        let bounds = bounds(&machine.machine(), &plan, disk);
        bounds.iter().map(|bound| (bound.resource, bound.mb_per_second)).collect::<Vec<_>>()
    };
    let (write_mb_per_second, curve) = (500, Vec::new());
    let disk = DiskFigures {
        is_direct: true,
        file_bytes: 0,
        flushes: Vec::new(),
        write_mb_per_second,
        write_curve: curve.clone(),
        read_curve: curve,
    };
    assert_eq!(resources(&machine, Some(&disk)), [("disk", 500), ("network", 1250), ("cores", 8000)]);
    machine.file("sys/class/net/eth0/speed", "-1");
    machine.control_group(&[("cpu.max", "10000 100000")]);
    assert_eq!(resources(&machine, None), [("cores", 400)]);
}

//! Processors: how many, how fast, how undisturbed.

use crate::check::{Item, percent};
use crate::knob::Knob;
use crate::machine::Machine;
use crate::plan::Plan;

/// Periods without processor time, in hundredths, that nobody notices.
const THROTTLED_PERCENT_MAX: u64 = 1;

pub(super) fn check(machine: &Machine, plan: &Plan) -> Vec<Item> {
    let mut items = vec![cores(machine, plan), governor(machine), clock(machine)];
    items.extend(quota(machine, plan));
    items.extend(throttling(machine));
    items.extend(isolation(machine, plan));
    items
}

fn cores(machine: &Machine, plan: &Plan) -> Item {
    let cpus = machine.resources.cpus.len();
    let wanted = "2 or more shards";
    if cpus == 0 {
        return Item::unknown("cores", wanted);
    }
    let shards = plan.shards.len();
    let item = Item::new("cores", format!("{shards} shards on {cpus} processors"), wanted);
    if shards >= 2 {
        return item;
    }
    item.warn(
        "Everything that a broker does waits for one core, and for what else runs there.",
        "give the machine or the container more cores",
    )
}

/// The time of a control group, which pinned shards cannot make good on other cores.
fn quota(machine: &Machine, plan: &Plan) -> Option<Item> {
    let millis = machine.resources.control_group.cpu_millis?;
    let shards = u64::try_from(plan.shards.len()).unwrap_or(u64::MAX);
    let needed = shards.saturating_mul(1000);
    let measured = format!("{}.{:03} cores of time", millis / 1000, millis % 1000);
    let item = Item::new("cpu quota", measured, format!("{shards}.000 or more for {shards} shards"));
    if millis >= needed {
        return Some(item);
    }
    Some(item.warn(
        "When the time of a period is used up, all shards stand still until the next one.",
        "raise cpu.max of the control group (docker --cpus, resources.limits.cpu) to a whole number of cores, or lower ringlog.cores",
    ))
}

fn throttling(machine: &Machine) -> Option<Item> {
    // Without a quota no periods are counted.
    let throttling = machine.resources.control_group.throttling.filter(|throttling| throttling.periods > 0)?;
    let share = percent(throttling.throttled_periods, throttling.periods);
    let measured = format!("{} of {} periods", throttling.throttled_periods, throttling.periods);
    let item = Item::new("cpu throttling", measured, format!("{THROTTLED_PERCENT_MAX}% of periods or fewer"));
    if share <= THROTTLED_PERCENT_MAX {
        return Some(item);
    }
    let because = "What runs in this control group has been made to wait; so will shards.";
    Some(item.warn(because, "raise cpu.max of the control group, or take it off"))
}

fn governor(machine: &Machine) -> Item {
    const NAME: &str = "cpu governor";
    let wanted = "performance";
    if machine.governors.is_empty() {
        return Item::unknown(NAME, wanted);
    }
    let described: Vec<String> =
        machine.governors.iter().map(|(governor, cpus)| format!("{governor} ({cpus})")).collect();
    let item = Item::new(NAME, described.join(", "), wanted);
    let others = machine.governors.iter().filter(|(governor, _)| *governor != wanted);
    let changes: Vec<_> =
        others.flat_map(|(_, cpus)| cpus.iter().map(|cpu| (Some(Knob::Governor { cpu }), wanted.to_owned()))).collect();
    if changes.is_empty() {
        return item;
    }
    item.warn_and_set("A core that has clocked down takes longer for the first requests after a pause.", changes)
}

/// Those that a process reads without a system call.
const FAST_CLOCKS: &[&str] = &["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];

fn clock(machine: &Machine) -> Item {
    const NAME: &str = "clocksource";
    let wanted = FAST_CLOCKS.join(", ");
    let Some(clock) = &machine.kernel.clocksource else { return Item::unknown(NAME, wanted) };
    let item = Item::new(NAME, clock.clone(), wanted);
    if FAST_CLOCKS.contains(&clock.as_str()) {
        return item;
    }
    let because = "The time is read for every request, and this clock needs a system call each time.";
    let better = FAST_CLOCKS.iter().find(|fast| machine.kernel.clocksources.iter().any(|clock| clock == *fast));
    match better {
        Some(fast) => {
            let file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
            item.warn(because, format!("echo {fast} > {file}"))
        }
        None => item.warn(because, "look in the kernel's log for why tsc is not trusted: dmesg | grep -i tsc"),
    }
}

/// Cores that are kept from the scheduler are for somebody: for this broker, or not.
fn isolation(machine: &Machine, plan: &Plan) -> Option<Item> {
    let isolated = &machine.resources.isolated;
    if isolated.is_empty() {
        return None;
    }
    let shards = plan.shards.iter().filter(|shard| shard.cpu.is_some_and(|cpu| isolated.contains(cpu))).count();
    let measured = format!("{shards} shards on isolated cores {isolated}");
    let item = Item::new("isolated cores", measured, "no interrupts where shards are isolated");
    if shards == 0 {
        let remedy = format!("if they are for the broker: taskset -c {isolated} ringlog start --cores {isolated}");
        return Some(item.warn("They stay idle: nothing runs there that is not told to.", remedy));
    }
    let disturbed = machine.interrupts.as_ref().is_some_and(|cpus| !cpus.intersection(isolated).is_empty());
    if !disturbed {
        return Some(item);
    }
    let remedy = format!("IRQBALANCE_BANNED_CPULIST={isolated} for irqbalance, or /proc/irq/N/smp_affinity_list");
    Some(item.warn("Interrupts of devices are brought there all the same.", remedy))
}

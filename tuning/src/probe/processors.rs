//! Processors, cores, nodes, caches.

use std::collections::BTreeMap;

use crate::cpu_set::{CPU_NUMBER_MAX, CpuSet};
use crate::machine::{Cache, Cpu, Node};
use crate::tree::{Tree, meminfo, numbered};

const CPUS: &str = "sys/devices/system/cpu";
const NODES: &str = "sys/devices/system/node";
/// Nodes that are looked at: Linux can be built for 1,024.
const NODES_MAX: usize = 1024;
/// Caches of one processor that are looked at.
const CACHES_OF_CPU_MAX: usize = 16;

fn list(tree: &Tree<'_>, path: &str) -> Option<CpuSet> {
    CpuSet::parse(&tree.text(path)?)
}

/// Processors that are online.
pub(super) fn online(tree: &Tree<'_>) -> CpuSet {
    if let Some(online) = list(tree, &format!("{CPUS}/online")) {
        return online;
    }
    // Kernels without hotplug have no such list; what has no switch of its own is on.
    let numbers = tree.names(CPUS).into_iter().filter_map(|name| numbered(&name, "cpu"));
    numbers.filter(|number| tree.number(format!("{CPUS}/cpu{number}/online")) != Some(0)).collect()
}

/// Processors that are online, with their cores and nodes. One file is read for each core, one for each node.
pub(super) fn cpus(tree: &Tree<'_>) -> Vec<Cpu> {
    let online = online(tree);
    let nodes = node_lists(tree);
    let mut core_of: BTreeMap<usize, usize> = BTreeMap::new();
    for number in online.iter() {
        if core_of.contains_key(&number) {
            continue;
        }
        let siblings = list(tree, &format!("{CPUS}/cpu{number}/topology/thread_siblings_list"));
        let siblings = siblings.map(|siblings| siblings.intersection(&online));
        match siblings.filter(|siblings| siblings.contains(number)) {
            None => _ = core_of.insert(number, number),
            Some(siblings) => {
                let core = siblings.first().unwrap_or(number);
                for sibling in siblings.iter() {
                    core_of.entry(sibling).or_insert(core);
                }
            }
        }
    }
    let node_of = |number: usize| nodes.iter().find(|(_, cpus)| cpus.contains(number)).map(|(node, _)| *node);
    online.iter().map(|number| Cpu { number, core: core_of[&number], node: node_of(number) }).collect()
}

/// `Cpus_allowed_list` of `/proc/self/status`.
pub(super) fn allowed(status: &str) -> Option<CpuSet> {
    CpuSet::parse(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
}

/// Those that the scheduler is kept from.
pub(super) fn isolated(tree: &Tree<'_>) -> CpuSet {
    list(tree, &format!("{CPUS}/isolated")).unwrap_or_default()
}

fn node_lists(tree: &Tree<'_>) -> Vec<(usize, CpuSet)> {
    let numbers = tree.names(NODES).into_iter().filter_map(|name| numbered(&name, "node")).take(NODES_MAX);
    let mut nodes: Vec<_> = numbers
        .map(|number| (number, list(tree, &format!("{NODES}/node{number}/cpulist")).unwrap_or_default()))
        .collect();
    nodes.sort_unstable();
    nodes
}

/// The nodes with their memory.
pub(super) fn nodes(tree: &Tree<'_>) -> Vec<Node> {
    let memory = |number: usize| {
        let text = tree.text(format!("{NODES}/node{number}/meminfo"))?;
        let prefix = format!("Node {number} ");
        let lines: Vec<&str> = text.lines().map(|line| line.trim_start().trim_start_matches(&prefix)).collect();
        meminfo(&lines.join("\n"), "MemTotal")
    };
    let nodes = node_lists(tree).into_iter();
    nodes.map(|(number, cpus)| Node { number, cpus, memory_bytes: memory(number) }).collect()
}

/// All caches, those of one kind together.
pub(super) fn caches(tree: &Tree<'_>) -> Vec<Cache> {
    let mut found: BTreeMap<(u32, String, u64), Vec<CpuSet>> = BTreeMap::new();
    for number in online(tree).iter().take(CPU_NUMBER_MAX) {
        for index in 0..CACHES_OF_CPU_MAX {
            let folder = format!("{CPUS}/cpu{number}/cache/index{index}");
            let Some(level) = tree.number(format!("{folder}/level")).and_then(|level| u32::try_from(level).ok()) else {
                break;
            };
            let Some(kind) = tree.text(format!("{folder}/type")) else { break };
            let Some(bytes) = tree.text(format!("{folder}/size")).and_then(|size| size_bytes(&size)) else { break };
            let shared_by = list(tree, &format!("{folder}/shared_cpu_list"));
            let shared_by = shared_by.unwrap_or_else(|| CpuSet::from_iter([number]));
            let same = found.entry((level, kind, bytes)).or_default();
            // Every processor that shares a cache names it; they come in order.
            if !same.iter().rev().any(|known| known.contains(number)) {
                same.push(shared_by);
            }
        }
    }
    let caches = found.into_iter().map(|((level, kind, bytes), mut sets)| {
        let count = sets.len();
        Cache { level, kind, bytes, shared_by: sets.swap_remove(0), count }
    });
    caches.collect()
}

/// `48K`, `2M`
fn size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return text.parse().ok(),
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Who decides on clock rates.
pub(super) fn governors(tree: &Tree<'_>) -> BTreeMap<String, CpuSet> {
    let mut governors: BTreeMap<String, CpuSet> = BTreeMap::new();
    for number in online(tree).iter() {
        if let Some(governor) = tree.text(format!("{CPUS}/cpu{number}/cpufreq/scaling_governor")) {
            governors.entry(governor).or_default().extend([number]);
        }
    }
    governors
}

/// Where interrupts of devices go.
pub(super) fn interrupts(tree: &Tree<'_>) -> Option<CpuSet> {
    let numbers = tree.names("proc/irq").into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
    let mut all: Option<CpuSet> = None;
    for number in numbers {
        let effective = list(tree, &format!("proc/irq/{number}/effective_affinity_list"));
        let allowed = || list(tree, &format!("proc/irq/{number}/smp_affinity_list"));
        if let Some(cpus) = effective.filter(|cpus| !cpus.is_empty()).or_else(allowed) {
            all.get_or_insert_default().extend(cpus.iter());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("48K", Some(49152)), ("2M", Some(2 << 20)), ("512", Some(512)), ("", None), ("é", None), ("K", None)]
        {
            assert_eq!(size_bytes(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn allowed_processors_are_in_the_status() {
        assert_eq!(allowed("Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n"), CpuSet::parse("0-1"));
        assert_eq!(allowed("Name:\tx\n"), None);
    }
}

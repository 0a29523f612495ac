//! How many shards, and on which processors.

use std::collections::{BTreeMap, BTreeSet};

use crate::cpu_set::CpuSet;
use crate::machine::{Cpu, Resources};
use crate::plan::sizes::Budget;
use crate::plan::{Available, CoreChoice, NodePolicy, PlanError, PlanLine, SHARDS_MAX, Shard, Wishes, counted};

/// What was chosen.
pub(super) struct Cores {
    pub(super) shards: Vec<Shard>,
    /// Whether processors are left out that nobody asked to leave out.
    pub(super) is_reduced: bool,
    pub(super) count: PlanLine,
    pub(super) which: PlanLine,
}

pub(super) fn choose(resources: &Resources, wishes: &Wishes, memory: &Budget) -> Result<Cores, PlanError> {
    let usable = Usable::of(resources);
    let chosen = match &wishes.cores {
        CoreChoice::Auto => usable.automatic(resources, wishes, memory),
        CoreChoice::Count(count) => usable.counted(*count, wishes.nodes)?,
        CoreChoice::These(cores) => usable.named(cores)?,
    };
    if chosen.cpus.len() > SHARDS_MAX {
        return Err(PlanError::TooManyShards { wanted: chosen.cpus.len() });
    }
    let mut shards: Vec<Shard> =
        chosen.cpus.iter().map(|cpu| Shard { cpu: Some(cpu.number), node: cpu.node }).collect();
    shards.sort_unstable_by_key(|shard| shard.cpu);
    let which = if shards.is_empty() {
        let because = "Nobody tells which processors this process may use, so its thread is not pinned.";
        PlanLine { what: "cores", value: "any".to_owned(), because: because.to_owned() }
    } else {
        PlanLine { what: "cores", value: described(&shards), because: chosen.which }
    };
    if shards.is_empty() {
        shards.push(Shard { cpu: None, node: None });
    }
    let count = PlanLine { what: "shards", value: shards.len().to_string(), because: chosen.why };
    let is_reduced = wishes.cores == CoreChoice::Auto && shards.len() < usable.all.len();
    Ok(Cores { shards, is_reduced, count, which })
}

/// The numbers, by node where there are several.
fn described(shards: &[Shard]) -> String {
    let mut nodes: BTreeMap<Option<usize>, CpuSet> = BTreeMap::new();
    for shard in shards {
        nodes.entry(shard.node).or_default().extend(shard.cpu);
    }
    let described = nodes.iter().map(|(node, cpus)| match node {
        Some(node) if nodes.len() > 1 => format!("{cpus} (node {node})"),
        _ => cpus.to_string(),
    });
    described.collect::<Vec<_>>().join(", ")
}

/// Processors of some shards, and the two reasons.
struct Chosen {
    cpus: Vec<Cpu>,
    /// Why so many.
    why: String,
    /// Why these.
    which: String,
}

/// The processors that may be used.
struct Usable {
    /// Online and allowed, isolated ones too, ascending.
    all: Vec<Cpu>,
    /// Those that are taken without being named.
    unnamed: Vec<Cpu>,
    /// Whether isolated ones were left out of those.
    left_out: CpuSet,
    /// Whether the process was given nothing but isolated ones, which nobody does by mistake.
    only_isolated: bool,
}

impl Usable {
    fn of(resources: &Resources) -> Self {
        let alone = |number| Cpu { number, core: number, node: None };
        let all: Vec<Cpu> = match (&resources.allowed, resources.cpus.as_slice()) {
            // Without a topology every processor that is allowed is a core.
            (Some(allowed), []) => allowed.iter().map(alone).collect(),
            (Some(allowed), cpus) => cpus.iter().filter(|cpu| allowed.contains(cpu.number)).cloned().collect(),
            (None, cpus) => cpus.to_vec(),
        };
        let (isolated, shared): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|cpu| resources.isolated.contains(cpu.number));
        let only_isolated = shared.is_empty() && !isolated.is_empty();
        let left_out = if only_isolated { CpuSet::default() } else { numbers(&isolated) };
        let unnamed = if only_isolated { isolated } else { shared };
        Self { all, unnamed, left_out, only_isolated }
    }

    /// One shard for each core, unless time, memory or the bound of all brokers is less.
    fn automatic(&self, resources: &Resources, wishes: &Wishes, memory: &Budget) -> Chosen {
        let (first, siblings) = by_core(&self.unnamed);
        let time = resources.control_group.cpu_millis.map(|millis| {
            let cores = usize::try_from(millis.div_ceil(1000)).unwrap_or(usize::MAX).max(1);
            let text = format!("the control group gives processor time of {}", thousandths(millis));
            (cores, text)
        });
        let of_memory = memory.bytes.map(|bytes| {
            let shards = usize::try_from(bytes / wishes.shard_memory_bytes_min.max(1)).unwrap_or(usize::MAX).max(1);
            let least = super::bytes(wishes.shard_memory_bytes_min);
            (shards, format!("{} of memory are {least} for each of so many", super::bytes(bytes)))
        });
        let bound = (SHARDS_MAX, format!("a broker has at most {SHARDS_MAX}"));
        let least = [time, of_memory, Some(bound)].into_iter().flatten().min_by_key(|(shards, _)| *shards);
        let limit = least.filter(|(shards, _)| *shards < first.len());
        let count = limit.as_ref().map_or(first.len(), |(shards, _)| *shards);
        let why = match limit {
            Some((_, text)) => format!("There are {}, but {text}.", counted(first.len(), "core")),
            None if first.is_empty() => "No processor is known.".to_owned(),
            None => "One for each core that this process may use.".to_owned(),
        };
        let is_part = count < first.len();
        let cpus = in_order(first, count, wishes.nodes);
        let which = self.which(&cpus, &siblings, wishes.nodes, is_part);
        Chosen { cpus, why, which }
    }

    fn counted(&self, count: usize, nodes: NodePolicy) -> Result<Chosen, PlanError> {
        let why = format!("ringlog.cores={count} asks for so many.");
        if self.all.is_empty() {
            return Ok(Chosen { cpus: Vec::new(), why: "No processor is known.".to_owned(), which: String::new() });
        }
        if count > self.unnamed.len() {
            return Err(PlanError::TooManyCores { wanted: count, available: Available(numbers(&self.unnamed)) });
        }
        let (first, siblings) = by_core(&self.unnamed);
        let (cores, is_part) = (first.len(), count < first.len());
        let mut cpus = in_order(first, count, nodes);
        let which = if count > cores {
            cpus.extend(in_order(siblings, count - cores, nodes));
            format!("There are {}, so some have two shards, on their SMT siblings.", counted(cores, "core"))
        } else {
            self.which(&cpus, &siblings, nodes, is_part)
        };
        Ok(Chosen { cpus, why, which })
    }

    fn named(&self, cores: &[usize]) -> Result<Chosen, PlanError> {
        let find = |core: &usize| self.all.iter().find(|cpu| cpu.number == *core).cloned();
        let cpus: Vec<Cpu> = if self.all.is_empty() {
            // Nobody can say that they are not there; a thread that cannot be pinned says so.
            cores.iter().map(|number| Cpu { number: *number, core: *number, node: None }).collect()
        } else {
            let found = cores.iter().map(|core| {
                find(core)
                    .ok_or_else(|| PlanError::NoSuchCore { core: *core, available: Available(numbers(&self.all)) })
            });
            found.collect::<Result<_, _>>()?
        };
        let (why, which) = ("ringlog.cores names so many.".to_owned(), "ringlog.cores names them.".to_owned());
        Ok(Chosen { cpus, why, which })
    }

    /// Why these processors.
    fn which(&self, cpus: &[Cpu], siblings: &[Cpu], policy: NodePolicy, is_part: bool) -> String {
        let mut reasons = Vec::new();
        if self.only_isolated {
            reasons.push("this process was given isolated cores alone".to_owned());
        }
        if !self.left_out.is_empty() {
            reasons.push(format!("{} are isolated, and would have to be named", self.left_out));
        }
        if !siblings.is_empty() {
            let siblings = numbers(siblings);
            reasons.push(format!(
                "{siblings} share their cores with others and are left to interrupts and kernel workers"
            ));
        }
        let several = self.unnamed.iter().any(|cpu| cpu.node != self.unnamed[0].node);
        let taken = cpus.first().is_some_and(|first| cpus.iter().all(|cpu| cpu.node == first.node));
        if several && is_part {
            reasons.push(match policy {
                NodePolicy::Fill if taken => "one node has room for all of them, so memory is near".to_owned(),
                NodePolicy::Fill => "nodes are filled one after the other, so memory is near".to_owned(),
                NodePolicy::Spread => "nodes are taken in turn, as ringlog.numa=spread asks".to_owned(),
            });
        }
        if reasons.is_empty() {
            reasons.push("they are all there are".to_owned());
        }
        let mut sentence = reasons.join("; ");
        if let Some(first) = sentence.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        sentence + "."
    }
}

fn numbers(cpus: &[Cpu]) -> CpuSet {
    cpus.iter().map(|cpu| cpu.number).collect()
}

/// The first processor of each core, and the others.
fn by_core(cpus: &[Cpu]) -> (Vec<Cpu>, Vec<Cpu>) {
    let mut seen = BTreeSet::new();
    cpus.iter().cloned().partition(|cpu| seen.insert(cpu.core))
}

/// `count` of the processors, nodes in the order of the policy.
fn in_order(cpus: Vec<Cpu>, count: usize, policy: NodePolicy) -> Vec<Cpu> {
    let mut nodes: BTreeMap<Option<usize>, Vec<Cpu>> = BTreeMap::new();
    for cpu in cpus {
        nodes.entry(cpu.node).or_default().push(cpu);
    }
    match policy {
        NodePolicy::Fill => {
            if let Some(node) = nodes.values().find(|node| node.len() >= count) {
                return node[..count].to_vec();
            }
            nodes.into_values().flatten().take(count).collect()
        }
        NodePolicy::Spread => {
            let mut nodes: Vec<_> = nodes.into_values().map(Vec::into_iter).collect();
            let mut taken = Vec::new();
            while taken.len() < count {
                let before = taken.len();
                for node in &mut nodes {
                    if taken.len() < count {
                        taken.extend(node.next());
                    }
                }
                if taken.len() == before {
                    break;
                }
            }
            taken
        }
    }
}

/// `1.5 cores`
fn thousandths(millis: u64) -> String {
    match (millis / 1000, millis % 1000) {
        (1, 0) => "1 core".to_owned(),
        (cores, 0) => format!("{cores} cores"),
        (cores, millis) => format!("{cores}.{} cores", format!("{millis:03}").trim_end_matches('0')),
    }
}

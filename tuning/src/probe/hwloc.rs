//! The processors as the library hwloc sees them: a second opinion, for machines whose kernel tells little of itself.

use hwlocality::Topology;
use hwlocality::object::types::ObjectType;

use crate::cpu_set::{CPU_NUMBER_MAX, CpuSet};
use crate::machine::Cpu;

/// Processors that are online and allowed, ascending; `None` where hwloc finds nothing out.
pub(super) fn cpus() -> Option<Vec<Cpu>> {
    let topology = Topology::new().ok()?;
    let mut cpus: Vec<Cpu> = Vec::new();
    for core in topology.objects_with_type(ObjectType::Core) {
        let numbers: CpuSet = core.cpuset()?.iter_set().map(usize::from).take(CPU_NUMBER_MAX).collect();
        let node = core.nodeset().and_then(|nodes| nodes.first_set()).map(usize::from);
        let Some(first) = numbers.first() else { continue };
        cpus.extend(numbers.iter().map(|number| Cpu { number, core: first, node }));
    }
    cpus.sort_unstable_by_key(|cpu| cpu.number);
    (!cpus.is_empty()).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::processors;
    use crate::tree::Tree;
    use std::path::Path;

    #[test]
    fn both_see_the_same_processors() {
        let tree = Tree::new(Path::new("/"));
        let ours = processors::cpus(&tree);
        let theirs = cpus().expect("hwloc finds processors");
        // Those of other control groups are not shown to hwloc.
        let shown: Vec<Cpu> =
            ours.into_iter().filter(|cpu| theirs.iter().any(|theirs| theirs.number == cpu.number)).collect();
        assert_eq!(shown, theirs);
        let status = tree.text("proc/self/status").expect("there is one");
        let allowed = processors::allowed(&status).expect("it is told");
        assert!(allowed.iter().all(|number| theirs.iter().any(|cpu| cpu.number == number)), "{allowed}: {theirs:?}");
    }
}

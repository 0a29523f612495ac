//! Network interfaces.

use crate::machine::Interface;
use crate::tree::Tree;

const FOLDER: &str = "sys/class/net";
/// Interfaces that are told; hosts of containers have one for each of them.
const INTERFACES_MAX: usize = 64;

/// Interfaces that are up, or are real devices; the loopback one is neither.
pub(super) fn interfaces(tree: &Tree<'_>) -> Vec<Interface> {
    let interface = |name: String| {
        let folder = format!("{FOLDER}/{name}");
        let is_up = tree.text(format!("{folder}/operstate")).as_deref() == Some("up");
        if !is_up && !tree.has(format!("{folder}/device")) {
            return None;
        }
        let queues = tree.names(format!("{folder}/queues"));
        Some(Interface {
            // An interface that does not know its speed says -1, or nothing.
            speed_mbit: tree.number(format!("{folder}/speed")).filter(|speed| *speed > 0),
            mtu: tree.number(format!("{folder}/mtu")),
            is_up,
            receive_queues: queues.iter().filter(|queue| queue.starts_with("rx-")).count(),
            node: tree.number(format!("{folder}/device/numa_node")).and_then(|node| usize::try_from(node).ok()),
            name,
        })
    };
    tree.names(FOLDER).into_iter().filter_map(interface).take(INTERFACES_MAX).collect()
}

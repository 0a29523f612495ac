//! The network: how fast, and how what arrives is spread.

use crate::check::kernel::at_least;
use crate::check::{Item, Needs};
use crate::knob::Knob;
use crate::machine::{Interface, Machine};
use crate::plan::{Plan, bytes};

/// Connections that wait to be accepted while shards are busy.
const BACKLOG_MIN: u64 = 1024;
/// What a connection has under way on 10 Gbit/s over 3 ms: clients in other zones.
const TCP_BYTES_MIN: u64 = 4 << 20;
const SPEED_MBIT_MIN: u64 = 10_000;
/// Queues that are enough for any number of shards.
const QUEUES_MAX: usize = 16;

pub(super) fn check(machine: &Machine, plan: &Plan, needs: Needs) -> Vec<Item> {
    let up: Vec<&Interface> = machine.interfaces.iter().filter(|interface| interface.is_up).collect();
    let backlog = needs.listen_backlog.max(BACKLOG_MIN);
    let because = "Clients that come back all at once are turned away when the queue of a listener is full.";
    vec![
        speed(&up),
        queues(&up, plan),
        at_least(machine, "listen backlog", "net.core.somaxconn", backlog, because),
        buffers(machine, "receive buffers of TCP", "net.ipv4.tcp_rmem"),
        buffers(machine, "send buffers of TCP", "net.ipv4.tcp_wmem"),
    ]
}

fn speed(up: &[&Interface]) -> Item {
    const NAME: &str = "network";
    let wanted = format!("{SPEED_MBIT_MIN} Mbit/s or more");
    let known = up.iter().filter_map(|interface| Some((interface.speed_mbit?, &interface.name)));
    let Some((speed, name)) = known.max() else { return Item::unknown(NAME, wanted) };
    let item = Item::new(NAME, format!("{name}: {speed} Mbit/s"), wanted);
    if speed >= SPEED_MBIT_MIN {
        return item;
    }
    item.warn("One core takes in more than that, so the network is what clients wait for.", "use a faster interface")
}

/// With fewer queues than shards some cores do the work of the network for all others.
fn queues(up: &[&Interface], plan: &Plan) -> Item {
    const NAME: &str = "receive queues";
    let least = plan.shards.len().min(QUEUES_MAX);
    let wanted = format!("{least} or more");
    let Some(most) = up.iter().max_by_key(|interface| interface.receive_queues) else {
        return Item::unknown(NAME, wanted);
    };
    let item = Item::new(NAME, format!("{}: {}", most.name, most.receive_queues), wanted);
    if most.receive_queues >= least {
        return item;
    }
    let name = &most.name;
    let remedy = format!(
        "ethtool -L {name} combined {least}; or spread by software, /sys/class/net/{name}/queues/rx-*/rps_cpus"
    );
    item.warn("The cores whose queues these are do the network's work of all shards.", remedy)
}

fn buffers(machine: &Machine, name: &'static str, sysctl: &str) -> Item {
    let wanted = format!("{} or more", bytes(TCP_BYTES_MIN));
    let Some(most) = machine.kernel.sysctl_last(sysctl) else { return Item::unknown(name, wanted) };
    let item = Item::new(name, bytes(most), wanted);
    if most >= TCP_BYTES_MIN {
        return item;
    }
    let because = "A connection over a longer way cannot have enough under way to be fast.";
    let value = machine.kernel.sysctls.get(sysctl).map(|text| text.split(' ').collect::<Vec<_>>());
    match value.as_deref() {
        Some([least, default, _]) => {
            let value = format!("{least} {default} {TCP_BYTES_MIN}");
            item.warn_and_set(because, vec![(Knob::sysctl(sysctl), value)])
        }
        _ => item.warn(because, format!("raise the last number of {sysctl} to {TCP_BYTES_MIN}")),
    }
}

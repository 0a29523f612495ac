//! What holds between settings of a broker, at its start and while it runs.

use super::layers::ConfigLayers;
use super::log_dirs::cordons;

/// Looks at values that must go together; tells every reason against them.
pub(super) fn check_broker(layers: &ConfigLayers<'_>) -> Vec<String> {
    [check_per_ip(layers), cordons(layers).map(drop)].into_iter().filter_map(Result::err).collect()
}

/// As in Kafka: nobody could connect any more, not even to change it.
fn check_per_ip(layers: &ConfigLayers<'_>) -> Result<(), String> {
    if layers.integer("max.connections.per.ip") > 0 || !layers.text("max.connections.per.ip.overrides").is_empty() {
        return Ok(());
    }
    Err("max.connections.per.ip=0 would let nobody connect; expected at least 1, or addresses that may connect all the same, \
         in max.connections.per.ip.overrides"
        .to_owned())
}

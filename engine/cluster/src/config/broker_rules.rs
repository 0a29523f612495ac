//! What holds between settings of a broker, at its start and while it runs.

use super::describe::topic_value;
use super::layers::{ConfigLayers, ConfigMap};
use super::log_dirs::cordons;
use super::value::Value;

/// Looks at values that must go together; tells every reason against them.
pub(super) fn check_broker(layers: &ConfigLayers<'_>) -> Vec<String> {
    let results = [check_per_ip(layers), check_retention(layers), cordons(layers).map(drop)];
    results.into_iter().filter_map(Result::err).collect()
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

/// As in Kafka: what nobody chose for a topic must not delete everything that is written to it.
fn check_retention(layers: &ConfigLayers<'_>) -> Result<(), String> {
    match topic_value("retention.ms", &ConfigMap::new(), layers) {
        Some(Value::Integer(0)) => {
            Err("log.retention.ms, log.retention.minutes or log.retention.hours is 0, which would keep \
                                        nothing of any topic; expected at least 1, or -1 to keep everything"
                .to_owned())
        }
        _ => Ok(()),
    }
}

//! What holds between settings of a group, and between them and the settings of its broker.

use super::alteration::AlterError;
use super::describe::group_value;
use super::key::Expected;
use super::layers::{ConfigLayers, ConfigMap};
use super::static_config::ConfigError;
use super::value::Value;

/// A number whose bounds the broker sets. Groups that do not set it have that of the broker key `group.` and the same name.
struct Bounded {
    key: &'static str,
    /// The broker key of the least.
    min: Option<&'static str>,
    /// The broker key of the most.
    max: Option<&'static str>,
}

const fn bounded(key: &'static str, min: Option<&'static str>, max: Option<&'static str>) -> Bounded {
    Bounded { key, min, max }
}

const BOUNDED: &[Bounded] = &[
    bounded(
        "consumer.heartbeat.interval.ms",
        Some("group.consumer.min.heartbeat.interval.ms"),
        Some("group.consumer.max.heartbeat.interval.ms"),
    ),
    bounded(
        "consumer.session.timeout.ms",
        Some("group.consumer.min.session.timeout.ms"),
        Some("group.consumer.max.session.timeout.ms"),
    ),
    bounded(
        "consumer.assignment.interval.ms",
        Some("group.consumer.min.assignment.interval.ms"),
        Some("group.consumer.max.assignment.interval.ms"),
    ),
    bounded(
        "share.heartbeat.interval.ms",
        Some("group.share.min.heartbeat.interval.ms"),
        Some("group.share.max.heartbeat.interval.ms"),
    ),
    bounded(
        "share.session.timeout.ms",
        Some("group.share.min.session.timeout.ms"),
        Some("group.share.max.session.timeout.ms"),
    ),
    bounded(
        "share.record.lock.duration.ms",
        Some("group.share.min.record.lock.duration.ms"),
        Some("group.share.max.record.lock.duration.ms"),
    ),
    bounded(
        "share.delivery.count.limit",
        Some("group.share.min.delivery.count.limit"),
        Some("group.share.max.delivery.count.limit"),
    ),
    bounded(
        "share.partition.max.record.locks",
        Some("group.share.min.partition.max.record.locks"),
        Some("group.share.max.partition.max.record.locks"),
    ),
    bounded(
        "share.assignment.interval.ms",
        Some("group.share.min.assignment.interval.ms"),
        Some("group.share.max.assignment.interval.ms"),
    ),
    bounded(
        "streams.heartbeat.interval.ms",
        Some("group.streams.min.heartbeat.interval.ms"),
        Some("group.streams.max.heartbeat.interval.ms"),
    ),
    bounded(
        "streams.session.timeout.ms",
        Some("group.streams.min.session.timeout.ms"),
        Some("group.streams.max.session.timeout.ms"),
    ),
    bounded(
        "streams.assignment.interval.ms",
        Some("group.streams.min.assignment.interval.ms"),
        Some("group.streams.max.assignment.interval.ms"),
    ),
    bounded("streams.task.offset.interval.ms", Some("group.streams.min.task.offset.interval.ms"), None),
    bounded("streams.num.standby.replicas", None, Some("group.streams.max.standby.replicas")),
    bounded("streams.num.warmup.replicas", None, Some("group.streams.max.warmup.replicas")),
];

/// Sessions, and the heartbeats of which at least one has to fit into each.
const SESSIONS: &[(&str, &str)] = &[
    ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
];

impl Bounded {
    /// The least and the most.
    fn range(&self, layers: &ConfigLayers<'_>) -> (i64, i64) {
        (self.min.map_or(0, |key| layers.integer(key)), self.max.map_or(i64::from(i32::MAX), |key| layers.integer(key)))
    }
}

/// Looks whether a group may have these settings.
pub(super) fn check_group(settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Result<(), AlterError> {
    for bounded in BOUNDED {
        let Some(text) = settings.get(bounded.key) else { continue };
        let (least, most) = bounded.range(layers);
        if text.parse().is_ok_and(|value| !(least..=most).contains(&value)) {
            let expected = Expected(format!("a whole number from {least} to {most}, the bounds of the broker"));
            return Err(AlterError::InvalidValue { key: bounded.key.to_owned(), value: text.clone(), expected });
        }
    }
    if let Some(name) = settings.get("streams.assignor.name")
        && !layers.list("group.streams.assignors").contains(name)
    {
        let expected = Expected("one of group.streams.assignors".to_owned());
        return Err(AlterError::InvalidValue {
            key: "streams.assignor.name".to_owned(),
            value: name.clone(),
            expected,
        });
    }
    for (session, heartbeat) in SESSIONS {
        let is_set = settings.contains_key(*session) || settings.contains_key(*heartbeat);
        let (session_ms, heartbeat_ms) =
            (group_integer(session, settings, layers), group_integer(heartbeat, settings, layers));
        if is_set && session_ms <= heartbeat_ms {
            let text = format!("{session} ({session_ms}) is not larger than {heartbeat} ({heartbeat_ms})");
            return Err(AlterError::Conflict(text));
        }
    }
    match settings.get("errors.deadletterqueue.topic.name") {
        Some(topic) if topic.starts_with("__") => Err(AlterError::Conflict(format!(
            "errors.deadletterqueue.topic.name={topic}: a topic whose name begins with __ takes no dead letters"
        ))),
        _ => Ok(()),
    }
}

/// The value in force of a group's number.
fn group_integer(name: &str, settings: &ConfigMap, layers: &ConfigLayers<'_>) -> i64 {
    match group_value(name, settings, layers) {
        Some(Value::Integer(value)) => value,
        other => panic!("{name} is not a number but {other:?}"),
    }
}

/// Looks whether what groups inherit from a broker lies within the bounds that it sets for them.
pub(super) fn check_bounds(layers: &ConfigLayers<'_>) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for bounded in BOUNDED {
        let inherited_key = format!("group.{}", bounded.key);
        let ((least, most), inherited) = (bounded.range(layers), layers.integer(&inherited_key));
        if !(least..=most).contains(&inherited) {
            let bounds = [bounded.min, bounded.max].into_iter().flatten();
            let bounds: Vec<_> = bounds.map(|key| format!("{key}={}", layers.integer(key))).collect();
            let text = format!("{inherited_key}={inherited} lies beyond {}", bounds.join(", "));
            errors.push(ConfigError::Conflict(text));
        }
    }
    for (session, heartbeat) in SESSIONS {
        let inherited = |name: &str| (format!("group.{name}"), layers.integer(&format!("group.{name}")));
        let ((session, session_ms), (heartbeat, heartbeat_ms)) = (inherited(session), inherited(heartbeat));
        if session_ms <= heartbeat_ms {
            let text = format!("{session}={session_ms} must be larger than {heartbeat}={heartbeat_ms}");
            errors.push(ConfigError::Conflict(text));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, StaticConfig, group_key};

    fn fixed(set: &[&str]) -> StaticConfig {
        let set: Vec<String> = set.iter().map(|setting| (*setting).to_owned()).collect();
        let (fixed, _) =
            StaticConfig::load(&Sources { set: &set, ..Sources::default() }).expect("every value is valid");
        fixed
    }

    fn map(settings: &[(&str, &str)]) -> ConfigMap {
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_key_of_the_rules_is_in_the_table() {
        let fixed = fixed(&[]);
        let layers = ConfigLayers::of_start(&fixed);
        for bounded in BOUNDED {
            assert!(group_key(bounded.key).is_some(), "{}", bounded.key);
            let (least, most) = bounded.range(&layers);
            assert!(least <= most, "{}", bounded.key);
        }
        assert_eq!(check_bounds(&layers), []);
    }

    #[test]
    fn a_group_stays_within_the_bounds_of_its_broker() {
        let check = |set: &[&str], settings: &[(&str, &str)], expected: &str| {
            let fixed = fixed(set);
            let told = check_group(&map(settings), &ConfigLayers::of_start(&fixed));
            assert_eq!(told.map_or_else(|error| error.to_string(), |()| "ok".to_owned()), expected, "{settings:?}");
        };
        check(&[], &[("consumer.session.timeout.ms", "45000"), ("consumer.heartbeat.interval.ms", "15000")], "ok");
        let range =
            "consumer.session.timeout.ms=44999: expected a whole number from 45000 to 60000, the bounds of the broker";
        check(&[], &[("consumer.session.timeout.ms", "44999")], range);
        check(&["group.consumer.min.session.timeout.ms=1000"], &[("consumer.session.timeout.ms", "44999")], "ok");
        let range = "streams.num.standby.replicas=3: expected a whole number from 0 to 2, the bounds of the broker";
        check(&[], &[("streams.num.standby.replicas", "3")], range);
        let session = "consumer.session.timeout.ms (5000) is not larger than consumer.heartbeat.interval.ms (5000)";
        check(&["group.consumer.min.session.timeout.ms=1000"], &[("consumer.session.timeout.ms", "5000")], session);
        let assignor = "streams.assignor.name=mine: expected one of group.streams.assignors";
        check(&[], &[("streams.assignor.name", "mine")], assignor);
        check(&[], &[("streams.assignor.name", "sticky"), ("errors.deadletterqueue.topic.name", "dead")], "ok");
        let dead = "errors.deadletterqueue.topic.name=__dead: a topic whose name begins with __ takes no dead letters";
        check(&[], &[("errors.deadletterqueue.topic.name", "__dead")], dead);
    }

    #[test]
    fn a_broker_whose_own_values_are_out_of_bounds_does_not_start() {
        let check = |set: &[&str], expected: &[&str]| {
            let fixed = fixed(set);
            let errors = check_bounds(&ConfigLayers::of_start(&fixed));
            let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told, expected);
        };
        check(
            &["group.consumer.session.timeout.ms=800", "group.consumer.min.session.timeout.ms=1"],
            &["group.consumer.session.timeout.ms=800 must be larger than group.consumer.heartbeat.interval.ms=5000"],
        );
        check(
            &["group.consumer.session.timeout.ms=61000"],
            &["group.consumer.session.timeout.ms=61000 lies beyond group.consumer.min.session.timeout.ms=45000, \
               group.consumer.max.session.timeout.ms=60000"],
        );
    }
}

//! What holds between settings of a group, and between them and the settings of its broker.

use super::alteration::AlterError;
use super::describe::group_value;
use super::key::Expected;
use super::layers::{ConfigLayers, ConfigMap};
use super::static_config::ConfigError;
use super::value::Value;

/// A number whose bounds the broker sets.
struct Bounded {
    /// The group's key.
    key: &'static str,
    /// The broker key of what groups have that do not set it.
    inherited: &'static str,
    /// The broker key of the least.
    min: Option<&'static str>,
    /// The broker key of the most.
    max: Option<&'static str>,
}

macro_rules! bounded {
    ($($protocol:literal: $name:literal $($side:ident)+;)*) => {
        &[$(Bounded {
            key: concat!($protocol, ".", $name),
            inherited: concat!("group.", $protocol, ".", $name),
            $($side: Some(concat!("group.", $protocol, ".", stringify!($side), ".", $name)),)+
            ..UNBOUNDED
        },)*]
    };
}

const UNBOUNDED: Bounded = Bounded { key: "", inherited: "", min: None, max: None };

const BOUNDED: &[Bounded] = bounded! {
    "consumer": "heartbeat.interval.ms" min max;
    "consumer": "session.timeout.ms" min max;
    "consumer": "assignment.interval.ms" min max;
    "share": "heartbeat.interval.ms" min max;
    "share": "session.timeout.ms" min max;
    "share": "record.lock.duration.ms" min max;
    "share": "delivery.count.limit" min max;
    "share": "partition.max.record.locks" min max;
    "share": "assignment.interval.ms" min max;
    "streams": "heartbeat.interval.ms" min max;
    "streams": "session.timeout.ms" min max;
    "streams": "assignment.interval.ms" min max;
    "streams": "task.offset.interval.ms" min;
};

/// Numbers that have a most alone, whose key is not named after them.
const AT_MOST: &[Bounded] = &[
    Bounded {
        key: "streams.num.standby.replicas",
        inherited: "group.streams.num.standby.replicas",
        max: Some("group.streams.max.standby.replicas"),
        ..UNBOUNDED
    },
    Bounded {
        key: "streams.num.warmup.replicas",
        inherited: "group.streams.num.warmup.replicas",
        max: Some("group.streams.max.warmup.replicas"),
        ..UNBOUNDED
    },
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

fn all_bounded() -> impl Iterator<Item = &'static Bounded> {
    BOUNDED.iter().chain(AT_MOST)
}

/// Looks whether a group may have these settings.
pub(super) fn check_group(settings: &ConfigMap, layers: &ConfigLayers<'_>) -> Result<(), AlterError> {
    for bounded in all_bounded() {
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
    for bounded in all_bounded() {
        let ((least, most), inherited) = (bounded.range(layers), layers.integer(bounded.inherited));
        if !(least..=most).contains(&inherited) {
            let bounds = [bounded.min, bounded.max].into_iter().flatten();
            let bounds: Vec<_> = bounds.map(|key| format!("{key}={}", layers.integer(key))).collect();
            let text = format!("{}={inherited} lies beyond {}", bounded.inherited, bounds.join(", "));
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
        for bounded in all_bounded() {
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

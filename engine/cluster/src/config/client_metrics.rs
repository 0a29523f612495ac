//! Subscriptions to metrics of clients (KIP-714): which metrics, how often, of which clients.

use regex::Regex;

use super::keys::client_metrics_key;
use super::layers::ConfigMap;
use super::value::Value;
use crate::expression::java_whole_match;

/// What a client can be selected by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientField {
    /// Its instance id, as text.
    InstanceId,
    /// Its client id.
    ClientId,
    /// The name of its software, as `ApiVersions` tells it.
    SoftwareName,
    /// The version of its software.
    SoftwareVersion,
    /// The address that it connects from.
    SourceAddress,
    /// The port that it connects from.
    SourcePort,
}

impl ClientField {
    const ALL: [(&str, Self); 6] = [
        ("client_id", Self::ClientId),
        ("client_instance_id", Self::InstanceId),
        ("client_software_name", Self::SoftwareName),
        ("client_software_version", Self::SoftwareVersion),
        ("client_source_address", Self::SourceAddress),
        ("client_source_port", Self::SourcePort),
    ];

    /// The field that a selector calls so.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, field)| field)
    }

    /// All names, for people.
    pub(super) fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }
}

/// One item of `match`.
#[derive(Clone, Debug)]
pub struct ClientSelector {
    /// What it looks at.
    pub field: ClientField,
    expression: Regex,
}

impl ClientSelector {
    /// Reads `name=expression`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, expression) = text.split_once('=')?;
        let expression = expression.trim();
        let may_be_one = !expression.is_empty() && !expression.contains('=');
        let expression = may_be_one.then(|| java_whole_match(expression)).flatten()?;
        Some(Self { field: ClientField::of_name(name.trim())?, expression })
    }

    /// Whether it selects a client with this value in its field.
    pub fn selects(&self, value: &str) -> bool {
        self.expression.is_match(value)
    }
}

/// One subscription.
#[derive(Clone, Debug)]
pub struct ClientSubscription {
    /// How often a client pushes.
    pub interval_ms: i32,
    /// Prefixes of names of metrics, or [`ALL_METRICS`].
    pub metrics: Vec<String>,
    /// All of them must select a client. One that names a field again counts in the place of the one before.
    pub selectors: Vec<ClientSelector>,
}

/// Stands for every metric.
pub const ALL_METRICS: &str = "*";

impl ClientSubscription {
    /// The subscription with these settings.
    pub fn new(settings: &ConfigMap) -> Self {
        let value = |name: &str| {
            let key = client_metrics_key(name).unwrap_or_else(|| panic!("{name} is no key of client metrics"));
            let given = settings.get(name).and_then(|text| key.parse(text).ok());
            given.or_else(|| key.default_value()).expect("no default of them is null")
        };
        let list = |name: &str| match value(name) {
            Value::List(items) => items,
            other => panic!("{name} is not a list but {other:?}"),
        };
        let interval_ms = match value("interval.ms") {
            Value::Integer(millis) => i32::try_from(millis).expect("its range ends below"),
            other => panic!("interval.ms is not a number but {other:?}"),
        };
        let mut selectors: Vec<ClientSelector> = Vec::new();
        for selector in list("match").iter().filter_map(|item| ClientSelector::parse(item)) {
            selectors.retain(|known| known.field != selector.field);
            selectors.push(selector);
        }
        Self { interval_ms, metrics: list("metrics"), selectors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_a_name_and_an_expression_of_whole_values() {
        for text in ["client_id=.*", " client_source_port = 9[0-9]+ "] {
            assert!(ClientSelector::parse(text).is_some(), "{text}");
        }
        for text in ["", "client_id", "client_id=", "client_id=a=b", "id=a", "client_id=(", "=a"] {
            assert!(ClientSelector::parse(text).is_none(), "{text}");
        }
        let selector = ClientSelector::parse("client_id=shop-.").expect("it is one");
        assert!(selector.selects("shop-1") && !selector.selects("shop-12") && !selector.selects("a-shop-1"));
    }

    #[test]
    fn a_subscription_has_defaults() {
        let subscription = ClientSubscription::new(&ConfigMap::new());
        assert_eq!(
            (subscription.interval_ms, subscription.metrics.len(), subscription.selectors.len()),
            (300_000, 0, 0)
        );
        let settings = [("interval.ms", "100"), ("metrics", "a,b"), ("match", "client_id=a,client_id=b")];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        let subscription = ClientSubscription::new(&settings);
        assert_eq!((subscription.interval_ms, subscription.metrics), (100, vec!["a".to_owned(), "b".to_owned()]));
        let [selector] = subscription.selectors.as_slice() else { panic!("the second one counts") };
        assert!(selector.selects("b") && !selector.selects("a"));
    }
}

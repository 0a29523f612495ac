//! What every row of the table keeps to.

use std::collections::BTreeSet;

use super::*;
use crate::config::key::{Effect, Scope};

fn all_keys() -> impl Iterator<Item = &'static ConfigKey> {
    broker_keys().chain(topic_keys()).chain(group_keys()).chain(client_metrics_keys())
}

#[test]
fn every_table_is_sorted_and_no_key_stands_in_two() {
    for rows in BROKER_TABLES.iter().chain([&topic::ROWS, &group::ROWS, &client_metrics::ROWS]) {
        for pair in rows.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} before {}", pair[0].name, pair[1].name);
        }
    }
    let mut seen = BTreeSet::new();
    assert_eq!(broker_keys().find(|key| !seen.insert(key.name)), None);
    assert_eq!(retired::ROWS.iter().find(|row| broker_key(row.name).is_some()), None);
    for key in broker_keys() {
        assert_eq!(broker_key(key.name), Some(key));
    }
}

#[test]
fn every_row_is_documented_and_says_why_it_does_nothing() {
    for key in all_keys() {
        let doc = key.documentation();
        assert!(doc.len() > 10 && doc.ends_with('.') && !doc.contains('\n'), "documentation of {}: {doc:?}", key.name);
        match key.effect {
            Effect::Acts => {}
            Effect::Accepted(reason) | Effect::Refused(reason) => assert!(reason.len() > 10, "reason of {}", key.name),
        }
    }
    for row in retired::ROWS {
        assert!(row.reason.len() > 10, "reason of {}", row.name);
    }
}

#[test]
fn every_default_is_valid_and_says_itself_again() {
    for key in all_keys() {
        let Some(text) = key.default else { continue };
        let value = key.parse(text).unwrap_or_else(|expected| panic!("default of {}: {expected}", key.name));
        if key.kind != crate::config::key::Kind::Bytes {
            assert_eq!(value.to_string(), text, "{}", key.name);
        }
    }
}

#[test]
fn scopes_fit_their_tables_and_synonyms_exist() {
    for key in broker_keys() {
        let is_a_broker_s = matches!(key.scope, Scope::ReadOnly | Scope::PerBroker | Scope::ClusterWide);
        assert!(is_a_broker_s, "{}", key.name);
    }
    for key in group_keys() {
        let Scope::Group(synonyms) = key.scope else { panic!("{} is no group's key", key.name) };
        for synonym in synonyms {
            let inherited = broker_key(synonym.name).and_then(ConfigKey::default_value);
            let inherited = inherited.map(|value| synonym.unit.convert(value));
            // What nobody has set comes from the broker's row.
            assert!(inherited.is_some(), "{} of {}", synonym.name, key.name);
            assert!(key.default.is_none() || inherited == key.default_value(), "{}", key.name);
        }
    }
    for key in client_metrics_keys() {
        assert_eq!(key.scope, Scope::ClientMetrics, "{}", key.name);
    }
    for key in topic_keys() {
        let Scope::Topic(synonyms) = key.scope else { panic!("{} is no topic's key", key.name) };
        for synonym in synonyms {
            assert!(broker_key(synonym.name).is_some(), "{} of {}", synonym.name, key.name);
        }
    }
}

/// The typed structs are where keys are read; the rest of the program reads the structs.
#[test]
fn every_key_that_acts_is_read_somewhere() {
    let readers = [
        include_str!("../broker_config.rs"),
        include_str!("../log_dirs.rs"),
        include_str!("../topic_config.rs"),
        include_str!("../listener.rs"),
        include_str!("../group_config.rs"),
        include_str!("../client_metrics.rs"),
        include_str!("../../connections/limits.rs"),
    ];
    let is_read = |name: &str| readers.iter().any(|text| text.contains(&format!("\"{name}\"")));
    let inherited: BTreeSet<&str> = topic_keys()
        .iter()
        .filter(|key| key.effect == Effect::Acts)
        .filter_map(|key| match key.scope {
            Scope::Topic(synonyms) => Some(synonyms),
            _ => None,
        })
        .flatten()
        .map(|synonym| synonym.name)
        .collect();
    for key in all_keys().filter(|key| key.effect == Effect::Acts) {
        assert!(is_read(key.name) || inherited.contains(key.name), "{} is read nowhere", key.name);
    }
}

//! The table keeps the rules that Prometheus has for names, and the README tells of all of it.

use std::collections::BTreeSet;

use super::*;

/// Where the table of families stands for people.
const README: &str = include_str!("../../../../../README.md");

#[test]
fn families_are_named_as_prometheus_asks_for() {
    let mut names = BTreeSet::new();
    for family in ALL.into_iter().flatten() {
        let Family { name, kind, help, labels, .. } = *family;
        assert!(names.insert(name), "{name} stands there twice");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name} is a {}", kind.name());
        let ends_as_a_part = ["_count", "_sum", "_bucket"].iter().any(|part| name.ends_with(part));
        assert_eq!(ends_as_a_part, kind == Kind::Untyped, "{name} is a {}", kind.name());
        assert!(help.ends_with('.') && !help.contains('\n') && !help.contains('\\'), "{name}: {help}");
        assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len(), "{name}");
        assert!(!labels.contains(&"le") && !labels.contains(&"quantile"), "{name}");
        if kind == Kind::Histogram {
            assert!(["_seconds", "_bytes"].iter().any(|unit| name.ends_with(unit)), "{name} has no unit");
        }
        let is_own = name.starts_with("ringlog_");
        assert_eq!(is_own, family.set == FamilySet::Ringlog, "{name}");
    }
}

/// The README tells of each set how many families it has, so that a row that is added is told of there.
#[test]
fn the_readme_tells_of_every_set() {
    for (set, name) in [
        (FamilySet::Jmx, "`jmx`"),
        (FamilySet::KafkaExporter, "`kafka_exporter`"),
        (FamilySet::Kminion, "`kminion`"),
        (FamilySet::Ringlog, "`ringlog`"),
        (FamilySet::Process, "always"),
    ] {
        let count = ALL.into_iter().flatten().filter(|family| family.set == set).count();
        let row = README.lines().find(|line| line.starts_with(&format!("| {name} |")));
        let row = row.unwrap_or_else(|| panic!("README.md has no row for {name}"));
        assert!(row.contains(&format!("| {count} |")), "{name} has {count} families: {row}");
    }
}

//! Levels of features.

use super::*;

fn update(cluster: &mut Cluster, updates: &[(&str, i16, i8)], intent: Intent) -> String {
    let update = |(name, level, code): &(&str, i16, i8)| FeatureUpdate {
        name: (*name).to_owned(),
        level: *level,
        upgrade_type: UpgradeType::from_wire_code(*code),
    };
    let updates: Vec<_> = updates.iter().map(update).collect();
    match cluster.rehearsal.step(|metadata| metadata.update_features(&updates, intent)) {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{}: {error}", error.code().name()),
    }
}

#[test]
fn levels_go_up_and_down() {
    let mut cluster = Cluster::started("");
    let mut check = |updates: &[_], expected: &str, level: i16| {
        assert_eq!(update(&mut cluster, updates, Intent::Apply), expected);
        assert_eq!(cluster.image().feature_level("group.version"), level);
    };
    check(&[("group.version", 0, 2)], "ok", 0);
    check(&[("group.version", 0, 1)], "ok", 0);
    check(&[("group.version", 1, 1)], "ok", 1);
    check(&[("group.version", 0, 3)], "ok", 0);
    check(&[("group.version", 0, 3), ("group.version", 1, 3)], "ok", 1);
    check(&[("metadata.version", 33, 1), ("kraft.version", 1, 2)], "ok", 1);
    assert_eq!(update(&mut cluster, &[("group.version", 0, 2)], Intent::ValidateOnly), "ok");
    assert_eq!(cluster.image().feature_level("group.version"), 1);
}

#[test]
fn one_refused_level_is_enough_to_change_none() {
    let mut cluster = Cluster::started("");
    let before = cluster.rehearsal.log.len();
    for (name, level, code, expected) in [
        ("group.version", 0, 1, "feature group.version: level 0 is a downgrade, which the upgrade type has to allow"),
        ("group.version", 2, 1, "feature group.version: level 2 is not among those of this release, 0 to 1"),
        ("group.version", -1, 2, "feature group.version: a level is not below 0, and -1 is"),
        ("metadata.version", 32, 2, "feature metadata.version: level 32 is not among those of this release, 33 to 33"),
        ("kraft.version", 0, 3, "feature kraft.version cannot go down to level 0"),
        ("planet.version", 0, 2, "feature planet.version is not known to this release"),
        (
            "group.version",
            0,
            4,
            "feature group.version: the upgrade type is neither an upgrade nor a safe or unsafe downgrade",
        ),
    ] {
        let updates = [("transaction.version", 0, 2), (name, level, code)];
        assert_eq!(update(&mut cluster, &updates, Intent::Apply), format!("INVALID_UPDATE_VERSION: {expected}"));
    }
    assert_eq!(cluster.rehearsal.log.len(), before);
}

#[test]
fn eligible_leader_replicas_pin_what_they_need() {
    let mut cluster = Cluster::started("min.insync.replicas=2");
    let elr = "eligible.leader.replicas.version";
    assert_eq!(update(&mut cluster, &[(elr, 0, 2)], Intent::Apply), "ok");
    let broker = ConfigResource::Broker(NODE);
    assert_eq!(cluster.alter(&ConfigResource::AllBrokers, "min.insync.replicas", None), "ok");
    assert_eq!(cluster.alter(&broker, "min.insync.replicas", Some("3")), "ok");
    assert_eq!(update(&mut cluster, &[(elr, 1, 1)], Intent::Apply), "ok");
    let pinned = cluster.image().config(&ConfigResource::AllBrokers);
    assert_eq!(pinned.get("min.insync.replicas").map(String::as_str), Some("2"));
    assert!(cluster.image().config(&broker).is_empty());
}

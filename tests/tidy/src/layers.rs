//! A crate uses only crates of lower layers.

use serde_json::Value;

use crate::Fault;

/// The layers, from below. A crate that is not named here has no place in the house yet.
pub const LAYERS: &[(&str, u8)] = &[
    ("ringlog-buffer", 0),
    ("ringlog-measure", 0),
    ("ringlog-storage", 1),
    ("ringlog-reactor", 1),
    ("ringlog-net", 2),
    ("ringlog-tuning", 2),
    ("ringlog-client", 3),
    ("ringlog-cluster", 3),
    ("ringlog-broker", 4),
    ("ringlog", 5),
    ("ringlog-kit", 6),
    ("ringlog-bench", 7),
    ("ringlog-conformance", 7),
    ("ringlog-sim", 7),
    ("ringlog-tidy", 7),
];

/// Crates of the workspace that use a crate of their own layer or a higher one. What only tests use (dev-dependencies)
/// may also be the kit.
pub fn check(metadata: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let members: Vec<&str> = packages(metadata).filter(|package| is_member(package)).map(name).collect();
    for package in packages(metadata).filter(|package| is_member(package)) {
        let Some(own) = layer(name(package)) else {
            faults.push(Fault::of(name(package), "has no layer: give it one in tests/tidy/src/layers.rs"));
            continue;
        };
        for used in package["dependencies"].as_array().into_iter().flatten() {
            let for_tests = used["kind"] == "dev";
            let Some(other) = layer(name(used)).filter(|_| members.contains(&name(used))) else { continue };
            if other >= own && !(for_tests && name(used) == "ringlog-kit") {
                let what = format!("is in layer {own} and uses {} of layer {other}", name(used));
                faults.push(Fault::of(name(package), what));
            }
        }
    }
    faults
}

/// The packages that cargo metadata lists.
pub fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// Whether a package is one of ours: it comes from no registry.
pub fn is_member(package: &Value) -> bool {
    package["source"].is_null()
}

/// A package's or dependency's name.
pub fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace(kind: &Value, used: &str) -> Value {
        json!({"packages": [
            {"name": "ringlog-net", "source": null, "dependencies": [{"name": used, "kind": kind}]},
            {"name": "ringlog-storage", "source": null, "dependencies": []},
            {"name": "ringlog-cluster", "source": null, "dependencies": []},
            {"name": "ringlog-kit", "source": null, "dependencies": []},
            {"name": "serde", "source": "registry", "dependencies": [{"name": "ringlog-net", "kind": null}]},
        ]})
    }

    #[test]
    fn a_lower_layer_may_be_used_and_a_higher_one_not() {
        assert_eq!(check(&workspace(&Value::Null, "ringlog-storage")), []);
        let faults = check(&workspace(&Value::Null, "ringlog-cluster"));
        assert_eq!(faults, [Fault::of("ringlog-net", "is in layer 2 and uses ringlog-cluster of layer 3")]);
    }

    #[test]
    fn the_kit_is_for_tests_alone() {
        assert_eq!(check(&workspace(&json!("dev"), "ringlog-kit")), []);
        assert_eq!(check(&workspace(&Value::Null, "ringlog-kit")).len(), 1);
        assert_eq!(check(&workspace(&json!("dev"), "ringlog-cluster")).len(), 1);
    }

    #[test]
    fn an_unknown_crate_is_named() {
        let faults = check(&json!({"packages": [{"name": "ringlog-utils", "source": null}]}));
        assert!(faults[0].what.contains("no layer"));
    }
}

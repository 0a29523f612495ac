//! Licences of all that is linked: an expression must be satisfiable with allowed ones alone.

use serde_json::Value;

use crate::Fault;
use crate::layers::{is_member, name, packages};

/// Licences that may be linked into an Apache-2.0 program. `deny.toml` lists the same.
pub const ALLOWED: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages from registries whose licence is not allowed, or not told.
pub fn check(metadata: &Value) -> Vec<Fault> {
    let foreign = packages(metadata).filter(|package| !is_member(package));
    foreign
        .filter_map(|package| match package["license"].as_str() {
            Some(expression) if is_allowed(expression) => None,
            Some(expression) => Some(Fault::of(name(package), format!("licence `{expression}` is not allowed"))),
            None => Some(Fault::of(name(package), "tells no licence")),
        })
        .collect()
}

/// Licences that `deny.toml` does not list, though they are allowed here.
pub fn check_deny(deny: &str) -> Vec<Fault> {
    let missing = ALLOWED.iter().filter(|licence| !deny.contains(&format!("\"{licence}\"")));
    missing.map(|licence| Fault::of("deny.toml", format!("does not list {licence}"))).collect()
}

/// Evaluates an SPDX expression: `OR` and the old `/` give a choice, `AND` binds tighter and demands both.
pub fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest) && rest.is_empty()
}

fn any(rest: &mut &[&str]) -> bool {
    let mut result = all(rest);
    while let Some(("OR", after)) = rest.split_first().map(|(word, after)| (*word, after)) {
        *rest = after;
        result |= all(rest);
    }
    result
}

fn all(rest: &mut &[&str]) -> bool {
    let mut result = one(rest);
    while let Some(("AND", after)) = rest.split_first().map(|(word, after)| (*word, after)) {
        *rest = after;
        result &= one(rest);
    }
    result
}

fn one(rest: &mut &[&str]) -> bool {
    let Some((word, after)) = rest.split_first() else { return false };
    *rest = after;
    if *word == "(" {
        let result = any(rest);
        let closed = rest.first() == Some(&")");
        *rest = rest.get(1..).unwrap_or_default();
        return result && closed;
    }
    let mut licence = (*word).to_owned();
    if let ["WITH", exception, after @ ..] = *rest {
        licence = format!("{licence} WITH {exception}");
        *rest = after;
    }
    // `MPL-2.0+` is that version or, at the user's choice, a later one.
    ALLOWED.contains(&licence.trim_end_matches('+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_are_evaluated() {
        for allowed in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
            "MPL-2.0+",
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in ["GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR MIT AND GPL-2.0", "(MIT", "MIT MIT", "", "MIT WITH x"]
        {
            assert!(!is_allowed(refused), "{refused}");
        }
    }

    #[test]
    fn packages_are_looked_at() {
        let of = |licence: Value| json!({"packages": [{"name": "a", "source": "registry", "license": licence}]});
        assert_eq!(check(&of(json!("MIT"))), []);
        assert_eq!(check(&of(json!("AGPL-3.0"))).len(), 1);
        assert_eq!(check(&of(Value::Null)).len(), 1);
        assert!(!check_deny("allow = [\"MIT\"]").is_empty());
    }
}

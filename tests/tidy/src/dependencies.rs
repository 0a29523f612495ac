//! Dependencies stand in the workspace table, each with the reason why; members only point there.

use crate::Fault;

/// Rows that one comment may cover: a library and its closest companions.
const ROWS_PER_COMMENT_MAX: usize = 3;

/// Rows of the workspace table that come from a registry and have no comment above them.
pub fn check_table(path: &str, manifest: &str) -> Vec<Fault> {
    let (mut inside, mut covered) = (false, 0_usize);
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if line.starts_with('#') {
            covered = ROWS_PER_COMMENT_MAX;
        } else if line.is_empty() {
            covered = 0;
        } else if inside && is_row(line) && !line.contains("path = ") {
            if covered == 0 {
                faults.push(Fault::at(path, number, "a dependency without a comment that says why"));
            }
            covered = covered.saturating_sub(1);
        }
    }
    faults
}

/// Dependencies of a member that do not point to the workspace table.
pub fn check_member(path: &str, manifest: &str) -> Vec<Fault> {
    let mut inside = false;
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            let section = line.trim_matches(['[', ']']);
            inside = section.ends_with("dependencies");
            if section.contains("dependencies.") {
                faults.push(Fault::at(path, number, "write the dependency on one line, with `workspace = true`"));
            }
        } else if inside && is_row(line) && !line.replace(' ', "").contains("workspace=true") {
            faults.push(Fault::at(path, number, "a dependency that is not in the workspace table"));
        }
    }
    faults
}

fn is_row(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_a_reason() {
        let table = |rows: &str| check_table("Cargo.toml", &format!("[workspace.dependencies]\n{rows}")).len();
        assert_eq!(table("# Errors.\na = \"1\"\nb = \"1\"\n"), 0);
        assert_eq!(table("own = { path = \"own\" }\n"), 0);
        assert_eq!(table("a = \"1\"\n"), 1);
        assert_eq!(table("# Errors.\na = \"1\"\n\nb = \"1\"\n"), 1);
        assert_eq!(table("# Many.\na = \"1\"\nb = \"1\"\nc = \"1\"\nd = \"1\"\n"), 1);
        assert_eq!(check_table("Cargo.toml", "[workspace.package]\nversion = \"1\"\n"), []);
    }

    #[test]
    fn members_point_to_the_table() {
        let member = |rows: &str| check_member("net/Cargo.toml", &format!("[dev-dependencies]\n{rows}")).len();
        assert_eq!(member("a.workspace = true\nb = { workspace = true, features = [\"x\"] }\n"), 0);
        assert_eq!(member("a = \"1\"\n"), 1);
        assert_eq!(check_member("net/Cargo.toml", "[dependencies.a]\nversion = \"1\"\n").len(), 1);
        assert_eq!(check_member("net/Cargo.toml", "[package]\nname = \"a\"\n[features]\nb = []\n"), []);
    }
}

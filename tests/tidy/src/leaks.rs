//! What is tracked speaks of no machine in particular: no paths of one, no hosts of package registries.

use crate::Fault;

/// What must not stand in a tracked file. Written in halves, so that this file may stand in the tree.
const BANNED: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/t", "mp/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/fa", "rm/"),
    (".lib", "rary"),
    ("bash_", "jobs"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("registry.npmjs", ".org"),
    ("maven.apache", ".org/maven2"),
    ("repo.maven", ".apache.org"),
    ("repo1.maven", ".org"),
    ("proxy.golang", ".org"),
    ("sum.golang", ".org"),
    ("deb.debian", ".org"),
    ("files.python", "hosted.org"),
    ("pypi", ".org"),
];

/// Lines of a file that name a machine's path or a registry's host.
pub fn check(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for banned in BANNED.iter().map(|(one, two)| [*one, *two].concat()).filter(|banned| line.contains(banned)) {
            faults.push(Fault::at(path, number, format!("names `{banned}`, which is of one machine or registry")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_hosts_are_found() {
        let path = ["cd /wo", "rk/main"].concat();
        assert_eq!(check("tests/run", &format!("#!/usr/bin/env bash\n{path}\n"))[0].line, 2);
        let host = ["\"resolved\": \"https://registry.npmjs", ".org/kafkajs\""].concat();
        assert_eq!(check("package-lock.json", &host).len(), 1);
        assert_eq!(check("README.md", "work in your own tree, tmp files in target/\n"), []);
    }
}

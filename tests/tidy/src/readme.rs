//! What the README tells people to type exists, and so does every file it points to.

use crate::Fault;

/// What the rule needs to know about the tree.
#[derive(Debug)]
pub struct Known<'a, Has: Fn(&str) -> bool, Runs: Fn(&str) -> bool> {
    /// Whether a file or folder exists.
    pub has: Has,
    /// Whether a file may be run.
    pub runs: Runs,
    /// Names of the packages in the workspace.
    pub packages: &'a [&'a str],
}

/// Commands in fenced blocks of kind `sh` that cannot work, and links to files that are not there.
pub fn check<H: Fn(&str) -> bool, R: Fn(&str) -> bool>(path: &str, text: &str, known: &Known<'_, H, R>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut shell = false;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(kind) = line.trim().strip_prefix("```") {
            shell = !shell && kind == "sh";
        } else if shell {
            faults.extend(command_fault(line, known).map(|what| Fault::at(path, number, what)));
        } else {
            let missing = links(line).filter(|link| !(known.has)(link.trim_end_matches('/')));
            faults.extend(missing.map(|link| Fault::at(path, number, format!("points to {link}, which is not there"))));
        }
    }
    faults
}

fn command_fault<H: Fn(&str) -> bool, R: Fn(&str) -> bool>(line: &str, known: &Known<'_, H, R>) -> Option<String> {
    let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
    let first = words.iter().find(|word| !word.contains('='))?;
    if first.contains('/') && !first.starts_with("target/") && !first.starts_with(['/', '~', '$']) {
        return (!(known.runs)(first.trim_start_matches("./"))).then(|| format!("`{first}` cannot be run"));
    }
    let package = words.windows(2).find(|pair| matches!(pair[0], "-p" | "--package")).map(|pair| pair[1]);
    let unknown = package.filter(|package| *first == "cargo" && !known.packages.contains(package))?;
    Some(format!("there is no package {unknown}"))
}

/// Relative targets of Markdown links.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> usize {
        let has = |path: &str| path == "storage/FORMAT.md";
        let known = Known { has, runs: |path: &str| path == "tests/run", packages: &["ringlog"] };
        check("README.md", text, &known).len()
    }

    #[test]
    fn commands_must_exist() {
        assert_eq!(faults("```sh\ntests/run quick\n./tests/run\nCI=true tests/run # all\n```\n"), 0);
        assert_eq!(faults("```sh\ntests/walk\n```\n"), 1);
        assert_eq!(faults("```sh\ncargo run -p ringlog -- start\nkcat -L\n```\n"), 0);
        assert_eq!(faults("```sh\ncargo run -p ringlog-utils\n```\n"), 1);
        assert_eq!(faults("```\ntests/walk is no command here\n```\n"), 0);
    }

    #[test]
    fn links_must_lead_somewhere() {
        assert_eq!(faults("See [the format](storage/FORMAT.md#journal) and [Kafka](https://kafka.apache.org)."), 0);
        assert_eq!(faults("See [the format](FORMAT.md)."), 1);
    }
}

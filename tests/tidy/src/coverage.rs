//! Every API key that the broker serves has a conformance file of the same name.

use crate::Fault;

/// One file per API key: `k00_produce.rs`, `k01_fetch.rs`, ….
pub const HANDLERS: &str = "engine/broker/src/handlers/";

/// Where the conformance file of each key stands.
pub const CONFORMANCE: &str = "tests/conformance/keys/";

/// Handlers without a conformance file, conformance files without a test, and files that the list of modules forgot.
pub fn check<'a>(files: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<Fault> {
    let text = |wanted: &str| files.clone().find(|(path, _)| *path == wanted).map(|(_, text)| text);
    let modules = text(&format!("{CONFORMANCE}main.rs")).unwrap_or_default();
    let mut faults = Vec::new();
    for (path, _) in files.clone() {
        let Some(handler) = path.strip_prefix(HANDLERS).filter(|name| is_key_file(name)) else { continue };
        let conformance = format!("{CONFORMANCE}{handler}");
        match text(&conformance) {
            None => faults.push(Fault::of(path, format!("has no conformance file {conformance}"))),
            Some(text) if !text.contains("#[test]") => faults.push(Fault::of(&conformance, "has no test")),
            Some(_) => {}
        }
    }
    for (path, _) in files {
        let Some(name) = path.strip_prefix(CONFORMANCE).filter(|name| is_key_file(name)) else { continue };
        let module = format!("mod {};", name.trim_end_matches(".rs"));
        if !modules.contains(&module) {
            faults.push(Fault::of(path, format!("does not run: {CONFORMANCE}main.rs lacks `{module}`")));
        }
    }
    faults
}

/// `kNN_name.rs`, directly in its folder.
fn is_key_file(name: &str) -> bool {
    let digits = name.strip_prefix('k').and_then(|rest| rest.split_once('_')).map(|(digits, _)| digits);
    !name.contains('/')
        && crate::tree::has_extension(name, "rs")
        && digits.is_some_and(|digits| digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLER: (&str, &str) = ("engine/broker/src/handlers/k00_produce.rs", "");
    const TEST: (&str, &str) = ("tests/conformance/keys/k00_produce.rs", "#[test]\nfn a() {}");
    const MAIN: (&str, &str) = ("tests/conformance/keys/main.rs", "mod k00_produce;");

    fn faults(files: &[(&str, &str)]) -> usize {
        check(files.iter().copied()).len()
    }

    #[test]
    fn a_served_key_needs_a_test_that_runs() {
        assert_eq!(faults(&[HANDLER, TEST, MAIN]), 0);
        assert_eq!(faults(&[HANDLER]), 1);
        assert_eq!(faults(&[HANDLER, (TEST.0, "// none yet"), MAIN]), 1);
        assert_eq!(faults(&[HANDLER, TEST, (MAIN.0, "")]), 1);
        assert_eq!(faults(&[("engine/broker/src/handlers/table.rs", "")]), 0);
    }
}

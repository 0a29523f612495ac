//! Applies every house rule to this tree.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ringlog_tidy::layers::{is_member, name, packages};
use ringlog_tidy::tree::Tree;
use ringlog_tidy::{
    Fault, coverage, dependencies, layers, leaks, licences, names, purity, readme, safety, size, source, waits,
};

fn none(faults: &[Fault]) {
    let list = faults.iter().fold(String::new(), |mut list, fault| {
        let _ = writeln!(list, "  {fault}");
        list
    });
    assert!(faults.is_empty(), "{} faults:\n{list}", faults.len());
}

fn in_files(tree: &Tree, rule: impl Fn(&str, &str) -> Vec<Fault>) -> Vec<Fault> {
    tree.files().flat_map(|(path, text)| rule(path, text)).collect()
}

fn in_rust(tree: &Tree, rule: impl Fn(&str, &str) -> Vec<Fault>) -> Vec<Fault> {
    tree.rust_files().flat_map(|(path, text)| rule(path, text)).collect()
}

#[test]
fn crates_use_only_lower_layers() {
    none(&layers::check(&Tree::read().metadata()));
}

#[test]
fn pure_crates_only_decide() {
    let tree = Tree::read();
    let tests: Vec<String> = tree.rust_files().flat_map(|(path, text)| source::test_modules(path, text)).collect();
    let is_test = |path: &str| tests.iter().any(|test| test == path);
    none(&in_rust(&tree, |path, text| if is_test(path) { Vec::new() } else { purity::check(path, text) }));
    none(&purity::check_dependencies(&tree.metadata()));
}

#[test]
fn names_tell_the_content() {
    let tree = Tree::read();
    let paths = tree.files().map(|(path, _)| path).chain(tree.binaries());
    let mut faults: Vec<Fault> = paths.flat_map(names::check_path).collect();
    faults.extend(in_files(&tree, names::check_text));
    none(&faults);
}

#[test]
fn files_have_one_subject() {
    let tree = Tree::read();
    let record = tree.text("tests/tidy/ceilings.txt").expect("the record is there");
    let ceilings = size::ceilings(record).unwrap_or_else(|error| panic!("tests/tidy/ceilings.txt: {error}"));
    let counted = tree.files().filter(|(path, text)| size::applies(path, text));
    let lengths: BTreeMap<_, _> = counted.map(|(path, text)| (path.to_owned(), size::lines(path, text))).collect();
    none(&size::check(&lengths, &ceilings));
}

#[test]
fn nothing_sleeps_and_hopes() {
    none(&in_files(&Tree::read(), waits::check));
}

#[test]
fn unsafe_stays_in_its_two_crates() {
    let tree = Tree::read();
    let mut faults = in_rust(&tree, safety::check);
    let metadata = tree.metadata();
    for package in packages(&metadata).filter(|package| is_member(package)) {
        for target in package["targets"].as_array().into_iter().flatten() {
            let path = tree.relative(target["src_path"].as_str().expect("a target has a file"));
            faults.extend(tree.text(&path).map(|text| safety::check_root(&path, text)).into_iter().flatten());
        }
    }
    none(&faults);
}

#[test]
fn dependencies_stand_in_one_table_with_reasons() {
    let tree = Tree::read();
    let mut faults = dependencies::check_table("Cargo.toml", tree.text("Cargo.toml").expect("the workspace is there"));
    let metadata = tree.metadata();
    for package in packages(&metadata).filter(|package| is_member(package)) {
        let path = tree.relative(package["manifest_path"].as_str().expect("a package has a manifest"));
        let manifest = tree.text(&path).expect("a member's manifest is in the tree");
        faults.extend(dependencies::check_member(&path, manifest));
    }
    none(&faults);
}

#[test]
fn licences_fit() {
    let tree = Tree::read();
    none(&licences::check(&tree.metadata()));
    none(&licences::check_deny(tree.text("deny.toml").expect("deny.toml is there")));
}

#[test]
fn no_file_names_a_machine() {
    none(&in_files(&Tree::read(), leaks::check));
}

#[test]
fn every_served_key_has_a_conformance_file() {
    let tree = Tree::read();
    none(&coverage::check(tree.rust_files().collect::<Vec<_>>().into_iter()));
}

#[test]
fn the_readme_tells_what_works() {
    let tree = Tree::read();
    let metadata = tree.metadata();
    let packages: Vec<&str> = packages(&metadata).filter(|package| is_member(package)).map(name).collect();
    let known = readme::Known {
        has: |path: &str| tree.has(path),
        runs: |path: &str| tree.has(path) && tree.is_executable(path),
        packages: &packages,
    };
    none(&readme::check("README.md", tree.text("README.md").expect("the README is there"), &known));
}

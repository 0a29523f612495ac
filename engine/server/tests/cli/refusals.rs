//! What a broker does not start with: one sentence, exit code 1, and nothing changed on the disk.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use ringlog_kit::broker::{Broker, Options};
use ringlog_kit::folder::Folder;

use crate::{refusal, ringlog};

const ANY_PORT: &str = "listeners=PLAINTEXT://127.0.0.1:0";
const NO_METRICS: &str = "ringlog.admin.listener=";

/// Starts a broker that must refuse to, in `folder`, and answers what it says.
fn start_in(folder: &Folder, data: &Path, arguments: &[&str]) -> String {
    let before = listing(folder.path());
    let data = data.display().to_string();
    let said = refusal(&ringlog(
        &[&["start", "--data-dir", &data, "--set", ANY_PORT, "--set", NO_METRICS], arguments].concat(),
    ));
    assert_eq!(listing(folder.path()), before, "something was changed on the disk");
    said
}

/// As [`start_in`], in an empty folder.
fn start(arguments: &[&str]) -> String {
    let folder = Folder::new("refused");
    start_in(&folder, &folder.path().join("data"), arguments)
}

/// Every file and folder below, with the files' content.
fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        let content = if path.is_dir() { Vec::new() } else { fs::read(&path).expect("it can be read") };
        found.push((path.display().to_string(), content));
        if path.is_dir() {
            found.extend(listing(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn wrong_values_are_named_with_what_is_right() {
    assert_eq!(
        start(&["--set", "num.partitions=none"]),
        "--set: num.partitions=none: expected a whole number from 1 to 2147483647"
    );
    assert!(start(&["--set", "nonsense"]).contains("--set nonsense: expected key=value"));
    assert!(start(&["--set", "listeners=PLAINTEXT://no.such.name.invalid:0"]).contains("name cannot be resolved"));
    assert!(start(&["--cores", "100-101"]).contains("core 100 is not available"));
    assert!(start(&["--config", "no/such/file"]).contains("no/such/file cannot be read: No such file"));
}

#[test]
fn directories_that_are_not_apart_are_refused() {
    let folder = Folder::new("refused");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(path("data")).expect("a folder of ours");
    std::os::unix::fs::symlink(path("data"), path("link")).expect("a folder of ours");
    for (other, said) in [
        ("link", "are the same directory; name every directory once"),
        ("data/../data/.", "are the same directory; name every directory once"),
        ("link/more", "name directories that are apart from each other"),
    ] {
        let both = format!("{},{}", path("data"), path(other));
        let told = start_in(&folder, Path::new(&both), &[]);
        assert!(told.starts_with(&format!("log.dirs={both}: ")) && told.ends_with(said), "{told}");
    }
    assert!(refusal(&ringlog(&["start", "--set", "log.dirs="])).starts_with("log.dirs is empty"));
}

#[test]
fn more_shards_than_cores_are_refused() {
    let said = start(&["--cores", "1", "--set", "ringlog.shards=2"]);
    assert_eq!(said, "ringlog.shards=2: expected 0 to 1, as many shards as this broker has (ringlog.cores)");
}

#[test]
fn names_move_no_cursor() {
    let output = ringlog(&["start", "--set", "log.dirs=a\x1b[2J,b", "--set", "cordoned.log.dirs=\u{9b}c"]);
    let said = refusal(&output);
    assert!(said.contains("\\u{9b}c is none of log.dirs=a\\u{1b}[2J,b"), "{said}");
}

#[test]
fn every_wrong_value_is_told_at_once() {
    let folder = Folder::new("refused");
    let file = folder.path().join("server.properties");
    fs::write(&file, "num.partitions=x\n\nlog.segment.bytes=y\n").expect("the folder is ours");
    let output = ringlog(&["start", "--config", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines.iter().all(|line| line.starts_with("ringlog: ")), "{said}");
    assert!(said.contains("line 1: num.partitions=x") && said.contains("line 3: log.segment.bytes=y"), "{said}");
}

#[test]
fn a_used_port_is_found_before_the_disk_is_touched() {
    let used = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = used.local_addr().expect("it is bound");
    let said = start(&["--set", &format!("listeners=PLAINTEXT://{address}")]);
    assert!(said.starts_with(&format!("listeners=PLAINTEXT://{address}: the port is in use;")), "{said}");
}

#[test]
fn another_broker_s_port_is_a_used_one() {
    let broker = Broker::start(Options::default());
    let said = start(&["--set", &format!("listeners=PLAINTEXT://{}", broker.address())]);
    assert!(said.contains("the port is in use;"), "{said}");
}

#[test]
fn a_directory_belongs_to_one_broker_at_a_time() {
    let broker = Broker::start(Options::default());
    let folder = Folder::new("refused");
    let said = start_in(&folder, broker.data(), &[]);
    assert!(said.contains("another broker is using this directory"), "{said}");
}

#[test]
fn a_directory_of_others_is_left_alone() {
    let folder = Folder::new("refused");
    let data = folder.path().join("data");
    let mut broker = Broker::start_on(&data, Options::default());
    assert!(broker.terminate().success());
    let said = start_in(&folder, &data, &["--cluster-id", "elsewhere"]);
    assert!(said.contains("and cluster elsewhere was asked for"), "{said}");
    let said = start_in(&folder, &data, &["--set", "node.id=7"]);
    assert!(said.contains("and this broker is node.id=7"), "{said}");
    let meta = data.join("meta.properties");
    let text = fs::read_to_string(&meta).expect("it was written");
    let version = |version: u32| text.replace("ringlog.format=3", &format!("ringlog.format={version}"));
    fs::write(&meta, version(1000)).expect("it is ours");
    let said = start_in(&folder, &data, &[]);
    assert!(said.contains("the directory has format 1000") && said.contains("start a newer release"), "{said}");
    fs::write(&meta, text).expect("it is ours");
    broker.restart();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let folder = Folder::new("refused");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("the folder is ours");
    let said = start_in(&folder, &file.join("data"), &[]);
    assert!(said.contains("Not a directory") && said.contains("give a directory"), "{said}");
}

#[test]
fn usage_errors_are_another_code() {
    for arguments in [
        &["start", "--no-such-flag"][..],
        &["start", "--cores", "none"],
        &["start", "--backend", "kqueue"],
        &["start", "--log-level", "loud=x=y"],
        &["no-such-command"],
        &["topic", "create"],
        &["topic", "create", "t", "--partitions", "0"],
        &["topic", "alter", "t"],
        &["consume", "t", "--format", "%q"],
        &["consume", "t", "--offset", "middle"],
        &["produce", "t", "--compression", "brotli"],
        &["produce", "t", "--acks", "2"],
        &["topic", "list", "--bootstrap-server", "nowhere"],
        &["group", "list", "--state", "stabel"],
        &["group", "list", "--type", "classical"],
    ] {
        let output = ringlog(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_cluster_that_is_not_there_is_told_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port").local_addr().expect("it is bound");
    let address = free.to_string();
    for arguments in [&["topic", "list"][..], &["produce", "t", "no-such-file"], &["consume", "t"]] {
        let said = refusal(&ringlog(&[arguments, &["-b", &address]].concat()));
        let expected = if arguments[0] == "produce" { "no-such-file" } else { "no Kafka broker answers at" };
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_file_is_explained_line_by_line() {
    let folder = Folder::new("explained");
    let file = folder.path().join("server.properties");
    let name = file.display().to_string();
    fs::write(&file, "num.partitions=3\nnum.io.threads=8\nnum.partitons=3\n").expect("the folder is ours");
    let output = ringlog(&["config", "explain", &name]);
    let said = crate::printed(&output);
    for part in ["1  acts", "2  accepted", "3  unknown", "did you mean num.partitions?"] {
        assert!(said.contains(part), "{said}");
    }
    fs::write(&file, "num.partitions=x\n").expect("the folder is ours");
    let output = ringlog(&["config", "explain", &name, "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains(r#""verdict": "error""#), "{output:?}");
}

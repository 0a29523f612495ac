//! The machine that the tests run on.

use std::path::Path;
use std::time::{Duration, Instant};

use ringlog_kit::folder::Folder;
use ringlog_tuning::{Machine, Resources};

use crate::recorded::no_wishes;

#[test]
fn the_running_machine_is_read() {
    let folder = Folder::new("running");
    let machine = Machine::read_running(&folder.path().join("not/there/yet"));
    let threads = std::thread::available_parallelism().expect("the system tells").get();
    let plan = ringlog_tuning::plan(&machine.resources, &no_wishes()).expect("a plan");
    assert!(plan.shards.len() <= threads.max(1), "{threads} threads: {:?}", plan.shards);
    assert!(machine.kernel.version().is_some(), "{:?}", machine.kernel);
    assert!(machine.resources.memory_bytes.is_some());
    assert!(machine.resources.space.is_some_and(|space| space.total_bytes >= space.free_bytes));
    let storage = machine.storage.expect("tests have a file system");
    assert!(folder.path().canonicalize().expect("it is there").starts_with(&storage.mount_point), "{storage:?}");
}

/// A start reads the machine, and is not to be felt: the least of several readings, since others use the machine too.
#[test]
fn reading_what_a_plan_needs_is_quick() {
    let readings = (0..20).map(|_| {
        let before = Instant::now();
        let resources = Resources::read(Path::new("/"));
        assert!(resources.memory_bytes.is_some());
        before.elapsed()
    });
    let least = readings.min().expect("there are some");
    assert!(least < Duration::from_millis(20), "{least:?}");
    println!("read in {least:?}");
}

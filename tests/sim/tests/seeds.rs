//! Short runs of many seeds, and the same seed twice.
#![forbid(unsafe_code)]

use ringlog_sim::seeds::{command, name_failures, run_all};
use ringlog_sim::{Trace, run};

/// Seeds of every run of the tests. `cargo run --release -p ringlog-sim -- --from-seed N` goes on from there.
const SEEDS: u64 = 2000;
/// Seeds that failed once, and of what. What a seed means changes with the code: tests of storage have the exact cases.
const SEEDS_THAT_FAILED: [(&str, &[u64]); 8] = [
    ("the disk is full for long, and producers with short pauses send again all the while", &[7_533_229, 7_547_310]),
    (
        "records of a producer are deleted, and the power fails before a checkpoint tells of them",
        &[7_095_989, 7_591_887],
    ),
    ("a failed sync of everything hits a partition that it is not for", &[4928]),
    ("the folder of a partition whose removal is not in the journal is another's by then", &[10_008_024]),
    ("a member's request to leave arrives when it has come back, under the same id", &[11_000_566]),
    (
        "the answer to a member's heartbeat arrives when its session is over",
        &[10_041_963, 11_033_045, 11_037_065, 11_038_004],
    ),
    (
        "a flush that failed took along what other shards and directories had written",
        &[5_028_509, 6_000_029, 6_100_106],
    ),
    ("the journal of a shard that had a partition before tells of an earlier directory", &[21_007_389]),
];
/// Seeds that are run twice.
const SEEDS_TWICE: u64 = 24;

#[test]
fn clients_see_nothing_that_cannot_be() {
    name_failures();
    match run_all(0..SEEDS, None) {
        Ok(sum) => {
            println!("{sum:?}");
            assert_eq!(sum.runs, SEEDS);
            assert!(sum.counts.acknowledged > 0 && sum.counts.read > 0, "something was written and read: {sum:?}");
        }
        Err(failed) => panic!("seed {} fails; see it with: {}", failed.seed, command(failed.seed)),
    }
}

#[test]
fn what_failed_once_does_not_fail_again() {
    name_failures();
    for (what, seeds) in SEEDS_THAT_FAILED {
        println!("{what}: {seeds:?}");
        for seed in seeds {
            let _ = run(*seed, Trace::Off);
        }
    }
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in SEEDS..SEEDS + SEEDS_TWICE {
        assert_eq!(run(seed, Trace::Off), run(seed, Trace::Off), "seed {seed}");
    }
}

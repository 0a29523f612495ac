//! `AlterReplicaLogDirs`: to where a partition is, to nowhere, and to another directory where the broker has one.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use ringlog_net::messages::describe_log_dirs::DescribeLogDirsResult;

use crate::config::{self, BROKER, DELETE, Resource, SET};
use crate::k35_describe_log_dirs::describe;
use crate::session::{Session, every_version, settled};
use crate::topic::{Topic, batch, fresh_name};

/// Held to write while a directory of the broker that all cases share is cordoned.
pub(crate) static DIRECTORIES: RwLock<()> = RwLock::new(());

/// A move that takes longer does not end.
const MOVE_MAX: Duration = Duration::from_mins(1);

/// Directories with the partitions of a topic each. Answers partitions with their codes, in ascending order.
fn alter(session: &mut Session, version: i16, name: &str, wanted: &[(&str, &[i32])]) -> Vec<(i32, ErrorCode)> {
    let dir = |(path, partitions): &(&str, &[i32])| AlterReplicaLogDir {
        path: (*path).to_owned(),
        topics: vec![AlterReplicaLogDirTopic { name: name.to_owned(), partitions: partitions.to_vec() }],
    };
    let request = AlterReplicaLogDirsRequest { dirs: wanted.iter().map(dir).collect() };
    let mut results = session.ask(version, &request).results;
    assert_eq!(results.len(), 1, "{results:?}");
    let topic = results.remove(0);
    assert_eq!(topic.topic_name, name);
    let told = topic.partitions.iter().map(|it| (it.partition_index, ErrorCode::from_wire(it.error_code)));
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|(partition, _)| *partition);
    told
}

#[test]
fn every_version_knows_the_directories() {
    let _open = DIRECTORIES.read().unwrap_or_else(PoisonError::into_inner);
    every_version(ApiKey::AlterReplicaLogDirs, |session, version| {
        let topic = Topic::create(session, "moved", 2);
        let here = describe(session, 5, Some(&[])).remove(0).log_dir;
        let (good, unknown, nowhere) = (ErrorCode::None, ErrorCode::UnknownTopicOrPartition, ErrorCode::LogDirNotFound);
        assert_eq!(alter(session, version, &topic.name, &[(&here, &[0, 1, 7])]), [(0, good), (1, good), (7, unknown)]);
        assert_eq!(alter(session, version, "there-is-no-such-topic", &[(&here, &[0])]), [(0, unknown)]);
        let slash = format!("{here}/");
        for path in ["/there/is/no/such/directory", "relative", "", &slash] {
            assert_eq!(alter(session, version, &topic.name, &[(path, &[0, 7])]), [(0, nowhere), (7, nowhere)]);
        }
        let both: &[(&str, &[i32])] = &[(&here, &[0, 1]), ("/nowhere", &[1])];
        assert_eq!(alter(session, version, &topic.name, both), [(0, good), (1, nowhere)]);
    });
}

/// The directories that have the partition, and whether what they have is a copy that is being made.
fn places(session: &mut Session, name: &str, partition: i32) -> Vec<(String, bool)> {
    let told = describe(session, 5, Some(&[(name, &[partition])]));
    let of_topic = |result: &DescribeLogDirsResult| {
        let partitions = result.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| (result.log_dir.clone(), partition.is_future_key)).collect::<Vec<_>>()
    };
    told.iter().flat_map(of_topic).collect()
}

/// Asks until the partition is in this directory alone.
fn wait_until_in(session: &mut Session, name: &str, dir: &str) {
    let begun = Instant::now();
    while places(session, name, 0) != [(dir.to_owned(), false)] {
        assert!(begun.elapsed() < MOVE_MAX, "{name} does not come to {dir}");
    }
}

#[test]
fn a_partition_moves_to_another_directory_and_back() {
    let _open = DIRECTORIES.read().unwrap_or_else(PoisonError::into_inner);
    let mut session = Session::open();
    let dirs: Vec<String> = describe(&mut session, 5, Some(&[])).into_iter().map(|result| result.log_dir).collect();
    if dirs.len() < 2 {
        eprintln!("not tried: the broker has one directory");
        return;
    }
    let topic = Topic::create(&mut session, "travels", 1);
    let records = batch(&["some", "records"]);
    for _ in 0..2 {
        for dir in [&dirs[0], &dirs[1]] {
            assert_eq!(topic.produce(&mut session, 9, &[(0, &records)])[0].error_code, 0);
            assert_eq!(alter(&mut session, 2, &topic.name, &[(dir, &[0])]), [(0, ErrorCode::None)]);
            assert_eq!(topic.produce(&mut session, 9, &[(0, &records)])[0].error_code, 0);
            wait_until_in(&mut session, &topic.name, dir);
        }
    }
    let last = topic.produce(&mut session, 9, &[(0, &records)]);
    assert_eq!((last[0].error_code, last[0].base_offset), (0, 16), "nothing is lost and nothing doubled");
}

/// The names of the broker's directories, and whether each is cordoned.
fn cordoned(session: &mut Session) -> Vec<(String, bool)> {
    let told = describe(session, 5, Some(&[]));
    told.into_iter().map(|result| (result.log_dir, result.is_cordoned)).collect()
}

/// New partitions go elsewhere, and others do not move there (KIP-1066).
#[test]
fn a_cordoned_directory_is_kept_as_it_is() {
    const KEY: &str = "cordoned.log.dirs";
    let _alone = DIRECTORIES.write().unwrap_or_else(PoisonError::into_inner);
    let mut session = Session::open();
    let node = config::node(&mut session);
    let broker = Resource { kind: BROKER, name: &node };
    let dirs: Vec<String> = cordoned(&mut session).into_iter().map(|(name, _)| name).collect();
    let topic = Topic::create(&mut session, "stays", 1);
    for wrong in ["/there/is/no/such/directory".to_owned(), format!("*,{}", dirs[0])] {
        let code = broker.alter(&mut session, 1, &[(KEY, SET, Some(&wrong))]);
        assert_eq!(ErrorCode::from_wire(code), ErrorCode::InvalidRequest, "{wrong}");
    }
    if dirs.len() < 2 {
        eprintln!("not tried: the broker has one directory");
        return;
    }
    let (closed, others) = dirs.split_last().expect("there are two");
    assert_eq!(broker.alter(&mut session, 1, &[(KEY, SET, Some(closed))]), 0);
    let expected: Vec<_> = dirs.iter().map(|dir| (dir.clone(), dir == closed)).collect();
    assert_eq!(settled(|| cordoned(&mut session), |told| *told == expected), expected);
    assert_eq!(alter(&mut session, 2, &topic.name, &[(closed, &[0])]), [(0, ErrorCode::InvalidReplicaAssignment)]);
    for _ in 0..4 {
        let new = Topic::create(&mut session, "elsewhere", 1);
        let places = settled(|| places(&mut session, &new.name, 0), |places| !places.is_empty());
        assert!(places.iter().all(|(dir, _)| others.contains(dir)), "{places:?}");
    }
    assert_eq!(broker.alter(&mut session, 1, &[(KEY, DELETE, None)]), 0);
    let expected: Vec<_> = dirs.iter().map(|dir| (dir.clone(), false)).collect();
    assert_eq!(settled(|| cordoned(&mut session), |told| *told == expected), expected);
    assert_eq!(alter(&mut session, 2, &topic.name, &[(closed, &[0])]), [(0, ErrorCode::None)]);
    wait_until_in(&mut session, &topic.name, closed);
}

/// A partition that does not exist is placed there when it is made.
#[test]
fn a_wish_is_kept() {
    let _open = DIRECTORIES.read().unwrap_or_else(PoisonError::into_inner);
    let mut session = Session::open();
    let dirs: Vec<String> = describe(&mut session, 5, Some(&[])).into_iter().map(|result| result.log_dir).collect();
    for (number, dir) in (0..).zip(&dirs) {
        let name = fresh_name(&format!("wished-{number}"));
        assert_eq!(alter(&mut session, 2, &name, &[(dir, &[0])]), [(0, ErrorCode::UnknownTopicOrPartition)]);
        Topic::create_named(&mut session, &name, 1, &[]);
        wait_until_in(&mut session, &name, dir);
    }
}

//! `DescribeLogDirs`: what lies in each data directory, and how large it is.

use std::sync::PoisonError;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResult};

use crate::k34_alter_replica_log_dirs::DIRECTORIES;
use crate::session::{Session, every_version, expect};
use crate::topic::{Topic, batch};

/// From this version on the volume's size is told, and whether the directory gets new partitions.
const VOLUME: i16 = 4;

/// What is told of each directory, for some partitions of topics or for all.
pub(crate) fn describe(
    session: &mut Session,
    version: i16,
    topics: Option<&[(&str, &[i32])]>,
) -> Vec<DescribeLogDirsResult> {
    let topic = |(name, partitions): &(&str, &[i32])| DescribableLogDirTopic {
        topic: (*name).to_owned(),
        partitions: partitions.to_vec(),
    };
    let topics = topics.map(|topics| topics.iter().map(topic).collect());
    let mut response = session.ask(version, &DescribeLogDirsRequest { topics });
    expect(response.error_code, ErrorCode::None);
    assert!(!response.results.is_empty(), "{response:?}");
    response.results.iter().for_each(|result| expect(result.error_code, ErrorCode::None));
    response.results.sort_by(|one, other| one.log_dir.cmp(&other.log_dir));
    response.results
}

/// Partitions of a topic with their sizes, in ascending order.
fn sizes(told: &[DescribeLogDirsResult], name: &str) -> Vec<(i32, i64)> {
    let topics = told.iter().flat_map(|result| &result.topics);
    let topic = topics.filter(|topic| topic.name == name).flat_map(|topic| &topic.partitions);
    let size = topic.map(|partition| {
        assert_eq!((partition.offset_lag, partition.is_future_key), (0, false));
        (partition.partition_index, partition.partition_size)
    });
    let mut sizes: Vec<_> = size.collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn every_version_tells_sizes() {
    let _open = DIRECTORIES.read().unwrap_or_else(PoisonError::into_inner);
    every_version(ApiKey::DescribeLogDirs, |session, version| {
        let topic = Topic::create(session, "sized", 3);
        let records = batch(&["some", "records"]);
        expect(topic.produce(session, 9, &[(1, &records)])[0].error_code, ErrorCode::None);
        let bytes = i64::try_from(records.len()).expect("a few bytes");
        let told = describe(session, version, Some(&[(&topic.name, &[0, 1, 7])]));
        assert_eq!(sizes(&told, &topic.name), [(0, 0), (1, bytes)]);
        for told in &told {
            assert!(told.topics.len() <= 1 && told.log_dir.starts_with('/'), "{told:?}");
            if version >= VOLUME {
                assert!(told.usable_bytes > 0 && told.total_bytes >= told.usable_bytes, "{told:?}");
                assert!(!told.is_cordoned);
            }
        }
        let all = describe(session, version, None);
        assert_eq!(sizes(&all, &topic.name), [(0, 0), (1, bytes), (2, 0)]);
        expect(topic.produce(session, 9, &[(1, &records)])[0].error_code, ErrorCode::None);
        let told = describe(session, version, Some(&[(&topic.name, &[1, 1]), (&topic.name, &[2])]));
        assert_eq!(sizes(&told, &topic.name), [(1, 2 * bytes), (2, 0)], "twice as much, each told once");
    });
}

#[test]
fn what_is_not_there_is_left_out() {
    every_version(ApiKey::DescribeLogDirs, |session, version| {
        let topic = Topic::create(session, "elsewhere", 1);
        for topics in
            [&[][..], &[(&*topic.name, &[][..])], &[(&*topic.name, &[9])], &[("there-is-no-such-topic", &[0])]]
        {
            let told = describe(session, version, Some(topics));
            assert!(told.iter().all(|result| result.topics.is_empty()), "{topics:?}: {told:?}");
        }
    });
}

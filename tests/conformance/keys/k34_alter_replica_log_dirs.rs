//! `AlterReplicaLogDirs`: of a broker with one directory.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};

use crate::k35_describe_log_dirs::describe;
use crate::session::{Session, every_version};
use crate::topic::Topic;

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
fn every_version_knows_one_directory() {
    every_version(ApiKey::AlterReplicaLogDirs, |session, version| {
        let topic = Topic::create(session, "moved", 2);
        let here = describe(session, 5, Some(&[])).log_dir;
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

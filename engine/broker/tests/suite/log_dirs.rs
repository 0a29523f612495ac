//! Several data directories, and moves between them (KIP-113).

use std::time::Duration;

use ringlog_broker::StartError;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use ringlog_net::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ringlog_net::messages::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResult};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_reactor::Socket;
use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Errno, Trigger};
use ringlog_storage::batch::split;

use crate::deletions::produce_each;
use crate::{Broker, PARTITIONS, TOPIC, ask, connect, create_topic, fetch};

pub(crate) const DIRS: &str = "log.dirs=data,disks/b,disks/c";

/// What is told of each directory, of the topic alone.
async fn describe(socket: &Socket) -> Vec<DescribeLogDirsResult> {
    let topic = DescribableLogDirTopic { topic: TOPIC.to_owned(), partitions: (0..PARTITIONS).collect() };
    let response = ask(socket, &DescribeLogDirsRequest { topics: Some(vec![topic]) }, 4).await;
    assert_eq!(response.error_code, 0);
    response.results
}

/// In which directory each partition is, by its place in the list, and whether one is being copied.
pub(crate) async fn places(socket: &Socket) -> (Vec<usize>, bool) {
    let (mut places, mut is_moving) = (vec![usize::MAX; usize::try_from(PARTITIONS).expect("few")], false);
    for (dir, result) in describe(socket).await.iter().enumerate() {
        for partition in result.topics.iter().flat_map(|topic| &topic.partitions) {
            if partition.is_future_key {
                is_moving = true;
            } else {
                places[usize::try_from(partition.partition_index).expect("few")] = dir;
            }
        }
    }
    (places, is_moving)
}

/// The code of each partition, and how many records it has, read from its begin to its end.
pub(crate) async fn read_each(socket: &Socket) -> Vec<(ErrorCode, i64)> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let mut at = 0;
        loop {
            let mut request = fetch(1000);
            request.topics[0].partitions.retain(|asked| asked.partition == partition);
            request.topics[0].partitions[0].fetch_offset = at;
            let told = ask(socket, &request, 11).await.responses.remove(0).partitions.remove(0);
            for batch in split(told.records.as_deref().unwrap_or_default()) {
                let batch = batch.expect("sound batches");
                assert_eq!(batch.base_offset().get(), at, "offsets are dense");
                at = batch.next_offset().get();
            }
            if told.error_code != 0 || at >= told.high_watermark {
                all.push((ErrorCode::from_wire(told.error_code), at));
                break;
            }
        }
    }
    all
}

pub(crate) async fn alter(socket: &Socket, topic: &str, path: &str, partitions: &[i32]) -> Vec<ErrorCode> {
    let topic = AlterReplicaLogDirTopic { name: topic.to_owned(), partitions: partitions.to_vec() };
    let request =
        AlterReplicaLogDirsRequest { dirs: vec![AlterReplicaLogDir { path: path.to_owned(), topics: vec![topic] }] };
    let results = ask(socket, &request, 2).await.results;
    results[0].partitions.iter().map(|partition| ErrorCode::from_wire(partition.error_code)).collect()
}

pub(crate) async fn name_of(socket: &Socket, dir: usize) -> String {
    describe(socket).await[dir].log_dir.clone()
}

#[test]
fn new_partitions_go_where_the_fewest_are() {
    for seed in 0..5 {
        let mut broker = Broker::start_in(seed, &[], DIRS);
        let address = broker.address();
        let (placed, names) = broker.sim.block_on("client", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            // A wish for a partition that does not exist is kept for when it is made.
            let last = name_of(&socket, 2).await;
            assert_eq!(alter(&socket, TOPIC, &last, &[0]).await, [ErrorCode::UnknownTopicOrPartition]);
            create_topic(&socket).await;
            produce_each(&socket, 100).await;
            let names: Vec<String> = describe(&socket).await.into_iter().map(|result| result.log_dir).collect();
            (places(&socket).await.0, names)
        });
        assert_eq!(placed, [2, 0, 1, 0, 1, 2, 0, 1], "seed {seed}");
        assert!(names[0].ends_with("/data") && names[1].ends_with("/disks/b"), "{names:?}");
        broker.kill_and_restart();
        let found = broker.sim.block_on("behind", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            (places(&socket).await.0, read_each(&socket).await)
        });
        assert_eq!(found, (placed, vec![(ErrorCode::None, 1); 8]), "seed {seed}");
    }
}

/// Sets the directories of the broker that get no new partitions.
async fn cordon(socket: &Socket, dirs: &str) -> ErrorCode {
    let value = Some(dirs.to_owned());
    let config = AlterableConfig { name: "cordoned.log.dirs".to_owned(), config_operation: 0, value };
    let resource = AlterConfigsResource { resource_type: 4, resource_name: "1".to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    ErrorCode::from_wire(ask(socket, &request, 1).await.responses[0].error_code)
}

async fn try_to_create(socket: &Socket, name: &str) -> ErrorCode {
    let topic =
        CreatableTopic { name: name.to_owned(), num_partitions: 2, replication_factor: 1, ..CreatableTopic::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, validate_only: false };
    ErrorCode::from_wire(ask(socket, &request, 5).await.topics[0].error_code)
}

/// KIP-1066: what is there stays there, and is used; what is new goes elsewhere.
#[test]
fn a_cordoned_directory_gets_no_new_partitions() {
    let mut broker = Broker::start_in(6, &["cordoned.log.dirs=disks/c"], DIRS);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let (home, first, last) = (name_of(&socket, 0).await, name_of(&socket, 1).await, name_of(&socket, 2).await);
        // A wish of before is no way in.
        assert_eq!(alter(&socket, TOPIC, &first, &[0]).await, [ErrorCode::UnknownTopicOrPartition]);
        assert_eq!(alter(&socket, TOPIC, &last, &[1]).await, [ErrorCode::InvalidReplicaAssignment]);
        assert_eq!(cordon(&socket, "disks/b,./data").await, ErrorCode::None);
        let told: Vec<_> = ask(&socket, &DescribeLogDirsRequest { topics: None }, 5).await.results;
        assert_eq!(told.iter().map(|result| result.is_cordoned).collect::<Vec<_>>(), [true, true, false]);
        create_topic(&socket).await;
        assert_eq!(places(&socket).await.0, [2; 8]);
        assert_eq!(produce_each(&socket, 100).await, [ErrorCode::None; 8]);
        assert_eq!(alter(&socket, TOPIC, &home, &[0]).await, [ErrorCode::InvalidReplicaAssignment]);
        assert_eq!(cordon(&socket, "*").await, ErrorCode::None);
        assert_eq!(try_to_create(&socket, "refused").await, ErrorCode::InvalidReplicationFactor);
        assert_eq!(produce_each(&socket, 100).await, [ErrorCode::None; 8]);
        for wrong in ["*,data", "disks", "/nowhere"] {
            assert_eq!(cordon(&socket, wrong).await, ErrorCode::InvalidRequest, "{wrong}");
        }
    });
    broker.kill_and_restart();
    broker.sim.block_on("behind", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        assert_eq!(try_to_create(&socket, "refused").await, ErrorCode::InvalidReplicationFactor);
        assert_eq!((places(&socket).await.0, read_each(&socket).await), (vec![2; 8], vec![(ErrorCode::None, 2); 8]));
        assert_eq!(cordon(&socket, "").await, ErrorCode::None);
        assert_eq!(try_to_create(&socket, "let-in").await, ErrorCode::None);
        let home = name_of(&socket, 0).await;
        assert_eq!(alter(&socket, TOPIC, &home, &[0]).await, [ErrorCode::None]);
    });
}

#[test]
fn partitions_are_moved_while_they_are_used() {
    for seed in 0..8 {
        let mut broker = Broker::start_in(seed, &[], DIRS);
        let address = broker.address();
        let rounds = broker.sim.block_on("client", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            create_topic(&socket).await;
            for _ in 0..5 {
                produce_each(&socket, 40_000).await;
            }
            let last = name_of(&socket, 2).await;
            let all: Vec<i32> = (0..PARTITIONS).collect();
            assert_eq!(alter(&socket, TOPIC, &last, &all).await, [ErrorCode::None; 8]);
            let mut rounds = 5;
            loop {
                assert_eq!(produce_each(&socket, 3000).await, [ErrorCode::None; 8], "seed {seed}");
                rounds += 1;
                let (places, is_moving) = places(&socket).await;
                if places == [2; 8] && !is_moving {
                    break;
                }
                assert!(rounds < 1000, "seed {seed}: moves end, and {places:?}");
            }
            assert_eq!(read_each(&socket).await, [(ErrorCode::None, rounds); 8], "seed {seed}");
            rounds
        });
        broker.kill_and_restart();
        let found = broker.sim.block_on("behind", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            (places(&socket).await, read_each(&socket).await)
        });
        assert_eq!(found, ((vec![2; 8], false), vec![(ErrorCode::None, rounds); 8]), "seed {seed}");
    }
}

/// At whatever time the broker is killed, nothing is lost, and the moves come to their end behind it.
#[test]
fn a_broker_that_is_killed_while_it_moves_goes_on_with_that() {
    for seed in 0..12 {
        let mut broker = Broker::start_in(seed, &[], DIRS);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            create_topic(&socket).await;
            for _ in 0..3 {
                produce_each(&socket, 20_000).await;
            }
            let last = name_of(&socket, 1).await;
            let all: Vec<i32> = (0..PARTITIONS).collect();
            assert_eq!(alter(&socket, TOPIC, &last, &all).await, [ErrorCode::None; 8]);
        });
        broker.sim.run_for(Duration::from_micros(400 * seed));
        broker.kill_and_restart();
        broker.sim.block_on("behind", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            assert_eq!(read_each(&socket).await, [(ErrorCode::None, 3); 8], "seed {seed}");
            loop {
                let (places, is_moving) = places(&socket).await;
                if !is_moving {
                    // One whose copy had not been begun stays.
                    assert!(places.contains(&1), "seed {seed}: {places:?}");
                    break;
                }
                reactor.sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(produce_each(&socket, 10).await, [ErrorCode::None; 8], "seed {seed}");
            assert_eq!(read_each(&socket).await, [(ErrorCode::None, 4); 8], "seed {seed}");
        });
    }
}

#[test]
fn a_move_is_given_up_by_naming_the_present_directory() {
    let settings = ["replica.alter.log.dirs.io.max.bytes.per.second=1000"];
    let mut broker = Broker::start_in(3, &settings, DIRS);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        produce_each(&socket, 500_000).await;
        produce_each(&socket, 900_000).await;
        let before = places(&socket).await.0;
        let (home, last) = (name_of(&socket, 0).await, name_of(&socket, 2).await);
        assert_eq!(before[0], 0);
        assert_eq!(alter(&socket, TOPIC, &last, &[0]).await, [ErrorCode::None]);
        reactor.sleep(Duration::from_secs(20)).await;
        assert!(places(&socket).await.1, "the rate lets it take minutes");
        let futures = describe(&socket).await.remove(2).topics;
        let copy = futures[0].partitions.iter().find(|partition| partition.is_future_key).expect("it is copied");
        assert!(copy.partition_index == 0 && copy.offset_lag > 0 && copy.partition_size > 0, "{copy:?}");
        assert_eq!(alter(&socket, TOPIC, &home, &[0]).await, [ErrorCode::None]);
        reactor.sleep(Duration::from_secs(1)).await;
        assert_eq!(places(&socket).await, (before, false));
        assert_eq!(read_each(&socket).await, [(ErrorCode::None, 2); 8]);
        let nowhere = "/there/is/no/such/directory";
        assert_eq!(alter(&socket, TOPIC, nowhere, &[0]).await, [ErrorCode::LogDirNotFound]);
        assert_eq!(alter(&socket, "__cluster_metadata", &last, &[0]).await, [ErrorCode::UnknownTopicOrPartition]);
    });
}

/// The disk of the other directory fails: the partition stays, and nothing is fenced.
#[test]
fn a_move_to_a_disk_that_fails_ends() {
    let mut broker = Broker::start_in(4, &[], DIRS);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        produce_each(&socket, 10_000).await;
    });
    let (operation, path_contains) = (DiskOperation::Write, "-future/".to_owned());
    let fault = DiskFault { operation, path_contains, trigger: Trigger::Always, effect: DiskEffect::Error(Errno::IO) };
    broker.sim.disk(broker.node).fault(fault);
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let before = places(&socket).await.0;
        let last = name_of(&socket, 2).await;
        let all: Vec<i32> = (0..PARTITIONS).collect();
        assert_eq!(alter(&socket, TOPIC, &last, &all).await, [ErrorCode::None; 8]);
        while places(&socket).await.1 {
            reactor.sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(places(&socket).await.0, before);
        assert_eq!(produce_each(&socket, 10).await, [ErrorCode::None; 8]);
        assert_eq!(read_each(&socket).await, [(ErrorCode::None, 2); 8]);
    });
}

/// Starts a broker that cannot, on what another one has left; answers why.
fn refusal(broker: &mut Broker, dirs: &str) -> String {
    broker.stop();
    broker.ends.borrow_mut().clear();
    broker.set_dirs(dirs);
    broker.kill_and_restart();
    let node = broker.node;
    broker.sim.run_until(|sim| !sim.is_running(node));
    let ends = broker.ends.borrow();
    let reason = ends.iter().find_map(|end| end.as_ref().err().filter(|error| !matches!(error, StartError::Other)));
    reason.map(ToString::to_string).expect("it could not start")
}

#[test]
fn directories_that_do_not_fit_are_refused() {
    let started = |dirs: &str| {
        let mut broker = Broker::start_in(5, &[], dirs);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            create_topic(&socket).await;
            produce_each(&socket, 100).await;
        });
        broker
    };
    for (dirs, reason) in [
        // Without the one with the journals it would be another, empty broker.
        ("log.dirs=disks/b,data,disks/c", "log.dirs=disks/b: the directory belongs to the one with directory.id="),
        ("log.dirs=disks/b", "which has the journals of this broker; name that one first"),
        ("log.dirs=data,disks/b", "its folder is in none of the directories"),
        ("log.dirs=elsewhere/a,data,disks/b,disks/c", "name it first, before elsewhere/a"),
        // As good as one whose disk is missing.
        ("log.dirs=data,disks/b,elsewhere/a", "its folder is in none of the directories"),
    ] {
        let mut broker = started(DIRS);
        let told = refusal(&mut broker, dirs);
        assert!(told.contains(reason), "{dirs}: {told}");
        for file in ["meta.properties", ".lock"] {
            let made = broker.sim.disk(broker.node).read_file(format!("elsewhere/a/{file}"));
            assert!(made.is_err(), "{dirs}: nothing is written, but {file} is");
        }
        // What was refused has done no harm.
        let mut broker = broker;
        broker.set_dirs(DIRS);
        broker.ends.borrow_mut().clear();
        broker.kill_and_restart();
        let address = broker.address();
        broker.sim.block_on("behind", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            assert_eq!(read_each(&socket).await, [(ErrorCode::None, 1); 8]);
        });
    }
    // A new one may come.
    let mut broker = started("log.dirs=data");
    broker.stop();
    broker.set_dirs("log.dirs=data,disks/new");
    broker.kill_and_restart();
    let address = broker.address();
    broker.sim.block_on("behind", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        assert_eq!(read_each(&socket).await, [(ErrorCode::None, 1); 8]);
        assert_eq!(places(&socket).await.0, [0; 8]);
        assert_eq!(describe(&socket).await.len(), 2);
    });
}

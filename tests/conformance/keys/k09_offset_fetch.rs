//! `OffsetFetch`: where groups have read to.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ringlog_net::messages::offset_commit::OffsetCommitRequest;
use ringlog_net::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ringlog_storage::types::Uuid;

use crate::group::{JOIN, Member, await_state, commit, commit_of, committed, fresh_group};
use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

/// The first version in which null topics are all.
const ALL: i16 = 2;
/// The first version that has leader epochs.
const LEADER_EPOCHS: i16 = 5;
/// The first version that can ask for what no transaction may change any more.
const STABLE: i16 = 7;
/// The first version that asks for several groups.
const GROUPS: i16 = 8;
/// The first version that names topics by their ids.
const TOPIC_IDS: i16 = 10;

/// The topics and partitions that are asked for; none for all.
type Wanted<'a> = Option<&'a [(&'a Topic, &'a [i32])]>;

fn request(version: i16, groups: &[&str], wanted: Wanted<'_>) -> OffsetFetchRequest {
    let mut request = OffsetFetchRequest::default();
    if version < GROUPS {
        groups[0].clone_into(&mut request.group_id);
        let topic = |(topic, partitions): &(&Topic, &[i32])| OffsetFetchRequestTopic {
            name: topic.name.clone(),
            partition_indexes: partitions.to_vec(),
        };
        request.topics = wanted.map(|topics| topics.iter().map(topic).collect());
        return request;
    }
    let by_id = version >= TOPIC_IDS;
    let topic = |(topic, partitions): &(&Topic, &[i32])| OffsetFetchRequestTopics {
        name: if by_id { String::new() } else { topic.name.clone() },
        topic_id: if by_id { topic.id } else { Uuid::default() },
        partition_indexes: partitions.to_vec(),
    };
    let group = |group: &&str| OffsetFetchRequestGroup {
        group_id: (*group).to_owned(),
        topics: wanted.map(|topics| topics.iter().map(topic).collect()),
        ..Default::default()
    };
    request.groups = groups.iter().map(group).collect();
    request
}

/// Asks, and brings the answer of any version to one form: groups, topics and partitions in order.
fn ask(session: &mut Session, version: i16, request: &OffsetFetchRequest) -> Vec<OffsetFetchResponseGroup> {
    let response = session.ask(version, request);
    let mut groups = response.groups;
    if version < GROUPS {
        let topics = response.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|of| OffsetFetchResponsePartitions {
                partition_index: of.partition_index,
                committed_offset: of.committed_offset,
                committed_leader_epoch: of.committed_leader_epoch,
                metadata: of.metadata,
                error_code: of.error_code,
            });
            OffsetFetchResponseTopics { name: topic.name, partitions: partitions.collect(), ..Default::default() }
        });
        let group_id = request.group_id.clone();
        groups.push(OffsetFetchResponseGroup { group_id, topics: topics.collect(), error_code: response.error_code });
    }
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    for group in &mut groups {
        group.topics.sort_by(|a, b| (&a.name, a.topic_id.get()).cmp(&(&b.name, b.topic_id.get())));
        group.topics.iter_mut().for_each(|topic| topic.partitions.sort_by_key(|of| of.partition_index));
    }
    groups
}

/// The topics that one group is answered, without an error.
fn fetch(session: &mut Session, version: i16, group: &str, wanted: Wanted<'_>) -> Vec<OffsetFetchResponseTopics> {
    let mut groups = ask(session, version, &request(version, &[group], wanted));
    assert_eq!(groups.len(), 1);
    expect(groups[0].error_code, ErrorCode::None);
    assert_eq!(groups[0].group_id, group);
    groups.remove(0).topics
}

fn delete_topic(session: &mut Session, topic: &Topic) {
    let topics = vec![DeleteTopicState { name: Some(topic.name.clone()), ..Default::default() }];
    let response = session.ask(6, &DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() });
    expect(response.responses[0].error_code, ErrorCode::None);
}

fn topic_of(version: i16, topic: &Topic, partitions: Vec<OffsetFetchResponsePartitions>) -> OffsetFetchResponseTopics {
    let by_id = version >= TOPIC_IDS;
    OffsetFetchResponseTopics {
        name: if by_id { String::new() } else { topic.name.clone() },
        topic_id: if by_id { topic.id } else { Uuid::default() },
        partitions,
    }
}

fn partition(index: i32, offset: i64, leader_epoch: i32, metadata: &str) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: offset,
        committed_leader_epoch: leader_epoch,
        metadata: Some(metadata.to_owned()),
        error_code: ErrorCode::None.code(),
    }
}

fn nothing(index: i32) -> OffsetFetchResponsePartitions {
    partition(index, -1, -1, "")
}

#[test]
fn every_version_fetches_what_was_committed() {
    every_version(ApiKey::OffsetFetch, |session, version| {
        let topic = Topic::create(session, "read", 2);
        let group = fresh_group(session, "fetches");
        let mut of = commit_of(&topic, 9, 1, 7);
        of.partitions[0].committed_metadata = Some("words".to_owned());
        of.partitions[0].committed_leader_epoch = 3;
        let commit = OffsetCommitRequest { group_id: group.clone(), topics: vec![of], ..Default::default() };
        expect(session.ask(9, &commit).topics[0].partitions[0].error_code, ErrorCode::None);
        let epoch = if version >= LEADER_EPOCHS { 3 } else { -1 };
        let there = partition(1, 7, epoch, "words");
        let found = fetch(session, version, &group, Some(&[(&topic, &[0, 1])]));
        assert_eq!(found, [topic_of(version, &topic, vec![nothing(0), there.clone()])]);
        if version >= ALL {
            assert_eq!(fetch(session, version, &group, None), [topic_of(version, &topic, vec![there])]);
        }
        assert_eq!(fetch(session, version, &group, Some(&[])), []);
    });
}

#[test]
fn what_nobody_has_committed_is_no_error() {
    every_version(ApiKey::OffsetFetch, |session, version| {
        let topic = Topic::create(session, "read", 1);
        for group in [&*fresh_group(session, "none-such"), &*Topic::create(session, "x", 1).name] {
            // Neither the group nor the partitions need be there.
            let found = fetch(session, version, group, Some(&[(&topic, &[0, 5, -1])]));
            assert_eq!(found, [topic_of(version, &topic, vec![nothing(-1), nothing(0), nothing(5)])]);
            if version >= ALL {
                assert_eq!(fetch(session, version, group, None), []);
            }
        }
    });
}

#[test]
fn a_topic_that_is_not_there_is_an_error_by_its_id_alone() {
    every_version(ApiKey::OffsetFetch, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let missing = Topic { name: "none-such".to_owned(), id: Uuid::from_u128(7) };
        let group = fresh_group(session, "fetches");
        commit(session, &group, &topic, 0, 7);
        let mut found = fetch(session, version, &group, Some(&[(&topic, &[0]), (&missing, &[0])]));
        found.sort_by_key(|of| of.name == missing.name || of.topic_id == missing.id);
        let mut expected = nothing(0);
        if version >= TOPIC_IDS {
            expected.error_code = ErrorCode::UnknownTopicId.code();
        }
        let there = topic_of(version, &topic, vec![partition(0, 7, -1, "")]);
        assert_eq!(found, [there, topic_of(version, &missing, vec![expected])]);
    });
}

#[test]
fn several_groups_are_fetched_at_once() {
    every_version(ApiKey::OffsetFetch, |session, version| {
        if version < GROUPS {
            return;
        }
        let topic = Topic::create(session, "read", 1);
        let groups = [(); 3].map(|()| fresh_group(session, "fetches"));
        commit(session, &groups[0], &topic, 0, 7);
        commit(session, &groups[2], &topic, 0, 9);
        let names: Vec<_> = groups.iter().map(String::as_str).collect();
        let found = ask(session, version, &request(version, &names, Some(&[(&topic, &[0])])));
        let mut offsets: Vec<_> =
            found.iter().map(|of| (&of.group_id, of.topics[0].partitions[0].committed_offset)).collect();
        offsets.sort_by_key(|(group, _)| groups.iter().position(|one| one == *group));
        assert_eq!(offsets, [(&groups[0], 7), (&groups[1], -1), (&groups[2], 9)]);
        let found = ask(session, version, &request(version, &names, None));
        let mut counts: Vec<_> = found.iter().map(|of| (&of.group_id, of.topics.len())).collect();
        counts.sort_by_key(|(group, _)| groups.iter().position(|one| one == *group));
        assert_eq!(counts, [(&groups[0], 1), (&groups[1], 0), (&groups[2], 1)]);
        assert_eq!(ask(session, version, &OffsetFetchRequest::default()), []);
        // One that is named twice is asked about twice.
        let other = Topic::create(session, "read-too", 1);
        commit(session, &groups[0], &other, 0, 3);
        let [mut first, second] = [&topic, &other].map(|topic| request(version, &names[..1], Some(&[(topic, &[0])])));
        first.groups.extend(second.groups);
        let found = ask(session, version, &first);
        let mut offsets: Vec<_> = found.iter().map(|of| of.topics[0].partitions[0].committed_offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, [3, 7]);
    });
}

#[test]
fn offsets_that_no_transaction_holds_are_stable() {
    every_version(ApiKey::OffsetFetch, |session, version| {
        if version < STABLE {
            return;
        }
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "fetches");
        commit(session, &group, &topic, 0, 7);
        let mut request = request(version, &[&group], Some(&[(&topic, &[0])]));
        request.require_stable = true;
        assert_eq!(ask(session, version, &request)[0].topics[0].partitions[0].committed_offset, 7);
    });
}

#[test]
fn a_member_of_a_classic_group_need_not_say_who_it_is() {
    every_version(ApiKey::OffsetFetch, |session, version| {
        if version < 9 {
            return;
        }
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "fetches");
        commit(session, &group, &topic, 0, 7);
        let mut request = request(version, &[&group], Some(&[(&topic, &[0])]));
        request.groups[0].member_id = Some("anybody".to_owned());
        request.groups[0].member_epoch = 5;
        let found = ask(session, version, &request);
        expect(found[0].error_code, ErrorCode::None);
        assert_eq!(found[0].topics[0].partitions[0].committed_offset, 7);
    });
}

#[test]
fn a_topic_takes_its_offsets_along() {
    every_version(ApiKey::OffsetFetch, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "fetches");
        commit(session, &group, &topic, 0, 7);
        delete_topic(session, &topic);
        // Apache Kafka answers the deletion before its coordinators have heard of it.
        while committed(session, &group, &topic, 0).committed_offset != -1 {}
        if version < TOPIC_IDS {
            let found = fetch(session, version, &group, Some(&[(&topic, &[0])]));
            assert_eq!(found, [topic_of(version, &topic, vec![nothing(0)])]);
        }
        if version >= ALL {
            assert_eq!(fetch(session, version, &group, None), []);
        }
    });
}

#[test]
fn members_fetch_in_any_state_of_their_group() {
    every_version(ApiKey::OffsetFetch, |session, version| {
        let topic = Topic::create(session, "read", 1);
        let group = fresh_group(session, "fetches");
        commit(session, &group, &topic, 0, 7);
        let there = [topic_of(version, &topic, vec![partition(0, 7, -1, "")])];
        let mut member = Member::new(session, &group);
        member.join(JOIN);
        assert_eq!(fetch(session, version, &group, Some(&[(&topic, &[0])])), there);
        member.assign(&[]);
        assert_eq!(fetch(session, version, &group, Some(&[(&topic, &[0])])), there);
        let mut newcomer = Member::new(session, &group);
        newcomer.begin_join(JOIN);
        await_state(session, &group, "PreparingRebalance");
        assert_eq!(fetch(session, version, &group, Some(&[(&topic, &[0])])), there);
    });
}

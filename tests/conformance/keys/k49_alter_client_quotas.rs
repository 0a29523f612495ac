//! `AlterClientQuotas`: quotas set, taken away, tried and refused, and what follows for clients that are over them.

use std::time::{Duration, Instant};

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::alter_client_quotas::{AlterClientQuotasRequest, EntityData, OpData, RequestEntryData};
use ringlog_net::messages::api_versions::ApiVersionsRequest;
use ringlog_net::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ringlog_net::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ringlog_net::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ringlog_net::messages::fetch::FetchResponse;
use ringlog_net::messages::list_groups::ListGroupsRequest;

use crate::k48_describe_client_quotas::expect_of_user;
use crate::session::{Session, every_version, settled};
use crate::topic::{Topic, batch, fresh_name};

/// A part of an entity: type and name, where the default has no name.
type Part<'a> = (&'a str, Option<&'a str>);

fn entry(parts: &[Part<'_>], changes: &[(&str, Option<f64>)]) -> RequestEntryData {
    let part = |(entity_type, name): &Part<'_>| EntityData {
        entity_type: (*entity_type).to_owned(),
        entity_name: name.map(str::to_owned),
    };
    let op = |(key, value): &(&str, Option<f64>)| OpData {
        key: (*key).to_owned(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
    };
    RequestEntryData { entity: parts.iter().map(part).collect(), ops: changes.iter().map(op).collect() }
}

/// Changes the quotas of one entity. Answers the code, and what is said about it.
pub(crate) fn alter_one(
    session: &mut Session,
    version: i16,
    parts: &[Part<'_>],
    changes: &[(&str, Option<f64>)],
    validate_only: bool,
) -> (i16, Option<String>) {
    let request = AlterClientQuotasRequest { entries: vec![entry(parts, changes)], validate_only };
    let mut response = session.ask(version, &request);
    assert_eq!(response.entries.len(), 1, "{response:?}");
    let told = response.entries.remove(0);
    (told.error_code, told.error_message)
}

#[test]
fn every_version_sets_and_takes_away() {
    every_version(ApiKey::AlterClientQuotas, |session, version| {
        for name in ["writer", "a name/that=wants, escaping & %20 \u{fc} <default>"] {
            let user = fresh_name(name);
            let parts = [("user", Some(&*user))];
            let mut change = |changes: &[(&str, Option<f64>)], validate_only, expected: &[&str]| {
                let (code, message) = alter_one(session, version, &parts, changes, validate_only);
                assert_eq!((ErrorCode::from_wire(code), message), (ErrorCode::None, None));
                expect_of_user(session, &user, expected);
            };
            change(&[("producer_byte_rate", Some(10.0))], true, &[]);
            change(&[("producer_byte_rate", Some(10.0))], false, &["producer_byte_rate=10"]);
            change(&[("producer_byte_rate", Some(11.0))], true, &["producer_byte_rate=10"]);
            let both = [("producer_byte_rate", Some(11.0)), ("request_percentage", Some(0.5))];
            change(&both, false, &["producer_byte_rate=11,request_percentage=0.5"]);
            change(&[("producer_byte_rate", None)], false, &["request_percentage=0.5"]);
            change(&[("controller_mutation_rate", None), ("no_such_key", None)], false, &["request_percentage=0.5"]);
            change(&[("request_percentage", None)], false, &[]);
        }
    });
}

#[test]
fn every_version_refuses_what_makes_no_sense() {
    every_version(ApiKey::AlterClientQuotas, |session, version| {
        let user = fresh_name("refused");
        let alone: &[Part<'_>] = &[("user", Some(&user))];
        let address: &[Part<'_>] = &[("ip", Some("127.0.0.9"))];
        let good = ("producer_byte_rate", Some(1.0));
        for (parts, change) in [
            (&[][..], good),
            (&[("planet", Some("mars"))], good),
            (&[("user", Some(""))], good),
            (&[("client-id", Some(""))], good),
            (&[("user", Some(&*user)), ("ip", Some("127.0.0.9"))], good),
            (&[("ip", None), ("client-id", None)], good),
            (&[("ip", Some("this is no address"))], ("connection_creation_rate", Some(1.0))),
            (alone, ("no_such_key", Some(1.0))),
            (alone, ("connection_creation_rate", Some(1.0))),
            (address, good),
            (address, ("connection_creation_rate", Some(1.5))),
            (alone, ("producer_byte_rate", Some(1.5))),
            (alone, ("producer_byte_rate", Some(0.0))),
            (alone, ("producer_byte_rate", Some(-1.0))),
            (alone, ("consumer_byte_rate", Some(1e19))),
            (alone, ("consumer_byte_rate", Some(f64::NAN))),
            (alone, ("request_percentage", Some(f64::INFINITY))),
            (alone, ("request_percentage", Some(0.0))),
            (alone, ("controller_mutation_rate", Some(-0.5))),
        ] {
            for validate_only in [true, false] {
                let (code, message) = alter_one(session, version, parts, &[change], validate_only);
                assert_eq!(ErrorCode::from_wire(code), ErrorCode::InvalidRequest, "{parts:?} {change:?}");
                assert!(message.is_some());
            }
        }
        expect_of_user(session, &user, &[]);
    });
}

#[test]
fn entities_are_changed_each_on_its_own() {
    every_version(ApiKey::AlterClientQuotas, |session, version| {
        let (good, bad) = (fresh_name("good"), fresh_name("bad"));
        let rate = ("producer_byte_rate", Some(3.0));
        let entries = vec![
            entry(&[("user", Some(&bad))], &[rate, ("no_such_key", Some(1.0))]),
            entry(&[("user", Some(&good))], &[rate]),
        ];
        let response = session.ask(version, &AlterClientQuotasRequest { entries, validate_only: false });
        let code = |user: &str| {
            let of_user = response.entries.iter().find(|it| it.entity[0].entity_name.as_deref() == Some(user));
            ErrorCode::from_wire(of_user.expect("every entity has its answer").error_code)
        };
        assert_eq!((code(&good), code(&bad)), (ErrorCode::None, ErrorCode::InvalidRequest));
        expect_of_user(session, &good, &["producer_byte_rate=3"]);
        expect_of_user(session, &bad, &[]);
        let twice = vec![entry(&[("user", Some(&bad))], &[rate]), entry(&[("user", Some(&bad))], &[rate])];
        let response = session.ask(version, &AlterClientQuotasRequest { entries: twice, validate_only: true });
        assert_eq!(ErrorCode::from_wire(response.entries[0].error_code), ErrorCode::InvalidRequest);
    });
}

/// Throttle times are rounded to milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

fn set(session: &mut Session, parts: &[Part<'_>], key: &str, value: Option<f64>) {
    let (code, message) = alter_one(session, 1, parts, &[(key, value)], false);
    assert_eq!((ErrorCode::from_wire(code), message), (ErrorCode::None, None));
}

/// Asks a question that every broker answers at once, and tells how long the answer took.
fn wait_of(session: &mut Session) -> Duration {
    let begin = Instant::now();
    session.ask(0, &ApiVersionsRequest::default());
    begin.elapsed()
}

fn duration(throttle_time_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(throttle_time_ms).expect("a time is not negative"))
}

/// The next request of a connection is not answered before the time is over that the client was told; `asked` is before
/// that began.
#[track_caller]
fn expect_mute(session: &mut Session, asked: Instant, throttled: Duration) {
    wait_of(session);
    let waited = asked.elapsed();
    assert!(waited + ROUNDING >= throttled, "the next request waited {waited:?}, and not {throttled:?}");
}

#[test]
fn a_producer_over_its_quota_is_told_at_once_and_not_read_for_a_while() {
    every_version(ApiKey::Produce, |session, version| {
        let topic = Topic::create(session, "over", 1);
        let (over, other) = (fresh_name("over"), fresh_name("other"));
        let (mut over_session, mut other_session) = (session.open_another_as(&over), session.open_another_as(&other));
        let request = topic.produce_request(version, -1, &[(0, &batch(&[&"v".repeat(11_000)]))]);
        set(session, &[("client-id", Some(&over))], "producer_byte_rate", Some(1000.0));
        let ask = || (Instant::now(), over_session.ask(version, &request));
        let (asked, answer) = settled(ask, |(_, answer)| answer.throttle_time_ms > 0);
        let throttled = duration(answer.throttle_time_ms);
        assert!(throttled > Duration::from_secs(1) && throttled < Duration::from_secs(20), "{throttled:?}");
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        assert!(asked.elapsed() < throttled, "the answer does not wait");
        assert_eq!(other_session.ask(version, &request).throttle_time_ms, 0);
        expect_mute(&mut over_session, asked, throttled);
        set(session, &[("client-id", Some(&over))], "producer_byte_rate", None);
        let answer = settled(|| over_session.ask(version, &request), |answer| answer.throttle_time_ms == 0);
        assert_eq!(answer.throttle_time_ms, 0);
    });
}

#[test]
fn a_producer_that_waits_for_no_answer_is_not_read_either() {
    let mut session = Session::open();
    let topic = Topic::create(&mut session, "unanswered", 1);
    let over = fresh_name("unanswered");
    let mut over_session = session.open_another_as(&over);
    let request = topic.produce_request(9, 0, &[(0, &batch(&[&"v".repeat(11_000)]))]);
    set(&mut session, &[("client-id", Some(&over))], "producer_byte_rate", Some(1000.0));
    let mut wait = || {
        over_session.tell(9, &request);
        wait_of(&mut over_session)
    };
    let waited = settled(&mut wait, |waited| *waited > Duration::from_millis(900));
    assert!(waited > Duration::from_millis(900), "{waited:?}");
}

#[test]
fn a_fetch_over_its_quota_is_empty_and_does_not_count() {
    every_version(ApiKey::Fetch, |session, version| {
        let topic = Topic::create(session, "fetched", 2);
        let records = batch(&[&"v".repeat(10_000)]);
        topic.produce(session, 9, &[(0, &records), (1, &records)]);
        let over = fresh_name("fetched");
        let mut over_session = session.open_another_as(&over);
        let is_session = version >= 7;
        let mut ask = |epoch, session_id| {
            let mut request = topic.fetch_request(version, &[(0, 0), (1, 0)]);
            if is_session {
                (request.session_epoch, request.session_id) = (epoch, session_id);
            }
            over_session.ask(version, &request)
        };
        let bytes = |answer: &FetchResponse| {
            let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.records.as_ref().map_or(0, Vec::len)).sum::<usize>()
        };
        set(session, &[("client-id", Some(&over))], "consumer_byte_rate", Some(1700.0));
        // With the quota in force a fetch does not bring more than that lets through in ten seconds.
        let first = settled(|| ask(0, 0), |answer| bytes(answer) == records.len());
        assert_eq!((bytes(&first), first.throttle_time_ms), (records.len(), 0));
        assert_eq!(first.session_id != 0, is_session);
        let begin = Instant::now();
        let empty = ask(1, first.session_id);
        assert_eq!((empty.error_code, empty.session_id, empty.responses.len()), (0, first.session_id, 0));
        let throttled = duration(empty.throttle_time_ms);
        assert!(throttled > Duration::from_millis(500) && throttled < Duration::from_secs(2), "{throttled:?}");
        assert!(begin.elapsed() < throttled, "the answer does not wait");
        set(session, &[("client-id", Some(&over))], "consumer_byte_rate", None);
        // What the client did not get is still to come, in the same session.
        let last = ask(2, first.session_id);
        assert_eq!((last.error_code, last.throttle_time_ms), (0, 0));
        assert_eq!(bytes(&last), 2 * records.len());
        assert!(begin.elapsed() + ROUNDING >= throttled);
    });
}

#[test]
fn requests_that_take_too_much_time_are_throttled_for_a_second_at_most() {
    let mut session = Session::open();
    let topic = Topic::create(&mut session, "busy", 1);
    let busy = fresh_name("busy");
    let mut busy_session = session.open_another_as(&busy);
    let produce = topic.produce_request(9, -1, &[(0, &batch(&["a"]))]);
    let list = ListGroupsRequest::default();
    let versions = ApiVersionsRequest {
        client_software_name: "a".to_owned(),
        client_software_version: "1".to_owned(),
        ..Default::default()
    };
    let questions: [&mut dyn FnMut(&mut Session) -> i32; 4] = [
        &mut |session| session.ask(5, &list).throttle_time_ms,
        &mut |session| session.ask(5, &versions).throttle_time_ms,
        &mut |session| session.ask(9, &produce).throttle_time_ms,
        &mut |session| topic.fetch(session, 12, &[(0, 0)]).throttle_time_ms,
    ];
    set(&mut session, &[("client-id", Some(&busy))], "request_percentage", Some(1e-6));
    for question in questions {
        let ask = || (Instant::now(), question(&mut busy_session));
        let (asked, told) = settled(ask, |(_, told)| *told > 0);
        assert!(told > 0 && told <= 1000, "{told}");
        expect_mute(&mut busy_session, asked, duration(told));
        assert_eq!(question(&mut session.open_another_as(&fresh_name("idle"))), 0);
    }
}

#[test]
fn the_most_specific_quota_counts() {
    let mut session = Session::open();
    let topic = Topic::create(&mut session, "specific", 1);
    let client_id = fresh_name("specific");
    let mut client = session.open_another_as(&client_id);
    let request = topic.produce_request(9, -1, &[(0, &batch(&[&"v".repeat(10_300)]))]);
    let of_client: &[Part<'_>] = &[("client-id", Some(&client_id))];
    let of_user_too: &[Part<'_>] = &[("client-id", Some(&client_id)), ("user", Some("ANONYMOUS"))];
    set(&mut session, of_user_too, "producer_byte_rate", Some(1e9));
    set(&mut session, of_client, "producer_byte_rate", Some(1000.0));
    for _ in 0..3 {
        assert_eq!(client.ask(9, &request).throttle_time_ms, 0);
    }
    set(&mut session, of_user_too, "producer_byte_rate", None);
    let throttled = settled(|| client.ask(9, &request).throttle_time_ms, |told| *told > 0);
    assert!(throttled > 0, "{throttled}");
}

/// Requests of newer versions have an error for changes beyond the quota; what those of older ones ask for is done, and
/// waited for behind it.
#[test]
fn topics_are_changed_within_a_quota() {
    let session = Session::open();
    for (create_version, delete_version, grow_version, is_strict) in [(7, 6, 3, true), (5, 4, 2, false)] {
        let client_id = fresh_name("topics");
        let mut admin = session.open_another();
        let topics = [Topic::create(&mut admin, "grown", 1), Topic::create(&mut admin, "deleted", 1)];
        set(&mut admin, &[("client-id", Some(&client_id))], "controller_mutation_rate", Some(0.5));
        let expected = if is_strict { ErrorCode::ThrottlingQuotaExceeded } else { ErrorCode::None };
        let create = || {
            let (num_partitions, replication_factor) = (8, 1);
            let topic =
                CreatableTopic { name: fresh_name("made"), num_partitions, replication_factor, ..Default::default() };
            let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
            let mut answer = session.open_another_as(&client_id).ask(create_version, &request);
            (ErrorCode::from_wire(answer.topics.remove(0).error_code), answer.throttle_time_ms)
        };
        // The first one may run into debt; a client of an old version waits for that at once.
        let first = settled(create, |(_, throttled)| is_strict || *throttled > 0);
        assert_eq!((first.0, first.1 > 0), (ErrorCode::None, !is_strict));
        let second = settled(create, |(_, throttled)| *throttled > 0);
        assert_eq!((second.0, second.1 > 0), (expected, true));
        let grown = CreatePartitionsTopic { name: topics[0].name.clone(), count: 2, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![grown], timeout_ms: 30_000, validate_only: false };
        let mut grower = session.open_another_as(&client_id);
        let answer = grower.ask(grow_version, &request);
        assert_eq!((ErrorCode::from_wire(answer.results[0].error_code), answer.throttle_time_ms > 0), (expected, true));
        let mut request = DeleteTopicsRequest { timeout_ms: 30_000, ..Default::default() };
        let name = topics[1].name.clone();
        if is_strict {
            request.topics = vec![DeleteTopicState { name: Some(name), ..Default::default() }];
        } else {
            request.topic_names = vec![name];
        }
        let answer = session.open_another_as(&client_id).ask(delete_version, &request);
        assert_eq!(
            (ErrorCode::from_wire(answer.responses[0].error_code), answer.throttle_time_ms > 0),
            (expected, true)
        );
        // Other clients go on.
        Topic::create(&mut admin, "free", 8);
    }
}

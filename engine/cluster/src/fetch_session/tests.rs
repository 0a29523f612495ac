//! Sessions opened, changed, closed and evicted.

use super::*;

const CONSUMER: Fetcher = Fetcher::Consumer;
const FOLLOWER: Fetcher = Fetcher::Follower;

/// A shard's sessions with a clock and a source of ids.
struct Shard {
    sessions: FetchSessions,
    now: Nanos,
    ids: u32,
}

fn key(name: &str) -> PartitionKey {
    PartitionKey { topic: TopicKey::Name(name.into()), partition: PartitionIndex::new(0) }
}

fn at(offset: i64) -> PartitionFetch {
    PartitionFetch {
        fetch_offset: Offset::new(offset),
        log_start_offset: Offset::UNKNOWN,
        current_leader_epoch: LeaderEpoch::UNKNOWN,
        last_fetched_epoch: LeaderEpoch::UNKNOWN,
        bytes_max: 1000,
    }
}

fn quiet(high_watermark: i64) -> PartitionAnswer {
    PartitionAnswer {
        high_watermark: Offset::new(high_watermark),
        log_start_offset: Offset::ZERO,
        has_content: false,
        is_error: false,
    }
}

fn request(session_id: i32, session_epoch: i32, partitions: &[(&str, i64)]) -> SessionRequest {
    SessionRequest {
        session_id,
        session_epoch,
        fetcher: CONSUMER,
        naming: TopicNaming::Names,
        partitions: partitions.iter().map(|(name, offset)| (key(name), at(*offset))).collect(),
        forgotten: Vec::new(),
    }
}

impl Shard {
    fn new(sessions_max: usize) -> Self {
        Self { sessions: FetchSessions::new(sessions_max), now: Nanos::new(1), ids: 0 }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.saturating_add(Duration::from_secs(seconds));
    }

    /// A whole fetch: `answer` says what is read of each partition. Gives the session, and what is sent in which order.
    fn fetch(
        &mut self,
        request: SessionRequest,
        answer: impl Fn(&str) -> PartitionAnswer,
    ) -> Result<(i32, Vec<String>), SessionError> {
        let fetch = self.sessions.begin(request, self.now)?;
        let names: Vec<String> = fetch.partitions.iter().map(|(key, _)| name(key).to_owned()).collect();
        let answers = names.iter().map(|name| answer(name));
        let ids = &mut self.ids;
        let mut random = || {
            *ids += 2;
            *ids
        };
        let done = self.sessions.finish(&fetch, answers, self.now, &mut random)?;
        let total: usize = self.sessions.sessions.values().map(|session| session.queue.len()).sum();
        assert_eq!(self.sessions.partition_count(), total, "the count is kept");
        let is_sent = done.is_sent.unwrap_or_else(|| vec![true; names.len()]);
        let sent = names.into_iter().zip(is_sent).filter(|(_, is_sent)| *is_sent).map(|(name, _)| name);
        Ok((done.session_id, sent.collect()))
    }

    fn open(&mut self, partitions: &[(&str, i64)]) -> i32 {
        self.fetch(request(NO_SESSION, EPOCH_OPENS, partitions), |_| quiet(0)).expect("opening cannot fail").0
    }
}

fn name(key: &PartitionKey) -> &str {
    match &key.topic {
        TopicKey::Name(name) => name,
        TopicKey::Id(_) => "by id",
    }
}

#[test]
fn only_what_changed_is_sent() {
    let mut shard = Shard::new(10);
    let (id, sent) =
        shard.fetch(request(0, 0, &[("a", 0), ("b", 0), ("c", 0)]), |_| quiet(5)).expect("opening cannot fail");
    assert_eq!((id, sent), (1, vec!["a".into(), "b".into(), "c".into()]));
    let mut check = |epoch: i32, answer: &dyn Fn(&str) -> PartitionAnswer, expected: &[&str]| {
        let (session, sent) = shard.fetch(request(1, epoch, &[]), answer).expect("the session goes on");
        assert_eq!((session, sent), (1, expected.iter().map(ToString::to_string).collect()), "epoch {epoch}");
    };
    check(1, &|_| quiet(5), &[]);
    check(2, &|name| quiet(if name == "b" { 6 } else { 5 }), &["b"]);
    check(3, &|name| quiet(if name == "b" { 6 } else { 5 }), &[]);
    let failing = |name: &str| PartitionAnswer { is_error: name == "c", ..quiet(if name == "b" { 6 } else { 5 }) };
    check(4, &failing, &["c"]);
    check(5, &failing, &["c"]);
    check(6, &|name| quiet(if name == "b" { 6 } else { 5 }), &["c"]);
    check(7, &|name| quiet(if name == "b" { 6 } else { 5 }), &[]);
    let trimmed = |_: &str| PartitionAnswer { log_start_offset: Offset::new(1), ..quiet(6) };
    check(8, &trimmed, &["a", "b", "c"]);
}

#[test]
fn a_throttled_fetch_leaves_its_session_as_it_was() {
    let mut shard = Shard::new(10);
    let opening = shard.sessions.begin(request(0, 0, &[("a", 0), ("b", 0)]), shard.now).expect("opening cannot fail");
    assert_eq!(shard.sessions.throttle(&opening), Ok(NO_SESSION));
    assert_eq!(shard.sessions.session_count(), 0);
    let id = shard.open(&[("a", 0), ("b", 0)]);
    let going = shard.sessions.begin(request(id, 1, &[]), shard.now).expect("the session goes on");
    let answers = [PartitionAnswer { has_content: true, ..quiet(9) }, quiet(0)];
    let would_send = |shard: &Shard| shard.sessions.would_send(&going, answers.into_iter()).collect::<Vec<_>>();
    let before = shard.sessions.clone();
    assert_eq!((would_send(&shard), shard.sessions.throttle(&going)), (vec![true, false], Ok(id)));
    assert_eq!(shard.sessions, before);
    // What was not told is told by the next one.
    let answer = |name: &str| if name == "a" { answers[0] } else { answers[1] };
    let told = shard.fetch(request(id, 2, &[]), answer).expect("the session goes on");
    assert_eq!(told, (id, vec!["a".to_owned()]));
    assert!(shard.sessions.throttle(&going).is_err(), "a later request has overtaken it");
    assert_eq!(would_send(&shard), [true, false]);
}

#[test]
fn who_had_something_to_say_is_read_last_the_next_time() {
    let mut shard = Shard::new(10);
    shard.open(&[("a", 0), ("b", 0), ("c", 0)]);
    let full = |name: &str| PartitionAnswer { has_content: name == "a", ..quiet(0) };
    assert_eq!(shard.fetch(request(1, 1, &[]), full).expect("goes on").1, ["a"]);
    let all = |_: &str| PartitionAnswer { has_content: true, ..quiet(0) };
    assert_eq!(shard.fetch(request(1, 2, &[]), all).expect("goes on").1, ["b", "c", "a"]);
}

#[test]
fn partitions_come_change_and_go() {
    let mut shard = Shard::new(10);
    shard.open(&[("a", 0), ("b", 0)]);
    let changed = SessionRequest { forgotten: vec![key("b"), key("x")], ..request(1, 1, &[("a", 7), ("c", 0)]) };
    let fetch = shard.sessions.begin(changed, shard.now).expect("the session goes on");
    assert_eq!(fetch.partitions, [(key("a"), at(7)), (key("c"), at(0))]);
    assert_eq!(shard.sessions.throttle(&fetch), Ok(1));
    let all = SessionRequest { forgotten: vec![key("a"), key("c")], ..request(1, 2, &[]) };
    assert_eq!(shard.fetch(all, |_| quiet(0)).expect("nothing is left to fetch"), (NO_SESSION, vec![]));
    assert_eq!((shard.sessions.session_count(), shard.sessions.partition_count()), (0, 0));
}

#[test]
fn requests_that_do_not_fit_the_session() {
    let mut shard = Shard::new(10);
    let code = |result: Result<(i32, Vec<String>), SessionError>| result.expect_err("it does not fit").code();
    assert_eq!(code(shard.fetch(request(5, 1, &[]), |_| quiet(0))), ErrorCode::FetchSessionIdNotFound);
    shard.open(&[("a", 0)]);
    assert_eq!(code(shard.fetch(request(1, 2, &[]), |_| quiet(0))), ErrorCode::InvalidFetchSessionEpoch);
    let by_id = SessionRequest { naming: TopicNaming::Ids, ..request(1, 1, &[]) };
    assert_eq!(code(shard.fetch(by_id, |_| quiet(0))), ErrorCode::FetchSessionTopicIdError);
    assert!(shard.fetch(request(1, 1, &[]), |_| quiet(0)).is_ok(), "a request that does not fit changes nothing");

    let waiting = shard.sessions.begin(request(1, 2, &[]), shard.now).expect("the session goes on");
    assert!(shard.fetch(request(1, 3, &[]), |_| quiet(0)).is_ok());
    let late = shard.sessions.finish(&waiting, [quiet(0)].into_iter(), shard.now, &mut || 1);
    assert_eq!(late.expect_err("a newer request has overtaken it").code(), ErrorCode::InvalidFetchSessionEpoch);
}

#[test]
fn closing_and_opening_again_end_the_session() {
    let mut shard = Shard::new(10);
    shard.open(&[("a", 0)]);
    assert_eq!(shard.fetch(request(1, EPOCH_CLOSES, &[]), |_| quiet(0)), Ok((NO_SESSION, vec![])));
    assert_eq!(shard.sessions.session_count(), 0);
    let id = shard.open(&[("a", 0)]);
    let again = shard.fetch(request(id, EPOCH_OPENS, &[("a", 0)]), |_| quiet(0)).expect("opening cannot fail");
    assert_ne!(again.0, id);
    assert_eq!(shard.sessions.session_count(), 1);
    let sessionless = shard.fetch(request(0, EPOCH_CLOSES, &[("a", 0)]), |_| quiet(0)).expect("it cannot fail");
    assert_eq!(sessionless, (NO_SESSION, vec!["a".to_owned()]));
}

#[test]
fn a_session_that_is_evicted_while_its_request_waits_is_answered_whole() {
    let mut shard = Shard::new(1);
    shard.open(&[("a", 0)]);
    let waiting = shard.sessions.begin(request(1, 1, &[]), shard.now).expect("the session goes on");
    shard.pass(120);
    assert_eq!(shard.open(&[("b", 0)]), 2);
    let answer = shard.sessions.finish(&waiting, [quiet(0)].into_iter(), shard.now, &mut || 1);
    assert_eq!(answer, Ok(SessionAnswer { session_id: 1, is_sent: None }));
}

#[test]
fn a_full_cache_gives_way_to_few() {
    let mut shard = Shard::new(2);
    assert_eq!((shard.open(&[("a", 0)]), shard.open(&[("b", 0), ("c", 0)])), (1, 2));
    let bigger = [("d", 0), ("e", 0)];
    assert_eq!(shard.open(&bigger), NO_SESSION, "nobody is old");
    shard.pass(119);
    for session in [1, 2] {
        assert!(shard.fetch(request(session, 1, &[]), |_| quiet(0)).is_ok());
    }
    shard.pass(1);
    assert_eq!(shard.open(&[("d", 0)]), NO_SESSION, "all are used, and no smaller");
    let opened = shard.open(&bigger);
    assert_ne!(opened, NO_SESSION, "an old smaller session gives way");
    assert!(!shard.sessions.sessions.contains_key(&1) && shard.sessions.eviction_count() == 1);

    let follower = SessionRequest { fetcher: FOLLOWER, ..request(0, 0, &[("x", 0)]) };
    let (followers, _) = shard.fetch(follower.clone(), |_| quiet(0)).expect("opening cannot fail");
    assert_ne!(followers, NO_SESSION, "a follower comes before clients");
    assert!(!shard.sessions.sessions.contains_key(&2), "the one that was used longest ago has gone");
    shard.fetch(follower.clone(), |_| quiet(0)).expect("opening cannot fail");
    assert_eq!(shard.fetch(follower, |_| quiet(0)).expect("opening cannot fail").0, NO_SESSION, "followers stay");
    shard.pass(120);
    assert_ne!(shard.open(&[("d", 0)]), NO_SESSION, "whoever does not fetch any more goes");
    assert_eq!(Shard::new(0).open(&[("a", 0)]), NO_SESSION);
}

#[test]
fn epochs_and_ids_have_their_edges() {
    assert_eq!((next_epoch(EPOCH_OPENS), next_epoch(i32::MAX)), (1, 1));
    let mut sessions = FetchSessions::new(10);
    let fetch = sessions.begin(request(0, 0, &[("a", 0)]), Nanos::new(0)).expect("opening cannot fail");
    let none = sessions.finish(&fetch, [quiet(0)].into_iter(), Nanos::new(0), &mut || 1).expect("opening cannot fail");
    assert_eq!(none.session_id, NO_SESSION, "no usable id came up");
    let most =
        sessions.finish(&fetch, [quiet(0)].into_iter(), Nanos::new(0), &mut || u32::MAX).expect("opening cannot fail");
    assert_eq!(most.session_id, i32::MAX);
}

//! A reader: fetches from random places, in sessions or without, at once or with long polls, with all kinds of limits.

use std::collections::BTreeMap;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic, PartitionData,
};
use ringlog_reactor::Instant;
use ringlog_storage::batch::split;

use super::{Client, code, deletion};
use crate::connection::{Connection, Lost};
use crate::ledger::{Mark, Partition, Told};
use crate::records::{self, BatchNumber};

/// From this version on topics are named by their ids.
const TOPIC_ID_VERSION_MIN: i16 = 13;
/// From this version on a fetch may belong to a session (KIP-227).
const SESSION_VERSION_MIN: i16 = 7;
/// Longest wait that a fetch asks for, in milliseconds.
const WAIT_MS_MAX: u64 = 1500;
/// What lies between an acknowledgement and the answer to a fetch that waits for it, in a run without delays.
const WAKE_TIME_MAX: Duration = Duration::from_millis(500);

/// A fetch session from the client's side.
#[derive(Clone, Copy)]
struct Session {
    id: i32,
    epoch: i32,
}

/// What one partition is fetched with.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Position {
    offset: i64,
    bytes_max: i32,
    /// The session knows it so.
    is_told: bool,
}

pub(crate) struct Reader {
    client: Client,
    /// Fetches, until it winds down.
    fetches: u32,
}

/// Fetches on one connection.
struct Stint {
    version: i16,
    session: Option<Session>,
    positions: BTreeMap<Partition, Position>,
    forgotten: Vec<Partition>,
}

/// What was asked, for the judgement of the answer.
struct Asked {
    at: Instant,
    wait: Duration,
    bytes_min: i32,
    bytes_max: i32,
    marks: BTreeMap<Partition, Mark>,
}

impl Reader {
    pub(crate) fn new(client: Client, fetches: u32) -> Self {
        Self { client, fetches }
    }

    /// Works until its fetches are over, or everything winds down.
    pub(crate) async fn run(mut self) {
        while self.fetches > 0 && !self.client.shared.winds_down.get() {
            let Some(mut connection) = self.client.connect().await else { continue };
            if let Err(lost) = self.stint(&mut connection).await {
                self.client.note(|| format!("connection {lost}"));
                self.client.shared.ledger.borrow_mut().counts.failures += 1;
            }
            self.client.pause(20).await;
        }
    }

    async fn stint(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let version = i16::try_from(self.client.random.between(4, 18)).expect("small");
        let in_session = version >= SESSION_VERSION_MIN && self.client.random.chance(500);
        let session = in_session.then_some(Session { id: 0, epoch: 0 });
        let mut stint = Stint { version, session, positions: BTreeMap::new(), forgotten: Vec::new() };
        for _ in 0..=self.client.random.below(12) {
            if self.fetches == 0 || self.client.shared.winds_down.get() {
                break;
            }
            self.fetches -= 1;
            self.choose(&mut stint);
            self.fetch(connection, &mut stint).await?;
            if self.client.random.chance(200) {
                self.look_up(connection).await?;
            }
            if self.client.random.chance(30) {
                deletion::delete_records(&mut self.client, connection).await?;
            }
        }
        Ok(())
    }

    /// Asks for the offset of the time of some batch, whichever partition has it.
    async fn look_up(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let shared = self.client.shared.clone();
        let (partition, mark, time) = {
            let ledger = shared.ledger.borrow();
            let mut candidates = ledger.partitions();
            candidates.retain(|key| ledger.topic(key.topic).is_lasting);
            if candidates.is_empty() {
                return Ok(());
            }
            let partition = candidates[self.client.random.index(candidates.len())];
            let batch = BatchNumber(self.client.random.below(ledger.counts.acknowledged + 1));
            (partition, ledger.mark(partition), records::time_of(ledger.start, batch, 0))
        };
        let answer = self.client.list_offset(connection, partition, time.get()).await?;
        self.client
            .note(|| format!("{partition:?}: {time} is at {}, {}", answer.offset, code(answer.error_code).name()));
        match code(answer.error_code) {
            ErrorCode::None => {
                let is_nothing = (answer.offset, answer.timestamp) == (-1, -1);
                let is_late_enough = answer.offset >= 0 && answer.timestamp >= time.get();
                assert!(is_nothing || is_late_enough, "{partition:?}: {time} is at {answer:?}");
            }
            code => shared.ledger.borrow_mut().refused(partition, &mark, code),
        }
        Ok(())
    }

    /// Adds and takes away partitions, and moves some positions.
    fn choose(&mut self, stint: &mut Stint) {
        let shared = self.client.shared.clone();
        let ledger = shared.ledger.borrow();
        let mut candidates = ledger.partitions();
        candidates.retain(|key| stint.version >= TOPIC_ID_VERSION_MIN || ledger.topic(key.topic).is_lasting);
        let random = &mut self.client.random;
        if candidates.is_empty() || (!stint.positions.is_empty() && random.chance(700)) {
            return;
        }
        if stint.positions.len() > 1 && random.chance(300) {
            let gone = *stint.positions.keys().nth(random.index(stint.positions.len())).expect("inside");
            stint.positions.remove(&gone);
            stint.forgotten.push(gone);
        }
        for _ in 0..=random.below(3) {
            let one = candidates[random.index(candidates.len())];
            let mark = ledger.mark(one);
            let span = u64::try_from(mark.high_watermark - mark.log_start).expect("it ends behind its start");
            let ahead = if random.chance(500) { span } else { random.below(span + 1) };
            let offset = mark.log_start + i64::try_from(ahead).expect("small");
            let bytes_max = [1, 500, 5_000, 1 << 20][random.index(4)];
            stint.forgotten.retain(|gone| *gone != one);
            stint.positions.insert(one, Position { offset, bytes_max, is_told: false });
        }
    }

    async fn fetch(&mut self, connection: &mut Connection, stint: &mut Stint) -> Result<(), Lost> {
        let random = &mut self.client.random;
        let wait_ms = if random.chance(500) { random.below(WAIT_MS_MAX) } else { 0 };
        let bytes_max = [1, 2_000, 20_000, 50 << 20][random.index(4)];
        let bytes_min = [0, 1, 1, 1000][random.index(4)];
        let mut request = FetchRequest {
            max_wait_ms: i32::try_from(wait_ms).expect("small"),
            min_bytes: bytes_min,
            max_bytes: bytes_max,
            isolation_level: i8::try_from(random.below(2)).expect("small"),
            session_epoch: -1,
            ..FetchRequest::default()
        };
        let marks = {
            let ledger = self.client.shared.ledger.borrow();
            stint.write(&mut request, &|key| ledger.topic(key.topic).name.clone());
            stint.positions.keys().map(|key| (*key, ledger.mark(*key))).collect()
        };
        let at = self.client.reactor.now();
        let asked = Asked { at, wait: Duration::from_millis(wait_ms), bytes_min, bytes_max, marks };
        self.client.note(|| format!("fetch {}", describe(&request, stint.version)));
        let response = connection.call(&request, stint.version).await?;
        self.answered(stint, &asked, &response);
        Ok(())
    }

    fn answered(&mut self, stint: &mut Stint, asked: &Asked, response: &FetchResponse) {
        match code(response.error_code) {
            ErrorCode::None => {}
            ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch if stint.session.is_some() => {
                stint.session = Some(Session { id: 0, epoch: 0 });
                stint.positions.values_mut().for_each(|position| position.is_told = false);
                return;
            }
            other => panic!("Fetch: unexpected {}", other.name()),
        }
        if let Some(session) = &mut stint.session {
            // The broker may have no room for a session.
            let epoch = if response.session_id == 0 { 0 } else { session.epoch + 1 };
            *session = Session { id: response.session_id, epoch };
        }
        let answers = self.answers(stint, response);
        let batches = |data: &PartitionData| data.records.as_deref().map_or(0, |records| split(records).count());
        let bytes = |data: &PartitionData| data.records.as_ref().map_or(0, Vec::len);
        let total: usize = answers.iter().map(|(_, data)| bytes(data)).sum();
        let count: usize = answers.iter().map(|(_, data)| batches(data)).sum();
        let limit = usize::try_from(asked.bytes_max).expect("a length");
        assert!(total <= limit || count <= 1, "{total} bytes in {count} batches, asked for {limit}");
        for (partition, data) in &answers {
            let position = stint.positions[partition];
            let limit = usize::try_from(position.bytes_max).expect("a length");
            assert!(bytes(data) <= limit || batches(data) == 1, "{partition:?}: {} bytes of {limit}", bytes(data));
            self.one_answered(stint, asked, *partition, data);
        }
        if let ([(partition, data)], None, 1) = (&answers[..], stint.session, stint.positions.len()) {
            self.check_wait(asked, *partition, data);
        }
    }

    /// Which partition each part of the response is about.
    fn answers(&self, stint: &Stint, response: &FetchResponse) -> Vec<(Partition, PartitionData)> {
        let ledger = self.client.shared.ledger.borrow();
        let mut answers = Vec::new();
        for topic in &response.responses {
            for data in &topic.partitions {
                let is_it = |key: &&Partition| {
                    let by_id = stint.version >= TOPIC_ID_VERSION_MIN;
                    let named =
                        if by_id { key.topic == topic.topic_id } else { ledger.topic(key.topic).name == topic.topic };
                    named && key.index == data.partition_index
                };
                let partition = stint.positions.keys().find(is_it).expect("an answer to what was asked");
                answers.push((*partition, data.clone()));
            }
        }
        if stint.session.is_none() {
            assert_eq!(answers.len(), stint.positions.len(), "a fetch without a session is answered as a whole");
        }
        answers
    }

    fn one_answered(&mut self, stint: &mut Stint, asked: &Asked, partition: Partition, data: &PartitionData) {
        let (mark, now) = (asked.marks[&partition], self.client.reactor.now());
        let code = code(data.error_code);
        let offset = stint.positions[&partition].offset;
        self.client.note(|| {
            let bytes = data.records.as_ref().map_or(0, Vec::len);
            format!("{partition:?}: {} {bytes} bytes, up to {}", code.name(), data.high_watermark)
        });
        let mut ledger = self.client.shared.ledger.borrow_mut();
        match code {
            ErrorCode::None => {
                let told = Told { high_watermark: data.high_watermark, log_start: data.log_start_offset };
                // Versions before 5 do not tell where the log starts.
                let told = if stint.version < 5 { Told { log_start: mark.log_start, ..told } } else { told };
                ledger.told(partition, &mark, told, now);
                assert_eq!(data.last_stable_offset, data.high_watermark, "{partition:?}: no transaction is open");
                let next = ledger.read(partition, &mark, offset, data.records.as_deref().unwrap_or(&[]), told);
                if next != offset {
                    let position = stint.positions.get_mut(&partition).expect("it was asked");
                    *position = Position { offset: next, is_told: false, ..*position };
                }
            }
            ErrorCode::OffsetOutOfRange => {
                let known = ledger.mark(partition);
                let lost = !ledger.is_durable(partition) && ledger.crashes() > 0;
                // Nobody may have been told yet that old segments are gone.
                let deleted = ledger.topic(partition.topic).kind.loses_old_segments();
                let deleted = deleted && (data.log_start_offset > offset || stint.version < 5);
                let excused = offset < known.log_start || lost || deleted;
                assert!(excused, "{partition:?}: {offset} is out of range, but lies within {known:?}");
                stint.positions.remove(&partition);
                stint.forgotten.push(partition);
            }
            code => {
                ledger.refused(partition, &mark, code);
                stint.positions.remove(&partition);
                stint.forgotten.push(partition);
            }
        }
    }

    /// A fetch that could have been answered earlier has slept.
    fn check_wait(&self, asked: &Asked, partition: Partition, data: &PartitionData) {
        let shared = &self.client.shared;
        if !shared.is_calm || data.error_code != 0 || asked.bytes_min > 1 {
            return;
        }
        let now = self.client.reactor.now();
        let took = now.since(asked.at);
        assert!(took <= asked.wait + WAKE_TIME_MAX, "{partition:?}: asked to wait {:?}, took {took:?}", asked.wait);
        let Some(records) = data.records.as_deref().filter(|records| !records.is_empty()) else { return };
        let Some(Ok(first)) = split(records).next() else { return };
        let since = shared.ledger.borrow().known_readable_since(partition, first.base_offset().get());
        if let Some(since) = since.map(|since| since.max(asked.at)) {
            let slept = now.since(since);
            assert!(slept <= WAKE_TIME_MAX, "{partition:?}: data was there for {slept:?}, and the fetch slept");
        }
    }
}

impl Stint {
    /// Names the partitions as the session, or its absence, asks for.
    fn write(&mut self, request: &mut FetchRequest, name: &dyn Fn(&Partition) -> String) {
        let mut whole = true;
        if let Some(session) = self.session {
            request.session_id = session.id;
            request.session_epoch = session.epoch;
            whole = session.epoch == 0;
        }
        for (key, position) in &mut self.positions {
            if !whole && position.is_told {
                continue;
            }
            position.is_told = self.session.is_some();
            let partition = FetchPartition {
                partition: key.index,
                fetch_offset: position.offset,
                partition_max_bytes: position.bytes_max,
                ..FetchPartition::default()
            };
            if let Some(topic) = request.topics.iter_mut().find(|topic| topic.topic_id == key.topic) {
                topic.partitions.push(partition);
            } else {
                request.topics.push(FetchTopic { topic: name(key), topic_id: key.topic, partitions: vec![partition] });
            }
        }
        for key in self.forgotten.drain(..).filter(|_| !whole) {
            let partitions = vec![key.index];
            let topic = ForgottenTopic { topic: name(&key), topic_id: key.topic, partitions };
            request.forgotten_topics_data.push(topic);
        }
    }
}

fn describe(request: &FetchRequest, version: i16) -> String {
    let mut text = format!(
        "v{version} session {} epoch {} wait {} bytes {}..{}:",
        request.session_id, request.session_epoch, request.max_wait_ms, request.min_bytes, request.max_bytes
    );
    for topic in &request.topics {
        for partition in &topic.partitions {
            text += &format!(" {}-{} at {}", topic.topic, partition.partition, partition.fetch_offset);
        }
    }
    text
}

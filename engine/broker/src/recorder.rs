//! The flight recorder: where the time of each request goes, and the requests that are kept with it.
//!
//! A request has a [`Course`](course::Course) from when it is taken up until the socket has the last byte of its answer.
//! Whoever lets it wait notes so in its [`Trail`], whose phases follow each other without gaps; so they are the whole of its
//! time. At its end it is counted ([`metrics`](crate::metrics)), and kept if it was slow, or is the one of so many that is
//! kept in any case. What is kept lies in [`rings`](ring) until it is overwritten, and is read at `/perf/requests`.
//!
//! Nothing is allocated for a request that is not kept, but for the first ones that are under way together.

mod course;
mod keeping;
mod record;
mod ring;
mod trail;

use std::cell::{Cell, RefCell};

use ringlog_cluster::config::RecorderConfig;
use ringlog_net::conn::{Request, RequestSeq, Response};
use ringlog_storage::types::{Millis, Nanos};
use slab::Slab;

use crate::metrics::counters::Counters;
use crate::partition::table::PartitionKey;
use course::Course;
use keeping::Keeping;

pub(crate) use course::CourseId;
pub(crate) use record::{Reason, Record, Whose};
pub(crate) use ring::{Cursor, Wanted};
pub use trail::Phase;
pub(crate) use trail::{Span, Trail};

/// That of one shard. Calls do not nest.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Of requests that were taken up and have not ended: as many as may be in flight, and as have answers that are not sent.
    courses: RefCell<Slab<Course>>,
    keeping: RefCell<Keeping>,
}

/// Requests of one connection whose answers are not sent, in no order.
#[derive(Debug, Default)]
pub(crate) struct Unsent(Cell<Option<CourseId>>);

impl Unsent {
    fn push(&self, id: CourseId, course: &mut Course) {
        course.next = self.0.replace(Some(id));
    }
}

impl Recorder {
    pub(crate) fn new(config: RecorderConfig) -> Self {
        Self { courses: RefCell::default(), keeping: RefCell::new(Keeping::new(config)) }
    }

    /// Keeps what this configuration says from now on.
    pub(crate) fn set(&self, config: RecorderConfig) {
        self.keeping.borrow_mut().set(config);
    }

    /// A request is taken up.
    pub(crate) fn begin(&self, request: &Request, now: Nanos) -> CourseId {
        CourseId::new(self.courses.borrow_mut().insert(Course::new(request, now)))
    }

    /// What it did until `at` was this phase.
    pub(crate) fn until(&self, id: CourseId, phase: Phase, at: Nanos) {
        self.note(id, |trail| trail.until(phase, at));
    }

    /// Notes several phases.
    #[inline]
    pub(crate) fn note(&self, id: CourseId, note: impl FnOnce(&mut Trail)) {
        note(&mut self.courses.borrow_mut()[id.index()].trail);
    }

    /// It works on so many partitions, of which this is the first.
    pub(crate) fn about(&self, id: CourseId, first: PartitionKey, partitions: usize) {
        self.courses.borrow_mut()[id.index()].about(first, partitions);
    }

    /// It has its place; the answer comes later.
    pub(crate) fn handled(&self, id: CourseId, now: Nanos) {
        self.courses.borrow_mut()[id.index()].handled_at = Some(now);
    }

    /// Its answer is there; if it is to be sent it waits for that with those in `unsent`. Answers when it was taken up.
    pub(crate) fn answered(&self, id: CourseId, now: Nanos, response: &Response, unsent: Option<&Unsent>) -> Nanos {
        let course = &mut self.courses.borrow_mut()[id.index()];
        if let Some(unsent) = unsent {
            unsent.push(id, course);
        }
        course.answered(now, response)
    }

    /// The socket has the answers to all requests before `first_unsent`, or the connection has ended and it is `None`. The
    /// answers that this was news of are told to `end`, through [`ended`](Self::ended).
    pub(crate) fn sent(&self, unsent: &Unsent, first_unsent: Option<RequestSeq>, mut end: impl FnMut(CourseId)) {
        let mut next = unsent.0.take();
        while let Some(id) = next {
            let (seq, behind) = {
                let course = &self.courses.borrow()[id.index()];
                (course.seq, course.next)
            };
            next = behind;
            if first_unsent.is_none_or(|first| seq < first) {
                end(id);
            } else {
                unsent.push(id, &mut self.courses.borrow_mut()[id.index()]);
            }
        }
    }

    /// It has ended. `dice` is any number; what else a record tells is asked for if it is kept.
    pub(crate) fn ended(
        &self,
        id: CourseId,
        now: Nanos,
        counters: &mut Counters,
        dice: impl FnOnce() -> u64,
        whose: impl FnOnce(Option<PartitionKey>) -> (Millis, Whose),
    ) {
        let mut courses = self.courses.borrow_mut();
        let course = &mut courses[id.index()];
        course.trail.until(Phase::Send, now);
        counters.ended(course.api(), &course.times());
        let mut keeping = self.keeping.borrow_mut();
        if let Some(why) = keeping.judge(&course.trail, dice) {
            let (at, whose) = whose(course.first_partition());
            keeping.keep(course.record(why, at, whose));
        }
        courses.remove(id.index());
    }

    /// Some of what is kept, from a cursor on, in the order in which it ended.
    pub(crate) fn read(&self, wanted: Wanted, from: Cursor, limit: usize) -> Vec<Record> {
        self.keeping.borrow().read(wanted, from, limit)
    }

    /// What is kept at present.
    pub(crate) fn config(&self) -> RecorderConfig {
        self.keeping.borrow().config()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_net::conn::{Body, Conn, ConnLimits, SpareChunks};
    use ringlog_net::header::{ServedApi, ServedApis};
    use ringlog_net::messages::ApiKey;
    use ringlog_storage::types::{PartitionIndex, Uuid};
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    const FIRST: PartitionKey = PartitionKey { topic_id: Uuid::new([7; 16]), partition: PartitionIndex::new(3) };

    fn at(micros: u64) -> Nanos {
        Nanos::new(1000 * micros)
    }

    fn recorder(slow_us: u64, sample_every: u32) -> Recorder {
        let slow = Some(Duration::from_micros(slow_us));
        Recorder::new(RecorderConfig { slow, sample_every: NonZeroU32::new(sample_every) })
    }

    /// Requests that arrive together at this time, each with its correlation id.
    fn requests(arrived_at: Nanos, correlation_ids: std::ops::Range<u8>) -> Vec<Request> {
        let apis = Arc::new(ServedApis::new([ServedApi { api_key: ApiKey::Metadata, min: 0, max: 13 }]));
        let mut conn = Conn::new(ConnLimits::default(), apis, SpareChunks::default(), arrived_at);
        for correlation_id in correlation_ids {
            conn.received(&[0, 0, 0, 13, 0, 3, 0, 1, 0, 0, 0, correlation_id, 0, 3, b'c', b'l', b'i'], arrived_at);
        }
        std::iter::from_fn(|| conn.next_request()).collect()
    }

    fn end(recorder: &Recorder, counters: &mut Counters, id: CourseId, now: Nanos) {
        let whose = |first: Option<PartitionKey>| {
            let topic = first.filter(|first| *first == FIRST).map(|_| "topic".into());
            (Millis::new(9), Whose::new(None, ([127, 0, 0, 1], 1).into(), topic))
        };
        recorder.ended(id, now, counters, || 0, whose);
    }

    /// A record with this correlation id, which ended at that time.
    pub(super) fn record(number: i32) -> Record {
        let recorder = recorder(0, 0);
        let request = requests(at(0), 0..1).remove(0);
        let id = recorder.begin(&request, at(0));
        let ended_at = at(u64::try_from(number).expect("not negative") + 1);
        end(&recorder, &mut Counters::default(), id, ended_at);
        let record = recorder.read(Wanted::All, Cursor::default(), 1).remove(0);
        Record { correlation_id: number, ..record }
    }

    #[test]
    fn a_request_is_followed_from_its_first_byte_to_the_last_of_its_answer() {
        let (recorder, mut counters) = (recorder(100, 0), Counters::default());
        let mut request = requests(at(10), 5..6).remove(0);
        (request.first_byte_at, request.muted) = (at(7), Duration::from_micros(20));
        let id = recorder.begin(&request, at(40));
        recorder.about(id, FIRST, 12);
        recorder.until(id, Phase::Append, at(43));
        recorder.handled(id, at(45));
        recorder.note(id, |trail| trail.committed(Some(Span { from: at(60), to: at(190) })));
        let response = Response::Send(Body::from(vec![0; 57]));
        assert_eq!(recorder.answered(id, at(200), &response, None), at(40));
        end(&recorder, &mut counters, id, at(225));
        let [record] = &recorder.read(Wanted::All, Cursor::default(), 10)[..] else { panic!("it was slow") };
        let spent: Vec<_> = Phase::ALL.iter().map(|phase| record.trail.spent(*phase).as_micros()).collect();
        assert_eq!(spent, [3, 20, 10, 0, 3, 17, 130, 0, 0, 10, 25]);
        assert_eq!(record.trail.total(), Duration::from_micros(225 - 7));
        assert_eq!(
            (record.whose.topic.as_deref(), record.partition, record.partitions),
            (Some("topic"), Some(FIRST.partition), 12)
        );
        assert_eq!((record.request_bytes, record.response_bytes, record.correlation_id), (13, 57, 5));
        // What is counted begins when the request has arrived.
        let (_, counted) = counters.apis().next().expect("one was counted");
        assert_eq!(counted.total_time.sum(), 215_000);
        let parts = [counted.queued_nanos, counted.local_nanos, counted.remote_nanos, counted.sent_nanos];
        assert_eq!(parts, [30_000, 5_000, 155_000, 25_000]);
    }

    #[test]
    fn answers_end_when_the_socket_has_them_in_whatever_order_they_came() {
        let (recorder, mut counters, unsent) = (recorder(0, 0), Counters::default(), Unsent::default());
        let requests = requests(at(0), 0..4);
        let ids: Vec<_> = requests.iter().map(|request| recorder.begin(request, at(0))).collect();
        let response = Response::Send(Body::from(Vec::new()));
        for index in [2, 0, 1] {
            recorder.answered(ids[index], at(0), &response, Some(&unsent));
        }
        let mut sent = |first_unsent: Option<usize>, now| {
            let first_unsent = first_unsent.map(|index| requests[index].seq);
            recorder.sent(&unsent, first_unsent, |id| end(&recorder, &mut counters, id, now));
        };
        sent(Some(0), at(1));
        sent(Some(2), at(2));
        sent(Some(3), at(3));
        recorder.answered(ids[3], at(0), &response, Some(&unsent));
        sent(None, at(4));
        let records = recorder.read(Wanted::All, Cursor::default(), 10);
        let mut ended: Vec<_> = records.iter().map(|one| (one.correlation_id, one.ended_at())).collect();
        ended.sort_unstable();
        assert_eq!(ended, [(0, at(2)), (1, at(2)), (2, at(3)), (3, at(4))]);
        assert!(recorder.courses.borrow().is_empty());
    }
}

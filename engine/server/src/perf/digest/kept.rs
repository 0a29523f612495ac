//! The records that are kept of all answers: the newest ones, as many as fit.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::record::{About, Answer, Request};

/// Slow requests that are kept.
pub(crate) const SLOW_MAX: usize = 4096;
/// Samples that are kept: with 4,000 a second those of some seconds, else those of minutes.
pub(crate) const SAMPLES_MAX: usize = 32_768;
/// The least time that rates are told of, in seconds: what one sample stands for did not come all at once.
const SPAN_SECONDS_MIN: f64 = 1.0;

/// The newest records of a broker.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    about: About,
    slow: VecDeque<Rc<Request>>,
    samples: VecDeque<Sample>,
    lost: u64,
    has_answer: bool,
}

/// A request that stands for others.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) request: Rc<Request>,
    /// For how many, itself included.
    stands_for: f64,
}

/// Which requests are told of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) api: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) topic: Option<String>,
    /// How long ago the broker may have ended them.
    pub(crate) window_ms: Option<i64>,
}

impl Scope {
    fn has(&self, request: &Request, now_ms: i64) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|one| found == Some(one));
        is(&self.api, Some(&request.api))
            && is(&self.client, Some(&request.client_id))
            && is(&self.topic, request.topic.as_deref())
            && self.is_recent(request, now_ms)
    }

    fn is_recent(&self, request: &Request, now_ms: i64) -> bool {
        self.window_ms.is_none_or(|window| now_ms.saturating_sub(request.at_ms) <= window)
    }
}

/// A sample that is told of, and the rate of what it stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighed<'a> {
    pub(crate) request: &'a Request,
    /// How many requests it stands for.
    pub(crate) stands_for: f64,
    /// So many a second.
    pub(crate) per_second: f64,
}

impl Kept {
    /// Takes what an answer brings; the oldest records make room.
    pub(crate) fn add(&mut self, answer: Answer) {
        let stands_for = answer.about.sample_every.map_or(1.0, count);
        for request in answer.requests.into_iter().map(Rc::new) {
            if request.is_slow() {
                push(&mut self.slow, Rc::clone(&request), SLOW_MAX);
            }
            if request.is_sample() {
                push(&mut self.samples, Sample { request, stands_for }, SAMPLES_MAX);
            }
        }
        // Before the first answer nobody has looked, so nobody has lost anything.
        if self.has_answer {
            self.lost = self.lost.saturating_add(answer.lost);
        }
        self.has_answer = true;
        self.about = answer.about;
    }

    /// What the broker has told of itself last.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// Records that the broker had to overwrite before they could be read.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// The slow requests, the newest last.
    pub(crate) fn slow(&self, scope: &Scope) -> Vec<&Request> {
        let mut slow: Vec<&Request> =
            self.slow.iter().map(Rc::as_ref).filter(|request| scope.has(request, self.about.now_ms)).collect();
        slow.sort_by_key(|request| request.at_ms);
        slow
    }

    /// The samples. Each shard has a ring of its own, and a busy one's reaches less far back: so the time that rates are of
    /// is that of its shard.
    pub(crate) fn samples(&self, scope: &Scope) -> Vec<Weighed<'_>> {
        let spans = self.spans(scope);
        let now_ms = self.about.now_ms;
        let told = self.samples.iter().filter(|sample| scope.has(&sample.request, now_ms));
        told.map(|Sample { request, stands_for }| {
            let seconds = spans.get(&request.shard).copied().unwrap_or(SPAN_SECONDS_MIN);
            Weighed { request, stands_for: *stands_for, per_second: stands_for / seconds }
        })
        .collect()
    }

    /// The longest time that samples of a shard are there of, in seconds.
    pub(crate) fn seconds(&self, scope: &Scope) -> f64 {
        self.spans(scope).into_values().fold(0.0, f64::max)
    }

    /// The APIs of samples and slow requests, by name.
    pub(crate) fn apis(&self) -> Vec<&str> {
        let all = self.slow.iter().map(Rc::as_ref).chain(self.samples.iter().map(|sample| &*sample.request));
        let mut apis: Vec<&str> = all.map(|request| request.api.as_str()).collect();
        apis.sort_unstable();
        apis.dedup();
        apis
    }

    /// For each shard, the seconds that its samples tell of: from the oldest of them on, or the whole window.
    fn spans(&self, scope: &Scope) -> BTreeMap<u32, f64> {
        let mut oldest: BTreeMap<u32, i64> = BTreeMap::new();
        for Sample { request, .. } in &self.samples {
            let at_ms = oldest.entry(request.shard).or_insert(request.at_ms);
            *at_ms = request.at_ms.min(*at_ms);
        }
        let span = |at_ms: i64| {
            let age_ms = self.about.now_ms.saturating_sub(at_ms).max(0);
            let span_ms = scope.window_ms.map_or(age_ms, |window| window.min(age_ms));
            (count(u64::try_from(span_ms).unwrap_or(0)) / 1000.0).max(SPAN_SECONDS_MIN)
        };
        oldest.into_iter().map(|(shard, at_ms)| (shard, span(at_ms))).collect()
    }
}

fn push<T>(queue: &mut VecDeque<T>, one: T, count_max: usize) {
    if queue.len() >= count_max {
        queue.pop_front();
    }
    queue.push_back(one);
}

/// A count as a number to divide; far below 2^53.
pub(crate) fn count(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::digest::example::{NOW_MS, answer, kept, request};
    use crate::perf::digest::record::Kind;

    fn at(shard: u32, age_ms: i64) -> Request {
        Request { shard, at_ms: NOW_MS - age_ms, ..request("Fetch", &[("send", 1.0)]) }
    }

    #[test]
    fn the_oldest_make_room() {
        let mut kept = kept((0..=SAMPLES_MAX).map(|_| at(0, 5000)).collect());
        kept.add(answer(vec![at(0, 10), Request { kind: Kind::Slow, ..at(0, 20) }]));
        assert_eq!(kept.samples.len(), SAMPLES_MAX);
        assert_eq!(kept.samples.back().map(|sample| sample.request.at_ms), Some(NOW_MS - 10));
        kept.add(answer((0..=SLOW_MAX).map(|_| Request { kind: Kind::Slow, ..at(0, 5) }).collect()));
        assert_eq!(kept.slow.len(), SLOW_MAX);
        assert_eq!(kept.samples.len(), SAMPLES_MAX, "a flood of slow ones takes no sample's place");
    }

    #[test]
    fn a_slow_sample_is_both() {
        let kept = kept(vec![Request { kind: Kind::Slow, sampled: true, ..at(0, 5) }]);
        assert_eq!((kept.slow(&Scope::default()).len(), kept.samples(&Scope::default()).len()), (1, 1));
    }

    #[test]
    fn rates_are_those_of_the_time_that_a_shard_still_knows() {
        // Shard 0 is busy, so its ring reaches two seconds back; that of shard 1 reaches ten.
        let kept = kept(vec![at(0, 2000), at(0, 1000), at(1, 10_000), at(1, 500)]);
        let rate = |scope: &Scope, shard| {
            let samples = kept.samples(scope).into_iter().filter(|sample| sample.request.shard == shard);
            samples.map(|sample| sample.per_second).sum::<f64>()
        };
        let check = |window_ms, shard, expected: f64| {
            let rate = rate(&Scope { window_ms, ..Scope::default() }, shard);
            assert!((rate - expected).abs() < 1e-9, "{window_ms:?} {shard}: {rate}");
        };
        check(None, 0, 128.0);
        check(None, 1, 2.0 * 12.8);
        check(Some(5000), 0, 128.0);
        check(Some(5000), 1, 128.0 / 5.0);
        check(Some(400), 1, 0.0);
        assert!((kept.seconds(&Scope::default()) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_sample_of_this_moment_is_no_flood() {
        let kept = kept(vec![at(0, 0)]);
        assert!((kept.samples(&Scope::default())[0].per_second - 128.0).abs() < 1e-9);
    }

    #[test]
    fn only_what_is_asked_for_is_told() {
        let mut other = request("Metadata", &[("handle", 1.0)]);
        (other.client_id, other.topic) = ("other".to_owned(), None);
        let kept = kept(vec![other, at(0, 5)]);
        let told =
            |scope: Scope| kept.samples(&scope).iter().map(|sample| sample.request.api.clone()).collect::<Vec<_>>();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told(Scope { api: some("Fetch"), ..Scope::default() }), ["Fetch"]);
        assert_eq!(told(Scope { client: some("other"), ..Scope::default() }), ["Metadata"]);
        assert_eq!(told(Scope { topic: some("orders"), ..Scope::default() }), ["Fetch"]);
        assert_eq!(told(Scope { topic: some("none"), ..Scope::default() }), [""; 0]);
        assert_eq!(kept.apis(), ["Fetch", "Metadata"]);
    }

    #[test]
    fn what_was_lost_before_somebody_looked_is_not_told() {
        let lost = |count| Answer { lost: count, ..answer(Vec::new()) };
        let mut kept = Kept::default();
        kept.add(lost(1000));
        assert_eq!(kept.lost(), 0);
        kept.add(lost(7));
        kept.add(lost(u64::MAX));
        assert_eq!(kept.lost(), u64::MAX);
    }
}

//! A broker's records of requests, as its `/perf/requests` tells them. What a newer broker tells besides is left alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ringlog_broker::Phase;
use serde::{Deserialize, Serialize};

/// The longest time that is believed: 30 years.
const MICROS_MAX: f64 = 1e15;
/// Phases of one request that are told each by itself.
pub(crate) const PHASES_MAX: usize = 32;

/// One answer of the broker.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answer {
    #[serde(flatten)]
    pub(crate) about: About,
    /// Records that were overwritten before they could be read.
    #[serde(default)]
    pub(crate) lost: u64,
    /// Where the next answer begins: of the broker's own making.
    pub(crate) next: String,
    pub(crate) requests: Vec<Request>,
}

/// Who answers, and what it keeps.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
pub(crate) struct About {
    pub(crate) node: i32,
    pub(crate) version: String,
    /// The broker's wall clock.
    pub(crate) now_ms: i64,
    /// From which time on a request is slow; nothing where no slow ones are kept.
    pub(crate) slow_us: Option<u64>,
    /// One request of so many is a sample; nothing where none is.
    pub(crate) sample_every: Option<u64>,
}

/// Why a request was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Slow,
    Sample,
    /// For a reason that is not known here.
    #[serde(other)]
    Other,
}

/// One request.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[expect(clippy::struct_field_names, reason = "the broker calls them so")]
pub(crate) struct Request {
    #[serde(default)]
    pub(crate) shard: u32,
    /// The broker's wall clock when it ended.
    pub(crate) at_ms: i64,
    pub(crate) kind: Kind,
    /// Whether a slow one is a sample as well.
    #[serde(default)]
    pub(crate) sampled: bool,
    pub(crate) api: String,
    #[serde(default)]
    pub(crate) version: i16,
    #[serde(default)]
    pub(crate) correlation_id: i32,
    #[serde(default)]
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) peer: String,
    /// The first partition that it names, and how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partitions: Option<u32>,
    #[serde(default)]
    pub(crate) request_bytes: u64,
    #[serde(default)]
    pub(crate) response_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    pub(crate) total_us: Micros,
    #[serde(default)]
    pub(crate) phases_us: BTreeMap<String, Micros>,
}

/// A time in microseconds: not negative, and of this world.
#[derive(Clone, Copy, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub(crate) struct Micros(f64);

impl TryFrom<f64> for Micros {
    type Error = String;

    fn try_from(micros: f64) -> Result<Self, String> {
        if (0.0..=MICROS_MAX).contains(&micros) {
            // Zero has no sign.
            Ok(Self(micros.abs()))
        } else {
            Err(format!("expected microseconds from 0 to {MICROS_MAX}, found {micros}"))
        }
    }
}

impl From<Micros> for f64 {
    fn from(micros: Micros) -> Self {
        micros.0
    }
}

impl Request {
    /// Whether it is one of those that were kept for being slow.
    pub(crate) fn is_slow(&self) -> bool {
        self.kind == Kind::Slow
    }

    /// Whether it stands for all requests.
    pub(crate) fn is_sample(&self) -> bool {
        self.kind == Kind::Sample || self.sampled
    }

    /// From the first byte of the request to the last of its answer.
    pub(crate) fn total_us(&self) -> f64 {
        self.total_us.0
    }

    /// The same without what the request waited for by its own wish, or for its client's quota.
    pub(crate) fn own_us(&self) -> f64 {
        let waited: f64 = Phase::BY_WISH.iter().map(|phase| self.phase_us(phase.name())).sum();
        (self.total_us() - waited).max(0.0)
    }

    /// How long it was in a phase.
    pub(crate) fn phase_us(&self, phase: &str) -> f64 {
        self.phases_us.get(phase).map_or(0.0, |time| time.0)
    }

    /// The phase that took most of its own time, and which part of that.
    pub(crate) fn longest(&self) -> Option<(&str, f64)> {
        let own = self.phases_us.iter().filter(|(phase, _)| !names(&Phase::BY_WISH, phase));
        let (phase, time) = own.max_by(|one, other| one.1.0.total_cmp(&other.1.0))?;
        (time.0 > 0.0).then(|| (phase.as_str(), (time.0 / self.own_us()).min(1.0)))
    }

    /// The partition, as people write it, and how many more there are: `orders-3 +11`.
    pub(crate) fn first_partition(&self) -> Option<String> {
        let topic = self.topic.as_deref()?;
        let named = self.partition.map_or_else(|| topic.to_owned(), |partition| format!("{topic}-{partition}"));
        let more = self.partitions.unwrap_or(1).saturating_sub(1);
        Some(if more > 0 { format!("{named} +{more}") } else { named })
    }

    /// The address that it came from, without the port, which every connection has another of.
    pub(crate) fn host(&self) -> String {
        self.peer.parse::<SocketAddr>().map_or_else(|_| self.peer.clone(), |peer| peer.ip().to_string())
    }
}

/// The phases that took time in some of these: those that are known first, in the order of a request's way; others behind.
pub(crate) fn phases_of<'a>(requests: impl Iterator<Item = &'a Request> + Clone) -> Vec<String> {
    let took = |phase: &str| requests.clone().any(|request| request.phase_us(phase) > 0.0);
    let known = Phase::ALL.iter().map(|phase| phase.name()).filter(|phase| took(phase));
    let mut phases: Vec<String> = known.map(str::to_owned).collect();
    let mut others: Vec<&str> = Vec::new();
    for (phase, time) in requests.flat_map(|request| &request.phases_us) {
        let is_new = time.0 > 0.0 && !names(&Phase::ALL, phase) && !others.contains(&phase.as_str());
        if is_new && phases.len() + others.len() < PHASES_MAX {
            others.push(phase);
        }
    }
    others.sort_unstable();
    phases.extend(others.into_iter().map(str::to_owned));
    phases
}

/// Whether one of these phases is called so.
fn names(phases: &[Phase], name: &str) -> bool {
    phases.iter().any(|phase| phase.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::digest::example::request;

    #[test]
    fn the_contract_is_read() {
        let answer: Answer = serde_json::from_str(super::super::example::ANSWER).expect("it is as agreed");
        assert_eq!((answer.about.node, answer.about.slow_us, answer.about.sample_every), (1, Some(100_000), Some(128)));
        assert_eq!((answer.lost, answer.next.as_str(), answer.requests.len()), (17, "3.1204,0.877", 2));
        let [slow, sample] = &answer.requests[..] else { unreachable!("counted above") };
        assert!(slow.is_slow() && !slow.is_sample() && !sample.is_slow() && sample.is_sample());
        assert_eq!(slow.first_partition().as_deref(), Some("orders-3 +11"));
        assert_eq!(slow.error.as_deref(), Some("NOT_LEADER_OR_FOLLOWER"));
        assert_eq!((sample.first_partition(), sample.host()), (None, "::1".to_owned()));
        let phases = phases_of(answer.requests.iter());
        assert_eq!(phases, ["receive", "queue", "append", "commit_wait", "flush", "handle", "send", "daydreaming"]);
    }

    #[test]
    fn what_a_broker_must_tell_is_asked_for() {
        let whole: serde_json::Value = serde_json::from_str(super::super::example::ANSWER).expect("JSON");
        let check = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
            let mut changed = whole.clone();
            change(&mut changed);
            let error = serde_json::from_str::<Answer>(&changed.to_string()).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&|answer| answer["requests"][0]["total_us"] = (-1).into(), "from 0 to");
        check(&|answer| answer["requests"][0]["total_us"] = 1e300.into(), "from 0 to");
        check(
            &|answer| drop(answer["requests"][0].as_object_mut().expect("an object").remove("api")),
            "missing field `api`",
        );
        check(&|answer| drop(answer.as_object_mut().expect("an object").remove("next")), "missing field `next`");
        check(&|answer| answer["node"] = "one".into(), "invalid type");
    }

    #[test]
    fn waiting_by_wish_is_not_own_time() {
        let fetch = request("Fetch", &[("purgatory", 400.0), ("throttle", 50.0), ("send", 30.0), ("handle", 20.0)]);
        assert!((fetch.total_us() - 500.0).abs() < 1e-9 && (fetch.own_us() - 50.0).abs() < 1e-9);
        assert_eq!(fetch.longest(), Some(("send", 0.6)));
        assert_eq!(request("Fetch", &[("purgatory", 400.0)]).longest(), None);
        assert_eq!(request("Fetch", &[]).longest(), None);
    }

    #[test]
    fn a_broker_of_many_phases_is_told_of_in_part() {
        let names: Vec<String> = (0..100).map(|number| format!("phase-{number:02}")).collect();
        let phases: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
        let many = request("Fetch", &phases);
        assert_eq!(phases_of(std::iter::once(&many)).len(), PHASES_MAX);
    }
}

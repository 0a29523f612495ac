//! Where the time of requests goes: for each API, phase by phase.

use std::collections::BTreeMap;

use serde::Serialize;

use super::grid::{Grid, millis, percent, quantile};
use super::kept::Weighed;
use super::record::{Request, phases_of};

/// APIs that are told each by itself. Kafka has fewer; a broker that tells of more is not told of in full.
const APIS_MAX: usize = 256;

/// The requests of one API.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct ApiTimes {
    pub(crate) api: String,
    pub(crate) samples: usize,
    pub(crate) total: Times,
    pub(crate) phases: Vec<PhaseTimes>,
}

/// One phase of them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct PhaseTimes {
    pub(crate) phase: String,
    /// Of the time of all of them: 0 to 1.
    pub(crate) share: f64,
    #[serde(flatten)]
    pub(crate) times: Times,
}

/// How long something took.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "they are called so in documents, with their unit")]
pub(crate) struct Times {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
}

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self {
            p50_us: quantile(&times, 50),
            p99_us: quantile(&times, 99),
            max_us: times.last().copied().unwrap_or(0.0),
        }
    }
}

/// A row for each API, those first of which most time is told.
pub(crate) fn apis(samples: &[Weighed<'_>]) -> Vec<ApiTimes> {
    let mut by_api: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for Weighed { request, .. } in samples {
        if by_api.len() < APIS_MAX || by_api.contains_key(request.api.as_str()) {
            by_api.entry(&request.api).or_default().push(request);
        }
    }
    let mut apis: Vec<(f64, ApiTimes)> = by_api.into_iter().map(|(api, requests)| of_api(api, &requests)).collect();
    apis.sort_by(|one, other| other.0.total_cmp(&one.0));
    apis.into_iter().map(|(_, api)| api).collect()
}

/// The API's own time, and its row.
fn of_api(api: &str, requests: &[&Request]) -> (f64, ApiTimes) {
    let all_us: f64 = requests.iter().map(|request| request.total_us()).sum();
    let own_us: f64 = requests.iter().map(|request| request.own_us()).sum();
    let times = |of: &dyn Fn(&Request) -> f64| requests.iter().map(|request| of(request)).collect::<Vec<f64>>();
    let phases = phases_of(requests.iter().copied()).into_iter().map(|phase| {
        let of_phase = times(&|request| request.phase_us(&phase));
        let share = if all_us > 0.0 { of_phase.iter().sum::<f64>() / all_us } else { 0.0 };
        PhaseTimes { phase, share, times: Times::of(of_phase) }
    });
    let phases = phases.collect();
    let total = Times::of(times(&Request::total_us));
    (own_us, ApiTimes { api: api.to_owned(), samples: requests.len(), total, phases })
}

/// The rows as people read them: a line for each API, and beneath it one for each phase that took time.
pub(crate) fn grid(apis: &[ApiTimes]) -> Grid {
    let mut grid = Grid::new(&["API", "SAMPLES", "PHASE", "SHARE", "P50 MS", "P99 MS", "MAX MS"]);
    let row = |api: &str, samples: String, phase: &str, share: f64, times: &Times| {
        let Times { p50_us, p99_us, max_us } = *times;
        let [p50, p99, max] = [p50_us, p99_us, max_us].map(millis);
        vec![api.to_owned(), samples, phase.to_owned(), percent(share), p50, p99, max]
    };
    for ApiTimes { api, samples, total, phases } in apis {
        grid.rows.push(row(api, samples.to_string(), "all", 1.0, total));
        let phases =
            phases.iter().map(|PhaseTimes { phase, share, times }| row("", String::new(), phase, *share, times));
        grid.rows.extend(phases);
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::example::{kept, request};
    use super::super::kept::Scope;
    use super::*;

    fn told(requests: Vec<Request>) -> Vec<ApiTimes> {
        apis(&kept(requests).samples(&Scope::default()))
    }

    #[test]
    fn phases_stand_beneath_their_api() {
        let mut requests: Vec<Request> =
            (1..=100).map(|n| request("Produce", &[("append", 10.0), ("flush", 10.0 * f64::from(n))])).collect();
        requests.push(request("Fetch", &[("purgatory", 1e6), ("send", 5.0), ("dreams", 5.0)]));
        let cells = grid(&told(requests));
        let expected = [
            ["Produce", "100", "all", "100.0%", "0.510", "1.000", "1.010"],
            ["", "", "append", "1.9%", "0.010", "0.010", "0.010"],
            ["", "", "flush", "98.1%", "0.500", "0.990", "1.000"],
            ["Fetch", "1", "all", "100.0%", "1000.010", "1000.010", "1000.010"],
            ["", "", "purgatory", "100.0%", "1000.000", "1000.000", "1000.000"],
            ["", "", "send", "0.0%", "0.005", "0.005", "0.005"],
            ["", "", "dreams", "0.0%", "0.005", "0.005", "0.005"],
        ];
        assert_eq!(cells.rows, expected);
    }

    #[test]
    fn a_broker_of_many_apis_is_told_of_in_part() {
        let requests = (0..APIS_MAX + 5).map(|n| request(&format!("Api{n:04}"), &[("handle", 1.0)])).collect();
        assert_eq!(told(requests).len(), APIS_MAX);
        assert_eq!(told(Vec::new()), []);
    }
}

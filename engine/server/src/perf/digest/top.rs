//! Who uses the broker most: samples by client, topic, partition, API or peer.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Serialize;

use super::grid::{Grid, millis, percent, quantile};
use super::kept::Weighed;
use super::record::Request;
use crate::output::or_dash;

/// Rows that are told each by itself; the rest is one row.
pub(crate) const ROWS_MAX: usize = 1000;
/// The name of that.
const OTHERS: &str = "(others)";

/// What requests are put together by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    #[default]
    Client,
    /// The first topic that a request names.
    Topic,
    /// The first partition that a request names.
    Partition,
    Api,
    /// The address that a client connects from.
    Peer,
}

impl By {
    pub(crate) const ALL: [Self; 5] = [Self::Client, Self::Topic, Self::Partition, Self::Api, Self::Peer];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Api => "api",
            Self::Peer => "peer",
        }
    }

    fn key(self, request: &Request) -> String {
        match self {
            Self::Client => request.client_id.clone(),
            Self::Topic => request.topic.clone().unwrap_or_default(),
            Self::Partition => match (&request.topic, request.partition) {
                (Some(topic), Some(partition)) => format!("{topic}-{partition}"),
                _ => String::new(),
            },
            Self::Api => request.api.clone(),
            Self::Peer => request.host(),
        }
    }
}

/// What comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    /// The broker's time.
    #[default]
    Time,
    Requests,
    /// Bytes that came in.
    In,
    /// Bytes that went out.
    Out,
    /// Latency.
    P99,
}

impl Sort {
    pub(crate) const ALL: [Self; 5] = [Self::Time, Self::Requests, Self::In, Self::Out, Self::P99];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Requests => "requests",
            Self::In => "bytes in",
            Self::Out => "bytes out",
            Self::P99 => "p99",
        }
    }

    fn compare(self, one: &Row, other: &Row) -> Ordering {
        let of = |row: &Row| match self {
            Self::Time => row.time_share,
            Self::Requests => row.requests_per_second,
            Self::In => row.bytes_in_per_second,
            Self::Out => row.bytes_out_per_second,
            Self::P99 => row.p99_us,
        };
        of(other).total_cmp(&of(one)).then_with(|| one.key.cmp(&other.key))
    }
}

/// The requests of one key.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Row {
    /// Empty for those that name none.
    pub(crate) key: String,
    pub(crate) samples: usize,
    pub(crate) requests_per_second: f64,
    pub(crate) bytes_in_per_second: f64,
    pub(crate) bytes_out_per_second: f64,
    /// From the first byte of a request to the last of its answer.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the time of all of them, without what they waited for by their own wish or for a quota: 0 to 1.
    pub(crate) time_share: f64,
}

/// What is put together of one key.
#[derive(Debug, Default)]
struct Sum {
    total_us: Vec<f64>,
    requests_per_second: f64,
    bytes_in_per_second: f64,
    bytes_out_per_second: f64,
    own_us: f64,
}

impl Sum {
    fn add(&mut self, sample: &Weighed<'_>) {
        let Weighed { request, stands_for, per_second } = *sample;
        self.total_us.push(request.total_us());
        self.requests_per_second += per_second;
        self.bytes_in_per_second += per_second * bytes(request.request_bytes);
        self.bytes_out_per_second += per_second * bytes(request.response_bytes);
        self.own_us += stands_for * request.own_us();
    }

    fn merge(&mut self, mut other: Self) {
        self.total_us.append(&mut other.total_us);
        self.requests_per_second += other.requests_per_second;
        self.bytes_in_per_second += other.bytes_in_per_second;
        self.bytes_out_per_second += other.bytes_out_per_second;
        self.own_us += other.own_us;
    }

    /// The row of this key; `all_us` is the time of all keys.
    fn row(&mut self, key: String, all_us: f64) -> Row {
        self.total_us.sort_by(f64::total_cmp);
        Row {
            key,
            samples: self.total_us.len(),
            requests_per_second: self.requests_per_second,
            bytes_in_per_second: self.bytes_in_per_second,
            bytes_out_per_second: self.bytes_out_per_second,
            p50_us: quantile(&self.total_us, 50),
            p99_us: quantile(&self.total_us, 99),
            time_share: if all_us > 0.0 { self.own_us / all_us } else { 0.0 },
        }
    }
}

/// Bytes of one request or answer.
fn bytes(count: u64) -> f64 {
    super::kept::count(count)
}

/// The first `limit` keys, and all others in one row at the end. There are at most as many keys as samples.
pub(crate) fn rows(samples: &[Weighed<'_>], by: By, sort: Sort, limit: usize) -> Vec<Row> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for sample in samples {
        sums.entry(by.key(sample.request)).or_default().add(sample);
    }
    let all_us: f64 = sums.values().map(|sum| sum.own_us).sum();
    let mut rows: Vec<(Row, Sum)> = sums.into_iter().map(|(key, mut sum)| (sum.row(key, all_us), sum)).collect();
    rows.sort_by(|one, other| sort.compare(&one.0, &other.0));
    let beyond = rows.split_off(limit.min(ROWS_MAX).min(rows.len()));
    let mut rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
    let mut others = Sum::default();
    for (_, sum) in beyond {
        others.merge(sum);
    }
    if !others.total_us.is_empty() {
        rows.push(others.row(OTHERS.to_owned(), all_us));
    }
    rows
}

/// The rows as people read them.
pub(crate) fn grid(rows: &[Row], by: By) -> Grid {
    let key = by.name().to_uppercase();
    let headings = [&key, "TIME", "REQUESTS/S", "KB/S IN", "KB/S OUT", "P50 MS", "P99 MS", "SAMPLES"];
    let mut grid = Grid::new(&headings);
    grid.rows = rows
        .iter()
        .map(|row| {
            vec![
                or_dash(&row.key),
                percent(row.time_share),
                format!("{:.1}", row.requests_per_second),
                format!("{:.1}", row.bytes_in_per_second / 1000.0),
                format!("{:.1}", row.bytes_out_per_second / 1000.0),
                millis(row.p50_us),
                millis(row.p99_us),
                row.samples.to_string(),
            ]
        })
        .collect();
    grid
}

#[cfg(test)]
mod tests {
    use super::super::example::{kept, request};
    use super::super::kept::{SAMPLES_MAX, Scope};
    use super::*;

    fn of(client: &str, micros: f64, count: usize) -> Vec<Request> {
        let one = Request { client_id: client.to_owned(), ..request("Produce", &[("flush", micros)]) };
        vec![one; count]
    }

    fn told(requests: Vec<Request>, by: By, sort: Sort, limit: usize) -> Vec<Row> {
        rows(&kept(requests).samples(&Scope::default()), by, sort, limit)
    }

    #[test]
    fn each_sample_stands_for_as_many_as_the_broker_says() {
        let rows = told([of("a", 100.0, 3), of("b", 700.0, 1)].concat(), By::Client, Sort::Time, 10);
        let cells = grid(&rows, By::Client);
        assert_eq!(cells.rows[0], ["b", "70.0%", "128.0", "128.0", "12.8", "0.700", "0.700", "1"]);
        assert_eq!(cells.rows[1], ["a", "30.0%", "384.0", "384.0", "38.4", "0.100", "0.100", "3"]);
        assert_eq!(cells.headings[0], "CLIENT");
    }

    #[test]
    fn what_comes_first_is_said() {
        let requests = [of("many", 1.0, 5), of("long", 900.0, 1)].concat();
        let first = |sort| told(requests.clone(), By::Client, sort, 10)[0].key.clone();
        assert_eq!((first(Sort::Time), first(Sort::P99)), ("long".to_owned(), "long".to_owned()));
        for sort in [Sort::Requests, Sort::In, Sort::Out] {
            assert_eq!(first(sort), "many", "{sort:?}");
        }
    }

    #[test]
    fn waiting_for_records_is_nobodys_time() {
        let fetch = request("Fetch", &[("purgatory", 500_000.0), ("send", 10.0)]);
        let rows = told(vec![fetch, request("Produce", &[("flush", 30.0)])], By::Api, Sort::Time, 10);
        assert_eq!((rows[0].key.as_str(), rows[1].key.as_str()), ("Produce", "Fetch"));
        assert!((rows[0].time_share - 0.75).abs() < 1e-9);
        assert!((rows[1].p99_us - 500_010.0).abs() < 1e-6, "who waits knows how long it took");
    }

    #[test]
    fn keys_beyond_the_limit_are_one_row() {
        let requests: Vec<Request> = (1..=5).flat_map(|n: u8| of(&n.to_string(), f64::from(n), 1)).collect();
        let rows = told(requests, By::Client, Sort::Time, 2);
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["5", "4", OTHERS]);
        assert_eq!((rows[2].samples, rows[2].p99_us, rows[2].time_share), (3, 3.0, 6.0 / 15.0));
        assert!((rows[2].requests_per_second - 3.0 * 128.0).abs() < 1e-9);
    }

    #[test]
    fn a_client_of_many_names_makes_no_more_rows_than_there_may_be() {
        let named = |n: usize| Request { client_id: n.to_string(), ..request("Fetch", &[]) };
        let rows = told((0..SAMPLES_MAX + 10).map(named).collect(), By::Client, Sort::Time, usize::MAX);
        assert_eq!(rows.len(), ROWS_MAX + 1);
        assert_eq!(rows.iter().map(|row| row.samples).sum::<usize>(), SAMPLES_MAX);
    }

    #[test]
    fn every_way_to_put_requests_together_has_its_key() {
        let one = request("Fetch", &[]);
        let keys = By::ALL.map(|by| by.key(&one));
        assert_eq!(keys, ["loader", "orders", "orders-3", "Fetch", "127.0.0.1"]);
        let bare = Request { topic: None, client_id: String::new(), ..one };
        assert_eq!(grid(&told(vec![bare], By::Partition, Sort::Time, 1), By::Partition).rows[0][0], "-");
        assert_eq!(told(Vec::new(), By::Client, Sort::Time, 1), []);
    }
}

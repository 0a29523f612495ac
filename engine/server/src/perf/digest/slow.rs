//! The slow requests, and what took their time.

use jiff::Timestamp;

use super::grid::{Grid, millis, percent};
use super::record::{Request, phases_of};
use crate::output::or_dash;

/// How much is told of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// The phase that took most.
    Longest,
    /// A column for each phase.
    AllPhases,
}

/// A row for each.
pub(crate) fn grid(slow: &[&Request], detail: Detail) -> Grid {
    let mut grid = Grid::new(&["WHEN", "API", "CLIENT", "PARTITION", "BYTES IN", "BYTES OUT", "MS"]);
    let phases = match detail {
        Detail::Longest => Vec::new(),
        Detail::AllPhases => phases_of(slow.iter().copied()),
    };
    match detail {
        Detail::Longest => grid.headings.push("MOST OF IT".to_owned()),
        Detail::AllPhases => grid.headings.extend(phases.iter().map(|phase| phase.to_uppercase())),
    }
    grid.headings.push("ERROR".to_owned());
    grid.rows = slow
        .iter()
        .map(|request| {
            let mut row = vec![
                when(request.at_ms),
                request.api.clone(),
                or_dash(&request.client_id),
                or_dash(&request.first_partition().unwrap_or_default()),
                request.request_bytes.to_string(),
                request.response_bytes.to_string(),
                millis(request.total_us()),
            ];
            match detail {
                Detail::Longest => row.push(longest(request)),
                Detail::AllPhases => row.extend(phases.iter().map(|phase| millis(request.phase_us(phase)))),
            }
            row.push(or_dash(request.error.as_deref().unwrap_or_default()));
            row
        })
        .collect();
    grid
}

fn longest(request: &Request) -> String {
    request.longest().map_or_else(|| "-".to_owned(), |(phase, share)| format!("{phase} {}", percent(share)))
}

/// The moment, UTC, as in the log.
fn when(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| "?".to_owned(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::super::example::{NOW_MS, request};
    use super::*;

    #[test]
    fn the_phase_that_took_most_stands_out() {
        let mut slow = request("Produce", &[("append", 30.0), ("flush", 1200.0), ("dreams", 770.0)]);
        slow.error = Some("REQUEST_TIMED_OUT".to_owned());
        slow.partitions = Some(12);
        let told = grid(&[&slow], Detail::Longest);
        let start = ["2025-11-29T07:06:39.000Z", "Produce", "loader", "orders-3 +11", "1000", "100", "2.000"];
        assert_eq!(told.rows[0], [&start[..], &["flush 60.0%", "REQUEST_TIMED_OUT"]].concat());
        assert_eq!(told.headings.len(), told.rows[0].len());
        let told = grid(&[&slow], Detail::AllPhases);
        assert_eq!(told.headings[7..], ["APPEND", "FLUSH", "DREAMS", "ERROR"]);
        assert_eq!(told.rows[0][7..], ["0.030", "1.200", "0.770", "REQUEST_TIMED_OUT"]);
        assert_eq!(when(NOW_MS + i64::MAX / 2), "?");
    }

    #[test]
    fn what_is_not_there_is_a_dash() {
        let mut bare = request("Metadata", &[]);
        (bare.client_id, bare.topic) = (String::new(), None);
        let told = grid(&[&bare], Detail::Longest);
        assert_eq!(told.rows[0][2..], ["-", "-", "1000", "100", "0.000", "-", "-"]);
    }
}

//! Which records of a partition are read: `FROM[:TO]`.

use ringlog_storage::types::{Millis, Offset};

/// A place in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Point {
    /// The first record.
    Start,
    /// Behind the last record.
    End,
    /// This offset.
    At(Offset),
    /// So many records before the end.
    BeforeEnd(i64),
    /// The first record of this time or later.
    Time(Millis),
}

/// From one place on, and up to another one if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) from: Point,
    pub(super) to: Option<Point>,
}

/// The offsets of a range in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    pub(super) from: Offset,
    /// The first offset that is not read.
    pub(super) to: Option<Offset>,
}

impl Range {
    /// Reads `FROM`, `FROM:TO` or `:TO`; without `FROM` it begins at the start.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (from, to) = match text.split_once(':') {
            Some((from, to)) => (from, Some(to)),
            None => (text, None),
        };
        let from = match (from, to) {
            ("", Some(_)) => Point::Start,
            (from, _) => parse_point(from)?,
        };
        Ok(Self { from, to: to.map(parse_point).transpose()? })
    }
}

fn parse_point(text: &str) -> Result<Point, String> {
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
    let point = match text {
        "start" | "beginning" | "earliest" => Some(Point::Start),
        "end" | "latest" => Some(Point::End),
        _ => match (text.strip_prefix('@'), text.strip_prefix('-')) {
            (Some(time), _) => number(time).map(|time| Point::Time(Millis::new(time))),
            (_, Some(records)) => number(records).map(Point::BeforeEnd),
            _ => number(text).map(|offset| Point::At(Offset::new(offset))),
        },
    };
    point.ok_or_else(|| format!("{text:?} is not start, end, an offset, -N or @milliseconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let check = |text: &str, from, to| assert_eq!(Range::parse(text), Ok(Range { from, to }), "{text}");
        check("start", Point::Start, None);
        check("earliest", Point::Start, None);
        check("end", Point::End, None);
        check(":end", Point::Start, Some(Point::End));
        check("17", Point::At(Offset::new(17)), None);
        check("17:20", Point::At(Offset::new(17)), Some(Point::At(Offset::new(20))));
        check("-5", Point::BeforeEnd(5), None);
        check("-5:end", Point::BeforeEnd(5), Some(Point::End));
        check(
            "@1700000000000:@1700000000001",
            Point::Time(Millis::new(1_700_000_000_000)),
            Some(Point::Time(Millis::new(1_700_000_000_001))),
        );
        for bad in ["", ":", "x", "1:", "--5", "@", "@-1", "1:2:3", "9223372036854775808"] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
    }
}

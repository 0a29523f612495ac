//! Where offsets are moved to.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use ringlog_storage::types::{Millis, Offset};

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("destination").required(true).args([
    "to_earliest", "to_latest", "to_current", "to_offset", "shift_by", "to_datetime", "by_duration",
]))]
pub(super) struct DestinationArguments {
    /// To the first record.
    #[arg(long)]
    to_earliest: bool,
    /// Behind the last record.
    #[arg(long)]
    to_latest: bool,
    /// To where they are; where nothing was committed, behind the last record.
    #[arg(long)]
    to_current: bool,
    /// To this offset.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// So many records forward, or back if it is negative.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the first record of this time (ISO 8601; UTC without a zone) or later, or behind the last record.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to_datetime: Option<Millis>,
    /// To the first record that is at most so old (ISO 8601, such as P7D or PT1H30M), or behind the last record.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    by_duration: Option<SignedDuration>,
}

/// Where offsets are moved to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Destination {
    Earliest,
    Latest,
    Current,
    Offset(Offset),
    /// So many records on.
    Shift(i64),
    /// The first record of this time or later.
    Time(Millis),
}

impl DestinationArguments {
    /// The destination that was asked for at this time.
    pub(super) fn at(&self, now: Millis) -> Destination {
        let ago = |duration: SignedDuration| {
            let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            // Before 1970 there are no records; negative times mean something else to brokers.
            Destination::Time(Millis::new(now.since(Millis::new(ms)).max(0)))
        };
        let flags = [
            (self.to_earliest, Destination::Earliest),
            (self.to_latest, Destination::Latest),
            (self.to_current, Destination::Current),
        ];
        let flag = flags.into_iter().find(|(is_given, _)| *is_given).map(|(_, destination)| destination);
        let offset = self.to_offset.map(|offset| Destination::Offset(Offset::new(offset)));
        let shift = self.shift_by.map(Destination::Shift);
        let time = self.to_datetime.map(Destination::Time);
        let given = flag.or(offset).or(shift).or(time).or(self.by_duration.map(ago));
        given.expect("the command line is refused without one of them")
    }
}

fn parse_time(text: &str) -> Result<Millis, String> {
    let with_zone = || text.parse::<Timestamp>().ok();
    // As Kafka's own tool has it.
    let without = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    let time = with_zone().or_else(without).map(Timestamp::as_millisecond).filter(|ms| *ms >= 0);
    let expected = "expected a time since 1970 as ISO 8601 has it, such as 2026-01-31T12:00:00.000+02:00; without a \
                    zone it is UTC";
    time.map(Millis::new).ok_or_else(|| expected.to_owned())
}

fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let duration = text.parse::<Span>().ok();
    let duration = duration.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = duration.filter(|duration| !duration.is_negative());
    let expected = "expected a duration as ISO 8601 has it, in days or less, such as P7D or PT1H30M";
    duration.ok_or_else(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_iso_8601() {
        let check = |text: &str, ms: i64| assert_eq!(parse_time(text), Ok(Millis::new(ms)), "{text}");
        check("1970-01-01T00:00:01Z", 1000);
        check("1970-01-01T00:00:01.234", 1234);
        check("1970-01-01T02:00:00+02:00", 0);
        check("1970-01-01T02:00:00.5+0200", 500);
        check("2026-11-28", 1_795_824_000_000);
        for bad in ["", "now", "1795824000000", "2026-13-01T00:00:00", "1969-12-31T23:59:59Z", "2026-11-28T25:00"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_of_iso_8601() {
        let check = |text: &str, s: i64| assert_eq!(parse_duration(text), Ok(SignedDuration::from_secs(s)), "{text}");
        check("PT0S", 0);
        check("PT1H30M", 5400);
        check("P1DT12H", 129_600);
        check("P7D", 604_800);
        for bad in ["", "1", "P1Y", "P1M", "-PT1H", "PT", "PT1X"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}

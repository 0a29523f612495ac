//! Prometheus' text format (version 0.0.4): one family after the other, its samples in any number of steps.

use std::fmt::Write as _;

use ringlog_measure::Histogram;

use super::families::{Family, Kind};

/// The content type of what is written here.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The value of a label.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label<'a> {
    Text(&'a str),
    Number(i64),
}

impl<'a> From<&'a str> for Label<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<i32> for Label<'_> {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Label<'_> {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// What a sample says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Value {
    Count(u64),
    Integer(i64),
    Decimal(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Decimal(number)
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Count(u64::from(is_so))
    }
}

/// Takes the samples of one family. The lines that name the family come before its first one, and not without any.
pub(crate) struct Samples<'a> {
    family: &'a Family,
    out: &'a mut String,
    is_named: &'a mut bool,
}

impl<'a> Samples<'a> {
    /// `is_named` tells from one step to the next whether the family is named already.
    pub(crate) fn new(family: &'a Family, out: &'a mut String, is_named: &'a mut bool) -> Self {
        Self { family, out, is_named }
    }

    /// A sample. Labels come in the order of the family's; those at the end may be missing, as in the sum over all of them.
    pub(crate) fn put(&mut self, labels: &[Label<'_>], value: impl Into<Value>) {
        self.begin("", labels, None);
        self.end(value.into());
    }

    /// All samples of a histogram whose values are divided by `per_unit`.
    pub(crate) fn put_histogram<const FIRST: u32, const OCTAVES: usize>(
        &mut self,
        labels: &[Label<'_>],
        histogram: &Histogram<FIRST, OCTAVES>,
        per_unit: f64,
    ) {
        debug_assert!(self.family.kind == Kind::Histogram, "{} is no histogram", self.family.name);
        for (bound, count) in histogram.cumulative() {
            self.begin("_bucket", labels, Some(("le", decimal(bound) / per_unit)));
            self.end(count.into());
        }
        self.begin("_bucket", labels, Some(("le", f64::INFINITY)));
        self.end(histogram.count().into());
        self.put_sum_and_count(labels, histogram.sum(), histogram.count(), per_unit);
    }

    /// Quantiles that are calculated here, for those who expect them.
    pub(crate) fn put_summary<const FIRST: u32, const OCTAVES: usize>(
        &mut self,
        labels: &[Label<'_>],
        histogram: &Histogram<FIRST, OCTAVES>,
        per_unit: f64,
    ) {
        for (thousandths, quantile) in [(500, 0.5), (750, 0.75), (950, 0.95), (990, 0.99), (999, 0.999)] {
            self.begin("", labels, Some(("quantile", quantile)));
            self.end((decimal(histogram.quantile(thousandths)) / per_unit).into());
        }
        self.put_sum_and_count(labels, histogram.sum(), histogram.count(), per_unit);
    }

    /// A summary without quantiles, or the end of one.
    pub(crate) fn put_sum_and_count(&mut self, labels: &[Label<'_>], sum: u64, count: u64, per_unit: f64) {
        debug_assert!(matches!(self.family.kind, Kind::Histogram | Kind::Summary), "{}", self.family.name);
        self.begin("_sum", labels, None);
        self.end((decimal(sum) / per_unit).into());
        self.begin("_count", labels, None);
        self.end(count.into());
    }

    fn begin(&mut self, suffix: &str, labels: &[Label<'_>], last: Option<(&str, f64)>) {
        let Family { name, kind, help, labels: names, .. } = self.family;
        if !std::mem::replace(self.is_named, true) {
            _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
        }
        assert!(labels.len() <= names.len(), "{name} has {} labels, and not {labels:?}", names.len());
        self.out.push_str(name);
        self.out.push_str(suffix);
        let mut separator = '{';
        for (name, value) in names.iter().zip(labels) {
            self.out.push(separator);
            separator = ',';
            self.out.push_str(name);
            self.out.push_str("=\"");
            match value {
                Label::Text(text) => escape(self.out, text),
                Label::Number(number) => _ = write!(self.out, "{number}"),
            }
            self.out.push('"');
        }
        if let Some((name, value)) = last {
            _ = write!(self.out, "{separator}{name}=\"");
            write_decimal(self.out, value);
            self.out.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
        self.out.push(' ');
    }

    fn end(&mut self, value: Value) {
        match value {
            Value::Count(count) => _ = write!(self.out, "{count}"),
            Value::Integer(number) => _ = write!(self.out, "{number}"),
            Value::Decimal(number) => write_decimal(self.out, number),
        }
        self.out.push('\n');
    }
}

fn write_decimal(out: &mut String, number: f64) {
    if number == f64::INFINITY {
        out.push_str("+Inf");
    } else {
        _ = write!(out, "{number}");
    }
}

/// A label's value may hold anything.
fn escape(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is told is rounded to 53 bits")]
pub(crate) fn decimal(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::families::{FamilySet, Source};
    use super::*;

    const fn family(kind: Kind, labels: &'static [&'static str]) -> Family {
        Family {
            name: "a_b",
            kind,
            set: FamilySet::Ringlog,
            help: "What it is.",
            labels,
            source: Source::Broker(|_, _| {}),
        }
    }

    fn written(family: &Family, put: impl Fn(&mut Samples<'_>)) -> String {
        let (mut out, mut is_named) = (String::new(), false);
        put(&mut Samples::new(family, &mut out, &mut is_named));
        out
    }

    #[test]
    fn a_family_is_named_once_and_only_with_a_sample() {
        let family = family(Kind::Gauge, &["x", "y"]);
        assert_eq!(written(&family, |_| {}), "");
        let two = written(&family, |samples| {
            samples.put(&["t".into(), 3_i32.into()], 7_u64);
            samples.put(&[], -1_i64);
            samples.put(&["u".into()], 0.5);
        });
        let expected = "# HELP a_b What it is.\n# TYPE a_b gauge\na_b{x=\"t\",y=\"3\"} 7\na_b -1\na_b{x=\"u\"} 0.5\n";
        assert_eq!(two, expected);
    }

    #[test]
    fn labels_hold_anything() {
        let out = written(&family(Kind::Gauge, &["x"]), |samples| samples.put(&["a\"b\\c\nd {}".into()], true));
        assert!(out.ends_with("\na_b{x=\"a\\\"b\\\\c\\nd {}\"} 1\n"), "{out}");
    }

    #[test]
    #[should_panic(expected = "a_b has 1 labels")]
    fn a_label_that_the_family_does_not_have_is_a_fault() {
        written(&family(Kind::Gauge, &["x"]), |samples| samples.put(&["a".into(), "b".into()], true));
    }

    #[test]
    fn histograms_are_cumulative() {
        let mut histogram = Histogram::<2, 2>::default();
        for value in [1, 5, 8, 100] {
            histogram.record(value);
        }
        let out = written(&family(Kind::Histogram, &["x"]), |samples| {
            samples.put_histogram(&["t".into()], &histogram, 10.0);
        });
        let expected = [
            "a_b_bucket{x=\"t\",le=\"0.4\"} 1",
            "a_b_bucket{x=\"t\",le=\"0.8\"} 3",
            "a_b_bucket{x=\"t\",le=\"1.6\"} 3",
            "a_b_bucket{x=\"t\",le=\"+Inf\"} 4",
            "a_b_sum{x=\"t\"} 11.4",
            "a_b_count{x=\"t\"} 4",
        ];
        assert_eq!(out.lines().skip(2).collect::<Vec<_>>(), expected);
        let out = written(&family(Kind::Summary, &[]), |samples| samples.put_summary(&[], &histogram, 1.0));
        assert!(out.contains("\na_b{quantile=\"0.5\"} ") && out.ends_with("a_b_sum 114\na_b_count 4\n"), "{out}");
    }
}

//! Rows as people read them: one form for a printed table and for the screen.

/// Headings, and as many cells in each row.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Grid {
    pub(crate) headings: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Grid {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { headings: headings.iter().map(|&heading| heading.to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn headings(&self) -> Vec<&str> {
        self.headings.iter().map(String::as_str).collect()
    }
}

/// Microseconds as milliseconds. One unit for a whole column: so the longest stand out.
pub(crate) fn millis(micros: f64) -> String {
    format!("{:.3}", micros / 1000.0)
}

/// A part of the whole.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// The least value that so many hundredths of `sorted` do not exceed; 0 of none.
pub(crate) fn quantile(sorted: &[f64], hundredths: usize) -> f64 {
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_there() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        let check = |sorted: &[f64], hundredths, expected: f64| {
            assert!((quantile(sorted, hundredths) - expected).abs() < 1e-9, "{hundredths} of {}", sorted.len());
        };
        check(&values, 50, 100.0);
        check(&values, 99, 198.0);
        check(&values, 100, 200.0);
        check(&[7.0], 50, 7.0);
        check(&[7.0], 99, 7.0);
        check(&[], 99, 0.0);
    }
}

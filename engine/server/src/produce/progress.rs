//! A progress bar on a terminal, for inputs whose size is known.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Instant;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

const BAR: &str = "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// How far the delivery has come. Says nothing where standard error is not a terminal.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    is_terminal: bool,
    begun: Arc<Instant>,
    total_bytes: Option<u64>,
}

impl Progress {
    /// Begins. `total_bytes` is the size of the input, if it is known.
    pub(super) fn new(total_bytes: Option<u64>) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = total_bytes.filter(|_| is_terminal).map(|bytes| {
            let style = ProgressStyle::with_template(BAR).expect("the template is a constant that a test reads");
            ProgressBar::new(bytes).with_style(style)
        });
        Self { bar, is_terminal, begun: Arc::new(Instant::now()), total_bytes }
    }

    /// So many bytes more were delivered.
    pub(super) fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Takes the bar away, and says what was done.
    pub(super) fn finish(&self, records: u64) {
        self.clear();
        if self.is_terminal {
            let bytes = self.total_bytes.map_or_else(String::new, |bytes| format!(", {},", HumanBytes(bytes)));
            eprintln!("{records} records{bytes} in {:.2} s", self.begun.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}

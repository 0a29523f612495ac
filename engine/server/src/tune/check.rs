//! `ringlog tune check`: what a broker wants of its machine, item by item.

use std::fmt::Write as _;

use anyhow::bail;
use ringlog_tuning::{Item, Verdict};

use super::PlaceArguments;
use crate::output::{self, Form, or_dash, table};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// The form of what is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let items = arguments.place.check()?;
    output::print(arguments.output, &items, |items| described(items))?;
    let failed: Vec<_> = items.iter().filter(|item| item.verdict == Verdict::Fail).map(|item| item.name).collect();
    if !failed.is_empty() {
        bail!("this machine fails at: {}", failed.join(", "));
    }
    Ok(())
}

/// A row for each item; what is wrong, and what to do, beneath.
fn described(items: &[Item]) -> String {
    let word = |verdict| match verdict {
        Verdict::Ok => "ok",
        Verdict::Unknown => "unknown",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let row = |item: &Item| {
        [word(item.verdict).to_owned(), item.name.to_owned(), or_dash(&item.measured), item.wanted.clone()]
    };
    let mut text = table(["RESULT", "CHECK", "MEASURED", "WANTED"], &items.iter().map(row).collect::<Vec<_>>());
    for item in items {
        if let Some(remedy) = &item.remedy {
            write!(text, "\n{}: {}\n  {remedy}\n", item.name, item.because).expect("a String takes everything");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_stand_beneath_the_table() {
        let item = |name, verdict, remedy: Option<&str>| Item {
            name,
            verdict,
            measured: "1".to_owned(),
            wanted: "2".to_owned(),
            because: remedy.map(|_| "It is so.".to_owned()).unwrap_or_default(),
            remedy: remedy.map(str::to_owned),
            changes: Vec::new(),
        };
        let items = [item("a", Verdict::Ok, None), item("b", Verdict::Fail, Some("do this"))];
        let expected = "RESULT  CHECK  MEASURED  WANTED\nok      a      1         2\nFAIL    b      1         2\n\nb: It is so.\n  do this\n";
        assert_eq!(described(&items), expected);
    }
}

//! `ringlog tune apply`: sets what the kernel can be told while it runs, and puts it back.

use std::path::PathBuf;

use anyhow::bail;
use ringlog_tuning::Knob;
use ringlog_tuning::apply::{self, NOTE_PATH, Step, Written};

use super::PlaceArguments;
use crate::output::{self, Form, table};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Set it; without this, what would be set is only told.
    #[arg(long, conflicts_with = "undo")]
    execute: bool,
    /// Put back what was there before.
    #[arg(long)]
    undo: bool,
    /// Where the old values are noted [default: /var/lib/ringlog/tune.undo].
    #[arg(long, value_name = "FILE")]
    undo_file: Option<PathBuf>,
    /// The form of what is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = &arguments.place.root;
    let note = arguments.undo_file.clone().unwrap_or_else(|| root.join(NOTE_PATH.trim_start_matches('/')));
    if arguments.undo {
        return report(arguments.output, &apply::undo(root, &note)?);
    }
    let items = arguments.place.check()?;
    let changes: Vec<_> = items.into_iter().flat_map(|item| item.changes).collect();
    let steps = apply::steps(root, &changes);
    if arguments.execute {
        return report(arguments.output, &apply::execute(root, &note, &steps)?);
    }
    output::print(arguments.output, &steps, |steps| {
        let row = |step: &Step| [shown(&step.knob), step.old.clone(), step.new.clone(), step.because.clone()];
        let plan = table(["SETTING", "NOW", "WOULD BE", "BECAUSE"], &steps.iter().map(row).collect::<Vec<_>>());
        if steps.is_empty() { "nothing is to be set\n".to_owned() } else { plan + "\nto set it: --execute\n" }
    })
}

/// Tells what was written. What could not be is an error.
fn report(form: Form, written: &[Written]) -> anyhow::Result<()> {
    output::print(form, &written, |written| {
        let result = |written: &Written| written.error.clone().unwrap_or_else(|| "set".to_owned());
        let row = |each: &Written| [shown(&each.knob), each.old.clone(), each.new.clone(), result(each)];
        let rows: Vec<_> = written.iter().map(row).collect();
        if rows.is_empty() {
            "nothing is to be set\n".to_owned()
        } else {
            table(["SETTING", "OLD", "NEW", "RESULT"], &rows)
        }
    })?;
    let failed = written.iter().filter(|written| written.error.is_some()).count();
    if failed > 0 {
        bail!("{failed} of {} settings were not set", written.len());
    }
    Ok(())
}

fn shown(knob: &Knob) -> String {
    format!("/{}", knob.path())
}

//! Holds a machine against what a broker wants of it. Pure: the machine was read before.

mod kernel;
mod network;
mod processors;
mod storage;

use serde::Serialize;

use crate::knob::{Change, Knob};
use crate::machine::Machine;
use crate::plan::Plan;

/// How a machine fares with one thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Nobody tells.
    Unknown,
    /// A broker runs, and could run better.
    Warn,
    /// A broker does not run, or does not keep what it promises.
    Fail,
}

/// One thing that is looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Item {
    /// What it is.
    pub name: &'static str,
    /// How it fares.
    pub verdict: Verdict,
    /// What there is.
    pub measured: String,
    /// What is wanted.
    pub wanted: String,
    /// Why it matters; empty where nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub because: String,
    /// What to do: a command where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What can be written to the kernel that runs.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

/// What a broker was told that its machine must be good for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// Whether `io_uring` is asked for by name, so that there is no other way.
    pub uring: bool,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: u64,
}

impl Item {
    fn new(name: &'static str, measured: impl Into<String>, wanted: impl Into<String>) -> Self {
        let (measured, wanted) = (measured.into(), wanted.into());
        Self { name, verdict: Verdict::Ok, measured, wanted, because: String::new(), remedy: None, changes: Vec::new() }
    }

    fn unknown(name: &'static str, wanted: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::new(name, "unknown", wanted) }
    }

    fn warn(self, because: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, because: because.into(), remedy: Some(remedy.into()), ..self }
    }

    fn fail(self, because: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..self.warn(because, remedy) }
    }

    /// A warning whose remedy can be written to the kernel that runs.
    fn warn_and_set(self, because: &str, changes: Vec<(Option<Knob>, String)>) -> Self {
        let changes = changes.into_iter().filter_map(|(knob, value)| Some((knob?, value)));
        let changes: Vec<Change> =
            changes.map(|(knob, value)| Change { knob, value, because: because.to_owned() }).collect();
        let remedy = changes.first().map_or_else(String::new, |first| first.knob.command(&first.value));
        let remedy = if changes.len() > 1 { format!("{remedy} (and {} more)", changes.len() - 1) } else { remedy };
        Self { changes, ..self.warn(because, remedy) }
    }
}

/// Everything that is looked at, with the plan that the machine was given.
pub fn check(machine: &Machine, plan: &Plan, needs: Needs) -> Vec<Item> {
    let mut items = processors::check(machine, plan);
    items.extend(kernel::check(machine, plan, needs));
    items.extend(storage::check(machine, plan));
    items.extend(network::check(machine, plan, needs));
    items
}

/// A percentage, rounded down; none of nothing.
fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

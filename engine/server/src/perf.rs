//! `ringlog perf`: what a broker's records of requests tell: which were slow, who uses it most, where the time goes.

mod digest;
mod live;
mod screen;
mod source;

use std::io::{self, IsTerminal as _};
use std::thread;
use std::time::{Duration, Instant};

use clap::Subcommand;
use ringlog_net::client::Address;
use ringlog_net::messages::ApiKey;
use serde::Serialize;

use crate::output::{self, Form};
use crate::session::parse_address;
use digest::grid::Grid;
use digest::kept::{Kept, Scope};
use digest::record::{About, Request};
use digest::slow::Detail;
use digest::top::{By, Sort};
use digest::{phases, slow, top};
use screen::{Screen, Tab, View};
use source::{Source, Wanted};

/// How long a command that prints once watches, where nothing else is said.
const WATCH_SECONDS: u64 = 2;
/// Pause between two questions to the broker.
const PAUSE: Duration = Duration::from_secs(1);
/// The time that a live view tells of, where nothing else is said.
const LIVE_WINDOW_SECONDS: u32 = 60;

/// Tell which requests were slow, who uses the broker most, and where the time of requests goes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The broker's ringlog.admin.listener.
    #[arg(long, global = true, value_name = "HOST:PORT", value_parser = parse_address, default_value = "127.0.0.1:9644")]
    admin: Address,
    /// The form of what is printed.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Form,
    /// Print once, also to a terminal.
    #[arg(long, global = true)]
    once: bool,
    /// Print once, after having watched for so long [default: 2; 0 for slow].
    #[arg(long, global = true, value_parser = clap::value_parser!(u64).range(0..=3600))]
    seconds: Option<u64>,
    /// Tell only of requests that ended in the last so many seconds [default: 60 in a live view; all that is there otherwise].
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    window: Option<u32>,
    /// Tell only of requests of this API, such as Produce or Fetch.
    #[arg(long, global = true, value_parser = parse_api)]
    api: Option<String>,
    /// Tell only of requests of this client id.
    #[arg(long, global = true)]
    client: Option<String>,
    /// Tell only of requests whose first topic is this one.
    #[arg(long, global = true)]
    topic: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// The newest slow requests, the newest last, with the phase that took most of each.
    Slow {
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=4096))]
        limit: u16,
        /// A column for each phase.
        #[arg(short = 'v', long)]
        all_phases: bool,
    },
    /// Who uses the broker most, from samples: rates, latency, share of the time that requests take of the broker.
    Top {
        /// What requests are put together by.
        #[arg(long, value_enum, default_value_t)]
        by: By,
        /// What comes first.
        #[arg(long, value_enum, default_value_t)]
        sort: Sort,
        /// How many are told each by itself.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Where the time of requests goes, from samples: for each API, phase by phase.
    Phases,
}

/// The name of an API as Kafka writes it.
fn parse_api(text: &str) -> Result<String, String> {
    let mut names = ApiKey::ALL.iter().map(|api| api.name());
    let found = names.find(|name| name.eq_ignore_ascii_case(text));
    found.map(str::to_owned).ok_or_else(|| "expected the name of a Kafka API, such as Produce or Fetch".to_owned())
}

/// What all documents for programs begin with.
#[derive(Debug, Serialize)]
struct Head<'a> {
    #[serde(flatten)]
    about: &'a About,
    /// Records that were overwritten before they could be read.
    lost: u64,
}

#[derive(Debug, Serialize)]
struct SlowDocument<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    requests: Vec<&'a Request>,
}

#[derive(Debug, Serialize)]
struct TopDocument<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    /// How long the time is that rates are of.
    seconds: f64,
    by: By,
    rows: Vec<top::Row>,
}

#[derive(Debug, Serialize)]
struct PhasesDocument<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    seconds: f64,
    apis: Vec<phases::ApiTimes>,
}

/// Performs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let is_slow = matches!(arguments.command, Command::Slow { .. });
    let prints = arguments.once || arguments.seconds.is_some() || arguments.output != Form::Table;
    if !is_slow && !prints && io::stdout().is_terminal() {
        let source = Source::new(arguments.admin.clone(), Wanted::All);
        return live::run(source, Screen::new(arguments.view(), arguments.scope(Some(LIVE_WINDOW_SECONDS))));
    }
    let wanted = if is_slow { Wanted::Slow } else { Wanted::All };
    let seconds = arguments.seconds.unwrap_or(if is_slow { 0 } else { WATCH_SECONDS });
    let kept = watch(&mut Source::new(arguments.admin.clone(), wanted), Duration::from_secs(seconds))?;
    arguments.tell(&kept)
}

/// Reads what is there, and what comes in this time.
fn watch(source: &mut Source, time: Duration) -> anyhow::Result<Kept> {
    let until = Instant::now() + time;
    let mut kept = Kept::default();
    loop {
        source.read(|answer| kept.add(answer))?;
        let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
            return Ok(kept);
        };
        // Nobody unparks this thread: it pauses.
        thread::park_timeout(left.min(PAUSE));
    }
}

impl Arguments {
    fn scope(&self, window_default: Option<u32>) -> Scope {
        let Self { api, client, topic, .. } = self.clone();
        let window_ms = self.window.or(window_default).map(|seconds| i64::from(seconds) * 1000);
        Scope { api, client, topic, window_ms }
    }

    /// What a live view begins with.
    fn view(&self) -> View {
        let mut view = View::default();
        match self.command {
            Command::Slow { .. } => view.tab = Tab::Slow,
            Command::Top { by, sort, .. } => (view.tab, view.by, view.sort) = (Tab::Top, by, sort),
            Command::Phases => view.tab = Tab::Phases,
        }
        view
    }

    /// Prints what was kept.
    fn tell(&self, kept: &Kept) -> anyhow::Result<()> {
        let scope = self.scope(None);
        let head = Head { about: kept.about(), lost: kept.lost() };
        match self.command {
            Command::Slow { limit, all_phases } => {
                let mut requests = kept.slow(&scope);
                requests.drain(..requests.len().saturating_sub(usize::from(limit)));
                let detail = if all_phases { Detail::AllPhases } else { Detail::Longest };
                output::print(self.output, &SlowDocument { head, requests }, |document| {
                    table(&slow::grid(&document.requests, detail), &slow_remark(kept))
                })
            }
            Command::Top { by, sort, limit } => {
                let rows = top::rows(&kept.samples(&scope), by, sort, usize::from(limit));
                let seconds = kept.seconds(&scope);
                output::print(self.output, &TopDocument { head, seconds, by, rows }, |document| {
                    table(&top::grid(&document.rows, by), &samples_remark(kept, &scope))
                })
            }
            Command::Phases => {
                let apis = phases::apis(&kept.samples(&scope));
                let seconds = kept.seconds(&scope);
                output::print(self.output, &PhasesDocument { head, seconds, apis }, |document| {
                    table(&phases::grid(&document.apis), &samples_remark(kept, &scope))
                })
            }
        }
    }
}

/// A table, and a line beneath it on what it was made of.
fn table(grid: &Grid, remark: &str) -> String {
    let table = output::table_of(&grid.headings(), &grid.rows);
    format!("{table}\n{}\n", output::shown(remark, usize::MAX))
}

/// What a table of slow requests was made of.
fn slow_remark(kept: &Kept) -> String {
    let about = kept.about();
    let threshold = about.slow_us.map_or_else(
        || "no slow requests are kept: ringlog.perf.slow.us is 0".to_owned(),
        |slow_us| format!("a request is slow above {} ms", digest::grid::millis(digest::kept::count(slow_us))),
    );
    format!("{}: {threshold}{}", who(about), lost(kept))
}

/// What a table of samples was made of.
fn samples_remark(kept: &Kept, scope: &Scope) -> String {
    let about = kept.about();
    let rate = about.sample_every.map_or_else(
        || "no samples are kept: ringlog.perf.sample is 0".to_owned(),
        |every| format!("1 request of {every}"),
    );
    let (samples, seconds) = (kept.samples(scope).len(), kept.seconds(scope));
    let samples = if samples == 1 { "1 sample".to_owned() } else { format!("{samples} samples") };
    format!("{}: {samples} of {seconds:.1} s, {rate}{}", who(about), lost(kept))
}

fn who(about: &About) -> String {
    format!("node {}, version {}", about.node, about.version)
}

fn lost(kept: &Kept) -> String {
    if kept.lost() == 0 { String::new() } else { format!("; {} records were overwritten unread", kept.lost()) }
}

#[cfg(test)]
mod tests {
    use super::digest::example::{kept, request};
    use super::*;

    #[test]
    fn an_api_is_named_as_kafka_names_it() {
        assert_eq!(parse_api("produce").as_deref(), Ok("Produce"));
        assert!(parse_api("Produces").expect_err("there is none").contains("such as Produce"));
    }

    #[test]
    fn a_remark_tells_what_a_table_was_made_of() {
        let kept = kept(vec![request("Fetch", &[]); 3]);
        assert_eq!(slow_remark(&kept), "node 1, version 0.1.0: a request is slow above 100.000 ms");
        let remark = samples_remark(&kept, &Scope::default());
        assert_eq!(remark, "node 1, version 0.1.0: 3 samples of 1.0 s, 1 request of 128");
        let empty = Kept::default();
        assert!(slow_remark(&empty).ends_with("ringlog.perf.slow.us is 0"));
        assert!(samples_remark(&empty, &Scope::default()).ends_with("ringlog.perf.sample is 0"));
    }

    #[test]
    fn nothing_of_a_broker_reaches_the_terminal_raw() {
        let mut evil = request("Fetch", &[("send", 1.0)]);
        evil.client_id = "a\x1b[2J\n".to_owned();
        let rows = top::rows(&kept(vec![evil]).samples(&Scope::default()), By::Client, Sort::Time, 10);
        let printed = table(&top::grid(&rows, By::Client), "version \x1b[31m");
        assert!(printed.chars().all(|character| character == '\n' || !character.is_control()), "{printed:?}");
        assert_eq!(printed.lines().count(), 4);
    }
}

//! Commits of offsets at a fixed rate.

use std::time::Duration;

use anyhow::anyhow;

use super::{OFFSET_COMMIT_VERSION, check_committed, commit, decode, set_up};
use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::Receive;
use crate::load::{self, Counts, Load, Measured};
use crate::report::{Target, figure, number};
use crate::requests;

/// Groups, each of which commits in turn.
const GROUPS: u32 = 50;
const PARTITIONS: i32 = 100;
/// One commit of one group.
const INTERVAL: Duration = Duration::from_millis(50);
const CORES_MAX: f64 = 1.0;

pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for _ in 0..setup.runs() {
        let mut broker = Broker::start(setup, Cores::One)?;
        let measured = setup.measured();
        runs.push(load::run(&mut broker, setup, move |load| drive(load, measured))?);
        broker.stop()?;
    }
    let each = |of: fn(&Measured) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
    let offsets = |run: &Measured| number(run.requests) * f64::from(PARTITIONS);
    figure("offsets", "/s", &runs.iter().map(|run| offsets(run) / run.seconds).collect::<Vec<_>>(), Target::None);
    figure("broker CPU", "cores", &each(|run| run.broker_cpu_seconds / run.seconds), Target::AtMost(CORES_MAX));
    let per_offset = runs.iter().map(|run| 1e6 * run.broker_cpu_seconds / offsets(run));
    figure("broker CPU", "us/offset", &per_offset.collect::<Vec<_>>(), Target::None);
    figure("load CPU", "cores", &each(|run| run.load_cpu_seconds / run.seconds), Target::None);
    Ok(())
}

async fn drive(load: Load, measured: Duration) -> anyhow::Result<Measured> {
    let topic_id = set_up(&load, PARTITIONS).await?;
    for number in 0..GROUPS {
        let group = format!("commits-{number}");
        let mut connection = load.connect(Receive::Pooled).await?;
        let (reactor, counts) = (load.reactor.clone(), std::rc::Rc::clone(&load.counts));
        let frame = requests::frame(&commit(&group, topic_id, 0..PARTITIONS, 1), OFFSET_COMMIT_VERSION)?;
        load.spawn(async move {
            // Spread over the interval.
            let mut next = reactor.now() + INTERVAL * number / GROUPS;
            loop {
                reactor.sleep_until(next).await;
                next = next + INTERVAL;
                let answer = connection.ask("a commit", frame.clone()).await?;
                let response = decode::<ringlog_net::messages::offset_commit::OffsetCommitRequest>(
                    &answer,
                    OFFSET_COMMIT_VERSION,
                )?;
                check_committed(&response).map_err(|code| anyhow!("{group}: {code}"))?;
                Counts::add(&counts.requests, 1);
            }
        });
    }
    load.measure(measured).await
}

//! What a broker takes before it has done anything: memory when idle, and the time until it accepts.

use std::time::Duration;

use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::load;
use crate::report::{Target, figure, number};

const RESIDENT_MEBIBYTES_MAX: f64 = 64.0;
const START_MS_MAX: f64 = 100.0;
/// How long a broker is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let (mut resident, mut started) = (Vec::new(), Vec::new());
    for _ in 0..setup.runs() {
        let mut broker = Broker::start(setup, Cores::All)?;
        started.push(broker.started_in.as_secs_f64() * 1e3);
        load::run(&mut broker, setup, async |load| {
            load.reactor.sleep(SETTLE).await;
            Ok(())
        })?;
        resident.push(number(broker.resident_bytes()?) / 1024.0 / 1024.0);
        broker.stop()?;
    }
    figure("idle resident memory", "MiB", &resident, Target::AtMost(RESIDENT_MEBIBYTES_MAX));
    figure("start to accepting", "ms", &started, Target::AtMost(START_MS_MAX));
    Ok(())
}

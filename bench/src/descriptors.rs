//! The limit of open files, which every connection needs one of. A ring that has none left waits for ever.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What this program has open beside its connections: rings, files, pipes.
const OTHERS: u64 = 100;

/// Raises the limit as far as it goes, and refuses when there is no room for so many connections then.
pub(crate) fn make_room(connections: usize) -> anyhow::Result<()> {
    let needed = u64::try_from(connections)?.saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |current: Option<u64>| current.is_none_or(|current| current >= needed);
    if is_enough(limit.current) {
        return Ok(());
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok();
    let current = if raised { limit.maximum } else { limit.current };
    ensure!(
        is_enough(current),
        "{connections} connections need {needed} open files, and this program may have {}: `ulimit -n` tells and sets it",
        current.unwrap_or(u64::MAX)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_find_no_room_are_refused() {
        make_room(1).expect("there is room");
        let Some(maximum) = getrlimit(Resource::Nofile).maximum else { return };
        let error = make_room(usize::try_from(maximum).expect("64 bits")).expect_err("no room").to_string();
        assert!(error.contains("ulimit -n") && error.contains(&maximum.to_string()), "{error}");
    }
}

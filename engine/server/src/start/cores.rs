//! Which cores run a shard.

use ringlog_cluster::config::Cores;

/// Picks cores out of those that the process may use. `quota` is how many cores' worth of time the container has: it
/// lowers the count of [`Cores::All`], and nothing that was asked for by number.
pub(super) fn choose(wanted: &Cores, available: &[usize], quota: Option<usize>) -> Result<Vec<usize>, String> {
    if available.is_empty() {
        return Err("the system does not tell which cores this process may use".to_owned());
    }
    match wanted {
        Cores::All => Ok(available.iter().copied().take(quota.unwrap_or(usize::MAX).max(1)).collect()),
        Cores::Count(count) if *count <= available.len() => Ok(available[..*count].to_vec()),
        Cores::Count(count) => {
            Err(format!("ringlog.cores={count}: this process may use {}; give a smaller count", listed(available)))
        }
        Cores::These(cores) => match cores.iter().find(|core| !available.contains(core)) {
            None => Ok(cores.clone()),
            Some(core) => Err(format!(
                "ringlog.cores: core {core} is not available, this process may use {}; name others",
                listed(available)
            )),
        },
    }
}

/// The numbers, with ranges of them joined.
fn listed(cores: &[usize]) -> String {
    let mut sorted = cores.to_vec();
    sorted.sort_unstable();
    let ranges = sorted.chunk_by(|left, right| left + 1 == *right).map(|range| match range {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    let noun = if cores.len() == 1 { "core" } else { "cores" };
    format!("{noun} {}", ranges.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &str, available: &[usize], quota: Option<usize>, expected: Result<&[usize], &str>) {
        let wanted = Cores::parse(wanted).expect("it is a choice of cores");
        let chosen = choose(&wanted, available, quota);
        match expected {
            Ok(cores) => assert_eq!(chosen.as_deref(), Ok(cores)),
            Err(part) => assert!(chosen.as_ref().is_err_and(|error| error.contains(part)), "{chosen:?}"),
        }
    }

    #[test]
    fn what_is_asked_for_must_be_there() {
        check("all", &[0, 1, 2], None, Ok(&[0, 1, 2]));
        check("2", &[4, 5, 6], None, Ok(&[4, 5]));
        check("5-6", &[4, 5, 6], None, Ok(&[5, 6]));
        check("4", &[0, 1, 2, 5], Some(1), Ok(&[0, 1, 2, 5]));
        check("5", &[0, 1, 2, 5], None, Err("this process may use cores 0-2,5"));
        check("0,3", &[0], None, Err("core 3 is not available, this process may use core 0"));
        check("all", &[], None, Err("does not tell"));
    }

    #[test]
    fn a_quota_lowers_the_count_of_all() {
        check("all", &[0, 1, 2, 3], Some(2), Ok(&[0, 1]));
        check("all", &[0, 1], Some(8), Ok(&[0, 1]));
        check("all", &[0, 1], Some(0), Ok(&[0]));
        check("1-2", &[0, 1, 2, 3], Some(1), Ok(&[1, 2]));
    }
}

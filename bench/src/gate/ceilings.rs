//! The recorded ceilings: what may be counted at most, and how a count compares with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// Counts by their names, of the scenes or paths by theirs.
pub(crate) type Counts = BTreeMap<String, BTreeMap<String, f64>>;

/// A count so far below its ceiling, as a share, has earned a lower one.
const LOWER_SHARE: f64 = 0.05;
/// What stands on top of the file.
const HEADER: &str = "\
# What one request may cost at most. Held by bench/gate, which counts it; lowered by bench/gate --record, raised by
# bench/gate --raise REASON alone. The scenes are those of bench/src/scene.rs, the paths those of bench/src/paths.rs:
#   turns, operations   of the broker's shard, in the simulator; on a ring each turn is one io_uring_enter
#   allocations         of the broker in the simulator, which itself does not count
#   copied-bytes        by memcpy and its kin, of the broker in the simulator; neither the kernel's nor streaming ones count
#   instructions        of the broker in the simulator and, few, of the client; of a pure path; those of the allocator,
#                       which depend on where in the heap it finds room, do not count
#   enters, syscalls    of the broker's thread on a ring of the kernel, one request in flight
";

/// The file.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
pub(crate) struct Ceilings {
    /// Why some of them are higher than they once were, oldest first.
    #[serde(default)]
    raised: Vec<String>,
    #[serde(default)]
    counts: Counts,
}

/// How a count compares with its ceiling.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Verdict {
    /// Nothing is recorded for it.
    New,
    /// At its ceiling, or near enough.
    Held,
    /// So far below that the ceiling should follow.
    Fallen,
    /// Above.
    Exceeded,
}

/// How far a count may be above its ceiling and still be the same count: what compilers, C libraries and kernels change
/// without anybody's doing.
fn slack(count: &str, ceiling: f64) -> f64 {
    match count {
        "instructions" => 0.03 * ceiling,
        // The kernel may split one receive into two.
        "enters" | "syscalls" => 0.05 * ceiling,
        "copied-bytes" => 0.01 * ceiling + 1.0,
        _ => 0.005 * ceiling + 0.01,
    }
}

impl Ceilings {
    /// Reads the file; a missing one has no ceilings.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, self.text()?).with_context(|| path.display().to_string())
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut text = HEADER.to_owned();
        if !self.raised.is_empty() {
            text.push_str("\nraised = [\n");
            for reason in &self.raised {
                // A JSON string is a string of TOML, too.
                let _ = writeln!(text, "    {},", serde_json::to_string(reason)?);
            }
            text.push_str("]\n");
        }
        for (scene, counts) in &self.counts {
            let _ = write!(text, "\n[counts.{scene}]\n");
            for (name, count) in counts {
                let _ = writeln!(text, "{name} = {count:?}");
            }
        }
        Ok(text)
    }

    pub(crate) fn of(&self, scene: &str, count: &str) -> Option<f64> {
        self.counts.get(scene)?.get(count).copied()
    }

    pub(crate) fn judge(&self, scene: &str, count: &str, now: f64) -> Verdict {
        match self.of(scene, count) {
            None => Verdict::New,
            Some(ceiling) if now > ceiling + slack(count, ceiling) => Verdict::Exceeded,
            Some(ceiling) if now < ceiling * (1.0 - LOWER_SHARE) => Verdict::Fallen,
            Some(_) => Verdict::Held,
        }
    }

    /// Lowers what has fallen, and records what is new. What is above its ceiling stays, unless there is a reason.
    pub(crate) fn record(&mut self, counted: &Counts, reason_to_raise: Option<&str>) {
        for (scene, counts) in counted {
            for (count, &now) in counts {
                let verdict = self.judge(scene, count, now);
                let ceiling = self.counts.entry(scene.clone()).or_default().entry(count.clone()).or_insert(now);
                match (verdict, reason_to_raise) {
                    (Verdict::Exceeded, Some(reason)) => {
                        self.raised.push(format!("{scene}, {count}: {ceiling} to {now}: {reason}"));
                        *ceiling = now;
                    }
                    _ => *ceiling = ceiling.min(now),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(now: f64) -> Counts {
        Counts::from([("a".to_owned(), BTreeMap::from([("turns".to_owned(), now)]))])
    }

    fn ceilings(at: f64) -> Ceilings {
        Ceilings { raised: Vec::new(), counts: counts(at) }
    }

    #[test]
    fn a_count_is_held_against_its_ceiling() {
        let judge = |now| ceilings(3.0).judge("a", "turns", now);
        assert_eq!(judge(3.0), Verdict::Held);
        assert_eq!(judge(3.01), Verdict::Held, "within the slack");
        assert_eq!(judge(3.1), Verdict::Exceeded);
        assert_eq!(judge(2.9), Verdict::Held, "not worth a word");
        assert_eq!(judge(2.5), Verdict::Fallen);
        assert_eq!(ceilings(3.0).judge("a", "operations", 1.0), Verdict::New);
    }

    #[test]
    fn a_ceiling_falls_by_itself_and_rises_with_a_reason() {
        let recorded = |now, reason| {
            let mut ceilings = ceilings(3.0);
            ceilings.record(&counts(now), reason);
            (ceilings.of("a", "turns").expect("it stays"), ceilings.raised.len())
        };
        assert_eq!(recorded(2.0, None), (2.0, 0));
        assert_eq!(recorded(4.0, None), (3.0, 0));
        assert_eq!(recorded(4.0, Some("a feature")), (4.0, 1));
        assert_eq!(recorded(2.0, Some("a feature")), (2.0, 0));
    }

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let mut ceilings = ceilings(3.0);
        ceilings.record(&counts(4.25), Some("\"quoted\""));
        let text = ceilings.text().expect("it can be written");
        assert_eq!(toml::from_str::<Ceilings>(&text).expect("it is TOML"), ceilings);
    }
}

//! Whether the broker is of use to clients.

use std::time::Duration;

use crate::errand::on_shard;
use crate::shard::Shard;
use crate::state::{Disk, State};

/// How long a shard may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// What one shard says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ShardHealth {
    is_stopping: bool,
    /// Group coordinators whose logs are being read.
    loading: usize,
    disk: Disk,
}

impl ShardHealth {
    pub(crate) fn of(state: &State) -> Self {
        Self { is_stopping: state.stopping, loading: state.groups.loading(), disk: state.disk() }
    }

    /// Whether it is no reason to keep clients away.
    pub(crate) fn is_ready(self) -> bool {
        self.objection(0).is_none()
    }

    /// Why the broker should get no clients.
    fn objection(self, index: usize) -> Option<String> {
        match self {
            Self { disk: Disk::Failed, .. } => Some(format!(
                "a write of shard {index} failed: look at the log, which tells why, and restart the broker"
            )),
            Self { is_stopping: true, .. } => Some("the broker stops".to_owned()),
            Self { loading: 1.., .. } => {
                Some(format!("{} group coordinators of shard {index} are being loaded", self.loading))
            }
            Self { disk: Disk::Good | Disk::Full, .. } => None,
        }
    }
}

/// Why the broker should get no clients; `None` if it is ready. A disk that is full is no reason: everything but new records
/// is served.
pub(super) async fn objection(shard: &Shard) -> Option<String> {
    for index in 0..shard.count() {
        let look = |shard: &Shard| shard.with(|state| ShardHealth::of(state));
        let Ok(health) = shard.reactor().timeout(on_shard(shard, index, look), ANSWER_TIME_MAX).await else {
            return Some(format!("shard {index} does not answer"));
        };
        if let Some(objection) = health.objection(index) {
            return Some(objection);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_told_first() {
        let good = ShardHealth { is_stopping: false, loading: 0, disk: Disk::Good };
        let check = |health: ShardHealth, expected: Option<&str>| {
            let objection = health.objection(3);
            match expected {
                Some(part) => assert!(objection.as_deref().is_some_and(|told| told.contains(part)), "{objection:?}"),
                None => assert_eq!(objection, None),
            }
            assert_eq!(health.is_ready(), expected.is_none());
        };
        check(good, None);
        check(ShardHealth { disk: Disk::Full, ..good }, None);
        check(ShardHealth { loading: 2, ..good }, Some("2 group coordinators of shard 3"));
        check(ShardHealth { is_stopping: true, loading: 2, ..good }, Some("stops"));
        check(ShardHealth { is_stopping: true, disk: Disk::Failed, ..good }, Some("a write of shard 3 failed"));
    }
}

//! One member's next step from what it has to what it should have.

use std::collections::BTreeMap;

use ringlog_storage::types::Uuid;

use super::{Current, MemberState, Owned, Partitions};

/// The next step, given what the member should have in which epoch, and what it says that it has (`None`: as before).
/// Partitions are given only when `is_free` says so. Answers the member unchanged if it has to wait, or is there.
pub(super) fn reconcile(
    current: &Current,
    target: &Partitions,
    target_epoch: i32,
    owned: Option<&Partitions>,
    is_free: &dyn Fn(Uuid, i32) -> bool,
) -> Current {
    match current.state {
        MemberState::Stable if current.epoch == target_epoch => current.clone(),
        MemberState::UnrevokedPartitions if still_owns(owned, &current.revoking) => current.clone(),
        _ => next(current, target, target_epoch, owned, is_free),
    }
}

fn next(
    current: &Current,
    target: &Partitions,
    target_epoch: i32,
    owned: Option<&Partitions>,
    is_free: &dyn Fn(Uuid, i32) -> bool,
) -> Current {
    let is_target = |topic: &Uuid, partition: &i32| target.get(topic).is_some_and(|of| of.contains(partition));
    let (mut assigned, mut revoking) = (Owned::new(), Owned::new());
    for (topic, partitions) in &current.assigned {
        for (partition, epoch) in partitions {
            let to = if is_target(topic, partition) { &mut assigned } else { &mut revoking };
            to.entry(*topic).or_default().insert(*partition, *epoch);
        }
    }
    if !revoking.is_empty() && still_owns(owned, &revoking) {
        // It keeps its epoch until it has given them back: its commits of them count until then.
        return Current { state: MemberState::UnrevokedPartitions, assigned, revoking, ..current.clone() };
    }
    let mut state = MemberState::Stable;
    for (topic, partitions) in target {
        for partition in partitions {
            if current.assigned.get(topic).is_some_and(|of| of.contains_key(partition)) {
                continue;
            }
            if is_free(*topic, *partition) {
                assigned.entry(*topic).or_default().insert(*partition, target_epoch);
            } else {
                state = MemberState::UnreleasedPartitions;
            }
        }
    }
    let previous_epoch = if current.epoch == target_epoch { current.previous_epoch } else { current.epoch };
    Current { epoch: target_epoch, previous_epoch, state, assigned, revoking: BTreeMap::new() }
}

/// Whether the member has one of the partitions. One that does not say has what it had.
fn still_owns(owned: Option<&Partitions>, revoking: &Owned) -> bool {
    let Some(owned) = owned else { return true };
    owned
        .iter()
        .any(|(topic, of)| revoking.get(topic).is_some_and(|lost| of.iter().any(|part| lost.contains_key(part))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Uuid = Uuid::from_u128(9);

    fn partitions(of: &[i32]) -> Partitions {
        if of.is_empty() { Partitions::new() } else { Partitions::from([(TOPIC, of.iter().copied().collect())]) }
    }

    fn owned(of: &[(i32, i32)]) -> Owned {
        if of.is_empty() { Owned::new() } else { Owned::from([(TOPIC, of.iter().copied().collect())]) }
    }

    fn member(epoch: i32, state: MemberState, assigned: &[(i32, i32)], revoking: &[(i32, i32)]) -> Current {
        Current { epoch, previous_epoch: epoch - 1, state, assigned: owned(assigned), revoking: owned(revoking) }
    }

    #[test]
    fn a_member_gives_back_first_then_gets_what_is_free_then_the_rest() {
        let target = partitions(&[1, 2, 3]);
        let start = member(4, MemberState::Stable, &[(0, 2), (1, 3)], &[]);
        let told = reconcile(&start, &target, 5, Some(&partitions(&[0, 1])), &|_, _| true);
        assert_eq!(told, member(4, MemberState::UnrevokedPartitions, &[(1, 3)], &[(0, 2)]));
        // It still has it, or says nothing: it is waited for.
        assert_eq!(reconcile(&told, &target, 5, Some(&partitions(&[0, 1])), &|_, _| true), told);
        assert_eq!(reconcile(&told, &target, 5, None, &|_, _| true), told);
        let next = reconcile(&told, &target, 5, Some(&partitions(&[1])), &|_, part| part == 2);
        assert_eq!(next, member(5, MemberState::UnreleasedPartitions, &[(1, 3), (2, 5)], &[]));
        assert_eq!(reconcile(&next, &target, 5, None, &|_, _| false), next);
        let done = reconcile(&next, &target, 5, None, &|_, part| part == 3);
        assert_eq!(done, member(5, MemberState::Stable, &[(1, 3), (2, 5), (3, 5)], &[]));
    }

    #[test]
    fn a_target_that_changes_on_the_way_is_followed() {
        let told = member(4, MemberState::UnrevokedPartitions, &[(1, 3)], &[(0, 2)]);
        // It should give back more by now, and has what it should keep as well.
        let next = reconcile(&told, &partitions(&[2]), 6, Some(&partitions(&[1])), &|_, _| true);
        assert_eq!(next, member(4, MemberState::UnrevokedPartitions, &[], &[(1, 3)]));
        // What it is giving back, it gets again only after it has.
        let back = reconcile(&told, &partitions(&[0, 1]), 6, Some(&partitions(&[1])), &|_, part| part != 0);
        let expected = member(6, MemberState::UnreleasedPartitions, &[(1, 3)], &[]);
        assert_eq!(back, Current { previous_epoch: 4, ..expected });
    }

    #[test]
    fn a_member_that_has_lost_what_it_should_give_back_goes_on_at_once() {
        let start = member(4, MemberState::Stable, &[(0, 2)], &[]);
        let next = reconcile(&start, &partitions(&[]), 5, Some(&partitions(&[])), &|_, _| true);
        assert_eq!(next, member(5, MemberState::Stable, &[], &[]));
    }
}

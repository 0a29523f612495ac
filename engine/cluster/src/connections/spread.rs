//! Which shards give connections to which others, once the number of shards in use has changed.
//!
//! A connection that moves is interrupted for a moment, and forgets its fetch session. So no more of them move than have to: those
//! of shards that are not used any more, and from shards in use what is clearly more than their share.

/// A shard in use keeps what it has above its share up to one part of the share in so many.
const KEPT_SHARE_DIVISOR: u32 = 8;

/// The connections of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// How many are open.
    pub open: u32,
    /// How many more there may be.
    pub room: u32,
}

/// Connections that one shard gives to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gift {
    /// Index of the shard that has them.
    pub from: usize,
    /// Index of the shard that is to have them.
    pub to: usize,
    /// How many, at least one.
    pub count: u32,
}

/// What the shards are to give each other when the first `in_use` of them serve clients. Shards that do not give all that they
/// have; where there is no room for it, the rest stays where it is. Panics if no shard is in use.
pub fn spread(shards: &[Held], in_use: u16) -> Vec<Gift> {
    let in_use = usize::from(in_use);
    assert!(0 < in_use && in_use <= shards.len(), "{in_use} of {} shards are in use", shards.len());
    let total: u64 = shards.iter().map(|held| u64::from(held.open)).sum();
    let share = u32::try_from(total.div_ceil(u64::try_from(in_use).expect("a number of shards fits 64 bits")))
        .expect("shards have fewer connections than 32 bits count");
    let kept = share + share / KEPT_SHARE_DIVISOR;
    let surplus = |(index, held): (usize, &Held)| match held.open {
        open if index >= in_use => open,
        open if open > kept => open - share,
        _ => 0,
    };
    let given: Vec<u32> = shards.iter().enumerate().map(surplus).collect();
    let mut takers: Vec<(usize, Held)> = shards.iter().copied().enumerate().take(in_use).collect();
    takers.retain(|(index, _)| given[*index] == 0);
    pair_up(&given, &fill(&takers, given.iter().map(|count| u64::from(*count)).sum()))
}

/// Gives `count` connections to those that have the fewest, as far as they have room. Answers how many each gets.
fn fill(takers: &[(usize, Held)], count: u64) -> Vec<(usize, u32)> {
    let taken = |level: u32| takers.iter().map(move |(_, held)| level.saturating_sub(held.open).min(held.room));
    let all = |level: u32| taken(level).map(u64::from).sum::<u64>();
    // The lowest level that takes all of them, if there is one.
    let (mut low, mut high) = (0, u32::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if all(middle) < count { low = middle + 1 } else { high = middle }
    }
    // On the last step of the level some do not get one more.
    let mut too_many = all(low).saturating_sub(count);
    let filled = takers.iter().zip(taken(low)).map(|((index, held), taken)| {
        let is_last = taken > 0 && held.open + taken == low && too_many > 0;
        too_many -= u64::from(is_last);
        (*index, taken - u32::from(is_last))
    });
    filled.collect()
}

fn pair_up(given: &[u32], taken: &[(usize, u32)]) -> Vec<Gift> {
    let mut gifts = Vec::new();
    let mut takers = taken.iter().copied().filter(|(_, count)| *count > 0);
    let mut taker = takers.next();
    for (from, count) in given.iter().enumerate() {
        let mut left = *count;
        while left > 0
            && let Some((to, room)) = taker
        {
            let count = left.min(room);
            gifts.push(Gift { from, to, count });
            left -= count;
            taker = if room > count { Some((to, room - count)) } else { takers.next() };
        }
    }
    gifts
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u32 = 1000;

    fn held(open: &[u32]) -> Vec<Held> {
        open.iter().map(|open| Held { open: *open, room: ROOM }).collect()
    }

    /// What the shards have once they have given.
    fn after(open: &[u32], in_use: u16) -> (Vec<u32>, u32) {
        let mut open = open.to_vec();
        let gifts = spread(&held(&open), in_use);
        for gift in &gifts {
            open[gift.from] -= gift.count;
            open[gift.to] += gift.count;
        }
        (open, gifts.iter().map(|gift| gift.count).sum())
    }

    #[test]
    fn shards_that_come_into_use_get_their_share_and_no_more_moves_than_that() {
        assert_eq!(after(&[64, 0], 2), (vec![32, 32], 32));
        assert_eq!(after(&[20, 20, 20, 20, 0], 5), (vec![16; 5], 16));
        assert_eq!(after(&[3, 0], 2), (vec![2, 1], 1));
        assert_eq!(after(&[1, 0], 2), (vec![1, 0], 0));
        assert_eq!(after(&[0, 0], 2), (vec![0, 0], 0));
        assert_eq!(after(&[100, 10, 0, 0], 4), (vec![28, 27, 27, 28], 72));
    }

    #[test]
    fn shards_that_go_out_of_use_give_everything_to_those_that_have_least() {
        assert_eq!(after(&[10, 14, 12], 2), (vec![18, 18, 0], 12));
        assert_eq!(after(&[30, 5, 12, 7], 2), (vec![30, 24, 0, 0], 19));
        assert_eq!(after(&[0, 9], 1), (vec![9, 0], 9));
    }

    #[test]
    fn what_is_nearly_even_stays() {
        assert_eq!(spread(&held(&[17, 16, 15]), 3), []);
        assert_eq!(spread(&held(&[108, 96, 96]), 3), []);
        assert_eq!(after(&[120, 90, 90], 3), (vec![100, 100, 100], 20));
        assert_eq!(spread(&held(&[5]), 1), []);
    }

    #[test]
    fn nobody_gets_more_than_there_is_room_for() {
        let shards = [Held { open: 4, room: 1 }, Held { open: 9, room: 2 }, Held { open: 10, room: ROOM }];
        let gifts = [Gift { from: 2, to: 0, count: 1 }, Gift { from: 2, to: 1, count: 2 }];
        assert_eq!(spread(&shards, 2), gifts);
        let full = [Held { open: 4, room: 0 }, Held { open: 10, room: 0 }];
        assert_eq!(spread(&full, 1), []);
    }

    #[test]
    fn every_spread_of_a_seed_is_even_and_a_second_one_changes_nothing() {
        let mut state = 7_u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from((state >> 33) % limit).expect("it is small")
        };
        for _ in 0..2000 {
            let open: Vec<u32> = (0..=below(8)).map(|_| below(200)).collect();
            let in_use = 1 + below(u64::try_from(open.len()).expect("it is small"));
            let in_use = u16::try_from(in_use).expect("it is small");
            let (now, moved) = after(&open, in_use);
            let used = &now[..usize::from(in_use)];
            let total: u32 = open.iter().sum();
            let share = total.div_ceil(u32::from(in_use));
            assert_eq!((now.iter().sum::<u32>(), used.iter().sum::<u32>()), (total, total), "{open:?}");
            assert!(used.iter().all(|open| *open <= share + share / KEPT_SHARE_DIVISOR), "{open:?}: {now:?}");
            let must: u32 = open[usize::from(in_use)..].iter().sum();
            assert!(moved >= must && (moved == must || open[..usize::from(in_use)].iter().any(|open| *open > share)));
            assert_eq!(spread(&held(&now), in_use), [], "{open:?}: {now:?}");
        }
    }
}

//! How the coordinator divides the partitions of a group among its members. The names are Kafka's.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_storage::types::Uuid;

use super::Partitions;
use crate::group::MemberId;

/// The assignor that is not `uniform`, by the name that members ask for it.
const RANGE: &str = "range";

/// The assignor that most members ask for; without any, the default.
pub(super) fn preferred<'n>(asked: impl IntoIterator<Item = &'n str>, default: &'n str) -> &'n str {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for name in asked {
        *votes.entry(name).or_default() += 1;
    }
    votes.into_iter().max_by_key(|(_, count)| *count).map_or(default, |(name, _)| name)
}

/// What an assignor knows of a member.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    pub(super) id: &'a MemberId,
    pub(super) instance: Option<&'a str>,
    pub(super) topics: BTreeSet<Uuid>,
    /// What it should have by now.
    pub(super) target: Option<&'a Partitions>,
}

/// Divides the partitions of `topics`, of which the count is given. Members without any are in the answer too.
pub(super) fn assign(
    assignor: &str,
    readers: &[Reader<'_>],
    topics: &BTreeMap<Uuid, i32>,
) -> BTreeMap<MemberId, Partitions> {
    let shares = if assignor == RANGE { range(readers, topics) } else { uniform(readers, topics) };
    readers.iter().map(|reader| MemberId::clone(reader.id)).zip(shares).collect()
}

/// Each topic by itself, in ranges: partitions of the same number, of topics with the same readers, go to one member.
fn range(readers: &[Reader<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let mut shares = vec![Partitions::new(); readers.len()];
    let mut order: Vec<_> = (0..readers.len()).collect();
    // Static members first, so that their ranges stay when others come and go.
    order.sort_by_key(|at| (readers[*at].instance.is_none(), readers[*at].instance, readers[*at].id));
    for (topic, count) in topics {
        let reading: Vec<_> = order.iter().copied().filter(|at| readers[*at].topics.contains(topic)).collect();
        let Ok(members) = i32::try_from(reading.len()) else { continue };
        if members == 0 {
            continue;
        }
        let (each, more) = (count / members, count % members);
        let mut next = 0;
        for (place, at) in (0..).zip(reading) {
            let end = next + each + i32::from(place < more);
            if next < end {
                shares[at].insert(*topic, (next..end).collect());
            }
            next = end;
        }
    }
    shares
}

/// Even, as far as the subscriptions allow by moving one partition at a time, and with as few moves as that takes.
fn uniform(readers: &[Reader<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let mut shares = Shares::new(readers);
    for (topic, count) in topics {
        let mut free: BTreeSet<i32> = (0..*count).collect();
        for (at, reader) in readers.iter().enumerate() {
            if !reader.topics.contains(topic) {
                continue;
            }
            for partition in reader.target.and_then(|target| target.get(topic)).into_iter().flatten() {
                if free.remove(partition) {
                    shares.give(at, *topic, *partition);
                }
            }
        }
        for partition in free {
            if let Some(at) = shares.least_loaded(*topic) {
                shares.give(at, *topic, partition);
            }
        }
    }
    shares.balance();
    shares.of
}

/// Members with the same subscription are a class: who of them has the least is found without a look at all others.
struct Shares<'a> {
    readers: &'a [Reader<'a>],
    of: Vec<Partitions>,
    loads: Vec<usize>,
    class_of: Vec<usize>,
    /// The members of each class by their load.
    classes: Vec<BTreeSet<(usize, usize)>>,
    /// The classes that read a topic.
    reading: BTreeMap<Uuid, Vec<usize>>,
}

impl<'a> Shares<'a> {
    fn new(readers: &'a [Reader<'a>]) -> Self {
        let mut numbers: BTreeMap<&BTreeSet<Uuid>, usize> = BTreeMap::new();
        let (mut class_of, mut classes) = (Vec::with_capacity(readers.len()), Vec::<BTreeSet<_>>::new());
        let mut reading: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (at, reader) in readers.iter().enumerate() {
            let class = *numbers.entry(&reader.topics).or_insert_with(|| {
                classes.push(BTreeSet::new());
                for topic in &reader.topics {
                    reading.entry(*topic).or_default().push(classes.len() - 1);
                }
                classes.len() - 1
            });
            classes[class].insert((0, at));
            class_of.push(class);
        }
        let (of, loads) = (vec![Partitions::new(); readers.len()], vec![0; readers.len()]);
        Self { readers, of, loads, class_of, classes, reading }
    }

    fn least_loaded(&self, topic: Uuid) -> Option<usize> {
        let classes = self.reading.get(&topic)?.iter();
        classes.filter_map(|class| self.classes[*class].first()).min().map(|(_, at)| *at)
    }

    fn give(&mut self, at: usize, topic: Uuid, partition: i32) {
        self.of[at].entry(topic).or_default().insert(partition);
        self.set_load(at, self.loads[at] + 1);
    }

    fn take(&mut self, at: usize, topic: Uuid) -> i32 {
        let partitions = self.of[at].get_mut(&topic).expect("it has some of the topic");
        let partition = partitions.pop_last().expect("topics without partitions are not kept");
        if partitions.is_empty() {
            self.of[at].remove(&topic);
        }
        self.set_load(at, self.loads[at] - 1);
        partition
    }

    fn set_load(&mut self, at: usize, load: usize) {
        let class = &mut self.classes[self.class_of[at]];
        class.remove(&(self.loads[at], at));
        class.insert((load, at));
        self.loads[at] = load;
    }

    /// Moves partitions from whoever has the most to whoever may have them and has at least two less.
    fn balance(&mut self) {
        let mut settled = BTreeSet::new();
        let mut by_load: BTreeSet<_> = self.loads.iter().copied().zip(0..self.readers.len()).collect();
        while let Some((load, from)) = by_load.pop_last() {
            let candidates = self.of[from].keys().filter_map(|topic| Some((self.least_loaded(*topic)?, *topic)));
            let Some((to, topic)) = candidates.min_by_key(|(at, _)| self.loads[*at]) else { continue };
            if self.loads[to] + 1 >= load {
                settled.insert(from);
                continue;
            }
            let partition = self.take(from, topic);
            by_load.remove(&(self.loads[to], to));
            self.give(to, topic, partition);
            by_load.insert((self.loads[from], from));
            // Whoever has got something can pass something on.
            if settled.remove(&to) || !by_load.contains(&(self.loads[to], to)) {
                by_load.insert((self.loads[to], to));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Group {
        ids: Vec<MemberId>,
        subscriptions: Vec<BTreeSet<Uuid>>,
        targets: BTreeMap<MemberId, Partitions>,
        topics: BTreeMap<Uuid, i32>,
    }

    fn topic(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    impl Group {
        fn new(subscriptions: &[&[u128]], topics: &[(u128, i32)]) -> Self {
            Self {
                ids: (0..subscriptions.len()).map(|at| format!("m{at:04}").into()).collect(),
                subscriptions: subscriptions
                    .iter()
                    .map(|of| of.iter().map(|number| topic(*number)).collect())
                    .collect(),
                targets: BTreeMap::new(),
                topics: topics.iter().map(|(number, count)| (topic(*number), *count)).collect(),
            }
        }

        /// Answers how many partitions have another owner than before.
        fn assign(&mut self, assignor: &str) -> usize {
            let readers = self.ids.iter().zip(&self.subscriptions).map(|(id, topics)| Reader {
                id,
                instance: None,
                topics: topics.clone(),
                target: self.targets.get(id),
            });
            let next = assign(assignor, &readers.collect::<Vec<_>>(), &self.topics);
            let owners = |targets: &BTreeMap<MemberId, Partitions>| -> BTreeMap<(Uuid, i32), MemberId> {
                let of = |(id, partitions): (&MemberId, &Partitions)| {
                    let id = MemberId::clone(id);
                    let pairs = partitions.iter().flat_map(|(topic, of)| of.iter().map(|part| (*topic, *part)));
                    pairs.map(|pair| (pair, id.clone())).collect::<Vec<_>>()
                };
                targets.iter().flat_map(of).collect()
            };
            let (before, after) = (owners(&self.targets), owners(&next));
            let given: usize = next.values().flat_map(|partitions| partitions.values()).map(BTreeSet::len).sum();
            assert_eq!(given, after.len(), "nothing has two owners");
            for (pair, id) in &after {
                let at = self.ids.iter().position(|known| known == id).expect("it is a member");
                assert!(self.subscriptions[at].contains(&pair.0), "{id} has not subscribed to {pair:?}");
            }
            let readable =
                self.topics.iter().filter(|(of, _)| self.subscriptions.iter().any(|topics| topics.contains(of)));
            let readable: i32 = readable.map(|(_, count)| *count).sum();
            assert_eq!(after.len(), usize::try_from(readable).expect("it is small"), "everything has an owner");
            self.targets = next;
            before.iter().filter(|(pair, id)| after.get(pair) != Some(id)).count()
        }

        fn loads(&self) -> Vec<usize> {
            let load = |id: &MemberId| self.targets[id].values().map(BTreeSet::len).sum();
            self.ids.iter().map(load).collect()
        }
    }

    #[test]
    fn uniform_is_even_and_moves_no_more_than_it_must() {
        let mut group = Group::new(&[&[1, 2], &[1, 2], &[1, 2]], &[(1, 7), (2, 6)]);
        assert_eq!(group.assign("uniform"), 0);
        assert_eq!(group.loads().iter().max(), Some(&5));
        assert_eq!(group.assign("uniform"), 0, "the same again");
        // One more member: a quarter moves.
        group.ids.push("m9".into());
        group.subscriptions.push([topic(1), topic(2)].into());
        assert_eq!(group.assign("uniform"), 3);
        assert_eq!((group.loads().iter().min(), group.loads().iter().max()), (Some(&3), Some(&4)));
        // One less: only its own move.
        let gone = group.ids.remove(0);
        group.subscriptions.remove(0);
        let had = group.targets[&gone].values().map(BTreeSet::len).sum();
        assert_eq!(group.assign("uniform"), had);
        assert_eq!((group.loads().iter().min(), group.loads().iter().max()), (Some(&4), Some(&5)));
    }

    #[test]
    fn uniform_gives_more_to_whoever_reads_alone() {
        let mut group = Group::new(&[&[1], &[1, 2], &[2, 3], &[4], &[]], &[(1, 4), (2, 4), (3, 1), (4, 9), (5, 3)]);
        group.assign("uniform");
        assert_eq!(group.loads()[3..], [9, 0]);
        assert!(group.loads()[..3].iter().all(|load| (2..=4).contains(load)), "{:?}", group.loads());
    }

    #[test]
    fn uniform_divides_much_among_many() {
        let mut group = Group::new(&vec![&[1, 2][..]; 300], &[(1, 700), (2, 301)]);
        group.assign("uniform");
        assert_eq!((group.loads().iter().min(), group.loads().iter().max()), (Some(&3), Some(&4)));
    }

    #[test]
    fn range_keeps_partitions_of_one_number_together() {
        let mut group = Group::new(&[&[1, 2], &[1, 2], &[1, 2]], &[(1, 7), (2, 7)]);
        group.assign(RANGE);
        for partitions in group.targets.values() {
            assert_eq!(partitions[&topic(1)], partitions[&topic(2)]);
        }
        assert_eq!(group.loads(), [6, 4, 4]);
    }

    #[test]
    fn who_has_nobody_to_read_with_reads_everything_and_who_subscribes_to_nothing_gets_nothing() {
        for assignor in ["uniform", RANGE] {
            let mut group = Group::new(&[&[], &[1]], &[(1, 3), (2, 2)]);
            group.assign(assignor);
            assert_eq!(group.loads(), [0, 3]);
        }
    }
}

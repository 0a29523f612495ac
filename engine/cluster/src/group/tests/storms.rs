//! Clients that come and go, wait too long, send old things, and coordinators that are lost: whatever happens, no two
//! members own a partition in one generation, offsets do not go back, and in the end the group is stable.

use super::*;

const CLIENTS: usize = 4;
const PARTITIONS: u8 = 6;
const STEPS: usize = 120;

/// A small generator: the same seed, the same storm.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What a client believes.
#[derive(Default)]
struct Client {
    instance: Option<String>,
    id: String,
    generation: i32,
    owned: Vec<u8>,
    /// What it has asked for.
    joins: Option<u64>,
    syncs: Option<u64>,
    /// It has been told of the generation, and has to bring or to get the assignment.
    to_sync: Option<Vec<String>>,
}

struct Storm {
    world: World,
    dice: Dice,
    clients: Vec<Client>,
    /// Owners by generation.
    owned: BTreeMap<(i32, u8), String>,
    /// The newest offset that was answered.
    acknowledged: i64,
    next_offset: i64,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::default()).collect();
        clients[0].instance = Some("fixed".to_owned());
        let (owned, dice) = (BTreeMap::new(), Dice::new(seed));
        Self { world: World::new(), dice, clients, owned, acknowledged: -1, next_offset: 0 }
    }

    fn act(&mut self, at: usize) {
        self.take_answers(at);
        match self.dice.roll(12) {
            0 => self.forget(at),
            1 => {
                let client = &self.clients[at];
                let request = leave(&[(&client.id, client.instance.as_deref())]);
                let _ = self.world.ask(request);
                self.forget(at);
            }
            2 | 3 => self.commit(at),
            4 => {
                let time = Duration::from_millis(self.dice.roll(9000));
                self.world.pass(time);
            }
            _ => self.go_on(at),
        }
    }

    /// The client is restarted: a static one keeps its instance.
    fn forget(&mut self, at: usize) {
        let instance = self.clients[at].instance.take();
        self.clients[at] = Client { instance, ..Client::default() };
    }

    /// What a well-behaved client does next.
    fn go_on(&mut self, at: usize) {
        let client = &self.clients[at];
        if client.joins.is_some() || client.syncs.is_some() {
            return;
        }
        let (id, generation, instance) = (client.id.clone(), client.generation, client.instance.clone());
        if let Some(members) = self.clients[at].to_sync.take() {
            let shares: Vec<Vec<u8>> = (0..members.len())
                .map(|share| (0..PARTITIONS).filter(|part| usize::from(*part) % members.len() == share).collect())
                .collect();
            let given: Vec<_> =
                members.iter().zip(&shares).map(|(member, share)| (member.as_str(), share.as_slice())).collect();
            self.clients[at].syncs = Some(self.world.send(NEWEST, sync(&id, generation, &given)));
        } else if generation == 0 {
            self.clients[at].joins = Some(self.world.send(NEWEST, join(&id, instance.as_deref())));
        } else if let Err(code) = self.world.ask(heartbeat(&id, generation)) {
            self.refused(at, code);
        }
        self.take_answers(at);
    }

    fn refused(&mut self, at: usize, code: ErrorCode) {
        let client = &mut self.clients[at];
        (client.generation, client.to_sync) = (0, None);
        client.owned.clear();
        if matches!(code, ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) {
            client.id.clear();
        }
    }

    fn take_answers(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if let Some(reply) = client.joins.and_then(|ticket| self.world.replies.remove(&ticket)) {
            client.joins = None;
            match reply {
                Ok(GroupResponse::Join(joined)) => {
                    client.id.clone_from(&joined.member_id);
                    if joined.error_code == 0 {
                        client.generation = joined.generation_id;
                        let brings = joined.leader == joined.member_id && !joined.skip_assignment;
                        let members = joined.members.into_iter().map(|member| member.member_id);
                        client.to_sync = Some(if brings { members.collect() } else { Vec::new() });
                    }
                }
                Err(code) => self.refused(at, code),
                Ok(other) => panic!("{other:?}"),
            }
        }
        let client = &mut self.clients[at];
        if let Some(reply) = client.syncs.and_then(|ticket| self.world.replies.remove(&ticket)) {
            client.syncs = None;
            match reply {
                Ok(GroupResponse::Sync(synced)) => {
                    client.owned = synced.assignment;
                    for partition in &client.owned {
                        // A static member that has come back goes by another id, and owns what it owned.
                        let name = client.instance.clone().unwrap_or_else(|| client.id.clone());
                        let owner = self.owned.entry((client.generation, *partition)).or_insert(name.clone());
                        assert_eq!(*owner, name, "two owners of {partition} in generation {}", client.generation);
                    }
                }
                Err(code) => self.refused(at, code),
                Ok(other) => panic!("{other:?}"),
            }
        }
    }

    fn commit(&mut self, at: usize) {
        let (id, generation) = (self.clients[at].id.clone(), self.clients[at].generation);
        if generation == 0 || self.clients[at].joins.is_some() {
            return;
        }
        self.next_offset += 1;
        match committed(&self.world.ask(commit(&id, generation, self.next_offset))) {
            ErrorCode::None => self.acknowledged = self.next_offset,
            code => self.refused(at, code),
        }
        assert_eq!(self.world.fetch(), self.acknowledged);
    }

    /// The coordinator is lost with all who wait, or could not write.
    fn lose_coordinator(&mut self) {
        if self.dice.roll(2) == 0 {
            self.world.restart();
        } else {
            let now = self.world.now;
            let image = self.world.image.clone();
            let _ = self.world.rehearsal.live.open(now, &image, ErrorCode::CoordinatorNotAvailable);
        }
        for client in &mut self.clients {
            if client.joins.take().is_some() || client.syncs.take().is_some() {
                (client.generation, client.to_sync) = (0, None);
                client.owned.clear();
            }
        }
        assert_eq!(self.world.fetch(), self.acknowledged);
    }

    fn calm_down(&mut self) {
        for _ in 0..200 {
            for at in 0..CLIENTS {
                self.take_answers(at);
                self.go_on(at);
            }
            self.world.pass(Duration::from_secs(1));
        }
        let generation = self.clients[0].generation;
        let mut parts: Vec<u8> = self.clients.iter().flat_map(|client| client.owned.clone()).collect();
        parts.sort_unstable();
        assert_eq!(self.world.state(), "Stable");
        assert!(generation > 0 && self.clients.iter().all(|client| client.generation == generation));
        assert_eq!(parts, (0..PARTITIONS).collect::<Vec<_>>());
    }
}

#[test]
fn a_group_weathers_any_storm() {
    for seed in 0..100 {
        let mut storm = Storm::new(seed);
        for _ in 0..STEPS {
            let at = usize::try_from(storm.dice.roll(CLIENTS as u64)).expect("it is small");
            storm.act(at);
            if storm.dice.roll(40) == 0 {
                storm.lose_coordinator();
            }
        }
        storm.calm_down();
    }
}

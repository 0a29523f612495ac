//! Connections go from shard to shard when another number of shards is in use: those of a shard that is not any more, and the
//! share of one that is. What a shard that is not in use accepts goes to the others at once.
//!
//! Shard 0 counts and decides ([`spread`]). A shard that is to give connections away tells each of them, and it goes when all
//! that its client has asked for is answered; one that does not come to that in time stays. So does one for which no other shard
//! has room: a shard that is not in use serves those that it still has, and asks for room again from time to time.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use ringlog_cluster::connections::{Gift, Held};
use ringlog_reactor::{LooseSocket, Socket};

use crate::connection::Connection;
use crate::entrant::{Entrant, Way};
use crate::errand::{on_first_shard, on_shard};
use crate::event::Event;
use crate::message::{Call, Reply};
use crate::resize;
use crate::shard::Shard;

/// How long a connection may take to come to a moment in which nothing is under way: it is not read meanwhile.
pub(crate) const QUIET_TIME_MAX: Duration = Duration::from_secs(5);
/// How long one that comes back waits for the room that it had.
const ROOM_TIME_MAX: Duration = Duration::from_secs(5);
/// How often a shard that is not in use asks where connections can go that it still has. Longer than [`QUIET_TIME_MAX`], so that
/// one that does not come to rest is read for most of the time.
const ASK_INTERVAL: Duration = Duration::from_secs(15);
/// Sockets that connections of others do not take: somebody may want to come in, and to see why there is so little room.
const KEPT_SOCKETS: usize = 16;
/// Connections that are told to go at a time, and the time from some to the next: others have their turns meanwhile.
const TOLD_AT_ONCE_MAX: usize = 64;
const TELL_PAUSE: Duration = Duration::from_millis(5);

/// Shards, and how many connections each of them gets: at least one.
type Order = Vec<(usize, u32)>;

/// What a shard has to give away.
#[derive(Debug, Default)]
pub(crate) struct ConnectionMoves {
    /// What shard 0 has told, unless that is done.
    order: RefCell<Option<Order>>,
    bell: Event,
    /// The shard that gets the next connection that comes in.
    next: Cell<usize>,
}

/// A connection between two shards.
#[derive(Debug)]
pub(crate) struct Moving {
    socket: LooseSocket,
    entrant: Entrant,
}

impl ConnectionMoves {
    fn tell(&self, order: Order) {
        *self.order.borrow_mut() = Some(order);
        self.bell.ring();
    }
}

/// On shard 0: has the shards give each other connections, so that those in use have about the same number.
pub(crate) async fn spread(shard: &Shard) {
    let mut held = Vec::with_capacity(shard.count());
    for index in 0..shard.count() {
        held.push(on_shard(shard, index, has).await);
    }
    let gifts = ringlog_cluster::connections::spread(&held, shard.routes().placement().in_use());
    for index in 0..shard.count() {
        let of_shard = |gift: &&Gift| gift.from == index;
        let order: Vec<_> = gifts.iter().filter(of_shard).map(|gift| (gift.to, gift.count)).collect();
        on_shard(shard, index, move |shard| shard.connection_moves().tell(order)).await;
    }
}

fn has(shard: &Shard) -> Held {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Held { open: count(shard.connections().live().len()), room: count(room(shard)) }
}

/// How many connections of others this shard can take.
fn room(shard: &Shard) -> usize {
    shard.reactor().limits().sockets.saturating_sub(shard.reactor().counts().sockets + KEPT_SOCKETS)
}

/// Where a connection goes that is on this shard, or has just come in; `None` if it stays. `to` is where it was to go when that
/// was decided.
pub(crate) fn destination(shard: &Shard, to: Option<usize>) -> Option<usize> {
    let in_use = usize::from(shard.routes().placement().in_use());
    let is_used = |index: usize| index < in_use;
    let next = || {
        let next = &shard.connection_moves().next;
        let to = next.get() % in_use;
        next.set(to + 1);
        to
    };
    let other = |to: &usize| *to != shard.index();
    match to {
        Some(to) if is_used(to) => Some(to).filter(other),
        _ if is_used(shard.index()) => None,
        _ => Some(next()),
    }
}

/// Tells connections of this shard to go, whenever some have to.
pub(crate) async fn give(shard: Shard) {
    let moves = shard.connection_moves();
    loop {
        if shard.is_used() {
            moves.bell.wait().await;
        } else if shard.reactor().timeout(moves.bell.wait(), ASK_INTERVAL).await.is_err()
            && !shard.connections().live().is_empty()
        {
            on_first_shard(&shard, resize::spread_connections).await;
        }
        let live = shard.connections().live();
        let Some(order) = moves.order.take() else { continue };
        // What was to be before is not any more.
        for connection in &live {
            connection.stay();
        }
        for some in chosen(live, order).chunks(TOLD_AT_ONCE_MAX) {
            for (connection, to) in some {
                if let Some(connection) = connection.upgrade() {
                    connection.go(*to);
                }
            }
            shard.reactor().sleep(TELL_PAUSE).await;
        }
    }
}

/// As many as the order says, and where each goes. Evenly from those that are used much and those that are not, for the work is
/// to move with them.
fn chosen(mut live: Vec<Rc<Connection>>, order: Order) -> Vec<(Weak<Connection>, usize)> {
    live.sort_by_key(|connection| connection.active_at());
    let to = in_turn(order, live.len());
    let (count, of) = (to.len(), live.len());
    let spaced = live.into_iter().enumerate().filter(|(at, _)| (at + 1) * count / of > at * count / of);
    spaced.map(|(_, connection)| Rc::downgrade(&connection)).zip(to).collect()
}

/// The shards of an order one after the other, each as often as it gets a connection.
fn in_turn(mut order: Order, count_max: usize) -> Vec<usize> {
    let mut to = Vec::new();
    while !order.is_empty() && to.len() < count_max {
        for (shard, left) in &mut order {
            to.push(*shard);
            *left -= 1;
        }
        order.retain(|(_, left)| *left > 0);
    }
    to.truncate(count_max);
    to
}

/// Gives a connection to another shard, or to whichever of those in use has room if this one is not. One that nobody has room for
/// is served here. Ends when it is served, or has closed.
pub(crate) async fn hand_over(shard: &Shard, to: usize, socket: &Socket, entrant: Entrant) {
    let mut moving = match socket.let_go().await {
        Ok(socket) => Box::new(Moving { socket, entrant }),
        Err(error) => {
            tracing::debug!(peer = %entrant.peer, "connection ended on its way to another shard: {error}");
            return count_lost(shard, &entrant);
        }
    };
    let mut to = Some(to);
    for _ in 0..shard.routes().placement().in_use() {
        let Some(there) = to else { break };
        moving = match shard.call(there, Call::TakeUp(moving)).await.reply().await {
            Reply::TakenUp(None) => return,
            Reply::TakenUp(Some(back)) => back,
            other => unreachable!("a connection is taken up or comes back, not {other:?}"),
        };
        to = destination(shard, None);
    }
    go_on(shard, *moving).await;
}

/// Goes on with a connection that another shard has given away. Answers it if there is no room for it.
pub(crate) async fn take_up(shard: Shard, moving: Box<Moving>) -> Option<Box<Moving>> {
    if room(&shard) == 0 {
        return Some(moving);
    }
    go_on(&shard, *moving).await;
    None
}

async fn go_on(shard: &Shard, moving: Moving) {
    let Moving { socket, entrant } = moving;
    let taken = shard.reactor().timeout(shard.reactor().take_up(socket), ROOM_TIME_MAX).await;
    let has_stopped = shard.with(|state| state.stopping);
    match taken {
        Ok(Ok(socket)) if !has_stopped => {
            let counts = shard.connection_gate().arrived(shard, &entrant);
            let connection = Connection::start(shard, socket, Entrant { counts, ..entrant });
            shard.connections().insert(&connection);
        }
        // The socket has closed: its client comes again.
        _ => count_lost(shard, &entrant),
    }
}

/// A connection has ended that no shard had.
fn count_lost(shard: &Shard, entrant: &Entrant) {
    if entrant.way == Way::Moved {
        // Another shard has counted that it gave it away.
        shard.with_counters(|counters| {
            counters.connections.taken_over += 1;
            counters.connections.closed += 1;
        });
    }
    if let Some(origin) = entrant.counts {
        shard.connection_gate().ended(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_get_connections_in_turn() {
        let check = |order: &[(usize, u32)], count_max, to: &[usize]| {
            assert_eq!(in_turn(order.to_vec(), count_max), to, "{order:?}");
        };
        check(&[], 9, &[]);
        check(&[(1, 3), (2, 1), (3, 2)], 9, &[1, 2, 3, 1, 3, 1]);
        check(&[(1, 3), (2, 1)], 3, &[1, 2, 1]);
        check(&[(1, u32::MAX)], 2, &[1, 1]);
    }
}

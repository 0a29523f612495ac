//! What shards say to each other over the mesh. Payload travels as owned values: slices of the frame it arrived in.

use std::sync::Arc;
use std::time::Duration;

use ringlog_cluster::connections::{Origin, Verdict};
use ringlog_cluster::image::Image;
use ringlog_cluster::placement::Placement;
use ringlog_cluster::quota::Charge;
use ringlog_storage::Release;

use crate::boot::Boot;
use crate::calls::Pace;
use crate::connection_limits::Note;
use crate::connection_moves::Moving;
use crate::controller::{Command, CommandReply};
use crate::errand::{Errand, Found};
use crate::group::{GroupCall, Told};
use crate::handover::Moved;
use crate::partition::append::{AppendItem, AppendOutcome, AppendTimes};
use crate::partition::deletion::{DeleteItem, DeleteOutcome};
use crate::partition::lookup::{EpochItem, EpochOutcome, OffsetItem, OffsetOutcome};
use crate::partition::moves::{MoveItem, MoveOutcome};
use crate::partition::producers::ProducersOutcome;
use crate::partition::read::{ReadCall, ReadOutcome, ReadTimes};
use crate::partition::sizes::SizeOutcome;
use crate::partition::table::PartitionKey;
use crate::partition::watch::WatchId;
use crate::places::{Ground, Plan};

/// What travels over the mesh. Opaque outside of this crate.
#[derive(Debug)]
pub struct ShardMessage(pub(crate) Message);

/// A message from one shard to another.
#[derive(Debug)]
pub(crate) enum Message {
    /// Asks for work on partitions of the receiver, or of the controller. Answered by one [`Reply`](Self::Reply).
    Call {
        /// Names the call on the shard that asks.
        id: CallId,
        /// The work.
        call: Call,
    },
    /// Starts a shard; without anything to start with, it ends instead. Comes first, and once.
    Boot(Option<Box<Boot>>),
    /// Take connections: every shard has the image that the broker starts with.
    Serve,
    /// Answers a call.
    Reply {
        /// That of the call.
        id: CallId,
        /// The result.
        reply: Reply,
    },
    /// A request to a group coordinator of the receiver.
    Group(Box<GroupCall>),
    /// The answer to such a request of the receiver.
    GroupAnswer(Box<Told>),
    /// Something that a fetch waits for has happened; what it watched on the sender is forgotten there.
    Wake(WatchId),
    /// The fetch no longer waits.
    Unwatch(WatchId),
    /// A checkpoint of the sender tells of a partition that the receiver has let go of.
    Adopted(Release),
    /// A partition of the sender is not on its way to another data directory any more, so it may go to another shard. Only
    /// shard 0 takes it.
    Settled(PartitionKey),
    /// Connections of the sender that begin to count, or have ended. Only shard 0 takes it.
    Connections(Vec<Note>),
    /// End so many connections: there are more than there may be.
    MakeRoom(u32),
}

/// Names a call among those that one shard has under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct CallId(pub(crate) u64);

/// Work that one shard asks of another.
#[derive(Debug)]
pub(crate) enum Call {
    /// Append batches; the reply comes when they are committed, or when this time is over.
    Append(Vec<AppendItem>, Duration),
    /// Read batches.
    Read(ReadCall),
    /// Find offsets by time, or the ends of the log.
    Offsets(Vec<OffsetItem>),
    /// Find where leader epochs end.
    EpochEnds(Vec<EpochItem>),
    /// Tell who has written with a producer id.
    Producers(Vec<PartitionKey>),
    /// Tell where partitions are, and how large.
    Sizes(Vec<PartitionKey>),
    /// Move partitions to other data directories. Answered when that is begun.
    Move(Vec<MoveItem>),
    /// Delete records; the reply comes when that is durable, or when this time is over.
    Delete(Vec<DeleteItem>, Duration),
    /// Count what a request uses of client quotas that the receiver owns.
    Charge(Vec<Charge>),
    /// Let a connection in; the reply comes when the limits allow for it. Only shard 0 takes it.
    Connect(Origin),
    /// Change the metadata. Only shard 0 takes it.
    Command(Box<Command>),
    /// Do something that takes no time.
    Errand(Errand),
    /// Close what this image, which is to come, no longer has; the reply comes when the folders are free, or cannot become
    /// free any more.
    Close(Arc<Image>),
    /// Use this image from now on; the reply comes when the shard does.
    Install(Arc<Image>, Arc<Plan>),
    /// Send requests by this placement; the reply comes when those that were sent by the one before are with the shards that
    /// are to let go of partitions.
    Place(Arc<Placement>, Arc<[usize]>),
    /// Answer when everything has been taken up that was sent before.
    Fence,
    /// Prepare to let go of partitions; the reply comes when that is done as far as it can be, or when this time is over.
    Prepare(Vec<PartitionKey>, Duration),
    /// Let go of partitions; the reply comes when all of them have left, or when this time is over.
    Release(Vec<PartitionKey>, Duration),
    /// Take partitions over from this shard.
    Adopt(usize, Vec<Moved>),
    /// Answer when as many shards are in use as the configuration says. Only shard 0 takes it.
    Resized,
    /// Go on with a connection of a client; the reply comes when it is served, or has ended, or there is no room for it.
    TakeUp(Box<Moving>),
    /// Stop serving clients; the reply comes when their connections have ended.
    Drain,
    /// Close the store. Every shard has drained, so nobody asks it for anything any more.
    Shutdown,
}

impl Call {
    /// What it waits for.
    pub(crate) fn pace(&self) -> Pace {
        match self {
            Self::Command(_) | Self::Resized => Pace::Slow,
            _ => Pace::Quick,
        }
    }
}

/// The result of a [`Call`].
#[derive(Debug)]
pub(crate) enum Reply {
    /// Of [`Call::Append`], in the order of its items.
    Append(Vec<AppendOutcome>, AppendTimes),
    /// Of [`Call::Read`], in the order of its items.
    Read(Vec<ReadOutcome>, ReadTimes),
    /// Of [`Call::Offsets`], in the order of its items.
    Offsets(Vec<OffsetOutcome>),
    /// Of [`Call::EpochEnds`], in the order of its items.
    EpochEnds(Vec<EpochOutcome>),
    /// Of [`Call::Producers`], in the order of its keys.
    Producers(Vec<ProducersOutcome>),
    /// Of [`Call::Sizes`], in the order of its keys.
    Sizes(Vec<SizeOutcome>),
    /// Of [`Call::Move`], in the order of its items.
    Moving(Vec<MoveOutcome>),
    /// Of [`Call::Delete`], in the order of its items.
    Delete(Vec<DeleteOutcome>),
    /// Of [`Call::Charge`]: how long the client is throttled.
    Throttle(Duration),
    /// Of [`Call::Connect`].
    Verdict(Verdict),
    /// Of [`Call::Command`].
    Command(Box<CommandReply>),
    /// Of [`Call::Errand`].
    Errand(Found),
    /// Of [`Call::Close`].
    Closed(Ground),
    /// Of [`Call::Release`]: those that have left.
    Released(Vec<Moved>),
    /// Of [`Call::TakeUp`]: the connection, if there is no room for it.
    TakenUp(Option<Box<Moving>>),
    /// Of calls that are answered when it is done.
    Done,
}

//! The coordinators of one shard.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use ringlog_cluster::group::{
    Answer, DECISION_BYTES_MAX, Decision, GroupFacts, GroupNews, Groups, Now, Ticket, value_version,
};
use ringlog_cluster::image::Image;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::group_log::GroupRecord;
use ringlog_net::wire::{DecodeError, EncodeError, Writer};
use ringlog_storage::answer::{AppendError, AppendOrigin, PartitionId};
use ringlog_storage::types::{Nanos, Offset, PartitionIndex};

use super::{GROUP_TOPIC, GroupCall, Told, news};
use crate::coordinator_log::{Encoded, LogPlace, LogRecord, TooLarge, append, batch};
use crate::lines::repeated;
use crate::metrics::snapshot::GroupCursor;
use crate::recorder::Span;
use crate::state::State;

/// All coordinators of this shard.
#[derive(Debug, Default)]
pub(crate) struct Coordinators {
    by_partition: BTreeMap<PartitionIndex, Coordinator>,
    /// Answers that may leave.
    answers: Vec<Told>,
    /// When a machine was called last.
    now: Nanos,
    /// When the timers are looked at next.
    armed: Option<Nanos>,
    /// They have to be looked at earlier.
    is_rung: bool,
    /// Some decision waits for room in its log.
    has_stalled: bool,
}

#[derive(Debug)]
struct Coordinator {
    log: PartitionId,
    life: Life,
}

#[derive(Debug)]
enum Life {
    /// Its log is being read.
    Loading,
    Serving(Box<Serving>),
    /// Its log cannot be read or written, or the broker stops.
    Ended,
}

#[derive(Debug)]
struct Serving {
    machine: Groups,
    /// Answers that leave when the log is committed up to their offset.
    held: VecDeque<(Offset, Nanos, Vec<Answer>)>,
    /// A decision that the log has no room for.
    stalled: Option<Stalled>,
    /// Calls that came behind it, with the time of each.
    queue: VecDeque<(Nanos, GroupCall)>,
}

#[derive(Debug)]
struct Stalled {
    decided_at: Nanos,
    batch: Vec<u8>,
    decision: Decision,
    news: Vec<GroupNews>,
}

impl Coordinators {
    /// A log is there whose coordinator is to be loaded.
    pub(crate) fn add(&mut self, partition: PartitionIndex, log: PartitionId) {
        self.by_partition.insert(partition, Coordinator { log, life: Life::Loading });
    }

    /// Whether the log of a coordinator is being read.
    pub(crate) fn is_loading(&self, partition: PartitionIndex, log: PartitionId) -> bool {
        let coordinator = self.by_partition.get(&partition);
        coordinator.is_some_and(|of| of.log == log && matches!(of.life, Life::Loading))
    }

    /// How many logs of coordinators are being read.
    pub(crate) fn loading(&self) -> usize {
        self.by_partition.values().filter(|coordinator| matches!(coordinator.life, Life::Loading)).count()
    }

    /// Begins to serve with a machine that knows its whole log; or ends, without one.
    pub(super) fn loaded(&mut self, partition: PartitionIndex, machine: Option<Groups>) {
        let Some(coordinator) = self.by_partition.get_mut(&partition) else { return };
        coordinator.life = match machine {
            Some(machine) => Life::Serving(Box::new(Serving {
                machine,
                held: VecDeque::new(),
                stalled: None,
                queue: VecDeque::new(),
            })),
            None => Life::Ended,
        };
        self.is_rung = true;
    }

    /// The log is gone.
    pub(crate) fn remove(&mut self, partition: PartitionIndex) {
        self.end(partition);
        self.by_partition.remove(&partition);
    }

    /// Nothing more is committed to the log, or read of it: whoever waits has to ask again.
    pub(crate) fn end(&mut self, partition: PartitionIndex) {
        let Some(coordinator) = self.by_partition.get_mut(&partition) else { return };
        let Life::Serving(mut serving) = std::mem::replace(&mut coordinator.life, Life::Ended) else { return };
        let code = ErrorCode::NotCoordinator;
        let refuse = |answer: Answer| Answer { reply: Err(code), ..answer };
        let held = serving.held.into_iter().flat_map(|(_, _, answers)| answers).map(refuse);
        let stalled = serving.stalled.into_iter().flat_map(|stalled| stalled.decision.reply).map(refuse);
        let queued = serving.queue.into_iter().map(|(_, call)| Answer { ticket: call.ticket, reply: Err(code) });
        self.tell(held.chain(stalled).chain(queued).chain(serving.machine.resign(code)));
    }

    /// The log is committed up to `high_watermark`.
    pub(crate) fn advanced(&mut self, partition: PartitionIndex, high_watermark: Offset, commit: Span) {
        let Some(serving) = self.serving(partition) else { return };
        let mut committed = Vec::new();
        while let Some((_, decided_at, answers)) =
            serving.held.pop_front_if(|(last_offset, ..)| *last_offset < high_watermark)
        {
            committed.extend(answers.into_iter().map(|answer| Told { answer, decided_at, commit: Some(commit) }));
        }
        self.answers.extend(committed);
    }

    /// Lets answers leave that were decided just now.
    fn tell(&mut self, answers: impl IntoIterator<Item = Answer>) {
        let decided_at = self.now;
        self.answers.extend(answers.into_iter().map(|answer| Told { answer, decided_at, commit: None }));
    }

    /// What has to leave the shard's state: answers, and whether the timers are to be looked at.
    pub(crate) fn take_output(&mut self) -> (Vec<Told>, bool) {
        (std::mem::take(&mut self.answers), std::mem::take(&mut self.is_rung))
    }

    pub(crate) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// When the next machine wants to be called.
    pub(super) fn arm(&mut self) -> Option<Nanos> {
        let machines = self.by_partition.values().filter_map(|coordinator| match &coordinator.life {
            Life::Serving(serving) if serving.stalled.is_none() => Some(serving.machine.next_deadline()),
            _ => None,
        });
        self.armed = machines.min();
        self.armed
    }

    fn serving(&mut self, partition: PartitionIndex) -> Option<&mut Serving> {
        match &mut self.by_partition.get_mut(&partition)?.life {
            Life::Serving(serving) => Some(serving),
            Life::Loading | Life::Ended => None,
        }
    }

    fn note_deadline(&mut self, due: Nanos) {
        self.is_rung |= self.armed.is_none_or(|armed| due < armed);
    }

    fn refuse(&mut self, call: &GroupCall, code: ErrorCode) {
        self.tell([Answer { ticket: call.ticket, reply: Err(code) }]);
    }
}

/// What is known of groups behind a cursor, and where to go on; nowhere behind the last coordinator of this shard.
pub(crate) fn facts_after(state: &State, after: &GroupCursor, rows_max: usize) -> (Vec<GroupFacts>, GroupCursor) {
    let from = after.as_ref().map_or(Bound::Unbounded, |(partition, _)| Bound::Included(*partition));
    for (partition, coordinator) in state.groups.by_partition.range((from, Bound::Unbounded)) {
        let after = after.as_ref().filter(|(of, _)| of == partition).map(|(_, group)| Arc::clone(group));
        let Life::Serving(serving) = &coordinator.life else { continue };
        let facts = serving.machine.facts_after(after.as_deref(), rows_max);
        if let Some(last) = facts.last() {
            let next = Some((*partition, Arc::clone(&last.group)));
            return (facts, next);
        }
    }
    (Vec::new(), None)
}

/// Takes a call, or lets it wait behind a decision that has no room.
pub(crate) fn take_call(state: &mut State, now: Now, call: GroupCall) {
    state.groups.now = now.monotonic;
    let Some(coordinator) = state.groups.by_partition.get_mut(&call.partition) else {
        state.groups.refuse(&call, ErrorCode::NotCoordinator);
        return;
    };
    match &mut coordinator.life {
        Life::Loading => state.groups.refuse(&call, ErrorCode::CoordinatorLoadInProgress),
        Life::Ended => state.groups.refuse(&call, ErrorCode::NotCoordinator),
        Life::Serving(serving) if serving.stalled.is_some() => serving.queue.push_back((now.monotonic, call)),
        Life::Serving(_) => run(state, now, call.partition, |machine, image| {
            machine.handle(now, image, call.ticket, &call.caller, call.request)
        }),
    }
}

/// Calls the machines whose time has come.
pub(super) fn handle_timeouts(state: &mut State, now: Now) {
    state.groups.now = now.monotonic;
    let is_due = |coordinator: &Coordinator| match &coordinator.life {
        Life::Serving(serving) => serving.stalled.is_none() && serving.machine.next_deadline() <= now.monotonic,
        Life::Loading | Life::Ended => false,
    };
    let groups = &state.groups.by_partition;
    let due: Vec<_> = groups.iter().filter(|(_, of)| is_due(of)).map(|(partition, _)| *partition).collect();
    for partition in due {
        run(state, now, partition, |machine, image| machine.handle_timeout(now, image));
    }
}

/// Whoever has waited for `patience` is told to ask again. What is decided stays so: it is committed later, or undone.
pub(crate) fn expire(state: &mut State, now: Nanos, patience: Duration) {
    state.groups.now = now;
    let is_over = |since: Nanos| now.since(since) >= patience;
    let mut expired: Vec<Ticket> = Vec::new();
    for coordinator in state.groups.by_partition.values_mut() {
        let Life::Serving(serving) = &mut coordinator.life else { continue };
        while let Some((.., answers)) = serving.held.pop_front_if(|(_, decided_at, _)| is_over(*decided_at)) {
            expired.extend(answers.iter().map(|answer| answer.ticket));
        }
        if let Some(stalled) = serving.stalled.as_mut().filter(|stalled| is_over(stalled.decided_at)) {
            expired.extend(stalled.decision.reply.drain(..).map(|answer| answer.ticket));
        }
        while let Some((_, call)) = serving.queue.pop_front_if(|(asked_at, _)| is_over(*asked_at)) {
            expired.push(call.ticket);
        }
    }
    let reply = Err(ErrorCode::CoordinatorNotAvailable);
    state.groups.tell(expired.into_iter().map(|ticket| Answer { ticket, reply: reply.clone() }));
}

/// The image of the state has lost topics. Their offsets are forgotten when the machines are called next; one that is being
/// loaded looks for such offsets by itself.
pub(crate) fn topics_deleted(state: &mut State) {
    for coordinator in state.groups.by_partition.values_mut() {
        if let Life::Serving(serving) = &mut coordinator.life {
            serving.machine.topics_deleted();
        }
    }
    state.groups.is_rung = true;
}

/// The broker stops: clients are told to look for another coordinator.
pub(crate) fn stop(state: &mut State) {
    let partitions: Vec<_> = state.groups.by_partition.keys().copied().collect();
    for partition in partitions {
        state.groups.end(partition);
    }
}

/// Writes decisions that have waited for room, and takes the calls behind them.
pub(crate) fn retry_stalled(state: &mut State, now: Now) {
    state.groups.has_stalled = false;
    state.groups.now = now.monotonic;
    let partitions: Vec<_> = state.groups.by_partition.keys().copied().collect();
    for partition in partitions {
        let Some(stalled) = state.groups.serving(partition).and_then(|serving| serving.stalled.take()) else {
            continue;
        };
        write(state, now, partition, stalled);
        while let Some(serving) = state.groups.serving(partition)
            && serving.stalled.is_none()
            && let Some((_, call)) = serving.queue.pop_front()
        {
            take_call(state, now, call);
        }
        // Its timers were passed over meanwhile.
        if let Some(serving) = state.groups.serving(partition)
            && serving.stalled.is_none()
        {
            let due = serving.machine.next_deadline();
            state.groups.note_deadline(due);
        }
    }
}

fn run(state: &mut State, now: Now, partition: PartitionIndex, command: impl FnOnce(&mut Groups, &Image) -> Decision) {
    let serving = state.groups.serving(partition).expect("the caller has looked");
    let decision = command(&mut serving.machine, &state.image);
    let news = serving.machine.take_news();
    let due = serving.machine.next_deadline();
    state.groups.note_deadline(due);
    if decision.records.is_empty() {
        news::write(&state.lines, &news);
        hold(state, partition, decision.reply);
        return;
    }
    match batch(&decision.records, now.wall) {
        Ok(batch) => write(state, now, partition, Stalled { decided_at: now.monotonic, batch, decision, news }),
        Err(TooLarge) => undo(state, now, partition, decision, ErrorCode::UnknownServerError),
    }
}

/// Appends a decision, or lets it wait for room.
fn write(state: &mut State, now: Now, partition: PartitionIndex, stalled: Stalled) {
    let log = state.groups.by_partition[&partition].log;
    let slot = state.table.get(log).expect("a coordinator goes before its log does");
    let place = LogPlace { id: log, leader_epoch: slot.leader_epoch };
    let serving = state.groups.serving(partition).expect("the caller has looked");
    let (records, batch) = (&stalled.decision.records, &stalled.batch);
    match append(&mut state.store, place, &mut serving.machine, records, batch, now.wall) {
        Ok(_) => {
            news::write(&state.lines, &stalled.news);
            hold(state, partition, stalled.decision.reply);
        }
        Err(AppendError::Backpressure) => {
            serving.stalled = Some(stalled);
            state.groups.has_stalled = true;
        }
        Err(error) => {
            repeated!(
                state.lines,
                DecisionNotWritten,
                "decisions of groups that were not written",
                WARN,
                topic = GROUP_TOPIC,
                partition = partition.get(),
                "a decision was not written, and its members ask again: {error}"
            );
            undo(state, now, partition, stalled.decision, ErrorCode::CoordinatorNotAvailable);
        }
    }
}

/// Answers once everything that the log holds now is committed: an answer may follow from any of it.
fn hold(state: &mut State, partition: PartitionIndex, answers: Vec<Answer>) {
    if answers.is_empty() {
        return;
    }
    let decided_at = state.groups.now;
    let log = state.groups.by_partition[&partition].log;
    let offsets = state.store.partition(log);
    match offsets {
        Some(offsets) if offsets.high_watermark < offsets.log_end => {
            let last_offset = Offset::new(offsets.log_end.get() - 1);
            let serving = state.groups.serving(partition).expect("the caller has looked");
            serving.held.push_back((last_offset, decided_at, answers));
        }
        _ => state.groups.tell(answers),
    }
}

/// A decision cannot be written: what the machine remembers of the groups that it is about is not so. Whoever waits in them
/// asks again; the other groups of the partition go on.
fn undo(state: &mut State, now: Now, partition: PartitionIndex, decision: Decision, code: ErrorCode) {
    let serving = state.groups.serving(partition).expect("the caller has looked");
    let waiting = serving.machine.reopen(now, &state.image, &decision, ErrorCode::CoordinatorNotAvailable);
    let due = serving.machine.next_deadline();
    state.groups.note_deadline(due);
    let refused = decision.reply.into_iter().map(|answer| Answer { reply: Err(code), ..answer });
    state.groups.tell(waiting.into_iter().chain(refused));
}

impl LogRecord for GroupRecord {
    const ORIGIN: AppendOrigin = AppendOrigin::Coordinator;
    const DECISION_BYTES_MAX: usize = DECISION_BYTES_MAX;

    fn to_log(&self) -> Result<Encoded, EncodeError> {
        let (mut key, mut value) = (Writer::default(), Writer::default());
        self.encode_key(&mut key)?;
        if self.has_value() {
            self.encode_value(&mut value, value_version(self))?;
        }
        let value = self.has_value().then(|| value.into_bytes());
        Ok(Encoded { key: Some(key.into_bytes()), value })
    }

    fn from_log(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let key = key.ok_or_else(|| "it has no key".to_owned())?;
        match Self::decode(key, value) {
            Ok(record) => Ok(Some(record)),
            // Other kinds of groups, of a newer release.
            Err(DecodeError::Key(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

//! The most that a group, and a decision about groups, may take.

/// Members of a group, and ids given out, whatever `group.max.size` and `group.consumer.max.size` allow.
pub const MEMBERS_MAX: usize = 50_000;
/// Topics that one member subscribes to by name.
pub const SUBSCRIBED_TOPICS_MAX: usize = 10_000;
/// Expressions that the members of one group subscribe with: all of them are matched again, in one turn, when topics change.
pub const EXPRESSIONS_MAX: usize = 100;
/// What the members of one group may take: names, subscriptions, assignments. It is counted so that their records take no
/// more in the log.
pub const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records of one decision: they are one batch of the log. A decision about one group ends at most what it was, and writes
/// down what it is.
pub const DECISION_BYTES_MAX: usize = 2 * GROUP_BYTES_MAX + 1024 * 1024;
/// Offsets that are looked at in one turn, whether they can go.
pub(super) const OFFSETS_PER_TURN: usize = 20_000;
/// What of a decision about several groups may be taken when one more is looked at.
pub(super) const DECIDED_BYTES_MAX: usize = DECISION_BYTES_MAX - GROUP_BYTES_MAX;

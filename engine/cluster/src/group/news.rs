//! Who came to groups and who went, and why: whoever runs them asks so when a group rebalances.

use super::{GroupId, MemberId};

/// What is told of one decision; the rest of it is more of the same.
pub(super) const NEWS_MAX: usize = 256;
/// Letters of a reason that a client gives.
const REASON_LETTERS_MAX: usize = 256;

/// Something has changed about a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupNews {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: MemberId,
    /// As its client says.
    pub client_id: String,
    /// As Kafka writes it.
    pub client_host: String,
    /// What has changed.
    pub change: MemberChange,
}

/// What has changed about a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberChange {
    /// It is new.
    Joined,
    /// It has the work divided anew, for this reason, if it gives one (KIP-800).
    Rejoined(String),
    /// It, or somebody in its name, said that it goes, for this reason, if one was given (KIP-800).
    Left(String),
    /// There was no heartbeat of it within its session timeout.
    Silent,
    /// It did not join again within the rebalance timeout.
    NotRejoined,
    /// It did not ask for its assignment within the rebalance timeout.
    NotSynced,
    /// It did not do within its rebalance timeout what the group waits for: give partitions back, or join again.
    NotActed,
}

/// A reason that a client gives, or an empty text.
pub(super) fn reason(given: Option<&str>) -> String {
    given.unwrap_or_default().chars().take(REASON_LETTERS_MAX).collect()
}

//! Who came to groups and who went, in the log.

use ringlog_cluster::group::{GroupNews, MemberChange};

use crate::lines::{Lines, repeated};

macro_rules! member_line {
    ($lines:expr, $kind:ident, $about:literal, $news:expr) => {{
        let GroupNews { group, member, client_id, client_host, change } = $news;
        let (what, reason) = told(change);
        let (group, member) = (&**group, &**member);
        repeated!($lines, $kind, $about, INFO, group, member, client_id, client = client_host, reason, "{what}");
    }};
}

/// Writes lines about what has changed.
pub(super) fn write(lines: &Lines, news: &[GroupNews]) {
    for news in news {
        // Many that come must not hide one that goes.
        match &news.change {
            MemberChange::Joined | MemberChange::Rejoined(_) => {
                member_line!(lines, MemberJoined, "members that came to groups", news);
            }
            MemberChange::Left(_) => member_line!(lines, MemberLeft, "members that left groups", news),
            MemberChange::Silent | MemberChange::NotRejoined | MemberChange::NotSynced | MemberChange::NotActed => {
                member_line!(lines, MemberGone, "members that groups have lost", news);
            }
        }
    }
}

/// What has happened, and why, if somebody has said so.
fn told(change: &MemberChange) -> (&'static str, Option<&str>) {
    let what = match change {
        MemberChange::Joined => "a member has joined",
        MemberChange::Rejoined(_) => "a member has asked for a rebalance",
        MemberChange::Left(_) => "a member has left",
        MemberChange::Silent => "a member has gone: no heartbeat within its session timeout",
        MemberChange::NotRejoined => "a member has gone: it did not join again within the rebalance timeout",
        MemberChange::NotSynced => "a member has gone: it did not ask for its assignment within the rebalance timeout",
        MemberChange::NotActed => {
            "a member has gone: it did not give partitions back, or join again, within its rebalance timeout"
        }
    };
    let reason = match change {
        MemberChange::Rejoined(reason) | MemberChange::Left(reason) => Some(reason.as_str()),
        _ => None,
    };
    (what, reason.filter(|reason| !reason.is_empty()))
}

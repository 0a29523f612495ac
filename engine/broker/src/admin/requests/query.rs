//! What of the kept requests is asked for.

use std::fmt;

use ringlog_storage::types::Millis;
use thiserror::Error;

use crate::recorder::{Cursor, Wanted};

/// Records of one answer, unless the query says, and at most.
const LIMIT: usize = 1000;
const LIMIT_MAX: usize = 4096;

/// A query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::admin) struct Query {
    pub(super) wanted: Wanted,
    pub(super) after: Option<Position>,
    pub(super) limit: usize,
}

/// Where a reader is: of which run of the broker, and behind which records of each shard. As text it is the start of that
/// run, and slow and sampled ones of every shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Position {
    pub(super) since: Millis,
    pub(super) cursors: Vec<Cursor>,
}

/// Why a query is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(in crate::admin) enum BadQuery {
    #[error("there is no parameter {0}; expected kind, after or limit")]
    Unknown(String),
    #[error("kind={0}: expected slow, sample or all")]
    Kind(String),
    #[error("after={0}: expected what an earlier answer gave as next")]
    After(String),
    #[error("limit={0}: expected a whole number from 1 to {LIMIT_MAX}")]
    Limit(String),
}

impl Query {
    /// Reads what follows the path.
    pub(in crate::admin) fn parse(text: &str, shards: usize) -> Result<Self, BadQuery> {
        let mut query = Self { wanted: Wanted::All, after: None, limit: LIMIT };
        for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let told = || value.escape_default().to_string();
            match name {
                "kind" => {
                    query.wanted = match value {
                        "all" => Wanted::All,
                        "slow" => Wanted::Slow,
                        "sample" => Wanted::Sampled,
                        _ => return Err(BadQuery::Kind(told())),
                    }
                }
                "after" => {
                    query.after = Some(Position::parse(value, shards).ok_or_else(|| BadQuery::After(told()))?);
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    query.limit = limit.ok_or_else(|| BadQuery::Limit(told()))?;
                }
                _ => return Err(BadQuery::Unknown(name.escape_default().to_string())),
            }
        }
        Ok(query)
    }
}

impl Position {
    /// Another run of the broker may have had another number of shards, of which no more is read than there are now.
    fn parse(text: &str, shards: usize) -> Option<Self> {
        let mut parts = text.split('-');
        let since = parts.next()?.parse().ok().map(Millis::new)?;
        let cursors = parts.take(shards).map(|cursor| {
            let (slow, sampled) = cursor.split_once('.')?;
            Some(Cursor { slow: slow.parse().ok()?, sampled: sampled.parse().ok()? })
        });
        Some(Self { since, cursors: cursors.collect::<Option<_>>()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.since)?;
        self.cursors.iter().try_for_each(|Cursor { slow, sampled }| write!(f, "-{slow}.{sampled}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_defaults() {
        let all = Query { wanted: Wanted::All, after: None, limit: 1000 };
        assert_eq!(Query::parse("", 2), Ok(all.clone()));
        assert_eq!(
            Query::parse("kind=slow&limit=4096", 2),
            Ok(Query { wanted: Wanted::Slow, limit: 4096, ..all.clone() })
        );
        assert_eq!(Query::parse("limit=1&kind=sample", 2), Ok(Query { wanted: Wanted::Sampled, limit: 1, ..all }));
    }

    #[test]
    fn a_position_says_itself_again() {
        let cursors = vec![Cursor { slow: 3, sampled: 1204 }, Cursor { slow: 0, sampled: u64::MAX }];
        let position = Position { since: Millis::new(1_764_400_000_000), cursors };
        let text = position.to_string();
        assert!(
            text.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte)),
            "no client escapes it: {text}"
        );
        assert_eq!(Position::parse(&text, 2), Some(position.clone()));
        assert_eq!(Position::parse(&text, 1).map(|position| position.cursors.len()), Some(1));
        assert_eq!(Query::parse(&format!("after={text}"), 2).map(|query| query.after), Ok(Some(position)));
    }

    #[test]
    fn what_cannot_be_answered_is_refused_with_what_was_expected() {
        for (text, part) in [
            ("kind=fast", "kind=fast: expected slow, sample or all"),
            ("kind", "kind=: expected slow"),
            ("limit=0", "limit=0: expected a whole number from 1 to 4096"),
            ("limit=4097", "from 1 to 4096"),
            ("limit=many", "from 1 to 4096"),
            ("after=", "expected what an earlier answer gave as next"),
            ("after=1-2", "as next"),
            ("after=1-2.x", "as next"),
            ("after=1-2.-3", "as next"),
            ("after=99999999999999999999-1.1", "as next"),
            ("sort=total\u{1b}", "there is no parameter sort; expected kind, after or limit"),
        ] {
            let error = Query::parse(text, 2).expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains('\u{1b}'), "{text}: {error}");
        }
    }
}

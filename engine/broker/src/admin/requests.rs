//! The requests that shards have kept, with where their time went.

mod json;
mod query;

use std::num::NonZeroU32;

use futures_util::StreamExt as _;
use futures_util::stream;
use ringlog_storage::types::Millis;
use serde_json::json;

use crate::errand::on_shard;
use crate::http::Content;
use crate::recorder::{Cursor, Record, Wanted};
use crate::shard::Shard;
use crate::turn::Taken;
use query::Position;
pub(super) use query::Query;

/// Records that one look at a shard brings: some ten microseconds.
const RECORDS_PER_LOOK: usize = 256;
/// Records that are written at a time, for the same reason.
const RECORDS_PER_PIECE: usize = 16;

/// Records of all shards.
#[derive(Debug)]
struct Gathered {
    /// With the shard of each, in the order in which they ended.
    records: Vec<(usize, Record)>,
    next: Position,
    lost: u64,
}

/// The answer to a query, piece by piece. `since` is when the broker began to serve; the turn ends with the last piece.
pub(super) async fn tell(shard: &Shard, since: Millis, query: Query, turn: Taken) -> Content {
    let gathered = gather(shard, since, &query).await;
    let head = head(shard, &gathered);
    let records = gathered.records.into_iter().peekable();
    let pieces =
        stream::unfold((Some(head), records, turn, shard.clone()), async |(head, mut records, turn, shard)| {
            if let Some(head) = head {
                return Some((head, (None, records, turn, shard)));
            }
            shard.reactor().yield_now().await;
            records.peek()?;
            let mut piece = String::new();
            for (of, record) in records.by_ref().take(RECORDS_PER_PIECE) {
                piece.push_str(&json::record(of, &record).to_string());
                piece.push(',');
            }
            if records.peek().is_none() {
                piece.truncate(piece.len() - 1);
            }
            Some((piece, (None, records, turn, shard)))
        });
    Content::Pieces(pieces.chain(stream::once(async { "]}\n".to_owned() })).boxed_local())
}

/// Everything but the records, up to where they begin.
fn head(shard: &Shard, gathered: &Gathered) -> String {
    let config = shard.recorder().config();
    let head = json!({
        "node": shard.settings().broker.node_id.get(),
        "version": env!("CARGO_PKG_VERSION"),
        "now_ms": shard.wall_clock().get(),
        "slow_us": config.slow.map(|slow| u64::try_from(slow.as_micros()).unwrap_or(u64::MAX)),
        "sample_every": config.sample_every.map(NonZeroU32::get),
        "lost": gathered.lost,
        "next": gathered.next.to_string(),
    });
    let mut text = head.to_string();
    text.pop();
    text + ",\"requests\":["
}

/// The oldest records behind the query's position.
async fn gather(shard: &Shard, since: Millis, query: &Query) -> Gathered {
    let after = query.after.clone().filter(|after| after.since == since);
    let is_first = after.is_none();
    let mut next = after.unwrap_or_else(|| Position { since, cursors: Vec::new() });
    next.cursors.resize(shard.count(), Cursor::default());
    let mut records = Vec::new();
    for (of, cursor) in next.cursors.iter().enumerate() {
        let found = of_shard(shard, of, *cursor, query.wanted, query.limit).await;
        records.extend(found.into_iter().map(|record| (of, record)));
        // No more are held than are told, and those of one shard.
        records.sort_by_key(|(_, record): &(usize, Record)| record.ended_at());
        records.truncate(query.limit);
    }
    let lost = records.iter().map(|(of, record)| next.cursors[*of].go_behind(record)).sum();
    Gathered { records, next, lost: if is_first { 0 } else { lost } }
}

async fn of_shard(shard: &Shard, of: usize, mut cursor: Cursor, wanted: Wanted, limit: usize) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let count = RECORDS_PER_LOOK.min(limit - records.len());
        let found = on_shard(shard, of, move |shard| shard.recorder().read(wanted, cursor, count)).await;
        for record in &found {
            cursor.go_behind(record);
        }
        let is_all = found.len() < RECORDS_PER_LOOK;
        records.extend(found);
        if is_all || records.len() >= limit {
            return records;
        }
    }
}

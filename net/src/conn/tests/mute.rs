//! Connections of clients with quotas: one request at a time, and none for a while.

use super::*;

#[test]
fn a_muted_connection_takes_nothing_up_and_is_not_idle() {
    let (idle, until) = (Duration::from_mins(10), START.saturating_add(Duration::from_hours(1)));
    let mut conn = conn();
    conn.received(&[metadata(1), metadata(2)].concat(), START);
    let request = next(&mut conn);
    conn.respond(request.seq, body(b""));
    conn.mute(until);
    conn.mute(START);
    assert_eq!(sent(&mut conn).len(), 8, "answers are sent");
    assert!(matches!(conn.want(), Want::Nothing) && conn.next_request().is_none());
    conn.handle_timeout(START.saturating_add(idle));
    assert_eq!((conn.closing(), conn.muted_until(), conn.next_deadline()), (None, Some(until), Some(until)));
    conn.handle_timeout(until);
    assert_eq!((conn.muted_until(), conn.next_deadline()), (None, None));
    let request = next(&mut conn);
    conn.respond(request.seq, body(b""));
    assert_eq!(conn.next_deadline(), Some(until.saturating_add(idle)), "it is idle from the end of the mute on");
    conn.mute(until.saturating_add(idle));
    conn.close(CloseReason::ShuttingDown);
    assert_eq!(
        (sent(&mut conn).len(), conn.finished()),
        (8, Some(&CloseReason::ShuttingDown)),
        "nothing waits for a mute"
    );
}

#[test]
fn one_by_one_the_next_request_waits_for_the_answer_to_the_one_before() {
    let mut conn = conn();
    conn.set_pace(Pace::OneByOne);
    assert!(matches!(conn.want(), Want::Pool));
    conn.received(&[metadata(1), metadata(2)].concat(), START);
    let first = next(&mut conn);
    assert!(matches!(conn.want(), Want::Nothing) && conn.next_request().is_none());
    conn.respond(first.seq, body(b""));
    let second = next(&mut conn);
    assert!(matches!(conn.want(), Want::Nothing));
    conn.respond(second.seq, body(b""));
    assert!(matches!(conn.want(), Want::Pool));
}

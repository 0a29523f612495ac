//! Connections of clients with quotas: one request at a time, and none for a while.

use super::*;

#[test]
fn a_muted_connection_takes_nothing_up_and_is_not_idle() {
    let (idle, time) = (Duration::from_mins(10), Duration::from_hours(1));
    let until = START.saturating_add(time);
    let mut conn = conn();
    conn.received(&[metadata(1), metadata(2)].concat(), START);
    let request = next(&mut conn);
    conn.respond(request.seq, body(b""));
    conn.mute(START, time);
    conn.mute(START, Duration::ZERO);
    assert_eq!(sent(&mut conn).len(), 8, "answers are sent");
    assert!(matches!(conn.want(), Want::Nothing) && conn.next_request().is_none());
    conn.handle_timeout(START.saturating_add(idle));
    assert_eq!((conn.closing(), conn.muted_until(), conn.next_deadline()), (None, Some(until), Some(until)));
    conn.handle_timeout(until);
    assert_eq!((conn.muted_until(), conn.next_deadline()), (None, None));
    let request = next(&mut conn);
    conn.respond(request.seq, body(b""));
    assert_eq!(conn.next_deadline(), Some(until.saturating_add(idle)), "it is idle from the end of the mute on");
    conn.mute(until, idle);
    conn.close(CloseReason::ShuttingDown);
    assert_eq!(
        (sent(&mut conn).len(), conn.finished()),
        (8, Some(&CloseReason::ShuttingDown)),
        "nothing waits for a mute"
    );
}

#[test]
fn a_request_tells_how_long_it_has_waited_because_its_client_was_muted() {
    let at = |millis| START.saturating_add(Duration::from_millis(millis));
    let mut conn = conn();
    conn.set_pace(Pace::OneByOne);
    conn.received(&[metadata(1), metadata(2), metadata(3)].concat(), at(0));
    let mut muted = Vec::new();
    for served in 1..4 {
        let request = next(&mut conn);
        muted.push((request.arrived_at, request.muted));
        conn.respond(request.seq, body(b""));
        conn.mute(at(100 * served), Duration::from_millis(30));
        conn.handle_timeout(at(100 * served + 30));
    }
    let (first, later) = (Duration::ZERO, Duration::from_millis(30));
    assert_eq!(muted, [(at(0), first), (at(0), later), (at(0), 2 * later)]);
    conn.received(&metadata(4), at(400));
    assert_eq!(next(&mut conn).muted, Duration::ZERO, "it came when all of that was over");
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

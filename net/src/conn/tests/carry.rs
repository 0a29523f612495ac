//! Connections that go from one shard to another.

use super::*;

const LATER: Nanos = Nanos::new(5_000);

fn carried(mut conn: Conn) -> Conn {
    conn.hold();
    let carried = conn.carry().expect("nothing is under way");
    Conn::carried(carried, ConnLimits::default(), apis(), SpareChunks::default(), LATER)
}

fn large(frame_bytes: usize) -> Vec<u8> {
    let mut frame = request(0, 9, 3, true, &vec![7; frame_bytes]);
    let size = i32::try_from(frame.len() - 4).expect("a frame");
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}

#[test]
fn a_frame_goes_on_where_it_was_interrupted() {
    for frame in [metadata(7), large(SMALL_FRAME_BYTES_MAX + 100)] {
        for cut in [0, 1, 3, 4, 5, 12, 17, frame.len() - 1] {
            let mut conn = conn();
            conn.received(&[&metadata(6)[..], &frame[..cut]].concat(), START);
            let first = next(&mut conn);
            conn.respond(first.seq, body(b""));
            assert_eq!(sent(&mut conn).len(), 8);
            let mut conn = carried(conn);
            assert_eq!((conn.active_at(), conn.in_flight()), (START, 0), "to go is no activity");
            conn.received(&frame[cut..], LATER);
            let request = next(&mut conn);
            assert_eq!(request.frame_bytes, frame.len() - 4, "cut at {cut}");
            assert_eq!(&*request.header.client_id, "cli");
            conn.respond(request.seq, body(b"done"));
            assert!(!sent(&mut conn).is_empty());
        }
    }
}

#[test]
fn nothing_goes_while_something_is_under_way() {
    let mut conn = conn();
    assert_eq!(conn.carry(), None, "it is not held");
    conn.received(&metadata(1), START);
    conn.hold();
    assert!(matches!(conn.want(), Want::Nothing), "nothing new is read");
    assert_eq!(conn.carry(), None, "it has a request that nobody has taken");
    let request = next(&mut conn);
    assert_eq!(conn.carry(), None, "it has a request under way");
    conn.respond(request.seq, body(b""));
    assert_eq!(conn.carry(), None, "it has an answer to send");
    assert!(conn.transmit(START).is_some());
    assert_eq!(conn.carry(), None, "its answer is being sent");
    assert!(conn.transmit(START).is_none());
    conn.unhold();
    assert!(matches!(conn.want(), Want::Pool), "it has stayed");
    conn.hold();
    assert!(conn.carry().is_some());
}

#[test]
fn one_that_ends_stays() {
    let mut conn = conn();
    conn.close(CloseReason::ShuttingDown);
    conn.hold();
    assert_eq!(conn.carry(), None);
}

#[test]
fn a_frame_that_has_memory_of_the_shard_is_received_first() {
    let frame = large(200_000);
    let mut conn = conn();
    conn.received(&frame[..FRAME_PROOF_BYTES + 4], START);
    let Want::Memory { bytes, .. } = conn.want() else { panic!("a large frame needs memory") };
    conn.grant(Chunk::with_capacity(bytes.next_power_of_two()));
    conn.hold();
    assert!(!conn.is_held());
    let Want::Direct { chunk, .. } = conn.want() else { panic!("it is received into its chunk") };
    assert_eq!((conn.is_held(), conn.carry()), (false, None), "its chunk is lent");
    conn.received_direct(chunk, START);
    conn.received(&frame[FRAME_PROOF_BYTES + 4..], START);
    assert!(conn.is_held() && matches!(conn.want(), Want::Nothing));
    let request = next(&mut conn);
    conn.respond(request.seq, body(b""));
    assert!(!sent(&mut conn).is_empty());
    assert!(conn.carry().is_some());
}

#[test]
fn what_a_muted_client_has_sent_goes_along() {
    let until = START.saturating_add(Duration::from_secs(1));
    let mut conn = conn();
    conn.set_pace(Pace::OneByOne);
    conn.received(&[metadata(1), metadata(2), metadata(3)[..9].to_vec()].concat(), START);
    let first = next(&mut conn);
    conn.mute(START, Duration::from_secs(1));
    conn.respond(first.seq, body(b""));
    assert_eq!(sent(&mut conn).len(), 8);
    let mut conn = carried(conn);
    assert_eq!((conn.muted_until(), conn.in_flight()), (Some(until), 1));
    assert!(conn.next_request().is_none());
    conn.handle_timeout(until);
    conn.received(&metadata(3)[9..], until);
    assert_eq!([next(&mut conn), next(&mut conn)].map(|request| request.header.correlation_id), [2, 3]);
}

#[test]
fn what_is_malformed_ends_it_wherever_it_is() {
    let mut conn = conn();
    conn.received(b"\xff\xff", START);
    let mut conn = carried(conn);
    conn.received(b"\xff\xff", LATER);
    assert_eq!(conn.closing(), Some(&CloseReason::FrameNegative { announced: -1 }));
}

//! When a request arrived, and which answers have left.

use super::*;

#[test]
fn a_request_tells_when_it_began_to_arrive_and_when_all_of_it_was_there() {
    let at = |millis| START.saturating_add(Duration::from_millis(millis));
    let mut conn = conn();
    let (small, large) = (metadata(1), request(0, 9, 2, true, &vec![0; 200_000]));
    conn.received(&small[..1], at(1));
    conn.received(&small[1..10], at(2));
    conn.received(&[&small[10..], &small, &large[..2]].concat(), at(3));
    conn.received(&large[2..30_000], at(4));
    let Want::Memory { bytes, .. } = conn.want() else { panic!("it has proven to be large") };
    conn.grant(Chunk::with_capacity(bytes));
    conn.received(&large[30_000..], at(5));
    let times: Vec<_> =
        std::iter::from_fn(|| conn.next_request()).map(|request| (request.first_byte_at, request.arrived_at)).collect();
    assert_eq!(times, [(at(1), at(3)), (at(3), at(3)), (at(3), at(5))]);
}

#[test]
fn it_is_known_which_answers_were_given_out() {
    let mut conn = conn();
    for correlation_id in 0..4 {
        conn.received(&metadata(correlation_id), START);
    }
    let seqs: Vec<_> = (0..4).map(|_| next(&mut conn).seq).collect();
    let large = || Response::Send(Body::from(vec![0; TRANSMIT_BYTES_MAX]));
    conn.respond(seqs[1], Response::Nothing);
    conn.respond(seqs[2], large());
    assert_eq!(conn.first_unsent(), seqs[0]);
    conn.respond(seqs[0], large());
    assert_eq!(conn.first_unsent(), seqs[0]);
    assert!(conn.transmit(START).is_some());
    assert_eq!(conn.first_unsent(), seqs[2], "one without bytes does not count as unsent");
    assert!(conn.transmit(START).is_some());
    assert_eq!(conn.first_unsent(), seqs[3], "it is not answered");
    conn.respond(seqs[3], Response::Nothing);
    assert!(conn.first_unsent() > seqs[3]);
}

//! The mesh's two lock-free parts, in every interleaving of two threads:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p ringlog-reactor --test mesh_loom --release
//! ```
#![cfg(loom)]
#![allow(dead_code, reason = "the ring's file is compiled again here, to be reached from outside of the crate")]

#[path = "../src/mesh/ring.rs"]
mod ring;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use ring::{Door, Ring};

/// A bell as a flag. loom knows no sleep that somebody ends, so a shard that would sleep looks at it once, at the end.
struct Bell(AtomicBool);

#[test]
fn messages_arrive_once_and_in_order() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let sender = Arc::clone(&ring);
        let sending = thread::spawn(move || {
            let mut sent = 0;
            for number in 0..3 {
                // SAFETY: this is the only thread that pushes.
                if unsafe { sender.push(Box::new(number)) }.is_err() {
                    break;
                }
                sent += 1;
            }
            sent
        });
        let mut received = 0;
        for _ in 0..3 {
            // SAFETY: this is the only thread that pops.
            if let Some(message) = unsafe { ring.pop() } {
                assert_eq!(*message, received);
                received += 1;
            }
        }
        let sent = sending.join().expect("it only sends");
        // SAFETY: as above; the sender has ended.
        while let Some(message) = unsafe { ring.pop() } {
            assert_eq!(*message, received);
            received += 1;
        }
        assert_eq!(received, sent);
        assert!(sent >= 2, "two fit");
    });
}

#[test]
fn a_message_is_seen_or_the_bell_is_rung() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let door = Arc::new(Door::new());
        let bell = Arc::new(Bell(AtomicBool::new(false)));
        let sending = {
            let (ring, door, bell) = (Arc::clone(&ring), Arc::clone(&door), Arc::clone(&bell));
            thread::spawn(move || {
                // SAFETY: this is the only thread that pushes.
                assert!(unsafe { ring.push(7) }.is_ok());
                if door.must_ring() {
                    bell.0.store(true, Ordering::Release);
                }
            })
        };
        door.sleep();
        let seen = !ring.is_empty();
        sending.join().expect("it only sends");
        assert!(seen || bell.0.load(Ordering::Acquire), "the shard would sleep over a message");
    });
}

#[test]
fn of_two_senders_one_rings() {
    loom::model(|| {
        let rings = Arc::new([Ring::new(1), Ring::new(1)]);
        let door = Arc::new(Door::new());
        let send = |from: usize| {
            let (rings, door) = (Arc::clone(&rings), Arc::clone(&door));
            thread::spawn(move || {
                // SAFETY: each ring has one thread that pushes.
                assert!(unsafe { rings[from].push(from) }.is_ok());
                door.must_ring()
            })
        };
        let (one, other) = (send(0), send(1));
        door.sleep();
        let seen = rings.iter().filter(|ring| !ring.is_empty()).count();
        let rung = usize::from(one.join().expect("it only sends")) + usize::from(other.join().expect("it only sends"));
        assert!(rung <= 1, "one bell is enough");
        assert!(seen == 2 || rung == 1, "the shard would sleep over a message");
    });
}

#[test]
fn a_sender_sees_room_or_is_called() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        // SAFETY: the other thread only pops.
        assert!(unsafe { ring.push(1) }.is_ok());
        let receiving = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                // SAFETY: this is the only thread that pops.
                assert_eq!(unsafe { ring.pop() }, Some(1));
                ring.take_waiting_sender()
            })
        };
        let room = ring.wait_for_room();
        let called = receiving.join().expect("it only receives");
        assert!(room || called, "the sender would wait for ever");
        // SAFETY: the receiver has ended.
        assert!(unsafe { ring.push(2) }.is_ok());
    });
}

#[test]
fn a_waiting_sender_and_a_sleeping_receiver_never_miss_each_other() {
    // Both directions at once, as two shards do: the sender waits for room and goes to sleep, the receiver makes room
    // and looks whether the sender sleeps.
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let door = Arc::new(Door::new());
        // SAFETY: the other thread only pops.
        assert!(unsafe { ring.push(1) }.is_ok());
        let receiving = {
            let (ring, door) = (Arc::clone(&ring), Arc::clone(&door));
            thread::spawn(move || {
                // SAFETY: this is the only thread that pops.
                assert!(unsafe { ring.pop() }.is_some());
                ring.take_waiting_sender() && door.must_ring()
            })
        };
        let mut goes_on = ring.wait_for_room();
        if !goes_on {
            door.sleep();
            goes_on = ring.has_room();
        }
        let rung = receiving.join().expect("it only receives");
        assert!(goes_on || rung, "the sender would sleep for ever");
    });
}

#[test]
fn what_is_not_received_is_dropped() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let held = Arc::new(());
        let sending = {
            let (ring, held) = (Arc::clone(&ring), Arc::clone(&held));
            // SAFETY: this is the only thread that pushes.
            thread::spawn(move || assert!(unsafe { ring.push(held) }.is_ok()))
        };
        ring.leave();
        sending.join().expect("it only sends");
        drop(ring);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

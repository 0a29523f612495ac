//! Messages between shards.

use std::time::Duration;

use crate::{Here, Setup, on_every_backend};

on_every_backend! {
    Setup { shards: 3, limits: ringlog_reactor::Limits { mesh_messages: 8, ..ringlog_reactor::Limits::default() } };
    messages_go_there_and_back,
    messages_of_one_shard_keep_their_order,
    a_full_ring_makes_its_sender_wait,
    a_sleeping_shard_is_woken,
    a_shard_sends_to_itself,
    an_ended_shard_swallows_what_comes,
}

/// The last message of a shard.
const END: u64 = u64::MAX;

async fn messages_go_there_and_back(here: Here) {
    let mesh = &here.mesh;
    if mesh.index() > 0 {
        loop {
            let (from, message) = mesh.recv().await;
            if *message == END {
                return;
            }
            mesh.send(from, Box::new(*message + 1)).await;
        }
    }
    for round in 0..1000 {
        for to in 1..mesh.shards() {
            mesh.send(to, Box::new(round)).await;
        }
        for _ in 1..mesh.shards() {
            assert_eq!(*mesh.recv().await.1, round + 1);
        }
    }
    for to in 1..mesh.shards() {
        mesh.send(to, Box::new(END)).await;
    }
}

async fn messages_of_one_shard_keep_their_order(here: Here) {
    const MESSAGES: u64 = 2000;
    let mesh = here.mesh.clone();
    let sending = here.reactor.spawn(async move {
        for number in 0..MESSAGES {
            for to in 0..mesh.shards() {
                mesh.send(to, Box::new(number)).await;
            }
        }
    });
    let mut next = vec![0; here.mesh.shards()];
    while next.iter().any(|next| *next < MESSAGES) {
        let (from, message) = here.mesh.recv().await;
        assert_eq!(*message, next[from]);
        next[from] += 1;
    }
    sending.await;
}

async fn a_full_ring_makes_its_sender_wait(here: Here) {
    let mesh = &here.mesh;
    match mesh.index() {
        0 => {
            let mut sent = 0;
            while mesh.try_send(1, Box::new(sent)).is_ok() {
                sent += 1;
            }
            assert!(sent >= 8, "the ring has 8 places");
            for number in sent..sent + 100 {
                mesh.send(1, Box::new(number)).await;
            }
            mesh.send(1, Box::new(END)).await;
        }
        1 => {
            // Until then nobody takes.
            here.reactor.sleep(Duration::from_millis(20)).await;
            let mut expected = 0;
            loop {
                let (from, message) = mesh.recv().await;
                if *message == END {
                    break;
                }
                assert_eq!((from, *message), (0, expected));
                expected += 1;
            }
            assert!(expected >= 108);
        }
        _ => {}
    }
}

async fn a_sleeping_shard_is_woken(here: Here) {
    let mesh = &here.mesh;
    if mesh.index() == 0 {
        for number in 0..50 {
            // Long enough for the others to be asleep, sometimes.
            here.reactor.sleep(Duration::from_micros(number * 13)).await;
            mesh.send(1, Box::new(number)).await;
            assert_eq!(*mesh.recv().await.1, number);
        }
        mesh.send(1, Box::new(END)).await;
        return;
    }
    loop {
        if mesh.index() == 2 {
            let (_, message) = mesh.recv().await;
            let end = *message == END;
            mesh.send(0, message).await;
            if end {
                return;
            }
        } else {
            let (_, message) = mesh.recv().await;
            let end = *message == END;
            mesh.send(2, message).await;
            if end {
                return;
            }
        }
    }
}

async fn a_shard_sends_to_itself(here: Here) {
    let mesh = here.mesh.clone();
    let sending = here.reactor.spawn(async move {
        for number in 0..100 {
            mesh.send(mesh.index(), Box::new(number)).await;
        }
    });
    for number in 0..100 {
        let (from, message) = here.mesh.recv().await;
        assert_eq!((from, *message), (here.mesh.index(), number));
    }
    sending.await;
}

async fn an_ended_shard_swallows_what_comes(here: Here) {
    if here.mesh.index() == 0 {
        // More than the ring to a shard that never receives and may have ended already, and never an endless wait.
        for number in 0..100 {
            here.mesh.send(1, Box::new(number)).await;
        }
    }
}

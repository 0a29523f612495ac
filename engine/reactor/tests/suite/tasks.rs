//! Tasks, timers, wakers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use ringlog_reactor::Elapsed;

use crate::{Backend, Here, Setup, on_every_backend, run};

on_every_backend! {
    Setup::shards(1);
    a_task_gives_its_result,
    a_dropped_task_runs_on,
    a_detached_task_runs,
    a_waker_outlives_its_task_and_wakes_no_other,
    a_canceled_task_drops_what_it_holds,
    a_task_may_cancel_itself,
    timers_fire_in_the_order_of_their_deadlines,
    a_deadline_in_the_past_does_not_wait,
    a_timeout_drops_what_takes_too_long,
    ready_tasks_take_turns,
    time_goes_on_and_numbers_are_random,
}

async fn a_task_gives_its_result(here: Here) {
    let inner = here.reactor.spawn(async { 7 });
    let outer = here.reactor.spawn(async move { inner.await + 1 });
    assert_eq!(outer.await, 8);
    let done = here.reactor.spawn(async {});
    here.reactor.yield_now().await;
    assert!(done.is_finished());
}

async fn a_dropped_task_runs_on(here: Here) {
    let ran = Rc::new(Cell::new(false));
    let flag = Rc::clone(&ran);
    drop(here.reactor.spawn(async move { flag.set(true) }));
    here.reactor.yield_now().await;
    assert!(ran.get());
}

async fn a_detached_task_runs(here: Here) {
    let ran = Rc::new(Cell::new(false));
    let flag = Rc::clone(&ran);
    here.reactor.spawn_detached(async move { flag.set(true) });
    here.reactor.yield_now().await;
    assert!(ran.get());
}

async fn a_waker_outlives_its_task_and_wakes_no_other(here: Here) {
    let (wakers, polls) = (Rc::<RefCell<Vec<Waker>>>::default(), Rc::new(Cell::new(0)));
    for _ in 0..2 {
        let wakers = Rc::clone(&wakers);
        here.reactor.spawn_detached(poll_fn(move |context| {
            wakers.borrow_mut().push(context.waker().clone());
            Poll::Ready(())
        }));
    }
    here.reactor.yield_now().await;
    // The first one stays in somebody's hands; the second one may serve again.
    wakers.borrow_mut().pop();
    for _ in 0..2 {
        let polls = Rc::clone(&polls);
        here.reactor.spawn_detached(poll_fn(move |_| {
            polls.set(polls.get() + 1);
            Poll::Pending
        }));
    }
    here.reactor.yield_now().await;
    assert_eq!(polls.get(), 2);
    wakers.borrow().iter().for_each(Waker::wake_by_ref);
    here.reactor.yield_now().await;
    assert_eq!(polls.get(), 2);
}

async fn a_canceled_task_drops_what_it_holds(here: Here) {
    let held = Rc::new(());
    let inside = Rc::clone(&held);
    let task = here.reactor.spawn(async move {
        pending::<()>().await;
        drop(inside);
    });
    here.reactor.yield_now().await;
    assert_eq!(Rc::strong_count(&held), 2);
    task.cancel();
    assert_eq!(Rc::strong_count(&held), 1);
}

async fn a_task_may_cancel_itself(here: Here) {
    let slot: Rc<RefCell<Option<ringlog_reactor::Task<()>>>> = Rc::default();
    let held = Rc::new(());
    let (own, inside) = (Rc::clone(&slot), Rc::clone(&held));
    *slot.borrow_mut() = Some(here.reactor.spawn(async move {
        own.borrow_mut().take().expect("it was put there").cancel();
        pending::<()>().await;
        drop(inside);
    }));
    here.reactor.yield_now().await;
    assert_eq!(Rc::strong_count(&held), 1);
}

async fn timers_fire_in_the_order_of_their_deadlines(here: Here) {
    let order = Rc::new(RefCell::new(Vec::new()));
    let start = here.reactor.now();
    let tasks: Vec<_> = [30u64, 10, 20, 10, 0]
        .into_iter()
        .enumerate()
        .map(|(at, millis)| {
            let (reactor, order) = (here.reactor.clone(), Rc::clone(&order));
            here.reactor.spawn(async move {
                let deadline = start + Duration::from_millis(millis);
                reactor.sleep_until(deadline).await;
                assert!(reactor.now() >= deadline);
                order.borrow_mut().push(at);
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    assert_eq!(*order.borrow(), [4, 1, 3, 2, 0]);
}

async fn a_deadline_in_the_past_does_not_wait(here: Here) {
    let now = here.reactor.now();
    here.reactor.sleep_until(ringlog_reactor::Instant::from_nanos(0)).await;
    here.reactor.sleep(Duration::ZERO).await;
    assert!(here.reactor.now().since(now) < Duration::from_secs(1));
}

async fn a_timeout_drops_what_takes_too_long(here: Here) {
    let reactor = &here.reactor;
    assert_eq!(reactor.timeout(async { 3 }, Duration::ZERO).await, Ok(3), "what is ready is taken");
    assert_eq!(reactor.timeout(pending::<()>(), Duration::from_millis(2)).await, Err(Elapsed));
    let slow = async {
        reactor.sleep(Duration::from_millis(1)).await;
        4
    };
    assert_eq!(reactor.timeout(slow, Duration::from_mins(1)).await, Ok(4));
}

async fn ready_tasks_take_turns(here: Here) {
    let seen: Rc<RefCell<Vec<u8>>> = Rc::default();
    let tasks: Vec<_> = [b'a', b'b']
        .into_iter()
        .map(|name| {
            let (reactor, seen) = (here.reactor.clone(), Rc::clone(&seen));
            here.reactor.spawn(async move {
                for _ in 0..3 {
                    seen.borrow_mut().push(name);
                    reactor.yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    assert_eq!(*seen.borrow(), *b"ababab");
}

async fn time_goes_on_and_numbers_are_random(here: Here) {
    let (then, wall) = (here.reactor.now(), here.reactor.wall_clock_ms());
    here.reactor.sleep(Duration::from_millis(5)).await;
    assert!(here.reactor.now().since(then) >= Duration::from_millis(5));
    assert!(here.reactor.wall_clock_ms() >= wall + 4);
    let numbers: BTreeSet<u64> = (0..1000).map(|_| here.reactor.random_u64()).collect();
    assert_eq!(numbers.len(), 1000);
}

/// Threads belong to real processes: the simulator has none.
async fn a_waker_works_from_another_thread(here: Here) {
    for _ in 0..100 {
        let mut woken = None;
        poll_fn(|context| {
            let (_, receiver) = woken.get_or_insert_with(|| {
                let waker = context.waker().clone();
                let (sender, receiver) = std::sync::mpsc::channel();
                let thread = std::thread::spawn(move || {
                    sender.send(()).expect("the task waits");
                    waker.wake_by_ref();
                    drop(waker);
                });
                (thread, receiver)
            });
            if receiver.try_recv().is_ok() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let (thread, _) = woken.expect("it was started");
        thread.join().expect("it only wakes");
    }
    assert_ne!(here.backend, Backend::Sim);
}

#[test]
fn a_waker_works_from_another_thread_on_uring() {
    run(Backend::Uring, Setup::shards(1), a_waker_works_from_another_thread);
}

#[test]
fn a_waker_works_from_another_thread_on_posix() {
    run(Backend::Posix, Setup::shards(1), a_waker_works_from_another_thread);
}

#[test]
fn a_waker_may_outlive_its_reactor() {
    let wakers = run(Backend::Uring, Setup::shards(1), |_: Here| {
        let mut waker = None;
        poll_fn(move |context| Poll::Ready(waker.get_or_insert_with(|| context.waker().clone()).clone()))
    });
    for waker in wakers {
        waker.wake_by_ref();
        waker.wake();
    }
}

/// Keeps `Future` in scope for the signature of `pending`.
const _: fn() -> usize = size_of::<Box<dyn Future<Output = ()>>>;

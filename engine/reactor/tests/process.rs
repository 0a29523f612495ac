//! What only a real process has: signals, cores, and a kernel that refuses.

use std::sync::mpsc;
use std::time::Duration;

use ringlog_reactor::{BackendChoice, BackendKind, LaunchError, Limits, Mesh, Reactor, ShardSpec, Signal, launch};

fn raise(signal: libc::c_int) {
    // SAFETY: a signal to this process, which catches it.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
}

/// One test: signals are the whole process's.
#[test]
fn signals_come_to_the_shard_that_waits() {
    for choice in [BackendChoice::Uring, BackendChoice::Posix] {
        let (ready, is_ready) = mpsc::channel();
        let shards =
            launch(&[ShardSpec::default(); 2], choice, Limits::default(), move |reactor: Reactor, mesh: Mesh<()>| {
                let ready = ready.clone();
                async move {
                    if mesh.index() > 0 {
                        mesh.recv().await;
                        return Vec::new();
                    }
                    let mut signals = Vec::new();
                    // A wait that was given up does not take what comes later.
                    reactor.timeout(reactor.signal(), Duration::from_millis(1)).await.expect_err("nothing was sent");
                    for _ in 0..2 {
                        ready.send(()).expect("the test listens");
                        signals.push(reactor.signal().await.expect("the pipe is open"));
                    }
                    mesh.send(1, ()).await;
                    signals
                }
            })
            .expect("the backend runs on this machine");
        for signal in [libc::SIGTERM, libc::SIGINT] {
            is_ready.recv().expect("the shard waits");
            raise(signal);
        }
        let signals = shards.join().expect("no shard panics");
        assert_eq!(signals[0], [Signal::Terminate, Signal::Interrupt]);
    }
}

#[test]
fn shards_run_on_their_cores() {
    let core = core_affinity::get_core_ids().expect("the kernel tells")[0].id;
    let specs = [ShardSpec { core: Some(core) }, ShardSpec { core: Some(100_000) }, ShardSpec { core: None }];
    let shards = launch(&specs, BackendChoice::Posix, Limits::default(), |_, _: Mesh<()>| async {
        core_affinity::get_core_ids().map(|ids| ids.into_iter().map(|id| id.id).collect::<Vec<_>>())
    })
    .expect("posix runs everywhere");
    let [warning] = shards.warnings() else { panic!("one core is not there: {:?}", shards.warnings()) };
    assert_eq!(warning, "shard 1 runs unpinned: core 100000 is not available to this process");
    let cores = shards.join().expect("no shard panics");
    assert_eq!(cores[0], Some(vec![core]));
}

/// How often the kernel has put a thread of this process to sleep because it asked to wait.
fn waits(thread: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("proc is mounted");
    let status = tasks
        .map(|task| std::fs::read_to_string(task.expect("proc lists").path().join("status")).unwrap_or_default())
        .find(|status| status.starts_with(&format!("Name:\t{thread}\n")))
        .expect("the thread is there");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("it is counted");
    line.trim().parse().expect("a number")
}

/// One test: the threads of both backends have the same names.
#[test]
fn an_idle_shard_sleeps_until_its_timer() {
    for choice in [BackendChoice::Uring, BackendChoice::Posix] {
        let shards = launch(
            &[ShardSpec::default(); 12],
            choice,
            Limits { receive_buffers: 16, ..Limits::default() },
            |reactor: Reactor, mesh: Mesh<()>| async move {
                let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
                let listener =
                    reactor.listen(address, ringlog_reactor::ListenOptions::default()).await.expect("a port");
                let waiting = reactor.spawn(async move { listener.accept().await.map(drop) });
                if mesh.index() == 0 {
                    // Tests beside this one have few shards, so the last one is this test's.
                    reactor.sleep(Duration::from_millis(200)).await;
                    let before = waits("shard-11");
                    reactor.sleep(Duration::from_millis(300)).await;
                    let after = waits("shard-11");
                    mesh.send(11, ()).await;
                    assert!(after - before <= 1, "an idle shard was woken {} times", after - before);
                } else if mesh.index() == 11 {
                    mesh.recv().await;
                }
                waiting.cancel();
            },
        )
        .expect("the backend runs on this machine");
        shards.join().expect("no shard panics");
    }
}

#[test]
fn no_shard_is_an_error() {
    let none = launch(&[], BackendChoice::Auto, Limits::default(), |_, _: Mesh<()>| async {});
    assert!(matches!(none, Err(LaunchError::NoShard)));
}

#[test]
fn a_panic_of_a_shard_comes_out_of_join() {
    let shards = launch(&[ShardSpec::default()], BackendChoice::Auto, Limits::default(), |_, _: Mesh<()>| async {
        panic!("a broken invariant");
    })
    .expect("some backend runs");
    let panic = shards.join().map(|_: Vec<()>| ()).expect_err("the shard panicked");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a broken invariant"));
}

/// Makes `io_uring_setup` fail with `EPERM` for this thread and those that it starts, as containers do.
fn forbid_io_uring() {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let setup = u32::try_from(libc::SYS_io_uring_setup).expect("numbers of system calls are small");
    let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).expect("error numbers are small");
    let mut filter = [
        libc::sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k: setup },
        libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: refuse },
        libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program has four instructions and outlives the calls, which change this thread only.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

#[test]
fn posix_takes_over_where_io_uring_is_forbidden() {
    std::thread::spawn(|| {
        forbid_io_uring();
        let main = |reactor: Reactor, _: Mesh<()>| async move { reactor.sleep(Duration::from_millis(1)).await };
        let shards = launch(&[ShardSpec::default(); 2], BackendChoice::Auto, Limits::default(), main)
            .expect("posix runs everywhere");
        assert_eq!(shards.backend(), BackendKind::Posix);
        let [warning] = shards.warnings() else { panic!("one warning: {:?}", shards.warnings()) };
        assert!(warning.starts_with("io_uring is refused (Operation not permitted"), "{warning}");
        assert!(warning.contains("more CPU per request"), "{warning}");
        assert!(!warning.contains('\n'), "one line");
        shards.join().expect("no shard panics");
        let forced = launch(&[ShardSpec::default()], BackendChoice::Uring, Limits::default(), main);
        let error = forced.expect_err("it is forbidden").to_string();
        assert!(error.starts_with("the uring backend cannot be set up: Operation not permitted"), "{error}");
    })
    .join()
    .expect("the thread of the filter ends");
}

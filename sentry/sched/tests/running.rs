//! Application code: time slices, kicks, moves between executors, stops.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use common::{Kicks, Latch, sched, start, until};
use sched::{Boundary, Fiber, Leave, Wait, WaitQueue, Wake, wait_until};

/// Runs "application code" until `done`; returns to the boundary whenever it is asked to.
fn compute(fiber: &Fiber<'_>, kicks: &Kicks, done: impl Fn() -> bool) -> Leave {
    loop {
        if done() {
            return Leave::Exit;
        }
        if fiber.boundary() == Boundary::Leave {
            return Leave::Requeue;
        }
        fiber.enter_user(|| kicks.user(fiber.executor(), &done));
    }
}

#[test]
fn two_that_compute_share_one_executor() {
    let (sched, kicks) = sched(1);
    let turns = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let last = Arc::new(AtomicUsize::new(2));
    let changes = Arc::new(AtomicUsize::new(0));
    for me in 0..2 {
        let (kicks, turns, last) = (Arc::clone(&kicks), Arc::clone(&turns), Arc::clone(&last));
        let changes = Arc::clone(&changes);
        start(&sched, move |fiber| {
            compute(fiber, &kicks, || {
                turns[me].fetch_add(1, SeqCst);
                if last.swap(me, SeqCst) != me {
                    changes.fetch_add(1, SeqCst);
                }
                changes.load(SeqCst) > 10
            })
        });
    }
    until("ten changes", || changes.load(SeqCst) > 10);
    assert!(turns.iter().all(|turn| turn.load(SeqCst) > 0));
}

#[test]
fn one_that_computes_alone_is_not_kicked() {
    let (sched, kicks) = sched(2);
    let start_ns = sched.now_ns();
    let latch = Latch::new(1);
    let (user, done) = (Arc::clone(&kicks), latch.clone());
    let entity = start(&sched, move |fiber| {
        let now = || fiber.sched().now_ns();
        let leave = compute(fiber, &user, || now() > start_ns + 30_000_000);
        done.done();
        leave
    });
    latch.wait();
    assert_eq!(kicks.sent.load(SeqCst), 0);
    assert!(entity.user_ns() > 10_000_000, "{}", entity.user_ns());
    assert!(entity.user_ns() < sched.now_ns() - start_ns);
}

#[test]
fn wakes_sent_to_a_lone_computing_entity_kick_it_once() {
    let (sched, kicks) = sched(1);
    let latch = Latch::new(2);
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let done = latch.clone();
            start(&sched, move |fiber| {
                assert_eq!(fiber.block(Wait::default()), Wake::Woken);
                done.done();
                Leave::Exit
            })
        })
        .collect();
    until("both wait", || waiters.iter().all(|waiter| waiter.is_blocked()));
    let (inside, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (entered, go) = (Arc::clone(&inside), Arc::clone(&release));
    start(&sched, move |fiber| {
        if go.load(SeqCst) {
            return Leave::Exit;
        }
        // It does not look at kicks, so that all that are sent count for one stay.
        let stay = fiber.enter_user(|| {
            entered.store(true, SeqCst);
            until("release", || go.load(SeqCst));
        });
        assert_eq!(stay, Some(()));
        Leave::Requeue
    });
    until("application code", || inside.load(SeqCst));
    waiters[0].wake();
    assert_eq!(kicks.sent.load(SeqCst), 1);
    waiters[1].wake();
    waiters[1].wake();
    assert_eq!(kicks.sent.load(SeqCst), 1);
    release.store(true, SeqCst);
    latch.wait();
}

#[test]
fn an_interrupt_brings_it_out_of_application_code() {
    let (sched, kicks) = sched(1);
    let latch = Latch::new(1);
    let (done, inside) = (latch.clone(), Arc::new(AtomicBool::new(false)));
    let entered = Arc::clone(&inside);
    let entity = start(&sched, move |fiber| {
        let stay = fiber.enter_user(|| {
            kicks.user(fiber.executor(), || {
                entered.store(true, SeqCst);
                false
            })
        });
        assert_eq!(stay, Some(false));
        assert_eq!(fiber.enter_user(|| ()), None, "an interrupt is pending");
        fiber.entity().clear_interrupt();
        assert_eq!(fiber.enter_user(|| ()), Some(()));
        done.done();
        Leave::Exit
    });
    until("application code", || inside.load(SeqCst));
    entity.interrupt();
    latch.wait();
}

#[test]
fn an_idle_executor_takes_work_over() {
    let (sched, kicks) = sched(2);
    let release = Arc::new(AtomicBool::new(false));
    let places = Arc::new([AtomicUsize::new(9), AtomicUsize::new(9)]);
    // Both are started by a fiber of one executor while the other one sleeps or does not.
    let (sched2, places2, release2) =
        (Arc::clone(&sched), Arc::clone(&places), Arc::clone(&release));
    start(&sched, move |_| {
        for me in 0..2 {
            let (kicks, places) = (Arc::clone(&kicks), Arc::clone(&places2));
            let release = Arc::clone(&release2);
            start(&sched2, move |fiber| {
                compute(fiber, &kicks, || {
                    places[me].store(fiber.executor(), SeqCst);
                    release.load(SeqCst)
                })
            });
        }
        Leave::Exit
    });
    until("one on each", || {
        let places = [places[0].load(SeqCst), places[1].load(SeqCst)];
        places == [0, 1] || places == [1, 0]
    });
    release.store(true, SeqCst);
}

#[test]
fn a_stop_brings_all_to_rest_and_they_go_on_afterwards() {
    let (sched, kicks) = sched(2);
    let (queue, release) = (Arc::new(WaitQueue::new()), Arc::new(AtomicBool::new(false)));
    let (progress, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let latch = Latch::new(9);
    let finish = |latch: Latch, leave: Leave| {
        if leave == Leave::Exit {
            latch.done();
        }
        leave
    };
    for _ in 0..3 {
        let (kicks, progress, release, latch) =
            (Arc::clone(&kicks), Arc::clone(&progress), Arc::clone(&release), latch.clone());
        start(&sched, move |fiber| {
            let leave = compute(fiber, &kicks, || {
                progress.fetch_add(1, SeqCst);
                release.load(SeqCst)
            });
            finish(latch.clone(), leave)
        });
    }
    let waiters: Vec<_> = (0..6)
        .map(|number| {
            let (queue, release, latch) = (Arc::clone(&queue), Arc::clone(&release), latch.clone());
            let stopped = Arc::clone(&stopped);
            start(&sched, move |fiber| {
                let open = || release.load(SeqCst).then_some(());
                let ended = if number % 2 == 0 {
                    wait_until(fiber, &[&queue], 1, None, open).err()
                } else {
                    (open().is_none()).then(|| fiber.block(Wait::default()))
                };
                match ended {
                    Some(Wake::Stopping) => {
                        stopped.fetch_add(1, SeqCst);
                        Leave::Requeue
                    }
                    Some(Wake::Woken) => Leave::Requeue,
                    _ => finish(latch.clone(), Leave::Exit),
                }
            })
        })
        .collect();
    for round in 1..=20 {
        until("all wait", || waiters.iter().all(|waiter| waiter.is_blocked()));
        let before = progress.load(SeqCst);
        until("progress", || progress.load(SeqCst) > before);
        let guard = sched.stop();
        assert_eq!(stopped.load(SeqCst), 6 * round);
        let at_rest = progress.load(SeqCst);
        for _ in 0..1000 {
            std::thread::yield_now();
        }
        assert_eq!(progress.load(SeqCst), at_rest);
        drop(guard);
    }
    release.store(true, SeqCst);
    queue.notify(1);
    for waiter in waiters {
        waiter.wake();
    }
    latch.wait();
}

#[test]
fn what_is_started_during_a_stop_runs_afterwards() {
    let (sched, _) = sched(1);
    let latch = Latch::new(1);
    let (done, ran) = (latch.clone(), Arc::new(AtomicBool::new(false)));
    let guard = sched.stop();
    let second = sched.stop();
    let started = Arc::clone(&ran);
    start(&sched, move |_| {
        started.store(true, SeqCst);
        done.done();
        Leave::Exit
    });
    drop(guard);
    for _ in 0..1000 {
        std::thread::yield_now();
    }
    assert!(!ran.load(SeqCst));
    drop(second);
    latch.wait();
}

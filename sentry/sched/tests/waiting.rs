//! Waiting and being woken, timed out and interrupted.

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use common::{Latch, sched, spawn, start, until};
use sched::{Boundary, Fiber, Leave, Wait, WaitQueue, Wake, wait_until};

const INTERRUPTIBLE: Wait = Wait { deadline_ns: None, interruptible: true };
const UNINTERRUPTIBLE: Wait = Wait { deadline_ns: None, interruptible: false };

#[derive(Default)]
struct Table {
    /// Whose turn it is: player number modulo 2.
    turn: AtomicUsize,
    queues: [WaitQueue; 2],
    /// Rounds that both players began on one executor.
    together: AtomicUsize,
    places: [AtomicUsize; 2],
}

/// Plays one turn; leaves to the boundary between turns.
fn play(fiber: &Fiber<'_>, table: &Table, me: usize, rounds: usize) -> Leave {
    loop {
        let turn = wait_until(fiber, &[&table.queues[me]], 1, None, || {
            let turn = table.turn.load(SeqCst);
            (turn % 2 == me).then_some(turn)
        });
        table.places[me].store(fiber.executor(), SeqCst);
        if table.places[1 - me].load(SeqCst) == fiber.executor() {
            table.together.fetch_add(1, SeqCst);
        }
        table.turn.fetch_add(1, SeqCst);
        table.queues[1 - me].notify(1);
        if turn.is_ok_and(|turn| turn + 2 > rounds) {
            return Leave::Exit;
        }
        if fiber.boundary() == Boundary::Leave {
            return Leave::Requeue;
        }
    }
}

fn ping_pong(executors: usize, rounds: usize) -> Arc<Table> {
    let (sched, _) = sched(executors);
    let table = Arc::new(Table::default());
    let latch = Latch::new(2);
    for me in 0..2 {
        let (table, latch) = (Arc::clone(&table), latch.clone());
        start(&sched, move |fiber| {
            let leave = play(fiber, &table, me, rounds);
            if leave == Leave::Exit {
                latch.done();
            }
            leave
        });
    }
    latch.wait();
    assert!(table.turn.load(SeqCst) > rounds);
    assert!(table.queues.iter().all(WaitQueue::is_empty));
    table
}

#[test]
fn two_entities_take_turns_on_one_executor() {
    let table = ping_pong(1, 20_000);
    assert!(table.together.load(SeqCst) > 0);
}

#[test]
fn two_entities_on_two_executors_find_together() {
    let table = ping_pong(2, 20_000);
    assert!(table.together.load(SeqCst) > 0, "never on one executor");
}

#[test]
fn a_wake_before_the_wait_is_kept() {
    let (sched, _) = sched(1);
    let latch = Latch::new(1);
    let done = latch.clone();
    start(&sched, move |fiber| {
        fiber.entity().wake();
        assert_eq!(fiber.block(INTERRUPTIBLE), Wake::Woken);
        done.done();
        Leave::Exit
    });
    latch.wait();
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    let (sched, _) = sched(1);
    let latch = Latch::new(20);
    for number in 1..=20_u64 {
        let done = latch.clone();
        start(&sched, move |fiber| {
            let deadline = fiber.sched().now_ns() + number * 500_000;
            let wait = Wait { deadline_ns: Some(deadline), interruptible: number % 2 == 0 };
            assert_eq!(fiber.block(wait), Wake::TimedOut);
            assert!(fiber.sched().now_ns() >= deadline);
            assert_eq!(fiber.block(wait), Wake::TimedOut, "a deadline in the past");
            done.done();
            Leave::Exit
        });
    }
    latch.wait();
}

#[test]
fn an_interrupt_ends_interruptible_waits_only() {
    let (sched, _) = sched(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let latch = Latch::new(1);
    let (log, done) = (Arc::clone(&seen), latch.clone());
    let entity = start(&sched, move |fiber| {
        let wait = |wait| {
            let wake = fiber.block(wait);
            log.lock().unwrap().push(wake);
        };
        wait(INTERRUPTIBLE);
        assert!(fiber.entity().interrupt_pending());
        wait(UNINTERRUPTIBLE);
        fiber.entity().clear_interrupt();
        wait(UNINTERRUPTIBLE);
        done.done();
        Leave::Exit
    });
    let step = |count: usize| {
        until("a step", || seen.lock().unwrap().len() == count && entity.is_blocked());
    };
    step(0);
    entity.interrupt();
    step(1);
    entity.wake();
    step(2);
    entity.interrupt();
    entity.kill();
    latch.wait();
    assert_eq!(*seen.lock().unwrap(), [Wake::Interrupted, Wake::Woken, Wake::Interrupted]);
}

#[test]
fn wait_until_leaves_no_listener_behind() {
    let (sched, _) = sched(1);
    let queues = Arc::new([WaitQueue::new(), WaitQueue::new()]);
    let (latch, first) = (Latch::new(1), Latch::new(1));
    let (shared, done, timed_out) = (Arc::clone(&queues), latch.clone(), first.clone());
    let entity = start(&sched, move |fiber| {
        let both = [&shared[0], &shared[1]];
        let deadline = fiber.sched().now_ns() + 1_000_000;
        let result = wait_until(fiber, &both, 1, Some(deadline), || None::<()>);
        assert_eq!(result, Err(Wake::TimedOut));
        timed_out.done();
        let result = wait_until(fiber, &both, 1, None, || None::<()>);
        assert_eq!(result, Err(Wake::Interrupted));
        done.done();
        Leave::Exit
    });
    first.wait();
    until("the second wait", || entity.is_blocked());
    entity.interrupt();
    latch.wait();
    assert!(queues.iter().all(WaitQueue::is_empty));
}

#[test]
fn notify_one_wakes_as_many_as_there_is_work() {
    let (sched, _) = sched(2);
    let (queue, work) = (Arc::new(WaitQueue::new()), Arc::new(AtomicUsize::new(0)));
    let latch = Latch::new(8);
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            let (queue, work, done) = (Arc::clone(&queue), Arc::clone(&work), latch.clone());
            start(&sched, move |fiber| {
                let take = || work.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).ok();
                assert!(wait_until(fiber, &[&queue], 1, None, take).is_ok());
                done.done();
                Leave::Exit
            })
        })
        .collect();
    until("all wait", || waiters.iter().all(|waiter| waiter.is_blocked()));
    for _ in 0..8 {
        work.fetch_add(1, SeqCst);
        queue.notify_one(1);
    }
    latch.wait();
    assert_eq!(work.load(SeqCst), 0);
}

#[test]
fn a_job_runs_on_a_worker_and_its_result_comes_back() {
    let (sched, _) = sched(1);
    let latch = Latch::new(1);
    let done = latch.clone();
    start(&sched, move |fiber| {
        fiber.entity().interrupt();
        let name = fiber.offload(|| std::thread::current().name().map(str::to_owned));
        assert!(name.unwrap().starts_with("worker-"));
        done.done();
        Leave::Exit
    });
    latch.wait();
}

#[test]
#[cfg(debug_assertions)]
fn a_wait_with_a_lock_held_panics_and_names_the_spot() {
    let (sched, _) = sched(1);
    let message = Arc::new(Mutex::new(String::new()));
    let latch = Latch::new(1);
    let (text, done) = (Arc::clone(&message), latch.clone());
    start(&sched, move |fiber| {
        let lock = sched::Mutex::new(());
        let guard = lock.lock();
        let panic = catch_unwind(AssertUnwindSafe(|| fiber.block(INTERRUPTIBLE))).unwrap_err();
        drop(guard);
        *text.lock().unwrap() = panic.downcast_ref::<String>().unwrap().clone();
        done.done();
        Leave::Exit
    });
    latch.wait();
    assert_eq!(*message.lock().unwrap(), "1 Sentry lock(s) held at a wait");
}

#[test]
fn a_panic_in_a_fiber_ends_the_process_with_its_message() {
    const CHILD: &str = "SCHED_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        let (sched, _) = sched(1);
        let latch = Latch::new(1);
        start(&sched, |_| unreachable!("the message"));
        latch.wait();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_in_a_fiber_ends_the_process_with_its_message", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("the message") && text.contains("executor-0"), "{text}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6));
}

#[test]
fn an_entity_that_is_discarded_lets_go_of_its_body() {
    let (sched, _) = sched(1);
    let held = Arc::new(());
    let copy = Arc::clone(&held);
    let entity = spawn(&sched, move |_| {
        let _ = &copy;
        Leave::Exit
    });
    sched.discard(&entity);
    assert_eq!(Arc::strong_count(&held), 1);
    sched.start(&entity);
    assert!(entity.has_ended());
}

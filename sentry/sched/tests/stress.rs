//! Everything at once: if a wake, an interrupt or a deadline gets lost, this hangs.

mod common;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use common::{Dice, Kicks, Latch, sched, start};
use sched::{Boundary, Entity, Fiber, Leave, Wait, WaitQueue, Wake, wait_until};

const PAIRS: usize = 8;

/// A box for one value between two partners.
#[derive(Default)]
struct Exchange {
    value: AtomicUsize,
    queue: WaitQueue,
}

struct Player {
    me: usize,
    rounds: usize,
    exchange: Arc<Exchange>,
    kicks: Arc<Kicks>,
    dice: Mutex<Dice>,
}

impl Player {
    fn roll(&self, limit: u64) -> u64 {
        self.dice.lock().expect("dice").below(limit)
    }

    /// Waits for its turn in one of several ways, some of them ended by others.
    fn turn(&self, fiber: &Fiber<'_>) -> Option<usize> {
        let exchange = &self.exchange;
        let mine = || {
            let value = exchange.value.load(SeqCst);
            (value % 2 == self.me).then_some(value)
        };
        let deadline = match self.roll(3) {
            0 => Some(fiber.sched().now_ns() + self.roll(50_000)),
            _ => None,
        };
        match wait_until(fiber, &[&exchange.queue], 1 << self.me, deadline, mine) {
            Ok(value) => return Some(value),
            Err(Wake::Interrupted) => fiber.entity().clear_interrupt(),
            Err(_) => {}
        }
        None
    }

    fn run(&self, fiber: &Fiber<'_>) -> Leave {
        loop {
            if fiber.boundary() == Boundary::Leave || self.roll(61) == 0 {
                return Leave::Requeue;
            }
            match self.roll(8) {
                0 => fiber.yield_now(),
                1 => {
                    let until = fiber.sched().now_ns() + self.roll(20_000);
                    let now = || fiber.sched().now_ns();
                    fiber.enter_user(|| self.kicks.user(fiber.executor(), || now() > until));
                    fiber.entity().clear_interrupt();
                }
                2 => {
                    let deadline_ns = Some(fiber.sched().now_ns() + self.roll(30_000));
                    let _ = fiber.block(Wait { deadline_ns, interruptible: false });
                }
                _ => {}
            }
            if let Some(value) = self.turn(fiber) {
                self.exchange.value.store(value + 1, SeqCst);
                self.exchange.queue.notify(1 << (1 - self.me));
                if value + 2 > self.rounds {
                    return Leave::Exit;
                }
            }
        }
    }
}

fn play(executors: usize, rounds: usize, seed: u64) {
    let (sched, kicks) = sched(executors);
    let latch = Latch::new(2 * PAIRS);
    let over = Arc::new(AtomicBool::new(false));
    let mut entities: Vec<Arc<Entity>> = Vec::new();
    for pair in 0..PAIRS {
        let exchange = Arc::new(Exchange::default());
        for me in 0..2 {
            let dice = Mutex::new(Dice(seed + (2 * pair + me) as u64));
            let player =
                Player { me, rounds, exchange: exchange.clone(), kicks: kicks.clone(), dice };
            let latch = latch.clone();
            entities.push(start(&sched, move |fiber| {
                let leave = player.run(fiber);
                if leave == Leave::Exit {
                    latch.done();
                }
                leave
            }));
        }
    }
    let trouble = std::thread::spawn({
        let (sched, over) = (Arc::clone(&sched), Arc::clone(&over));
        move || {
            let mut dice = Dice(seed);
            while !over.load(SeqCst) {
                let entity =
                    &entities[usize::try_from(dice.below(2 * PAIRS as u64)).expect("small")];
                match dice.below(100) {
                    0 => drop(sched.stop()),
                    1..40 => entity.wake(),
                    _ => entity.interrupt(),
                }
                std::thread::yield_now();
            }
        }
    });
    latch.wait();
    over.store(true, SeqCst);
    trouble.join().expect("the troublemaker");
}

#[test]
fn nothing_is_lost_on_one_executor() {
    play(1, 1500, 1);
}

#[test]
fn nothing_is_lost_on_two_executors() {
    play(2, 1500, 2);
}

#[test]
fn nothing_is_lost_on_four_executors() {
    play(4, 1500, 3);
}

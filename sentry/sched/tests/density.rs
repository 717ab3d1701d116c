//! What a blocked entity costs. Alone in its file, as it measures the process.

mod common;

use common::{Latch, sched, start, until};
use sched::{Leave, Wait, Wake};

const COUNT: usize = 5_000;
const MOST_BYTES_EACH: usize = 16 * 1024;

/// Resident anonymous memory of this process (`RssAnon` in `proc_pid_status(5)`).
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    let number = line.split_whitespace().nth(1).and_then(|number| number.parse::<usize>().ok());
    number.expect("a number of KiB") * 1024
}

#[test]
fn five_thousand_blocked_entities_take_little_memory() {
    let (sched, _) = sched(2);
    let latch = Latch::new(COUNT);
    let before = resident_bytes();
    let entities: Vec<_> = (0..COUNT)
        .map(|_| {
            let latch = latch.clone();
            start(&sched, move |fiber| {
                assert_eq!(fiber.block(Wait::default()), Wake::Woken);
                latch.done();
                Leave::Exit
            })
        })
        .collect();
    until("all wait", || entities.iter().all(|entity| entity.is_blocked()));
    let each = (resident_bytes() - before) / COUNT;
    println!("{each} bytes each");
    assert!(each <= MOST_BYTES_EACH, "{each} bytes each");
    for entity in &entities {
        entity.wake();
    }
    latch.wait();
}

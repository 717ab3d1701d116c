//! How epoll tells of events.

use std::sync::Arc;

use abi::{
    Errno,
    fs::{
        open::O_NONBLOCK,
        poll::{POLLHUP, POLLIN, POLLOUT},
    },
};
use auth::Credentials;
use vfs::{Ctx, OpenFile};

use super::{EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, Epoll, Interest};
use crate::{
    anon::eventfd,
    testing::{World, open, pipe, put, read, run, write},
};

const ONE: [u8; 8] = 1_u64.to_ne_bytes();

fn counter(world: &World) -> Arc<OpenFile> {
    let file = eventfd(&world.shared, 0, O_NONBLOCK).unwrap();
    file.add_user();
    file
}

fn epoll(world: &World) -> Arc<OpenFile> {
    let file = Epoll::create(&world.shared, 0).unwrap();
    file.add_user();
    file
}

fn of(file: &OpenFile) -> &Epoll {
    file.downcast().unwrap()
}

fn interest(events: u32, data: u64) -> Interest {
    Interest { events, data }
}

fn now(cx: &Ctx<'_>, file: &OpenFile) -> Vec<(u32, u64)> {
    of(file).wait(cx, 16, Some(0)).unwrap()
}

#[test]
fn a_level_is_told_again_and_a_change_once() {
    run(|cx, world| {
        let (file, set) = (counter(world), epoll(world));
        of(&set).add(5, &file, interest(POLLIN, 7)).unwrap();
        assert!(now(cx, &set).is_empty());
        write(cx, &file, &ONE).unwrap();
        assert_eq!(now(cx, &set), [(POLLIN, 7)]);
        assert_eq!(now(cx, &set), [(POLLIN, 7)]);
        read(cx, &file, 8).unwrap();
        assert!(now(cx, &set).is_empty());
        of(&set).modify(5, &file, interest(POLLIN | EPOLLET, 8)).unwrap();
        write(cx, &file, &ONE).unwrap();
        assert_eq!(now(cx, &set), [(POLLIN, 8)]);
        assert!(now(cx, &set).is_empty());
        write(cx, &file, &ONE).unwrap();
        assert_eq!(now(cx, &set), [(POLLIN, 8)]);
    });
}

#[test]
fn a_one_shot_waits_for_a_new_interest() {
    run(|cx, world| {
        let (file, set) = (counter(world), epoll(world));
        of(&set).add(5, &file, interest(POLLOUT | EPOLLONESHOT, 1)).unwrap();
        assert_eq!(now(cx, &set), [(POLLOUT, 1)]);
        write(cx, &file, &ONE).unwrap();
        assert!(now(cx, &set).is_empty());
        of(&set).modify(5, &file, interest(POLLIN | POLLOUT, 2)).unwrap();
        assert_eq!(now(cx, &set), [(POLLIN | POLLOUT, 2)]);
    });
}

#[test]
fn each_ready_file_has_its_turn() {
    run(|cx, world| {
        let set = epoll(world);
        let files: Vec<_> = (0..5).map(|_| counter(world)).collect();
        for (n, file) in (0..).zip(&files) {
            of(&set).add(n, file, interest(POLLOUT, u64::try_from(n).unwrap())).unwrap();
        }
        let mut told: Vec<u64> = Vec::new();
        for _ in 0..5 {
            let pair = of(&set).wait(cx, 2, Some(0)).unwrap();
            told.extend(pair.iter().map(|(_, data)| data));
        }
        assert_eq!(told, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_closed_file_is_watched_no_longer_but_a_duplicate_keeps_it() {
    run(|cx, world| {
        let set = epoll(world);
        let before = world.shared.charge().usage().kernel;
        let file = counter(world);
        file.add_user();
        of(&set).add(5, &file, interest(POLLOUT, 1)).unwrap();
        assert_eq!(of(&set).add(5, &file, interest(POLLOUT, 1)), Err(Errno::EEXIST));
        file.remove_user(cx);
        assert_eq!(now(cx, &set), [(POLLOUT, 1)]);
        file.remove_user(cx);
        assert!(now(cx, &set).is_empty());
        assert_eq!(of(&set).delete(5, &file), Err(Errno::ENOENT));
        for n in 0..1000 {
            let file = counter(world);
            of(&set).add(n, &file, interest(POLLIN, 0)).unwrap();
            file.remove_user(cx);
        }
        assert!(of(&set).items.lock().by_key.len() < 200, "closed ones are swept out");
        set.remove_user(cx);
        assert_eq!(world.shared.charge().usage().kernel, before);
    });
}

#[test]
fn what_is_deleted_is_silent_and_off_its_queue() {
    run(|cx, world| {
        let (file, set) = (counter(world), epoll(world));
        of(&set).add(5, &file, interest(POLLOUT, 1)).unwrap();
        assert_eq!(of(&set).delete(6, &file), Err(Errno::ENOENT));
        of(&set).delete(5, &file).unwrap();
        assert!(now(cx, &set).is_empty());
        assert!(file.file().wait_queue().unwrap().is_empty());
        put(cx, "/regular", b"");
        let regular = open(cx, "/regular", 0);
        assert_eq!(of(&set).add(5, &regular, interest(POLLIN, 0)), Err(Errno::EPERM));
        assert_eq!(of(&set).modify(5, &file, interest(POLLIN, 0)), Err(Errno::ENOENT));
    });
}

#[test]
fn hang_up_is_told_unasked() {
    run(|cx, world| {
        let set = epoll(world);
        let (reader, writer) = pipe(cx, world);
        of(&set).add(5, &reader, interest(0, 3)).unwrap();
        assert!(now(cx, &set).is_empty());
        writer.remove_user(cx);
        assert_eq!(now(cx, &set), [(POLLHUP, 3)]);
    });
}

#[test]
fn a_wait_ends_with_an_event_with_its_time_and_with_an_interrupt() {
    let world = World::new();
    world.run(|cx, world| {
        let (file, set) = (counter(world), epoll(world));
        of(&set).add(5, &file, interest(POLLIN, 1)).unwrap();
        let soon = host::clock::monotonic_ns() + 2_000_000;
        assert_eq!(of(&set).wait(cx, 1, Some(soon)), Ok(Vec::new()));
        assert!(host::clock::monotonic_ns() >= soon);
        let other = file.clone();
        let job = world.start(Credentials::root(), move |cx, _| {
            write(cx, &other, &ONE).unwrap();
        });
        assert_eq!(of(&set).wait(cx, 1, None), Ok(vec![(POLLIN, 1)]));
        drop(job);
        read(cx, &file, 8).unwrap();
        cx.fiber.entity().interrupt();
        assert_eq!(of(&set).wait(cx, 1, None), Err(Errno::EINTR));
    });
}

#[test]
fn events_rise_through_nested_sets_which_may_not_form_a_circle() {
    run(|cx, world| {
        let sets: Vec<_> = (0..6).map(|_| epoll(world)).collect();
        let file = counter(world);
        of(&sets[0]).add(9, &file, interest(POLLIN, 9)).unwrap();
        for n in 0..4 {
            of(&sets[n + 1]).add(3, &sets[n], interest(POLLIN, 3)).unwrap();
        }
        assert_eq!(of(&sets[5]).add(3, &sets[4], interest(POLLIN, 3)), Err(Errno::ELOOP));
        assert_eq!(of(&sets[0]).add(3, &sets[5], interest(POLLIN, 3)), Err(Errno::ELOOP));
        assert_eq!(of(&sets[0]).add(3, &sets[4], interest(POLLIN, 3)), Err(Errno::ELOOP));
        assert_eq!(of(&sets[0]).add(3, &sets[0], interest(POLLIN, 3)), Err(Errno::EINVAL));
        assert!(now(cx, &sets[4]).is_empty());
        write(cx, &file, &ONE).unwrap();
        assert_eq!(sets[4].file().poll() & POLLIN, POLLIN);
        assert_eq!(now(cx, &sets[4]), [(POLLIN, 3)]);
        read(cx, &file, 8).unwrap();
        assert!(now(cx, &sets[4]).is_empty());
        of(&sets[4]).delete(3, &sets[3]).unwrap();
        of(&sets[5]).add(3, &sets[4], interest(POLLIN, 3)).unwrap();
    });
}

#[test]
fn exclusive_watches_take_few_flags() {
    run(|_, world| {
        let (file, set, other) = (counter(world), epoll(world), epoll(world));
        let exclusive = interest(POLLIN | EPOLLEXCLUSIVE, 0);
        assert_eq!(of(&set).add(1, &other, exclusive), Err(Errno::EINVAL));
        let once = interest(POLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 0);
        assert_eq!(of(&set).add(1, &file, once), Err(Errno::EINVAL));
        of(&set).add(1, &file, exclusive).unwrap();
        assert_eq!(of(&set).modify(1, &file, interest(POLLIN, 0)), Err(Errno::EINVAL));
    });
}

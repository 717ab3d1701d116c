//! Pipes and FIFOs.

use std::sync::Arc;

use abi::{
    Errno,
    fs::{
        open::{O_NONBLOCK, O_RDWR, O_WRONLY},
        poll::{POLLERR, POLLHUP, POLLIN, POLLOUT},
    },
};
use auth::Credentials;
use vfs::{Ctx, NewNode, OpenFile};

use super::pipe;
use crate::testing::{World, open, read, run, try_open, write};

fn nonblocking(cx: &Ctx<'_>, world: &World) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let (reader, writer) = pipe(cx, &world.shared, O_NONBLOCK).unwrap();
    reader.add_user();
    writer.add_user();
    (reader, writer)
}

#[test]
fn a_pipe_holds_64_kib_and_small_writes_whole() {
    run(|cx, world| {
        let (reader, writer) = nonblocking(cx, world);
        assert_eq!(read(cx, &reader, 9), Err(Errno::EAGAIN));
        assert_eq!(write(cx, &writer, &[1; 100_000]), Ok(65536));
        assert_eq!(write(cx, &writer, b"x"), Err(Errno::EAGAIN));
        assert_eq!(writer.file().poll() & POLLOUT, 0);
        assert_eq!(read(cx, &reader, 4095).unwrap().len(), 4095);
        assert_eq!(write(cx, &writer, &[2; 4096]), Err(Errno::EAGAIN));
        assert_eq!(writer.file().poll() & POLLOUT, 0);
        assert_eq!(read(cx, &reader, 1).unwrap().len(), 1);
        assert_eq!(writer.file().poll() & POLLOUT, POLLOUT);
        assert_eq!(write(cx, &writer, &[2; 4096]), Ok(4096));
        assert_eq!(world.shared.charge().usage().kernel, 65536 + 1024);
    });
}

#[test]
fn each_end_sees_that_the_other_is_gone() {
    run(|cx, world| {
        let (reader, writer) = nonblocking(cx, world);
        write(cx, &writer, b"last").unwrap();
        writer.remove_user(cx);
        assert_eq!(reader.file().poll() & (POLLIN | POLLHUP), POLLIN | POLLHUP);
        assert_eq!(read(cx, &reader, 99).unwrap(), b"last");
        assert_eq!(read(cx, &reader, 99).unwrap(), b"");
        let (reader, writer) = nonblocking(cx, world);
        reader.remove_user(cx);
        assert_eq!(writer.file().poll() & POLLERR, POLLERR);
        assert_eq!(write(cx, &writer, b"x"), Err(Errno::EPIPE));
    });
}

#[test]
fn a_writer_waits_for_room_and_a_reader_for_bytes() {
    let world = World::new();
    world.run(|cx, world| {
        let (reader, writer) = pipe(cx, &world.shared, 0).unwrap();
        reader.add_user();
        writer.add_user();
        let sent: Vec<u8> = (0..500_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let expected = sent.clone();
        let job = world.start(Credentials::root(), move |cx, _| {
            assert_eq!(write(cx, &writer, &sent), Ok(sent.len()));
            writer.remove_user(cx);
        });
        let mut got = Vec::new();
        loop {
            let piece = read(cx, &reader, 10_000).unwrap();
            if piece.is_empty() {
                break;
            }
            got.extend(piece);
        }
        assert_eq!(got, expected);
        drop(job);
    });
}

#[test]
fn capacity_can_be_asked_for_and_set() {
    run(|cx, world| {
        const SET: u32 = 1031;
        const GET: u32 = 1032;
        let (_reader, writer) = nonblocking(cx, world);
        let file = writer.file();
        assert_eq!(file.fcntl(cx, GET, 0), Ok(65536));
        assert_eq!(file.fcntl(cx, SET, 5000), Ok(8192));
        assert_eq!(write(cx, &writer, &[0; 10_000]), Ok(8192));
        assert_eq!(file.fcntl(cx, SET, 1), Err(Errno::EBUSY));
        assert_eq!(file.fcntl(cx, SET, u64::MAX), Err(Errno::EINVAL));
        assert_eq!(pipe(cx, &world.shared, abi::fs::open::O_DIRECT).unwrap_err(), Errno::EINVAL);
    });
}

#[test]
fn opening_a_fifo_waits_for_the_other_side() {
    let world = World::new();
    world.run(|cx, world| {
        cx.make(cx.root, b"/fifo", NewNode::Fifo, 0o600).unwrap();
        assert_eq!(try_open(cx, "/fifo", O_WRONLY | O_NONBLOCK).unwrap_err(), Errno::ENXIO);
        let job = world.start(Credentials::root(), |cx, _| {
            let writer = open(cx, "/fifo", O_WRONLY);
            write(cx, &writer, b"met").unwrap();
            writer.remove_user(cx);
        });
        let reader = open(cx, "/fifo", 0);
        assert_eq!(read(cx, &reader, 99).unwrap(), b"met");
        assert_eq!(read(cx, &reader, 99).unwrap(), b"");
        reader.remove_user(cx);
        drop(job);
    });
}

#[test]
fn a_fifo_opened_without_waiting_is_not_hung_up_before_somebody_came() {
    run(|cx, _| {
        cx.make(cx.root, b"/fifo", NewNode::Fifo, 0o600).unwrap();
        let reader = open(cx, "/fifo", O_NONBLOCK);
        assert_eq!(reader.file().poll(), 0);
        assert_eq!(read(cx, &reader, 9).unwrap(), b"");
        let writer = open(cx, "/fifo", O_WRONLY);
        assert_eq!(read(cx, &reader, 9), Err(Errno::EAGAIN));
        writer.remove_user(cx);
        assert_eq!(reader.file().poll() & POLLHUP, POLLHUP);
        let both = open(cx, "/fifo", O_RDWR);
        write(cx, &both, b"kept").unwrap();
        reader.remove_user(cx);
        both.remove_user(cx);
        let again = open(cx, "/fifo", O_RDWR | O_NONBLOCK);
        assert_eq!(read(cx, &again, 9), Err(Errno::EAGAIN), "the last close empties it");
    });
}

#[test]
fn an_interrupted_opening_leaves_no_reader_behind() {
    let world = World::new();
    world.run(|cx, world| {
        cx.make(cx.root, b"/fifo", NewNode::Fifo, 0o600).unwrap();
        let job = world.start(Credentials::root(), |cx, _| {
            assert_eq!(try_open(cx, "/fifo", 0).unwrap_err(), Errno::ERESTARTSYS);
        });
        job.entity.interrupt();
        while try_open(cx, "/fifo", O_WRONLY | O_NONBLOCK).is_ok() {
            cx.fiber.yield_now();
        }
    });
}

use std::sync::Arc;

use abi::{
    Errno,
    fs::{
        open::O_NONBLOCK,
        poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP},
    },
    socket::{
        Ucred,
        family::AF_UNIX,
        kind::{SOCK_DGRAM, SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM},
        level::SOL_SOCKET,
        so::{SO_PASSCRED, SO_PEERCRED, SO_RCVTIMEO, SO_SNDBUF},
    },
};
use auth::Credentials;
use vfs::{Ctx, OpenFile};

use crate::{
    Address, Outgoing, RecvHow, Shutdown, UnixName,
    testing::{Held, World, abstract_name, path, run},
};

const ON: [u8; 4] = 1_i32.to_ne_bytes();

fn with_rights(files: &[&Held]) -> Outgoing {
    let rights = files.iter().map(|held| held.0.clone()).collect();
    Outgoing { rights, ..Outgoing::default() }
}

/// Receives a byte and the descriptors that came along.
fn recv_rights(cx: &Ctx<'_>, from: &Held) -> Vec<Held> {
    let (bytes, received) = from.recv_with(cx, 1, RecvHow::default()).unwrap();
    assert_eq!(bytes.len(), 1);
    // The user that each has is the receiver's now.
    received.control.rights.into_iter().map(Held).collect()
}

#[test]
fn a_pair_carries_bytes_both_ways_and_ends() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        assert_eq!(a.send(cx, b"hello "), Ok(6));
        assert_eq!(a.send(cx, b"world"), Ok(5));
        assert_eq!(b.recv(cx, 3).unwrap(), b"hel");
        assert_eq!(b.recv(cx, 99).unwrap(), b"lo world");
        assert_eq!(b.try_recv(cx, 1), Err(Errno::EAGAIN));
        assert_eq!(b.poll() & (POLLIN | POLLOUT), POLLOUT);
        b.send(cx, b"back").unwrap();
        b.close(cx);
        assert_eq!(a.recv(cx, 9).unwrap(), b"back");
        assert_eq!(a.recv(cx, 9).unwrap(), b"");
        assert_eq!(
            a.poll() & (POLLIN | POLLHUP | POLLRDHUP | POLLERR),
            POLLIN | POLLHUP | POLLRDHUP
        );
        assert_eq!(a.send(cx, b"x"), Err(Errno::EPIPE));
        a.close(cx);
    });
}

#[test]
fn what_was_never_read_is_told_as_a_reset() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        a.send(cx, b"unread").unwrap();
        b.close(cx);
        assert_eq!(a.poll() & POLLERR, POLLERR);
        assert_eq!(a.recv(cx, 9), Err(Errno::ECONNRESET));
        assert_eq!(a.recv(cx, 9).unwrap(), b"");
        a.close(cx);
    });
}

#[test]
fn half_a_connection_can_be_shut() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        a.send(cx, b"last").unwrap();
        a.socket().shutdown(cx, Shutdown { write: true, read: false }).unwrap();
        assert_eq!(a.send(cx, b"x"), Err(Errno::EPIPE));
        assert_eq!(b.recv(cx, 9).unwrap(), b"last");
        assert_eq!(b.recv(cx, 9).unwrap(), b"");
        assert_eq!(b.send(cx, b"answer"), Ok(6));
        assert_eq!(a.recv(cx, 9).unwrap(), b"answer");
        b.socket().shutdown(cx, Shutdown { write: false, read: true }).unwrap();
        assert_eq!(a.poll() & POLLHUP, 0);
        a.close(cx);
        b.close(cx);
    });
}

#[test]
fn a_full_buffer_makes_the_writer_wait_until_half_of_it_is_read() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM | SOCK_NONBLOCK);
        let small = 8192_i32.to_ne_bytes();
        a.socket().set_option(cx, SOL_SOCKET, SO_SNDBUF, &small).unwrap();
        let sent = a.send(cx, &[7; 100_000]).unwrap();
        assert!((10_000..20_000).contains(&sent), "{sent}");
        assert_eq!(a.send(cx, b"x"), Err(Errno::EAGAIN));
        assert_eq!(a.poll() & POLLOUT, 0);
        assert_eq!(b.recv(cx, sent / 2 + 200).unwrap().len(), sent / 2 + 200);
        assert_eq!(a.poll() & POLLOUT, POLLOUT);
        a.close(cx);
        b.close(cx);
    });
}

#[test]
fn a_writer_that_waits_goes_on_when_there_is_room() {
    run(|cx, world| {
        const BYTES: usize = 3_000_000;
        let (a, b) = world.pair(cx, SOCK_STREAM);
        let writer = a.clone();
        let job = world.start(Credentials::root(), move |cx, _| {
            let pattern: Vec<u8> =
                (0..BYTES).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
            assert_eq!(writer.send(cx, &pattern), Ok(BYTES));
            writer.close(cx);
        });
        let mut got = 0_usize;
        loop {
            let bytes = b.recv(cx, 77_777).unwrap();
            if bytes.is_empty() {
                break;
            }
            for byte in bytes {
                assert_eq!(byte, got.to_le_bytes()[0] ^ got.to_le_bytes()[1], "byte {got}");
                got += 1;
            }
        }
        assert_eq!(got, BYTES);
        job.join();
        b.close(cx);
        drop(a);
    });
}

#[test]
fn messages_keep_their_bounds() {
    for kind in [SOCK_SEQPACKET, SOCK_DGRAM] {
        run(move |cx, world| {
            let (a, b) = world.pair(cx, kind);
            a.send(cx, b"one").unwrap();
            a.send(cx, b"").unwrap();
            a.send(cx, b"three").unwrap();
            assert_eq!(b.recv(cx, 9).unwrap(), b"one");
            assert_eq!(b.recv(cx, 9).unwrap(), b"");
            let peek = RecvHow { peek: true, ..RecvHow::default() };
            assert_eq!(b.recv_with(cx, 9, peek).unwrap().0, b"three");
            let (bytes, received) = b.recv_with(cx, 2, RecvHow::default()).unwrap();
            assert_eq!(
                (bytes.as_slice(), received.truncated, received.whole),
                (&b"th"[..], true, 5)
            );
            assert_eq!(b.try_recv(cx, 9), Err(Errno::EAGAIN));
            assert_eq!(a.send(cx, &vec![0; 1 << 20]), Err(Errno::EMSGSIZE));
            a.close(cx);
            b.close(cx);
        });
    }
}

#[test]
fn a_peek_leaves_the_bytes_and_joins_pieces() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        a.send(cx, &[1; 5000]).unwrap();
        a.send(cx, &[2; 5000]).unwrap();
        let peek = RecvHow { peek: true, ..RecvHow::default() };
        let (bytes, _) = b.recv_with(cx, 6000, peek).unwrap();
        assert_eq!((bytes.len(), bytes[4999], bytes[5000]), (6000, 1, 2));
        let all = RecvHow { wait_all: true, ..RecvHow::default() };
        assert_eq!(b.recv_with(cx, 10_000, all).unwrap().0.len(), 10_000);
        a.close(cx);
        b.close(cx);
    });
}

#[test]
fn a_server_is_found_by_path_and_by_abstract_name() {
    for name in [path("/server"), abstract_name("server")] {
        for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
            let name = name.clone();
            run(move |cx, world| {
                let server = world.socket(cx, AF_UNIX, kind);
                let client = world.socket(cx, AF_UNIX, kind);
                assert_eq!(server.socket().listen(cx, 1), Err(Errno::EINVAL));
                server.bind(cx, &name).unwrap();
                assert_eq!(client.connect(cx, &name), Err(Errno::ECONNREFUSED));
                server.socket().listen(cx, 1).unwrap();
                assert!(server.socket().option(SOL_SOCKET, 30).unwrap()[0] == 1);
                client.connect(cx, &name).unwrap();
                assert_eq!(client.connect(cx, &name), Err(Errno::EISCONN));
                assert_eq!(client.socket().peer(), Ok(name.clone()));
                client.send(cx, b"early").unwrap();
                assert_eq!(server.poll() & POLLIN, POLLIN);
                let accepted = server.accept(cx).unwrap();
                assert_eq!(accepted.socket().local(), name);
                assert_eq!(accepted.socket().peer(), Ok(Address::Unix(UnixName::Unnamed)));
                assert_eq!(accepted.recv(cx, 9).unwrap(), b"early");
                let other = world.socket(cx, AF_UNIX, SOCK_DGRAM);
                assert_eq!(other.connect(cx, &name), Err(Errno::EPROTOTYPE));
                server.close(cx);
                let late = world.socket(cx, AF_UNIX, kind);
                assert_eq!(late.connect(cx, &name), Err(Errno::ECONNREFUSED));
                for held in [client, accepted, other, late] {
                    held.close(cx);
                }
            });
        }
    }
}

#[test]
fn names_are_given_once_and_paths_stay() {
    run(|cx, world| {
        let [a, b, c] = std::array::from_fn(|_| world.socket(cx, AF_UNIX, SOCK_STREAM));
        a.bind(cx, &path("/name")).unwrap();
        assert_eq!(a.bind(cx, &path("/other")), Err(Errno::EINVAL));
        assert_eq!(b.bind(cx, &path("/name")), Err(Errno::EADDRINUSE));
        b.bind(cx, &abstract_name("name")).unwrap();
        assert_eq!(c.bind(cx, &abstract_name("name")), Err(Errno::EADDRINUSE));
        b.close(cx);
        c.bind(cx, &abstract_name("name")).unwrap();
        a.close(cx);
        let [d, e] = std::array::from_fn(|_| world.socket(cx, AF_UNIX, SOCK_DGRAM));
        assert_eq!(d.bind(cx, &path("/name")), Err(Errno::EADDRINUSE), "the file is still there");
        d.bind(cx, &Address::Unix(UnixName::Unnamed)).unwrap();
        assert_eq!(d.socket().local(), abstract_name("00000"));
        assert_eq!(e.connect(cx, &path("/nothing")), Err(Errno::ENOENT));
        for held in [c, d, e] {
            held.close(cx);
        }
    });
}

#[test]
fn only_who_may_write_to_the_file_connects() {
    let world = World::new();
    world.run(|cx, world| {
        let server = world.socket(cx, AF_UNIX, SOCK_STREAM);
        let strict = Ctx { umask: 0o077, ..*cx };
        server.socket().bind(&strict, &path("/server")).unwrap();
        server.socket().listen(cx, 5).unwrap();
        let job = world.start(Credentials::user(5, 5), |cx, world| {
            let client = world.socket(cx, AF_UNIX, SOCK_STREAM);
            assert_eq!(client.connect(cx, &path("/server")), Err(Errno::EACCES));
            client.close(cx);
        });
        job.join();
        server.close(cx);
    });
}

#[test]
fn one_who_connects_waits_while_the_queue_is_full() {
    run(|cx, world| {
        let server = world.socket(cx, AF_UNIX, SOCK_STREAM);
        server.bind(cx, &abstract_name("s")).unwrap();
        server.socket().listen(cx, 0).unwrap();
        let first = world.socket(cx, AF_UNIX, SOCK_STREAM);
        first.connect(cx, &abstract_name("s")).unwrap();
        let hasty = world.socket(cx, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK);
        assert_eq!(hasty.connect(cx, &abstract_name("s")), Err(Errno::EAGAIN));
        let job = world.start(Credentials::root(), |cx, world| {
            let patient = world.socket(cx, AF_UNIX, SOCK_STREAM);
            patient.connect(cx, &abstract_name("s")).unwrap();
            patient.send(cx, b"here").unwrap();
            patient.close(cx);
        });
        let one = server.accept(cx).unwrap();
        let two = server.accept(cx).unwrap();
        assert_eq!(two.recv(cx, 9).unwrap(), b"here");
        job.join();
        for held in [server, first, hasty, one, two] {
            held.close(cx);
        }
    });
}

#[test]
fn a_listener_that_closes_resets_those_who_wait() {
    run(|cx, world| {
        let server = world.socket(cx, AF_UNIX, SOCK_STREAM);
        server.bind(cx, &abstract_name("s")).unwrap();
        server.socket().listen(cx, 5).unwrap();
        let client = world.socket(cx, AF_UNIX, SOCK_STREAM);
        client.connect(cx, &abstract_name("s")).unwrap();
        client.send_with(cx, b"x", with_rights(&[&client])).unwrap();
        server.close(cx);
        assert_eq!(client.recv(cx, 1), Err(Errno::ECONNRESET));
        client.close(cx);
    });
}

#[test]
fn credentials_are_told() {
    let world = World::new();
    world.run(|cx, world| {
        let server = world.socket(cx, AF_UNIX, SOCK_STREAM);
        server.bind(cx, &abstract_name("s")).unwrap();
        server.socket().listen(cx, 5).unwrap();
        let job = world.start(Credentials::user(7, 8), |cx, world| {
            let client = world.socket(cx, AF_UNIX, SOCK_STREAM);
            client.connect(cx, &abstract_name("s")).unwrap();
            let peer = client.socket().option(SOL_SOCKET, SO_PEERCRED).unwrap();
            assert_eq!(peer, [0; 12]);
            client.send(cx, b"mine").unwrap();
            client.close(cx);
        });
        let accepted = server.accept(cx).unwrap();
        let peer = accepted.socket().option(SOL_SOCKET, SO_PEERCRED).unwrap();
        assert_eq!(peer, [0, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0]);
        accepted.socket().set_option(cx, SOL_SOCKET, SO_PASSCRED, &ON).unwrap();
        let (_, received) = accepted.recv_with(cx, 9, RecvHow::default()).unwrap();
        assert_eq!(received.control.credentials, Some(Ucred { pid: 0, uid: 7, gid: 8 }));
        job.join();
        server.close(cx);
        accepted.close(cx);
    });
}

#[test]
fn bytes_of_two_senders_are_not_mixed_where_senders_are_told() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        b.socket().set_option(cx, SOL_SOCKET, SO_PASSCRED, &ON).unwrap();
        a.send(cx, b"root").unwrap();
        let claimed = Ucred { pid: 0, uid: 9, gid: 9 };
        let out = Outgoing { credentials: Some(claimed), ..Outgoing::default() };
        a.send_with(cx, b"nine", out).unwrap();
        assert_eq!(b.recv(cx, 99).unwrap(), b"root");
        let (bytes, received) = b.recv_with(cx, 99, RecvHow::default()).unwrap();
        assert_eq!((bytes.as_slice(), received.control.credentials), (&b"nine"[..], Some(claimed)));
        a.close(cx);
        b.close(cx);
    });
}

#[test]
fn descriptors_travel_and_are_usable() {
    for kind in [SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM] {
        run(move |cx, world| {
            let (a, b) = world.pair(cx, kind);
            let (c, d) = world.pair(cx, SOCK_STREAM);
            a.send_with(cx, b"1", with_rights(&[&c])).unwrap();
            c.close(cx);
            assert_eq!(d.poll() & POLLHUP, 0, "it is in flight");
            let peek = RecvHow { peek: true, ..RecvHow::default() };
            let (_, peeked) = b.recv_with(cx, 1, peek).unwrap();
            assert_eq!(peeked.control.rights.len(), 1);
            peeked.control.discard(cx);
            let got = recv_rights(cx, &b).remove(0);
            got.send(cx, b"through").unwrap();
            assert_eq!(d.recv(cx, 9).unwrap(), b"through");
            got.close(cx);
            assert_eq!(d.poll() & POLLHUP, POLLHUP);
            for held in [a, b, d] {
                held.close(cx);
            }
        });
    }
}

#[test]
fn a_read_ends_behind_descriptors() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        a.send(cx, b"ab").unwrap();
        a.send_with(cx, b"cd", with_rights(&[&a])).unwrap();
        a.send(cx, b"ef").unwrap();
        let (bytes, received) = b.recv_with(cx, 99, RecvHow::default()).unwrap();
        assert_eq!(bytes, b"abcd");
        received.control.discard(cx);
        assert_eq!(b.recv(cx, 99).unwrap(), b"ef");
        a.close(cx);
        b.close(cx);
    });
}

#[test]
fn descriptors_that_nobody_receives_are_closed() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        let (c, d) = world.pair(cx, SOCK_STREAM);
        a.send_with(cx, b"1", with_rights(&[&c])).unwrap();
        c.close(cx);
        b.close(cx);
        assert_eq!(d.poll() & POLLHUP, POLLHUP);
        a.close(cx);
        d.close(cx);
    });
}

#[test]
fn sockets_that_are_only_in_flight_to_themselves_are_collected() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        let (c, d) = world.pair(cx, SOCK_DGRAM);
        let (outer, watched) = world.pair(cx, SOCK_STREAM);
        // A circle: each inbox holds the end that owns the other, and one from outside.
        a.send_with(cx, b"1", with_rights(&[&d, &outer])).unwrap();
        c.send_with(cx, b"1", with_rights(&[&b])).unwrap();
        outer.close(cx);
        for held in [a, b, c, d] {
            assert_eq!(watched.poll() & POLLHUP, 0);
            held.close(cx);
        }
        // The last descriptor outside shows that nobody can reach the circle.
        assert_eq!(watched.poll() & POLLHUP, POLLHUP);
        watched.close(cx);
    });
}

#[test]
fn what_can_still_be_received_is_not_collected() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        let (c, d) = world.pair(cx, SOCK_STREAM);
        let (inner, watched) = world.pair(cx, SOCK_STREAM);
        c.send_with(cx, b"1", with_rights(&[&inner])).unwrap();
        a.send_with(cx, b"1", with_rights(&[&d])).unwrap();
        inner.close(cx);
        d.close(cx);
        let (x, y) = world.pair(cx, SOCK_STREAM);
        x.close(cx);
        y.close(cx);
        assert_eq!(watched.poll() & POLLHUP, 0);
        let d = recv_rights(cx, &b).remove(0);
        let inner = recv_rights(cx, &d).remove(0);
        inner.send(cx, b"alive").unwrap();
        assert_eq!(watched.recv(cx, 9).unwrap(), b"alive");
        for held in [a, b, c, d, inner, watched] {
            held.close(cx);
        }
    });
}

#[test]
fn a_long_chain_of_sockets_in_flight_is_closed_without_recursion() {
    run(|cx, world| {
        let (first, mut last) = world.pair(cx, SOCK_STREAM);
        for _ in 0..5000 {
            let (a, b) = world.pair(cx, SOCK_STREAM);
            a.send_with(cx, b"1", with_rights(&[&last])).unwrap();
            last.close(cx);
            a.close(cx);
            last = b;
        }
        assert_eq!(first.poll() & POLLHUP, 0);
        last.close(cx);
        assert_eq!(first.poll() & POLLHUP, POLLHUP);
        first.close(cx);
    });
}

#[test]
fn too_many_descriptors_in_flight_are_refused() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        let rights: Vec<Arc<OpenFile>> = vec![a.0.clone(); 20_000];
        let out = Outgoing { rights, ..Outgoing::default() };
        assert_eq!(a.send_with(cx, b"1", out), Err(Errno::ETOOMANYREFS));
        a.close(cx);
        b.close(cx);
    });
}

#[test]
fn datagrams_find_their_receiver_and_say_who_sent_them() {
    run(|cx, world| {
        let [a, b] = std::array::from_fn(|_| world.socket(cx, AF_UNIX, SOCK_DGRAM));
        a.bind(cx, &path("/a")).unwrap();
        b.bind(cx, &abstract_name("b")).unwrap();
        assert_eq!(b.send(cx, b"x"), Err(Errno::ENOTCONN));
        b.send_to(cx, b"hi", &path("/a")).unwrap();
        let (bytes, received) = a.recv_with(cx, 9, RecvHow::default()).unwrap();
        assert_eq!((bytes.as_slice(), received.from), (&b"hi"[..], Some(abstract_name("b"))));
        a.connect(cx, &abstract_name("b")).unwrap();
        let third = world.socket(cx, AF_UNIX, SOCK_DGRAM);
        assert_eq!(third.send_to(cx, b"x", &path("/a")), Err(Errno::EPERM), "it has a peer");
        b.close(cx);
        assert_eq!(a.send(cx, b"x"), Err(Errno::ECONNREFUSED));
        a.close(cx);
        third.close(cx);
    });
}

#[test]
fn a_sender_waits_for_a_receiver_that_is_full() {
    run(|cx, world| {
        let receiver = world.socket(cx, AF_UNIX, SOCK_DGRAM);
        receiver.bind(cx, &abstract_name("r")).unwrap();
        let hasty = world.socket(cx, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK);
        let mut sent = 0;
        while hasty.send_to(cx, b"x", &abstract_name("r")).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, 11);
        assert_eq!(hasty.send_to(cx, b"x", &abstract_name("r")), Err(Errno::EAGAIN));
        hasty.connect(cx, &abstract_name("r")).unwrap();
        assert_eq!(hasty.poll() & POLLOUT, 0);
        let job = world.start(Credentials::root(), |cx, world| {
            let patient = world.socket(cx, AF_UNIX, SOCK_DGRAM);
            patient.send_to(cx, b"last", &abstract_name("r")).unwrap();
            patient.close(cx);
        });
        for _ in 0..11 {
            assert_eq!(receiver.recv(cx, 9).unwrap(), b"x");
        }
        assert_eq!(receiver.recv(cx, 9).unwrap(), b"last");
        assert_eq!(hasty.poll() & POLLOUT, POLLOUT);
        job.join();
        receiver.close(cx);
        hasty.close(cx);
    });
}

#[test]
fn a_timeout_ends_a_wait_and_a_signal_is_not_restarted_then() {
    let world = World::new();
    world.run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        let reader = a.clone();
        let job = world.start(Credentials::root(), move |cx, _| {
            assert_eq!(reader.recv(cx, 1), Err(Errno::ERESTARTSYS));
        });
        job.entity.interrupt();
        job.join();
        let mut time = 0_i64.to_ne_bytes().to_vec();
        time.extend(1000_i64.to_ne_bytes());
        a.socket().set_option(cx, SOL_SOCKET, SO_RCVTIMEO, &time).unwrap();
        assert_eq!(a.recv(cx, 1), Err(Errno::EAGAIN));
        assert_eq!(a.0.read(cx, &mut vfs::BytesDst::new(&mut [0])), Err(Errno::EAGAIN));
        time[..8].copy_from_slice(&1000_i64.to_ne_bytes());
        a.socket().set_option(cx, SOL_SOCKET, SO_RCVTIMEO, &time).unwrap();
        let reader = a.clone();
        let job = world.start(Credentials::root(), move |cx, _| {
            assert_eq!(reader.recv(cx, 1), Err(Errno::EINTR));
        });
        job.entity.interrupt();
        job.join();
        a.close(cx);
        b.close(cx);
    });
}

#[test]
fn read_and_write_do_as_recv_and_send() {
    run(|cx, world| {
        let (a, b) = world.pair(cx, SOCK_STREAM);
        assert_eq!(a.0.write(cx, &mut vfs::BytesSrc(b"text")), Ok(4));
        let mut space = [0; 9];
        assert_eq!(b.0.read(cx, &mut vfs::BytesDst::new(&mut space)), Ok(4));
        assert_eq!(&space[..4], b"text");
        b.0.set_flags(b.0.flags() | O_NONBLOCK);
        assert_eq!(b.0.read(cx, &mut vfs::BytesDst::new(&mut space)), Err(Errno::EAGAIN));
        assert!(b.0.file().link_text().starts_with("socket:["));
        assert_eq!(b.0.metadata(cx).unwrap().mode, 0o140_777);
        a.close(cx);
        b.close(cx);
    });
}

#[test]
fn descriptors_sent_around_by_many_at_once_are_neither_lost_nor_kept() {
    let world = World::new();
    world.run(|cx, world| {
        let jobs: Vec<_> = (0..4_u64)
            .map(|seed| world.start(Credentials::root(), move |cx, world| shuffle(cx, world, seed)))
            .collect();
        jobs.into_iter().for_each(crate::testing::Running::join);
        world.namespace.flight().collect(cx);
    });
}

/// Makes pairs, sends ends over ends, receives some of them, and closes all in any order.
fn shuffle(cx: &Ctx<'_>, world: &World, seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = move |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % bound
    };
    let mut held: Vec<Held> = Vec::new();
    for round in 0..2000 {
        if held.len() < 2 || below(4) == 0 {
            let (a, b) = world.pair(cx, if below(2) == 0 { SOCK_STREAM } else { SOCK_DGRAM });
            for end in [a, b] {
                end.0.set_nonblocking(true);
                held.push(end);
            }
            continue;
        }
        let (at, sent) = (below(held.len()), below(held.len()));
        match below(3) {
            0 => {
                let _ = held[at].send_with(cx, b"1", with_rights(&[&held[sent]]));
            }
            1 => {
                if let Ok((_, received)) = held[at].recv_with(cx, 1, RecvHow::default()) {
                    held.extend(received.control.rights.into_iter().map(Held));
                }
            }
            _ => held.swap_remove(at).close(cx),
        }
        if round % 100 == 0 {
            world.namespace.flight().collect(cx);
        }
    }
    held.into_iter().for_each(|end| end.close(cx));
}

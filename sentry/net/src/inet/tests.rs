use std::net::SocketAddr;

use abi::{
    Errno,
    fs::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP},
    socket::{
        family::{AF_INET, AF_INET6},
        ip::IP_PKTINFO,
        ipv6::IPV6_V6ONLY,
        kind::{SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM},
        level::SOL_SOCKET,
        protocol::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP},
        so::{SO_ERROR, SO_LINGER, SO_REUSEADDR},
        tcp::TCP_INFO,
        tcp_state,
    },
};
use auth::Credentials;
use vfs::Ctx;

use crate::{
    Address, RecvHow, Shutdown,
    testing::{Held, World, run},
};

const ON: [u8; 4] = 1_i32.to_ne_bytes();

fn at(addr: &str) -> Address {
    Address::Inet(addr.parse().unwrap())
}

fn port_of(held: &Held) -> u16 {
    match held.socket().local() {
        Address::Inet(addr) => addr.port(),
        other => unreachable!("{other:?}"),
    }
}

/// A listening socket at any port of `ip`, and its address.
fn server(cx: &Ctx<'_>, world: &World, ip: &str, backlog: i32) -> (Held, Address) {
    let any: SocketAddr = format!("{ip}:0").parse().unwrap();
    let family = if any.is_ipv4() { AF_INET } else { AF_INET6 };
    let server = world.socket(cx, family, SOCK_STREAM);
    server.bind(cx, &Address::Inet(any)).unwrap();
    server.socket().listen(cx, backlog).unwrap();
    let addr = SocketAddr::new(any.ip(), port_of(&server));
    (server, Address::Inet(addr))
}

/// Both ends of a connection.
fn connected(cx: &Ctx<'_>, world: &World) -> (Held, Held, Held) {
    let (server, addr) = server(cx, world, "127.0.0.1", 5);
    let client = world.socket(cx, AF_INET, SOCK_STREAM);
    client.connect(cx, &addr).unwrap();
    let accepted = server.accept(cx).unwrap();
    (server, client, accepted)
}

fn close_all<const N: usize>(cx: &Ctx<'_>, all: [Held; N]) {
    all.into_iter().for_each(|held| held.close(cx));
}

fn error_of(held: &Held) -> i32 {
    let bytes = held.socket().option(SOL_SOCKET, SO_ERROR).unwrap();
    i32::from_ne_bytes(bytes.try_into().unwrap())
}

#[test]
fn a_connection_has_two_names_that_mirror_each_other() {
    run(|cx, world| {
        let (server, client, accepted) = connected(cx, world);
        assert_eq!(Ok(client.socket().local()), accepted.socket().peer());
        assert_eq!(Ok(accepted.socket().local()), client.socket().peer());
        assert_eq!(client.send(cx, b"request"), Ok(7));
        assert_eq!(accepted.recv(cx, 99).unwrap(), b"request");
        assert_eq!(accepted.send(cx, b"reply"), Ok(5));
        assert_eq!(client.recv(cx, 99).unwrap(), b"reply");
        let info = client.socket().option(IPPROTO_TCP, TCP_INFO).unwrap();
        assert_eq!(info[0], tcp_state::TCP_ESTABLISHED);
        close_all(cx, [server, client, accepted]);
    });
}

#[test]
fn nobody_listening_refuses_and_elsewhere_is_unreachable() {
    run(|cx, world| {
        let client = world.socket(cx, AF_INET, SOCK_STREAM);
        assert_eq!(client.poll() & (POLLOUT | POLLHUP), POLLOUT | POLLHUP);
        assert_eq!(client.connect(cx, &at("127.0.0.1:1")), Err(Errno::ECONNREFUSED));
        assert_eq!(client.connect(cx, &at("127.0.0.1:1")), Err(Errno::ECONNREFUSED));
        assert_eq!(client.connect(cx, &at("10.0.0.1:1")), Err(Errno::ENETUNREACH));
        assert_eq!(client.connect(cx, &at("[::1]:1")), Err(Errno::EAFNOSUPPORT));
        assert_eq!(client.recv(cx, 1), Err(Errno::ENOTCONN));
        assert_eq!(client.send(cx, b"x"), Err(Errno::EPIPE));
        assert_eq!(port_of(&client), 0, "the port was given back");
        client.close(cx);
    });
}

#[test]
fn one_who_does_not_wait_hears_the_outcome_later() {
    run(|cx, world| {
        let (server, addr) = server(cx, world, "127.0.0.1", 5);
        let client = world.socket(cx, AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
        assert_eq!(client.connect(cx, &addr), Err(Errno::EINPROGRESS));
        assert_eq!(client.poll() & (POLLOUT | POLLERR), POLLOUT);
        assert_eq!(error_of(&client), 0);
        assert_eq!(client.connect(cx, &addr), Ok(()));
        assert_eq!(client.connect(cx, &addr), Err(Errno::EISCONN));
        let refused = world.socket(cx, AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
        assert_eq!(refused.connect(cx, &at("127.0.0.1:1")), Err(Errno::EINPROGRESS));
        assert_eq!(refused.poll() & (POLLERR | POLLHUP | POLLIN), POLLERR | POLLHUP | POLLIN);
        assert_eq!(error_of(&refused), 111);
        assert_eq!(error_of(&refused), 0);
        close_all(cx, [server, client, refused]);
    });
}

#[test]
fn a_full_queue_lets_one_in_after_each_accept() {
    run(|cx, world| {
        let (server, addr) = server(cx, world, "127.0.0.1", 0);
        let clients: Vec<Held> = (0..3)
            .map(|_| {
                let client = world.socket(cx, AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
                assert_eq!(client.connect(cx, &addr), Err(Errno::EINPROGRESS));
                client
            })
            .collect();
        let ready = |n: usize| clients[n].poll() & POLLOUT != 0;
        assert_eq!([ready(0), ready(1), ready(2)], [true, false, false]);
        assert_eq!(clients[1].connect(cx, &addr), Err(Errno::EALREADY));
        let first = server.accept(cx).unwrap();
        assert_eq!([ready(1), ready(2)], [true, false]);
        server.close(cx);
        assert_eq!(error_of(&clients[2]), 111, "nobody listens any more");
        assert_eq!(clients[1].recv(cx, 1), Err(Errno::ECONNRESET));
        first.close(cx);
        clients.into_iter().for_each(|client| client.close(cx));
    });
}

#[test]
fn a_clean_end_is_read_as_end_and_answered_by_a_broken_pipe() {
    run(|cx, world| {
        let (server, client, accepted) = connected(cx, world);
        accepted.close(cx);
        assert_eq!(client.poll() & (POLLIN | POLLRDHUP | POLLHUP), POLLIN | POLLRDHUP);
        assert_eq!(client.recv(cx, 9).unwrap(), b"");
        assert_eq!(client.send(cx, b""), Ok(0));
        assert_eq!(client.send(cx, b"into the void"), Ok(13));
        assert_eq!(client.send(cx, b"x"), Err(Errno::EPIPE));
        close_all(cx, [server, client]);
    });
}

#[test]
fn unread_bytes_or_no_linger_reset_the_other_end() {
    run(|cx, world| {
        let (server, client, accepted) = connected(cx, world);
        client.send(cx, b"unread").unwrap();
        accepted.send(cx, b"answer").unwrap();
        accepted.close(cx);
        assert_eq!(client.recv(cx, 9).unwrap(), b"answer", "what came before is not lost");
        assert_eq!(client.recv(cx, 9), Err(Errno::ECONNRESET));
        assert_eq!(client.recv(cx, 9).unwrap(), b"");
        assert_eq!(client.send(cx, b"x"), Err(Errno::EPIPE));
        assert_eq!(client.socket().peer(), Err(Errno::ENOTCONN));
        close_all(cx, [server, client]);
        let (server, client, accepted) = connected(cx, world);
        client.socket().set_option(cx, SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        client.close(cx);
        assert_eq!(accepted.recv(cx, 9), Err(Errno::ECONNRESET));
        close_all(cx, [server, accepted]);
    });
}

#[test]
fn half_a_connection_goes_on() {
    run(|cx, world| {
        let (server, client, accepted) = connected(cx, world);
        let write = Shutdown { write: true, read: false };
        client.socket().shutdown(cx, write).unwrap();
        assert_eq!(accepted.recv(cx, 9).unwrap(), b"");
        assert_eq!(accepted.send(cx, b"more"), Ok(4));
        assert_eq!(client.recv(cx, 9).unwrap(), b"more");
        accepted.socket().shutdown(cx, write).unwrap();
        assert_eq!(client.poll() & POLLHUP, POLLHUP);
        assert_eq!(client.socket().shutdown(cx, write), Err(Errno::ENOTCONN));
        close_all(cx, [server, client, accepted]);
    });
}

#[test]
fn shutting_a_listener_wakes_those_who_accept() {
    run(|cx, world| {
        let (server, addr) = server(cx, world, "127.0.0.1", 5);
        let waiting = server.clone();
        let job = world.start(Credentials::root(), move |cx, _| {
            assert_eq!(waiting.accept(cx).map(|_| ()), Err(Errno::EINVAL));
        });
        server.socket().shutdown(cx, Shutdown { read: true, write: true }).unwrap();
        job.join();
        let client = world.socket(cx, AF_INET, SOCK_STREAM);
        assert_eq!(client.connect(cx, &addr), Err(Errno::ECONNREFUSED));
        server.socket().listen(cx, 1).unwrap();
        client.connect(cx, &addr).unwrap();
        close_all(cx, [server, client]);
    });
}

#[test]
fn a_dual_server_serves_both_families_and_sees_ipv4_mapped() {
    run(|cx, world| {
        let (server, addr) = server(cx, world, "[::]", 5);
        let Address::Inet(addr) = addr else { unreachable!() };
        let four = world.socket(cx, AF_INET, SOCK_STREAM);
        four.connect(cx, &at(&format!("127.0.0.1:{}", addr.port()))).unwrap();
        let accepted = server.accept(cx).unwrap();
        let mapped = at(&format!("[::ffff:127.0.0.1]:{}", port_of(&four)));
        assert_eq!(accepted.socket().peer(), Ok(mapped));
        let six = world.socket(cx, AF_INET6, SOCK_STREAM);
        six.connect(cx, &at(&format!("[::1]:{}", addr.port()))).unwrap();
        let too = world.socket(cx, AF_INET, SOCK_STREAM);
        let same = at(&format!("0.0.0.0:{}", addr.port()));
        assert_eq!(too.bind(cx, &same), Err(Errno::EADDRINUSE));
        let only = world.socket(cx, AF_INET6, SOCK_STREAM);
        only.socket().set_option(cx, IPPROTO_IPV6, IPV6_V6ONLY, &ON).unwrap();
        only.bind(cx, &at("[::]:81")).unwrap();
        assert_eq!(
            only.socket().set_option(cx, IPPROTO_IPV6, IPV6_V6ONLY, &ON),
            Err(Errno::EINVAL)
        );
        too.bind(cx, &at("0.0.0.0:81")).unwrap();
        close_all(cx, [server, four, accepted, six, too, only]);
    });
}

#[test]
fn the_end_that_closes_first_keeps_the_port_unless_it_is_reused() {
    run(|cx, world| {
        let (server, client, accepted) = connected(cx, world);
        let addr = server.socket().local();
        accepted.close(cx);
        client.close(cx);
        server.close(cx);
        let again = world.socket(cx, AF_INET, SOCK_STREAM);
        assert_eq!(again.bind(cx, &addr), Err(Errno::EADDRINUSE));
        again.close(cx);
        let (server, client, accepted) = connected(cx, world);
        let addr = server.socket().local();
        client.close(cx);
        accepted.close(cx);
        server.close(cx);
        let again = world.socket(cx, AF_INET, SOCK_STREAM);
        again.bind(cx, &addr).unwrap();
        again.close(cx);
        let first = world.socket(cx, AF_INET, SOCK_STREAM);
        first.socket().set_option(cx, SOL_SOCKET, SO_REUSEADDR, &ON).unwrap();
        first.bind(cx, &addr).unwrap();
        first.socket().listen(cx, 5).unwrap();
        let client = world.socket(cx, AF_INET, SOCK_STREAM);
        client.connect(cx, &addr).unwrap();
        first.accept(cx).unwrap().close(cx);
        close_all(cx, [first, client]);
        let again = world.socket(cx, AF_INET, SOCK_STREAM);
        again.socket().set_option(cx, SOL_SOCKET, SO_REUSEADDR, &ON).unwrap();
        again.bind(cx, &addr).unwrap();
        again.close(cx);
    });
}

#[test]
fn low_ports_and_foreign_addresses_are_refused() {
    let world = World::new();
    let job = world.start(Credentials::user(5, 5), |cx, world| {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            let socket = world.socket(cx, AF_INET, kind);
            assert_eq!(socket.bind(cx, &at("127.0.0.1:80")), Err(Errno::EACCES));
            assert_eq!(socket.bind(cx, &at("10.1.2.3:8080")), Err(Errno::EADDRNOTAVAIL));
            assert_eq!(socket.bind(cx, &at("224.0.0.1:8080")), Err(Errno::EADDRNOTAVAIL));
            socket.bind(cx, &at("127.3.4.5:8080")).unwrap();
            assert_eq!(socket.bind(cx, &at("127.3.4.5:8081")), Err(Errno::EINVAL));
            socket.close(cx);
        }
    });
    job.join();
}

#[test]
fn many_bytes_go_through_a_connection_in_order() {
    run(|cx, world| {
        const BYTES: usize = 2_000_000;
        let (server, client, accepted) = connected(cx, world);
        let sender = client.clone();
        let job = world.start(Credentials::root(), move |cx, _| {
            let pattern: Vec<u8> = (0..BYTES).map(|n| n.to_le_bytes()[1]).collect();
            assert_eq!(sender.send(cx, &pattern), Ok(BYTES));
            sender.close(cx);
        });
        let how = RecvHow { wait_all: true, ..RecvHow::default() };
        let (bytes, _) = accepted.recv_with(cx, BYTES + 1, how).unwrap();
        assert_eq!(bytes.len(), BYTES);
        assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == n.to_le_bytes()[1]));
        job.join();
        drop(client);
        close_all(cx, [server, accepted]);
    });
}

#[test]
fn trunc_throws_bytes_of_a_stream_away() {
    run(|cx, world| {
        let (server, client, accepted) = connected(cx, world);
        client.send(cx, b"0123456789").unwrap();
        let how = RecvHow { trunc: true, ..RecvHow::default() };
        let (bytes, received) = accepted.recv_with(cx, 4, how).unwrap();
        assert_eq!((received.count, bytes), (4, vec![0; 4]));
        assert_eq!(accepted.recv(cx, 99).unwrap(), b"456789");
        close_all(cx, [server, client, accepted]);
    });
}

#[test]
fn datagrams_go_where_they_are_sent_and_say_from_where() {
    run(|cx, world| {
        let [a, b] = std::array::from_fn(|_| world.socket(cx, AF_INET, SOCK_DGRAM));
        a.bind(cx, &at("0.0.0.0:53")).unwrap();
        a.socket().set_option(cx, IPPROTO_IP, IP_PKTINFO, &ON).unwrap();
        assert_eq!(b.send(cx, b"x"), Err(Errno::EDESTADDRREQ));
        b.send_to(cx, b"question", &at("127.0.0.1:53")).unwrap();
        b.send_to(cx, b"", &at("127.0.0.2:53")).unwrap();
        let (bytes, received) = a.recv_with(cx, 4, RecvHow::default()).unwrap();
        assert_eq!((bytes.as_slice(), received.truncated), (&b"ques"[..], true));
        assert_eq!(received.from, Some(at(&format!("127.0.0.1:{}", port_of(&b)))));
        let info = received.control.packet_info.unwrap();
        assert_eq!((info.to.to_string().as_str(), info.interface), ("127.0.0.1", 1));
        assert_eq!(a.recv(cx, 9).unwrap(), b"");
        assert_eq!(b.send_to(cx, &[0; 65_508], &at("127.0.0.1:53")), Err(Errno::EMSGSIZE));
        assert_eq!(b.send_to(cx, b"x", &at("8.8.8.8:53")), Err(Errno::ENETUNREACH));
        close_all(cx, [a, b]);
    });
}

#[test]
fn a_connected_socket_hears_that_nobody_is_there() {
    run(|cx, world| {
        let [a, b] = std::array::from_fn(|_| world.socket(cx, AF_INET, SOCK_DGRAM));
        a.connect(cx, &at("127.0.0.1:9")).unwrap();
        assert_eq!(a.send(cx, b"x"), Ok(1));
        assert_eq!(a.poll() & POLLERR, POLLERR);
        assert_eq!(a.recv(cx, 9), Err(Errno::ECONNREFUSED));
        assert_eq!(a.try_recv(cx, 9), Err(Errno::EAGAIN));
        b.bind(cx, &at("127.0.0.1:9")).unwrap();
        assert_eq!(a.send(cx, b"now"), Ok(3));
        assert_eq!(b.recv(cx, 9).unwrap(), b"now");
        let c = world.socket(cx, AF_INET, SOCK_DGRAM);
        let stranger = at(&format!("127.0.0.1:{}", port_of(&a)));
        c.send_to(cx, b"not from the peer", &stranger).unwrap();
        assert_eq!(a.try_recv(cx, 9), Err(Errno::EAGAIN));
        a.connect(cx, &Address::Unspecified).unwrap();
        c.send_to(cx, b"from anybody", &stranger).unwrap();
        assert_eq!(a.recv(cx, 99).unwrap(), b"from anybody");
        close_all(cx, [a, b, c]);
    });
}

#[test]
fn datagrams_without_room_are_lost() {
    run(|cx, world| {
        let [a, b] = std::array::from_fn(|_| world.socket(cx, AF_INET, SOCK_DGRAM));
        a.bind(cx, &at("127.0.0.1:9")).unwrap();
        for _ in 0..100 {
            assert_eq!(b.send_to(cx, &[1; 10_000], &at("127.0.0.1:9")), Ok(10_000));
        }
        let mut received = 0;
        while a.try_recv(cx, 1).is_ok() {
            received += 1;
        }
        assert!((20..23).contains(&received), "{received}");
        close_all(cx, [a, b]);
    });
}

// TCP and UDP over the loopback.
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bound(int type, int *port) {
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    int fd = OK(socket(AF_INET, type, 0));
    OK(bind(fd, (void *)&address, len));
    OK(getsockname(fd, (void *)&address, &len));
    *port = ntohs(address.sin_port);
    CHECK(*port > 0 && len == sizeof address);
    return fd;
}

static int listening(int *port) {
    int fd = bound(SOCK_STREAM, port);
    OK(listen(fd, 8));
    return fd;
}

static int connected(int port) {
    struct sockaddr_in address = loopback(port);
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(connect(fd, (void *)&address, sizeof address));
    return fd;
}

CASE(a_connection_talks_both_ways) {
    int port, server = listening(&port);
    pid_t child = IN_CHILD({
        char bytes[8] = {0};
        int fd = connected(port);
        CHECK_EQ(write(fd, "ping", 4), 4);
        CHECK_EQ(read(fd, bytes, 8), 4);
        CHECK(!strcmp(bytes, "pong"));
        CHECK_EQ(read(fd, bytes, 8), 0);
    });
    struct sockaddr_in peer, own;
    socklen_t len = sizeof peer;
    int fd = OK(accept(server, (void *)&peer, &len));
    CHECK(peer.sin_family == AF_INET && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    OK(getsockname(fd, (void *)&own, &len));
    CHECK_EQ(ntohs(own.sin_port), port);
    char bytes[8];
    CHECK_EQ(read(fd, bytes, 8), 4);
    CHECK_EQ(write(fd, "pong", 4), 4);
    OK(close(fd));
    CHECK_CHILD(child);
}

CASE(four_megabytes_arrive_in_order) {
    enum { SIZE = 4 << 20 };
    int port, server = listening(&port);
    pid_t child = IN_CHILD({
        int fd = connected(port);
        unsigned char *bytes = malloc(SIZE);
        for (int i = 0; i < SIZE; i++) bytes[i] = i * 7 % 253;
        for (int sent = 0; sent < SIZE;) sent += OK((int)write(fd, bytes + sent, SIZE - sent));
    });
    int fd = OK(accept(server, NULL, NULL)), got, at = 0;
    unsigned char chunk[10000];
    while ((got = OK((int)read(fd, chunk, sizeof chunk))) > 0)
        for (int i = 0; i < got; i++, at++) CHECK_EQ(chunk[i], at * 7 % 253);
    CHECK_EQ(at, SIZE);
    CHECK_CHILD(child);
}

CASE(connecting_to_a_closed_port_is_refused) {
    int port, fd = bound(SOCK_STREAM, &port);
    OK(close(fd));
    struct sockaddr_in address = loopback(port);
    fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK_ERRNO(connect(fd, (void *)&address, sizeof address), ECONNREFUSED);
}

CASE(a_nonblocking_connect_finishes_by_poll) {
    int port, server = listening(&port), error = 1;
    struct sockaddr_in address = loopback(port);
    int fd = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (connect(fd, (void *)&address, sizeof address) == -1) CHECK_EQ(errno, EINPROGRESS);
    struct pollfd polled = {fd, POLLOUT, 0};
    CHECK_EQ(poll(&polled, 1, 5000), 1);
    socklen_t len = sizeof error;
    OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    CHECK_EQ(error, 0);
    // The first call after it completed may still say success, once.
    if (connect(fd, (void *)&address, sizeof address) == -1) CHECK_EQ(errno, EISCONN);
    CHECK_ERRNO(connect(fd, (void *)&address, sizeof address), EISCONN);
    char byte;
    CHECK_ERRNO(read(fd, &byte, 1), EAGAIN);
    OK(fcntl(server, F_SETFL, O_NONBLOCK));
    OK(accept(server, NULL, NULL));
    CHECK_ERRNO(accept(server, NULL, NULL), EAGAIN);
}

CASE(a_bound_port_is_in_use) {
    int port;
    bound(SOCK_STREAM, &port);
    struct sockaddr_in address = loopback(port);
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK_ERRNO(bind(fd, (void *)&address, sizeof address), EADDRINUSE);
    address.sin_addr.s_addr = htonl(0x08080808);
    address.sin_port = 0;
    CHECK_ERRNO(bind(fd, (void *)&address, sizeof address), EADDRNOTAVAIL);
    CHECK_ERRNO(bind(fd, (void *)&address, 3), EINVAL);
}

CASE(datagrams_reach_their_port_with_their_sender) {
    int one_port, two_port, one = bound(SOCK_DGRAM, &one_port), two = bound(SOCK_DGRAM, &two_port);
    struct sockaddr_in to = loopback(two_port), from;
    socklen_t len = sizeof from;
    char bytes[16];
    CHECK_EQ(sendto(one, "datagram", 8, 0, (void *)&to, sizeof to), 8);
    CHECK_EQ(sendto(one, "", 0, 0, (void *)&to, sizeof to), 0);
    CHECK_EQ(recvfrom(two, bytes, 3, MSG_TRUNC, (void *)&from, &len), 8);
    CHECK_EQ(ntohs(from.sin_port), one_port);
    CHECK_EQ(recv(two, bytes, 16, 0), 0);
    to = loopback(one_port);
    OK(connect(two, (void *)&to, sizeof to));
    CHECK_EQ(send(two, "x", 1, 0), 1);
    CHECK_EQ(recv(one, bytes, 16, 0), 1);
    OK(getpeername(two, (void *)&from, &len));
    CHECK_EQ(ntohs(from.sin_port), one_port);
    CHECK_ERRNO(send(one, "x", 1, 0), EDESTADDRREQ);
    CHECK_ERRNO(recv(one, bytes, 16, MSG_DONTWAIT), EAGAIN);
}

CASE(a_datagram_to_nobody_comes_back_as_an_error) {
    int port, other, fd = bound(SOCK_DGRAM, &port), nobody = bound(SOCK_DGRAM, &other);
    OK(close(nobody));
    struct sockaddr_in to = loopback(other);
    OK(connect(fd, (void *)&to, sizeof to));
    CHECK_EQ(send(fd, "x", 1, 0), 1);
    char byte;
    CHECK_ERRNO(recv(fd, &byte, 1, 0), ECONNREFUSED);
}

CASE(half_closed_connections_still_carry_the_other_way) {
    int port, server = listening(&port), fd = connected(port), peer = OK(accept(server, NULL, NULL));
    char bytes[4];
    OK(shutdown(fd, SHUT_WR));
    CHECK_EQ(read(peer, bytes, 4), 0);
    CHECK_EQ(write(peer, "abc", 3), 3);
    CHECK_EQ(read(fd, bytes, 4), 3);
    CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    OK(close(peer));
    CHECK_EQ(read(fd, bytes, 4), 0);
}

CASE(a_reset_is_told) {
    int port, server = listening(&port), fd = connected(port), peer = OK(accept(server, NULL, NULL));
    struct linger linger = {1, 0};
    OK(setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    OK(close(peer));
    char byte;
    CHECK_ERRNO(read(fd, &byte, 1), ECONNRESET);
    CHECK_EQ(read(fd, &byte, 1), 0);
}

CASE(options_are_kept) {
    int port, fd = listening(&port), value = 1;
    socklen_t len = sizeof value;
    OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, len));
    OK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, len));
    OK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, len));
    value = 0;
    OK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len));
    CHECK_EQ(value, 1);
    value = 0;
    OK(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &len));
    CHECK_EQ(value, 1);
    OK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len));
    CHECK_EQ(value, 1);
    OK(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &len));
    CHECK(value > 0);
    CHECK_ERRNO(getpeername(fd, (void *)&(struct sockaddr_in){0}, &len), ENOTCONN);
    CHECK_ERRNO(send(OK(socket(AF_INET, SOCK_STREAM, 0)), "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
}

CASE(peek_leaves_and_messages_scatter) {
    int port, server = listening(&port), fd = connected(port), peer = OK(accept(server, NULL, NULL));
    struct iovec out[2] = {{"ab", 2}, {"cdef", 4}};
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
    CHECK_EQ(sendmsg(fd, &message, 0), 6);
    char one[4] = {0}, two[8] = {0};
    CHECK_EQ(recv(peer, one, 3, MSG_PEEK | MSG_WAITALL), 3);
    struct iovec in[2] = {{one, 3}, {two, 7}};
    message = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
    CHECK_EQ(recvmsg(peer, &message, 0), 6);
    CHECK(!strcmp(one, "abc") && !strcmp(two, "def"));
}

CASE(fifty_connections_at_once) {
    int port, server = listening(&port);
    pid_t child = IN_CHILD({
        int fds[50];
        for (int i = 0; i < 50; i++) fds[i] = connected(port), CHECK_EQ(write(fds[i], &i, sizeof i), sizeof i);
        for (int i = 0; i < 50; i++) {
            int twice;
            CHECK_EQ(recv(fds[i], &twice, sizeof twice, MSG_WAITALL), sizeof twice);
            CHECK_EQ(twice, 2 * i);
        }
    });
    for (int i = 0; i < 50; i++) {
        int fd = OK(accept(server, NULL, NULL)), number;
        CHECK_EQ(recv(fd, &number, sizeof number, MSG_WAITALL), sizeof number);
        number *= 2;
        CHECK_EQ(write(fd, &number, sizeof number), sizeof number);
    }
    CHECK_CHILD(child);
}

CASE(ipv6_loopback_talks_too) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof address;
    int server = socket(AF_INET6, SOCK_STREAM, 0);
    if (server == -1 || (bind(server, (void *)&address, len) == -1 && errno == EADDRNOTAVAIL)) SKIP("no IPv6 here");
    OK(listen(server, 1)), OK(getsockname(server, (void *)&address, &len));
    int fd = OK(socket(AF_INET6, SOCK_STREAM, 0));
    OK(connect(fd, (void *)&address, len));
    int peer = OK(accept(server, NULL, NULL));
    tell(fd), await(peer);
}

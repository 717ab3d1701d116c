// Unix sockets: pairs, names, passing of descriptors and credentials.
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <stddef.h>

static struct sockaddr_un named(const char *name, socklen_t *len) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, strlen(name + 1) + 1);
    *len = offsetof(struct sockaddr_un, sun_path) + strlen(name + 1) + 1 + (name[0] != 0);
    return address;
}

CASE(a_stream_pair_talks_both_ways) {
    int fds[2];
    char bytes[8] = {0};
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    CHECK_EQ(write(fds[0], "ab", 2) + write(fds[0], "cd", 2), 4);
    CHECK_EQ(read(fds[1], bytes, 8), 4);
    CHECK(!strcmp(bytes, "abcd"));
    CHECK_EQ(send(fds[1], "x", 1, 0), 1);
    CHECK_EQ(recv(fds[0], bytes, 8, 0), 1);
    OK(close(fds[0]));
    CHECK_EQ(read(fds[1], bytes, 8), 0);
    CHECK_ERRNO(send(fds[1], "x", 1, MSG_NOSIGNAL), EPIPE);
}

CASE(datagrams_and_packets_keep_their_borders) {
    int types[] = {SOCK_DGRAM, SOCK_SEQPACKET}, fds[2];
    for (int i = 0; i < 2; i++) {
        char bytes[8];
        OK(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, fds));
        CHECK_EQ(send(fds[0], "one", 3, 0) + send(fds[0], "three", 5, 0) + send(fds[0], "", 0, 0), 8);
        CHECK_EQ(recv(fds[1], bytes, 8, 0), 3);
        CHECK_EQ(recv(fds[1], bytes, 2, MSG_TRUNC), 5);
        CHECK_EQ(recv(fds[1], bytes, 8, 0), 0);
        CHECK_ERRNO(recv(fds[1], bytes, 8, MSG_DONTWAIT), EAGAIN);
    }
}

static int listener(const char *name, int type) {
    socklen_t len;
    struct sockaddr_un address = named(name, &len);
    int fd = OK(socket(AF_UNIX, type, 0));
    OK(bind(fd, (void *)&address, len)), OK(listen(fd, 5));
    return fd;
}

static void talk_through(const char *name) {
    int server = listener(name, SOCK_STREAM);
    socklen_t len;
    struct sockaddr_un address = named(name, &len);
    pid_t child = IN_CHILD({
        int fd = OK(socket(AF_UNIX, SOCK_STREAM, 0));
        OK(connect(fd, (void *)&address, len));
        CHECK_EQ(write(fd, "hello", 5), 5);
        char bytes[8] = {0};
        CHECK_EQ(read(fd, bytes, 8), 2);
        CHECK(!strcmp(bytes, "yo"));
    });
    struct sockaddr_un peer;
    socklen_t size = sizeof peer;
    int fd = OK(accept4(server, (void *)&peer, &size, SOCK_CLOEXEC));
    CHECK_EQ(size, sizeof(sa_family_t));  // the peer has no name
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    char bytes[8];
    CHECK_EQ(read(fd, bytes, 8), 5);
    struct ucred cred;
    size = sizeof cred;
    OK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size));
    CHECK(cred.pid == child && cred.uid == getuid());
    CHECK_EQ(write(fd, "yo", 2), 2);
    CHECK_CHILD(child);
    size = sizeof peer;
    OK(getsockname(server, (void *)&peer, &size));
    CHECK(size == len && !memcmp(&peer, &address, len));
}

CASE(a_socket_named_by_a_file_connects) {
    talk_through("./socket");
    struct stat info;
    OK(stat("./socket", &info));
    CHECK(S_ISSOCK(info.st_mode));
    CHECK_ERRNO(open("./socket", O_RDONLY), ENXIO);
    socklen_t len;
    struct sockaddr_un address = named("./socket", &len);
    int fd = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK_ERRNO(bind(fd, (void *)&address, len), EADDRINUSE);
}

CASE(an_abstract_name_connects) { talk_through("\0check-abstract-name"); }

CASE(connecting_to_nobody_is_refused) {
    socklen_t len;
    struct sockaddr_un address = named("./nobody", &len);
    int fd = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK_ERRNO(connect(fd, (void *)&address, len), ENOENT);
    OK(close(listener("./nobody", SOCK_STREAM)));
    CHECK_ERRNO(connect(fd, (void *)&address, len), ECONNREFUSED);
    address = named("./dgram", &len);
    listener("./nobody2", SOCK_SEQPACKET);
    address = named("./nobody2", &len);
    CHECK_ERRNO(connect(fd, (void *)&address, len), EPROTOTYPE);
    CHECK_ERRNO(listen(fd, 1), EINVAL);
    CHECK_ERRNO(accept(fd, NULL, NULL), EINVAL);
}

CASE(named_datagrams_know_their_sender) {
    socklen_t alen, blen;
    struct sockaddr_un a = named("./a", &alen), b = named("./b", &blen), from;
    int one = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), two = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    OK(bind(one, (void *)&a, alen)), OK(bind(two, (void *)&b, blen));
    CHECK_EQ(sendto(one, "hi", 2, 0, (void *)&b, blen), 2);
    char bytes[8];
    socklen_t size = sizeof from;
    CHECK_EQ(recvfrom(two, bytes, 8, 0, (void *)&from, &size), 2);
    CHECK(size == alen && !strcmp(from.sun_path, "./a"));
    OK(connect(two, (void *)&a, alen));
    CHECK_EQ(send(two, "back", 4, 0), 4);
    CHECK_EQ(recv(one, bytes, 8, 0), 4);
    CHECK_ERRNO(sendto(one, "x", 1, 0, (void *)&(struct sockaddr_un){AF_UNIX, "./none"}, 9), ENOENT);
}

static void send_fd(int socket_fd, int fd) {
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec data = {"F", 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    CHECK_EQ(sendmsg(socket_fd, &message, 0), 1);
}

static int receive_fd(int socket_fd, int flags) {
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK_EQ(recvmsg(socket_fd, &message, flags), 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)));
    int fd;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

CASE(a_descriptor_travels_and_outlives_its_sender) {
    int fds[2], pipes[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds)), OK(pipe(pipes));
    CHECK_CHILD(IN_CHILD({ send_fd(fds[1], pipes[1]); }));
    OK(close(pipes[1]));
    int got = receive_fd(fds[0], MSG_CMSG_CLOEXEC);
    CHECK_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
    tell(got), await(pipes[0]);
    OK(close(got));
    char byte;
    CHECK_EQ(read(pipes[0], &byte, 1), 0);
}

CASE(a_descriptor_in_flight_is_closed_with_its_socket) {
    int fds[2], pipes[2];
    char byte;
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds)), OK(pipe(pipes));
    send_fd(fds[1], pipes[1]);
    OK(close(pipes[1])), OK(close(fds[0])), OK(close(fds[1]));
    CHECK_EQ(read(pipes[0], &byte, 1), 0);
}

CASE(a_socket_sent_over_itself_does_no_harm) {
    int fds[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    send_fd(fds[0], fds[1]), send_fd(fds[1], fds[0]);
    OK(close(fds[0])), OK(close(fds[1]));
}

CASE(credentials_travel_if_asked) {
    int fds[2], on = 1;
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    OK(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    pid_t child = IN_CHILD(CHECK_EQ(write(fds[1], "c", 1), 1));
    char control[CMSG_SPACE(sizeof(struct ucred))], byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK_EQ(recvmsg(fds[0], &message, 0), 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header && header->cmsg_type == SCM_CREDENTIALS);
    struct ucred cred;
    memcpy(&cred, CMSG_DATA(header), sizeof cred);
    CHECK(cred.pid == child && cred.uid == getuid() && cred.gid == getgid());
    CHECK_CHILD(child);
}

CASE(peek_and_waitall_and_dontwait) {
    int fds[2], waiting;
    char bytes[8] = {0};
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    CHECK_ERRNO(recv(fds[1], bytes, 4, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(write(fds[0], "wxyz", 4), 4);
    CHECK_EQ(recv(fds[1], bytes, 2, MSG_PEEK), 2);
    OK(ioctl(fds[1], FIONREAD, &waiting));
    CHECK_EQ(waiting, 4);
    pid_t child = IN_CHILD({ sleep_ms(10), CHECK_EQ(write(fds[0], "1234", 4), 4); });
    CHECK_EQ(recv(fds[1], bytes, 8, MSG_WAITALL), 8);
    CHECK(!memcmp(bytes, "wxyz1234", 8));
    CHECK_CHILD(child);
}

CASE(shutdown_closes_one_direction) {
    int fds[2];
    char byte;
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    OK(shutdown(fds[0], SHUT_WR));
    CHECK_EQ(read(fds[1], &byte, 1), 0);
    CHECK_ERRNO(send(fds[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(write(fds[1], "y", 1), 1);
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    CHECK_ERRNO(shutdown(fds[0], 9), EINVAL);
}

CASE(a_receive_times_out) {
    int fds[2];
    char byte;
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    struct timeval time = {0, 20000};
    OK(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    CHECK_ERRNO(recv(fds[0], &byte, 1, 0), EAGAIN);
}

CASE(options_tell_type_and_state) {
    int fd = listener("./opt", SOCK_SEQPACKET), value;
    socklen_t size = sizeof value;
    OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size));
    CHECK_EQ(value, SOCK_SEQPACKET);
    OK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
    CHECK_EQ(value, 1);
    OK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size));
    CHECK_EQ(value, AF_UNIX);
    OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size));
    CHECK_EQ(value, 0);
    CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, 9999, &value, &size), ENOPROTOOPT);
    CHECK_ERRNO(getsockopt(0x1000, SOL_SOCKET, SO_TYPE, &value, &size), EBADF);
    CHECK_ERRNO(getsockopt(OK(open("/dev/null", O_RDONLY)), SOL_SOCKET, SO_TYPE, &value, &size), ENOTSOCK);
    CHECK_ERRNO(socket(AF_UNIX, 99, 0), EINVAL);
    CHECK_ERRNO(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
}

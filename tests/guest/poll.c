// poll, select, epoll.
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>

CASE(poll_tells_what_is_ready) {
    int fds[2];
    OK(pipe(fds));
    struct pollfd polls[3] = {{fds[0], POLLIN, 0}, {fds[1], POLLOUT, 0}, {-1, POLLIN, 7}};
    CHECK_EQ(poll(polls, 3, 0), 1);
    CHECK(polls[0].revents == 0 && polls[1].revents == POLLOUT && polls[2].revents == 0);
    tell(fds[1]);
    CHECK_EQ(poll(polls, 3, -1), 2);
    CHECK_EQ(polls[0].revents, POLLIN);
    OK(close(fds[1]));
    polls[1].fd = 900;
    CHECK_EQ(poll(polls, 3, -1), 2);
    CHECK_EQ(polls[0].revents, POLLIN | POLLHUP);
    CHECK_EQ(polls[1].revents, POLLNVAL);
    OK(pipe(fds)), OK(close(fds[0]));
    struct pollfd broken = {fds[1], POLLOUT, 0};
    CHECK_EQ(poll(&broken, 1, 0), 1);
    CHECK_EQ(broken.revents, POLLOUT | POLLERR);
}

CASE(poll_waits_and_times_out) {
    int fds[2];
    OK(pipe(fds));
    struct pollfd polled = {fds[0], POLLIN, 0};
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(poll(&polled, 1, 30), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 30000000);
    pid_t child = IN_CHILD({ sleep_ms(20), tell(fds[1]); });
    CHECK_EQ(poll(&polled, 1, 10000), 1);
    CHECK_CHILD(child);
    CHECK_EQ(poll(NULL, 0, 1), 0);
    CHECK_ERRNO(syscall(SYS_poll, 8, 1, 0), EFAULT);
}

CASE(regular_files_are_always_ready) {
    int fd = OK(open("file", O_RDWR | O_CREAT, 0600));
    struct pollfd polled = {fd, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&polled, 1, 0), 1);
    CHECK_EQ(polled.revents, POLLIN | POLLOUT);
}

static void nothing(int sig) { (void)sig; }

CASE(ppoll_swaps_the_mask) {
    sigset_t set, none;
    sigemptyset(&none), sigemptyset(&set), sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    signal(SIGUSR1, nothing);
    OK(raise(SIGUSR1));
    struct timespec second = {1, 0};
    CHECK_EQ(ppoll(NULL, 0, &(struct timespec){0, 1000}, NULL), 0);
    CHECK_ERRNO(ppoll(NULL, 0, &second, &none), EINTR);
    CHECK_ERRNO(ppoll(NULL, 0, &(struct timespec){0, -1}, NULL), EINVAL);
}

CASE(select_marks_ready_descriptors) {
    int fds[2];
    OK(pipe(fds));
    fd_set reads, writes;
    FD_ZERO(&reads);
    FD_SET(fds[0], &reads);
    FD_ZERO(&writes);
    FD_SET(fds[1], &writes);
    struct timeval zero = {0, 0};
    CHECK_EQ(select(fds[1] + 1, &reads, &writes, NULL, &zero), 1);
    CHECK(!FD_ISSET(fds[0], &reads) && FD_ISSET(fds[1], &writes));
    tell(fds[1]);
    FD_SET(fds[0], &reads);
    CHECK_EQ(select(fds[1] + 1, &reads, NULL, NULL, NULL), 1);
    CHECK(FD_ISSET(fds[0], &reads));
    FD_SET(60, &reads);
    CHECK_ERRNO(select(61, &reads, NULL, NULL, &zero), EBADF);
    CHECK_ERRNO(syscall(SYS_select, -1, 0, 0, 0, &zero), EINVAL);
    struct timeval some = {0, 20000};
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(select(0, NULL, NULL, NULL, &some), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 20000000);
}

static int add(int ep, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = 1000 + fd};
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

CASE(epoll_gives_the_data_of_ready_files) {
    int ep = OK(epoll_create1(EPOLL_CLOEXEC)), one[2], two[2];
    struct epoll_event events[4];
    OK(pipe(one)), OK(pipe(two));
    OK(add(ep, one[0], EPOLLIN)), OK(add(ep, two[0], EPOLLIN));
    CHECK_EQ(epoll_wait(ep, events, 4, 0), 0);
    tell(two[1]);
    CHECK_EQ(epoll_wait(ep, events, 4, -1), 1);
    CHECK(events[0].data.u64 == 1000u + two[0] && events[0].events == EPOLLIN);
    tell(one[1]);
    CHECK_EQ(epoll_wait(ep, events, 4, -1), 2);
    CHECK_EQ(epoll_wait(ep, events, 1, -1), 1);
    CHECK_EQ(epoll_wait(ep, events, 4, -1), 2);  // level: still ready
    await(one[0]), await(two[0]);
    CHECK_EQ(epoll_wait(ep, events, 4, 0), 0);
}

CASE(epoll_edge_tells_once_and_oneshot_disarms) {
    int ep = OK(epoll_create1(0)), fds[2];
    struct epoll_event event;
    OK(pipe(fds));
    OK(add(ep, fds[0], EPOLLIN | EPOLLET));
    tell(fds[1]);
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 1);
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
    tell(fds[1]);
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 1);
    event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT};
    OK(epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &event));
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 1);
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
    event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT};
    OK(epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &event));
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 1);
}

CASE(epoll_forgets_closed_and_removed_files) {
    int ep = OK(epoll_create1(0)), fds[2];
    struct epoll_event event;
    OK(pipe(fds));
    OK(add(ep, fds[0], EPOLLIN));
    tell(fds[1]);
    OK(epoll_ctl(ep, EPOLL_CTL_DEL, fds[0], NULL));
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, fds[0], NULL), ENOENT);
    OK(add(ep, fds[0], EPOLLIN));
    OK(close(fds[0]));
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
}

CASE(epoll_checks_its_arguments) {
    int ep = OK(epoll_create1(0)), fds[2], file = OK(open("file", O_RDWR | O_CREAT, 0600));
    struct epoll_event event = {.events = EPOLLIN};
    OK(pipe(fds));
    OK(add(ep, fds[0], EPOLLIN));
    CHECK_ERRNO(add(ep, fds[0], EPOLLIN), EEXIST);
    CHECK_ERRNO(add(ep, ep, EPOLLIN), EINVAL);
    CHECK_ERRNO(add(ep, file, EPOLLIN), EPERM);
    CHECK_ERRNO(add(ep, 900, EPOLLIN), EBADF);
    CHECK_ERRNO(add(fds[0], fds[1], EPOLLIN), EINVAL);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, fds[1], &event), ENOENT);
    CHECK_ERRNO(epoll_ctl(ep, 99, fds[1], &event), EINVAL);
    CHECK_ERRNO(epoll_wait(ep, &event, 0, 0), EINVAL);
    CHECK_ERRNO(epoll_create1(1), EINVAL);
    CHECK_ERRNO(epoll_create(0), EINVAL);
}

CASE(epoll_nests_but_not_in_a_circle) {
    int outer = OK(epoll_create1(0)), inner = OK(epoll_create1(0)), fds[2];
    struct epoll_event event;
    OK(pipe(fds));
    OK(add(inner, fds[0], EPOLLIN)), OK(add(outer, inner, EPOLLIN));
    CHECK_ERRNO(add(inner, outer, EPOLLIN), ELOOP);
    CHECK_EQ(epoll_wait(outer, &event, 1, 0), 0);
    tell(fds[1]);
    CHECK_EQ(epoll_wait(outer, &event, 1, -1), 1);
    CHECK_EQ(event.data.u64, 1000u + inner);
}

CASE(epoll_wakes_a_waiter) {
    int ep = OK(epoll_create1(0)), fds[2];
    struct epoll_event event;
    OK(pipe(fds));
    OK(add(ep, fds[0], EPOLLIN));
    pid_t child = IN_CHILD({ sleep_ms(20), tell(fds[1]); });
    CHECK_EQ(epoll_wait(ep, &event, 1, 10000), 1);
    await(fds[0]);
    CHECK_CHILD(child);
    OK(close(fds[1]));
    CHECK_EQ(epoll_wait(ep, &event, 1, 10000), 1);
    CHECK_EQ(event.events, EPOLLHUP);
}

CASE(epoll_watches_sockets_with_rdhup) {
    int ep = OK(epoll_create1(0)), fds[2];
    struct epoll_event event;
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    OK(add(ep, fds[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP));
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 1);
    CHECK_EQ(event.events, EPOLLOUT);
    OK(shutdown(fds[1], SHUT_WR));
    CHECK_EQ(epoll_wait(ep, &event, 1, 0), 1);
    CHECK_EQ(event.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

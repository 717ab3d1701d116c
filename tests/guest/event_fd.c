// eventfd, signalfd, timerfd.
#include "check.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static int is_readable(int fd) {
    struct pollfd polled = {fd, POLLIN, 0};
    return poll(&polled, 1, 0) == 1 && (polled.revents & POLLIN);
}

CASE(an_eventfd_counts) {
    int fd = OK(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
    uint64_t value = 4;
    CHECK(is_readable(fd));
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 7);
    CHECK(!is_readable(fd));
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
    CHECK_ERRNO(read(fd, &value, 4), EINVAL);
    value = UINT64_MAX;
    CHECK_ERRNO(write(fd, &value, 8), EINVAL);
    value = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &value, 8), 8);
    value = 1;
    CHECK_ERRNO(write(fd, &value, 8), EAGAIN);
    CHECK_ERRNO(eventfd(0, 0x77), EINVAL);
}

CASE(a_semaphore_eventfd_gives_ones) {
    int fd = OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    uint64_t value;
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 1);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
}

CASE(an_eventfd_wakes_its_reader) {
    int fd = OK(eventfd(0, 0));
    uint64_t value = 5;
    pid_t child = IN_CHILD({
        uint64_t got;
        CHECK_EQ(read(fd, &got, 8), 8);
        CHECK_EQ(got, 5);
    });
    sleep_ms(10);
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_CHILD(child);
}

CASE(a_signalfd_takes_pending_signals) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGCHLD);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = OK(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    struct signalfd_siginfo info;
    CHECK_ERRNO(read(fd, &info, sizeof info), EAGAIN);
    OK(raise(SIGUSR1));
    CHECK(is_readable(fd));
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK(info.ssi_signo == SIGUSR1 && info.ssi_pid == (unsigned)getpid());
    pid_t child = IN_CHILD(_exit(4));
    siginfo_t ended;
    OK(waitid(P_PID, child, &ended, WEXITED));
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK(info.ssi_signo == SIGCHLD && info.ssi_pid == (unsigned)child && info.ssi_status == 4);
    CHECK_ERRNO(read(fd, &info, 10), EINVAL);
    CHECK_ERRNO(signalfd(0, &set, 0), EINVAL);
}

static struct itimerspec after_ms(long first, long then) {
    return (struct itimerspec){{then / 1000, then % 1000 * 1000000}, {first / 1000, first % 1000 * 1000000}};
}

CASE(a_timerfd_fires_once) {
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    struct itimerspec time = after_ms(20, 0), left;
    int64_t start = now_ns(CLOCK_MONOTONIC);
    OK(timerfd_settime(fd, 0, &time, NULL));
    OK(timerfd_gettime(fd, &left));
    CHECK(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 20000000);
    CHECK(!is_readable(fd));
    uint64_t count;
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK_EQ(count, 1);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 20000000);
    OK(fcntl(fd, F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(read(fd, &count, 8), EAGAIN);
}

CASE(a_periodic_timerfd_counts_what_was_missed) {
    int fd = OK(timerfd_create(CLOCK_REALTIME, 0));
    struct itimerspec time = after_ms(10, 10), zero = {0}, old;
    OK(timerfd_settime(fd, 0, &time, NULL));
    sleep_ms(55);
    uint64_t count;
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK(count >= 5);
    OK(timerfd_settime(fd, 0, &zero, &old));
    CHECK_EQ(old.it_interval.tv_nsec, 10000000);
}

CASE(an_absolute_timerfd_in_the_past_fires_at_once) {
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, 0));
    struct itimerspec time = {.it_value = {0, 1}};
    OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &time, NULL));
    uint64_t count;
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK_ERRNO(timerfd_create(99, 0), EINVAL);
    time.it_value.tv_nsec = -1;
    CHECK_ERRNO(timerfd_settime(fd, 0, &time, NULL), EINVAL);
}

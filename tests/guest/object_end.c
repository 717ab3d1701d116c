// Ends that are easy to get wrong: objects that refer to each other, and tasks that die while they
// wait. The sandbox is asked afterwards whether it kept anything.
#include "check.h"
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static void give(int through, int fd) {
    char byte = 'x';
    struct iovec data = {&byte, 1};
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr header; } control = {0};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    CHECK_EQ(sendmsg(through, &message, 0), 1);
}

static void watch(int epoll, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

CASE(sockets_that_carry_each_other) {
    int a[2], b[2], c[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, a));
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, b));
    OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, c));
    give(a[0], b[1]);
    give(b[0], c[1]);
    give(c[0], a[1]);
    give(a[1], a[0]);
    for (int i = 0; i < 2; i++) OK(close(a[i])), OK(close(b[i])), OK(close(c[i]));
}

CASE(an_epoll_inside_a_socket_that_it_watches) {
    int pair[2], epoll = OK(epoll_create1(0));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    watch(epoll, pair[0], EPOLLIN);
    watch(epoll, pair[1], EPOLLIN | EPOLLET);
    give(pair[0], epoll);
    give(pair[1], epoll);
    OK(close(epoll)), OK(close(pair[0])), OK(close(pair[1]));
}

CASE(epolls_that_watch_all_kinds_of_files) {
    int inner = OK(epoll_create1(0)), outer = OK(epoll_create1(0)), pipes[2];
    int timer = OK(timerfd_create(CLOCK_MONOTONIC, 0)), event = OK(eventfd(1, 0));
    sigset_t mask;
    sigfillset(&mask);
    OK(pipe(pipes));
    OK(timerfd_settime(timer, 0, &(struct itimerspec){{3600, 0}, {3600, 0}}, NULL));
    int files[] = {pipes[0], pipes[1], timer, event, OK(signalfd(-1, &mask, 0))};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) watch(inner, files[i], EPOLLIN | EPOLLOUT);
    watch(outer, inner, EPOLLIN | EPOLLONESHOT);
    struct epoll_event ready[8];
    CHECK(OK(epoll_wait(outer, ready, 8, 0)) >= 1);
    // Some end before those that watch them, some after.
    OK(close(inner)), OK(close(event)), OK(dup(timer)), OK(close(timer));
}

CASE(timers_that_are_still_armed) {
    timer_t timer;
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    struct itimerval far = {{3600, 0}, {3600, 0}};
    for (int i = 0; i < 3; i++) {
        OK(timer_create(i == 2 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, i ? NULL : &none, &timer));
        OK(timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {3600, 0}}, NULL));
    }
    OK(setitimer(ITIMER_REAL, &far, NULL));
    OK(setitimer(ITIMER_VIRTUAL, &far, NULL));
    OK(setitimer(ITIMER_PROF, &far, NULL));
}

static int waits[6];
static unsigned word;

static void *wait_forever(void *arg) {
    struct epoll_event event;
    struct pollfd polled = {waits[0], POLLIN, 0};
    char byte;
    switch ((intptr_t)arg) {
    case 0: (void)!read(waits[0], &byte, 1); break;
    case 1: epoll_wait(waits[2], &event, 1, 3600000); break;
    case 2: poll(&polled, 1, 3600000); break;
    case 3: syscall(SYS_futex, &word, FUTEX_WAIT, 0, &(struct timespec){3600, 0}); break;
    case 4: syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL); break;
    case 5: nanosleep(&(struct timespec){3600, 0}, NULL); break;
    case 6: flock(waits[3], LOCK_EX); break;
    case 7: accept(waits[4], NULL, NULL); break;
    case 8: recv(waits[5], &byte, 1, 0); break;
    case 9: pause(); break;
    case 10: open("ended-fifo", O_RDONLY); break;
    }
    return NULL;
}

// How the process ends while its threads wait.
static void end_while_waiting(int way) {
    int pair[2];
    pid_t child = OK(fork());
    if (child == 0) {
        OK(pipe(waits));
        waits[2] = OK(epoll_create1(0));
        watch(waits[2], waits[0], EPOLLIN);
        int held = OK(open("ended-lock", O_RDWR | O_CREAT, 0600));
        OK(flock(held, LOCK_EX));
        waits[3] = OK(open("ended-lock", O_RDWR));
        waits[4] = OK(socket(AF_INET, SOCK_STREAM, 0));
        OK(listen(waits[4], 5));
        OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        waits[5] = pair[0];
        for (intptr_t i = 0; i <= 10; i++) {
            pthread_t thread;
            CHECK_EQ(pthread_create(&thread, NULL, wait_forever, (void *)i), 0);
        }
        // Long enough for most of them; all ways are right at any time.
        usleep(20000);
        if (way == 0) _exit(0);
        if (way == 1) kill(getpid(), SIGKILL);
        char *argv[] = {"true", NULL};
        execv("/bin/true", argv);
        _exit(1);
    }
    int status;
    CHECK_EQ(OK(waitpid(child, &status, 0)), child);
    CHECK_EQ(status, way == 1 ? SIGKILL : 0);
}

CASE(threads_that_wait_when_their_process_exits) {
    OK(mkfifo("ended-fifo", 0600));
    end_while_waiting(0);
}

CASE(threads_that_wait_when_their_process_is_killed) { end_while_waiting(1); }
CASE(threads_that_wait_when_their_process_executes) { end_while_waiting(2); }

CASE(mappings_outlive_their_files) {
    int file = OK(open("ended-file", O_RDWR | O_CREAT, 0600)), memory = OK(syscall(SYS_memfd_create, "ended", 0));
    OK(ftruncate(file, 8192)), OK(ftruncate(memory, 8192));
    char *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *b = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0);
    CHECK(a != MAP_FAILED && b != MAP_FAILED);
    OK(close(file)), OK(close(memory)), OK(unlink("ended-file"));
    a[0] = b[0] = 1;
    pid_t child = OK(fork());
    if (child == 0) a[4096] = b[4096] = 2, raise(SIGKILL);
    CHECK_EQ(OK(waitpid(child, NULL, 0)), child);
    CHECK_EQ(a[4096], 2);
}

CASE(connections_that_nobody_accepts) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(bind(listener, (void *)&address, len));
    OK(listen(listener, 5));
    OK(getsockname(listener, (void *)&address, &len));
    for (int i = 0; i < 3; i++) {
        int client = OK(socket(AF_INET, SOCK_STREAM, 0));
        OK(connect(client, (void *)&address, len));
        CHECK_EQ(send(client, "unread", 6, 0), 6);
        if (i == 0) OK(close(client));
    }
    int local = OK(socket(AF_UNIX, SOCK_STREAM, 0)), client = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(bind(local, &(struct sockaddr){AF_UNIX, "\0ended"}, 8));
    OK(listen(local, 5));
    OK(connect(client, &(struct sockaddr){AF_UNIX, "\0ended"}, 8));
    give(client, client);
    give(client, local);
}

CASE(files_of_a_process_that_is_gone) {
    char name[64];
    pid_t child = OK(fork());
    if (child == 0) pause(), _exit(0);
    const char *files[] = {"status", "maps", "fd", "task", "mounts", "stat"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(name, sizeof name, "/proc/%d/%s", child, files[i]);
        OK(open(name, O_RDONLY));
    }
    snprintf(name, sizeof name, "/proc/%d", child);
    OK(chdir(name));
    OK(kill(child, SIGKILL));
    CHECK_EQ(OK(waitpid(child, NULL, 0)), child);
}

CASE(a_terminal_and_its_session) {
    int status;
    pid_t leader = OK(fork());
    if (leader != 0) {
        CHECK_EQ(OK(waitpid(leader, &status, 0)), leader);
        CHECK_EQ(status, 0);
        return;
    }
    OK(setsid());
    int master = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY)), unlocked = 0, number;
    OK(ioctl(master, TIOCSPTLCK, &unlocked));
    OK(ioctl(master, TIOCGPTN, &number));
    char name[32];
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    OK(open(name, O_RDWR));
    CHECK_EQ(write(master, "half a line", 11), 11);
    _exit(0);
}

CASE(orphans_and_their_zombies) {
    if (OK(fork()) == 0) {
        for (int i = 0; i < 3; i++)
            if (OK(fork()) == 0) _exit(i);
        // Nobody waits; this process is not waited for either.
        if (OK(fork()) == 0) usleep(10000), _exit(0);
        _exit(0);
    }
    usleep(20000);
}

CASE(a_mount_namespace_of_its_own) {
    if (unshare(CLONE_NEWNS) < 0) SKIP("unshare: %s", strerror(errno));
    OK(mkdir("ended-mount", 0700));
    OK(mount("none", "ended-mount", "tmpfs", 0, NULL));
    OK(chdir("ended-mount"));
    OK(open("file", O_RDWR | O_CREAT, 0600));
}

CASE(a_child_that_runs_on_when_init_ends) {
    // In a session of its own it outlives this case.
    if (OK(fork()) == 0) {
        OK(setsid());
        for (int fd = 0; fd < 3; fd++) OK(close(fd));
        int timer = OK(timerfd_create(CLOCK_MONOTONIC, 0));
        OK(timerfd_settime(timer, 0, &(struct itimerspec){{0, 1000000}, {3600, 0}}, NULL));
        uint64_t count;
        (void)!read(timer, &count, 8);
        _exit(0);
    }
}

// Cases and checks of guest programs; see README.md.
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CASE_DEADLINE_S = 20, SKIPPED = 77 };

struct check_case {
    const char *name;
    void (*body)(void);
    struct check_case *next;
};

static struct check_case *check_first, **check_last = &check_first;
static const char *check_name = "?";

// Registers a case; cases run in the order of the file.
#define CASE(name) \
    static void name(void); \
    __attribute__((constructor)) static void check_register_##name(void) { \
        static struct check_case self = {#name, name, NULL}; \
        *check_last = &self; \
        check_last = &self.next; \
    } \
    static void name(void)

// Writes a line in one call, so that lines of several processes do not mix.
__attribute__((format(printf, 1, 2), unused)) static void check_say(const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (len > (int)sizeof line - 1) len = sizeof line - 1, line[len - 1] = '\n';
    if (write(1, line, len) != len) _exit(3);
}

#define FAIL(format, ...) \
    do { \
        check_say("FAIL %s: %s:%d: " format "\n", check_name, __FILE_NAME__, __LINE__, ##__VA_ARGS__); \
        _exit(1); \
    } while (0)

#define SKIP(format, ...) \
    do { \
        check_say("skip %s: " format "\n", check_name, ##__VA_ARGS__); \
        _exit(SKIPPED); \
    } while (0)

#define CHECK(condition) \
    ({ \
        if (!(condition)) FAIL("%s (errno %d, %s)", #condition, errno, strerror(errno)); \
    })

#define CHECK_EQ(got, wanted) \
    ({ \
        long long check_got = (long long)(got), check_wanted = (long long)(wanted); \
        if (check_got != check_wanted) \
            FAIL("%s is %lld, not %lld (errno %d)", #got, check_got, check_wanted, errno); \
    })

// The call must fail with this errno.
#define CHECK_ERRNO(call, wanted) \
    ({ \
        errno = 0; \
        long long check_got = (long long)(call); \
        if (check_got != -1) FAIL("%s is %lld, not an error", #call, check_got); \
        if (errno != (wanted)) FAIL("%s: errno %d, not %s", #call, errno, #wanted); \
    })

// The call must not fail; its value.
#define OK(call) \
    ({ \
        __typeof__(call) check_value = (call); \
        if ((long long)check_value == -1) \
            FAIL("%s: errno %d, %s", #call, errno, strerror(errno)); \
        check_value; \
    })

// The child must exit with status 0.
#define CHECK_CHILD(...) check_child((__VA_ARGS__), __LINE__)

__attribute__((unused)) static void check_child(pid_t pid, int line) {
    int status = 0;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) == -1 && errno == EINTR) {}
    if (got == pid && status == 0) return;
    check_say("FAIL %s: line %d: child %d: wait said %d, status 0x%x, errno %d\n", check_name, line,
              pid, got, status, errno);
    _exit(1);
}

// Runs the block in a child, which exits with 0 at its end; the parent gets the pid.
#define IN_CHILD(...) \
    ({ \
        pid_t check_pid = OK(fork()); \
        if (check_pid == 0) { \
            __VA_ARGS__; \
            _exit(0); \
        } \
        check_pid; \
    })

__attribute__((unused)) static int64_t now_ns(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now)) _exit(3);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

__attribute__((unused)) static void sleep_ms(long ms) {
    struct timespec rest = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&rest, &rest) && errno == EINTR) {}
}

// One byte through a pipe is how processes of a case wait for one another.
__attribute__((unused)) static void tell(int fd) { CHECK_EQ(write(fd, "x", 1), 1); }
__attribute__((unused)) static void await(int fd) {
    char byte;
    ssize_t got;
    while ((got = read(fd, &byte, 1)) == -1 && errno == EINTR) {}
    CHECK_EQ(got, 1);
}

// Waits for the process of a case, at most for its deadline, by the plainest means.
static int check_wait(pid_t pid, int *status) {
    int64_t end = now_ns(CLOCK_MONOTONIC) + CASE_DEADLINE_S * 1000000000LL;
    for (long ms = 0; now_ns(CLOCK_MONOTONIC) < end; ms = ms < 10 ? ms + 1 : ms) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid) return 1;
        sleep_ms(ms ? ms : 1);
    }
    return 0;
}

static int check_run(struct check_case *run) {
    int status = 0;
    check_name = run->name;
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        // An empty folder of its own, where the place allows.
        if (mkdir(run->name, 0755) == 0 && chdir(run->name)) _exit(3);
        run->body();
        _exit(0);
    }
    if (pid == -1) {
        check_say("FAIL %s: fork: errno %d\n", run->name, errno);
        return 1;
    }
    int ended = check_wait(pid, &status);
    kill(-pid, SIGKILL);  // what it left behind
    if (!ended) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        check_say("FAIL %s: still running after %d s\n", run->name, CASE_DEADLINE_S);
        return 1;
    }
    if (status == SKIPPED << 8) return 0;
    if (status) check_say("FAIL %s: wait status 0x%x\n", run->name, status);
    else check_say("ok %s\n", run->name);
    return status != 0;
}

int main(int argc, char **argv) {
    int failed = 0, count = 0;
    for (struct check_case *next = check_first; next; next = next->next) {
        if (argc > 1 && !strstr(next->name, argv[1])) continue;
        failed |= check_run(next);
        count++;
    }
    check_say("done %d\n", count);
    return failed;
}

#endif

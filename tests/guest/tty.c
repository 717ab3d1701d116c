// Terminals: pty pairs, line discipline, window size, job control.
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master;

// A pty pair; returns the slave, which is nobody's controlling terminal yet.
static int pty(void) {
    char name[64];
    master = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    OK(grantpt(master)), OK(unlockpt(master));
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    CHECK(!strncmp(name, "/dev/pts/", 9));
    return OK(open(name, O_RDWR | O_NOCTTY));
}

static void set(int fd, tcflag_t off, tcflag_t on) {
    struct termios termios;
    OK(tcgetattr(fd, &termios));
    termios.c_lflag = (termios.c_lflag & ~off) | on;
    OK(tcsetattr(fd, TCSANOW, &termios));
}

static void reads(int fd, const char *wanted) {
    char got[128] = {0};
    size_t len = 0;
    while (len < strlen(wanted)) {
        ssize_t some = OK(read(fd, got + len, sizeof got - 1 - len));
        if (some == 0) break;
        len += some;
    }
    if (strcmp(got, wanted)) FAIL("read %s, not %s", got, wanted);
}

static void types(const char *text) { CHECK_EQ(write(master, text, strlen(text)), strlen(text)); }

static int is_readable(int fd) {
    struct pollfd polled = {fd, POLLIN, 0};
    return poll(&polled, 1, 20) == 1 && (polled.revents & POLLIN);
}

CASE(both_ends_are_terminals) {
    int slave = pty();
    CHECK(isatty(slave) && isatty(master));
    int null = OK(open("/dev/null", O_RDONLY));
    CHECK(!isatty(null));
    CHECK_EQ(errno, ENOTTY);
}

CASE(lines_are_edited_and_echoed) {
    int slave = pty();
    types("abx\177c\n");
    reads(slave, "abc\n");
    reads(master, "abx\b \bc\r\n");
    types("killed\025kept\n");
    reads(slave, "kept\n");
}

CASE(a_line_comes_only_when_it_ends) {
    int slave = pty();
    set(slave, ECHO, 0);
    types("half");
    CHECK(!is_readable(slave));
    types("\004");
    reads(slave, "half");
    types("\004");
    char byte;
    CHECK_EQ(read(slave, &byte, 1), 0);  // end of file at the start of a line
    types("one\ntwo\n");
    reads(slave, "one\n");
    reads(slave, "two\n");
}

CASE(raw_mode_passes_every_byte) {
    int slave = pty();
    struct termios termios;
    OK(tcgetattr(slave, &termios));
    cfmakeraw(&termios);
    OK(tcsetattr(slave, TCSANOW, &termios));
    types("a\003\177\r");
    reads(slave, "a\003\177\r");
    CHECK(!is_readable(master));
    CHECK_EQ(write(slave, "x\ny", 3), 3);
    reads(master, "x\ny");
}

CASE(output_gets_carriage_returns) {
    int slave = pty();
    CHECK_EQ(write(slave, "a\nb\n", 4), 4);
    reads(master, "a\r\nb\r\n");
}

CASE(vmin_zero_does_not_wait) {
    int slave = pty();
    struct termios termios;
    char byte;
    OK(tcgetattr(slave, &termios));
    cfmakeraw(&termios);
    termios.c_cc[VMIN] = 0, termios.c_cc[VTIME] = 0;
    OK(tcsetattr(slave, TCSANOW, &termios));
    CHECK_EQ(read(slave, &byte, 1), 0);
    termios.c_cc[VTIME] = 1;
    OK(tcsetattr(slave, TCSANOW, &termios));
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(read(slave, &byte, 1), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 90000000);
}

CASE(attributes_are_kept_and_shared) {
    int slave = pty();
    struct termios one, two;
    OK(tcgetattr(slave, &one));
    CHECK(one.c_lflag & ICANON && one.c_lflag & ECHO && one.c_lflag & ISIG);
    CHECK_EQ(one.c_cc[VINTR], 3);
    CHECK_EQ(one.c_cc[VEOF], 4);
    one.c_cc[VINTR] = 7;
    OK(tcsetattr(slave, TCSADRAIN, &one));
    OK(tcgetattr(master, &two));
    CHECK_EQ(two.c_cc[VINTR], 7);
}

static volatile sig_atomic_t winches;
static void on_winch(int sig) { winches += sig == SIGWINCH; }

// Runs the block in a session of its own whose terminal is `slave`.
#define ON_TERMINAL(slave, ...)                                          \
    IN_CHILD({                                                           \
        OK(setsid());                                                    \
        OK(ioctl(slave, TIOCSCTTY, 0));                                  \
        __VA_ARGS__;                                                     \
    })

CASE(the_window_has_a_size_and_tells_changes) {
    int slave = pty(), ready[2];
    struct winsize size = {24, 80, 0, 0}, got;
    OK(pipe(ready));
    OK(ioctl(master, TIOCSWINSZ, &size));
    OK(ioctl(slave, TIOCGWINSZ, &got));
    CHECK(got.ws_row == 24 && got.ws_col == 80);
    pid_t child = ON_TERMINAL(slave, {
        sigset_t set;
        sigset_t none;
        sigemptyset(&none), sigemptyset(&set), sigaddset(&set, SIGWINCH);
        OK(sigprocmask(SIG_BLOCK, &set, NULL));
        signal(SIGWINCH, on_winch);
        tell(ready[1]);
        while (!winches) sigsuspend(&none);
        OK(ioctl(slave, TIOCGWINSZ, &got));
        CHECK(got.ws_row == 50 && got.ws_col == 132);
    });
    await(ready[0]);
    size.ws_row = 50, size.ws_col = 132;
    OK(ioctl(master, TIOCSWINSZ, &size));
    CHECK_CHILD(child);
}

CASE(a_session_gets_its_terminal) {
    int slave = pty();
    CHECK_CHILD(ON_TERMINAL(slave, {
        CHECK_EQ(tcgetsid(slave), getpid());
        CHECK_EQ(tcgetpgrp(slave), getpid());
        int tty = OK(open("/dev/tty", O_RDWR));
        CHECK_EQ(write(tty, "x", 1), 1);
        CHECK_ERRNO(tcsetpgrp(slave, 999999), ESRCH);
    }));
    reads(master, "x");
    CHECK_CHILD(IN_CHILD({
        OK(setsid());
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
    }));
}

static int ends_by(pid_t child) {
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

CASE(control_characters_signal_the_foreground) {
    struct { const char *key; int sig; } keys[] = {{"\003", SIGINT}, {"\034", SIGQUIT}};
    for (int i = 0; i < 2; i++) {
        int slave = pty(), ready[2];
        OK(pipe(ready));
        pid_t child = ON_TERMINAL(slave, { tell(ready[1]); for (;;) pause(); });
        await(ready[0]);
        types(keys[i].key);
        CHECK_EQ(ends_by(child), keys[i].sig);
    }
}

CASE(suspend_stops_the_foreground_job) {
    int slave = pty(), ready[2];
    OK(pipe(ready));
    pid_t child = ON_TERMINAL(slave, {
        int status;
        pid_t job = IN_CHILD({ setpgid(0, 0), tell(ready[1]); for (;;) pause(); });
        setpgid(job, job);
        signal(SIGTTOU, SIG_IGN);
        OK(tcsetpgrp(slave, job));
        CHECK_EQ(tcgetpgrp(slave), job);
        tell(ready[1]);
        CHECK_EQ(waitpid(job, &status, WUNTRACED), job);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
        OK(tcsetpgrp(slave, getpid()));
        OK(kill(job, SIGKILL));
        CHECK_EQ(ends_by(job), SIGKILL);
    });
    await(ready[0]), await(ready[0]);
    types("\032");
    CHECK_CHILD(child);
}

CASE(a_background_reader_is_stopped) {
    int slave = pty();
    CHECK_CHILD(ON_TERMINAL(slave, {
        int status;
        char byte;
        pid_t job = IN_CHILD({
            OK(setpgid(0, 0));
            (void)!read(slave, &byte, 1);
        });
        CHECK_EQ(waitpid(job, &status, WUNTRACED), job);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
        OK(kill(job, SIGKILL));
        CHECK_EQ(ends_by(job), SIGKILL);
    }));
}

CASE(a_background_reader_that_ignores_it_gets_eio) {
    int slave = pty();
    CHECK_CHILD(ON_TERMINAL(slave, CHECK_CHILD(IN_CHILD({
        char byte;
        OK(setpgid(0, 0));
        signal(SIGTTIN, SIG_IGN);
        CHECK_ERRNO(read(slave, &byte, 1), EIO);
    }))));
}

CASE(tostop_stops_background_writers) {
    int slave = pty();
    set(slave, 0, TOSTOP);
    CHECK_CHILD(ON_TERMINAL(slave, {
        int status;
        pid_t job = IN_CHILD({
            OK(setpgid(0, 0));
            (void)!write(slave, "x", 1);
        });
        CHECK_EQ(waitpid(job, &status, WUNTRACED), job);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
        OK(kill(job, SIGKILL));
        CHECK_EQ(ends_by(job), SIGKILL);
    }));
}

CASE(a_hangup_reaches_the_session) {
    int slave = pty(), ready[2];
    OK(pipe(ready));
    pid_t child = ON_TERMINAL(slave, {
        OK(close(master));
        tell(ready[1]);
        for (;;) pause();
    });
    OK(close(slave));
    await(ready[0]);
    OK(close(master));
    CHECK_EQ(ends_by(child), SIGHUP);
}

CASE(the_master_gets_eio_when_the_slaves_are_closed) {
    int slave = pty();
    char byte;
    CHECK_EQ(write(slave, "z", 1), 1);
    OK(close(slave));
    reads(master, "z");
    CHECK_ERRNO(read(master, &byte, 1), EIO);
    struct pollfd polled = {master, POLLIN, 0};
    CHECK_EQ(poll(&polled, 1, 0), 1);
    CHECK(polled.revents & POLLHUP);
}

CASE(the_number_of_waiting_bytes_is_known) {
    int slave = pty(), count;
    set(slave, ECHO, 0);
    types("12345\n");
    CHECK(is_readable(slave));  // by then it is all there
    OK(ioctl(slave, FIONREAD, &count));
    CHECK_EQ(count, 6);
    OK(tcflush(slave, TCIFLUSH));
    CHECK(!is_readable(slave));
}

// sigaction, masks, pending, kill, waiting for signals.
#include "check.h"

static volatile sig_atomic_t count, last;
static siginfo_t last_info;

static void on_signal(int sig) { count++, last = sig; }
static void on_info(int sig, siginfo_t *info, void *context) {
    (void)context;
    count++, last = sig, last_info = *info;
}

static void handle(int sig, int flags) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    if (flags & SA_SIGINFO) action.sa_sigaction = on_info;
    OK(sigaction(sig, &action, NULL));
}

static sigset_t block(int sig) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, sig);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    return set;
}

CASE(a_handler_runs_before_kill_returns) {
    handle(SIGUSR1, 0);
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(count, 1);
    CHECK_EQ(last, SIGUSR1);
}

CASE(a_blocked_signal_is_pending_until_unblocked) {
    handle(SIGUSR1, 0);
    sigset_t set = block(SIGUSR1), pending;
    OK(kill(getpid(), SIGUSR1));
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(count, 0);
    OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGUSR2));
    OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
    CHECK_EQ(count, 1);  // standard signals do not queue
}

CASE(real_time_signals_queue_in_order) {
    handle(SIGRTMIN + 1, SA_SIGINFO);
    handle(SIGRTMIN, SA_SIGINFO);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN), sigaddset(&set, SIGRTMIN + 1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < 3; i++) {
        OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10 + i}));
        OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
    }
    siginfo_t info;
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(sigwaitinfo(&set, &info), i < 3 ? SIGRTMIN : SIGRTMIN + 1);
        CHECK_EQ(info.si_value.sival_int, i < 3 ? i : 10 + i - 3);
        CHECK_EQ(info.si_code, SI_QUEUE);
        CHECK_EQ(info.si_pid, getpid());
    }
}

CASE(kill_gives_sender_and_code) {
    handle(SIGUSR1, SA_SIGINFO);
    sigset_t none;
    sigemptyset(&none);
    block(SIGUSR1);
    pid_t self = getpid(), child = IN_CHILD(OK(kill(self, SIGUSR1)));
    CHECK_EQ(sigsuspend(&none), -1);
    CHECK_EQ(errno, EINTR);
    CHECK_EQ(last_info.si_pid, child);
    CHECK_EQ(last_info.si_code, SI_USER);
    CHECK_EQ(last_info.si_uid, getuid());
    CHECK_CHILD(child);
}

CASE(tgkill_gives_its_own_code) {
    handle(SIGUSR1, SA_SIGINFO);
    OK((int)syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
    CHECK_EQ(last_info.si_code, SI_TKILL);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 999999, SIGUSR1), ESRCH);
    CHECK_ERRNO(syscall(SYS_tgkill, -1, gettid(), SIGUSR1), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), gettid(), 65), EINVAL);
}

static void on_once(int sig) {
    if (count++) return;  // the second, after the first has returned
    sigset_t mask;
    OK(sigprocmask(SIG_BLOCK, NULL, &mask));
    CHECK(sigismember(&mask, sig));
    CHECK(sigismember(&mask, SIGUSR2));
    raise(sig);
    CHECK_EQ(count, 1);
}

CASE(the_mask_in_a_handler_is_the_actions_and_is_undone) {
    struct sigaction action = {.sa_handler = on_once};
    sigaddset(&action.sa_mask, SIGUSR2);
    OK(sigaction(SIGUSR1, &action, NULL));
    OK(raise(SIGUSR1));
    CHECK_EQ(count, 2);
    sigset_t mask;
    OK(sigprocmask(SIG_BLOCK, NULL, &mask));
    CHECK(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGUSR2));
}

CASE(resethand_makes_it_default_again) {
    handle(SIGUSR1, SA_RESETHAND);
    OK(raise(SIGUSR1));
    CHECK_EQ(count, 1);
    struct sigaction now;
    OK(sigaction(SIGUSR1, NULL, &now));
    CHECK(now.sa_handler == SIG_DFL);
}

static void on_deep(int sig) {
    if (++count < 5) raise(sig);
}

CASE(nodefer_lets_a_handler_nest) {
    struct sigaction action = {.sa_handler = on_deep, .sa_flags = SA_NODEFER};
    OK(sigaction(SIGUSR1, &action, NULL));
    OK(raise(SIGUSR1));
    CHECK_EQ(count, 5);
}

CASE(kill_and_stop_cannot_be_changed_or_blocked) {
    struct sigaction action = {.sa_handler = on_signal};
    CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
    sigset_t all, now;
    sigfillset(&all);
    OK(sigprocmask(SIG_SETMASK, &all, NULL));
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK(!sigismember(&now, SIGKILL) && !sigismember(&now, SIGSTOP) && sigismember(&now, SIGTERM));
    CHECK_ERRNO(sigprocmask(77, &all, NULL), EINVAL);
}

CASE(ignored_signals_vanish) {
    signal(SIGTERM, SIG_IGN);
    OK(raise(SIGTERM));
    sigset_t set = block(SIGTERM), pending;
    OK(raise(SIGTERM));
    OK(sigpending(&pending));
    signal(SIGTERM, SIG_IGN);  // also drops what is pending
    OK(sigpending(&pending));
    CHECK(!sigismember(&pending, SIGTERM));
    OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

CASE(sigtimedwait_takes_or_times_out) {
    sigset_t set = block(SIGUSR1);
    struct timespec short_time = {0, 20000000}, none = {0, 0};
    siginfo_t info;
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_ERRNO(sigtimedwait(&set, &info, &short_time), EAGAIN);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 20000000);
    CHECK_ERRNO(sigtimedwait(&set, &info, &none), EAGAIN);
    OK(raise(SIGUSR1));
    CHECK_EQ(sigtimedwait(&set, &info, &short_time), SIGUSR1);
    CHECK_EQ(info.si_signo, SIGUSR1);
    CHECK_ERRNO(sigtimedwait(&set, &info, &none), EAGAIN);
}

CASE(sigwait_is_interrupted_by_another_signal) {
    handle(SIGUSR2, 0);
    sigset_t set = block(SIGUSR1);
    siginfo_t info;
    pid_t self = getpid(), child = IN_CHILD(for (;;) { kill(self, SIGUSR2), sleep_ms(1); });
    CHECK_ERRNO(sigwaitinfo(&set, &info), EINTR);
    OK(kill(child, SIGKILL));
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

CASE(sigsuspend_swaps_the_mask_atomically_and_back) {
    handle(SIGUSR1, 0);
    block(SIGUSR1);
    OK(raise(SIGUSR1));
    sigset_t none, now;
    sigemptyset(&none);
    CHECK_ERRNO(sigsuspend(&none), EINTR);
    CHECK_EQ(count, 1);
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK(sigismember(&now, SIGUSR1));
}

CASE(default_actions_kill_stop_or_ignore) {
    int kills[] = {SIGHUP, SIGINT, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2, SIGQUIT, SIGILL,
                   SIGABRT, SIGFPE, SIGSEGV, SIGBUS, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ, SIGVTALRM,
                   SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGRTMIN, SIGRTMAX};
    for (unsigned i = 0; i < sizeof kills / sizeof *kills; i++) {
        int status;
        pid_t child = IN_CHILD({ raise(kills[i]); });
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), kills[i]);
    }
    int ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
    for (unsigned i = 0; i < sizeof ignored / sizeof *ignored; i++)
        CHECK_CHILD(IN_CHILD({ raise(ignored[i]); }));
}

CASE(kill_checks_number_and_target) {
    OK(kill(getpid(), 0));
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    CHECK_ERRNO(kill(getpid(), -1), EINVAL);
    CHECK_ERRNO(kill(999999, SIGTERM), ESRCH);
}

CASE(a_write_to_a_pipe_without_reader_is_sigpipe) {
    int fds[2];
    handle(SIGPIPE, 0);
    OK(pipe(fds));
    OK(close(fds[0]));
    CHECK_ERRNO(write(fds[1], "x", 1), EPIPE);
    CHECK_EQ(count, 1);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(fds[1], "x", 1), EPIPE);
}

CASE(sigqueue_info_of_another_must_not_be_forged) {
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
    pid_t other = IN_CHILD(for (;;) pause());
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, other, SIGUSR1, &info), EPERM);
    OK(kill(other, SIGKILL));
    CHECK_EQ(waitpid(other, NULL, 0), other);
}

CASE(bad_arguments_are_refused) {
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, 0, 0, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, 0, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, 0, 0, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, 0, 0, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, 8, 0, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, 0, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigpending, 8, 8), EFAULT);
}

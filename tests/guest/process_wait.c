// exit, wait4, waitid, orphans, groups of processes.
#include "check.h"
#include <sys/prctl.h>
#include <sys/resource.h>

CASE(exit_status_is_eight_bits) {
    int status;
    pid_t child = IN_CHILD(_exit(0x1234));
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0x34 << 8);
}

CASE(death_by_signal_is_told) {
    int status;
    pid_t child = IN_CHILD({ raise(SIGTERM); });
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

CASE(nohang_returns_zero_while_it_runs) {
    int fds[2];
    OK(pipe(fds));
    pid_t child = IN_CHILD(await(fds[0]));
    CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
    tell(fds[1]);
    CHECK_CHILD(child);
    CHECK_ERRNO(waitpid(child, NULL, WNOHANG), ECHILD);
}

CASE(waiting_for_a_stranger_is_echild) {
    CHECK_ERRNO(waitpid(1, NULL, WNOHANG), ECHILD);
    CHECK_ERRNO(waitpid(getpid(), NULL, 0), ECHILD);
    CHECK_ERRNO(waitpid(-1, NULL, 0xffff), EINVAL);
}

CASE(stop_and_continue_are_told_if_asked) {
    int status;
    pid_t child = IN_CHILD(for (;;) pause());
    OK(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
    OK(kill(child, SIGCONT));
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    OK(kill(child, SIGKILL));
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

CASE(waitid_tells_code_and_status) {
    siginfo_t info = {0};
    pid_t child = IN_CHILD(_exit(33));
    OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    CHECK_EQ(info.si_signo, SIGCHLD);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_status, 33);
    CHECK_EQ(info.si_pid, child);
    memset(&info, 0, sizeof info);
    OK(waitid(P_ALL, 0, &info, WEXITED));  // WNOWAIT left it waitable
    CHECK_EQ(info.si_pid, child);
    CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
}

CASE(waitid_tells_stops_and_kills) {
    siginfo_t info = {0};
    pid_t child = IN_CHILD(for (;;) pause());
    CHECK_EQ(waitid(P_PID, child, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    OK(kill(child, SIGSTOP));
    OK(waitid(P_PID, child, &info, WSTOPPED));
    CHECK(info.si_code == CLD_STOPPED && info.si_status == SIGSTOP);
    OK(kill(child, SIGCONT));
    OK(waitid(P_PID, child, &info, WCONTINUED));
    CHECK(info.si_code == CLD_CONTINUED && info.si_status == SIGCONT);
    OK(kill(child, SIGKILL));
    OK(waitid(P_PID, child, &info, WEXITED));
    CHECK(info.si_code == CLD_KILLED && info.si_status == SIGKILL);
}

CASE(children_are_chosen_by_group) {
    int fds[2];
    OK(pipe(fds));
    pid_t same = IN_CHILD({});
    pid_t other = IN_CHILD({
        OK(setpgid(0, 0));
        tell(fds[1]);
    });
    await(fds[0]);
    CHECK_EQ(waitpid(-other, NULL, 0), other);
    CHECK_ERRNO(waitpid(-other, NULL, 0), ECHILD);
    CHECK_EQ(waitpid(0, NULL, 0), same);
}

CASE(an_orphan_is_adopted_by_the_subreaper) {
    int fds[2];
    OK(pipe(fds));
    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t self = getpid();
    pid_t child = IN_CHILD({
        IN_CHILD({
            while (getppid() != self) sleep_ms(1);
            tell(fds[1]);
            _exit(4);
        });
    });
    CHECK_CHILD(child);
    await(fds[0]);
    int status;
    CHECK(wait(&status) > 0);
    CHECK_EQ(status, 4 << 8);
}

CASE(ignoring_sigchld_reaps_by_itself) {
    signal(SIGCHLD, SIG_IGN);
    IN_CHILD({});
    CHECK_ERRNO(wait(NULL), ECHILD);  // waits for the end, then finds nobody
}

CASE(parent_death_signal_arrives) {
    int fds[2], ready[2];
    OK(pipe(fds)), OK(pipe(ready));
    pid_t child = IN_CHILD({
        IN_CHILD({
            sigset_t set;
            int sig;
            sigemptyset(&set), sigaddset(&set, SIGUSR1);
            OK(sigprocmask(SIG_BLOCK, &set, NULL));
            OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
            tell(ready[1]);
            CHECK_EQ(sigwait(&set, &sig), 0);
            tell(fds[1]);
        });
        await(ready[0]);
    });
    CHECK_CHILD(child);
    await(fds[0]);
}

CASE(wait4_gives_usage) {
    struct rusage usage = {0};
    int status;
    pid_t child = IN_CHILD({
        int64_t end = now_ns(CLOCK_PROCESS_CPUTIME_ID) + 20000000;
        while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < end) {}
    });
    CHECK_EQ(wait4(child, &status, 0, &usage), child);
    CHECK(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec
          + usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec >= 10000);
    struct rusage children;
    OK(getrusage(RUSAGE_CHILDREN, &children));
    CHECK(children.ru_utime.tv_usec + children.ru_stime.tv_usec + children.ru_utime.tv_sec > 0);
}

CASE(sigchld_carries_the_childs_end) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set), sigaddset(&set, SIGCHLD);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    pid_t child = IN_CHILD(_exit(6));
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_status, 6);
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

CASE(a_zombie_can_be_signalled_until_it_is_reaped) {
    siginfo_t info;
    pid_t child = IN_CHILD({});
    OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    OK(kill(child, 0));
    CHECK_CHILD(child);
    CHECK_ERRNO(kill(child, 0), ESRCH);
}

CASE(exit_group_ends_all_threads_of_a_vfork_free_child) {
    int fds[2];
    OK(pipe(fds));
    pid_t child = IN_CHILD({
        OK(close(fds[0]));
        syscall(SYS_exit_group, 3);
    });
    OK(close(fds[1]));
    char byte;
    CHECK_EQ(read(fds[0], &byte, 1), 0);  // end of file: its descriptors are closed
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 3 << 8);
}

CASE(a_pidfd_becomes_readable_at_the_end) {
    int fds[2];
    OK(pipe(fds));
    pid_t child = IN_CHILD(await(fds[0]));
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    if (pidfd == -1 && errno == ENOSYS) SKIP("no pidfd_open");
    CHECK(pidfd >= 0);
    OK((int)syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
    tell(fds[1]);
    siginfo_t info;
    OK(waitid(P_PIDFD, pidfd, &info, WEXITED));
    CHECK_EQ(info.si_pid, child);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), ESRCH);
}

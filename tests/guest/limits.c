// Resource limits, priorities, affinity, system information.
#include "check.h"
#include <sched.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

CASE(a_limit_is_kept_and_inherited) {
    struct rlimit limit = {50, 100}, got;
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    OK(getrlimit(RLIMIT_NOFILE, &got));
    CHECK(got.rlim_cur == 50 && got.rlim_max == 100);
    CHECK_CHILD(IN_CHILD({
        OK(getrlimit(RLIMIT_NOFILE, &got));
        CHECK_EQ(got.rlim_cur, 50);
    }));
    limit.rlim_cur = 200;
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
    CHECK_ERRNO(getrlimit(99, &got), EINVAL);
}

CASE(descriptors_end_at_their_limit) {
    struct rlimit limit = {20, 20};
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    int count = 0, fds[2];
    while (dup(0) != -1) count++;
    CHECK_EQ(errno, EMFILE);
    CHECK(count <= 17);
    CHECK_ERRNO(open("/dev/null", O_RDONLY), EMFILE);
    CHECK_ERRNO(pipe(fds), EMFILE);
    CHECK_ERRNO(dup2(0, 20), EBADF);
    CHECK_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
    OK(close(5));
    CHECK_ERRNO(pipe(fds), EMFILE);
    CHECK_EQ(open("/dev/null", O_RDONLY), 5);
}

CASE(thousands_of_open_files_work) {
    struct rlimit limit;
    OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max < 5000 ? limit.rlim_max : 5000;
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    int last = 0;
    for (rlim_t i = 0; i < limit.rlim_cur - 10; i++) last = OK(open("/dev/null", O_RDONLY));
    CHECK(last >= (int)limit.rlim_cur - 20);
    CHECK_CHILD(IN_CHILD(OK(fcntl(last, F_GETFD))));
}

CASE(prlimit_works_on_another_process) {
    pid_t child = IN_CHILD(for (;;) pause());
    struct rlimit limit = {7, 9}, old;
    OK(prlimit(child, RLIMIT_CORE, &limit, &old));
    OK(prlimit(child, RLIMIT_CORE, NULL, &old));
    CHECK(old.rlim_cur == 7 && old.rlim_max == 9);
    CHECK_ERRNO(prlimit(999999, RLIMIT_CORE, NULL, &old), ESRCH);
    OK(kill(child, SIGKILL));
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

CASE(an_ordinary_user_cannot_raise_a_hard_limit) {
    struct rlimit limit = {10, 10};
    OK(setrlimit(RLIMIT_CORE, &limit));
    OK(setuid(1000));
    limit.rlim_max = 20;
    CHECK_ERRNO(setrlimit(RLIMIT_CORE, &limit), EPERM);
    limit = (struct rlimit){5, 5};
    OK(setrlimit(RLIMIT_CORE, &limit));
}

CASE(cpu_limit_sends_sigxcpu) {
    int status;
    pid_t child = IN_CHILD({
        struct rlimit limit = {1, 3};
        OK(setrlimit(RLIMIT_CPU, &limit));
        for (;;) __asm__ volatile("" ::: "memory");
    });
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
}

CASE(a_process_limit_stops_forks) {
    CHECK_CHILD(IN_CHILD({
        struct rlimit limit = {1, 1};
        OK(setrlimit(RLIMIT_NPROC, &limit));
        OK(setuid(54321));
        CHECK_ERRNO(fork(), EAGAIN);
    }));
}

CASE(nice_is_kept_in_bounds) {
    errno = 0;
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
    OK(setpriority(PRIO_PROCESS, 0, 100));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_ERRNO(getpriority(99, 0), EINVAL);
    CHECK_ERRNO(getpriority(PRIO_PROCESS, 999999), ESRCH);
}

CASE(affinity_has_at_least_one_cpu) {
    cpu_set_t set, one;
    OK(sched_getaffinity(0, sizeof set, &set));
    CHECK(CPU_COUNT(&set) >= 1);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= CPU_COUNT(&set));
    unsigned cpu = 9999, node = 9999;
    OK((int)syscall(SYS_getcpu, &cpu, &node, NULL));
    CHECK(CPU_ISSET(cpu, &set));
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    OK(sched_setaffinity(0, sizeof one, &one));
    OK(sched_getaffinity(0, sizeof set, &set));
    CHECK_EQ(CPU_COUNT(&set), 1);
    CPU_ZERO(&one);
    CHECK_ERRNO(sched_setaffinity(0, sizeof one, &one), EINVAL);
    CHECK_ERRNO(sched_getaffinity(0, 1, &set), EINVAL);
    OK(sched_yield());
}

CASE(scheduling_policies_are_told) {
    struct sched_param param = {0};
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    OK(sched_getparam(0, &param));
    CHECK_EQ(param.sched_priority, 0);
    CHECK(sched_get_priority_max(SCHED_FIFO) == 99 && sched_get_priority_min(SCHED_FIFO) == 1);
    CHECK_ERRNO(sched_getscheduler(999999), ESRCH);
    param.sched_priority = 5;
    CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &param), EINVAL);
}

CASE(sysinfo_is_sensible) {
    struct sysinfo info;
    OK(sysinfo(&info));
    CHECK(info.totalram > 0 && info.mem_unit > 0 && info.uptime >= 0 && info.procs > 0);
    CHECK_ERRNO(syscall(SYS_sysinfo, 8), EFAULT);
}

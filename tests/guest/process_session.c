// Sessions, process groups and identity.
#include "check.h"
#include <sys/prctl.h>
#include <sys/utsname.h>

CASE(a_case_leads_its_own_group) {
    CHECK_EQ(getpgrp(), getpid());
    CHECK_EQ(getpgid(0), getpid());
    CHECK_EQ(getpgid(getpid()), getpid());
}

CASE(setsid_makes_session_and_group) {
    pid_t child = IN_CHILD({
        pid_t session = OK(setsid());
        CHECK_EQ(session, getpid());
        CHECK_EQ(getsid(0), getpid());
        CHECK_EQ(getpgrp(), getpid());
        CHECK_ERRNO(setsid(), EPERM);
        CHECK_ERRNO(setpgid(0, 0), EPERM);
    });
    CHECK_CHILD(child);
}

CASE(a_group_leader_cannot_make_a_session) { CHECK_ERRNO(setsid(), EPERM); }

CASE(a_child_inherits_group_and_session) {
    pid_t group = getpgrp(), session = getsid(0);
    CHECK_CHILD(IN_CHILD({
        CHECK_EQ(getpgrp(), group);
        CHECK_EQ(getsid(0), session);
    }));
}

CASE(a_parent_moves_its_child_until_it_execs) {
    int fds[2];
    OK(pipe(fds));
    pid_t child = IN_CHILD(await(fds[0]));
    OK(setpgid(child, child));
    CHECK_EQ(getpgid(child), child);
    OK(setpgid(child, getpgrp()));
    CHECK_EQ(getpgid(child), getpgrp());
    tell(fds[1]);
    CHECK_CHILD(child);
}

CASE(setpgid_refuses_strangers_and_lost_groups) {
    CHECK_ERRNO(setpgid(1, 1), ESRCH);
    CHECK_ERRNO(setpgid(0, -1), EINVAL);
    CHECK_CHILD(IN_CHILD(CHECK_ERRNO(setpgid(0, 999999), EPERM)));
    CHECK_ERRNO(getpgid(999999), ESRCH);
    CHECK_ERRNO(getsid(999999), ESRCH);
}

CASE(kill_reaches_a_whole_group) {
    int fds[2];
    OK(pipe(fds));
    pid_t leader = IN_CHILD({
        OK(setpgid(0, 0));
        IN_CHILD(for (;;) pause());
        tell(fds[1]);
        for (;;) pause();
    });
    await(fds[0]);
    OK(close(fds[1]));
    OK(kill(-leader, SIGKILL));
    char byte;
    CHECK_EQ(read(fds[0], &byte, 1), 0);  // both ends of it are closed: both are dead
    int status;
    CHECK_EQ(waitpid(leader, &status, 0), leader);
    CHECK_EQ(status, SIGKILL);
    CHECK_ERRNO(kill(-999999, 0), ESRCH);
}

static volatile sig_atomic_t hups;
static void on_hup(int sig) { hups += sig == SIGHUP; }

CASE(an_orphaned_stopped_group_gets_hangup_and_continues) {
    int fds[2];
    OK(pipe(fds));
    pid_t middle = IN_CHILD({
        OK(setpgid(0, 0));
        pid_t stopped = IN_CHILD({
            OK(setpgid(0, 0));
            signal(SIGHUP, on_hup);
            raise(SIGSTOP);
            CHECK_EQ(hups, 1);
            tell(fds[1]);
        });
        int status;
        CHECK_EQ(waitpid(stopped, &status, WUNTRACED), stopped);
        CHECK(WIFSTOPPED(status));
    });
    CHECK_CHILD(middle);
    await(fds[0]);
}

CASE(uname_is_linux_and_x86_64) {
    struct utsname name;
    OK(uname(&name));
    CHECK(!strcmp(name.sysname, "Linux") && !strcmp(name.machine, "x86_64"));
    int major = 0, minor = 0;
    CHECK_EQ(sscanf(name.release, "%d.%d", &major, &minor), 2);
    CHECK(major * 100 + minor >= 404);
}

CASE(prctl_name_is_fifteen_bytes) {
    char name[16];
    OK(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
    OK(prctl(PR_GET_NAME, name));
    CHECK(!strcmp(name, "a-name-that-is-"));
    char comm[32] = {0};
    int fd = OK(open("/proc/self/comm", O_RDONLY));
    CHECK_EQ(read(fd, comm, sizeof comm), 16);
    CHECK(!strcmp(comm, "a-name-that-is-\n"));
}

CASE(prctl_flags_keep_their_values) {
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    OK(prctl(PR_SET_DUMPABLE, 0));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    CHECK_CHILD(IN_CHILD(CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1)));
    CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(0x7fffffff, 0, 0, 0, 0), EINVAL);
}

CASE(an_unknown_call_is_enosys) {
    CHECK_ERRNO(syscall(1000), ENOSYS);
    CHECK_ERRNO(syscall(100000), ENOSYS);
    CHECK_ERRNO(syscall(-5), ENOSYS);
}

CASE(getrandom_gives_different_bytes) {
    unsigned char one[32] = {0}, two[32] = {0};
    CHECK_EQ(syscall(SYS_getrandom, one, sizeof one, 0), sizeof one);
    CHECK_EQ(syscall(SYS_getrandom, two, sizeof two, 0), sizeof two);
    CHECK(memcmp(one, two, sizeof one));
    CHECK_ERRNO(syscall(SYS_getrandom, one, 1, 0x80), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrandom, (void *)8, 16, 0), EFAULT);
}

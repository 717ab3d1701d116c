// Users, groups, capabilities.
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

static void are(uid_t real, uid_t effective, uid_t saved) {
    uid_t r, e, s;
    OK(getresuid(&r, &e, &s));
    if (r != real || e != effective || s != saved)
        FAIL("uids are %d %d %d, not %d %d %d", r, e, s, real, effective, saved);
}

static uint64_t effective_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    OK((int)syscall(SYS_capget, &header, data));
    return data[0].effective | (uint64_t)data[1].effective << 32;
}

CASE(setuid_of_root_changes_all_three_for_good) {
    OK(setuid(1000));
    are(1000, 1000, 1000);
    CHECK_ERRNO(setuid(0), EPERM);
    CHECK_ERRNO(setresuid(0, -1, -1), EPERM);
    CHECK_EQ(effective_capabilities(), 0);
}

CASE(seteuid_can_come_back) {
    OK(seteuid(1000));
    are(0, 1000, 0);
    CHECK_EQ(effective_capabilities(), 0);
    OK(seteuid(0));
    are(0, 0, 0);
    CHECK(effective_capabilities() != 0);
}

CASE(setresuid_and_setreuid_follow_their_rules) {
    OK(setresuid(1, 2, 3));
    are(1, 2, 3);
    OK(setresuid(-1, 3, -1));
    are(1, 3, 3);
    OK(setresuid(-1, 1, -1));
    CHECK_ERRNO(setresuid(4, -1, -1), EPERM);
    CHECK_ERRNO(setreuid(3, -1), EPERM);  // the saved one does not count here
    OK(setreuid(-1, 3));
    are(1, 3, 3);
}

CASE(groups_are_set_and_listed) {
    gid_t groups[4] = {10, 20, 30};
    OK(setgroups(3, groups));
    gid_t got[4] = {0};
    CHECK_EQ(getgroups(0, NULL), 3);
    CHECK_EQ(getgroups(4, got), 3);
    CHECK(got[0] == 10 && got[1] == 20 && got[2] == 30);
    CHECK_ERRNO(getgroups(2, got), EINVAL);
    OK(setresgid(5, 6, 7));
    gid_t r, e, s;
    OK(getresgid(&r, &e, &s));
    CHECK(r == 5 && e == 6 && s == 7);
    OK(setuid(1000));
    CHECK_ERRNO(setgroups(0, NULL), EPERM);
    CHECK_ERRNO(setgid(0), EPERM);
    OK(setgid(5));
    CHECK_EQ(getegid(), 5);
}

CASE(fsuid_goes_with_the_effective_one) {
    CHECK_EQ(setfsuid(-1), 0);
    OK(seteuid(1000));
    CHECK_EQ(setfsuid(-1), 1000);
    OK(seteuid(0));
    CHECK_EQ(setfsuid(77), 0);
    CHECK_EQ(setfsuid(-1), 77);
    CHECK_EQ(setfsgid(-1), 0);
}

CASE(children_inherit_users) {
    OK(setresuid(1, 2, 3));
    CHECK_CHILD(IN_CHILD({ are(1, 2, 3); }));
}

CASE(an_ordinary_user_signals_only_his_own) {
    pid_t roots = IN_CHILD(for (;;) pause());
    CHECK_CHILD(IN_CHILD({
        OK(setuid(1000));
        CHECK_ERRNO(kill(roots, SIGTERM), EPERM);
        CHECK_ERRNO(kill(roots, 0), EPERM);
        OK(kill(getpid(), 0));
    }));
    OK(kill(roots, SIGKILL));
    CHECK_EQ(waitpid(roots, NULL, 0), roots);
}

CASE(capabilities_can_be_dropped_and_not_regained) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    OK((int)syscall(SYS_capget, &header, data));
    uint32_t chown_bit = 1 << CAP_CHOWN;
    CHECK(data[0].permitted & chown_bit);
    data[0].effective &= ~chown_bit;
    OK((int)syscall(SYS_capset, &header, data));
    OK(close(OK(open("file", O_WRONLY | O_CREAT, 0600))));
    CHECK_ERRNO(chown("file", 1, 1), EPERM);
    data[0].effective |= chown_bit;
    OK((int)syscall(SYS_capset, &header, data));
    OK(chown("file", 1, 1));
    data[0].permitted &= ~chown_bit, data[0].effective &= ~chown_bit;
    OK((int)syscall(SYS_capset, &header, data));
    data[0].permitted |= chown_bit;
    CHECK_ERRNO(syscall(SYS_capset, &header, data), EPERM);
    header.version = 0x1234;
    CHECK_ERRNO(syscall(SYS_capget, &header, data), EINVAL);
    CHECK_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
}

CASE(keepcaps_keeps_the_permitted_set) {
    OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    OK(setuid(1000));
    CHECK_EQ(effective_capabilities(), 0);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    OK((int)syscall(SYS_capget, &header, data));
    CHECK(data[0].permitted & (1 << CAP_CHOWN));
    data[0].effective = 1 << CAP_SETUID;
    OK((int)syscall(SYS_capset, &header, data));
    OK(setuid(0));
}

CASE(the_bounding_set_only_shrinks) {
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 1);
    OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0));
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 0);
    CHECK_ERRNO(prctl(PR_CAPBSET_READ, 200, 0, 0, 0), EINVAL);
    OK(setuid(1000));
    CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0), EPERM);
}

// The part of a set-user-id program: says whom it runs as.
__attribute__((constructor)) static void play_part(int argc, char **argv) {
    if (argc && !strcmp(argv[0], "who")) _exit(geteuid() == 1234 && getuid() == 1000 ? 0 : 1);
}

CASE(a_setuid_program_runs_as_its_owner) {
    char bytes[65536];
    ssize_t got;
    int from = OK(open("/proc/self/exe", O_RDONLY)), to = OK(open("who", O_WRONLY | O_CREAT, 0755));
    while ((got = OK(read(from, bytes, sizeof bytes))) > 0) CHECK_EQ(write(to, bytes, got), got);
    OK(close(to)), OK(chown("who", 1234, 0)), OK(chmod("who", 04755));
    OK(chmod(".", 0755));
    int status;
    pid_t child = IN_CHILD({
        OK(setuid(1000));
        execl("./who", "who", NULL);
        _exit(9);
    });
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (status == 1 << 8) SKIP("mounted nosuid");
    CHECK_EQ(status, 0);
    CHECK_EQ(waitpid(IN_CHILD({
        OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        OK(setuid(1000));
        execl("./who", "who", NULL);
        _exit(9);
    }), &status, 0) > 0, 1);
    CHECK_EQ(status, 1 << 8);
}

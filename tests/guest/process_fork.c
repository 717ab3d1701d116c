// fork, vfork, clone: what is shared, what is copied, what the child starts with.
#include "check.h"
#include <linux/sched.h>
#include <sched.h>

static int global = 1;

CASE(fork_returns_twice_with_different_pids) {
    pid_t parent = getpid();
    pid_t child = IN_CHILD({
        CHECK(getpid() != parent);
        CHECK_EQ(getppid(), parent);
        CHECK_EQ(getpid(), gettid());
    });
    CHECK(child > 0 && child != parent);
    CHECK_CHILD(child);
}

CASE(fork_copies_memory_both_ways) {
    int to_child[2], to_parent[2];
    OK(pipe(to_child)), OK(pipe(to_parent));
    volatile int local = 10;
    pid_t child = IN_CHILD({
        global = 2, local = 20;
        tell(to_parent[1]);
        await(to_child[0]);
        CHECK_EQ(global, 2);
        CHECK_EQ(local, 20);
    });
    await(to_parent[0]);
    CHECK_EQ(global, 1);
    CHECK_EQ(local, 10);
    global = 3, local = 30;
    tell(to_child[1]);
    CHECK_CHILD(child);
    CHECK_EQ(global, 3);
}

CASE(fork_copies_large_heap_lazily_and_exactly) {
    enum { SIZE = 8 << 20 };
    unsigned char *heap = malloc(SIZE);
    for (int i = 0; i < SIZE; i++) heap[i] = (unsigned char)(i * 7 + (i >> 12));
    pid_t child = IN_CHILD({
        for (int i = 0; i < SIZE; i += 4096) {
            CHECK_EQ(heap[i], (unsigned char)(i * 7 + (i >> 12)));
            heap[i] = 0;
        }
    });
    CHECK_CHILD(child);
    for (int i = 0; i < SIZE; i++) CHECK_EQ(heap[i], (unsigned char)(i * 7 + (i >> 12)));
}

CASE(fork_shares_file_offsets) {
    int fd = OK(open("offset", O_RDWR | O_CREAT | O_TRUNC, 0600));
    CHECK_CHILD(IN_CHILD(CHECK_EQ(write(fd, "abc", 3), 3)));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
}

CASE(fork_copies_the_table_of_descriptors) {
    int fd = OK(open("/dev/null", O_RDONLY));
    CHECK_CHILD(IN_CHILD(OK(close(fd))));
    OK(fcntl(fd, F_GETFD));
}

CASE(fork_keeps_mask_handlers_and_directory_but_not_pending_signals) {
    sigset_t set, pending;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    OK(raise(SIGUSR1));
    signal(SIGUSR2, SIG_IGN);
    pid_t child = IN_CHILD({
        sigset_t now;
        OK(sigprocmask(SIG_BLOCK, NULL, &now));
        CHECK(sigismember(&now, SIGUSR1));
        OK(sigpending(&pending));
        CHECK(!sigismember(&pending, SIGUSR1));
        CHECK(signal(SIGUSR2, SIG_DFL) == SIG_IGN);
    });
    CHECK_CHILD(child);
    OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGUSR1));
}

CASE(fork_clears_alarms_of_the_child) {
    alarm(100);
    CHECK_CHILD(IN_CHILD(CHECK_EQ(alarm(0), 0)));
    CHECK(alarm(0) > 0);
}

CASE(vfork_suspends_the_parent_and_shares_memory) {
    static volatile int shared;
    pid_t child = vfork();
    if (child == 0) {
        shared = 42;
        _exit(7);
    }
    CHECK_EQ(shared, 42);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

CASE(vfork_parent_goes_on_when_the_child_execs) {
    int null = OK(open("/dev/null", O_WRONLY));
    pid_t child = vfork();
    if (child == 0) {
        dup2(null, 1);
        execl("/proc/self/exe", "self", "no_case_has_this_name", NULL);
        _exit(9);
    }
    CHECK(child > 0);
    CHECK_CHILD(child);
}

CASE(many_children_are_all_reaped) {
    enum { COUNT = 100 };
    int seen = 0;
    for (int i = 0; i < COUNT; i++) IN_CHILD(_exit(i));
    for (int i = 0; i < COUNT; i++) {
        int status;
        CHECK(wait(&status) > 0 && WIFEXITED(status));
        seen += WEXITSTATUS(status);
    }
    CHECK_EQ(seen, COUNT * (COUNT - 1) / 2);
    CHECK_ERRNO(wait(NULL), ECHILD);
}

CASE(a_deep_chain_of_forks_works) {
    pid_t child = 0;
    int depth = 0;
    while (depth < 20 && (child = OK(fork())) == 0) depth++;
    if (child == 0) _exit(0);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (depth > 0) _exit(status ? 1 : 0);
    CHECK_EQ(status, 0);
}

static int clone_body(void *arg) {
    *(volatile int *)arg = getpid();
    return 5;
}

CASE(clone_with_vm_and_vfork_shares_memory_and_exit_status) {
    char *stack = malloc(65536);
    volatile int seen = 0;
    int child = OK(clone(clone_body, stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&seen));
    CHECK_EQ(seen, child);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 5 << 8);
}

static int close_body(void *arg) { return close(*(int *)arg); }

CASE(clone_files_shares_the_table) {
    char *stack = malloc(65536);
    int fd = OK(open("/dev/null", O_RDONLY));
    int child = OK(clone(close_body, stack + 65536, CLONE_FILES | SIGCHLD, &fd));
    CHECK_CHILD(child);
    CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);
}

static int chdir_body(void *arg) { return chdir(arg) || umask(0) == (mode_t)-1; }

CASE(clone_fs_shares_directory_and_umask) {
    char *stack = malloc(65536), cwd[256];
    umask(077);
    CHECK_CHILD(OK(clone(chdir_body, stack + 65536, CLONE_FS | SIGCHLD, "/")));
    CHECK(getcwd(cwd, sizeof cwd) && !strcmp(cwd, "/"));
    CHECK_EQ(umask(077), 0);
}

CASE(clone_sets_and_clears_tids) {
    static int parent_tid, child_tid;
    pid_t child = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0,
                          &parent_tid, &child_tid, 0);
    if (child == 0) {
        CHECK_EQ(child_tid, getpid());
        _exit(0);
    }
    CHECK_EQ(parent_tid, child);
    CHECK_EQ(child_tid, 0);
    CHECK_CHILD(child);
}

CASE(clone_refuses_contradictory_flags) {
    CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0), EINVAL);
}

CASE(clone3_makes_a_child_and_checks_its_size) {
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t child = syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) _exit(0);
    CHECK(child > 0);
    CHECK_CHILD(child);
    CHECK_ERRNO(syscall(SYS_clone3, &args, 8), EINVAL);
    args.flags = 1ULL << 60;
    CHECK_ERRNO(syscall(SYS_clone3, &args, sizeof args), EINVAL);
}

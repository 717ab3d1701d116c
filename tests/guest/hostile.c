// Wild arguments: any errno will do, but the program and the kernel go on.
#include "check.h"
#include <limits.h>
#include <sys/socket.h>

// Addresses that are no use to anybody: null page, hole, non-canonical, upper half, last byte.
static uint64_t wild[] = {0, 1, 8, 4095, 0x10000, 0x7fffffffefff, 0x7ffffffff000, 0x7fffffffffff,
                          0x800000000000, 0x8000000000000000, 0xffff800000000000,
                          0xffffffffff600000, 0xfffffffffffffff8, UINT64_MAX};
enum { WILD = sizeof wild / sizeof *wild };

// Calls that may end, stop or suspend the caller, or change what it stands on, whatever they are told.
static int is_left_out(long number) {
    static const int left_out[] = {
        SYS_exit, SYS_exit_group, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_pause, SYS_rt_sigreturn,
        SYS_rt_sigsuspend, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
        SYS_reboot, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_mmap, SYS_brk, SYS_remap_file_pages,
        SYS_madvise, SYS_process_madvise, SYS_pkey_mprotect, SYS_arch_prctl, SYS_set_thread_area,
        SYS_modify_ldt, SYS_prctl, SYS_seccomp, SYS_ptrace, SYS_vhangup, SYS_chroot, SYS_pivot_root,
        SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex,
        SYS_clock_adjtime, SYS_swapon, SYS_swapoff, SYS_mount, SYS_umount2, SYS_sync, SYS_syncfs,
        SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_iopl,
        SYS_ioperm, SYS_setrlimit, SYS_prlimit64, SYS_unshare, SYS_setns, SYS_alarm, SYS_setitimer,
        SYS_acct, SYS_quotactl, SYS_syslog, SYS_close_range, SYS_close, SYS_dup2, SYS_dup3, SYS_setsid,
        SYS_setpgid, SYS_sched_setattr, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setaffinity,
        SYS_setpriority, SYS_io_uring_setup, SYS_personality, SYS_set_robust_list, SYS_set_tid_address,
        SYS_poll, SYS_select, SYS_ppoll, SYS_pselect6, SYS_epoll_wait, SYS_epoll_pwait, SYS_wait4, SYS_waitid,
        SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_flock, SYS_fcntl, SYS_rseq, SYS_membarrier,
        SYS_mlockall, SYS_capset, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid,
        SYS_setresgid, SYS_setgroups, SYS_umask, SYS_ioctl, SYS_open, SYS_openat, SYS_creat, SYS_fanotify_init,
        SYS_perf_event_open, SYS_bpf, SYS_userfaultfd, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_shmat,
        SYS_semget, SYS_shmget, SYS_msgget, SYS_mq_open, SYS_io_setup, SYS_timer_create, SYS_rt_sigaction,
        SYS_rt_sigprocmask, SYS_sigaltstack, SYS_uselib, SYS_restart_syscall, SYS_ustat,
    };
    for (unsigned i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (left_out[i] == number) return 1;
    return number > 334;  // newer ones have tests of their own
}

CASE(wild_values_in_every_argument_of_every_call) {
    for (long number = 0; number <= 334; number++) {
        if (is_left_out(number)) continue;
        for (int which = 0; which < 5; which++)
            for (int i = 0; i < WILD; i++) {
                uint64_t args[5] = {wild[(i + 3) % WILD], 1, 1, 0, 0};
                args[which] = wild[i];
                if (args[0] < 3) args[0] = 900;  // not the standard descriptors
                syscall(number, args[0], args[1], args[2], args[3], args[4], 0);
            }
    }
}

CASE(wild_buffers_of_valid_files_are_efault) {
    int fds[2], null = OK(open("/dev/zero", O_RDWR)), file = OK(open("f", O_RDWR | O_CREAT, 0600));
    OK(pipe(fds)), tell(fds[1]);
    CHECK_EQ(write(file, "abcdefgh", 8), 8);
    for (int i = 0; i < WILD; i++) {
        CHECK_ERRNO(syscall(SYS_read, fds[0], wild[i], 8), EFAULT);
        CHECK_ERRNO(syscall(SYS_read, null, wild[i], 8), EFAULT);
        CHECK_ERRNO(syscall(SYS_pread64, file, wild[i], 8, 0), EFAULT);
        CHECK_ERRNO(syscall(SYS_write, fds[1], wild[i], 8), EFAULT);
        CHECK_ERRNO(syscall(SYS_pwrite64, file, wild[i], 8, 0), EFAULT);
        CHECK_ERRNO(syscall(SYS_fstat, file, wild[i]), EFAULT);
        CHECK_ERRNO(syscall(SYS_open, wild[i], O_RDONLY), EFAULT);
        CHECK_ERRNO(syscall(SYS_stat, wild[i], wild[i]), EFAULT);
        CHECK_ERRNO(syscall(SYS_uname, wild[i]), EFAULT);
        CHECK_ERRNO(syscall(SYS_pipe, wild[i]), EFAULT);
        CHECK_ERRNO(syscall(SYS_readv, file, wild[i], 2), EFAULT);
        CHECK_ERRNO(syscall(SYS_writev, file, wild[i], 2), EFAULT);
        CHECK_ERRNO(syscall(SYS_getcwd, wild[i], 100), EFAULT);
        CHECK_ERRNO(syscall(SYS_execve, wild[i], 0, 0), EFAULT);
    }
    char byte;
    CHECK_EQ(read(fds[0], &byte, 1), 1);  // nothing was lost
}

CASE(a_failed_pipe_or_socketpair_leaks_no_descriptor) {
    int before = OK(dup(0));
    OK(close(before));
    for (int i = 0; i < 100; i++) {
        CHECK_ERRNO(syscall(SYS_pipe2, 8, 0), EFAULT);
        CHECK_ERRNO(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8), EFAULT);
    }
    CHECK_EQ(dup(0), before);
}

CASE(a_buffer_that_ends_in_a_hole_is_used_up_to_it) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    OK(munmap(page + 4096, 4096));
    int fds[2], file = OK(open("f", O_RDWR | O_CREAT, 0600));
    OK(pipe(fds));
    strcpy(page + 4096 - 4, "abc");
    CHECK_ERRNO(open(page + 4096 - 3, O_RDONLY | O_NOFOLLOW), ENOENT);  // "bc" ends in time
    page[4095] = 'd';
    CHECK_ERRNO(open(page + 4096 - 3, O_RDONLY), EFAULT);  // no end before the hole
    ssize_t got = write(file, page, 8192);
    CHECK(got == 4096 || (got == -1 && errno == EFAULT));
    struct stat info;
    OK(fstat(file, &info));
    CHECK_EQ(info.st_size, got == -1 ? 0 : 4096);
}

CASE(huge_lengths_do_not_hurt) {
    char byte;
    int fds[2], zero = OK(open("/dev/zero", O_RDONLY)), file = OK(open("f", O_RDWR | O_CREAT, 0600));
    OK(pipe(fds)), tell(fds[1]);
    CHECK(syscall(SYS_read, fds[0], &byte, SSIZE_MAX) == 1 || errno == EFAULT);
    syscall(SYS_read, zero, &byte - 100000000, SIZE_MAX);
    CHECK_ERRNO(syscall(SYS_pwrite64, file, &byte, 8, -5L), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrandom, 8, SIZE_MAX, 0), EFAULT);
    syscall(SYS_poll, 8, 0x7fffffff, 0);
    syscall(SYS_getgroups, 0x7fffffff, 8);
    syscall(SYS_setgroups, 0x7fffffff, &byte);
    syscall(SYS_sched_getaffinity, 0, 0x7fffffff, 8);
    syscall(SYS_readv, zero, 8, 1024);
    syscall(SYS_sendfile, file, zero, NULL, 0);
    syscall(SYS_getdents64, OK(open(".", O_RDONLY)), 8, 0xffffffff);
    CHECK_ERRNO(syscall(SYS_ftruncate, file, INT64_MIN), EINVAL);
    syscall(SYS_fallocate, file, 0, INT64_MAX, INT64_MAX);
    syscall(SYS_lseek, file, INT64_MAX, SEEK_END);
    CHECK_ERRNO(syscall(SYS_mmap, NULL, INT64_MAX, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_ERRNO(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, file, INT64_MIN), EOVERFLOW);
}

CASE(pointers_that_change_while_they_are_read_do_not_hurt) {
    struct iovec_like { void *base; size_t len; } *vector =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char buffer[64];
    int null = OK(open("/dev/null", O_WRONLY));
    pid_t child = IN_CHILD(for (;;) {
        vector[0] = (struct iovec_like){buffer, 64};
        vector[0] = (struct iovec_like){(void *)8, SIZE_MAX};
    });
    for (int i = 0; i < 2000; i++) syscall(SYS_writev, null, vector, 1);
    OK(kill(child, SIGKILL));
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

CASE(a_bounded_fork_bomb_is_survived) {
    // Each generation doubles: 2^7 processes at most.
    pid_t bomb = IN_CHILD({
        for (int i = 0; i < 7; i++) (void)!fork();
        while (wait(NULL) > 0) {}
    });
    CHECK_CHILD(bomb);
}

CASE(thousands_of_mappings_are_survived) {
    int count = 0;
    for (; count < 20000; count++) {
        char *page = mmap(NULL, 4096, count % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) break;
    }
    CHECK(count == 20000 || errno == ENOMEM);
    CHECK_CHILD(IN_CHILD({}));
}

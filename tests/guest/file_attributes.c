// stat, modes, owners, times, permissions, extended attributes, locks.
#include "check.h"
#include <linux/stat.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static struct stat look(const char *name) {
    struct stat info;
    OK(lstat(name, &info));
    return info;
}

static int create(const char *name, mode_t mode) { return OK(open(name, O_RDWR | O_CREAT | O_EXCL, mode)); }

CASE(stat_tells_the_truth) {
    int fd = create("s", 0640);
    CHECK_EQ(write(fd, "12345", 5), 5);
    struct stat info = look("s"), same;
    CHECK(S_ISREG(info.st_mode) && (info.st_mode & 07777) == 0640);
    CHECK(info.st_size == 5 && info.st_nlink == 1 && info.st_uid == geteuid() && info.st_gid == getegid());
    OK(fstat(fd, &same));
    CHECK(same.st_ino == info.st_ino && same.st_dev == info.st_dev);
    CHECK(info.st_blksize > 0);
    struct stat null;
    OK(stat("/dev/null", &null));
    CHECK(S_ISCHR(null.st_mode) && null.st_rdev == makedev(1, 3));
}

CASE(statx_agrees_with_stat) {
    OK(close(create("x", 0600)));
    struct statx info;
    struct stat old = look("x");
    OK((int)syscall(SYS_statx, AT_FDCWD, "x", 0, 0x7ff, &info));
    CHECK_EQ(info.stx_ino, old.st_ino);
    CHECK_EQ(info.stx_mode, old.st_mode);
    CHECK_EQ(info.stx_mtime.tv_sec, old.st_mtim.tv_sec);
    CHECK_EQ(info.stx_mtime.tv_nsec, old.st_mtim.tv_nsec);
    CHECK_EQ(info.stx_mask & 0x7ff, 0x7ff);
    CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "x", 0, 0x80000000, &info), EINVAL);
    CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "x", 0x10, 0x7ff, &info), EINVAL);
}

CASE(umask_takes_bits_away) {
    CHECK_EQ(umask(027), 022);
    OK(close(create("masked", 0666)));
    CHECK_EQ(look("masked").st_mode & 0777, 0640);
    OK(mkdir("maskdir", 0777));
    CHECK_EQ(look("maskdir").st_mode & 0777, 0750);
    CHECK_EQ(umask(0), 027);
}

CASE(chmod_and_chown_change_what_they_name) {
    int fd = create("c", 0600);
    OK(chmod("c", 04755));
    CHECK_EQ(look("c").st_mode & 07777, 04755);
    OK(fchmod(fd, 0400));
    CHECK_EQ(look("c").st_mode & 07777, 0400);
    OK(fchmodat(AT_FDCWD, "c", 0666, 0));
    OK(chown("c", 1000, -1));
    CHECK(look("c").st_uid == 1000 && look("c").st_gid == getegid());
    OK(fchown(fd, -1, 1001));
    CHECK_EQ(look("c").st_gid, 1001);
    OK(symlink("c", "csym"));
    OK(lchown("csym", 5, 6));
    CHECK(look("csym").st_uid == 5 && look("c").st_uid == 1000);
    OK(fchownat(AT_FDCWD, "csym", 7, 7, 0));
    CHECK_EQ(look("c").st_uid, 7);
    CHECK_ERRNO(chmod("none", 0600), ENOENT);
}

CASE(chown_drops_setuid) {
    int fd = create("su", 0600);
    OK(fchmod(fd, 06755));
    OK(fchown(fd, 1, 1));
    CHECK_EQ(look("su").st_mode & 07777, 0755);
}

CASE(writing_by_another_drops_setuid) {
    int fd = create("suw", 0600);
    OK(fchmod(fd, 04777));
    CHECK_CHILD(IN_CHILD({
        OK(setuid(1000));
        CHECK_EQ(write(fd, "x", 1), 1);
    }));
    CHECK_EQ(look("suw").st_mode & 07777, 0777);
}

CASE(times_can_be_set_and_omitted) {
    int fd = create("t", 0600);
    struct timespec times[2] = {{1000, 111}, {2000, 222}};
    OK(futimens(fd, times));
    struct stat info = look("t");
    CHECK(info.st_atim.tv_sec == 1000 && info.st_mtim.tv_sec == 2000 && info.st_mtim.tv_nsec == 222);
    times[0].tv_nsec = UTIME_OMIT, times[1].tv_nsec = UTIME_NOW;
    OK(utimensat(AT_FDCWD, "t", times, 0));
    info = look("t");
    CHECK(info.st_atim.tv_sec == 1000 && info.st_mtim.tv_sec > 1000000000);
    times[0].tv_nsec = 2000000000;
    CHECK_ERRNO(utimensat(AT_FDCWD, "t", times, 0), EINVAL);
    CHECK_ERRNO(utimensat(AT_FDCWD, "none", NULL, 0), ENOENT);
}

CASE(changes_move_mtime_and_ctime) {
    int fd = create("m", 0600);
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    OK(futimens(fd, old));
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK(look("m").st_mtim.tv_sec > 1000);
    OK(futimens(fd, old));
    OK(ftruncate(fd, 10));
    CHECK(look("m").st_mtim.tv_sec > 1000);
    OK(futimens(fd, old));
    OK(fchmod(fd, 0644));
    CHECK(look("m").st_mtim.tv_sec == 1000 && look("m").st_ctim.tv_sec > 1000);
    OK(mkdir("dir", 0700));
    OK(utimensat(AT_FDCWD, "dir", old, 0));
    OK(close(create("dir/x", 0600)));
    CHECK(look("dir").st_mtim.tv_sec > 1000);
}

CASE(permissions_are_enforced_for_others) {
    OK(close(create("secret", 0600))), OK(close(create("public", 0644)));
    OK(mkdir("closed", 0700)), OK(mkdir("nolist", 0711));
    OK(close(create("nolist/f", 0644))), OK(close(create("closed/f", 0644)));
    OK(chmod(".", 0755));
    CHECK_CHILD(IN_CHILD({
        OK(setgid(1000)), OK(setuid(1000));
        CHECK_ERRNO(open("secret", O_RDONLY), EACCES);
        CHECK_ERRNO(open("public", O_WRONLY), EACCES);
        OK(close(OK(open("public", O_RDONLY))));
        CHECK_ERRNO(open("closed/f", O_RDONLY), EACCES);
        OK(close(OK(open("nolist/f", O_RDONLY))));
        CHECK_ERRNO(open("nolist", O_RDONLY | O_DIRECTORY), EACCES);
        CHECK_ERRNO(mkdir("x", 0700), EACCES);
        CHECK_ERRNO(unlink("public"), EACCES);
        CHECK_ERRNO(chmod("public", 0666), EPERM);
        CHECK_ERRNO(chown("public", 1000, 1000), EPERM);
        CHECK_ERRNO(utimensat(AT_FDCWD, "public", NULL, 0), EACCES);
        CHECK_ERRNO(access("secret", R_OK), EACCES);
        OK(access("public", R_OK));
        CHECK_ERRNO(access("public", X_OK), EACCES);
    }));
    OK(access("secret", R_OK | W_OK));
    CHECK_ERRNO(access("secret", X_OK), EACCES);
    CHECK_ERRNO(access("secret", 9), EINVAL);
}

CASE(groups_give_access) {
    OK(close(create("grp", 0640)));
    OK(chown("grp", 0, 2000));
    OK(chmod(".", 0755));
    CHECK_CHILD(IN_CHILD({
        gid_t groups[1] = {2000};
        OK((int)syscall(SYS_setgroups, 1, groups));
        OK(setgid(1000)), OK(setuid(1000));
        OK(close(OK(open("grp", O_RDONLY))));
        CHECK_ERRNO(open("grp", O_WRONLY), EACCES);
    }));
}

CASE(access_asks_for_the_real_user) {
    OK(close(create("real", 0600)));
    OK(chmod(".", 0755));
    CHECK_CHILD(IN_CHILD({
        OK(setresuid(1000, 0, 0));
        CHECK_ERRNO(access("real", R_OK), EACCES);
        OK(close(OK(open("real", O_RDONLY))));
        OK(faccessat(AT_FDCWD, "real", R_OK, AT_EACCESS));
    }));
}

CASE(sticky_directories_protect) {
    OK(chmod(".", 0755)), OK(mkdir("sticky", 0700)), OK(chmod("sticky", 01777));
    OK(close(create("sticky/roots", 0666)));
    CHECK_CHILD(IN_CHILD({
        OK(setuid(1000));
        CHECK_ERRNO(unlink("sticky/roots"), EPERM);
        CHECK_ERRNO(rename("sticky/roots", "sticky/x"), EPERM);
        OK(close(create("sticky/own", 0600)));
        OK(unlink("sticky/own"));
    }));
}

CASE(setgid_directories_pass_their_group) {
    OK(mkdir("sg", 0700)), OK(chown("sg", 0, 77)), OK(chmod("sg", 02777));
    OK(close(create("sg/f", 0600)));
    CHECK_EQ(look("sg/f").st_gid, 77);
    OK(mkdir("sg/d", 0700));
    CHECK(look("sg/d").st_gid == 77 && (look("sg/d").st_mode & 02000));
}

CASE(extended_attributes_are_kept) {
    int fd = create("xa", 0600);
    char value[16] = {0}, list[64] = {0};
    if (setxattr("xa", "user.one", "abc", 3, 0) == -1 && errno == EOPNOTSUPP) SKIP("no user.*");
    CHECK_EQ(getxattr("xa", "user.one", value, 16), 3);
    CHECK(!memcmp(value, "abc", 3));
    CHECK_EQ(getxattr("xa", "user.one", NULL, 0), 3);
    CHECK_ERRNO(getxattr("xa", "user.one", value, 2), ERANGE);
    CHECK_ERRNO(getxattr("xa", "user.two", value, 16), ENODATA);
    CHECK_ERRNO(setxattr("xa", "user.one", "x", 1, XATTR_CREATE), EEXIST);
    CHECK_ERRNO(setxattr("xa", "user.two", "x", 1, XATTR_REPLACE), ENODATA);
    OK(fsetxattr(fd, "user.two", "", 0, 0));
    ssize_t len = listxattr("xa", list, sizeof list);
    CHECK(len >= 18);
    OK(removexattr("xa", "user.one"));
    CHECK_ERRNO(removexattr("xa", "user.one"), ENODATA);
    CHECK_ERRNO(setxattr("xa", "nonsense.x", "x", 1, 0), EOPNOTSUPP);
}

CASE(flock_excludes_other_opens) {
    int one = create("fl", 0600), two = OK(open("fl", O_RDWR));
    OK(flock(one, LOCK_EX));
    CHECK_ERRNO(flock(two, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    OK(flock(one, LOCK_SH));
    OK(flock(two, LOCK_SH | LOCK_NB));
    CHECK_ERRNO(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    OK(flock(one, LOCK_UN));
    OK(flock(two, LOCK_EX | LOCK_NB));
    CHECK_CHILD(IN_CHILD(OK(flock(two, LOCK_UN))));  // one lock for all duplicates
    OK(flock(one, LOCK_EX | LOCK_NB));
    CHECK_ERRNO(flock(one, 0), EINVAL);
}

CASE(flock_waits_for_its_turn) {
    int one = create("flw", 0600), fds[2];
    OK(pipe(fds));
    OK(flock(one, LOCK_EX));
    pid_t child = IN_CHILD({
        int own = OK(open("flw", O_RDWR));
        tell(fds[1]);
        OK(flock(own, LOCK_EX));
    });
    await(fds[0]);
    CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
    OK(flock(one, LOCK_UN));
    CHECK_CHILD(child);
}

static struct flock range(short type, off_t start, off_t len) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

CASE(record_locks_belong_to_processes_and_ranges) {
    int fd = create("rl", 0600);
    struct flock lock = range(F_WRLCK, 10, 10);
    OK(fcntl(fd, F_SETLK, &lock));
    pid_t parent = getpid();
    CHECK_CHILD(IN_CHILD({
        struct flock probe = range(F_RDLCK, 15, 1);
        OK(fcntl(fd, F_GETLK, &probe));
        CHECK(probe.l_type == F_WRLCK && probe.l_pid == parent && probe.l_start == 10 && probe.l_len == 10);
        probe = range(F_RDLCK, 15, 1);
        CHECK(fcntl(fd, F_SETLK, &probe) == -1 && (errno == EAGAIN || errno == EACCES));
        probe = range(F_WRLCK, 20, 0);
        OK(fcntl(fd, F_SETLK, &probe));
        probe = range(F_WRLCK, 0, 10);
        OK(fcntl(fd, F_SETLK, &probe));
    }));
    lock = range(F_UNLCK, 12, 4);  // leaves two pieces
    OK(fcntl(fd, F_SETLK, &lock));
    CHECK_CHILD(IN_CHILD({
        struct flock probe = range(F_WRLCK, 12, 4);
        OK(fcntl(fd, F_SETLK, &probe));
        probe = range(F_WRLCK, 0, 0);
        OK(fcntl(fd, F_GETLK, &probe));
        CHECK(probe.l_start == 10 && probe.l_len == 2);
    }));
    OK(close(OK(dup(fd))));  // any close drops all of them
    CHECK_CHILD(IN_CHILD({
        struct flock probe = range(F_WRLCK, 0, 0);
        OK(fcntl(fd, F_SETLK, &probe));
    }));
}

CASE(record_locks_wait_and_find_deadlocks) {
    int fd = create("dl", 0600), fds[2];
    OK(pipe(fds));
    struct flock own = range(F_WRLCK, 0, 1);
    OK(fcntl(fd, F_SETLK, &own));
    pid_t child = IN_CHILD({
        struct flock second = range(F_WRLCK, 1, 1), first = range(F_WRLCK, 0, 1);
        OK(fcntl(fd, F_SETLK, &second));
        tell(fds[1]);
        OK(fcntl(fd, F_SETLKW, &first));
    });
    await(fds[0]);
    sleep_ms(50);
    struct flock other = range(F_WRLCK, 1, 1);
    CHECK_ERRNO(fcntl(fd, F_SETLKW, &other), EDEADLK);
    own.l_type = F_UNLCK;
    OK(fcntl(fd, F_SETLK, &own));
    CHECK_CHILD(child);
}

CASE(open_description_locks_belong_to_opens) {
    int one = create("ofd", 0600), two = OK(open("ofd", O_RDWR));
    struct flock lock = range(F_WRLCK, 0, 0);
    if (fcntl(one, F_OFD_SETLK, &lock) == -1 && errno == EINVAL) SKIP("no OFD locks");
    CHECK_ERRNO(fcntl(two, F_OFD_SETLK, &lock), EAGAIN);
    OK(close(one));
    OK(fcntl(two, F_OFD_SETLK, &lock));
}

CASE(file_size_limit_is_sigxfsz_or_efbig) {
    int fd = create("big", 0600);
    struct rlimit { uint64_t now, max; } limit = {100, 1000};
    OK((int)syscall(SYS_setrlimit, 1 /* RLIMIT_FSIZE */, &limit));
    signal(SIGXFSZ, SIG_IGN);
    char bytes[200] = {0};
    CHECK_EQ(write(fd, bytes, 200), 100);
    CHECK_ERRNO(write(fd, bytes, 1), EFBIG);
    CHECK_ERRNO(ftruncate(fd, 101), EFBIG);
    signal(SIGXFSZ, SIG_DFL);
    int status;
    pid_t child = IN_CHILD({ (void)!write(fd, bytes, 1); });
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
}

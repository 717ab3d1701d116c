// open, read, write, seek, truncate, duplicate.
#include "check.h"
#include <sys/sendfile.h>
#include <sys/uio.h>

static int create(const char *name, const char *text) {
    int fd = OK(open(name, O_RDWR | O_CREAT | O_TRUNC, 0644));
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    OK((int)lseek(fd, 0, SEEK_SET));
    return fd;
}

static void has(const char *name, const char *text) {
    char got[256] = {0};
    int fd = OK(open(name, O_RDONLY));
    CHECK_EQ(read(fd, got, sizeof got - 1), strlen(text));
    if (strcmp(got, text)) FAIL("%s has %s, not %s", name, got, text);
    OK(close(fd));
}

CASE(what_was_written_is_read) {
    OK(close(create("a", "hello")));
    has("a", "hello");
}

CASE(open_flags_do_what_they_say) {
    CHECK_ERRNO(open("new", O_RDONLY), ENOENT);
    OK(close(OK(open("new", O_WRONLY | O_CREAT | O_EXCL, 0600))));
    CHECK_ERRNO(open("new", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    int fd = create("new", "long text");
    OK(close(OK(open("new", O_WRONLY | O_TRUNC))));
    struct stat info;
    OK(fstat(fd, &info));
    CHECK_EQ(info.st_size, 0);
    CHECK_ERRNO(open("new", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
    CHECK_ERRNO(open(".", O_RDONLY | O_CREAT, 0600), EISDIR);
    OK(close(OK(open(".", O_RDONLY | O_DIRECTORY))));
    CHECK_ERRNO(open("new/x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("nodir/x", O_WRONLY | O_CREAT, 0600), ENOENT);
    CHECK_ERRNO(open("", O_RDONLY), ENOENT);
}

CASE(access_mode_is_kept) {
    OK(close(create("mode", "abc")));
    char byte;
    int reads = OK(open("mode", O_RDONLY)), writes = OK(open("mode", O_WRONLY));
    CHECK_ERRNO(write(reads, "x", 1), EBADF);
    CHECK_ERRNO(read(writes, &byte, 1), EBADF);
    CHECK_EQ(fcntl(reads, F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_EQ(fcntl(writes, F_GETFL) & O_ACCMODE, O_WRONLY);
}

CASE(append_always_writes_at_the_end) {
    OK(close(create("log", "one")));
    int one = OK(open("log", O_WRONLY | O_APPEND)), two = OK(open("log", O_WRONLY | O_APPEND));
    CHECK_EQ(write(one, "two", 3) + write(two, "three", 5) + write(one, "!", 1), 9);
    OK((int)lseek(one, 0, SEEK_SET));
    CHECK_EQ(write(one, "?", 1), 1);
    has("log", "onetwothree!?");
    int plain = OK(open("log", O_RDWR));
    OK(fcntl(plain, F_SETFL, O_APPEND));
    CHECK_EQ(write(plain, ".", 1), 1);
    has("log", "onetwothree!?.");
}

CASE(positioned_calls_leave_the_offset) {
    int fd = create("pos", "0123456789");
    char got[4] = {0};
    CHECK_EQ(pread(fd, got, 3, 5), 3);
    CHECK(!strcmp(got, "567"));
    CHECK_EQ(pwrite(fd, "AB", 2, 8), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(pread(fd, got, 3, 100), 0);
    CHECK_ERRNO(pread(fd, got, 3, -1), EINVAL);
    has("pos", "01234567AB");
}

CASE(seek_in_all_forms) {
    int fd = create("seek", "0123456789"), pipes[2];
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_EQ(lseek(fd, -2, SEEK_CUR), 2);
    CHECK_EQ(lseek(fd, -1, SEEK_END), 9);
    CHECK_EQ(lseek(fd, 90, SEEK_END), 100);
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
    CHECK_EQ(lseek(fd, 3, SEEK_DATA), 3);
    CHECK_EQ(lseek(fd, 3, SEEK_HOLE), 10);
    CHECK_ERRNO(lseek(fd, 10, SEEK_DATA), ENXIO);
    OK(pipe(pipes));
    CHECK_ERRNO(lseek(pipes[0], 0, SEEK_CUR), ESPIPE);
}

CASE(a_gap_reads_as_zeros) {
    int fd = create("gap", "a");
    CHECK_EQ(pwrite(fd, "b", 1, 100000), 1);
    char bytes[100];
    CHECK_EQ(pread(fd, bytes, 100, 50000), 100);
    for (int i = 0; i < 100; i++) CHECK_EQ(bytes[i], 0);
    struct stat info;
    OK(fstat(fd, &info));
    CHECK_EQ(info.st_size, 100001);
}

CASE(truncate_cuts_and_extends) {
    int fd = create("cut", "0123456789");
    OK(ftruncate(fd, 4));
    has("cut", "0123");
    OK(ftruncate(fd, 6));
    char bytes[8];
    CHECK_EQ(pread(fd, bytes, 8, 0), 6);
    CHECK(!memcmp(bytes, "0123\0\0", 6));
    OK(truncate("cut", 1));
    has("cut", "0");
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_ERRNO(truncate(".", 0), EISDIR);
    CHECK_ERRNO(truncate("none", 0), ENOENT);
    int reads = OK(open("cut", O_RDONLY));
    CHECK_ERRNO(ftruncate(reads, 0), EINVAL);
}

CASE(vectors_scatter_and_gather) {
    int fd = create("vector", "");
    struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    CHECK_EQ(writev(fd, out, 3), 5);
    has("vector", "abcde");
    char one[3] = {0}, two[5] = {0};
    struct iovec in[2] = {{one, 2}, {two, 4}};
    OK((int)lseek(fd, 0, SEEK_SET));
    CHECK_EQ(readv(fd, in, 2), 5);
    CHECK(!strcmp(one, "ab") && !strcmp(two, "cde"));
    CHECK_EQ(pwritev(fd, out, 3, 5), 5);
    CHECK_EQ(preadv(fd, in, 2, 6), 4);
    CHECK(!strncmp(one, "bc", 2));
    CHECK_ERRNO(syscall(SYS_writev, fd, out, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_writev, fd, out, 1025), EINVAL);
    CHECK_EQ(writev(fd, out, 0), 0);
    struct iovec huge[2] = {{one, 1}, {one, SIZE_MAX}};
    CHECK_ERRNO(readv(fd, huge, 2), EINVAL);
}

CASE(the_lowest_free_descriptor_is_taken) {
    int a = OK(open("/dev/null", O_RDONLY)), b = OK(open("/dev/null", O_RDONLY));
    CHECK_EQ(b, a + 1);
    OK(close(a));
    CHECK_EQ(open("/dev/null", O_RDONLY), a);
    CHECK_ERRNO(close(500), EBADF);
    CHECK_ERRNO(close(-1), EBADF);
}

CASE(duplicates_share_offset_and_flags_but_not_cloexec) {
    int fd = create("dup", "0123456789"), copy = OK(dup(fd)), at = 50;
    OK((int)lseek(fd, 5, SEEK_SET));
    CHECK_EQ(lseek(copy, 0, SEEK_CUR), 5);
    OK(fcntl(fd, F_SETFL, O_NONBLOCK));
    CHECK(fcntl(copy, F_GETFL) & O_NONBLOCK);
    OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
    CHECK_EQ(fcntl(copy, F_GETFD), 0);
    CHECK_EQ(dup2(fd, at), at);
    CHECK_EQ(fcntl(at, F_GETFD), 0);
    CHECK_EQ(dup2(fd, fd), fd);
    CHECK_EQ(dup3(fd, 51, O_CLOEXEC), 51);
    CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
    CHECK_ERRNO(dup3(fd, 52, O_APPEND), EINVAL);
    CHECK_ERRNO(dup(999), EBADF);
    CHECK_ERRNO(dup2(fd, -1), EBADF);
    CHECK_EQ(fcntl(fd, F_DUPFD, 60), 60);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 60), 61);
    CHECK_EQ(fcntl(61, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
}

CASE(close_range_closes_a_range) {
    int a = OK(open("/dev/null", O_RDONLY));
    CHECK_EQ(dup2(a, 40), 40);
    CHECK_EQ(dup2(a, 41), 41);
    if (syscall(SYS_close_range, 40, 41, 0) == -1 && errno == ENOSYS) SKIP("no close_range");
    CHECK_ERRNO(fcntl(40, F_GETFD), EBADF);
    CHECK_ERRNO(fcntl(41, F_GETFD), EBADF);
    OK(fcntl(a, F_GETFD));
    OK((int)syscall(SYS_close_range, a, a, 4));
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(syscall(SYS_close_range, 5, 4, 0), EINVAL);
}

CASE(sendfile_copies_between_files_and_pipes) {
    int from = create("from", "0123456789"), to = create("to", ""), pipes[2];
    off_t offset = 2;
    CHECK_EQ(sendfile64(to, from, &offset, 5), 5);
    CHECK_EQ(offset, 7);
    has("to", "23456");
    OK(pipe(pipes));
    CHECK_EQ(sendfile64(pipes[1], from, NULL, 100), 10);
    char bytes[16];
    CHECK_EQ(read(pipes[0], bytes, 16), 10);
    CHECK_EQ(lseek(from, 0, SEEK_CUR), 10);
}

CASE(copy_file_range_copies_inside_the_kernel) {
    int from = create("cfr1", "0123456789"), to = create("cfr2", "");
    off64_t in = 3, out = 1;
    ssize_t got = copy_file_range(from, &in, to, &out, 4, 0);
    if (got == -1 && errno == ENOSYS) SKIP("no copy_file_range");
    CHECK_EQ(got, 4);
    CHECK(in == 7 && out == 5);
    char bytes[8];
    CHECK_EQ(pread(to, bytes, 8, 0), 5);
    CHECK(!memcmp(bytes, "\0003456", 5));
    CHECK_ERRNO(copy_file_range(from, &in, to, &out, 4, 1), EINVAL);
}

CASE(o_path_names_without_opening) {
    OK(close(create("named", "x")));
    int fd = OK(open("named", O_PATH));
    char byte;
    CHECK_ERRNO(read(fd, &byte, 1), EBADF);
    CHECK_ERRNO(fchmod(fd, 0600), EBADF);
    struct stat info;
    OK(fstat(fd, &info));
    CHECK_EQ(info.st_size, 1);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = OK(open(path, O_RDONLY));
    CHECK_EQ(read(again, &byte, 1), 1);
}

CASE(o_tmpfile_has_no_name_until_linked) {
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    if (fd == -1 && errno == EOPNOTSUPP) SKIP("file system without O_TMPFILE");
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "hi", 2), 2);
    struct stat info;
    OK(fstat(fd, &info));
    CHECK_EQ(info.st_nlink, 0);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    OK(linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
    has("linked", "hi");
}

CASE(fallocate_reserves_and_punches) {
    int fd = create("alloc", "0123456789");
    if (fallocate(fd, 0, 0, 100) == -1 && errno == EOPNOTSUPP) SKIP("no fallocate");
    struct stat info;
    OK(fstat(fd, &info));
    CHECK_EQ(info.st_size, 100);
    OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000));
    OK(fstat(fd, &info));
    CHECK_EQ(info.st_size, 100);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
    char bytes[6];
    CHECK_EQ(pread(fd, bytes, 6, 0), 6);
    CHECK(!memcmp(bytes, "01\0\0\0" "5", 6));
    CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
}

CASE(large_transfers_are_whole) {
    enum { SIZE = 3 << 20 };
    char *bytes = malloc(SIZE), *copy = malloc(SIZE);
    for (int i = 0; i < SIZE; i++) bytes[i] = i * 31 + (i >> 13);
    int fd = create("large", "");
    CHECK_EQ(write(fd, bytes, SIZE), SIZE);
    CHECK_EQ(pread(fd, copy, SIZE, 0), SIZE);
    CHECK(!memcmp(bytes, copy, SIZE));
    OK(fsync(fd)), OK(fdatasync(fd));
}

CASE(devices_behave) {
    char bytes[8] = "xxxxxxx";
    int null = OK(open("/dev/null", O_RDWR)), zero = OK(open("/dev/zero", O_RDWR));
    CHECK_EQ(read(null, bytes, 8), 0);
    CHECK_EQ(write(null, bytes, 8), 8);
    CHECK_EQ(read(zero, bytes, 8), 8);
    CHECK_EQ(bytes[0] + bytes[7], 0);
    CHECK_ERRNO(write(OK(open("/dev/full", O_WRONLY)), "x", 1), ENOSPC);
    CHECK_EQ(read(OK(open("/dev/urandom", O_RDONLY)), bytes, 8), 8);
}

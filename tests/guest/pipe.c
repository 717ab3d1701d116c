// Pipes and FIFOs.
#include "check.h"
#include <sys/ioctl.h>
#include <sys/uio.h>

CASE(bytes_come_out_in_order) {
    int fds[2];
    char out[16] = {0};
    OK(pipe(fds));
    CHECK_EQ(write(fds[1], "abc", 3) + write(fds[1], "def", 3), 6);
    CHECK_EQ(read(fds[0], out, 2), 2);
    CHECK_EQ(read(fds[0], out + 2, 10), 4);
    CHECK(!strcmp(out, "abcdef"));
}

CASE(a_megabyte_flows_through) {
    int fds[2];
    OK(pipe(fds));
    pid_t child = IN_CHILD({
        char chunk[5000];
        for (int sent = 0; sent < 1000000; sent += sizeof chunk) {
            for (unsigned i = 0; i < sizeof chunk; i++) chunk[i] = (sent + i) % 251;
            CHECK_EQ(write(fds[1], chunk, sizeof chunk), sizeof chunk);
        }
    });
    OK(close(fds[1]));
    char chunk[7777];
    long got, at = 0;
    while ((got = read(fds[0], chunk, sizeof chunk)) > 0)
        for (long i = 0; i < got; i++, at++) CHECK_EQ((unsigned char)chunk[i], at % 251);
    CHECK_EQ(at, 1000000);
    CHECK_CHILD(child);
}

CASE(end_of_file_comes_with_the_last_writer) {
    int fds[2];
    char byte;
    OK(pipe(fds));
    int copy = OK(dup(fds[1]));
    OK(close(fds[1]));
    pid_t child = IN_CHILD({ sleep_ms(10); });
    OK(close(copy));
    CHECK_EQ(read(fds[0], &byte, 1), 0);
    CHECK_CHILD(child);
}

CASE(nonblocking_ends_say_eagain) {
    int fds[2];
    char byte, page[4096] = {0};
    OK(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
    CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(fds[0], &byte, 1), EAGAIN);
    int pages = 0;
    while (write(fds[1], page, sizeof page) == sizeof page) pages++;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(pages, 16);
    CHECK_EQ(fcntl(fds[1], F_GETPIPE_SZ), 65536);
    CHECK_ERRNO(write(fds[1], "x", 1), EAGAIN);
    CHECK_EQ(read(fds[0], page, sizeof page), sizeof page);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_ERRNO(pipe2(fds, O_APPEND), EINVAL);
}

CASE(small_writes_are_whole) {
    int fds[2];
    OK(pipe(fds));
    for (int who = 0; who < 4; who++)
        IN_CHILD({
            char block[512];
            memset(block, 'a' + who, sizeof block);
            for (int i = 0; i < 200; i++) CHECK_EQ(write(fds[1], block, sizeof block), sizeof block);
        });
    OK(close(fds[1]));
    char block[512];
    int blocks = 0;
    for (;; blocks++) {
        size_t len = 0;
        ssize_t got;
        while (len < sizeof block && (got = read(fds[0], block + len, sizeof block - len)) > 0) len += got;
        if (!len) break;
        CHECK_EQ(len, sizeof block);
        for (unsigned i = 1; i < sizeof block; i++) CHECK_EQ(block[i], block[0]);
    }
    CHECK_EQ(blocks, 800);
}

CASE(the_size_can_be_changed) {
    int fds[2], count;
    OK(pipe(fds));
    CHECK_EQ(fcntl(fds[0], F_SETPIPE_SZ, 4096), 4096);
    CHECK_EQ(fcntl(fds[0], F_SETPIPE_SZ, 100000), 131072);
    CHECK_EQ(write(fds[1], "12345", 5), 5);
    OK(ioctl(fds[0], FIONREAD, &count));
    CHECK_EQ(count, 5);
}

CASE(a_fifo_joins_two_opens) {
    char byte;
    OK(mkfifo("fifo", 0600));
    pid_t child = IN_CHILD({
        int fd = OK(open("fifo", O_WRONLY));
        CHECK_EQ(write(fd, "q", 1), 1);
    });
    int fd = OK(open("fifo", O_RDONLY));
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'q');
    CHECK_EQ(read(fd, &byte, 1), 0);
    CHECK_CHILD(child);
    int reader = OK(open("fifo", O_RDONLY | O_NONBLOCK));
    OK(close(OK(open("fifo", O_WRONLY | O_NONBLOCK))));
    (void)reader;
}

CASE(a_pipe_reopened_by_proc_is_the_same_pipe) {
    int fds[2];
    char path[32], byte;
    OK(pipe(fds));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fds[1]);
    int again = OK(open(path, O_WRONLY));
    CHECK_EQ(write(again, "p", 1), 1);
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    char target[32] = {0};
    OK((int)readlink(path, target, sizeof target - 1));
    CHECK(!strncmp(target, "pipe:[", 6));
}

CASE(splice_and_tee_move_bytes) {
    int one[2], two[2];
    char bytes[8];
    OK(pipe(one)), OK(pipe(two));
    CHECK_EQ(write(one[1], "abcd", 4), 4);
    ssize_t teed = tee(one[0], two[1], 4, 0);
    if (teed == -1 && (errno == ENOSYS || errno == EINVAL)) SKIP("no tee");
    CHECK_EQ(teed, 4);
    CHECK_EQ(read(two[0], bytes, 8), 4);
    int file = OK(open("spliced", O_RDWR | O_CREAT, 0600));
    CHECK_EQ(splice(one[0], NULL, file, NULL, 4, 0), 4);
    CHECK_EQ(pread(file, bytes, 8, 0), 4);
    CHECK(!memcmp(bytes, "abcd", 4));
    loff_t offset = 1;
    CHECK_EQ(splice(file, &offset, two[1], NULL, 2, 0), 2);
    CHECK_EQ(read(two[0], bytes, 8), 2);
    CHECK(!memcmp(bytes, "bc", 2));
}

CASE(ping_pong_ten_thousand_times) {
    int there[2], back[2];
    OK(pipe(there)), OK(pipe(back));
    pid_t child = IN_CHILD({
        for (int i = 0; i < 10000; i++) await(there[0]), tell(back[1]);
    });
    for (int i = 0; i < 10000; i++) tell(there[1]), await(back[0]);
    CHECK_CHILD(child);
}

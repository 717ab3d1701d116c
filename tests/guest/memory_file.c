// Mappings of files: private and shared, beyond the end, after truncation and unlink.
#include "check.h"
#include <setjmp.h>

enum { PAGE = 4096 };

static sigjmp_buf back;
static int fault_code;
static void on_fault(int sig, siginfo_t *info, void *context) {
    (void)context;
    fault_code = info->si_code;
    siglongjmp(back, sig);
}

static int touch(volatile char *address, int is_write) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGSEGV, &action, NULL)), OK(sigaction(SIGBUS, &action, NULL));
    int sig = sigsetjmp(back, 1);
    if (sig) return sig;
    if (is_write) *address = 1;
    else (void)*address;
    return 0;
}

// A file of `size` bytes whose byte at N is N / 16.
static int file(const char *name, int size) {
    int fd = OK(open(name, O_RDWR | O_CREAT | O_TRUNC, 0600));
    char *bytes = malloc(size);
    for (int i = 0; i < size; i++) bytes[i] = i / 16;
    CHECK_EQ(write(fd, bytes, size), size);
    free(bytes);
    return fd;
}

static char *map(int fd, int size, int prot, int flags) {
    char *address = mmap(NULL, size, prot, flags, fd, 0);
    CHECK(address != MAP_FAILED);
    return address;
}

CASE(a_private_mapping_shows_the_file_and_keeps_writes_apart) {
    int fd = file("private", 3 * PAGE);
    char *memory = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), byte;
    for (int i = 0; i < 3 * PAGE; i++) CHECK_EQ(memory[i], (char)(i / 16));
    memory[100] = 77;
    CHECK_EQ(pread(fd, &byte, 1, 100), 1);
    CHECK_EQ(byte, 6);
    CHECK_EQ(memory[100], 77);
}

CASE(a_shared_mapping_and_the_file_are_one) {
    int fd = file("shared", 2 * PAGE);
    char *memory = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), byte;
    memory[PAGE + 5] = 88;
    CHECK_EQ(pread(fd, &byte, 1, PAGE + 5), 1);
    CHECK_EQ(byte, 88);
    CHECK_EQ(pwrite(fd, "Q", 1, 9), 1);
    CHECK_EQ(memory[9], 'Q');
    char *second = map(fd, 2 * PAGE, PROT_READ, MAP_SHARED);
    memory[10] = 11;
    CHECK_EQ(second[10], 11);
    OK(msync(memory, 2 * PAGE, MS_SYNC));
}

CASE(a_shared_mapping_is_shared_with_a_child) {
    int fd = file("forked", PAGE);
    char *memory = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    CHECK_CHILD(IN_CHILD({ memory[0] = 55; }));
    CHECK_EQ(memory[0], 55);
}

CASE(the_rest_of_the_last_page_is_zero) {
    int fd = file("short", 100);
    char *memory = map(fd, PAGE, PROT_READ, MAP_PRIVATE);
    CHECK_EQ(memory[99], 6);
    for (int i = 100; i < PAGE; i++) CHECK_EQ(memory[i], 0);
}

CASE(beyond_the_end_is_sigbus) {
    int fd = file("bus", 100);
    char *memory = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    CHECK_EQ(touch(memory, 1), 0);
    CHECK_EQ(touch(memory + PAGE, 0), SIGBUS);
    CHECK_EQ(fault_code, BUS_ADRERR);
    CHECK_EQ(touch(memory + 2 * PAGE, 1), SIGBUS);
    OK(ftruncate(fd, 2 * PAGE));
    CHECK_EQ(touch(memory + PAGE, 0), 0);
    CHECK_EQ(touch(memory + 2 * PAGE, 0), SIGBUS);
}

CASE(truncation_takes_pages_away) {
    int fd = file("cut", 3 * PAGE);
    char *memory = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    char *own = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memory[2 * PAGE] = 1, own[2 * PAGE] = 1;
    OK(ftruncate(fd, PAGE + 10));
    CHECK_EQ(touch(memory + 2 * PAGE, 0), SIGBUS);
    CHECK_EQ(touch(own + 2 * PAGE, 0), SIGBUS);
    CHECK_EQ(memory[PAGE + 9], (char)((PAGE + 9) / 16));
    CHECK_EQ(memory[PAGE + 10], 0);
    OK(ftruncate(fd, 3 * PAGE));
    CHECK_EQ(memory[2 * PAGE], 0);
}

CASE(a_call_on_memory_beyond_the_end_is_efault) {
    int fd = file("efault", 10), pipes[2];
    char *memory = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    OK(pipe(pipes));
    CHECK_ERRNO(write(pipes[1], memory + PAGE, 10), EFAULT);
    tell(pipes[1]);
    CHECK_ERRNO(read(pipes[0], memory + PAGE, 1), EFAULT);
}

CASE(a_mapping_outlives_its_descriptor_and_its_name) {
    int fd = file("gone", PAGE);
    char *memory = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    OK(close(fd)), OK(unlink("gone"));
    CHECK_EQ(memory[160], 10);
    memory[0] = 3;
    CHECK_CHILD(IN_CHILD(CHECK_EQ(memory[0], 3)));
}

CASE(an_offset_is_in_pages) {
    int fd = file("offset", 4 * PAGE);
    char *memory = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE);
    CHECK(memory != MAP_FAILED);
    CHECK_EQ(memory[32], (char)((2 * PAGE + 32) / 16));
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100) == MAP_FAILED && errno == EINVAL);
}

CASE(the_open_mode_limits_the_mapping) {
    OK(close(file("modes", PAGE)));
    int reads = OK(open("modes", O_RDONLY)), writes = OK(open("modes", O_WRONLY));
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, writes, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, reads, 0) == MAP_FAILED && errno == EACCES);
    char *private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, reads, 0);
    CHECK(private != MAP_FAILED);
    private[0] = 1;
    char *shared = map(reads, PAGE, PROT_READ, MAP_SHARED);
    CHECK_ERRNO(mprotect(shared, PAGE, PROT_READ | PROT_WRITE), EACCES);
    int directory = OK(open(".", O_RDONLY)), pipes[2];
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, directory, 0) == MAP_FAILED && errno == ENODEV);
    OK(pipe(pipes));
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, pipes[0], 0) == MAP_FAILED);
    CHECK(errno == ENODEV || errno == EACCES);
}

CASE(private_writes_survive_fork_and_dontneed_shows_the_file_again) {
    int fd = file("again", PAGE);
    char *memory = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memory[0] = 99;
    CHECK_CHILD(IN_CHILD({
        CHECK_EQ(memory[0], 99);
        memory[0] = 98;
    }));
    CHECK_EQ(memory[0], 99);
    OK(madvise(memory, PAGE, MADV_DONTNEED));
    CHECK_EQ(memory[0], 0);
}

CASE(a_memfd_is_memory_with_seals) {
    int fd = OK((int)syscall(SYS_memfd_create, "name", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    OK(ftruncate(fd, PAGE));
    char *memory = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    memory[7] = 7;
    char byte;
    CHECK_EQ(pread(fd, &byte, 1, 7), 1);
    CHECK_EQ(byte, 7);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    CHECK_ERRNO(ftruncate(fd, 0), EPERM);
    CHECK_ERRNO(ftruncate(fd, 2 * PAGE), EPERM);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    OK(munmap(memory, PAGE));
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
    CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_ERRNO(syscall(SYS_memfd_create, "name", 0x100), EINVAL);
}

CASE(reading_a_file_into_its_own_mapping_works) {
    int fd = file("self", 4 * PAGE);
    char *memory = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    CHECK_EQ(pread(fd, memory + PAGE, PAGE, 0), PAGE);
    CHECK(!memcmp(memory, memory + PAGE, PAGE));
    CHECK_EQ(pwrite(fd, memory, PAGE, 3 * PAGE), PAGE);
    CHECK(!memcmp(memory, memory + 3 * PAGE, PAGE));
}

CASE(dev_zero_and_null_map_as_zeros) {
    int fd = OK(open("/dev/zero", O_RDWR));
    char *memory = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CHECK_EQ(memory[1], 0);
    memory[1] = 1;
    CHECK_EQ(memory[1], 1);
}

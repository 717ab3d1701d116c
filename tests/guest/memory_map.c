// mmap, munmap, mprotect, mremap, madvise, brk.
#include "check.h"
#include <setjmp.h>
#include <sys/resource.h>

enum { PAGE = 4096 };

static sigjmp_buf back;
static int fault_code;
static void *fault_address;
static void on_fault(int sig, siginfo_t *info, void *context) {
    (void)context;
    fault_code = info->si_code, fault_address = info->si_addr;
    siglongjmp(back, sig);
}

// The signal that touching `address` gives, or 0.
static int touch(volatile char *address, int is_write) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGSEGV, &action, NULL)), OK(sigaction(SIGBUS, &action, NULL));
    int sig = sigsetjmp(back, 1);
    if (sig) return sig;
    if (is_write) *address = 1;
    else (void)*address;
    return 0;
}

static char *anonymous(size_t size) {
    char *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(address != MAP_FAILED);
    return address;
}

CASE(anonymous_memory_is_zero_and_writable) {
    char *memory = anonymous(1 << 20);
    for (int i = 0; i < 1 << 20; i += 512) CHECK_EQ(memory[i], 0);
    memset(memory, 0x5a, 1 << 20);
    for (int i = 0; i < 1 << 20; i += 512) CHECK_EQ(memory[i], 0x5a);
    OK(munmap(memory, 1 << 20));
    CHECK_EQ(touch(memory, 0), SIGSEGV);
}

CASE(unmapping_the_middle_leaves_both_ends) {
    char *memory = anonymous(5 * PAGE);
    memset(memory, 1, 5 * PAGE);
    OK(munmap(memory + 2 * PAGE, PAGE));
    CHECK_EQ(touch(memory + 2 * PAGE, 0), SIGSEGV);
    CHECK_EQ(memory[2 * PAGE - 1], 1);
    CHECK_EQ(memory[3 * PAGE], 1);
    OK(munmap(memory, 5 * PAGE));  // a hole inside is no error
    CHECK_EQ(touch(memory, 0), SIGSEGV);
}

CASE(fixed_replaces_and_noreplace_refuses) {
    char *memory = anonymous(3 * PAGE);
    memset(memory, 1, 3 * PAGE);
    CHECK(mmap(memory + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory + PAGE);
    CHECK_EQ(memory[PAGE], 0);
    CHECK_EQ(memory[0] + memory[2 * PAGE], 2);
    CHECK(mmap(memory, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    CHECK_EQ(errno, EEXIST);
    OK(munmap(memory, PAGE));
    CHECK(mmap(memory, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == memory);
}

CASE(a_hint_is_taken_if_free) {
    char *memory = anonymous(4 * PAGE);
    OK(munmap(memory, 4 * PAGE));
    CHECK(mmap(memory, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == memory);
    CHECK(mmap(memory, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != memory);
}

CASE(protection_is_enforced_and_can_be_changed) {
    char *memory = anonymous(3 * PAGE);
    memory[PAGE] = 7;
    OK(mprotect(memory + PAGE, PAGE, PROT_NONE));
    CHECK_EQ(touch(memory + PAGE, 0), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_ACCERR);
    CHECK(fault_address == memory + PAGE);
    CHECK_EQ(touch(memory, 1) + touch(memory + 2 * PAGE, 1), 0);
    OK(mprotect(memory + PAGE, PAGE, PROT_READ));
    CHECK_EQ(memory[PAGE], 7);
    CHECK_EQ(touch(memory + PAGE, 1), SIGSEGV);
    OK(mprotect(memory, 3 * PAGE, PROT_READ | PROT_WRITE));
    CHECK_EQ(touch(memory + PAGE, 1), 0);
}

CASE(mprotect_checks_its_range) {
    char *memory = anonymous(3 * PAGE);
    CHECK_ERRNO(mprotect(memory + 1, PAGE, PROT_READ), EINVAL);
    OK(munmap(memory + PAGE, PAGE));
    CHECK_ERRNO(mprotect(memory, 3 * PAGE, PROT_READ), ENOMEM);
    CHECK_ERRNO(mprotect(memory, PAGE, 0x70), EINVAL);
    OK(mprotect(memory, 0, PROT_READ));
}

CASE(code_can_be_written_then_run) {
    unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov $42, %eax; ret
    char *memory = anonymous(PAGE);
    memcpy(memory, code, sizeof code);
    OK(mprotect(memory, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(((int (*)(void))memory)(), 42);
    OK(mprotect(memory, PAGE, PROT_READ | PROT_WRITE));
    memory[1] = 43;
    OK(mprotect(memory, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(((int (*)(void))memory)(), 43);
}

CASE(private_memory_is_copied_on_write_after_fork) {
    char *memory = anonymous(64 * PAGE);
    for (int i = 0; i < 64; i++) memory[i * PAGE] = i;
    int to_child[2];
    OK(pipe(to_child));
    pid_t child = IN_CHILD({
        await(to_child[0]);
        for (int i = 0; i < 64; i++) CHECK_EQ(memory[i * PAGE], i);
        memset(memory, 0, 64 * PAGE);
    });
    for (int i = 0; i < 64; i += 2) memory[i * PAGE] = 100;
    tell(to_child[1]);
    CHECK_CHILD(child);
    for (int i = 0; i < 64; i++) CHECK_EQ(memory[i * PAGE], i % 2 ? i : 100);
}

CASE(shared_memory_is_shared_after_fork) {
    char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_CHILD(IN_CHILD({ memory[3 * PAGE] = 9; }));
    CHECK_EQ(memory[3 * PAGE], 9);
    CHECK_CHILD(IN_CHILD(CHECK_CHILD(IN_CHILD({ memory[0] = 5; }))));
    CHECK_EQ(memory[0], 5);
}

CASE(mremap_grows_moves_and_shrinks_with_contents) {
    char *memory = anonymous(3 * PAGE);
    memset(memory, 3, 2 * PAGE);
    char *wall = mmap(memory + 2 * PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(wall != MAP_FAILED);
    CHECK(mremap(memory, 2 * PAGE, 8 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
    char *moved = mremap(memory, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved != memory);
    CHECK_EQ(moved[2 * PAGE - 1], 3);
    CHECK_EQ(moved[2 * PAGE], 0);
    CHECK_EQ(touch(memory, 0), SIGSEGV);
    CHECK(mremap(moved, 8 * PAGE, PAGE, 0) == moved);
    CHECK_EQ(touch(moved + PAGE, 0), SIGSEGV);
    char *target = anonymous(PAGE);
    CHECK(mremap(moved, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK_EQ(target[5], 3);
    CHECK(mremap(target, PAGE, PAGE, MREMAP_FIXED, moved) == MAP_FAILED && errno == EINVAL);
    CHECK(mremap(moved, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
}

CASE(dontneed_gives_zeros_again) {
    char *memory = anonymous(4 * PAGE);
    memset(memory, 1, 4 * PAGE);
    OK(madvise(memory + PAGE, 2 * PAGE, MADV_DONTNEED));
    CHECK_EQ(memory[PAGE] + memory[2 * PAGE], 0);
    CHECK_EQ(memory[0] + memory[3 * PAGE], 2);
    CHECK_ERRNO(madvise(memory + 1, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_ERRNO(madvise(memory, PAGE, 9999), EINVAL);
    OK(munmap(memory, PAGE));
    CHECK_ERRNO(madvise(memory, 2 * PAGE, MADV_DONTNEED), ENOMEM);
}

CASE(brk_grows_zeroed_and_shrinks) {
    char *start = sbrk(0);
    CHECK(sbrk(64 * PAGE) == start);
    for (int i = 0; i < 64 * PAGE; i += 64) CHECK_EQ(start[i], 0);
    memset(start, 1, 64 * PAGE);
    CHECK(sbrk(-32 * PAGE) == start + 64 * PAGE);
    CHECK_EQ(touch(start + 63 * PAGE, 0), SIGSEGV);
    CHECK(sbrk(32 * PAGE) != (void *)-1);
    CHECK_EQ(start[63 * PAGE], 0);
    // The call itself returns the old end when it refuses.
    CHECK_EQ(syscall(SYS_brk, 8), (long)sbrk(0));
}

CASE(the_stack_grows_by_itself) {
    CHECK_CHILD(IN_CHILD({
        volatile char *frame = __builtin_alloca(4 << 20);
        for (int i = (4 << 20) - PAGE; i >= 0; i -= PAGE) frame[i] = 1;
    }));
}

CASE(grows_down_maps_pages_below) {
    char *memory = mmap(NULL, 512 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(munmap(memory, 512 * PAGE));
    char *top = memory + 511 * PAGE;
    CHECK(mmap(top, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0) == top);
    CHECK_EQ(touch(top - 8, 1), 0);
    CHECK_EQ(touch(top - PAGE - 8, 1), 0);
}

CASE(mmap_refuses_nonsense) {
    int prot = PROT_READ, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    CHECK(mmap(NULL, 0, prot, flags, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap((void *)1, PAGE, prot, flags | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PAGE, prot, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PAGE, prot, MAP_PRIVATE, -1, 0) == MAP_FAILED && errno == EBADF);
    CHECK(mmap(NULL, SIZE_MAX - PAGE, prot, flags, -1, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK(mmap((void *)-PAGE, PAGE, prot, flags | MAP_FIXED, -1, 0) == MAP_FAILED);
    CHECK(mmap((void *)0x7ffffffff000, 2 * PAGE, prot, flags | MAP_FIXED, -1, 0) == MAP_FAILED);
    CHECK_ERRNO(munmap((void *)1, PAGE), EINVAL);
    CHECK_ERRNO(munmap((void *)PAGE, 0), EINVAL);
    OK(munmap((void *)(64 * PAGE), PAGE));  // nothing there: no error
}

CASE(address_space_limit_is_enforced) {
    CHECK_CHILD(IN_CHILD({
        struct rlimit limit = {256 << 20, 256 << 20};
        OK(setrlimit(RLIMIT_AS, &limit));
        CHECK(mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
        CHECK_EQ(errno, ENOMEM);
        anonymous(16 << 20);
    }));
}

CASE(large_sparse_mappings_cost_nothing) {
    char *memory = mmap(NULL, 64UL << 30, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (uint64_t at = 0; at < 64UL << 30; at += 1UL << 30) memory[at] = 1;
    for (uint64_t at = 0; at < 64UL << 30; at += 1UL << 30) CHECK_EQ(memory[at] + memory[at + PAGE], 1);
    OK(munmap(memory, 64UL << 30));
}

CASE(many_alternating_protections_hold) {
    enum { COUNT = 400 };
    char *memory = anonymous(COUNT * PAGE);
    for (int i = 0; i < COUNT; i++) memory[i * PAGE] = i;
    for (int i = 0; i < COUNT; i += 2) OK(mprotect(memory + i * PAGE, PAGE, PROT_READ));
    for (int i = 0; i < COUNT; i += 37) CHECK_EQ(touch(memory + i * PAGE, 1), i % 2 ? 0 : SIGSEGV);
    OK(mprotect(memory, COUNT * PAGE, PROT_READ | PROT_WRITE));
    for (int i = 0; i < COUNT; i += 37) CHECK_EQ(touch(memory + i * PAGE, 1), 0);
}

CASE(mincore_and_msync_and_mlock_check_ranges) {
    char *memory = anonymous(2 * PAGE);
    OK(msync(memory, 2 * PAGE, MS_SYNC));
    CHECK_ERRNO(msync(memory + 1, PAGE, MS_SYNC), EINVAL);
    CHECK_ERRNO(msync(memory, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    OK(mlock(memory, PAGE)), OK(munlock(memory, PAGE));
    OK(munmap(memory, 2 * PAGE));
    CHECK_ERRNO(msync(memory, PAGE, MS_SYNC), ENOMEM);
    CHECK_ERRNO(mlock(memory, PAGE), ENOMEM);
}

CASE(proc_maps_shows_the_mappings) {
    char *memory = anonymous(3 * PAGE), line[512], want[64];
    OK(mprotect(memory + PAGE, PAGE, PROT_READ));
    snprintf(want, sizeof want, "%lx-%lx r--p", (long)memory + PAGE, (long)memory + 2 * PAGE);
    FILE *maps = fopen("/proc/self/maps", "r");
    int found = 0, stack = 0;
    while (fgets(line, sizeof line, maps)) {
        found |= !strncmp(line, want, strlen(want));
        stack |= strstr(line, "[stack]") != NULL;
    }
    CHECK(found && stack);
}

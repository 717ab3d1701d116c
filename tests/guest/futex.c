// futex in all the forms that libraries use.
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>

static long futex(uint32_t *word, int op, uint32_t value, void *time, uint32_t *other, uint32_t v3) {
    return syscall(SYS_futex, word, op, value, time, other, v3);
}

static uint32_t word, other;
static volatile int woken;

static void *wait_on_word(void *arg) {
    while (futex(&word, (int)(intptr_t)arg, 0, NULL, NULL, FUTEX_BITSET_MATCH_ANY) == -1)
        CHECK(errno == EINTR || errno == EAGAIN);
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

// Wakes until `count` threads are awake: a waiter may come late.
static void wake_until(int count, int op) {
    while (woken < count) {
        CHECK(futex(&word, op, 1, NULL, NULL, FUTEX_BITSET_MATCH_ANY) >= 0);
        sched_yield();
    }
}

CASE(a_changed_value_is_eagain_at_once) {
    word = 1;
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EAGAIN);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

CASE(a_wait_times_out) {
    struct timespec time = {0, 20000000};
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0), ETIMEDOUT);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 20000000);
    int64_t end = now_ns(CLOCK_MONOTONIC) + 20000000;
    struct timespec absolute = {end / 1000000000, end % 1000000000};
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, &absolute, NULL, 1), ETIMEDOUT);
    CHECK(now_ns(CLOCK_MONOTONIC) >= end);
}

CASE(threads_wake_each_other) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_on_word, (void *)FUTEX_WAIT_PRIVATE), 0);
    wake_until(4, FUTEX_WAKE_PRIVATE);
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

CASE(processes_wake_each_other_through_shared_memory) {
    uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = IN_CHILD({
        while (__atomic_load_n(shared, __ATOMIC_SEQ_CST) == 0) futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0);
    });
    sleep_ms(10);
    __atomic_store_n(shared, 1, __ATOMIC_SEQ_CST);
    CHECK(futex(shared, FUTEX_WAKE, 10, NULL, NULL, 0) >= 0);
    CHECK_CHILD(child);
}

CASE(two_mappings_of_one_file_are_one_futex) {
    int fd = OK(open("futex-file", O_RDWR | O_CREAT, 0600));
    OK(ftruncate(fd, 4096));
    uint32_t *one = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *two = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(one != MAP_FAILED && two != MAP_FAILED && one != two);
    pid_t child = IN_CHILD({
        while (__atomic_load_n(one, __ATOMIC_SEQ_CST) == 0) futex(one, FUTEX_WAIT, 0, NULL, NULL, 0);
    });
    sleep_ms(10);
    __atomic_store_n(two, 1, __ATOMIC_SEQ_CST);
    CHECK(futex(two, FUTEX_WAKE, 10, NULL, NULL, 0) >= 0);
    CHECK_CHILD(child);
}

static void *wait_on_bit(void *arg) {
    CHECK_EQ(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (uint32_t)(intptr_t)arg), 0);
    woken |= (int)(intptr_t)arg;
    return NULL;
}

CASE(bitsets_wake_only_their_bits) {
    pthread_t one, two;
    CHECK_EQ(pthread_create(&one, NULL, wait_on_bit, (void *)1), 0);
    CHECK_EQ(pthread_create(&two, NULL, wait_on_bit, (void *)2), 0);
    while (futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2) != 1) sched_yield();
    CHECK_EQ(pthread_join(two, NULL), 0);
    CHECK_EQ(woken, 2);
    while (futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 1) != 1) sched_yield();
    CHECK_EQ(pthread_join(one, NULL), 0);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
}

CASE(requeue_moves_waiters_to_another_word) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_on_word, (void *)FUTEX_WAIT_PRIVATE), 0);
    int moved = 0;
    while (moved < 3) {
        long got = futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)10, &other, 0);
        CHECK(got >= 0);
        moved += got;
        sched_yield();
    }
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 3);
    for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 5), EAGAIN);
}

CASE(wake_op_changes_and_wakes) {
    other = 5;
    uint32_t op = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5);
    CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, op), 0);
    CHECK_EQ(other, 8);
}

CASE(bad_arguments_are_refused) {
    CHECK_ERRNO(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex((uint32_t *)8, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex((uint32_t *)-4096, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex(&word, 100, 0, NULL, NULL, 0), ENOSYS);
    struct timespec bad = {0, 2000000000};
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
}

static void *exit_at_once(void *arg) { return arg; }

CASE(join_waits_for_the_cleared_tid) {
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, exit_at_once, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
}

static pthread_mutex_t robust;
static void *die_with_lock(void *arg) {
    pthread_mutex_lock(&robust);
    return arg;
}

CASE(a_robust_mutex_tells_of_its_dead_owner) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr), pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, die_with_lock, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(&robust), 0);
    CHECK_EQ(pthread_mutex_unlock(&robust), 0);
}

static void nothing(int sig) { (void)sig; }

CASE(a_signal_interrupts_a_wait) {
    struct sigaction action = {.sa_handler = nothing};
    OK(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
}

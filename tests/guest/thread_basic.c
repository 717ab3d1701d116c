// Threads: clone of pthreads, exit, exec and signals among them.
#include "check.h"
#include <pthread.h>

static void *return_tid(void *arg) {
    *(pid_t *)arg = gettid();
    return (void *)(intptr_t)getpid();
}

CASE(threads_share_pid_and_have_own_tids) {
    pid_t tids[8];
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) CHECK_EQ(pthread_create(&threads[i], NULL, return_tid, &tids[i]), 0);
    for (int i = 0; i < 8; i++) {
        void *pid;
        CHECK_EQ(pthread_join(threads[i], &pid), 0);
        CHECK_EQ((intptr_t)pid, getpid());
        CHECK(tids[i] != getpid());
        for (int j = 0; j < i; j++) CHECK(tids[i] != tids[j]);
    }
}

static __thread int local = 5;
static void *own_local(void *arg) {
    CHECK_EQ(local, 5);
    local = (int)(intptr_t)arg;
    sched_yield();
    CHECK_EQ(local, (intptr_t)arg);
    return NULL;
}

CASE(thread_locals_are_apart) {
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++) CHECK_EQ(pthread_create(&threads[i], NULL, own_local, (void *)i), 0);
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(local, 5);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;
static void *count_up(void *arg) {
    for (long i = 0; i < (long)arg; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

CASE(a_mutex_excludes) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) CHECK_EQ(pthread_create(&threads[i], NULL, count_up, (void *)20000), 0);
    for (int i = 0; i < 8; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(counter, 160000);
}

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn;
static void *take_turns(void *arg) {
    int me = (int)(intptr_t)arg;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != me) pthread_cond_wait(&condition, &mutex);
        turn = !me;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

CASE(conditions_hand_over_a_thousand_times) {
    pthread_t one, two;
    CHECK_EQ(pthread_create(&one, NULL, take_turns, (void *)0), 0);
    CHECK_EQ(pthread_create(&two, NULL, take_turns, (void *)1), 0);
    CHECK_EQ(pthread_join(one, NULL) | pthread_join(two, NULL), 0);
}

static void *nothing(void *arg) { return arg; }

CASE(a_thousand_threads_come_and_go) {
    for (int round = 0; round < 20; round++) {
        pthread_t threads[50];
        for (int i = 0; i < 50; i++) CHECK_EQ(pthread_create(&threads[i], NULL, nothing, NULL), 0);
        for (int i = 0; i < 50; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

static int gate[2];
static void *wait_at_gate(void *arg) {
    char byte;
    CHECK_EQ(read(gate[0], &byte, 1), 0);
    return arg;
}

CASE(two_hundred_blocked_threads_all_wake) {
    OK(pipe(gate));
    pthread_t threads[200];
    pthread_attr_t small;
    pthread_attr_init(&small), pthread_attr_setstacksize(&small, 65536);
    for (int i = 0; i < 200; i++) CHECK_EQ(pthread_create(&threads[i], &small, wait_at_gate, NULL), 0);
    OK(close(gate[1]));
    for (int i = 0; i < 200; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static void *exit_process(void *arg) { _exit((int)(intptr_t)arg); }
static void *forever(void *arg) {
    for (;;) pause();
    return arg;
}

CASE(exit_in_any_thread_ends_the_process) {
    int status;
    pid_t child = IN_CHILD({
        pthread_t thread;
        pthread_create(&thread, NULL, forever, NULL);
        pthread_create(&thread, NULL, exit_process, (void *)9);
        for (;;) pause();
    });
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 9 << 8);
}

static volatile int spinning;
static void *spin(void *arg) {
    spinning = 1;
    for (;;) __asm__ volatile("" ::: "memory");
    return arg;
}

CASE(a_spinning_thread_dies_with_its_process) {
    int status;
    pid_t child = IN_CHILD({
        pthread_t thread;
        pthread_create(&thread, NULL, spin, NULL);
        pthread_create(&thread, NULL, spin, NULL);
        while (!spinning) sched_yield();
        _exit(3);
    });
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 3 << 8);
}

CASE(the_process_lives_until_its_last_thread_ends) {
    int status;
    OK(pipe(gate));
    pid_t child = IN_CHILD({
        OK(close(gate[1]));
        pthread_t thread;
        pthread_create(&thread, NULL, wait_at_gate, NULL);
        pthread_exit(NULL);
    });
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    sleep_ms(20);
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    OK(close(gate[1]));
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static void *exec_self(void *arg) {
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    execl("/proc/self/exe", "self", arg, NULL);
    _exit(8);
}

CASE(exec_in_a_thread_kills_the_others_and_keeps_the_pid) {
    pid_t child = IN_CHILD({
        pthread_t thread;
        pthread_create(&thread, NULL, forever, NULL);
        pthread_create(&thread, NULL, spin, NULL);
        pthread_create(&thread, NULL, exec_self, "no_case_has_this_name");
        for (;;) pause();
    });
    CHECK_CHILD(child);
}

static volatile pid_t handled_by;
static void on_signal(int sig) { handled_by = sig ? gettid() : 0; }

static void *block_and_wait(void *arg) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    tell(*(int *)arg);
    return forever(NULL);
}

CASE(a_process_signal_goes_to_a_thread_that_does_not_block_it) {
    int ready[2];
    OK(pipe(ready));
    signal(SIGUSR1, on_signal);
    pthread_t thread;
    for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, block_and_wait, &ready[1]);
    for (int i = 0; i < 4; i++) await(ready[0]);
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(handled_by, getpid());
}

CASE(a_thread_signal_goes_to_that_thread) {
    signal(SIGUSR1, on_signal);
    pthread_t thread;
    int ready[2];
    OK(pipe(ready)), OK(pipe(gate));
    pid_t tid = 0;
    CHECK_EQ(pthread_create(&thread, NULL, wait_at_gate, NULL), 0);
    CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
    while (!handled_by) sched_yield();
    tid = handled_by;
    CHECK(tid != getpid());
    OK(close(gate[1]));
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

CASE(pthread_cancel_ends_a_blocked_thread) {
    OK(pipe(gate));
    pthread_t thread;
    void *result;
    CHECK_EQ(pthread_create(&thread, NULL, wait_at_gate, NULL), 0);
    CHECK_EQ(pthread_cancel(thread), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
}

CASE(proc_lists_the_threads) {
    OK(pipe(gate));
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, wait_at_gate, NULL), 0);
    struct stat stat_buf;
    OK(stat("/proc/self/task", &stat_buf));
    CHECK_EQ(stat_buf.st_nlink, 4);  // ., .. and one for each thread
    OK(close(gate[1]));
    pthread_join(thread, NULL);
}

CASE(fork_in_a_threaded_process_copies_only_the_caller) {
    OK(pipe(gate));
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, wait_at_gate, NULL), 0);
    CHECK_CHILD(IN_CHILD(CHECK_EQ(gettid(), getpid())));
    OK(close(gate[1]));
    pthread_join(thread, NULL);
}

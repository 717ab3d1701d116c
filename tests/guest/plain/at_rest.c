// A thread blocked in a futex and a ticking timer, until /var/go is there: for checkpoints.
// Prints what must be the same afterwards.
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static uint32_t word;
static volatile sig_atomic_t ticks;
static volatile long tid;

static void tick(int signal) {
    (void)signal;
    ticks++;
}

static void *wait_on_word(void *arg) {
    (void)arg;
    tid = syscall(SYS_gettid);
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    printf("thread %ld woke\n", (long)syscall(SYS_gettid));
    return NULL;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_on_word, NULL) != 0) return 1;
    pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
    signal(SIGALRM, tick);
    struct itimerval often = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &often, NULL);
    while (tid == 0 || ticks < 2) pause();
    printf("thread %ld waits\n", tid);
    while (access("/var/go", F_OK) != 0) pause();
    int before = ticks;
    while (ticks < before + 3) pause();
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return pthread_join(thread, NULL);
}

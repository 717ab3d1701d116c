// A thread blocked in a futex, a ticking timer, locks on a file and bytes in sockets, until /var/go is
// there: for checkpoints.
// Prints what must be the same afterwards.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
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

// Two connected sockets over the loopback interface.
static int connect_over_tcp(int ends[2]) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (void *)&addr, sizeof addr) != 0 || listen(listener, 1) != 0) return -1;
    if (getsockname(listener, (void *)&addr, &len) != 0) return -1;
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(ends[0], (void *)&addr, len) != 0) return -1;
    ends[1] = accept(listener, NULL, NULL);
    return ends[1];
}

// Reads what was sent at the other end, and asks whether that end still works.
static int receive(const char *name, int ends[2]) {
    char bytes[32] = {0};
    if (read(ends[1], bytes, sizeof bytes - 1) <= 0) return -1;
    printf("%s: %s\n", name, bytes);
    if (write(ends[1], "back", 4) != 4 || read(ends[0], bytes, 4) != 4) return -1;
    return memcmp(bytes, "back", 4);
}

// Whether others can lock the file: by flock, and a record of it from another process.
static int others_can_lock(void) {
    int file = open("/tmp/lock", O_RDWR);
    int whole = flock(file, LOCK_EX | LOCK_NB) == 0;
    pid_t child = fork();
    struct flock record = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    if (child == 0) _exit(fcntl(file, F_SETLK, &record) == 0);
    int status = 0;
    while (waitpid(child, &status, 0) != child) continue;
    close(file);
    return whole * 2 + WEXITSTATUS(status);
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
    int unix_ends[2], tcp_ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, unix_ends) != 0 || connect_over_tcp(tcp_ends) < 0) return 2;
    if (write(unix_ends[0], "on its way", 10) != 10 || write(tcp_ends[0], "on its way", 10) != 10) return 3;
    int lock = open("/tmp/lock", O_RDWR | O_CREAT, 0600);
    int other = open("/tmp/lock", O_RDWR);
    struct flock record = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    if (flock(lock, LOCK_EX) != 0 || fcntl(other, F_SETLK, &record) != 0) return 5;
    printf("thread %ld waits\n", tid);
    while (access("/var/go", F_OK) != 0) pause();
    // The timer goes on ticking: each read may be interrupted, but has its bytes at once.
    if (receive("unix", unix_ends) != 0 || receive("tcp", tcp_ends) != 0) return 4;
    // Closing any descriptor of the file lets go the process's records, flock's lock stays.
    if (others_can_lock() != 0) return 6;
    if (others_can_lock() != 1) return 7;
    flock(lock, LOCK_UN);
    if (others_can_lock() != 3) return 8;
    int before = ticks;
    while (ticks < before + 3) pause();
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return pthread_join(thread, NULL);
}

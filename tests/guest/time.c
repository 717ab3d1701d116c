// Clocks, sleeps, timers.
#include "check.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>

CASE(monotonic_never_goes_back) {
    int64_t last = 0;
    for (int i = 0; i < 100000; i++) {
        int64_t now = now_ns(CLOCK_MONOTONIC);
        CHECK(now >= last);
        last = now;
    }
}

CASE(the_call_and_the_vdso_agree) {
    clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW};
    for (int i = 0; i < 4; i++) {
        struct timespec call;
        for (int round = 0; round < 100; round++) {
            int64_t before = now_ns(clocks[i]);
            OK((int)syscall(SYS_clock_gettime, clocks[i], &call));
            int64_t middle = call.tv_sec * 1000000000LL + call.tv_nsec, after = now_ns(clocks[i]);
            CHECK(before <= middle && middle <= after);
        }
    }
}

CASE(all_clocks_tell_sensible_times) {
    CHECK(now_ns(CLOCK_REALTIME) > 1700000000LL * 1000000000);
    CHECK(now_ns(CLOCK_REALTIME_COARSE) > 1700000000LL * 1000000000);
    CHECK(now_ns(CLOCK_MONOTONIC_COARSE) > 0 && now_ns(CLOCK_BOOTTIME) > 0);
    struct timeval day;
    OK(gettimeofday(&day, NULL));
    CHECK(llabs(day.tv_sec - now_ns(CLOCK_REALTIME) / 1000000000) <= 1);
    CHECK(llabs(time(NULL) - day.tv_sec) <= 1);
    struct timespec resolution;
    OK(clock_getres(CLOCK_MONOTONIC, &resolution));
    CHECK(resolution.tv_sec == 0 && resolution.tv_nsec >= 1);
    CHECK_ERRNO(clock_gettime(77, &resolution), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8), EFAULT);
}

CASE(cpu_clocks_count_work_and_not_sleep) {
    int64_t process = now_ns(CLOCK_PROCESS_CPUTIME_ID), thread = now_ns(CLOCK_THREAD_CPUTIME_ID);
    sleep_ms(50);
    CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) - process < 40000000);
    int64_t end = now_ns(CLOCK_MONOTONIC) + 2000000000;
    while (now_ns(CLOCK_THREAD_CPUTIME_ID) < thread + 20000000) CHECK(now_ns(CLOCK_MONOTONIC) < end);
    CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) >= process + 10000000);
    struct rusage usage;
    OK(getrusage(RUSAGE_SELF, &usage));
    CHECK(usage.ru_maxrss > 0);
    struct tms times_now;
    CHECK(times(&times_now) != -1);
}

CASE(sleeps_last_at_least_their_time) {
    int64_t start = now_ns(CLOCK_MONOTONIC);
    OK(nanosleep(&(struct timespec){0, 20000000}, NULL));
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 20000000);
    int64_t end = now_ns(CLOCK_MONOTONIC) + 20000000;
    struct timespec until = {end / 1000000000, end % 1000000000};
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) >= end);
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){1, 0}, NULL), 0);
    CHECK_ERRNO(nanosleep(&(struct timespec){0, 1000000000}, NULL), EINVAL);
    CHECK_ERRNO(nanosleep(&(struct timespec){-1, 0}, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &until, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_nanosleep, 8, 0), EFAULT);
}

static volatile sig_atomic_t count, value;
static void on_alarm(int sig, siginfo_t *info, void *context) {
    (void)context;
    count += sig != 0, value = info->si_value.sival_int;
}

static void handle(int sig) {
    struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};
    OK(sigaction(sig, &action, NULL));
}

CASE(itimer_real_repeats_until_stopped) {
    handle(SIGALRM);
    struct itimerval time = {{0, 5000}, {0, 10000}}, zero = {0}, old;
    OK(setitimer(ITIMER_REAL, &time, NULL));
    while (count < 5) pause();
    OK(getitimer(ITIMER_REAL, &old));
    CHECK_EQ(old.it_interval.tv_usec, 5000);
    OK(setitimer(ITIMER_REAL, &zero, &old));
    CHECK_EQ(old.it_interval.tv_usec, 5000);
    int before = count;
    sleep_ms(30);
    CHECK_EQ(count, before);
    CHECK_ERRNO(setitimer(9, &time, NULL), EINVAL);
    time.it_value.tv_usec = 1000000;
    CHECK_ERRNO(setitimer(ITIMER_REAL, &time, NULL), EINVAL);
}

CASE(itimer_virtual_and_prof_count_cpu_time) {
    handle(SIGVTALRM), handle(SIGPROF);
    struct itimerval time = {{0, 0}, {0, 20000}};
    OK(setitimer(ITIMER_VIRTUAL, &time, NULL));
    sleep_ms(60);
    CHECK_EQ(count, 0);
    while (!count) __asm__ volatile("" ::: "memory");
    OK(setitimer(ITIMER_PROF, &time, NULL));
    while (count < 2) __asm__ volatile("" ::: "memory");
}

CASE(alarm_returns_the_rest) {
    CHECK_EQ(alarm(100), 0);
    CHECK_EQ(alarm(50), 100);
    CHECK(alarm(0) >= 49);
}

CASE(posix_timers_signal_with_their_value) {
    handle(SIGRTMIN);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 77};
    timer_t timer;
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec time = {{0, 5000000}, {0, 5000000}}, left;
    OK(timer_settime(timer, 0, &time, NULL));
    while (count < 3) pause();
    CHECK_EQ(value, 77);
    OK(timer_gettime(timer, &left));
    CHECK(left.it_interval.tv_nsec == 5000000 && left.it_value.tv_nsec > 0);
    OK(timer_delete(timer));
    CHECK_ERRNO(syscall(SYS_timer_gettime, 1234, &left), EINVAL);
    CHECK_ERRNO(timer_create(99, &event, &timer), EINVAL);
}

CASE(a_posix_timer_counts_overruns) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    timer_t timer;
    OK(timer_create(CLOCK_REALTIME, &event, &timer));
    struct itimerspec time = {{0, 1000000}, {0, 1000000}};
    OK(timer_settime(timer, 0, &time, NULL));
    sleep_ms(30);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
    CHECK_EQ(info.si_code, SI_TIMER);
    CHECK(timer_getoverrun(timer) > 5);
    OK(timer_delete(timer));
}

// Faults, frames, alternate stacks, and restarting of interrupted calls.
#include "check.h"
#include <setjmp.h>
#include <ucontext.h>
#include <sys/time.h>

static sigjmp_buf back;
static siginfo_t seen;
static volatile sig_atomic_t count;
static uint64_t seen_rip, seen_trap, seen_err, seen_cr2;

static void on_fault(int sig, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    seen = *info;
    seen_rip = user->uc_mcontext.gregs[REG_RIP];
    seen_trap = user->uc_mcontext.gregs[REG_TRAPNO];
    seen_err = user->uc_mcontext.gregs[REG_ERR];
    seen_cr2 = user->uc_mcontext.gregs[REG_CR2];
    count++;
    siglongjmp(back, sig);
}

static void on_signal(int sig) { count += sig != 0; }

static void handle_faults(int sig) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    OK(sigaction(sig, &action, NULL));
}

CASE(a_read_of_nothing_is_segv_maperr_with_its_address) {
    handle_faults(SIGSEGV);
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(munmap(page, 4096));
    if (sigsetjmp(back, 1) == 0) {
        (void)*(volatile char *)(page + 123);
        FAIL("no fault");
    }
    CHECK(seen.si_addr == page + 123);
    CHECK_EQ(seen.si_code, SEGV_MAPERR);
    CHECK_EQ(seen.si_signo, SIGSEGV);
    CHECK_EQ(seen_trap, 14);
    CHECK_EQ(seen_cr2, (uint64_t)(page + 123));
    CHECK_EQ(seen_err & 4, 4);
}

CASE(a_write_to_a_read_only_page_is_segv_accerr) {
    handle_faults(SIGSEGV);
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(page[0], 0);
    if (sigsetjmp(back, 1) == 0) {
        *(volatile char *)page = 1;
        FAIL("no fault");
    }
    CHECK(seen.si_addr == page);
    CHECK_EQ(seen.si_code, SEGV_ACCERR);
    CHECK_EQ(seen_err & 2, 2);
}

CASE(a_jump_into_data_faults_at_its_address) {
    handle_faults(SIGSEGV);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[0] = (char)0xc3;
    if (sigsetjmp(back, 1) == 0) {
        ((void (*)(void))page)();
        FAIL("no fault");
    }
    CHECK(seen.si_addr == page);
    CHECK_EQ(seen.si_code, SEGV_ACCERR);
    CHECK_EQ(seen_rip, (uint64_t)page);
}

CASE(a_non_canonical_address_is_a_segv_of_the_kernel) {
    handle_faults(SIGSEGV);
    if (sigsetjmp(back, 1) == 0) {
        (void)*(volatile char *)0x8000000000000000;
        FAIL("no fault");
    }
    CHECK_EQ(seen.si_code, SI_KERNEL);
    CHECK_EQ(seen_trap, 13);
}

CASE(division_by_zero_is_fpe_intdiv) {
    handle_faults(SIGFPE);
    if (sigsetjmp(back, 1) == 0) {
        __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"
                         ::: "eax", "ecx", "edx");
        FAIL("no fault");
    }
    CHECK_EQ(seen.si_code, FPE_INTDIV);
    CHECK_EQ((uint64_t)seen.si_addr, seen_rip);
    CHECK_EQ(seen_trap, 0);
}

CASE(an_undefined_instruction_is_sigill) {
    handle_faults(SIGILL);
    if (sigsetjmp(back, 1) == 0) {
        __asm__ volatile("ud2");
        FAIL("no fault");
    }
    CHECK_EQ(seen.si_code, ILL_ILLOPN);
    CHECK_EQ((uint64_t)seen.si_addr, seen_rip);
}

CASE(a_privileged_instruction_is_segv) {
    handle_faults(SIGSEGV);
    if (sigsetjmp(back, 1) == 0) {
        __asm__ volatile("hlt");
        FAIL("no fault");
    }
    CHECK_EQ(seen.si_code, SI_KERNEL);
}

CASE(a_breakpoint_is_sigtrap_behind_it) {
    handle_faults(SIGTRAP);
    extern char after_breakpoint[];
    if (sigsetjmp(back, 1) == 0) {
        __asm__ volatile("int3\n.globl after_breakpoint\nafter_breakpoint:");
        FAIL("no fault");
    }
    CHECK_EQ(seen_rip, (uint64_t)after_breakpoint);
    CHECK_EQ(seen.si_code, SI_KERNEL);
}

static void skip_instruction(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;  // the length of ud2
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RBX] = 0x1122334455667788;
    count++;
}

CASE(a_handler_can_change_registers_and_go_on) {
    struct sigaction action = {.sa_sigaction = skip_instruction, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGILL, &action, NULL));
    uint64_t value;
    __asm__ volatile("mov $1, %%rbx; ud2; mov %%rbx, %0" : "=r"(value) : : "rbx");
    CHECK_EQ(value, 0x1122334455667788);
    CHECK_EQ(count, 1);
}

CASE(a_fault_while_blocked_kills) {
    int status;
    pid_t child = IN_CHILD({
        sigset_t set;
        handle_faults(SIGSEGV);
        sigemptyset(&set), sigaddset(&set, SIGSEGV);
        OK(sigprocmask(SIG_BLOCK, &set, NULL));
        (void)*(volatile char *)8;
    });
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

CASE(all_registers_survive_a_handler) {
    signal(SIGUSR1, on_signal);
    uint64_t r[6];
    register long pid __asm__("rdi") = getpid();
    __asm__ volatile(
        "mov $0x11, %%rbx; mov $0x22, %%r12; mov $0x33, %%r13; mov $0x44, %%r14; mov $0x55, %%r15\n"
        "mov $0x66, %%r8; mov $62, %%eax; mov $10, %%esi; syscall\n"
        "mov %%rbx, 0(%1); mov %%r12, 8(%1); mov %%r13, 16(%1); mov %%r14, 24(%1)\n"
        "mov %%r15, 32(%1); mov %%r8, 40(%1)"
        : "+r"(pid)
        : "r"(r)
        : "rax", "rbx", "rcx", "rsi", "r8", "r11", "r12", "r13", "r14", "r15", "memory");
    CHECK_EQ(count, 1);
    for (int i = 0; i < 6; i++) CHECK_EQ(r[i], 0x11 * (i + 1));
}

static void on_float(int sig) {
    volatile double x = 1.0;
    for (int i = 0; i < 20; i++) x = x * 1.1 + sig;
    __asm__ volatile("pcmpeqb %%xmm5, %%xmm5; pcmpeqb %%xmm15, %%xmm15; fninit" ::: "xmm5", "xmm15");
    count++;
}

CASE(vector_and_x87_state_survive_a_handler) {
    signal(SIGUSR1, on_float);
    uint64_t in[2] = {0x0123456789abcdef, 0xfedcba9876543210}, out[4] = {0};
    double pi = 3.25, back_pi = 0;
    __asm__ volatile(
        "movdqu (%2), %%xmm5; movdqu (%2), %%xmm15; fldl (%4)\n"
        "mov $39, %%eax; syscall; mov %%eax, %%edi; mov $10, %%esi; mov $62, %%eax; syscall\n"
        "movdqu %%xmm5, (%3); movdqu %%xmm15, 16(%3); fstpl (%5)"
        : "=m"(out), "=m"(back_pi)
        : "r"(in), "r"(out), "r"(&pi), "r"(&back_pi)
        : "rax", "rcx", "rdi", "rsi", "r11", "xmm5", "xmm15", "memory");
    CHECK_EQ(count, 1);
    CHECK(out[0] == in[0] && out[1] == in[1] && out[2] == in[0] && out[3] == in[1]);
    CHECK(back_pi == pi);
}

static char *alternate;
static volatile sig_atomic_t on_alternate;
static void on_stack(int sig) {
    char local;
    (void)sig;
    on_alternate = &local >= alternate && &local < alternate + SIGSTKSZ;
    stack_t now;
    OK(sigaltstack(NULL, &now));
    CHECK_EQ(now.ss_flags & SS_ONSTACK, SS_ONSTACK);
    CHECK_ERRNO(sigaltstack(&now, NULL), EPERM);
    count++;
}

CASE(an_alternate_stack_is_used_where_asked) {
    alternate = malloc(SIGSTKSZ);
    stack_t stack = {.ss_sp = alternate, .ss_size = SIGSTKSZ}, old;
    OK(sigaltstack(&stack, &old));
    CHECK_EQ(old.ss_flags, SS_DISABLE);
    struct sigaction action = {.sa_handler = on_stack, .sa_flags = SA_ONSTACK};
    OK(sigaction(SIGUSR1, &action, NULL));
    OK(raise(SIGUSR1));
    CHECK(count == 1 && on_alternate);
    OK(sigaltstack(NULL, &old));
    CHECK(old.ss_sp == alternate && old.ss_flags == 0);
    stack.ss_size = 100;
    CHECK_ERRNO(sigaltstack(&stack, NULL), ENOMEM);
    stack.ss_flags = 0x77;
    CHECK_ERRNO(sigaltstack(&stack, NULL), EINVAL);
}

static __attribute__((noinline)) int recurse(volatile char *above) {
    volatile char frame[4096];
    frame[0] = above[0];
    if (count) return 0;  // never: the compiler must not know
    return recurse(frame) + frame[0];
}

CASE(stack_overflow_is_handled_on_the_alternate_stack) {
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    OK(sigaltstack(&stack, NULL));
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    OK(sigaction(SIGSEGV, &action, NULL));
    if (sigsetjmp(back, 1) == 0) {
        volatile char start = 0;
        recurse(&start);
    }
    CHECK_EQ(count, 1);
}

CASE(a_frame_that_fits_nowhere_kills) {
    int status;
    pid_t child = IN_CHILD({
        signal(SIGUSR1, on_signal);
        long pid = getpid();
        __asm__ volatile("mov $64, %%rsp; mov $62, %%eax; mov $10, %%esi; syscall; ud2"
                         : : "D"(pid) : "rax", "rcx", "rsi", "r11", "memory");
    });
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void interrupt_after_ms(int flags, int ms) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    OK(sigaction(SIGALRM, &action, NULL));
    struct itimerval timer = {.it_value = {0, ms * 1000}};
    OK(setitimer(ITIMER_REAL, &timer, NULL));
}

CASE(a_read_without_restart_is_eintr) {
    int fds[2];
    char byte;
    OK(pipe(fds));
    interrupt_after_ms(0, 20);
    CHECK_ERRNO(read(fds[0], &byte, 1), EINTR);
    CHECK_EQ(count, 1);
}

CASE(a_read_with_restart_goes_on) {
    int fds[2];
    char byte = 0;
    OK(pipe(fds));
    pid_t parent = getpid(), child = IN_CHILD({
        sleep_ms(30);
        OK(kill(parent, SIGALRM));
        sleep_ms(30);
        CHECK_EQ(write(fds[1], "z", 1), 1);
    });
    interrupt_after_ms(SA_RESTART, 10);
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    CHECK(byte == 'z' && count >= 1);
    CHECK_CHILD(child);
}

CASE(wait_is_restarted) {
    interrupt_after_ms(SA_RESTART, 10);
    CHECK_CHILD(IN_CHILD(sleep_ms(60)));
    CHECK_EQ(count, 1);
}

CASE(pause_and_sleep_are_never_restarted) {
    interrupt_after_ms(SA_RESTART, 10);
    CHECK_ERRNO(pause(), EINTR);
    interrupt_after_ms(SA_RESTART, 10);
    struct timespec second = {1, 0}, left = {0, 0};
    CHECK_ERRNO(nanosleep(&second, &left), EINTR);
    CHECK(left.tv_sec == 0 && left.tv_nsec > 500000000);
    CHECK_EQ(count, 2);
}

CASE(a_stop_and_continue_does_not_disturb_a_sleep) {
    pid_t child = IN_CHILD({
        struct timespec time = {0, 100000000};
        int64_t start = now_ns(CLOCK_MONOTONIC);
        OK(nanosleep(&time, NULL));
        CHECK(now_ns(CLOCK_MONOTONIC) - start >= 100000000);
    });
    sleep_ms(20);
    int status;
    OK(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    OK(kill(child, SIGCONT));
    CHECK_CHILD(child);
}

CASE(siglongjmp_restores_the_mask) {
    handle_faults(SIGSEGV);
    for (volatile int i = 0; i < 50; i++)
        if (sigsetjmp(back, 1) == 0) (void)*(volatile char *)8;
    CHECK_EQ(count, 50);
    sigset_t now;
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK(!sigismember(&now, SIGSEGV));
}

CASE(a_forged_frame_cannot_raise_privilege) {
    int status;
    // A return to a non-canonical or kernel address must end in SIGSEGV, not in the kernel.
    uint64_t targets[] = {0x8000000000000000, 0xffffffff80000000, 0x00007ffffffff000};
    for (int i = 0; i < 3; i++) {
        pid_t child = IN_CHILD({
            ucontext_t *frame = calloc(1, 65536);
            frame->uc_mcontext.gregs[REG_RIP] = targets[i];
            frame->uc_mcontext.gregs[REG_RSP] = (greg_t)frame + 60000;
            frame->uc_mcontext.gregs[REG_EFL] = 0x3202;
            frame->uc_mcontext.gregs[REG_CSGSFS] = 0x33;
            __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall" : : "r"(frame) : "memory");
        });
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGSEGV);
    }
}

// execve: arguments, environment, what survives, what does not, and its errors.
#include "check.h"
#include <sys/auxv.h>
#include <sys/prctl.h>

static char self[256];

// The program itself plays the part of the executed one: `argv[0]` says which.
__attribute__((constructor)) static void play_part(int argc, char **argv, char **envp) {
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = 0;
    const char *part = argc ? argv[0] : "";
    if (!strcmp(part, "echo-args")) {
        for (int i = 1; i < argc; i++) check_say("%s|", argv[i]);
        for (int i = 0; envp[i]; i++) check_say("%s|", envp[i]);
        _exit(0);
    }
    if (!strcmp(part, "fd-open")) _exit(fcntl(atoi(argv[1]), F_GETFD) == -1 ? 1 : 0);
    if (!strcmp(part, "signals")) {
        sigset_t mask;
        sigprocmask(SIG_BLOCK, NULL, &mask);
        struct sigaction one, two;
        sigaction(SIGUSR1, NULL, &one), sigaction(SIGUSR2, NULL, &two);
        _exit(sigismember(&mask, SIGHUP) && one.sa_handler == SIG_DFL && two.sa_handler == SIG_IGN
                  ? 0 : 1);
    }
    if (!strcmp(part, "pid")) _exit(getpid() == atoi(argv[1]) ? 0 : 1);
    if (!strcmp(part, "single")) _exit(access("/proc/self/task", F_OK) ? 2 : 0);
    if (!strcmp(part, "name")) {
        char name[16] = {0};
        prctl(PR_GET_NAME, name);
        check_say("%s", name);
        _exit(0);
    }
    if (!strcmp(part, "count")) _exit(argc == atoi(argv[1]) ? 0 : 1);
}

// Runs `path` with the arguments in a child; what it wrote is in `out`.
static int run(const char *path, char **argv, char **envp, char *out, size_t size) {
    int fds[2], status;
    OK(pipe(fds));
    pid_t child = IN_CHILD({
        OK(dup2(fds[1], 1));
        execve(path, argv, envp);
        _exit(errno);
    });
    OK(close(fds[1]));
    size_t len = 0;
    ssize_t got;
    while (len < size - 1 && (got = read(fds[0], out + len, size - 1 - len)) > 0) len += got;
    out[len] = 0;
    OK(close(fds[0]));
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

CASE(arguments_and_environment_arrive) {
    char out[256];
    char *argv[] = {"echo-args", "one", "", "three words here", NULL}, *envp[] = {"A=1", "B=", NULL};
    CHECK_EQ(run(self, argv, envp, out, sizeof out), 0);
    if (strcmp(out, "one||three words here|A=1|B=|")) FAIL("got %s", out);
}

CASE(the_pid_stays) {
    pid_t child = IN_CHILD({
        char pid[16];
        snprintf(pid, sizeof pid, "%d", getpid());
        execl(self, "pid", pid, NULL);
        _exit(9);
    });
    CHECK_CHILD(child);
}

CASE(close_on_exec_closes_and_others_stay) {
    int kept = OK(open("/dev/null", O_RDONLY)), closed = OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
    char out[8], number[16];
    char *argv[] = {"fd-open", number, NULL}, *envp[] = {NULL};
    snprintf(number, sizeof number, "%d", kept);
    CHECK_EQ(run(self, argv, envp, out, sizeof out), 0);
    snprintf(number, sizeof number, "%d", closed);
    CHECK_EQ(run(self, argv, envp, out, sizeof out), 1);
}

static void nothing(int sig) { (void)sig; }

CASE(handlers_are_reset_ignored_and_masked_stay) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGHUP);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    signal(SIGUSR1, nothing), signal(SIGUSR2, SIG_IGN);
    char out[8], *argv[] = {"signals", NULL}, *envp[] = {NULL};
    CHECK_EQ(run(self, argv, envp, out, sizeof out), 0);
}

CASE(a_script_runs_its_interpreter_with_its_argument) {
    char out[512];
    int fd = OK(open("script", O_WRONLY | O_CREAT | O_TRUNC, 0700));
    dprintf(fd, "#! %s  -x y \nignored\n", self);
    OK(close(fd));
    // The interpreter's argv[0] is its path: so it prints nothing but runs no case either.
    char *argv[] = {"zero", "more", NULL}, *envp[] = {NULL};
    CHECK_EQ(run("./script", argv, envp, out, sizeof out), 0);
    if (strcmp(out, "done 0\n")) FAIL("got %s", out);
}

CASE(a_script_without_interpreter_is_enoexec_or_enoent) {
    char out[8], *argv[] = {"x", NULL}, *envp[] = {NULL};
    int fd = OK(open("plain", O_WRONLY | O_CREAT | O_TRUNC, 0700));
    dprintf(fd, "echo hello\n");
    OK(close(fd));
    CHECK_EQ(run("./plain", argv, envp, out, sizeof out), ENOEXEC);
    fd = OK(open("lost", O_WRONLY | O_CREAT | O_TRUNC, 0700));
    dprintf(fd, "#!/no/such/interpreter\n");
    OK(close(fd));
    CHECK_EQ(run("./lost", argv, envp, out, sizeof out), ENOENT);
}

CASE(errors_leave_the_caller_alive) {
    char *argv[] = {"x", NULL}, *envp[] = {NULL};
    CHECK_ERRNO(execve("/no/such/file", argv, envp), ENOENT);
    CHECK_ERRNO(execve("/", argv, envp), EACCES);
    OK(close(OK(open("noexec", O_WRONLY | O_CREAT, 0600))));
    CHECK_ERRNO(execve("noexec", argv, envp), EACCES);
    OK(close(OK(open("empty", O_WRONLY | O_CREAT, 0700))));
    CHECK_ERRNO(execve("empty", argv, envp), ENOEXEC);
    CHECK_ERRNO(execve("noexec/x", argv, envp), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_execve, 8, argv, envp), EFAULT);
    CHECK_ERRNO(syscall(SYS_execve, self, 8, envp), EFAULT);
    CHECK_ERRNO(execve("", argv, envp), ENOENT);
}

CASE(truncated_programs_are_refused) {
    char image[4096];
    int fd = OK(open(self, O_RDONLY));
    CHECK_EQ(read(fd, image, sizeof image), sizeof image);
    int sizes[] = {1, 4, 16, 63, 64, 100};
    char out[8], *argv[] = {"x", NULL}, *envp[] = {NULL};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int part = OK(open("part", O_WRONLY | O_CREAT | O_TRUNC, 0700));
        CHECK_EQ(write(part, image, sizes[i]), sizes[i]);
        OK(close(part));
        int code = run("./part", argv, envp, out, sizeof out);
        if (code != ENOEXEC && code != EIO) FAIL("%d bytes: %d", sizes[i], code);
    }
}

CASE(too_long_arguments_are_e2big) {
    size_t size = 16 << 20;
    char *big = malloc(size), *envp[] = {NULL}, *argv[] = {"x", big, NULL};
    memset(big, 'a', size), big[size - 1] = 0;
    CHECK_ERRNO(execve(self, argv, envp), E2BIG);
}

CASE(a_thousand_arguments_arrive) {
    char *argv[1003], *envp[] = {NULL}, out[8];
    argv[0] = "count", argv[1] = "1002";
    for (int i = 2; i < 1002; i++) argv[i] = "argument";
    argv[1002] = NULL;
    CHECK_EQ(run(self, argv, envp, out, sizeof out), 0);
}

CASE(the_name_is_the_files) {
    char out[64], *argv[] = {"name", NULL}, *envp[] = {NULL};
    CHECK_EQ(run(self, argv, envp, out, sizeof out), 0);
    if (strcmp(out, "process_exec")) FAIL("got %s", out);
}

CASE(auxv_says_the_truth) {
    CHECK_EQ(getauxval(AT_PAGESZ), 4096);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK(getauxval(AT_RANDOM) && getauxval(AT_PHDR) && getauxval(AT_ENTRY) && getauxval(AT_EXECFN));
    CHECK(getauxval(AT_SYSINFO_EHDR));
    CHECK(!memcmp((void *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4));
}

CASE(fexecve_runs_an_open_file) {
    int fd = OK(open(self, O_RDONLY | O_CLOEXEC));
    pid_t child = IN_CHILD({
        char *argv[] = {"count", "2", NULL};
        char *envp[] = {NULL};
        syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
        _exit(9);
    });
    CHECK_CHILD(child);
}

CASE(memory_of_before_is_gone) {
    char out[8], *argv[] = {"single", NULL}, *envp[] = {NULL};
    CHECK(mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    CHECK_EQ(run(self, argv, envp, out, sizeof out), 0);
}

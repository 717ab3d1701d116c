// Forged programs: whatever their headers say, execve fails or the program dies; the caller goes on.
#include "check.h"
#include <elf.h>
#include <sys/resource.h>

enum { IMAGE_MAX = 4 << 20 };
static unsigned char *image;
static size_t size;
static uint64_t state = 1;

static uint64_t roll(void) {
    state += 0x9e3779b97f4a7c15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// A value that a header should not hold.
static uint64_t odd_value(void) {
    static const uint64_t values[] = {0, 1, 8, 0xfff, 0x1000, 0x10000, 0x7fffffff, 0xffffffff, 0x7fffffffe000,
                                      0x7ffffffff000, 0x800000000000, 0x7fffffffffffffff,
                                      0x8000000000000000, 0xfffffffffffff000, UINT64_MAX};
    uint64_t pick = roll();
    return pick % 4 ? values[pick / 4 % (sizeof values / sizeof *values)] : roll();
}

static void load_own_image(void) {
    int fd = OK(open("/proc/self/exe", O_RDONLY));
    image = malloc(IMAGE_MAX);
    ssize_t got;
    while ((got = OK(read(fd, image + size, IMAGE_MAX - size))) > 0) size += got;
    OK(close(fd));
    CHECK(size > 100000 && size < IMAGE_MAX);
}

// Executes what lies in `bytes`; the child must be gone afterwards, however it went.
static void execute(const unsigned char *bytes, size_t len) {
    int fd = OK(open("forged", O_WRONLY | O_CREAT | O_TRUNC, 0700)), status;
    CHECK_EQ(write(fd, bytes, len), len);
    OK(close(fd));
    pid_t child = IN_CHILD({
        // Nothing that it does may take long or be large.
        struct rlimit core = {0, 0}, cpu = {1, 1}, space = {1 << 30, 1 << 30};
        setrlimit(RLIMIT_CORE, &core), setrlimit(RLIMIT_CPU, &cpu), setrlimit(RLIMIT_AS, &space);
        alarm(2);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0), dup2(null, 1), dup2(null, 2);
        execl("./forged", "forged", "no_case_has_this_name", NULL);
        _exit(100);
    });
    CHECK_EQ(waitpid(child, &status, 0), child);
}

CASE(an_unchanged_copy_runs) {
    load_own_image();
    execute(image, size);
}

CASE(odd_values_in_the_file_header_are_survived) {
    load_own_image();
    Elf64_Ehdr saved = *(Elf64_Ehdr *)image, *header = (void *)image;
    for (int i = 0; i < 60; i++) {
        *header = saved;
        uint64_t value = odd_value();
        switch (i % 10) {
        case 0: header->e_entry = value; break;
        case 1: header->e_phoff = value; break;
        case 2: header->e_phnum = value; break;
        case 3: header->e_phentsize = value; break;
        case 4: header->e_type = value; break;
        case 5: header->e_machine = value; break;
        case 6: header->e_ident[EI_CLASS] = value; break;
        case 7: header->e_ident[EI_DATA] = value; break;
        case 8: header->e_shoff = value; break;
        default: image[roll() % sizeof saved] = roll();
        }
        execute(image, 65536);  // the headers are what counts
    }
}

CASE(odd_values_in_program_headers_are_survived) {
    load_own_image();
    Elf64_Ehdr *header = (void *)image;
    Elf64_Phdr *table = (void *)(image + header->e_phoff);
    size_t bytes = header->e_phnum * sizeof *table;
    Elf64_Phdr *saved = malloc(bytes);
    memcpy(saved, table, bytes);
    for (int i = 0; i < 120; i++) {
        memcpy(table, saved, bytes);
        for (int change = 0; change < 1 + i % 3; change++) {
            Elf64_Phdr *entry = &table[roll() % header->e_phnum];
            switch (roll() % 8) {
            case 0: entry->p_offset = odd_value(); break;
            case 1: entry->p_vaddr = odd_value(); break;
            case 2: entry->p_filesz = odd_value(); break;
            case 3: entry->p_memsz = odd_value(); break;
            case 4: entry->p_align = odd_value(); break;
            case 5: entry->p_flags = odd_value(); break;
            case 6: entry->p_type = roll() % 2 ? PT_LOAD : PT_INTERP; break;
            default: entry->p_type = odd_value();
            }
        }
        execute(image, i % 2 ? size : 65536);
    }
}

CASE(every_short_prefix_is_survived) {
    load_own_image();
    for (size_t len = 1; len < 1500; len += 37) execute(image, len);
}

CASE(interpreters_that_are_no_programs_are_refused) {
    load_own_image();
    Elf64_Ehdr *header = (void *)image;
    Elf64_Phdr *table = (void *)(image + header->e_phoff);
    static const char *paths[] = {"/", "/dev/null", "/no/such/file", "/proc/self/exe", "./forged", ""};
    for (int i = 0; i < 6; i++) {
        // The last header becomes an interpreter whose path lies at the end of the file.
        Elf64_Phdr *entry = &table[header->e_phnum - 1];
        size_t len = strlen(paths[i]) + 1;
        *entry = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = size, .p_filesz = len, .p_memsz = len};
        memcpy(image + size, paths[i], len);
        execute(image, size + len);
        entry->p_filesz = len - 1;  // without its end
        execute(image, size + len);
    }
}

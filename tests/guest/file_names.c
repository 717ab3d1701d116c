// Names: link, symlink, rename, unlink, directories, walks.
#include "check.h"
#include <dirent.h>
#include <limits.h>
#include <sys/statfs.h>

static void touch(const char *name) { OK(close(OK(open(name, O_WRONLY | O_CREAT, 0644)))); }

static ino_t inode(const char *name) {
    struct stat info;
    OK(lstat(name, &info));
    return info.st_ino;
}

CASE(a_link_is_the_same_file) {
    touch("a");
    OK(link("a", "b"));
    CHECK_EQ(inode("a"), inode("b"));
    struct stat info;
    OK(stat("a", &info));
    CHECK_EQ(info.st_nlink, 2);
    OK(unlink("a"));
    OK(stat("b", &info));
    CHECK_EQ(info.st_nlink, 1);
    CHECK_ERRNO(link("b", "b"), EEXIST);
    CHECK_ERRNO(link("none", "c"), ENOENT);
    OK(mkdir("d", 0700));
    CHECK_ERRNO(link("d", "e"), EPERM);
}

CASE(a_symlink_is_followed_or_not) {
    char target[64] = {0};
    touch("file");
    OK(symlink("file", "sym"));
    CHECK_EQ(readlink("sym", target, sizeof target), 4);
    CHECK(!strcmp(target, "file"));
    CHECK_EQ(readlink("sym", target, 2), 2);
    struct stat info;
    OK(lstat("sym", &info));
    CHECK(S_ISLNK(info.st_mode) && info.st_size == 4);
    OK(stat("sym", &info));
    CHECK(S_ISREG(info.st_mode));
    CHECK_ERRNO(open("sym", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(readlink("file", target, 10), EINVAL);
    CHECK_ERRNO(symlink("x", "sym"), EEXIST);
    CHECK_ERRNO(symlink("", "empty"), ENOENT);
    OK(symlink("nowhere", "dangling"));
    CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
    OK(close(OK(open("dangling", O_WRONLY | O_CREAT, 0600))));
    OK(inode("nowhere") ? 0 : -1);
}

CASE(loops_of_symlinks_are_eloop) {
    OK(symlink("loop2", "loop1")), OK(symlink("loop1", "loop2"));
    CHECK_ERRNO(open("loop1", O_RDONLY), ELOOP);
    CHECK_ERRNO(open("loop1/x", O_RDONLY), ELOOP);
    char name[16], next[16] = "end";
    touch("end");
    for (int i = 0; i < 45; i++) {
        snprintf(name, sizeof name, "chain%d", i);
        OK(symlink(next, name));
        strcpy(next, name);
    }
    OK(close(OK(open("chain30", O_RDONLY))));
    CHECK_ERRNO(open("chain44", O_RDONLY), ELOOP);
}

CASE(symlinks_inside_a_walk_are_relative_to_their_place) {
    OK(mkdir("one", 0700)), OK(mkdir("one/two", 0700));
    touch("one/file");
    OK(symlink("../file", "one/two/up")), OK(symlink("one/two", "short"));
    CHECK_EQ(inode("short/../file"), inode("one/file"));
    struct stat info;
    OK(stat("short/up", &info));
    CHECK_EQ(info.st_ino, inode("one/file"));
}

CASE(rename_replaces_and_keeps_the_inode) {
    touch("from");
    ino_t number = inode("from");
    touch("to");
    OK(rename("from", "to"));
    CHECK_EQ(inode("to"), number);
    CHECK_ERRNO(rename("from", "x"), ENOENT);
    OK(mkdir("dir", 0700)), OK(mkdir("dir/sub", 0700));
    CHECK_ERRNO(rename("dir", "dir/sub/x"), EINVAL);
    CHECK_ERRNO(rename("to", "dir"), EISDIR);
    CHECK_ERRNO(rename("dir", "to"), ENOTDIR);
    OK(mkdir("full", 0700));
    touch("full/x");
    CHECK_ERRNO(rename("dir", "full"), ENOTEMPTY);
    OK(rename("to", "dir/sub/moved"));
    CHECK_EQ(inode("dir/sub/moved"), number);
    OK(rename("dir", "dir"));
    OK(link("full/x", "full/y"));
    OK(rename("full/x", "full/y"));  // two names of one file: nothing happens
    OK(access("full/x", F_OK));
}

CASE(renameat2_exchanges_and_refuses_to_replace) {
    touch("one"), touch("two");
    ino_t one = inode("one");
    CHECK_ERRNO(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE), EEXIST);
    OK(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE));
    CHECK_EQ(inode("two"), one);
    CHECK_ERRNO(renameat2(AT_FDCWD, "one", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
    CHECK_ERRNO(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    OK(renameat2(AT_FDCWD, "one", AT_FDCWD, "three", RENAME_NOREPLACE));
}

CASE(an_unlinked_open_file_lives_on) {
    int fd = OK(open("open", O_RDWR | O_CREAT, 0600));
    OK(unlink("open"));
    CHECK_ERRNO(access("open", F_OK), ENOENT);
    CHECK_EQ(write(fd, "data", 4), 4);
    char bytes[4];
    CHECK_EQ(pread(fd, bytes, 4, 0), 4);
    struct stat info;
    OK(fstat(fd, &info));
    CHECK(info.st_nlink == 0 && info.st_size == 4);
    touch("open");
    OK(stat("open", &info));
    CHECK_EQ(info.st_size, 0);
}

CASE(directories_are_made_and_removed) {
    OK(mkdir("d", 0750));
    struct stat info;
    OK(stat("d", &info));
    CHECK(S_ISDIR(info.st_mode) && (info.st_mode & 0777) == 0750);
    CHECK_ERRNO(mkdir("d", 0700), EEXIST);
    CHECK_ERRNO(mkdir("none/d", 0700), ENOENT);
    touch("d/f");
    CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
    CHECK_ERRNO(rmdir("d/f"), ENOTDIR);
    CHECK_ERRNO(unlink("d"), EISDIR);
    OK(unlink("d/f"));
    CHECK_ERRNO(rmdir("d/."), EINVAL);
    OK(rmdir("d"));
    CHECK_ERRNO(rmdir("d"), ENOENT);
    OK(mkdir("slash/", 0700));
    OK(unlinkat(AT_FDCWD, "slash", AT_REMOVEDIR));
    CHECK_ERRNO(unlinkat(AT_FDCWD, "x", 0x5), EINVAL);
}

CASE(a_listing_names_every_entry_once) {
    OK(mkdir("many", 0700));
    char name[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "many/entry-number-%d", i);
        touch(name);
    }
    DIR *dir = opendir("many");
    CHECK(dir);
    static char seen[500];
    int dots = 0;
    struct dirent *entry;
    for (int round = 0; round < 2; round++) {
        while ((entry = readdir(dir))) {
            int number;
            if (entry->d_name[0] == '.') { dots++; continue; }
            CHECK_EQ(sscanf(entry->d_name, "entry-number-%d", &number), 1);
            CHECK(entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
            CHECK_EQ(seen[number]++, round);
        }
        rewinddir(dir);
    }
    CHECK_EQ(dots, 4);
    for (int i = 0; i < 500; i++) CHECK_EQ(seen[i], 2);
}

CASE(a_listing_can_be_left_and_resumed) {
    OK(mkdir("seek", 0700));
    touch("seek/a"), touch("seek/b"), touch("seek/c");
    DIR *dir = opendir("seek");
    CHECK(readdir(dir) && readdir(dir));
    long at = telldir(dir);
    char name[256];
    strcpy(name, readdir(dir)->d_name);
    CHECK(readdir(dir));
    seekdir(dir, at);
    CHECK(!strcmp(name, readdir(dir)->d_name));
    char small[16];
    int fd = OK(open("seek", O_RDONLY));
    CHECK_ERRNO(syscall(SYS_getdents64, fd, small, sizeof small), EINVAL);
    CHECK_ERRNO(syscall(SYS_getdents64, OK(open("seek/a", O_RDONLY)), small, sizeof small), ENOTDIR);
}

CASE(files_removed_while_listing_do_not_hide_others) {
    OK(mkdir("rm", 0700));
    char name[32];
    for (int i = 0; i < 200; i++) snprintf(name, sizeof name, "rm/%d", i), touch(name);
    DIR *dir = opendir("rm");
    struct dirent *entry;
    int removed = 0;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.') OK(unlinkat(dirfd(dir), entry->d_name, 0)), removed++;
    CHECK_EQ(removed, 200);
    OK(rmdir("rm"));
}

CASE(the_working_directory_moves) {
    char before[PATH_MAX], now[PATH_MAX];
    CHECK(getcwd(before, sizeof before));
    OK(mkdir("cwd", 0700));
    int home = OK(open(".", O_RDONLY | O_DIRECTORY));
    OK(chdir("cwd"));
    CHECK(getcwd(now, sizeof now) && strlen(now) == strlen(before) + 4 && !strcmp(now + strlen(before), "/cwd"));
    touch("inside");
    OK(fchdir(home));
    OK(access("cwd/inside", F_OK));
    OK(chdir("cwd/.."));
    CHECK(getcwd(now, sizeof now) && !strcmp(now, before));
    CHECK_ERRNO(chdir("cwd/inside"), ENOTDIR);
    CHECK_ERRNO(chdir("none"), ENOENT);
    CHECK(!getcwd(now, 2) && errno == ERANGE);
    OK(mkdir("gone", 0700)), OK(chdir("gone")), OK(rmdir("../gone"));
    CHECK_ERRNO(open("x", O_WRONLY | O_CREAT, 0600), ENOENT);
    CHECK(!getcwd(now, sizeof now) || !strncmp(now, "(unreachable)", 13) || errno == ENOENT);
}

CASE(calls_relative_to_a_directory) {
    OK(mkdir("base", 0700));
    int base = OK(open("base", O_RDONLY | O_DIRECTORY));
    OK(close(OK(openat(base, "file", O_WRONLY | O_CREAT, 0600))));
    OK(access("base/file", F_OK));
    OK(mkdirat(base, "sub", 0700));
    OK(renameat(base, "file", base, "sub/file"));
    OK(linkat(base, "sub/file", base, "hard", 0));
    OK(symlinkat("hard", base, "soft"));
    char target[8] = {0};
    CHECK_EQ(readlinkat(base, "soft", target, 8), 4);
    struct stat info;
    OK(fstatat(base, "soft", &info, AT_SYMLINK_NOFOLLOW));
    CHECK(S_ISLNK(info.st_mode));
    OK(fstatat(base, "", &info, AT_EMPTY_PATH));
    CHECK(S_ISDIR(info.st_mode));
    OK(unlinkat(base, "hard", 0));
    CHECK_ERRNO(openat(base, "hard", O_RDONLY), ENOENT);
    CHECK_ERRNO(openat(999, "x", O_RDONLY), EBADF);
    CHECK_ERRNO(openat(OK(open("base/sub/file", O_RDONLY)), "x", O_RDONLY), ENOTDIR);
    OK(close(OK(openat(999, "/", O_RDONLY))));
}

CASE(names_have_limits) {
    char name[300], path[5000];
    memset(name, 'n', 255), name[255] = 0;
    touch(name);
    memset(name, 'n', 256), name[256] = 0;
    CHECK_ERRNO(open(name, O_RDONLY), ENAMETOOLONG);
    memset(path, '/', 4096), path[4096] = 0;
    CHECK_ERRNO(open(path, O_RDONLY), ENAMETOOLONG);
    path[4095] = 0;
    OK(close(OK(open(path, O_RDONLY))));
}

CASE(dots_and_slashes_are_walked) {
    OK(mkdir("p", 0700)), OK(mkdir("p/q", 0700));
    touch("p/q/f");
    CHECK_EQ(inode("p//q/./../q///f"), inode("p/q/f"));
    CHECK_EQ(inode("p/q/"), inode("p/q"));
    CHECK_ERRNO(open("p/q/f/", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("p/q/f/.", O_RDONLY), ENOTDIR);
    CHECK_EQ(inode("/.."), inode("/"));
}

CASE(special_files_are_made) {
    struct stat info;
    OK(mkfifo("fifo", 0600));
    OK(lstat("fifo", &info));
    CHECK(S_ISFIFO(info.st_mode));
    OK(mknod("regular", S_IFREG | 0600, 0));
    OK(lstat("regular", &info));
    CHECK(S_ISREG(info.st_mode));
    CHECK_ERRNO(mkfifo("fifo", 0600), EEXIST);
    int ends = OK(open("fifo", O_RDWR));
    char byte;
    CHECK_EQ(write(ends, "f", 1), 1);
    CHECK_EQ(read(ends, &byte, 1), 1);
    OK(close(ends));
    CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
}

CASE(statfs_tells_sizes) {
    struct statfs info;
    OK(statfs(".", &info));
    CHECK(info.f_bsize > 0 && info.f_namelen >= 255);
    OK(fstatfs(OK(open(".", O_RDONLY)), &info));
    OK(statfs("/proc", &info));
    CHECK_EQ(info.f_type, 0x9fa0);
    CHECK_ERRNO(statfs("none", &info), ENOENT);
}

CASE(openat2_keeps_a_walk_beneath) {
    struct { uint64_t flags, mode, resolve; } how = {O_RDONLY, 0, 8 /* RESOLVE_BENEATH */};
    OK(mkdir("jail", 0700));
    touch("jail/in"), touch("out");
    OK(symlink("../out", "jail/escape")), OK(symlink("/", "jail/absolute"));
    int jail = OK(open("jail", O_RDONLY | O_DIRECTORY));
    long fd = syscall(SYS_openat2, jail, "in", &how, sizeof how);
    if (fd == -1 && errno == ENOSYS) SKIP("no openat2");
    CHECK(fd >= 0);
    CHECK_ERRNO(syscall(SYS_openat2, jail, "../out", &how, sizeof how), EXDEV);
    CHECK_ERRNO(syscall(SYS_openat2, jail, "escape", &how, sizeof how), EXDEV);
    CHECK_ERRNO(syscall(SYS_openat2, jail, "absolute", &how, sizeof how), EXDEV);
    how.resolve = 4;  // RESOLVE_NO_SYMLINKS
    CHECK_ERRNO(syscall(SYS_openat2, jail, "escape", &how, sizeof how), ELOOP);
    how.resolve = 1 << 20;
    CHECK_ERRNO(syscall(SYS_openat2, jail, "in", &how, sizeof how), EINVAL);
}

//! Files: open flags, modes, seek and access numbers (fcntl.h, sys/stat.h).

/// `O_*` bits of x86-64 (open(2)).
#[expect(missing_docs, reason = "each is the flag of its name, open(2)")]
pub mod open {
    pub const O_ACCMODE: u32 = 3;
    pub const O_RDONLY: u32 = 0;
    pub const O_WRONLY: u32 = 1;
    pub const O_RDWR: u32 = 2;
    pub const O_CREAT: u32 = 0o100;
    pub const O_EXCL: u32 = 0o200;
    pub const O_NOCTTY: u32 = 0o400;
    pub const O_TRUNC: u32 = 0o1000;
    pub const O_APPEND: u32 = 0o2000;
    pub const O_NONBLOCK: u32 = 0o4000;
    pub const O_DSYNC: u32 = 0o10000;
    pub const O_ASYNC: u32 = 0o20000;
    pub const O_DIRECT: u32 = 0o40000;
    pub const O_LARGEFILE: u32 = 0o100_000;
    pub const O_DIRECTORY: u32 = 0o200_000;
    pub const O_NOFOLLOW: u32 = 0o400_000;
    pub const O_NOATIME: u32 = 0o1_000_000;
    pub const O_CLOEXEC: u32 = 0o2_000_000;
    pub const O_SYNC: u32 = 0o4_010_000;
    pub const O_PATH: u32 = 0o10_000_000;
    pub const O_TMPFILE: u32 = 0o20_200_000;
}

/// Mode bits (inode(7)).
#[expect(missing_docs, reason = "each is the mode bit of its name, inode(7)")]
pub mod mode {
    pub const S_IFMT: u32 = 0o170_000;
    pub const S_IFSOCK: u32 = 0o140_000;
    pub const S_IFLNK: u32 = 0o120_000;
    pub const S_IFREG: u32 = 0o100_000;
    pub const S_IFBLK: u32 = 0o060_000;
    pub const S_IFDIR: u32 = 0o040_000;
    pub const S_IFCHR: u32 = 0o020_000;
    pub const S_IFIFO: u32 = 0o010_000;
    pub const S_ISUID: u32 = 0o4000;
    pub const S_ISGID: u32 = 0o2000;
    pub const S_ISVTX: u32 = 0o1000;
}

/// Events of poll(2); epoll(7) uses the same numbers.
#[expect(missing_docs, reason = "each is the event of its name, poll(2)")]
pub mod poll {
    pub const POLLIN: u32 = 0x1;
    pub const POLLPRI: u32 = 0x2;
    pub const POLLOUT: u32 = 0x4;
    pub const POLLERR: u32 = 0x8;
    pub const POLLHUP: u32 = 0x10;
    pub const POLLNVAL: u32 = 0x20;
    pub const POLLRDNORM: u32 = 0x40;
    pub const POLLRDBAND: u32 = 0x80;
    pub const POLLWRNORM: u32 = 0x100;
    pub const POLLWRBAND: u32 = 0x200;
    pub const POLLRDHUP: u32 = 0x2000;
}

/// `linux_dirent64` type numbers (readdir(3)): the type bits of a mode, shifted.
#[must_use]
pub const fn dirent_type(mode: u32) -> u8 {
    ((mode & mode::S_IFMT) >> 12) as u8
}

/// Device number of `major:minor` in the kernel's 64-bit form (makedev(3)).
#[must_use]
pub const fn make_dev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    ((major & 0xffff_f000) << 32)
        | ((major & 0xfff) << 8)
        | ((minor & 0xffff_ff00) << 12)
        | (minor & 0xff)
}

/// The major number of a device.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the masks leave 32 bits")]
pub const fn dev_major(dev: u64) -> u32 {
    (((dev >> 32) & 0xffff_f000) | ((dev >> 8) & 0xfff)) as u32
}

/// The minor number of a device.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the masks leave 32 bits")]
pub const fn dev_minor(dev: u64) -> u32 {
    (((dev >> 12) & 0xffff_ff00) | (dev & 0xff)) as u32
}

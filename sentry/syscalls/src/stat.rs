//! What stat(2) and statfs(2) tell of a file.

use abi::{Errno, Timespec, UserAddr};
use kernel::{Cx, SysResult};
use vfs::{LookupFlags, Metadata, StatFs};

use crate::{
    Args,
    path::{
        AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, follow, read_path,
        read_path_or_empty, resolve,
    },
    table::{Entry, full},
};

/// How fresh statx(2) wants it: always fresh here.
const AT_STATX_SYNC_TYPE: u32 = 0x6000;

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(     4, "stat",       "sx",     stat),
    full(     6, "lstat",      "sx",     lstat),
    full(   137, "statfs",     "sx",     statfs),
    full(   262, "newfstatat", "fsxx",   newfstatat),
    full(   332, "statx",      "fsxxx",  statx),
];

/// `int stat(const char *path, struct stat *statbuf)`
fn stat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    stat_at(cx, AT_FDCWD, args.addr(0), args.addr(1), 0)
}

/// `int lstat(const char *path, struct stat *statbuf)`
fn lstat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    stat_at(cx, AT_FDCWD, args.addr(0), args.addr(1), AT_SYMLINK_NOFOLLOW)
}

/// `int newfstatat(int dirfd, const char *path, struct stat *statbuf, int flags)`
fn newfstatat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(3, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)?;
    stat_at(cx, args.i32(0), args.addr(1), args.addr(2), flags)
}

fn stat_at(cx: &mut Cx<'_>, dir: i32, path: UserAddr, out: UserAddr, flags: u32) -> SysResult {
    let meta = metadata_at(cx, dir, path, flags)?;
    cx.mm.write(out, &stat_bytes(&meta))?;
    Ok(0)
}

fn metadata_at(cx: &Cx<'_>, dir: i32, path: UserAddr, flags: u32) -> Result<Metadata, Errno> {
    // Linux 6.11 and later take a null path for an empty one.
    let path = if path.is_null() && flags & AT_EMPTY_PATH != 0 {
        Vec::new()
    } else {
        read_path_or_empty(cx, path)?
    };
    let env = cx.env();
    let fs = env.ctx();
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 && dir != AT_FDCWD {
        return cx.files.get(dir)?.metadata(&fs);
    }
    resolve(cx, &fs, dir, &path, flags, follow(flags))?.inode().metadata(&fs)
}

/// `struct stat` of x86-64.
pub(crate) fn stat_bytes(meta: &Metadata) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(144);
    let mut put = |word: u64| bytes.extend_from_slice(&word.to_le_bytes());
    put(meta.dev);
    put(meta.ino);
    put(u64::from(meta.nlink));
    put(u64::from(meta.mode) | u64::from(meta.uid) << 32);
    put(u64::from(meta.gid));
    put(meta.rdev);
    put(meta.size);
    put(u64::from(meta.block_size));
    put(meta.blocks);
    for time in [meta.atime, meta.mtime, meta.ctime] {
        put(time.sec.cast_unsigned());
        put(time.nsec.cast_unsigned());
    }
    bytes.resize(144, 0);
    bytes
}

/// `int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)`
fn statx(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const RESERVED: u32 = 0x8000_0000;
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    let flags = args.flags(2, known)?;
    if args.u32(3) & RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    let meta = metadata_at(cx, args.i32(0), args.addr(1), flags)?;
    cx.mm.write(args.addr(4), &statx_bytes(&meta))?;
    Ok(0)
}

/// `struct statx` (linux/stat.h).
fn statx_bytes(meta: &Metadata) -> Vec<u8> {
    const BASIC: u32 = 0x7ff;
    const BTIME: u32 = 0x800;
    let known = if meta.btime == Timespec::default() { BASIC } else { BASIC | BTIME };
    let mut bytes = Vec::with_capacity(256);
    let mut put = |field: &[u8]| bytes.extend_from_slice(field);
    put(&known.to_le_bytes());
    put(&meta.block_size.to_le_bytes());
    put(&0_u64.to_le_bytes());
    put(&meta.nlink.to_le_bytes());
    put(&meta.uid.to_le_bytes());
    put(&meta.gid.to_le_bytes());
    put(&(meta.mode & 0xffff).to_le_bytes());
    put(&meta.ino.to_le_bytes());
    put(&meta.size.to_le_bytes());
    put(&meta.blocks.to_le_bytes());
    put(&0_u64.to_le_bytes());
    for time in [meta.atime, meta.btime, meta.ctime, meta.mtime] {
        put(&time.sec.to_le_bytes());
        put(&time.nsec.to_le_bytes());
    }
    for device in [meta.rdev, meta.dev] {
        put(&abi::fs::dev_major(device).to_le_bytes());
        put(&abi::fs::dev_minor(device).to_le_bytes());
    }
    bytes.resize(256, 0);
    bytes
}

/// `int statfs(const char *path, struct statfs *buf)`
fn statfs(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let path = read_path(cx, args.addr(0))?;
    let env = cx.env();
    let fs = env.ctx();
    let place = fs.lookup(fs.cwd, &path, LookupFlags::default())?;
    let stat = place.inode().stat_fs(&fs)?;
    cx.mm.write(args.addr(1), &statfs_bytes(&stat, place.mount.flags()))?;
    Ok(0)
}

/// `struct statfs` of x86-64.
pub(crate) fn statfs_bytes(stat: &StatFs, flags: vfs::MountFlags) -> Vec<u8> {
    const ST_VALID: u64 = 0x20;
    let mut mount_flags = ST_VALID;
    for (on, bit) in [
        (flags.read_only, 1),
        (flags.no_suid, 2),
        (flags.no_dev, 4),
        (flags.no_exec, 8),
        (flags.no_atime, 0x400),
    ] {
        mount_flags |= if on { bit } else { 0 };
    }
    let words = [
        stat.magic,
        stat.block_size,
        stat.blocks,
        stat.blocks_free,
        stat.blocks_available,
        stat.files,
        stat.files_free,
        0,
        stat.name_max,
        stat.block_size,
        mount_flags,
    ];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(120, 0);
    bytes
}

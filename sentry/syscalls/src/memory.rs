//! Memory: mmap, munmap, mprotect, mremap, madvise, brk and their like.

use abi::{Errno, PAGE_SIZE, UserAddr};
use kernel::{Cx, Resource, SysResult};
use mm::{Advice, Fixed, MapRequest, RemapFlags, What};
use platform::Protection;

use crate::{
    Args,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    partial(  9, "mmap",       "xuxxfd", mmap, "no huge pages, no MAP_SYNC"),
    full(    10, "mprotect",   "xux",    mprotect),
    full(    11, "munmap",     "xu",     munmap),
    full(    12, "brk",        "x",      brk),
    full(    25, "mremap",     "xuuxx",  mremap),
    full(    26, "msync",      "xux",    msync),
    full(    27, "mincore",    "xux",    mincore),
    partial( 28, "madvise",    "xud",    madvise, "advice that changes nothing visible is accepted"),
    full(   149, "mlock",      "xu",     mlock),
    full(   150, "munlock",    "xu",     munlock),
    full(   151, "mlockall",   "x",      mlockall),
    full(   152, "munlockall", "",       munlockall),
    full(   324, "membarrier", "dxd",    membarrier),
    full(   325, "mlock2",     "xux",    mlock2),
];

const PROT_READ: u32 = 1;
const PROT_WRITE: u32 = 2;
const PROT_EXEC: u32 = 4;
const PROT_SEM: u32 = 8;
const PROT_GROWSDOWN: u32 = 0x0100_0000;
const PROT_GROWSUP: u32 = 0x0200_0000;

const MAP_SHARED: u32 = 1;
const MAP_PRIVATE: u32 = 2;
const MAP_SHARED_VALIDATE: u32 = 3;
const MAP_TYPE: u32 = 15;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_32BIT: u32 = 0x40;
const MAP_GROWSDOWN: u32 = 0x100;
const MAP_LOCKED: u32 = 0x2000;
const MAP_NORESERVE: u32 = 0x4000;
const MAP_POPULATE: u32 = 0x8000;
const MAP_HUGETLB: u32 = 0x4_0000;
const MAP_SYNC: u32 = 0x8_0000;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;

/// x86-64 can't have pages that are writable or executable and not readable.
fn protection(prot: u32) -> Result<Protection, Errno> {
    if prot & !(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Protection {
        read: prot & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0,
        write: prot & PROT_WRITE != 0,
        execute: prot & PROT_EXEC != 0,
    })
}

/// `void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)`
fn mmap(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.u32(3);
    let protection = protection(args.u32(2))?;
    let offset = args.get(5);
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let shared = match flags & MAP_TYPE {
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE if flags & MAP_SYNC != 0 => return Err(Errno::EOPNOTSUPP),
        MAP_SHARED_VALIDATE => true,
        MAP_PRIVATE => false,
        _ => return Err(Errno::EINVAL),
    };
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM);
    }
    let fixed = match (flags & MAP_FIXED_NOREPLACE != 0, flags & MAP_FIXED != 0) {
        (true, _) => Fixed::NoReplace,
        (false, true) => Fixed::Replace,
        (false, false) => Fixed::No,
    };
    let mut request = MapRequest::anonymous(args.get(1), protection);
    if flags & MAP_ANONYMOUS == 0 {
        request = file_request(cx, args, protection, shared, offset)?;
    }
    request.addr = args.addr(0);
    request.fixed = fixed;
    request.shared = shared;
    request.grows_down = flags & MAP_GROWSDOWN != 0;
    request.locked = flags & MAP_LOCKED != 0;
    request.populate = flags & MAP_POPULATE != 0;
    request.no_reserve = flags & MAP_NORESERVE != 0;
    request.low = flags & MAP_32BIT != 0;
    cx.mm.map(request).map(UserAddr::get)
}

fn file_request(
    cx: &Cx<'_>,
    args: Args,
    protection: Protection,
    shared: bool,
    offset: u64,
) -> Result<MapRequest, Errno> {
    let file = cx.files.get_io(args.i32(4))?;
    let writable = shared && file.writable();
    if !file.readable() || (shared && protection.write && !file.writable()) {
        return Err(Errno::EACCES);
    }
    let no_exec = file.path().is_some_and(|path| path.mount.flags().no_exec);
    if no_exec && protection.execute {
        return Err(Errno::EPERM);
    }
    let env = cx.env();
    let mappable = file.mappable(&env.ctx(), writable)?;
    let mut request = MapRequest::anonymous(args.get(1), protection);
    request.what = What::File { mappable, offset };
    request.max_protection =
        Protection { read: true, write: !shared || writable, execute: !no_exec };
    Ok(request)
}

/// `int munmap(void *addr, size_t length)`
fn munmap(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.mm.unmap(args.addr(0), args.get(1)).map(|()| 0)
}

/// `int mprotect(void *addr, size_t length, int prot)`
fn mprotect(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let prot = args.u32(2);
    if prot & PROT_GROWSUP != 0 {
        return Err(Errno::EINVAL);
    }
    if prot & PROT_GROWSDOWN != 0 {
        let protection = protection(prot & !PROT_GROWSDOWN)?;
        return cx.mm.protect_stack(args.addr(0), args.get(1), protection).map(|()| 0);
    }
    cx.mm.protect(args.addr(0), args.get(1), protection(prot)?).map(|()| 0)
}

/// `int brk(void *addr)`: the kernel returns the break, whether it moved or not.
fn brk(cx: &mut Cx<'_>, args: Args) -> SysResult {
    Ok(cx.mm.brk(args.addr(0)).get())
}

/// `void *mremap(void *old, size_t old_size, size_t new_size, int flags, void *new)`
fn mremap(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const MAYMOVE: u32 = 1;
    const FIXED: u32 = 2;
    const DONTUNMAP: u32 = 4;
    let flags = args.flags(3, MAYMOVE | FIXED | DONTUNMAP)?;
    if flags & (FIXED | DONTUNMAP) != 0 && flags & MAYMOVE == 0 {
        return Err(Errno::EINVAL);
    }
    let flags = RemapFlags {
        may_move: flags & MAYMOVE != 0,
        fixed: (flags & FIXED != 0).then(|| args.addr(4)),
        dont_unmap: flags & DONTUNMAP != 0,
    };
    cx.mm.remap(args.addr(0), args.get(1), args.get(2), flags).map(UserAddr::get)
}

/// `int msync(void *addr, size_t length, int flags)`
fn msync(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const ASYNC: u32 = 1;
    const INVALIDATE: u32 = 2;
    const SYNC: u32 = 4;
    let flags = args.flags(2, ASYNC | INVALIDATE | SYNC)?;
    if flags & ASYNC != 0 && flags & SYNC != 0 {
        return Err(Errno::EINVAL);
    }
    cx.mm.sync(args.addr(0), args.get(1), flags & SYNC != 0, flags & INVALIDATE != 0).map(|()| 0)
}

/// `int mincore(void *addr, size_t length, unsigned char *vec)`
fn mincore(cx: &mut Cx<'_>, args: Args) -> SysResult {
    /// Pages asked for at once, so that a huge range allocates little.
    const STEP_BYTES: u64 = 4096 * PAGE_SIZE;
    let (mut addr, len) = (args.addr(0), args.get(1));
    if !addr.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    let end = addr.range(len).and_then(|range| range.end.page_up()).ok_or(Errno::ENOMEM)?;
    let mut out = args.addr(2);
    while addr < end {
        let step = (end.get() - addr.get()).min(STEP_BYTES);
        let resident = cx.mm.resident(addr, step)?;
        let bytes: Vec<u8> = resident.into_iter().map(u8::from).collect();
        cx.mm.write(out, &bytes)?;
        out = out.wrapping_add(bytes.len() as u64);
        addr = addr.wrapping_add(step);
    }
    Ok(0)
}

fn advice(number: i32) -> Result<Advice, Errno> {
    Ok(match number {
        0 => Advice::Normal,
        1 => Advice::Random,
        2 => Advice::Sequential,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        8 => Advice::Free,
        9 => Advice::Remove,
        10 => Advice::DontFork,
        11 => Advice::DoFork,
        14 => Advice::HugePage,
        15 => Advice::NoHugePage,
        16 => Advice::DontDump,
        17 => Advice::DoDump,
        18 => Advice::WipeOnFork,
        19 => Advice::KeepOnFork,
        20 => Advice::Cold,
        21 => Advice::PageOut,
        22 => Advice::PopulateRead,
        23 => Advice::PopulateWrite,
        _ => return Err(Errno::EINVAL),
    })
}

/// `int madvise(void *addr, size_t length, int advice)`
fn madvise(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.mm.advise(args.addr(0), args.get(1), advice(args.i32(2))?).map(|()| 0)
}

fn check_lock(cx: &Cx<'_>) -> Result<(), Errno> {
    let limit = cx.process().limits.lock().soft(Resource::Memlock);
    if limit == 0 && !cx.creds().has(auth::Capability::IpcLock) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// `int mlock(const void *addr, size_t length)`
fn mlock(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_lock(cx)?;
    cx.mm.lock(args.addr(0), args.get(1), false).map(|()| 0)
}

/// `int mlock2(const void *addr, size_t length, unsigned flags)`
fn mlock2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let on_fault = args.flags(2, 1)? != 0;
    check_lock(cx)?;
    cx.mm.lock(args.addr(0), args.get(1), on_fault).map(|()| 0)
}

/// `int munlock(const void *addr, size_t length)`
fn munlock(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.mm.unlock(args.addr(0), args.get(1)).map(|()| 0)
}

/// `int mlockall(int flags)`
fn mlockall(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(0, 7)?;
    if flags & 3 == 0 {
        return Err(Errno::EINVAL);
    }
    check_lock(cx)?;
    cx.mm.lock_all(flags & 1 != 0, flags & 2 != 0, flags & 4 != 0).map(|()| 0)
}

/// `int munlockall(void)`
fn munlockall(cx: &mut Cx<'_>, _: Args) -> SysResult {
    cx.mm.unlock_all();
    Ok(0)
}

/// `int membarrier(int cmd, unsigned flags, int cpu_id)`
fn membarrier(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const QUERY: i32 = 0;
    const GLOBAL: i32 = 1;
    const GLOBAL_EXPEDITED: i32 = 2;
    const REGISTER_GLOBAL_EXPEDITED: i32 = 4;
    const PRIVATE_EXPEDITED: i32 = 8;
    const REGISTER_PRIVATE_EXPEDITED: i32 = 16;
    if args.u32(1) != 0 {
        return Err(Errno::EINVAL);
    }
    match args.i32(0) {
        QUERY => Ok(31),
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => Ok(0),
        GLOBAL | GLOBAL_EXPEDITED | PRIVATE_EXPEDITED => {
            // Every other executor leaves application code once: its tasks then have seen all
            // stores that were made before.
            let kernel = cx.kernel();
            for executor in (0..kernel.sched.executors()).filter(|e| *e != cx.fiber.executor()) {
                kernel.platform.kick(executor);
            }
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

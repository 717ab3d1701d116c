//! Credentials: user and group ids, capabilities.

use abi::{Errno, UserAddr};
use auth::{Capability, CapabilitySet, Credentials, SecureBits};
use kernel::{Cx, Pid, SysResult};

use crate::{
    Args,
    table::{Entry, full},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(102, "getuid",    "",    getuid),
    full(104, "getgid",    "",    getgid),
    full(105, "setuid",    "d",   setuid),
    full(106, "setgid",    "d",   setgid),
    full(107, "geteuid",   "",    geteuid),
    full(108, "getegid",   "",    getegid),
    full(113, "setreuid",  "dd",  setreuid),
    full(114, "setregid",  "dd",  setregid),
    full(115, "getgroups", "dx",  getgroups),
    full(116, "setgroups", "dx",  setgroups),
    full(117, "setresuid", "ddd", setresuid),
    full(118, "getresuid", "xxx", getresuid),
    full(119, "setresgid", "ddd", setresgid),
    full(120, "getresgid", "xxx", getresgid),
    full(122, "setfsuid",  "d",   setfsuid),
    full(123, "setfsgid",  "d",   setfsgid),
    full(125, "capget",    "xx",  capget),
    full(126, "capset",    "xx",  capset),
];

/// `uid_t getuid(void)`
fn getuid(cx: &mut Cx<'_>, _: Args) -> SysResult {
    Ok(u64::from(cx.creds().ruid))
}

/// `uid_t geteuid(void)`
fn geteuid(cx: &mut Cx<'_>, _: Args) -> SysResult {
    Ok(u64::from(cx.creds().euid))
}

/// `gid_t getgid(void)`
fn getgid(cx: &mut Cx<'_>, _: Args) -> SysResult {
    Ok(u64::from(cx.creds().rgid))
}

/// `gid_t getegid(void)`
fn getegid(cx: &mut Cx<'_>, _: Args) -> SysResult {
    Ok(u64::from(cx.creds().egid))
}

/// Sets the user ids and lets capabilities follow (capabilities(7), "Effect of user ID changes").
fn set_uids(cx: &mut Cx<'_>, mut new: Credentials) {
    let old = cx.creds();
    new.fsuid = new.euid;
    if !old.secure_bits.has(SecureBits::NO_SETUID_FIXUP) {
        let had_root = [old.ruid, old.euid, old.suid].contains(&0);
        let has_root = [new.ruid, new.euid, new.suid].contains(&0);
        if had_root && !has_root && !old.secure_bits.has(SecureBits::KEEP_CAPS) {
            new.permitted = CapabilitySet::EMPTY;
            new.effective = CapabilitySet::EMPTY;
            new.ambient = CapabilitySet::EMPTY;
        } else if had_root && !has_root {
            new.ambient = CapabilitySet::EMPTY;
        }
        if old.euid == 0 && new.euid != 0 {
            new.effective = CapabilitySet::EMPTY;
        } else if old.euid != 0 && new.euid == 0 {
            new.effective = new.permitted;
        }
    }
    cx.set_creds(new);
}

/// An id argument; -1 is no id.
fn id(args: Args, index: usize) -> Result<u32, Errno> {
    match args.u32(index) {
        u32::MAX => Err(Errno::EINVAL),
        id => Ok(id),
    }
}

/// An id argument that may be -1 for "as it is".
fn id_or(args: Args, index: usize, present: u32) -> u32 {
    match args.u32(index) {
        u32::MAX => present,
        id => id,
    }
}

/// `int setuid(uid_t uid)`
fn setuid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let uid = id(args, 0)?;
    let old = cx.creds();
    let mut new = (*old).clone();
    if old.has(Capability::Setuid) {
        (new.ruid, new.euid, new.suid) = (uid, uid, uid);
    } else if uid == old.ruid || uid == old.suid {
        new.euid = uid;
    } else {
        return Err(Errno::EPERM);
    }
    set_uids(cx, new);
    Ok(0)
}

/// `int setgid(gid_t gid)`
fn setgid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let gid = id(args, 0)?;
    let old = cx.creds();
    let mut new = (*old).clone();
    if old.has(Capability::Setgid) {
        (new.rgid, new.egid, new.sgid) = (gid, gid, gid);
    } else if gid == old.rgid || gid == old.sgid {
        new.egid = gid;
    } else {
        return Err(Errno::EPERM);
    }
    new.fsgid = new.egid;
    cx.set_creds(new);
    Ok(0)
}

/// `int setreuid(uid_t ruid, uid_t euid)`
fn setreuid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let old = cx.creds();
    let (ruid, euid) = (id_or(args, 0, old.ruid), id_or(args, 1, old.euid));
    if !old.has(Capability::Setuid) {
        let real_ok = [old.ruid, old.euid].contains(&ruid);
        let effective_ok = [old.ruid, old.euid, old.suid].contains(&euid);
        if !real_ok || !effective_ok {
            return Err(Errno::EPERM);
        }
    }
    let mut new = Credentials { ruid, euid, ..(*old).clone() };
    if args.u32(0) != u32::MAX || (args.u32(1) != u32::MAX && euid != old.ruid) {
        new.suid = euid;
    }
    set_uids(cx, new);
    Ok(0)
}

/// `int setregid(gid_t rgid, gid_t egid)`
fn setregid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let old = cx.creds();
    let (rgid, egid) = (id_or(args, 0, old.rgid), id_or(args, 1, old.egid));
    if !old.has(Capability::Setgid) {
        let real_ok = [old.rgid, old.egid].contains(&rgid);
        let effective_ok = [old.rgid, old.egid, old.sgid].contains(&egid);
        if !real_ok || !effective_ok {
            return Err(Errno::EPERM);
        }
    }
    let mut new = Credentials { rgid, egid, fsgid: egid, ..(*old).clone() };
    if args.u32(0) != u32::MAX || (args.u32(1) != u32::MAX && egid != old.rgid) {
        new.sgid = egid;
    }
    cx.set_creds(new);
    Ok(0)
}

/// `int setresuid(uid_t ruid, uid_t euid, uid_t suid)`
fn setresuid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let old = cx.creds();
    let ids = [id_or(args, 0, old.ruid), id_or(args, 1, old.euid), id_or(args, 2, old.suid)];
    let known = [old.ruid, old.euid, old.suid];
    if !old.has(Capability::Setuid) && ids.iter().any(|id| !known.contains(id)) {
        return Err(Errno::EPERM);
    }
    let [ruid, euid, suid] = ids;
    set_uids(cx, Credentials { ruid, euid, suid, ..(*old).clone() });
    Ok(0)
}

/// `int setresgid(gid_t rgid, gid_t egid, gid_t sgid)`
fn setresgid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let old = cx.creds();
    let ids = [id_or(args, 0, old.rgid), id_or(args, 1, old.egid), id_or(args, 2, old.sgid)];
    let known = [old.rgid, old.egid, old.sgid];
    if !old.has(Capability::Setgid) && ids.iter().any(|id| !known.contains(id)) {
        return Err(Errno::EPERM);
    }
    let [rgid, egid, sgid] = ids;
    cx.set_creds(Credentials { rgid, egid, sgid, fsgid: egid, ..(*old).clone() });
    Ok(0)
}

fn write_ids(cx: &Cx<'_>, args: Args, ids: [u32; 3]) -> SysResult {
    for (index, id) in ids.iter().enumerate() {
        cx.mm.write(args.addr(index), &id.to_le_bytes())?;
    }
    Ok(0)
}

/// `int getresuid(uid_t *ruid, uid_t *euid, uid_t *suid)`
fn getresuid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let creds = cx.creds();
    write_ids(cx, args, [creds.ruid, creds.euid, creds.suid])
}

/// `int getresgid(gid_t *rgid, gid_t *egid, gid_t *sgid)`
fn getresgid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let creds = cx.creds();
    write_ids(cx, args, [creds.rgid, creds.egid, creds.sgid])
}

/// `int setfsuid(uid_t fsuid)`: returns the old one, whether it changed or not.
fn setfsuid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let old = cx.creds();
    let fsuid = args.u32(0);
    let known = [old.ruid, old.euid, old.suid, old.fsuid].contains(&fsuid);
    if fsuid != u32::MAX && (known || old.has(Capability::Setuid)) {
        cx.set_creds(Credentials { fsuid, ..(*old).clone() });
    }
    Ok(u64::from(old.fsuid))
}

/// `int setfsgid(gid_t fsgid)`: returns the old one, whether it changed or not.
fn setfsgid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let old = cx.creds();
    let fsgid = args.u32(0);
    let known = [old.rgid, old.egid, old.sgid, old.fsgid].contains(&fsgid);
    if fsgid != u32::MAX && (known || old.has(Capability::Setgid)) {
        cx.set_creds(Credentials { fsgid, ..(*old).clone() });
    }
    Ok(u64::from(old.fsgid))
}

/// `int getgroups(int size, gid_t list[])`
fn getgroups(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let creds = cx.creds();
    let size = usize::try_from(args.i32(0)).map_err(|_| Errno::EINVAL)?;
    if size != 0 {
        if size < creds.groups.len() {
            return Err(Errno::EINVAL);
        }
        let bytes: Vec<u8> = creds.groups.iter().flat_map(|gid| gid.to_le_bytes()).collect();
        cx.mm.write(args.addr(1), &bytes)?;
    }
    Ok(creds.groups.len() as u64)
}

/// `int setgroups(size_t size, const gid_t *list)`
fn setgroups(cx: &mut Cx<'_>, args: Args) -> SysResult {
    /// `NGROUPS_MAX`.
    const MOST: usize = 65_536;
    let creds = cx.creds();
    if !creds.has(Capability::Setgid) {
        return Err(Errno::EPERM);
    }
    let size = usize::try_from(args.i32(0)).unwrap_or(usize::MAX);
    if size > MOST {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; size * 4];
    cx.mm.read(args.addr(1), &mut bytes)?;
    let groups = bytes.as_chunks::<4>().0.iter().map(|gid| u32::from_le_bytes(*gid)).collect();
    cx.set_creds(Credentials { groups, ..(*creds).clone() });
    Ok(0)
}

/// `_LINUX_CAPABILITY_VERSION_1` to `_3` (capget(2)), and how many words each set has.
const VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];

/// Reads the version of a header; for an unknown one, stores the one to use.
fn capability_words(cx: &Cx<'_>, header: UserAddr) -> Result<usize, Errno> {
    let version: u32 = cx.mm.read_value(header)?;
    match VERSIONS.iter().find(|(known, _)| *known == version) {
        Some((_, words)) => Ok(*words),
        None => {
            cx.mm.write(header, &VERSIONS[2].0.to_le_bytes())?;
            Err(Errno::EINVAL)
        }
    }
}

/// `int capget(cap_user_header_t header, cap_user_data_t data)`
fn capget(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let words = match capability_words(cx, args.addr(0)) {
        Err(Errno::EINVAL) if args.addr(1).is_null() => return Ok(0),
        result => result?,
    };
    if args.addr(1).is_null() {
        return Ok(0);
    }
    let pid: i32 = cx.mm.read_value(args.addr(0).wrapping_add(4))?;
    let creds = match u32::try_from(pid).map_err(|_| Errno::EINVAL)? {
        0 => cx.creds(),
        pid => cx.kernel().task(Pid(pid)).ok_or(Errno::ESRCH)?.creds(),
    };
    let sets = [creds.effective, creds.permitted, creds.inheritable];
    let mut bytes = Vec::new();
    for word in 0..words {
        for set in sets {
            let half = set.bits() >> (32 * word) & 0xffff_ffff;
            bytes.extend_from_slice(half.to_le_bytes().get(..4).unwrap_or_default());
        }
    }
    cx.mm.write(args.addr(1), &bytes)?;
    Ok(0)
}

/// `int capset(cap_user_header_t header, const cap_user_data_t data)`
fn capset(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let words = capability_words(cx, args.addr(0))?;
    let pid: i32 = cx.mm.read_value(args.addr(0).wrapping_add(4))?;
    if pid != 0 && u32::try_from(pid) != Ok(cx.task.tid().0) {
        return Err(Errno::EPERM);
    }
    let mut bytes = vec![0; words * 12];
    cx.mm.read(args.addr(1), &mut bytes)?;
    let mut sets = [0_u64; 3];
    for (index, word) in bytes.as_chunks::<4>().0.iter().enumerate() {
        if let Some(set) = sets.get_mut(index % 3) {
            *set |= u64::from(u32::from_le_bytes(*word)) << (32 * (index / 3));
        }
    }
    let [effective, permitted, inheritable] = sets.map(CapabilitySet::from_bits);
    let old = cx.creds();
    let may_inherit = if old.has(Capability::Setpcap) {
        old.inheritable.union(old.bounding)
    } else {
        old.inheritable.union(old.permitted)
    };
    let allowed = old.permitted.covers(permitted)
        && permitted.covers(effective)
        && may_inherit.covers(inheritable)
        && old.inheritable.union(old.bounding).covers(inheritable);
    if !allowed {
        return Err(Errno::EPERM);
    }
    let ambient = old.ambient.intersection(permitted).intersection(inheritable);
    cx.set_creds(Credentials { effective, permitted, inheritable, ambient, ..(*old).clone() });
    Ok(0)
}

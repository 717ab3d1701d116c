//! prctl(2): settings of a task.

use std::sync::atomic::Ordering;

use abi::{Errno, Signal, UserAddr};
use auth::{Capability, CapabilitySet, Credentials, SecureBits};
use kernel::{Cx, SysResult};

use crate::{
    Args,
    table::{Entry, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    partial(157, "prctl",                  "dxxxx", prctl, "the common options"),
];

const PR_SET_PDEATHSIG: u32 = 1;
const PR_GET_PDEATHSIG: u32 = 2;
const PR_GET_DUMPABLE: u32 = 3;
const PR_SET_DUMPABLE: u32 = 4;
const PR_GET_KEEPCAPS: u32 = 7;
const PR_SET_KEEPCAPS: u32 = 8;
const PR_SET_NAME: u32 = 15;
const PR_GET_NAME: u32 = 16;
const PR_GET_SECCOMP: u32 = 21;
const PR_CAPBSET_READ: u32 = 23;
const PR_CAPBSET_DROP: u32 = 24;
const PR_GET_SECUREBITS: u32 = 27;
const PR_SET_SECUREBITS: u32 = 28;
const PR_SET_TIMERSLACK: u32 = 29;
const PR_GET_TIMERSLACK: u32 = 30;
const PR_SET_CHILD_SUBREAPER: u32 = 36;
const PR_GET_CHILD_SUBREAPER: u32 = 37;
const PR_SET_NO_NEW_PRIVS: u32 = 38;
const PR_GET_NO_NEW_PRIVS: u32 = 39;
const PR_GET_THP_DISABLE: u32 = 42;
const PR_CAP_AMBIENT: u32 = 47;

/// `int prctl(int option, unsigned long arg2, ...)`
fn prctl(cx: &mut Cx<'_>, args: Args) -> SysResult {
    match args.u32(0) {
        PR_SET_PDEATHSIG => {
            let signal = args.u32(1);
            if signal != 0 && Signal::new(args.get(1)).is_none() {
                return Err(Errno::EINVAL);
            }
            cx.task.parent_death_signal.store(signal, Ordering::Relaxed);
            Ok(0)
        }
        PR_GET_PDEATHSIG => {
            let signal = cx.task.parent_death_signal.load(Ordering::Relaxed);
            cx.mm.write(args.addr(1), &signal.to_le_bytes()).map(|()| 0)
        }
        PR_GET_DUMPABLE => Ok(u64::from(cx.process().dumpable.load(Ordering::Relaxed))),
        PR_SET_DUMPABLE => {
            let value = args.u32(1);
            if args.get(1) > 1 {
                return Err(Errno::EINVAL);
            }
            cx.process().dumpable.store(value, Ordering::Relaxed);
            Ok(0)
        }
        PR_SET_NAME => set_name(cx, args.addr(1)),
        PR_GET_NAME => {
            let name = *cx.task.name.lock();
            cx.mm.write(args.addr(1), &name).map(|()| 0)
        }
        PR_GET_SECCOMP => Ok(0),
        PR_SET_TIMERSLACK => Ok(0),
        PR_GET_TIMERSLACK => Ok(50_000),
        PR_SET_CHILD_SUBREAPER => {
            let own = cx.process().pid;
            if let Some(node) = cx.kernel().tree.lock().processes.get_mut(&own) {
                node.subreaper = args.get(1) != 0;
            }
            Ok(0)
        }
        PR_GET_CHILD_SUBREAPER => {
            let own = cx.process().pid;
            let on = cx.kernel().tree.lock().process(own).is_some_and(|node| node.subreaper);
            cx.mm.write(args.addr(1), &u32::from(on).to_le_bytes()).map(|()| 0)
        }
        PR_GET_THP_DISABLE => Ok(0),
        _ => prctl_creds(cx, args),
    }
}

fn set_name(cx: &Cx<'_>, addr: UserAddr) -> SysResult {
    let text = match cx.mm.read_string(addr, 16) {
        Ok(text) => text,
        Err(Errno::ENAMETOOLONG) => {
            let mut text = vec![0; 15];
            cx.mm.read(addr, &mut text)?;
            text
        }
        Err(errno) => return Err(errno),
    };
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().take(15).zip(text) {
        *to = from;
    }
    *cx.task.name.lock() = name;
    Ok(0)
}

/// Options that concern credentials.
fn prctl_creds(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let mut new = (*cx.creds()).clone();
    match args.u32(0) {
        PR_GET_KEEPCAPS => return Ok(u64::from(new.secure_bits.has(SecureBits::KEEP_CAPS))),
        PR_SET_KEEPCAPS => match args.get(1) {
            0 => new.secure_bits.0 &= !SecureBits::KEEP_CAPS,
            1 => new.secure_bits.0 |= SecureBits::KEEP_CAPS,
            _ => return Err(Errno::EINVAL),
        },
        PR_GET_SECUREBITS => return Ok(u64::from(new.secure_bits.0)),
        PR_SET_SECUREBITS => {
            if !new.has(Capability::Setpcap) {
                return Err(Errno::EPERM);
            }
            new.secure_bits = SecureBits(args.u32(1));
        }
        PR_CAPBSET_READ => return Ok(u64::from(new.bounding.covers(one_capability(args)?))),
        PR_CAPBSET_DROP => {
            let capability = one_capability(args)?;
            if !new.has(Capability::Setpcap) {
                return Err(Errno::EPERM);
            }
            new.bounding = new.bounding.without(capability);
        }
        PR_GET_NO_NEW_PRIVS => return Ok(u64::from(new.no_new_privs)),
        PR_SET_NO_NEW_PRIVS => {
            if args.get(1) != 1 || args.get(2) != 0 {
                return Err(Errno::EINVAL);
            }
            new.no_new_privs = true;
        }
        PR_CAP_AMBIENT => return ambient(cx, args, new),
        _ => return Err(Errno::EINVAL),
    }
    cx.set_creds(new);
    Ok(0)
}

fn one_capability(args: Args) -> Result<CapabilitySet, Errno> {
    capability_at(args, 1)
}

fn capability_at(args: Args, index: usize) -> Result<CapabilitySet, Errno> {
    match args.get(index) {
        number @ 0..=40 => Ok(CapabilitySet::from_bits(1 << number)),
        _ => Err(Errno::EINVAL),
    }
}

fn ambient(cx: &mut Cx<'_>, args: Args, mut new: Credentials) -> SysResult {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    if args.get(1) == CLEAR_ALL {
        new.ambient = CapabilitySet::EMPTY;
        cx.set_creds(new);
        return Ok(0);
    }
    let capability = capability_at(args, 2)?;
    match args.get(1) {
        IS_SET => return Ok(u64::from(new.ambient.covers(capability))),
        RAISE => {
            let may = new.permitted.covers(capability)
                && new.inheritable.covers(capability)
                && !new.secure_bits.has(SecureBits::NO_CAP_AMBIENT_RAISE);
            if !may {
                return Err(Errno::EPERM);
            }
            new.ambient = new.ambient.union(capability);
        }
        LOWER => new.ambient = new.ambient.without(capability),
        _ => return Err(Errno::EINVAL),
    }
    cx.set_creds(new);
    Ok(0)
}

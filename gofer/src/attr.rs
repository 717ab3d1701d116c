//! Attributes, between the host's form and the protocol's.

use p9::{Attr, AttrMask, SetAttr, SetAttrMask, Time};
use rustix::fs::{
    Gid, Mode, Statx, StatxFlags, StatxTimestamp, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
    makedev,
};
use rustix::io::Errno;

use crate::node::Devices;

/// The protocol's form of a file's status.
pub(crate) fn attr(status: &Statx, devices: &mut Devices) -> Attr {
    let has_btime = StatxFlags::from_bits_retain(status.stx_mask).contains(StatxFlags::BTIME);
    Attr {
        valid: AttrMask::BASIC | if has_btime { AttrMask::BTIME } else { AttrMask::empty() },
        qid: devices.qid(status),
        mode: status.stx_mode.into(),
        uid: status.stx_uid,
        gid: status.stx_gid,
        nlink: status.stx_nlink.into(),
        rdev: makedev(status.stx_rdev_major, status.stx_rdev_minor),
        size: status.stx_size,
        blksize: status.stx_blksize.into(),
        blocks: status.stx_blocks,
        atime: time(&status.stx_atime),
        mtime: time(&status.stx_mtime),
        ctime: time(&status.stx_ctime),
        btime: if has_btime { time(&status.stx_btime) } else { Time::default() },
        generation: 0,
        data_version: 0,
    }
}

fn time(from: &StatxTimestamp) -> Time {
    Time { sec: from.tv_sec, nsec: from.tv_nsec.into() }
}

/// The times to set, if any are. A change of the change time alone is a touch of it: asked for by
/// setting nothing else, it is done by a change of owner to nobody in particular.
pub(crate) fn times(new: &SetAttr) -> Result<Option<Timestamps>, Errno> {
    let which = |field, set, time: Time| {
        if !new.valid.contains(field) {
            Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT })
        } else if !new.valid.contains(set) {
            Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW })
        } else {
            let nsec = i64::try_from(time.nsec).ok().filter(|nsec| *nsec < 1_000_000_000);
            Ok(Timespec { tv_sec: time.sec, tv_nsec: nsec.ok_or(Errno::INVAL)? })
        }
    };
    let last_access = which(SetAttrMask::ATIME, SetAttrMask::ATIME_SET, new.atime)?;
    let last_modification = which(SetAttrMask::MTIME, SetAttrMask::MTIME_SET, new.mtime)?;
    let any = new.valid.intersects(SetAttrMask::ATIME | SetAttrMask::MTIME);
    Ok(any.then_some(Timestamps { last_access, last_modification }))
}

/// Permission bits: what of `mode` chmod(2) takes.
pub(crate) fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}

/// A user to give a file to; `u32::MAX` means "as it is" to the host and is no user.
pub(crate) fn uid(id: u32) -> Option<Uid> {
    (id != u32::MAX).then(|| Uid::from_raw(id))
}

/// A group to give a file to.
pub(crate) fn gid(id: u32) -> Option<Gid> {
    (id != u32::MAX).then(|| Gid::from_raw(id))
}

//! setsockopt(2) and getsockopt(2).

use abi::Errno;
use kernel::{Cx, SysResult};

use super::Opened;
use crate::Args;

/// Longest option that is looked at.
const OPTION_MAX_BYTES: usize = 1024;

/// `int setsockopt(int sockfd, int level, int optname, const void *optval, socklen_t optlen)`
pub(super) fn setsockopt(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let len = usize::try_from(args.i32(4)).map_err(|_| Errno::EINVAL)?;
    let mut value = vec![0; len.min(OPTION_MAX_BYTES)];
    cx.mm.read(args.addr(3), &mut value)?;
    let env = cx.env();
    let (level, name) = (args.i32(1), args.i32(2));
    opened.socket()?.set_option(&env.ctx(), level, name, &value).map(|()| 0)
}

/// `int getsockopt(int sockfd, int level, int optname, void *optval, socklen_t *optlen)`
pub(super) fn getsockopt(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let space: i32 = cx.mm.read_value(args.addr(4))?;
    let space = usize::try_from(space).map_err(|_| Errno::EINVAL)?;
    let mut value = opened.socket()?.option(args.i32(1), args.i32(2))?;
    value.truncate(space);
    cx.mm.write(args.addr(3), &value)?;
    let len = u32::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    cx.mm.write_value(args.addr(4), &len)?;
    Ok(0)
}

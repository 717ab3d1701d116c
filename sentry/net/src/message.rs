//! What travels with the bytes of a message.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use abi::{Errno, socket::Ucred};
use vfs::{Ctx, OpenFile};

use crate::{Address, Transport};

/// A message to be sent, but for its bytes.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Where to; `None` for the connected peer.
    pub to: Option<Address>,
    /// Descriptors to send along (`SCM_RIGHTS`). The sender keeps its own.
    pub rights: Vec<Arc<OpenFile>>,
    /// Who sends (`SCM_CREDENTIALS`, checked by [`check_credentials`]).
    pub credentials: Option<Ucred>,
    /// `IP_TTL` or `IPV6_HOPLIMIT` of this packet.
    pub ttl: Option<i32>,
    /// `IP_TOS` or `IPV6_TCLASS` of this packet.
    pub tos: Option<i32>,
    /// `MSG_DONTWAIT`.
    pub dont_wait: bool,
    /// `MSG_OOB`.
    pub out_of_band: bool,
    /// The receiver that had no room when this was last tried.
    pub(crate) busy: Option<Weak<dyn Transport>>,
}

/// How to receive.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of recv(2)")]
pub struct RecvHow {
    /// `MSG_PEEK`: leave it there.
    pub peek: bool,
    /// `MSG_TRUNC`: tell the whole length of a message; throw the bytes of a stream away.
    pub trunc: bool,
    /// `MSG_WAITALL`: wait until all is there.
    pub wait_all: bool,
    /// `MSG_DONTWAIT`.
    pub dont_wait: bool,
    /// `MSG_ERRQUEUE`.
    pub error_queue: bool,
    /// `MSG_OOB`.
    pub out_of_band: bool,
}

/// Where a datagram came in (ip(7), `IP_PKTINFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// The address it was sent to.
    pub to: IpAddr,
    /// Number of the interface.
    pub interface: u32,
}

/// What came along with the bytes. Each of `rights` has one user, which is the receiver's to
/// keep or to remove.
#[derive(Debug, Default)]
pub struct Control {
    /// `SCM_RIGHTS`.
    pub rights: Vec<Arc<OpenFile>>,
    /// `SCM_CREDENTIALS`.
    pub credentials: Option<Ucred>,
    /// `IP_PKTINFO` or `IPV6_PKTINFO`.
    pub packet_info: Option<PacketInfo>,
    /// `IP_TTL` or `IPV6_HOPLIMIT`.
    pub ttl: Option<i32>,
    /// `IP_TOS` or `IPV6_TCLASS`.
    pub tos: Option<i32>,
    /// The packet was one of IPv6.
    pub is_ipv6: bool,
}

impl Control {
    /// Gives the descriptors back, for a caller that does not want them.
    pub fn discard(self, cx: &Ctx<'_>) {
        for file in self.rights {
            file.remove_user(cx);
        }
    }
}

/// What was received.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes stored.
    pub count: usize,
    /// Bytes of the whole message, where there are messages.
    pub whole: usize,
    /// It was longer than the space for it.
    pub truncated: bool,
    /// Who sent it.
    pub from: Option<Address>,
    /// What came along.
    pub control: Control,
}

impl Outgoing {
    /// To the connected peer, with nothing along.
    #[must_use]
    pub fn with_flags(dont_wait: bool, out_of_band: bool) -> Self {
        Self { dont_wait, out_of_band, ..Self::default() }
    }

    /// Refuses what only Unix sockets can send.
    pub(crate) fn no_control(&self) -> Result<(), Errno> {
        if self.rights.is_empty() && self.credentials.is_none() {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }
}

/// The caller as others see it.
pub(crate) fn caller(cx: &Ctx<'_>) -> Ucred {
    let task = cx.task.and_then(|task| task.downcast_ref::<kernel::Task>());
    let pid = task.map_or(0, |task| task.process.pid.0);
    Ucred { pid, uid: cx.creds.euid, gid: cx.creds.egid }
}

/// May the caller say that it is `claimed` (unix(7), `SCM_CREDENTIALS`)?
///
/// # Errors
///
/// `EPERM`.
pub fn check_credentials(cx: &Ctx<'_>, claimed: &Ucred) -> Result<(), Errno> {
    use auth::Capability::{Setgid, Setuid, SysAdmin};
    let creds = cx.creds;
    let pid = claimed.pid == caller(cx).pid || creds.has(SysAdmin);
    let uid = [creds.ruid, creds.euid, creds.suid].contains(&claimed.uid) || creds.has(Setuid);
    let gid = [creds.rgid, creds.egid, creds.sgid].contains(&claimed.gid) || creds.has(Setgid);
    if pid && uid && gid { Ok(()) } else { Err(Errno::EPERM) }
}

//! Settings of a socket (socket(7), ip(7), ipv6(7), tcp(7)).

mod known;
mod set;

use std::collections::BTreeMap;

use abi::socket::{
    family::{AF_INET, AF_INET6},
    ipv6::IPV6_V6ONLY,
    kind::SOCK_STREAM,
    level::SOL_SOCKET,
    protocol::{IPPROTO_IPV6, IPPROTO_TCP},
    so::{SO_PASSCRED, SO_RCVBUF, SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF},
};
use sched::Mutex;

/// Largest buffer that may be asked for (`/proc/sys/net/core/wmem_max`).
const BUFFER_MAX: i32 = 212_992;
/// Buffer of a Unix or UDP socket at first (`/proc/sys/net/core/wmem_default`).
const BUFFER_DEFAULT: i32 = 212_992;
/// Buffers of a TCP socket at first (tcp(7), `tcp_wmem` and `tcp_rmem`).
const TCP_SEND_DEFAULT: i32 = 87_040;
const TCP_RECEIVE_DEFAULT: i32 = 131_072;
/// Longest name of a congestion control (netinet/tcp.h).
const CONGESTION_BYTES: usize = 16;

/// Settings of a socket, and what it is.
#[derive(Debug, state::Save, state::Load)]
pub struct Options {
    /// `SO_DOMAIN`.
    pub domain: u16,
    /// `SO_TYPE`.
    pub kind: u32,
    /// `SO_PROTOCOL`.
    pub protocol: i32,
    settings: Mutex<Settings>,
}

/// What can be changed.
#[derive(Clone, Debug, Default, state::Save, state::Load)]
struct Settings {
    /// Whole numbers by level and name; what is not here has its default.
    numbers: BTreeMap<(i32, i32), i32>,
    /// `SO_LINGER`: seconds, if on.
    linger: Option<i32>,
    /// `SO_RCVTIMEO` and `SO_SNDTIMEO`, in nanoseconds; 0 is none.
    receive_timeout_ns: u64,
    send_timeout_ns: u64,
}

impl Options {
    pub(crate) fn new(domain: u16, kind: u32, protocol: i32) -> Self {
        Self { domain, kind, protocol, settings: Mutex::default() }
    }

    /// A copy for a connection that is accepted.
    pub(crate) fn inherited(&self) -> Self {
        let settings = Mutex::new(self.settings.lock().clone());
        Self { domain: self.domain, kind: self.kind, protocol: self.protocol, settings }
    }

    /// True for IPv4 and IPv6.
    #[must_use]
    pub fn is_inet(&self) -> bool {
        self.domain == AF_INET || self.domain == AF_INET6
    }

    /// True for TCP.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.is_inet() && self.kind == SOCK_STREAM && self.protocol == IPPROTO_TCP
    }

    pub(crate) fn number(&self, level: i32, name: i32) -> i32 {
        let set = self.settings.lock().numbers.get(&(level, name)).copied();
        set.unwrap_or_else(|| match (level, name) {
            (SOL_SOCKET, SO_SNDBUF) if self.is_tcp() => TCP_SEND_DEFAULT,
            (SOL_SOCKET, SO_RCVBUF) if self.is_tcp() => TCP_RECEIVE_DEFAULT,
            (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => BUFFER_DEFAULT,
            _ => known::find(level, name).map_or(0, |known| known.default),
        })
    }

    pub(crate) fn store(&self, level: i32, name: i32, value: i32) {
        self.settings.lock().numbers.insert((level, name), value);
    }

    pub(crate) fn flag(&self, level: i32, name: i32) -> bool {
        self.number(level, name) != 0
    }

    pub(crate) fn reuse_address(&self) -> bool {
        self.flag(SOL_SOCKET, SO_REUSEADDR)
    }

    pub(crate) fn reuse_port(&self) -> bool {
        self.flag(SOL_SOCKET, SO_REUSEPORT)
    }

    pub(crate) fn pass_credentials(&self) -> bool {
        self.flag(SOL_SOCKET, SO_PASSCRED)
    }

    pub(crate) fn only_ipv6(&self) -> bool {
        self.flag(IPPROTO_IPV6, IPV6_V6ONLY)
    }

    /// Bytes that may wait to be sent.
    pub(crate) fn send_buffer(&self) -> usize {
        usize::try_from(self.number(SOL_SOCKET, SO_SNDBUF)).unwrap_or(0)
    }

    /// Bytes that may wait to be read.
    pub(crate) fn receive_buffer(&self) -> usize {
        usize::try_from(self.number(SOL_SOCKET, SO_RCVBUF)).unwrap_or(0)
    }

    /// `SO_LINGER` in seconds, if it is on.
    pub(crate) fn linger(&self) -> Option<i32> {
        self.settings.lock().linger
    }

    /// Until when a call that starts at `now_ns` may wait.
    pub(crate) fn deadline_ns(&self, now_ns: u64, writing: bool) -> Option<u64> {
        let settings = self.settings.lock();
        let span = if writing { settings.send_timeout_ns } else { settings.receive_timeout_ns };
        (span != 0).then(|| now_ns.saturating_add(span))
    }
}

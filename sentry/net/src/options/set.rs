//! setsockopt(2) and getsockopt(2) of what needs no other part of the socket.

use abi::{
    Errno,
    socket::{
        family::{AF_INET6, AF_UNIX},
        ip::{IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MULTICAST_IF},
        ipv6::{IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP},
        level::SOL_SOCKET,
        protocol::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP},
        so,
        tcp::{TCP_CONGESTION, TCP_USER_TIMEOUT},
    },
};
use auth::Capability;
use vfs::Ctx;

use super::{
    BUFFER_MAX, CONGESTION_BYTES, Options,
    known::{self, Known, Shape},
};

/// Smallest buffer, after doubling (socket(7)).
const SEND_BUFFER_MIN: i32 = 4608;
const RECEIVE_BUFFER_MIN: i32 = 2304;
/// Largest buffer for the privileged (`SO_SNDBUFFORCE`): what a container may reasonably take.
const BUFFER_FORCED_MAX: i32 = 32 << 20;
/// The one congestion control there is.
const CONGESTION: &[u8] = b"cubic";
/// Without this capability, priorities end here (socket(7)).
const PRIORITY_MAX: i32 = 6;

/// The `int` at the start of an option.
fn int(bytes: &[u8]) -> Result<i32, Errno> {
    bytes.first_chunk().map(|word| i32::from_ne_bytes(*word)).ok_or(Errno::EINVAL)
}

impl Options {
    /// Does this socket have settings of `level`?
    ///
    /// # Errors
    ///
    /// What Linux says for a socket that has none.
    pub(crate) fn check_level(&self, level: i32, setting: bool) -> Result<(), Errno> {
        match level {
            SOL_SOCKET => Ok(()),
            _ if self.domain == AF_UNIX => Err(Errno::EOPNOTSUPP),
            IPPROTO_IP if self.is_inet() => Ok(()),
            IPPROTO_IPV6 if self.domain == AF_INET6 => Ok(()),
            IPPROTO_TCP if self.is_tcp() => Ok(()),
            _ if setting => Err(Errno::ENOPROTOOPT),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// setsockopt(2).
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` for an unknown one, `EINVAL` for a bad value, `EPERM`.
    pub(crate) fn set(
        &self,
        cx: &Ctx<'_>,
        level: i32,
        name: i32,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        match (level, name) {
            (SOL_SOCKET, so::SO_LINGER) => self.set_linger(bytes),
            (SOL_SOCKET, so::SO_RCVTIMEO | so::SO_RCVTIMEO_NEW) => self.set_timeout(bytes, false),
            (SOL_SOCKET, so::SO_SNDTIMEO | so::SO_SNDTIMEO_NEW) => self.set_timeout(bytes, true),
            (SOL_SOCKET, so::SO_SNDBUFFORCE) => self.force(cx, so::SO_SNDBUF, int(bytes)?),
            (SOL_SOCKET, so::SO_RCVBUFFORCE) => self.force(cx, so::SO_RCVBUF, int(bytes)?),
            (SOL_SOCKET, so::SO_BINDTODEVICE) => bind_to_device(bytes),
            (SOL_SOCKET, so::SO_DETACH_FILTER) => Err(Errno::ENOENT),
            (IPPROTO_TCP, TCP_CONGESTION) => set_congestion(bytes),
            (IPPROTO_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP | IP_MULTICAST_IF)
            | (IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP | IPV6_DROP_MEMBERSHIP) => {
                // No interface here does multicast.
                if bytes.len() < 4 { Err(Errno::EINVAL) } else { Err(Errno::ENODEV) }
            }
            _ => {
                let known = known::find(level, name).ok_or(Errno::ENOPROTOOPT)?;
                self.set_number(cx, (level, name), known, bytes)
            }
        }
    }

    fn set_number(
        &self,
        cx: &Ctx<'_>,
        (level, name): (i32, i32),
        known: &Known,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        // ip(7): a single byte will do for options of IPv4.
        let value = match (bytes, level) {
            ([byte], IPPROTO_IP) => i32::from(*byte),
            _ => int(bytes)?,
        };
        self.may_set(cx, level, name, value)?;
        let value = match known.shape {
            Shape::Fixed => return Err(Errno::ENOPROTOOPT),
            Shape::Flag => i32::from(value != 0),
            Shape::Buffer => doubled(name, value.min(BUFFER_MAX)),
            Shape::Range(low, high) if (low..=high).contains(&value) => value,
            Shape::Range(..) if name == TCP_USER_TIMEOUT => return Err(Errno::EINVAL),
            Shape::Range(..) => return Err(Errno::EINVAL),
        };
        let value =
            if (level, name) == (SOL_SOCKET, so::SO_RCVLOWAT) { value.max(1) } else { value };
        self.store(level, name, value);
        Ok(())
    }

    fn may_set(&self, cx: &Ctx<'_>, level: i32, name: i32, value: i32) -> Result<(), Errno> {
        let admin = cx.creds.has(Capability::NetAdmin);
        match (level, name) {
            (SOL_SOCKET, so::SO_MARK) if !admin => Err(Errno::EPERM),
            (SOL_SOCKET, so::SO_DEBUG) if value != 0 && !admin => Err(Errno::EACCES),
            (SOL_SOCKET, so::SO_PRIORITY) if value > PRIORITY_MAX && !admin => Err(Errno::EPERM),
            (SOL_SOCKET, so::SO_REUSEPORT) if value != 0 && !self.is_inet() => {
                Err(Errno::EOPNOTSUPP)
            }
            _ => Ok(()),
        }
    }

    fn force(&self, cx: &Ctx<'_>, name: i32, value: i32) -> Result<(), Errno> {
        if !cx.creds.has(Capability::NetAdmin) {
            return Err(Errno::EPERM);
        }
        self.store(SOL_SOCKET, name, doubled(name, value.clamp(0, BUFFER_FORCED_MAX / 2)));
        Ok(())
    }

    /// `struct linger`: on or off, seconds.
    fn set_linger(&self, bytes: &[u8]) -> Result<(), Errno> {
        let (on, seconds) = (int(bytes)?, int(bytes.get(4..).unwrap_or_default())?);
        self.settings.lock().linger = (on != 0).then_some(seconds);
        Ok(())
    }

    /// `struct timeval`: seconds, microseconds.
    fn set_timeout(&self, bytes: &[u8], sending: bool) -> Result<(), Errno> {
        let (words, _) = bytes.as_chunks::<8>();
        let [seconds, micros, ..] = words else { return Err(Errno::EINVAL) };
        let (seconds, micros) = (i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*micros));
        if !(0..1_000_000).contains(&micros) {
            return Err(Errno::EDOM);
        }
        // A negative time-out is over at once, as on Linux.
        let span_ns = match u64::try_from(seconds) {
            Ok(seconds) => {
                seconds.saturating_mul(1_000_000_000).saturating_add(micros.cast_unsigned() * 1000)
            }
            Err(_) => 1,
        };
        let mut settings = self.settings.lock();
        if sending {
            settings.send_timeout_ns = span_ns;
        } else {
            settings.receive_timeout_ns = span_ns;
        }
        Ok(())
    }

    /// getsockopt(2).
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` for an unknown one.
    pub(crate) fn get(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        match (level, name) {
            (SOL_SOCKET, so::SO_LINGER) => {
                let linger = self.linger();
                let words = [i32::from(linger.is_some()), linger.unwrap_or(0)];
                Ok(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
            }
            (SOL_SOCKET, so::SO_RCVTIMEO | so::SO_RCVTIMEO_NEW) => Ok(self.timeout(false)),
            (SOL_SOCKET, so::SO_SNDTIMEO | so::SO_SNDTIMEO_NEW) => Ok(self.timeout(true)),
            (SOL_SOCKET, so::SO_BINDTODEVICE) => Ok(Vec::new()),
            (SOL_SOCKET, so::SO_TYPE) => Ok(self.kind.to_ne_bytes().to_vec()),
            (SOL_SOCKET, so::SO_DOMAIN) => Ok(u32::from(self.domain).to_ne_bytes().to_vec()),
            (SOL_SOCKET, so::SO_PROTOCOL) => Ok(self.protocol.to_ne_bytes().to_vec()),
            (IPPROTO_TCP, TCP_CONGESTION) => {
                let mut name = CONGESTION.to_vec();
                name.resize(CONGESTION_BYTES, 0);
                Ok(name)
            }
            _ => {
                known::find(level, name).ok_or(Errno::ENOPROTOOPT)?;
                Ok(self.number(level, name).to_ne_bytes().to_vec())
            }
        }
    }

    fn timeout(&self, sending: bool) -> Vec<u8> {
        let settings = self.settings.lock();
        let span = if sending { settings.send_timeout_ns } else { settings.receive_timeout_ns };
        let words = [span / 1_000_000_000, span % 1_000_000_000 / 1000];
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}

fn doubled(name: i32, value: i32) -> i32 {
    let least = if name == so::SO_SNDBUF { SEND_BUFFER_MIN } else { RECEIVE_BUFFER_MIN };
    value.saturating_mul(2).max(least)
}

/// There is one interface, so binding to it changes nothing.
fn bind_to_device(bytes: &[u8]) -> Result<(), Errno> {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    if name.is_empty() || name == b"lo" { Ok(()) } else { Err(Errno::ENODEV) }
}

fn set_congestion(bytes: &[u8]) -> Result<(), Errno> {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match name {
        b"" => Err(Errno::EINVAL),
        name if name == CONGESTION => Ok(()),
        _ => Err(Errno::ENOENT),
    }
}

#[cfg(test)]
mod tests {
    use abi::socket::{family::AF_INET, kind::SOCK_STREAM};

    use super::*;
    use crate::testing::run;

    #[test]
    fn buffers_are_doubled_and_bounded() {
        run(|cx, _| {
            let options = Options::new(AF_UNIX, SOCK_STREAM, 0);
            for (asked, got) in [(10_000, 20_000), (0, 4608), (i32::MAX, 425_984), (-1, 4608)] {
                let bytes = asked.to_ne_bytes();
                assert_eq!(options.set(cx, SOL_SOCKET, so::SO_SNDBUF, &bytes), Ok(()));
                let now = options.get(SOL_SOCKET, so::SO_SNDBUF).unwrap();
                assert_eq!(int(&now), Ok(got), "{asked}");
            }
        });
    }

    #[test]
    fn unknown_and_short_ones_are_refused() {
        run(|cx, _| {
            let options = Options::new(AF_INET, SOCK_STREAM, IPPROTO_TCP);
            let on = 1_i32.to_ne_bytes();
            assert_eq!(options.set(cx, SOL_SOCKET, 9999, &on), Err(Errno::ENOPROTOOPT));
            assert_eq!(options.set(cx, SOL_SOCKET, so::SO_KEEPALIVE, &on[..3]), Err(Errno::EINVAL));
            assert_eq!(options.set(cx, IPPROTO_TCP, TCP_CONGESTION, b"reno"), Err(Errno::ENOENT));
            assert_eq!(options.check_level(77, true), Err(Errno::ENOPROTOOPT));
        });
    }

    #[test]
    fn a_timeout_is_told_as_it_was_set() {
        run(|cx, _| {
            let options = Options::new(AF_INET, SOCK_STREAM, IPPROTO_TCP);
            let mut time = 3_i64.to_ne_bytes().to_vec();
            time.extend(250_000_i64.to_ne_bytes());
            options.set(cx, SOL_SOCKET, so::SO_RCVTIMEO, &time).unwrap();
            assert_eq!(options.get(SOL_SOCKET, so::SO_RCVTIMEO).unwrap(), time);
            assert_eq!(options.deadline_ns(10, false), Some(3_250_000_010));
            assert_eq!(options.deadline_ns(10, true), None);
            time[8..].copy_from_slice(&1_000_000_i64.to_ne_bytes());
            assert_eq!(options.set(cx, SOL_SOCKET, so::SO_RCVTIMEO, &time), Err(Errno::EDOM));
        });
    }
}

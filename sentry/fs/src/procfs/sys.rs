//! `/proc/sys`: settings of the kernel (`proc_sys(5)`).

use abi::Errno;
use kernel::{Kernel, Uts};
use vfs::Ctx;

use super::node::Node;

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(super) enum Kind {
    Hostname,
    Domainname,
    OsType,
    OsRelease,
    Version,
    PidMax,
    ThreadsMax,
    NgroupsMax,
    CapLastCap,
    OverflowUid,
    OverflowGid,
    RandomUuid,
    BootId,
    EntropyAvail,
    CorePattern,
    Randomize,
    Shmmax,
    Shmall,
    Shmmni,
    Msgmax,
    Msgmni,
    Msgmnb,
    Sem,
    Overcommit,
    OvercommitRatio,
    MaxMapCount,
    MmapMinAddr,
    Swappiness,
    FileMax,
    NrOpen,
    PipeMaxSize,
    Somaxconn,
    PortRange,
    TcpSynRetries,
    TcpRmem,
    TcpWmem,
    Ipv6Disabled,
}

impl Kind {
    pub(super) const fn mode(self) -> u32 {
        match self {
            Self::Hostname | Self::Domainname => 0o644,
            _ => 0o444,
        }
    }
}

/// A directory: its name, the line of its parent, its files.
type Line = (&'static str, usize, &'static [(&'static str, Kind)]);

const LINES: &[Line] = &[
    ("sys", usize::MAX, &[]),
    (
        "kernel",
        0,
        &[
            ("hostname", Kind::Hostname),
            ("domainname", Kind::Domainname),
            ("ostype", Kind::OsType),
            ("osrelease", Kind::OsRelease),
            ("version", Kind::Version),
            ("pid_max", Kind::PidMax),
            ("threads-max", Kind::ThreadsMax),
            ("ngroups_max", Kind::NgroupsMax),
            ("cap_last_cap", Kind::CapLastCap),
            ("overflowuid", Kind::OverflowUid),
            ("overflowgid", Kind::OverflowGid),
            ("core_pattern", Kind::CorePattern),
            ("randomize_va_space", Kind::Randomize),
            ("shmmax", Kind::Shmmax),
            ("shmall", Kind::Shmall),
            ("shmmni", Kind::Shmmni),
            ("msgmax", Kind::Msgmax),
            ("msgmni", Kind::Msgmni),
            ("msgmnb", Kind::Msgmnb),
            ("sem", Kind::Sem),
        ],
    ),
    (
        "random",
        1,
        &[
            ("uuid", Kind::RandomUuid),
            ("boot_id", Kind::BootId),
            ("entropy_avail", Kind::EntropyAvail),
        ],
    ),
    (
        "vm",
        0,
        &[
            ("overcommit_memory", Kind::Overcommit),
            ("overcommit_ratio", Kind::OvercommitRatio),
            ("max_map_count", Kind::MaxMapCount),
            ("mmap_min_addr", Kind::MmapMinAddr),
            ("swappiness", Kind::Swappiness),
        ],
    ),
    (
        "fs",
        0,
        &[
            ("file-max", Kind::FileMax),
            ("nr_open", Kind::NrOpen),
            ("pipe-max-size", Kind::PipeMaxSize),
        ],
    ),
    ("net", 0, &[]),
    ("core", 5, &[("somaxconn", Kind::Somaxconn)]),
    (
        "ipv4",
        5,
        &[
            ("ip_local_port_range", Kind::PortRange),
            ("tcp_syn_retries", Kind::TcpSynRetries),
            ("tcp_rmem", Kind::TcpRmem),
            ("tcp_wmem", Kind::TcpWmem),
        ],
    ),
    ("ipv6", 5, &[]),
    ("conf", 8, &[]),
    ("all", 9, &[("disable_ipv6", Kind::Ipv6Disabled)]),
];

/// The entries of the directory on a line.
pub(super) fn entries(line: usize) -> Vec<(&'static str, Node)> {
    let dirs = LINES.iter().enumerate().filter(|(_, (_, parent, _))| *parent == line);
    let dirs = dirs.map(|(index, (name, ..))| (*name, Node::SysDir(index)));
    let files = LINES.get(line).map(|(_, _, files)| *files).unwrap_or_default();
    dirs.chain(files.iter().map(|(name, kind)| (*name, Node::SysFile(*kind)))).collect()
}

fn uuid(bytes: [u8; 16]) -> String {
    let mut number = u128::from_be_bytes(bytes);
    // Version 4, variant 1 (RFC 9562, 5.4).
    number = number & !(0xf << 76) | 0x4 << 76;
    number = number & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// The value of a setting.
pub(super) fn text(kernel: &Kernel, kind: Kind) -> String {
    let value = match kind {
        Kind::Hostname => String::from_utf8_lossy(&kernel.uts.lock().hostname).into_owned(),
        Kind::Domainname => String::from_utf8_lossy(&kernel.uts.lock().domainname).into_owned(),
        Kind::OsType => Uts::SYSNAME.to_owned(),
        Kind::OsRelease => Uts::RELEASE.to_owned(),
        Kind::Version => Uts::VERSION.to_owned(),
        Kind::RandomUuid => {
            let mut bytes = [0; 16];
            host::random(&mut bytes);
            uuid(bytes)
        }
        // The same for the life of the sandbox: made of when it started.
        Kind::BootId => {
            let mut bytes = [0x5a; 16];
            let stamp = kernel.boot_ns.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            bytes.iter_mut().zip(stamp).for_each(|(to, from)| *to = from);
            uuid(bytes)
        }
        Kind::PidMax => "32768".to_owned(),
        Kind::ThreadsMax => "30000".to_owned(),
        Kind::NgroupsMax => "65536".to_owned(),
        Kind::CapLastCap => "40".to_owned(),
        Kind::OverflowUid | Kind::OverflowGid => "65534".to_owned(),
        Kind::EntropyAvail => "256".to_owned(),
        Kind::CorePattern => "core".to_owned(),
        Kind::Randomize => "2".to_owned(),
        Kind::Shmmax | Kind::Shmall => "18446744073692774399".to_owned(),
        Kind::Shmmni => "4096".to_owned(),
        Kind::Msgmax => "8192".to_owned(),
        Kind::Msgmni => "32000".to_owned(),
        Kind::Msgmnb => "16384".to_owned(),
        Kind::Sem => "32000\t1024000000\t500\t32000".to_owned(),
        Kind::Overcommit => "1".to_owned(),
        Kind::OvercommitRatio => "50".to_owned(),
        Kind::MaxMapCount => "65530".to_owned(),
        Kind::MmapMinAddr => abi::USER_MIN.get().to_string(),
        Kind::Swappiness => "60".to_owned(),
        Kind::FileMax => "9223372036854775807".to_owned(),
        Kind::NrOpen => "1048576".to_owned(),
        Kind::PipeMaxSize => "1048576".to_owned(),
        Kind::Somaxconn => "4096".to_owned(),
        Kind::PortRange => "32768\t60999".to_owned(),
        Kind::TcpSynRetries => "6".to_owned(),
        Kind::TcpRmem => "4096\t131072\t6291456".to_owned(),
        Kind::TcpWmem => "4096\t16384\t4194304".to_owned(),
        Kind::Ipv6Disabled => "0".to_owned(),
    };
    value + "\n"
}

/// Changes a setting.
pub(super) fn set(kernel: &Kernel, cx: &Ctx<'_>, kind: Kind, value: &[u8]) -> Result<(), Errno> {
    if !cx.creds.has(auth::Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let line = value.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() > Uts::NAME_MAX_BYTES {
        return Err(Errno::EINVAL);
    }
    match kind {
        Kind::Hostname => kernel.uts.lock().hostname = line.to_vec(),
        Kind::Domainname => kernel.uts.lock().domainname = line.to_vec(),
        _ => return Err(Errno::EACCES),
    }
    Ok(())
}

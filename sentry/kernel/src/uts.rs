//! Host and domain name (`uts_namespaces(7)`).

/// The names of a UTS namespace, at most 64 bytes each.
#[derive(Clone, Debug, PartialEq, Eq, state::Save, state::Load)]
pub struct Uts {
    /// Host name.
    pub hostname: Vec<u8>,
    /// NIS domain name.
    pub domainname: Vec<u8>,
}

impl Uts {
    /// Longest name (`__NEW_UTS_LEN`).
    pub const NAME_MAX_BYTES: usize = 64;
    /// `sysname` of uname(2).
    pub const SYSNAME: &'static str = "Linux";
    /// `release` of uname(2): the behaviour target.
    pub const RELEASE: &'static str = "4.4.0";
    /// `version` of uname(2).
    pub const VERSION: &'static str = "#1 SMP Sun Jan 10 15:06:54 PST 2016";
    /// `machine` of uname(2).
    pub const MACHINE: &'static str = "x86_64";

    /// Names of a fresh sandbox.
    #[must_use]
    pub fn new(hostname: &str) -> Self {
        let mut hostname = hostname.as_bytes().to_vec();
        hostname.truncate(Self::NAME_MAX_BYTES);
        Self { hostname, domainname: b"(none)".to_vec() }
    }
}

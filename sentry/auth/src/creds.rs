//! Credentials of a task.

use crate::{Capability, CapabilitySet};

/// Secure bits (prctl(2), `PR_SET_SECUREBITS`), as the kernel numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecureBits(pub u32);

impl SecureBits {
    /// `SECBIT_NOROOT`: uid 0 gives no capability at exec.
    pub const NOROOT: u32 = 1;
    /// `SECBIT_NO_SETUID_FIXUP`: changes of ids leave capabilities alone.
    pub const NO_SETUID_FIXUP: u32 = 4;
    /// `SECBIT_KEEP_CAPS`: permitted capabilities survive leaving uid 0.
    pub const KEEP_CAPS: u32 = 16;
    /// `SECBIT_NO_CAP_AMBIENT_RAISE`: no ambient capability may be raised.
    pub const NO_CAP_AMBIENT_RAISE: u32 = 64;

    /// True if `bit` is set.
    #[must_use]
    pub const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// Ids and capabilities of a task. Clone, change, and share the new one.
#[derive(Clone, Debug, PartialEq, Eq, state::Save, state::Load)]
#[expect(missing_docs, reason = "each field is the id or set of its name, credentials(7)")]
pub struct Credentials {
    pub ruid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub rgid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Vec<u32>,
    pub permitted: CapabilitySet,
    pub effective: CapabilitySet,
    pub inheritable: CapabilitySet,
    pub bounding: CapabilitySet,
    pub ambient: CapabilitySet,
    pub secure_bits: SecureBits,
    pub no_new_privs: bool,
}

impl Credentials {
    /// Root with every capability.
    #[must_use]
    pub fn root() -> Self {
        Self {
            permitted: CapabilitySet::ALL,
            effective: CapabilitySet::ALL,
            bounding: CapabilitySet::ALL,
            ..Self::user(0, 0)
        }
    }

    /// A user without capabilities.
    #[must_use]
    pub fn user(uid: u32, gid: u32) -> Self {
        Self {
            ruid: uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            rgid: gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: Vec::new(),
            permitted: CapabilitySet::EMPTY,
            effective: CapabilitySet::EMPTY,
            inheritable: CapabilitySet::EMPTY,
            bounding: CapabilitySet::EMPTY,
            ambient: CapabilitySet::EMPTY,
            secure_bits: SecureBits(0),
            no_new_privs: false,
        }
    }

    /// True if `capability` is effective.
    #[must_use]
    pub const fn has(&self, capability: Capability) -> bool {
        self.effective.has(capability)
    }

    /// True if `gid` is the file-system group or a supplementary one.
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// Decides access to a file by owner, group and mode bits, as Linux does without ACLs
    /// (`path_resolution(7)`): `wanted` has the bits 4 read, 2 write, 1 execute or search.
    #[must_use]
    pub fn may_access(&self, uid: u32, gid: u32, mode: u32, wanted: u32) -> bool {
        let granted = if self.fsuid == uid {
            mode >> 6
        } else if self.in_group(gid) {
            mode >> 3
        } else {
            mode
        };
        if granted & wanted == wanted {
            return true;
        }
        let is_dir = mode & 0o170_000 == 0o040_000;
        let any_execute = mode & 0o111 != 0;
        if self.has(Capability::DacOverride) && (is_dir || wanted & 1 == 0 || any_execute) {
            return true;
        }
        let search_only = wanted == 4 || (is_dir && wanted & 2 == 0);
        search_only && self.has(Capability::DacReadSearch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_class_decides() {
        let user = Credentials::user(5, 6);
        assert!(!user.may_access(5, 6, 0o100_077, 4));
        assert!(!user.may_access(9, 6, 0o100_707, 4));
        assert!(user.may_access(9, 9, 0o100_704, 4));
    }

    #[test]
    fn root_needs_one_execute_bit_to_run_a_file() {
        let root = Credentials::root();
        assert!(root.may_access(5, 5, 0o100_000, 6));
        assert!(!root.may_access(5, 5, 0o100_666, 1));
        assert!(root.may_access(5, 5, 0o040_000, 7));
    }
}

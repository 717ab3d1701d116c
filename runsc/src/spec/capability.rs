//! Capability names to numbers (capabilities(7), include/uapi/linux/capability.h).

use oci_spec::runtime::{Capabilities, LinuxCapabilities};

/// Names in the order of their numbers.
pub(crate) const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The sets as bit masks.
pub(super) fn masks(sets: &LinuxCapabilities) -> control::Capabilities {
    let of = |set: &Option<Capabilities>| set.as_ref().map_or(0, mask);
    control::Capabilities {
        bounding: of(sets.bounding()),
        effective: of(sets.effective()),
        inheritable: of(sets.inheritable()),
        permitted: of(sets.permitted()),
        ambient: of(sets.ambient()),
    }
}

fn mask(set: &Capabilities) -> u64 {
    set.iter().filter_map(|capability| bit(&capability.to_string())).fold(0, |sum, bit| sum | bit)
}

fn bit(name: &str) -> Option<u64> {
    // The typed form prints its names without the prefix.
    let suffix = name.strip_prefix("CAP_").unwrap_or(name);
    NAMES.iter().position(|known| known.strip_prefix("CAP_") == Some(suffix)).map(|n| 1 << n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_the_specification_knows_has_a_number() {
        let text = NAMES.map(|name| format!("\"{name}\"")).join(",");
        let set: Capabilities = serde_json::from_str(&format!("[{text}]")).unwrap();
        assert_eq!(set.len(), NAMES.len());
        assert_eq!(mask(&set), (1 << NAMES.len()) - 1);
    }

    #[test]
    fn numbers_are_those_of_linux() {
        assert_eq!(bit("CAP_SYS_ADMIN"), Some(1 << 21));
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE"), Some(1 << 40));
        assert_eq!(bit("CAP_FLY"), None);
    }
}

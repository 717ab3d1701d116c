//! `process` of config.json as the Sentry takes it.

use control::{Process, Rlimit, WindowSize};
use oci_spec::runtime as oci;

use super::{capability, rlimit};

/// The plain form of a checked process.
pub(crate) fn convert(process: &oci::Process) -> Process {
    let user = process.user();
    Process {
        args: process.args().clone().unwrap_or_default(),
        env: process.env().clone().unwrap_or_default(),
        cwd: process.cwd().to_string_lossy().into_owned(),
        uid: user.uid(),
        gid: user.gid(),
        additional_gids: user.additional_gids().clone().unwrap_or_default(),
        umask: user.umask(),
        capabilities: process.capabilities().as_ref().map(capability::masks).unwrap_or_default(),
        rlimits: process.rlimits().iter().flatten().map(limit).collect(),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        terminal: process.terminal().unwrap_or(false).then(|| size(process)),
        oom_score_adj: process.oom_score_adj(),
    }
}

fn limit(limit: &oci::PosixRlimit) -> Rlimit {
    Rlimit { resource: rlimit::number(limit.typ()), soft: limit.soft(), hard: limit.hard() }
}

fn size(process: &oci::Process) -> WindowSize {
    let clamp = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
    process.console_size().as_ref().map_or_else(WindowSize::default, |size| WindowSize {
        rows: clamp(size.height()),
        columns: clamp(size.width()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_what_config_json_says() {
        let process: oci::Process = serde_json::from_value(serde_json::json!({
            "terminal": true, "consoleSize": {"height": 24, "width": 80},
            "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3]},
            "args": ["sh"], "env": ["A=b"], "cwd": "/x", "noNewPrivileges": true,
            "capabilities": {"bounding": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 4, "hard": 5}],
        }))
        .unwrap();
        let process = convert(&process);
        assert_eq!((process.uid, process.gid, process.umask), (1, 2, Some(18)));
        assert_eq!(process.additional_gids, [3]);
        assert_eq!(process.capabilities.bounding, 1 << 5);
        assert_eq!(process.rlimits, [Rlimit { resource: 7, soft: 4, hard: 5 }]);
        assert_eq!(process.terminal, Some(WindowSize { rows: 24, columns: 80 }));
        assert!(process.no_new_privileges);
    }
}

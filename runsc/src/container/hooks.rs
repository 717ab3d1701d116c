//! Hooks: programs of the host that an engine wants to run at points of a container's life (OCI runtime
//! specification, "POSIX-platform Hooks").

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{Hook, Hooks};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::wait_for_end;

/// Longest time for a hook that sets none: an engine that hangs must not hang us.
const PATIENCE: Duration = Duration::from_secs(600);

/// As much of a hook's last words goes into the error.
const MOST_WORDS: usize = 1024;

/// The hooks that run in the host's namespaces before the container is created.
pub(crate) fn before_creation(hooks: &Hooks) -> impl Iterator<Item = &Hook> {
    // Deprecated, but engines still use it, for networks.
    let prestart = hooks.prestart();
    prestart.iter().flatten().chain(hooks.create_runtime().iter().flatten())
}

/// Runs hooks whose failure is only worth a warning, as the specification wants it after start and stop.
pub(crate) fn run_after(hooks: Option<&Vec<Hook>>, state: &str) {
    for hook in hooks.into_iter().flatten() {
        if let Err(error) = run(hook, state) {
            tracing::warn!("{error:#}");
        }
    }
}

/// Runs one hook with the container's state on its stdin.
pub(crate) fn run(hook: &Hook, state: &str) -> Result<()> {
    let path = hook.path();
    let said = || format!("hook {}", path.display());
    let args = hook.args().as_deref().unwrap_or_default();
    // Not a pipe: what the hook leaves running in the background would keep it open.
    let words = File::from(memfd_create("hook", MemfdFlags::CLOEXEC).with_context(said)?);
    let mut command = Command::new(path);
    command.args(args.iter().skip(1)).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(words.try_clone()?);
    // Docker's hook is its own executable, which looks there for what to do.
    if let Some(name) = args.first() {
        command.arg0(name);
    }
    for entry in hook.env().iter().flatten() {
        if let Some((name, value)) = entry.split_once('=') {
            command.env(name, value);
        }
    }
    let mut child = command.spawn().with_context(said)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input closes it.
        let _ = stdin.write_all(state.as_bytes());
    }
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    let patience = timeout.map_or(PATIENCE, Duration::from_secs);
    let pid = Pid::from_raw(i32::try_from(child.id())?).with_context(said)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).with_context(said)?;
    if !wait_for_end(&pidfd, patience)? {
        child.kill()?;
        child.wait()?;
        bail!("{}: did not end within {patience:?}", said());
    }
    let status = child.wait()?;
    ensure!(status.success(), "{}: {status}: {}", said(), last_words(&words));
    Ok(())
}

fn last_words(words: &File) -> String {
    let mut text = [0; MOST_WORDS];
    let end = words.metadata().map_or(0, |file| file.len());
    let count = words.read_at(&mut text, end.saturating_sub(MOST_WORDS as u64)).unwrap_or(0);
    String::from_utf8_lossy(&text[..count]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: i64) -> Hook {
        serde_json::from_value(serde_json::json!({
            "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b"], "timeout": timeout,
        }))
        .unwrap()
    }

    #[test]
    fn a_hook_gets_the_state_and_its_own_environment() {
        run(&hook("read x; test \"$x$A\" = stateb", 10), "state\n").unwrap();
    }

    #[test]
    fn a_hook_is_called_by_its_first_argument() {
        let name: Hook = serde_json::from_value(serde_json::json!({
            "path": "/bin/sh", "args": ["other-name", "-c", "read x </proc/$$/cmdline; echo $x >&2; false"],
        }))
        .unwrap();
        let error = run(&name, "").unwrap_err().to_string();
        assert!(error.contains("other-name"), "{error}");
    }

    #[test]
    fn a_hook_that_fails_or_hangs_is_an_error() {
        let error = run(&hook("echo why >&2; exit 3", 10), "").unwrap_err().to_string();
        assert!(error.ends_with("exit status: 3: why"), "{error}");
        let error = run(&hook("exec sleep 60", 1), "").unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }
}

//! A container is saved at rest and goes on in a new sandbox with a new Gofer.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::{Bundle, Container, Kind, Rootfs, Run, Runtime, scratch, source_root};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A pipe with somebody at each end, a background `sleep`, an open file with an offset, and a
/// program with a ticking timer, a thread in a futex, locks on a file and bytes in sockets. It goes on when `/var/go` is there.
const SCRIPT: &str = r#"
exec 5</var/lines
read line <&5
echo "line: $line"
sleep 1000 &
sleeper=$!
{ echo one; until [ -e /var/go ]; do sleep 0.1; done; echo two; } |
    while read word; do echo "pipe: $word"; done &
piped=$!
/var/at_rest &
rest=$!
echo kept >/tmp/kept
cd /tmp
echo "pids: $$ $sleeper $piped $rest"
until [ -e /var/go ]; do sleep 0.1; done
read line <&5
echo "line: $line"
echo "pids: $$ $sleeper $piped $rest"
cat kept
wait $rest; echo "rest: $?"
wait $piped; echo "piped: $?"
kill $sleeper; wait $sleeper; echo "sleeper: $?"
"#;

/// A folder that the container sees as `/var`, and the bundle.
fn gated(script: &str) -> Result<(TempDir, Bundle)> {
    let gate = scratch()?;
    fs::write(gate.path().join("lines"), "first\nsecond\n")?;
    let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/sh", "-c", script])?;
    let bundle = bundle.bind(gate.path(), "/var", &["ro"])?;
    Ok((gate, bundle))
}

fn compile(name: &str, folder: &Path) -> Result<()> {
    let source = source_root().join("tests/guest/plain").join(name).with_extension("c");
    let flags = ["-static", "-O1", "-std=gnu11", "-D_GNU_SOURCE", "-pthread", "-Wall", "-Werror"];
    let gcc = Run::new("gcc").args(flags).arg(&source).arg("-o").arg(folder.join(name));
    gcc.output()?.success().map(|_| ())
}

/// Waits until the container has printed all of `words`.
fn wait_for_output(container: &mut Container<'_>, words: &[&str]) -> Result<String> {
    let start = Instant::now();
    loop {
        let output = container.stdout()?;
        if words.iter().all(|word| output.contains(word)) {
            return Ok(output);
        }
        ensure!(start.elapsed() < PATIENCE, "still only {output:?}: {}", container.stderr()?);
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn save(container: &Container<'_>, image: &Path) -> Result<harness::Output> {
    container.verb("checkpoint").arg("--image-path").arg(image).deadline(PATIENCE).output()
}

fn restore(runtime: &Runtime, bundle: &Bundle, image: &Path, id: &str) -> Result<harness::Output> {
    let run = runtime.command().args(["restore", "--image-path"]).arg(image);
    let run = run.arg("--bundle").arg(bundle.path()).arg(id);
    let output = run.deadline(PATIENCE).output()?;
    if output.timed_out {
        runtime.delete_by_force(id)?;
    }
    Ok(output)
}

/// The line that begins with `word`, without it.
fn after<'a>(output: &'a str, word: &str) -> Result<&'a str> {
    let found = output.lines().find_map(|line| line.strip_prefix(word));
    found.with_context(|| format!("no line {word:?} in {output:?}"))
}

#[test]
fn a_shell_script_goes_on_in_a_new_sandbox() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let (gate, bundle) = gated(SCRIPT)?;
    compile("at_rest", gate.path())?;
    let images = scratch()?;
    let image: PathBuf = images.path().join("image");
    let mut container = runtime.create(&bundle)?;
    container.start()?;
    let before = wait_for_output(&mut container, &["pids: ", "waits\n", "pipe: one\n"])?;
    assert!(before.contains("line: first\n"), "{before:?}");
    save(&container, &image)?.success()?;
    container.wait_stopped(PATIENCE)?;
    assert_eq!(container.stdout()?, before);
    container.delete()?;

    fs::write(gate.path().join("go"), "")?;
    let again = format!("{}-again", bundle.id());
    let output = restore(&runtime, &bundle, &image, &again)?;
    let now = &output.stdout;
    assert_eq!(output.code(), 0, "{output:?}");
    assert_eq!(after(now, "line: ")?, "second");
    assert_eq!(after(now, "pids: ")?, after(&before, "pids: ")?);
    assert_eq!(after(now, "kept")?, "");
    assert_eq!(after(now, "pipe: ")?, "two");
    let thread = after(&before, "thread ")?.strip_suffix(" waits").context("waits")?;
    assert_eq!(after(now, "thread ")?, format!("{thread} woke"));
    assert_eq!(after(now, "unix: ")?, "on its way");
    assert_eq!(after(now, "tcp: ")?, "on its way");
    assert_eq!(after(now, "rest: ")?, "0");
    assert_eq!(after(now, "piped: ")?, "0");
    assert_eq!(after(now, "sleeper: ")?, "143");
    let left = [runtime.left_by(&bundle.id())?, runtime.left_by(&again)?].concat();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

#[test]
fn a_container_that_is_left_running_is_not_disturbed() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let (gate, bundle) = gated(SCRIPT)?;
    compile("at_rest", gate.path())?;
    let images = scratch()?;
    let mut container = runtime.create(&bundle)?;
    container.start()?;
    wait_for_output(&mut container, &["pids: ", "waits\n", "pipe: one\n"])?;
    for name in ["one", "two"] {
        let image = images.path().join(name);
        let save = container.verb("checkpoint").arg("--leave-running").arg("--image-path");
        save.arg(&image).deadline(PATIENCE).output()?.success()?;
    }
    fs::write(gate.path().join("go"), "")?;
    let output = wait_for_output(&mut container, &["sleeper: 143\n"])?;
    assert_eq!(output.matches("pids: ").count(), 2, "{output:?}");
    container.wait_stopped(PATIENCE)
}

#[test]
fn what_cannot_be_saved_is_named_and_goes_on() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    // A new Gofer could not find such a file.
    let script = "echo x >/var/gone; exec 6</var/gone; rm /var/gone; echo removed
                  until [ -e /var/go ]; do sleep 0.1; done; read x <&6; echo on $x";
    let gate = scratch()?;
    let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/sh", "-c", script])?;
    let bundle = bundle.bind(gate.path(), "/var", &["rw"])?;
    let images = scratch()?;
    let mut container = runtime.create(&bundle)?;
    container.start()?;
    wait_for_output(&mut container, &["removed\n"])?;
    let refused = save(&container, &images.path().join("image"))?;
    assert!(!refused.status.success(), "{refused:?}");
    assert!(refused.stderr.contains("has no name any more"), "{refused:?}");
    assert_eq!(container.status()?, "running");
    fs::write(gate.path().join("go"), "")?;
    wait_for_output(&mut container, &["on x\n"])?;
    container.wait_stopped(PATIENCE)
}

#[test]
fn a_file_that_was_changed_meanwhile_is_named() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let script = "exec 5</var/lines; echo open; until [ -e /var/go ]; do sleep 0.1; done";
    let (gate, bundle) = gated(script)?;
    let images = scratch()?;
    let image = images.path().join("image");
    let mut container = runtime.create(&bundle)?;
    container.start()?;
    wait_for_output(&mut container, &["open\n"])?;
    save(&container, &image)?.success()?;
    fs::write(gate.path().join("lines"), "other\n")?;
    let output = restore(&runtime, &bundle, &image, &format!("{}-again", bundle.id()))?;
    assert!(!output.status.success(), "{output:?}");
    assert!(output.stderr.contains("/lines is another file now"), "{output:?}");
    Ok(())
}

//! Containers from `create` to `delete`; see the README beside this file.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Bundle, Rootfs, Runtime, for_each_runtime};

for_each_runtime! {
    output_and_status_travel_unchanged
    status_of_a_kill_is_128_plus_signal
    standard_input_reaches_the_container
    a_created_container_waits_for_its_start
    a_killed_container_is_stopped_and_can_be_deleted
    exec_runs_beside_init
    a_second_container_of_the_same_id_is_refused
    a_running_container_is_not_deleted_without_force
    an_unknown_container_is_told_apart
    a_program_that_is_not_there_is_named
    a_broken_configuration_is_refused
    root_is_read_only_unless_asked
    hostname_and_environment_are_the_containers
    a_bind_mount_shows_the_hosts_files
    mount_points_are_made_in_a_read_only_root
    mount_points_are_not_made_outside
    a_mount_below_a_read_only_one_finds_its_place
    a_user_is_the_one_asked_for
    a_home_is_the_one_of_the_containers_passwd
    a_single_file_is_mounted_over_a_file
}

const SLEEPER: &[&str] = &["/bin/sleep", "1000"];

const ENDING: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Result<Bundle> {
    Bundle::new(&Rootfs::busybox()?, &["/bin/sh", "-c", script])
}

fn nothing_left(runtime: &Runtime, bundle: &Bundle) -> Result<()> {
    let left = runtime.left_by(&bundle.id())?;
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

fn output_and_status_travel_unchanged(runtime: &Runtime) -> Result<()> {
    let bundle = shell("echo out; echo err >&2; exit 42")?;
    let output = runtime.run(&bundle)?;
    assert_eq!(output.stdout, "out\n", "{output:?}");
    assert!(output.stderr.ends_with("err\n"), "{output:?}");
    assert_eq!(output.code(), 42, "{output:?}");
    nothing_left(runtime, &bundle)
}

fn status_of_a_kill_is_128_plus_signal(runtime: &Runtime) -> Result<()> {
    // Not init itself: as pid 1 of its namespace it is safe from its own signals.
    let output = runtime.run(&shell("sh -c 'kill -9 $$'; echo $?; exit 137")?)?;
    assert_eq!((output.stdout.as_str(), output.code()), ("137\n", 137), "{output:?}");
    Ok(())
}

fn standard_input_reaches_the_container(runtime: &Runtime) -> Result<()> {
    let bundle = shell("cat; echo end")?;
    let run = runtime.command().args(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id());
    let output = run.stdin("line\n").output()?;
    assert_eq!(output.stdout, "line\nend\n", "{output:?}");
    Ok(())
}

fn a_created_container_waits_for_its_start(runtime: &Runtime) -> Result<()> {
    let bundle = shell("echo started")?;
    let mut container = runtime.create(&bundle)?;
    assert_eq!(container.status()?, "created");
    assert_eq!(container.stdout()?, "");
    container.start()?;
    container.wait_stopped(ENDING)?;
    assert_eq!(container.stdout()?, "started\n");
    assert_eq!(container.status()?, "stopped");
    container.delete()?;
    nothing_left(runtime, &bundle)
}

fn a_killed_container_is_stopped_and_can_be_deleted(runtime: &Runtime) -> Result<()> {
    let bundle = Bundle::new(&Rootfs::busybox()?, SLEEPER)?;
    let container = runtime.create(&bundle)?;
    container.start()?;
    assert_eq!(container.status()?, "running");
    container.kill("KILL")?;
    container.wait_stopped(ENDING)?;
    let late = container.verb("kill").arg("KILL").output()?;
    assert!(late.stderr.contains("not running"), "{late:?}");
    container.delete()?;
    nothing_left(runtime, &bundle)
}

fn exec_runs_beside_init(runtime: &Runtime) -> Result<()> {
    let bundle = Bundle::new(&Rootfs::busybox()?, SLEEPER)?;
    let container = runtime.create(&bundle)?;
    container.start()?;
    let output = container.exec(&["/bin/sh", "-c", "cat /proc/1/comm; exit 5"])?;
    assert_eq!((output.stdout.as_str(), output.code()), ("sleep\n", 5), "{output:?}");
    assert_eq!(container.status()?, "running");
    Ok(())
}

fn a_second_container_of_the_same_id_is_refused(runtime: &Runtime) -> Result<()> {
    let bundle = Bundle::new(&Rootfs::busybox()?, SLEEPER)?;
    let container = runtime.create(&bundle)?;
    let again = runtime.command().args(["create", "--bundle"]).arg(bundle.path()).arg(bundle.id());
    let again = again.output()?;
    assert!(!again.status.success() && again.stderr.contains("exists"), "{again:?}");
    assert_eq!(container.status()?, "created");
    Ok(())
}

fn a_running_container_is_not_deleted_without_force(runtime: &Runtime) -> Result<()> {
    let bundle = Bundle::new(&Rootfs::busybox()?, SLEEPER)?;
    let container = runtime.create(&bundle)?;
    container.start()?;
    assert!(container.delete().is_err());
    assert_eq!(container.status()?, "running");
    runtime.delete_by_force(container.id())?.success()?;
    nothing_left(runtime, &bundle)
}

fn an_unknown_container_is_told_apart(runtime: &Runtime) -> Result<()> {
    for verb in ["state", "start", "delete"] {
        let output = runtime.command().args([verb, "nobody"]).output()?;
        assert!(!output.status.success(), "{verb}: {output:?}");
        assert!(output.stderr.contains("does not exist"), "{verb}: {output:?}");
    }
    runtime.delete_by_force("nobody")?.success().map(|_| ())
}

fn a_program_that_is_not_there_is_named(runtime: &Runtime) -> Result<()> {
    let bundle = Bundle::new(&Rootfs::busybox()?, &["/no/such/program"])?;
    let output = runtime.run(&bundle)?;
    assert!(!output.status.success(), "{output:?}");
    assert!(output.stderr.contains("/no/such/program"), "{output:?}");
    nothing_left(runtime, &bundle)
}

fn a_broken_configuration_is_refused(runtime: &Runtime) -> Result<()> {
    let bundle = shell("true")?;
    for text in ["", "{", "[]", "{\"process\": 3}"] {
        bundle.spoil(text)?;
        let output = runtime.run(&bundle)?;
        assert!(!output.status.success() && !output.stderr.is_empty(), "{text}: {output:?}");
        nothing_left(runtime, &bundle)?;
    }
    Ok(())
}

fn root_is_read_only_unless_asked(runtime: &Runtime) -> Result<()> {
    let script = "echo x >/file && cat /file";
    let output = runtime.run(&shell(script)?)?;
    assert!(!output.status.success() && output.stderr.contains("Read-only"), "{output:?}");
    let rootfs = Rootfs::own_busybox()?;
    let bundle = Bundle::new(&rootfs, &["/bin/sh", "-c", script])?.writable()?;
    let output = runtime.run(&bundle)?;
    assert_eq!(output.stdout, "x\n", "{output:?}");
    assert_eq!(std::fs::read_to_string(rootfs.path().join("file"))?, "x\n");
    Ok(())
}

fn hostname_and_environment_are_the_containers(runtime: &Runtime) -> Result<()> {
    let output = runtime.run(&shell("hostname; echo $GREETING")?.env("GREETING", "good day")?)?;
    assert_eq!(output.stdout, "inside\ngood day\n", "{output:?}");
    Ok(())
}

fn a_bind_mount_shows_the_hosts_files(runtime: &Runtime) -> Result<()> {
    let folder = harness::scratch()?;
    std::fs::write(folder.path().join("from-host"), "hello\n")?;
    let script = "cat /tmp/from-host; echo back >/tmp/from-inside";
    let bundle = shell(script)?.bind(folder.path(), "/tmp", &["rw"])?;
    let output = runtime.run(&bundle)?.success()?;
    assert_eq!(output.stdout, "hello\n", "{output:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("from-inside"))?, "back\n");
    Ok(())
}

fn mount_points_are_made_in_a_read_only_root(runtime: &Runtime) -> Result<()> {
    let rootfs = Rootfs::own_busybox()?;
    let folder = harness::scratch()?;
    let file = folder.path().join("file");
    std::fs::write(&file, "hello\n")?;
    let script = "cat /etc/new/file /data/file; echo x >/data/y; echo x >/etc/new/y";
    let bundle = Bundle::new(&rootfs, &["/bin/sh", "-c", script])?
        .bind(&file, "/etc/new/file", &["ro"])?
        .bind(folder.path(), "/data", &["rw"])?;
    let output = runtime.run(&bundle)?;
    assert_eq!(output.stdout, "hello\nhello\n", "{output:?}");
    assert!(output.stderr.contains("/etc/new/y: Read-only"), "{output:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("y"))?, "x\n");
    // As anybody's who runs the same bundle by hand: they stay.
    assert_eq!(std::fs::read(rootfs.path().join("etc/new/file"))?, b"");
    Ok(())
}

fn a_mount_below_a_read_only_one_finds_its_place(runtime: &Runtime) -> Result<()> {
    let script = "ls /tmp/ro; echo x >/tmp/ro/below/x && cat /tmp/ro/below/x; echo x >/tmp/ro/y";
    let bundle = shell(script)?.edit(|config| {
        let memory = |at: &str, options: &[&str]| {
            serde_json::json!({ "destination": at, "type": "tmpfs", "source": "tmpfs",
                "options": options })
        };
        if let Some(mounts) = config["mounts"].as_array_mut() {
            mounts.push(memory("/tmp/ro", &["ro"]));
            mounts.push(memory("/tmp/ro/below", &["rw"]));
        }
    })?;
    let output = runtime.run(&bundle)?;
    assert_eq!(output.stdout, "below\nx\n", "{output:?}");
    assert!(output.stderr.contains("/tmp/ro/y: Read-only"), "{output:?}");
    Ok(())
}

fn mount_points_are_not_made_outside(runtime: &Runtime) -> Result<()> {
    let (rootfs, outside, source) =
        (Rootfs::own_busybox()?, harness::scratch()?, harness::scratch()?);
    std::os::unix::fs::symlink(outside.path(), rootfs.path().join("way-out"))?;
    let bundle = Bundle::new(&rootfs, &["/bin/sh", "-c", "ls /way-out"])?.bind(
        source.path(),
        "/way-out/made",
        &["ro"],
    )?;
    let output = runtime.run(&bundle)?;
    assert_eq!(output.stdout, "made\n", "{output:?}");
    assert_eq!(std::fs::read_dir(outside.path())?.count(), 0);
    Ok(())
}

fn a_user_is_the_one_asked_for(runtime: &Runtime) -> Result<()> {
    let bundle = shell("id -u; id -g; id -G; touch /tmp/x && stat -c %u:%g /tmp/x; umask")?;
    let bundle = bundle.edit(|config| {
        config["process"]["user"] =
            serde_json::json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 7 });
    })?;
    let output = runtime.run(&bundle)?;
    assert_eq!(output.stdout, "1000\n1001\n1001 5 6\n1000:1001\n0007\n", "{output:?}");
    Ok(())
}

fn a_home_is_the_one_of_the_containers_passwd(runtime: &Runtime) -> Result<()> {
    let rootfs = Rootfs::own_busybox()?;
    std::fs::create_dir_all(rootfs.path().join("etc"))?;
    std::fs::write(rootfs.path().join("etc/passwd"), "me:x:1000:1000::/home/me:/bin/sh\n")?;
    for (uid, home) in [(1000, "/home/me\n"), (1001, "/\n")] {
        let bundle = Bundle::new(&rootfs, &["/bin/sh", "-c", "echo $HOME"])?.edit(|config| {
            config["process"]["user"] = serde_json::json!({ "uid": uid, "gid": uid });
        })?;
        let output = runtime.run(&bundle)?;
        assert_eq!(output.stdout, home, "{output:?}");
    }
    Ok(())
}

fn a_single_file_is_mounted_over_a_file(runtime: &Runtime) -> Result<()> {
    let rootfs = Rootfs::own_busybox()?;
    let folder = harness::scratch()?;
    let file = folder.path().join("hosts");
    std::fs::write(&file, "one\n")?;
    std::fs::create_dir_all(rootfs.path().join("etc"))?;
    std::fs::write(rootfs.path().join("etc/hosts"), "of the image\n")?;
    let script = "echo two >>/etc/hosts; cat /etc/hosts; rm /etc/hosts || mv /etc/hosts /etc/x";
    let bundle = Bundle::new(&rootfs, &["/bin/sh", "-c", script])?.writable()?.bind(
        &file,
        "/etc/hosts",
        &["rw"],
    )?;
    let output = runtime.run(&bundle)?;
    assert_eq!(output.stdout, "one\ntwo\n", "{output:?}");
    assert!(!output.status.success() && output.stderr.contains("busy"), "{output:?}");
    assert_eq!(std::fs::read_to_string(&file)?, "one\ntwo\n");
    assert_eq!(std::fs::read_to_string(rootfs.path().join("etc/hosts"))?, "of the image\n");
    Ok(())
}

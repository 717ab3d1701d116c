//! What config.json may say. Each complaint names the field and what was expected there.

use std::collections::BTreeSet;
use std::fs;
use std::io::Error;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use control::Report;
use oci_spec::runtime::{Linux, LinuxIdMapping, Process, Spec};
use rustix::process::{getgid, getuid};

use super::{field, mounts};

/// Longest host name that Linux takes (gethostname(2)).
const HOST_NAME_MAX: usize = 64;

type Check = Result<(), Report>;

/// Checks all of a config.json whose bundle is at `bundle`.
pub(super) fn check(spec: &Spec, bundle: &Path) -> Check {
    check_version(spec.version())?;
    check_root(spec, bundle)?;
    check_hostname(spec.hostname().as_deref())?;
    match spec.process() {
        None => return Err(field("process", "missing: expected an object with args and cwd")),
        Some(process) => check_process(process, "process.")?,
    }
    mounts::plan(spec, bundle)?;
    check_hooks(spec)?;
    spec.linux().as_ref().map_or(Ok(()), check_linux)
}

fn check_version(version: &str) -> Check {
    let major = version.split('.').next();
    if major == Some("1") && version.split('.').count() >= 3 {
        return Ok(());
    }
    Err(field("ociVersion", format!("expected a version 1.x.y, found {version:?}")))
}

fn check_root(spec: &Spec, bundle: &Path) -> Check {
    let root = spec
        .root()
        .as_ref()
        .ok_or_else(|| field("root", "missing: expected an object with path"))?;
    let path = bundle.join(root.path());
    let subject = format!("root.path: {}", path.display());
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Report { errno: Some(20), ..field(subject, "expected a directory") }),
        Err(error) => Err(io_error(subject, &error)),
    }
}

/// A complaint about a field whose path the host refused.
pub(super) fn io_error(subject: String, error: &Error) -> Report {
    Report::from_io("config.json", error).about(subject)
}

fn check_hostname(name: Option<&str>) -> Check {
    match name {
        Some(name) if name.len() > HOST_NAME_MAX => {
            Err(field("hostname", format!("expected at most {HOST_NAME_MAX} bytes")))
        }
        _ => Ok(()),
    }
}

/// Checks one process; `at` is the prefix of its fields' names.
pub(crate) fn check_process(process: &Process, at: &str) -> Check {
    check_args(process, at)?;
    check_environment(process, at)?;
    if !process.cwd().is_absolute() || process.cwd().as_os_str().as_bytes().contains(&0) {
        let found = process.cwd().display();
        return Err(field(
            format!("{at}cwd"),
            format!("expected an absolute path, found {found:?}"),
        ));
    }
    check_rlimits(process, at)
}

fn check_args(process: &Process, at: &str) -> Check {
    let name = format!("{at}args");
    let args = process.args().as_deref().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(field(name, "expected at least the name of a program"));
    }
    no_zero_bytes(&name, args)
}

fn check_environment(process: &Process, at: &str) -> Check {
    let name = format!("{at}env");
    let entries = process.env().as_deref().unwrap_or_default();
    if let Some(index) = entries.iter().position(|entry| entry.find('=').is_none_or(|at| at == 0)) {
        return Err(field(
            format!("{name}[{index}]"),
            format!("expected NAME=value, found {:?}", entries[index]),
        ));
    }
    no_zero_bytes(&name, entries)
}

fn no_zero_bytes(name: &str, strings: &[String]) -> Check {
    match strings.iter().position(|string| string.contains('\0')) {
        Some(index) => Err(field(format!("{name}[{index}]"), "expected no zero byte")),
        None => Ok(()),
    }
}

fn check_rlimits(process: &Process, at: &str) -> Check {
    let mut seen = BTreeSet::new();
    for (index, limit) in process.rlimits().iter().flatten().enumerate() {
        let name = format!("{at}rlimits[{index}]");
        if limit.soft() > limit.hard() {
            let message =
                format!("expected soft <= hard, found {} > {}", limit.soft(), limit.hard());
            return Err(field(format!("{name}.soft"), message));
        }
        if !seen.insert(super::rlimit::number(limit.typ())) {
            return Err(field(format!("{name}.type"), format!("{} given twice", limit.typ())));
        }
    }
    Ok(())
}

fn check_linux(linux: &Linux) -> Check {
    let mut seen = BTreeSet::new();
    for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
        let name = format!("linux.namespaces[{index}]");
        if !seen.insert(namespace.typ().to_string()) {
            return Err(field(format!("{name}.type"), format!("{} given twice", namespace.typ())));
        }
        if let Some(path) = namespace.path()
            && !path.as_os_str().is_empty()
            && !path.is_absolute()
        {
            let message = format!("expected an absolute path, found {:?}", path.display());
            return Err(field(format!("{name}.path"), message));
        }
    }
    check_ids("linux.uidMappings", linux.uid_mappings().as_deref(), getuid().as_raw())?;
    check_ids("linux.gidMappings", linux.gid_mappings().as_deref(), getgid().as_raw())?;
    for name in ignored(linux) {
        tracing::info!("config.json: {name}: not supported yet, ignored");
    }
    absolute("linux.maskedPaths", linux.masked_paths().as_deref())?;
    absolute("linux.readonlyPaths", linux.readonly_paths().as_deref())
}

/// Files keep the ids that they have on the host, and an ordinary user's are root's inside. To run with other
/// maps as if with these would give files to the wrong users.
fn check_ids(name: &str, maps: Option<&[LinuxIdMapping]>, caller: u32) -> Check {
    for (index, map) in maps.unwrap_or_default().iter().enumerate() {
        let own = map.size() == 1 && map.container_id() == 0 && map.host_id() == caller;
        if !own && map.container_id() != map.host_id() {
            let message = "expected the same ids inside and outside: others are not supported yet";
            return Err(field(format!("{name}[{index}]"), message));
        }
    }
    Ok(())
}

fn check_hooks(spec: &Spec) -> Check {
    let Some(hooks) = spec.hooks() else { return Ok(()) };
    let inside = [
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
    ];
    match inside.iter().find(|(_, hooks)| hooks.as_ref().is_some_and(|hooks| !hooks.is_empty())) {
        Some((name, _)) => Err(field(
            format!("hooks.{name}"),
            "expected none: no program of the host runs in a sandbox",
        )),
        None => Ok(()),
    }
}

/// What engines always write, and a container runs without.
fn ignored(linux: &Linux) -> Vec<&'static str> {
    let given = [
        ("linux.sysctl", linux.sysctl().is_some()),
        ("linux.seccomp", linux.seccomp().is_some()),
        ("linux.devices", linux.devices().is_some()),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

fn absolute(name: &str, paths: Option<&[String]>) -> Check {
    let paths = paths.unwrap_or_default();
    match paths.iter().position(|path| !path.starts_with('/')) {
        Some(index) => Err(field(
            format!("{name}[{index}]"),
            format!("expected an absolute path, found {:?}", paths[index]),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::load::parse;

    fn good() -> Value {
        json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        })
    }

    /// The complaint about a good configuration with `value` put at the JSON pointer `at`.
    fn complaint(at: &str, value: Value) -> Report {
        let mut config = good();
        let (parent, key) = at.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value;
        result(&config).unwrap_err()
    }

    fn result(config: &Value) -> Check {
        let bundle = tempfile::tempdir().unwrap();
        fs::create_dir(bundle.path().join("rootfs")).unwrap();
        fs::write(bundle.path().join("file"), "").unwrap();
        check(&parse(&config.to_string())?, bundle.path())
    }

    #[test]
    fn a_small_configuration_is_accepted() {
        result(&good()).unwrap();
    }

    #[test]
    fn each_malformed_field_names_itself() {
        let long = "h".repeat(65);
        let cases = [
            ("/ociVersion", json!("2.0.0"), "ociVersion"),
            ("/ociVersion", json!(""), "ociVersion"),
            ("/hostname", json!(long), "hostname"),
            ("/hostname", json!(5), "hostname"),
            ("/root", json!(null), "root"),
            ("/root/path", json!("absent"), "root.path"),
            ("/root/path", json!("file"), "root.path"),
            ("/root/path", json!(7), "root.path"),
            ("/root/readonly", json!("yes"), "root.readonly"),
            ("/process", json!(null), "process"),
            ("/process/args", json!([]), "process.args"),
            ("/process/args", json!([""]), "process.args"),
            ("/process/args", json!("true"), "process.args"),
            ("/process/args", json!(["a\0b"]), "process.args[0]"),
            ("/process/env", json!(["A=1", "B"]), "process.env[1]"),
            ("/process/env", json!(["=x"]), "process.env[0]"),
            ("/process/cwd", json!("relative"), "process.cwd"),
            ("/process/cwd", json!(""), "process.cwd"),
            ("/process/user/uid", json!(-1), "process.user.uid"),
            ("/process/user/uid", json!("root"), "process.user.uid"),
            ("/process/user/gid", json!(4_294_967_296_u64), "process.user.gid"),
            ("/process/terminal", json!("no"), "process.terminal"),
            ("/process/capabilities", json!({"bounding": ["CAP_X"]}), "process.capabilities"),
            (
                "/process/rlimits",
                json!([{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]),
                "process.rlimits[0].soft",
            ),
            (
                "/process/rlimits",
                json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
                "process.rlimits[0].type",
            ),
            (
                "/process/rlimits",
                json!([{"type": "RLIMIT_CPU", "soft": 1, "hard": 1},
                    {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]),
                "process.rlimits[1].type",
            ),
            (
                "/mounts",
                json!([{"destination": "relative", "type": "proc"}]),
                "mounts[0].destination",
            ),
            ("/mounts", json!([{"destination": "/x", "type": "ext4"}]), "mounts[0].type"),
            ("/mounts", json!([{"destination": "/x"}]), "mounts[0].type"),
            ("/mounts", json!([{"destination": "/x", "type": "bind"}]), "mounts[0].source"),
            (
                "/mounts",
                json!([{"destination": "/x", "type": "bind", "source": "absent"}]),
                "mounts[0].source",
            ),
            (
                "/mounts",
                json!([{"destination": "/x", "type": "tmpfs", "options": ["size=lots"]}]),
                "mounts[0].options[0]",
            ),
            (
                "/linux",
                json!({"namespaces": [{"type": "pid"}, {"type": "pid"}]}),
                "linux.namespaces[1].type",
            ),
            ("/linux", json!({"namespaces": [{"type": "dream"}]}), "linux.namespaces[0].type"),
            (
                "/linux",
                json!({"namespaces": [{"type": "network", "path": "net"}]}),
                "linux.namespaces[0].path",
            ),
            ("/hooks", json!({"startContainer": [{"path": "/bin/true"}]}), "hooks.startContainer"),
            ("/hooks", json!({"prestart": [{"args": []}]}), "hooks.prestart[0]"),
            ("/linux", json!({"maskedPaths": ["proc/kcore"]}), "linux.maskedPaths[0]"),
            (
                "/linux",
                json!({"uidMappings": [{"containerID": 0, "hostID": 100_000, "size": 9}]}),
                "linux.uidMappings[0]",
            ),
        ];
        for (at, value, name) in cases {
            let report = complaint(at, value.clone());
            let subject = report.subject.clone().unwrap_or_default();
            assert!(subject.starts_with(name), "{at} = {value}: {report}");
            assert!(!report.message.is_empty());
        }
    }

    /// All paths to values in a configuration, as JSON pointers.
    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, v)| pointers(v, &format!("{at}/{key}"), found));
            }
            Value::Array(items) => {
                (0..).zip(items).for_each(|(i, v): (usize, _)| {
                    pointers(v, &format!("{at}/{i}"), found);
                });
            }
            _ => {}
        }
    }

    proptest::proptest! {
        #[test]
        fn no_value_anywhere_makes_the_checks_panic(place: usize, kind in 0..8_usize) {
            let mut config = crate::spec::bundle_spec(&["sh".into()]);
            let mut places = Vec::new();
            pointers(&config, "", &mut places);
            let odd = [
                json!(null), json!(-1), json!(u64::MAX), json!(1.5), json!(""),
                json!("\0/../é"), json!([[]]), json!({"": {}}),
            ];
            let place = &places[place % places.len()];
            *config.pointer_mut(place).unwrap() = odd[kind].clone();
            if let Err(report) = result(&config) {
                proptest::prop_assert!(!report.to_string().is_empty());
            }
        }
    }

    #[test]
    fn a_missing_root_file_system_gives_the_errno() {
        assert_eq!(complaint("/root/path", json!("absent")).errno, Some(2));
        assert_eq!(complaint("/root/path", json!("file")).errno, Some(20));
    }
}

//! Root file systems for containers.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::paths::{scratch, target_dir};
use crate::run::Run;

/// Debian's static busybox.
const BUSYBOX: &str = "/bin/busybox";

/// What mounts and programs expect to be there.
const FOLDERS: &[&str] = &["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/bin", "var"];

/// Real programs, as far as the tests use them.
const DEBIAN_PACKAGES: &str = "python3,perl,gcc,libc6-dev,git,sqlite3,procps,time";

/// A folder that a container takes as its `/`.
#[derive(Debug)]
pub struct Rootfs {
    path: PathBuf,
    /// Set when the folder is to vanish with this value.
    owned: Option<TempDir>,
}

impl Rootfs {
    /// A shared folder with busybox and nothing else; tests mount over it or take it read-only.
    ///
    /// # Errors
    ///
    /// When this machine has no static busybox, or the folder cannot be made.
    pub fn busybox() -> Result<Self> {
        // Two tests of one process must not both make it; two processes race by rename.
        static MAKING: Mutex<()> = Mutex::new(());
        let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let path = target_dir().join("rootfs/busybox");
        if !path.exists() {
            let part = target_dir().join(format!("rootfs/.busybox.{}", std::process::id()));
            fill_with_busybox(&part)?;
            if fs::rename(&part, &path).is_err() {
                fs::remove_dir_all(&part)?;
                ensure!(path.exists(), "cannot make {}", path.display());
            }
        }
        Ok(Self { path, owned: None })
    }

    /// A busybox folder of one's own, to write into; it vanishes with its value.
    ///
    /// # Errors
    ///
    /// As [`busybox`](Self::busybox).
    pub fn own_busybox() -> Result<Self> {
        let folder = scratch()?;
        fill_with_busybox(folder.path())?;
        Ok(Self { path: folder.path().to_owned(), owned: Some(folder) })
    }

    /// A minimal Debian with python3, perl, gcc, git and sqlite3, of the machine's own release.
    ///
    /// Made once (this takes minutes) under the target folder, or under `RUNSC_TEST_CACHE`.
    ///
    /// # Errors
    ///
    /// When debootstrap is missing or fails.
    pub fn debian() -> Result<Self> {
        let cache = std::env::var_os("RUNSC_TEST_CACHE")
            .map_or_else(|| target_dir().join("rootfs"), PathBuf::from);
        let path = cache.join("debian");
        // Tests of one program run side by side: the first one makes it, the others wait.
        static MAKING: Mutex<()> = Mutex::new(());
        let _alone = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !path.exists() {
            fs::create_dir_all(&cache)?;
            let part = tempfile::Builder::new().prefix(".debian-").tempdir_in(&cache)?;
            debootstrap(&part.path().join("root"))?;
            fs::rename(part.path().join("root"), &path).context("place the root file system")?;
        }
        Ok(Self { path, owned: None })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it vanishes with this value, so that tests may write into it.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.owned.is_some()
    }
}

fn fill_with_busybox(root: &Path) -> Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    // runc gives a tmpfs the mode of the folder below it.
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::copy(BUSYBOX, root.join("bin/busybox"))
        .with_context(|| format!("{BUSYBOX}: Debian's package busybox-static has it"))?;
    let list = Run::new(BUSYBOX).arg("--list").output()?.success()?;
    for name in list.stdout.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name))?;
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n")?;
    Ok(())
}

/// The release and the mirror of this machine: tests name none of their own.
fn debootstrap(root: &Path) -> Result<()> {
    let release = os_release("VERSION_CODENAME=").context("this machine is no Debian")?;
    let mut run = Run::new("debootstrap")
        .args(["--variant=minbase", "--include", DEBIAN_PACKAGES])
        .arg(release)
        .arg(root);
    if let Some(mirror) = mirror() {
        run = run.arg(mirror);
    }
    run.deadline(Duration::from_secs(1800)).output()?.success()?;
    Ok(())
}

fn os_release(key: &str) -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim_matches('"').to_owned()))
}

/// The first mirror in apt's lists that is Debian's own (others carry single packages).
fn mirror() -> Option<String> {
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let files = folder.map(|entry| entry.path()).chain(["/etc/apt/sources.list".into()]);
    let text: String = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    text.split_whitespace()
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_rootfs_has_a_shell_and_vanishes_with_its_value() {
        let rootfs = Rootfs::own_busybox().unwrap();
        let path = rootfs.path().to_owned();
        assert!(path.join("bin/sh").exists() && rootfs.is_own());
        drop(rootfs);
        assert!(!path.exists());
    }

    #[test]
    fn the_shared_rootfs_stays() {
        let path = Rootfs::busybox().unwrap().path().to_owned();
        assert!(path.join("bin/sh").exists());
    }
}

//! The folders under `--root`.

use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::{State, check_id};

/// Name of the control socket in a container's folder.
pub(crate) const CONTROL_SOCKET: &str = "control.sock";

/// Where a sandbox leaves the report of its panic.
pub(crate) const CRASH_REPORT: &str = "crash.txt";

const STATE: &str = "state.json";
const NEW_STATE: &str = "state.json.new";
const STATE_LIMIT: u64 = 64 << 20;

/// The folder of all containers.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    fd: OwnedFd,
}

impl Root {
    /// Opens the folder at `path`, which is made when it is missing; only its owner may enter.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let said = || format!("--root {}", path.display());
        DirBuilder::new().recursive(true).mode(0o711).create(path).with_context(said)?;
        let path = fs::canonicalize(path).with_context(said)?;
        let fd = open_folder(CWD, &path).with_context(said)?;
        Ok(Self { path, fd })
    }

    /// Makes the folder of a new container.
    pub(crate) fn create(&self, id: &str) -> Result<Folder> {
        check_id(id)?;
        match mkdirat(&self.fd, id, Mode::RWXU) {
            Err(Errno::EXIST) => bail!("container {id} already exists"),
            made => made.with_context(|| format!("make {}/{id}", self.path.display()))?,
        }
        self.open_folder(id)?.context("the new container folder is gone")
    }

    /// The folder of a container, if there is one.
    pub(crate) fn open_folder(&self, id: &str) -> Result<Option<Folder>> {
        check_id(id)?;
        match open_folder(&self.fd, Path::new(id)) {
            Ok(fd) => Ok(Some(Folder { path: self.path.join(id), id: id.to_owned(), fd })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("open container {id}")),
        }
    }

    /// The folder of a container that must exist.
    pub(crate) fn find(&self, id: &str) -> Result<Folder> {
        self.open_folder(id)?.context("container does not exist")
    }

    /// All container ids, sorted.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(name) = name.to_str()
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
            {
                ids.push(name.to_owned());
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Removes a container's folder. Its state goes last but for the lock, so that a command that is killed
    /// here leaves something that can be removed again.
    pub(crate) fn remove(&self, folder: &Folder) -> Result<()> {
        for entry in fs::read_dir(&folder.path)? {
            let name = entry?.file_name();
            if name != STATE && name != "lock" {
                remove_file(&folder.fd, Path::new(&name))?;
            }
        }
        remove_file(&folder.fd, Path::new(STATE))?;
        loop {
            remove_file(&folder.fd, Path::new("lock"))?;
            match unlinkat(&self.fd, folder.id.as_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // Another command has just made the lock anew, to wait for this one.
                Err(Errno::NOTEMPTY) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("remove {}", folder.path.display()));
                }
            }
        }
    }
}

fn open_folder(parent: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, path, flags, Mode::empty())
}

fn remove_file(folder: &OwnedFd, name: &Path) -> Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("remove {}", name.display())),
    }
}

/// The folder of one container.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    id: String,
    fd: OwnedFd,
}

impl Folder {
    /// Its descriptor, for the *at calls.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Has somebody removed it?
    pub(crate) fn is_removed(&self) -> bool {
        fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Its absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The container's name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Writes the state so that a reader sees the old or the new one, whole.
    pub(crate) fn write_state(&self, state: &State) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let said = || format!("write {}/{STATE}", self.path.display());
        let file = openat(&self.fd, NEW_STATE, flags, mode).with_context(said)?;
        File::from(file).write_all(&serde_json::to_vec_pretty(state)?).with_context(said)?;
        renameat(&self.fd, NEW_STATE, &self.fd, STATE).with_context(said)
    }

    /// The state; `None` when `create` died before the first one was written.
    pub(crate) fn read_state(&self) -> Result<Option<State>> {
        let said = || format!("read {}/{STATE}", self.path.display());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match openat(&self.fd, STATE, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.with_context(said)?,
        };
        let mut text = String::new();
        File::from(file).take(STATE_LIMIT).read_to_string(&mut text).with_context(said)?;
        serde_json::from_str(&text).map(Some).with_context(said)
    }

    /// The state of a container that must have one.
    pub(crate) fn state(&self) -> Result<State> {
        self.read_state()?.context("container does not exist")
    }

    /// A file for the report of a panic, emptied.
    pub(crate) fn crash_file(&self) -> Result<OwnedFd> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND | OFlags::CLOEXEC;
        Ok(openat(&self.fd, CRASH_REPORT, flags, Mode::RUSR | Mode::WUSR)?)
    }

    /// The report of a panic, if the sandbox left one.
    pub(crate) fn crash_report(&self) -> Option<String> {
        let text = fs::read_to_string(self.path.join(CRASH_REPORT)).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_container_of_the_same_name_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let root = Root::open(&parent.path().join("deep/er")).unwrap();
        let folder = root.create("c").unwrap();
        assert_eq!(root.create("c").unwrap_err().to_string(), "container c already exists");
        assert_eq!(root.ids().unwrap(), ["c"]);
        root.remove(&folder).unwrap();
        assert!(root.ids().unwrap().is_empty());
        assert!(folder.is_removed());
        root.create("c").unwrap();
    }

    #[test]
    fn a_folder_without_state_can_be_found_and_removed() {
        let parent = tempfile::tempdir().unwrap();
        let root = Root::open(parent.path()).unwrap();
        root.create("c").unwrap();
        let folder = root.find("c").unwrap();
        assert!(folder.read_state().unwrap().is_none());
        folder.crash_file().unwrap();
        root.remove(&folder).unwrap();
        assert_eq!(root.find("c").unwrap_err().to_string(), "container does not exist");
    }
}

//! One command at a time per container.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, openat};
use rustix::io::Errno;

use super::Folder;

const NAME: &str = "lock";

/// How long a command waits for another one on the same container.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries; a lock that waits in the kernel can't time out.
const PAUSE: Duration = Duration::from_millis(5);

/// Held until dropped, and by nobody once the process is dead (flock(2)).
#[derive(Debug)]
pub(crate) struct Lock {
    _file: OwnedFd,
}

impl Lock {
    /// Waits for the lock of the container in `folder`.
    pub(crate) fn take(folder: &Folder) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match openat(folder.fd(), NAME, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::NOENT) => bail!("container does not exist"),
            file => file.context("open the container's lock")?,
        };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != Errno::WOULDBLOCK && error != Errno::INTR {
                return Err(error).context("lock the container");
            }
            if Instant::now() > deadline {
                bail!("another command has worked on the container for {PATIENCE:?}");
            }
            std::thread::sleep(PAUSE);
        }
        // A `delete` that held it before may have removed the file meanwhile.
        if fstat(&file)?.st_nlink == 0 {
            bail!("container does not exist");
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Root;
    use super::*;

    #[test]
    fn a_lock_whose_folder_was_deleted_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let root = Root::open(parent.path()).unwrap();
        let folder = root.create("c").unwrap();
        let lock = Lock::take(&folder).unwrap();
        let waiter = std::thread::spawn({
            let folder = root.open_folder("c").unwrap().unwrap();
            move || Lock::take(&folder).is_ok()
        });
        root.remove(&folder).unwrap();
        drop(lock);
        assert!(!waiter.join().unwrap());
    }
}

//! Standard input, output and error of a process that is started from outside.

use std::sync::Arc;

use abi::{
    Errno,
    fs::open::{O_NOCTTY, O_RDONLY, O_RDWR, O_WRONLY},
};
use control::Report;
use fs::{
    Shared,
    devpts::{Devpts, Master, Slave},
    host::HostStream,
};
use host::{HostFd, Sharing};
use kernel::{FdTable, FsContext, Kernel};
use sched::Fiber;
use vfs::{LookupFlags, OpenFile};

use crate::{config::Stdio, mounts, terminal::Relay};

/// Standard input, output and error, and the terminal behind them if there is one.
pub(crate) struct Streams {
    pub(crate) files: Arc<FdTable>,
    pub(crate) terminal: Option<Arc<Relay>>,
    pub(crate) master: Option<Arc<Master>>,
}

/// Makes a descriptor table with standard input, output and error: the container's own, which a
/// loaded sandbox gets anew, or those of a process that is put in.
pub(crate) fn table(
    fiber: &Fiber<'_>,
    kernel: &Arc<Kernel>,
    shared: &Arc<Shared>,
    devpts: &Arc<Devpts>,
    fs: &Arc<FsContext>,
    (stdio, of_container): (Stdio, bool),
) -> Result<Streams, Report> {
    let files = Arc::new(FdTable::default());
    match stdio {
        Stdio::Fds(fds) => {
            for (number, (fd, flags)) in
                (0..).zip(fds.into_iter().zip([O_RDONLY, O_WRONLY, O_WRONLY]))
            {
                let host = HostFd::new(fd, Sharing::Shared).map_err(|e| failed(&e))?;
                let flags = if host.is_terminal() { O_RDWR } else { flags };
                let stream = {
                    let standard = of_container.then_some(number);
                    HostStream::open(shared, kernel.sched.reactor(), host, standard)
                };
                files.insert(stream.description(flags), false, 0, 3).map_err(|e| failed(&e))?;
            }
            Ok(Streams { files, terminal: None, master: None })
        }
        Stdio::Terminal(fd) => {
            let host = HostFd::new(fd, Sharing::Own).map_err(|e| failed(&e))?;
            let master = devpts.create(0, false).map_err(|e| failed(&e))?;
            let index = master.terminal().index();
            let inode = devpts.slave(index).ok_or(Errno::EIO).map_err(|e| failed(&e))?;
            let slave = mounts::with_ctx(fiber, fs, |cx| {
                Slave::open(master.terminal(), inode, cx, O_RDWR | O_NOCTTY)
            });
            let slave = slave.map_err(|e| failed(&e))?;
            let path = mounts::with_ctx(fiber, fs, |cx| {
                cx.lookup(cx.root, format!("/dev/pts/{index}").as_bytes(), LookupFlags::default())
            });
            let file = OpenFile::new(slave, path.ok(), O_RDWR);
            for _ in 0..3 {
                files.insert(file.clone(), false, 0, 3).map_err(|e| failed(&e))?;
            }
            let relay = Relay::start(kernel, host, master.clone());
            Ok(Streams { files, terminal: Some(relay), master: Some(master) })
        }
    }
}

fn failed(error: &Errno) -> Report {
    Report {
        errno: Some(i32::from(error.raw())),
        ..Report::new("take over standard input and output", error.to_string())
    }
}

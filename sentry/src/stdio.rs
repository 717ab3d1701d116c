//! Standard input, output and error of a process that is started from outside.

use std::sync::Arc;

use abi::fs::open::{O_RDONLY, O_RDWR, O_WRONLY};
use control::Report;
use fs::{Shared, host::HostStream};
use host::{HostFd, Sharing};
use kernel::{FdTable, Kernel};

use crate::config::Stdio;

/// Makes a descriptor table with standard input, output and error.
pub(crate) fn table(
    kernel: &Arc<Kernel>,
    shared: &Arc<Shared>,
    stdio: Stdio,
) -> Result<Arc<FdTable>, Report> {
    let table = Arc::new(FdTable::default());
    match stdio {
        Stdio::Fds(fds) => {
            for (fd, flags) in fds.into_iter().zip([O_RDONLY, O_WRONLY, O_WRONLY]) {
                let host = HostFd::new(fd, Sharing::Shared).map_err(|e| failed(&e))?;
                let flags = if host.is_terminal() { O_RDWR } else { flags };
                let stream = HostStream::open(shared, kernel.sched.reactor(), host);
                table.insert(stream.description(flags), false, 0, 3).map_err(|e| failed(&e))?;
            }
        }
        Stdio::Terminal(_) => return Err(Report::new("terminal", "not served yet")),
    }
    Ok(table)
}

fn failed(error: &abi::Errno) -> Report {
    Report {
        errno: Some(i32::from(error.raw())),
        ..Report::new("take over standard input and output", error.to_string())
    }
}

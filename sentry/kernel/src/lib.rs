#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod exit_status;
mod fdtable;
mod fs_context;
pub mod futex;
mod ids;
mod kernel;
mod limits;
pub mod loader;
mod process;
mod session;
pub mod signal;
pub mod task;
mod tree;
mod userio;
mod uts;

pub use exit_status::ExitStatus;
pub use fdtable::{FdTable, Slot};
pub use fs_context::{FsContext, FsEnv};
pub use ids::Pid;
pub use kernel::{Kernel, KernelArgs, NewProcess, SyscallTable};
pub use limits::{Limit, Limits, Resource};
pub use process::Process;
pub use session::{ControllingTty, Session};
pub use task::{Cx, SysResult, Task};
pub use tree::{Node, Tree};
pub use userio::{UserDst, UserSrc};
pub use uts::Uts;

/// The object types of this crate, for checkpoints.
#[must_use]
pub fn register(r: state::Registry) -> state::Registry {
    r.object::<Kernel>()
        .object::<Process>()
        .object::<Task>()
        .object::<task::Vfork>()
        .object::<task::Timer>()
        .object::<Session>()
        .object::<FdTable>()
        .object::<FsContext>()
        .object::<signal::SignalActions>()
        .object::<loader::Vdso>()
        .object::<loader::VdsoPage>()
        .view::<loader::VdsoPage, dyn mm::Mappable>(|weak| weak)
}

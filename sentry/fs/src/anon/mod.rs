//! Files without a name: eventfd(2), `timerfd_create(2)`, `memfd_create(2)`, signalfd(2), epoll(7).

mod epoll;
mod eventfd;
mod memfd;
mod signalfd;
mod timerfd;

pub use epoll::{Epoll, Interest};
pub use eventfd::{EventFd, eventfd};
pub use memfd::memfd;
pub use signalfd::{SignalFd, signalfd};
pub use timerfd::{TimerClock, TimerFd, TimerSetting, timerfd};

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<memfd::Memfd>()
        .view::<memfd::Memfd, dyn vfs::Inode>(|weak| weak)
        .object::<crate::base::OpenMemoryFile<memfd::Memfd>>()
        .view::<crate::base::OpenMemoryFile<memfd::Memfd>, dyn vfs::File>(|weak| weak)
        .object::<EventFd>()
        .view::<EventFd, dyn vfs::File>(|weak| weak)
        .object::<TimerFd>()
        .view::<TimerFd, dyn vfs::File>(|weak| weak)
        .object::<SignalFd>()
        .view::<SignalFd, dyn vfs::File>(|weak| weak)
        .object::<Epoll>()
        .view::<Epoll, dyn vfs::File>(|weak| weak)
}

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

//! Files without a name: eventfd(2), `timerfd_create(2)`, `memfd_create(2)`, epoll(7).

mod epoll;
mod eventfd;
mod memfd;
mod timerfd;

pub use epoll::{Epoll, Interest};
pub use eventfd::{EventFd, eventfd};
pub use memfd::memfd;
pub use timerfd::{TimerClock, TimerFd, TimerSetting, timerfd};

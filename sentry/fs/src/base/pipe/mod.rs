//! Pipes and FIFOs (pipe(7), fifo(7)): what pipefs and all file systems with FIFO nodes share.

mod buffer;
mod end;
mod fifo;

pub(crate) use buffer::Pipe;
pub use end::PipeEnd;
pub(crate) use fifo::Fifo;

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod expect;
mod guest;
mod place;
mod report;

pub use expect::Expectations;
pub use guest::{Guest, all};
pub use place::{Place, Ran};
pub use report::{Case, Outcome, Report};

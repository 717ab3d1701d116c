//! Netlink (netlink(7)): questions about interfaces, addresses and routes (rtnetlink(7)).

mod message;
mod route;
mod socket;

pub(crate) use socket::Netlink;

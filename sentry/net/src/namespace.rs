//! What the sockets of a sandbox share.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use kernel::Kernel;
use mm::Charge;

use crate::{
    flight::Flight,
    inet::{Ports, TcpListener, Udp},
    unix::Names,
};

/// A network namespace: names and ports in use, and descriptors in flight.
#[derive(Debug, state::Save, state::Load)]
pub struct Namespace {
    charge: Arc<Charge>,
    next_ino: AtomicU64,
    next_netlink_port: AtomicU32,
    names: Names,
    tcp_ports: Ports<TcpListener>,
    udp_ports: Ports<Udp>,
    flight: Flight,
}

impl Namespace {
    /// Makes an empty one whose buffers are paid by `charge`.
    #[must_use]
    pub fn new(charge: &Arc<Charge>) -> Arc<Self> {
        Arc::new(Self {
            charge: Arc::clone(charge),
            next_ino: AtomicU64::new(1),
            next_netlink_port: AtomicU32::new(1 << 16),
            names: Names::default(),
            tcp_ports: Ports::new(),
            udp_ports: Ports::new(),
            flight: Flight::default(),
        })
    }

    /// That of `kernel`, which is made when it is first asked for.
    ///
    /// # Panics
    ///
    /// Never: nobody else sets `Kernel::net`.
    #[must_use]
    pub fn of(kernel: &Kernel) -> Arc<Self> {
        let any =
            kernel.net.get_or_init(|| -> Arc<dyn Any + Send + Sync> { Self::new(&kernel.charge) });
        #[expect(clippy::unwrap_used, reason = "`net` alone sets it")]
        Arc::clone(any).downcast().unwrap()
    }

    /// That of `kernel`, if it was asked for before.
    #[must_use]
    pub fn made(kernel: &Kernel) -> Option<Arc<Self>> {
        kernel.net.get().and_then(|any| Arc::clone(any).downcast().ok())
    }

    pub(crate) fn charge(&self) -> &Arc<Charge> {
        &self.charge
    }

    pub(crate) fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_netlink_port(&self) -> u32 {
        self.next_netlink_port.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn tcp_ports(&self) -> &Ports<TcpListener> {
        &self.tcp_ports
    }

    pub(crate) fn udp_ports(&self) -> &Ports<Udp> {
        &self.udp_ports
    }

    pub(crate) fn flight(&self) -> &Flight {
        &self.flight
    }
}

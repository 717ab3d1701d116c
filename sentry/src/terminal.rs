//! The relay between a terminal inside and a terminal of the host.

use std::{
    os::fd::AsFd,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use fs::devpts::Master;
use host::{HostFd, Reactor, Readiness, Ready, WatchId};
use kernel::Kernel;
use sched::{Listener, Mutex, Notify};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 4096;
/// Events of the master that may mean work.
const EVENTS: u32 = u32::MAX;

/// Carries bytes both ways, on whatever thread hears of them. Nothing here waits: what one side
/// does not take yet stays in a buffer of at most one chunk.
pub(crate) struct Relay {
    master: Arc<Master>,
    kernel: Weak<Kernel>,
    reactor: Arc<Reactor>,
    buffers: Mutex<Buffers>,
    /// Somebody found the buffers taken and wants another turn.
    again: AtomicBool,
}

struct Buffers {
    /// Gone once nobody inside will read or write any more.
    host: Option<(HostFd, Option<WatchId>)>,
    to_host: Vec<u8>,
    to_master: Vec<u8>,
}

impl Relay {
    /// Starts to relay between `host` and `master`.
    pub(crate) fn start(kernel: &Arc<Kernel>, host: HostFd, master: Arc<Master>) -> Arc<Self> {
        let reactor = kernel.sched.reactor().clone();
        let relay = Arc::new(Self {
            master,
            kernel: Arc::downgrade(kernel),
            reactor: reactor.clone(),
            buffers: Mutex::new(Buffers { host: None, to_host: Vec::new(), to_master: Vec::new() }),
            again: AtomicBool::new(false),
        });
        let target: Weak<Self> = Arc::downgrade(&relay);
        let watch = reactor.watch(host.as_fd(), target.clone()).ok();
        relay.buffers.lock().host = Some((host, watch));
        let queue = vfs::File::wait_queue(&*relay.master);
        if let Some(queue) = queue {
            queue.add(&Listener::callback(target, EVENTS));
        }
        relay.take_size();
        relay.pump();
        relay
    }

    /// The terminal inside.
    pub(crate) fn master(&self) -> &Arc<Master> {
        &self.master
    }

    /// The terminal inside gets the size of the host's.
    pub(crate) fn take_size(&self) {
        let size = {
            let buffers = self.buffers.lock();
            buffers.host.as_ref().and_then(|(host, _)| host.window_size().ok())
        };
        if let Some(size) = size.filter(|size| *size != [0; 4]) {
            self.set_size(size);
        }
    }

    /// Sets the size of the terminal inside: rows, columns, pixels.
    pub(crate) fn set_size(&self, size: [u16; 4]) {
        if let Some(kernel) = self.kernel.upgrade() {
            self.master.terminal().resize(&kernel, size);
        }
    }

    /// Carries what there is to carry.
    fn pump(&self) {
        self.again.store(true, Ordering::SeqCst);
        while self.again.swap(false, Ordering::SeqCst) {
            let Some(mut buffers) = self.buffers.try_lock() else {
                self.again.store(true, Ordering::SeqCst);
                return;
            };
            while self.carry(&mut buffers) {}
            if self.master.is_over() && buffers.to_host.is_empty() {
                self.close(&mut buffers);
            }
        }
    }

    /// One step each way; false if nothing moved.
    fn carry(&self, buffers: &mut Buffers) -> bool {
        let Some(kernel) = self.kernel.upgrade() else { return false };
        let Buffers { host: Some((host, _)), to_host, to_master } = buffers else {
            // Nobody outside: what programs write is gone, as on a terminal that hung up.
            return !self.master.take_output(CHUNK_BYTES).is_empty();
        };
        let mut moved = false;
        if to_host.is_empty() {
            *to_host = self.master.take_output(CHUNK_BYTES);
        }
        if !to_host.is_empty()
            && let Ok(count) = host.write(to_host)
        {
            to_host.drain(..count.min(to_host.len()));
            moved |= count > 0;
        }
        if to_master.is_empty() {
            let mut chunk = vec![0; CHUNK_BYTES];
            if let Ok(count) = host.read(&mut chunk) {
                chunk.truncate(count);
                *to_master = chunk;
            }
        }
        if !to_master.is_empty() {
            let count = self.master.type_in(&kernel, to_master);
            to_master.drain(..count.min(to_master.len()));
            moved |= count > 0;
        }
        moved
    }

    fn close(&self, buffers: &mut Buffers) {
        if let Some((host, watch)) = buffers.host.take()
            && let Some(watch) = watch
        {
            self.reactor.unwatch(watch, host.as_fd());
        }
    }
}

impl Ready for Relay {
    fn ready(&self, _readiness: Readiness) {
        self.pump();
    }
}

impl Notify for Relay {
    fn notify(&self, _events: u32) {
        self.pump();
    }
}

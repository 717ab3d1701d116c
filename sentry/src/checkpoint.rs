//! Saving a sandbox that stands still, and making a new one of what was saved.
//!
//! Two files: an image of all kernel objects ([`state`]), and the pages of the memory object that
//! are in use, one range after the other in the order of the books in the image.

use std::{os::fd::OwnedFd, sync::Arc};

use control::Report;
use fs::{
    Shared, devfs,
    devpts::{Devpts, Master, TtyDevice},
    gofer::{OnFiber, Sessions},
    host::StandardStreams,
};
use host::{HostFd, HostFile, MemoryObject, Reactor, Sharing};
use kernel::{Kernel, SyscallTable, Task};
use mm::Memory;
use platform::Platform;
use sched::{Fiber, Sched};
use state::{Error, Registry};
use vfs::MountNamespace;

use crate::{
    boot::{Booted, Kicks},
    config::{LoadConfig, Stdio},
    job,
    terminal::Relay,
};

/// Raised when any saved type changes.
const VERSION: u32 = 1;
/// Bytes copied at once.
const CHUNK_BYTES: usize = 1 << 20;
/// How often a save is tried again that finds a lock held.
const ATTEMPTS: usize = 100;
/// Largest image that is read.
const IMAGE_MAX_BYTES: u64 = 4 << 30;

/// What a save begins with.
#[derive(state::Save, state::Load)]
#[state(name = "Sandbox")]
pub(crate) struct Image {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) mounts: Arc<MountNamespace>,
    pub(crate) init: Arc<Task>,
    pub(crate) devpts: Arc<Devpts>,
    /// The network, if anybody has asked for it.
    pub(crate) network: Option<Arc<net::Namespace>>,
    /// The container's terminal, which is relayed to one outside.
    pub(crate) console: Option<Arc<Master>>,
    /// `CLOCK_MONOTONIC` at the save. All times in the image are times of this clock.
    pub(crate) monotonic_ns: u64,
}

/// The object types of all crates.
fn registry() -> Registry {
    let parts = [
        sched::register,
        auth::register,
        mm::register,
        vfs::register,
        kernel::register,
        fs::register,
        net::register,
    ];
    parts.into_iter().fold(Registry::new(VERSION), |r, part| part(r)).object::<Image>()
}

/// Writes state and memory; all tasks stand still.
pub(crate) fn save(image: Image, state: OwnedFd, pages: OwnedFd) -> Result<(), Report> {
    let failed = |error: Error| Report::new("save", error.to_string());
    image.shared.prepare_save().map_err(failed)?;
    image.kernel.prepare_save();
    let (kernel, image) = (image.kernel.clone(), Arc::new(image));
    let bytes = save_image(&image).map_err(failed)?;
    write(&HostFile::new(state, true), 0, &bytes)?;
    write_pages(&kernel.memory, &HostFile::new(pages, true))
}

/// Tasks and timers stand still, but the I/O thread may have a lock for a moment: that of a terminal
/// into which somebody types.
fn save_image(image: &Arc<Image>) -> state::Result<Vec<u8>> {
    let registry = registry();
    let mut result = state::save(&registry, image);
    for _ in 0..ATTEMPTS {
        match &result {
            Err(error) if error.cause() == state::lock_is_held().cause() => {}
            _ => break,
        }
        result = state::save(&registry, image);
    }
    result
}

fn write(file: &HostFile, mut at: u64, mut bytes: &[u8]) -> Result<(), Report> {
    while !bytes.is_empty() {
        match file.write_at(bytes, at) {
            Ok(0) => return Err(Report::new("save", "the file takes no more")),
            Ok(count) => {
                at += count as u64;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(errno) => return Err(Report::new("write the image", errno.to_string())),
        }
    }
    Ok(())
}

/// Calls `copy` for each piece of the ranges in use: its place in the file and in the memory
/// object, and its length.
fn each_piece(
    memory: &Memory,
    mut copy: impl FnMut(u64, u64, usize) -> Result<(), Report>,
) -> Result<(), Report> {
    let mut in_file = 0;
    for span in memory.used() {
        let mut at = span.start;
        while at < span.end {
            let len = usize::try_from(span.end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            copy(in_file, at, len)?;
            in_file += len as u64;
            at += len as u64;
        }
    }
    Ok(())
}

fn write_pages(memory: &Memory, file: &HostFile) -> Result<(), Report> {
    let mut buffer = vec![0; CHUNK_BYTES];
    each_piece(memory, |in_file, at, len| {
        let piece = buffer.get_mut(..len).unwrap_or_default();
        memory.read(at, piece);
        write(file, in_file, piece)
    })
}

fn read_pages(memory: &Memory, file: &HostFile) -> Result<(), Report> {
    let mut buffer = vec![0; CHUNK_BYTES];
    each_piece(memory, |in_file, at, len| {
        let piece = buffer.get_mut(..len).unwrap_or_default();
        match file.read_at(piece, in_file) {
            Ok(count) if count == len => memory.write(at, piece),
            Ok(_) => return Err(Report::new("load the pages", "the file ends early")),
            Err(errno) => return Err(Report::new("load the pages", errno.to_string())),
        }
        Ok(())
    })
}

/// Runs work on fibers of a sandbox that is being loaded.
struct Runner(Arc<Sched>);

impl OnFiber for Runner {
    fn run(&self, work: Box<dyn FnOnce(&Fiber<'_>) + Send>) {
        job::run(&self.0, work);
    }
}

/// Makes a sandbox of what was saved.
pub(crate) fn load(
    platform: &Arc<dyn Platform>,
    object: Arc<MemoryObject>,
    config: LoadConfig,
) -> Result<Booted, Report> {
    let sched = Sched::new(config.executors.max(1), Arc::new(Kicks(platform.clone())));
    sched.run();
    let size_bytes = object.size_bytes();
    let (streams, outside) = streams(config.stdio)?;
    let registry = registry()
        .give::<dyn Platform>(platform.clone())
        .give::<MemoryObject>(object)
        .give::<Sched>(sched.clone())
        .give::<Reactor>(sched.reactor().clone())
        .give::<dyn SyscallTable>(Arc::new(syscalls::Table { strace: config.strace }))
        .give::<Sessions>(Arc::new(sessions(&sched, config.gofers)?))
        .give::<StandardStreams>(Arc::new(streams));
    let bytes = read_image(&HostFile::new(config.state, false))?;
    let image: Arc<Image> = state::load(&registry, &bytes)
        .map_err(|error| Report::new("load the state", error.to_string()))?;
    if host::clock::monotonic_ns() < image.monotonic_ns {
        let why = "the host has been started since: timers of the image have no meaning";
        return Err(Report::new("load the state", why));
    }
    let memory = &image.kernel.memory;
    if memory.used().last().is_some_and(|last| last.end > size_bytes) {
        return Err(Report::new("load the pages", "more memory than the sandbox may have"));
    }
    read_pages(memory, &HostFile::new(config.pages, false))?;
    devfs::register(&image.shared);
    TtyDevice::register(&image.shared);
    let _ = image.kernel.files.set(image.shared.clone());
    if let Some(network) = &image.network {
        let _ = image.kernel.net.set(network.clone());
    }
    let terminal = match (&image.console, outside) {
        (Some(console), Some(outside)) => {
            TtyDevice::register_console(&image.shared, console.terminal().clone());
            Some(Relay::start(&image.kernel, outside, console.clone()))
        }
        (None, None) => None,
        (Some(_), None) => return Err(Report::new("restore", "the container has a terminal")),
        (None, Some(_)) => return Err(Report::new("restore", "the container has no terminal")),
    };
    Ok(Booted {
        kernel: image.kernel.clone(),
        shared: image.shared.clone(),
        mounts: image.mounts.clone(),
        init: image.init.clone(),
        devpts: image.devpts.clone(),
        terminal,
    })
}

fn sessions(sched: &Arc<Sched>, sockets: Vec<OwnedFd>) -> Result<Sessions, Report> {
    Sessions::start(Arc::new(Runner(sched.clone())), sched.reactor(), sockets)
        .map_err(|errno| Report::new("start a session with the Gofer", errno.to_string()))
}

/// What programs read and write outside: three streams, or a terminal.
fn streams(stdio: Stdio) -> Result<(StandardStreams, Option<HostFd>), Report> {
    let take = |fd, sharing| {
        HostFd::new(fd, sharing)
            .map_err(|errno| Report::new("take over standard input and output", errno.to_string()))
    };
    let streams = StandardStreams::default();
    match stdio {
        Stdio::Fds(fds) => {
            for (number, fd) in (0..).zip(fds) {
                streams.put(number, take(fd, Sharing::Shared)?);
            }
            Ok((streams, None))
        }
        Stdio::Terminal(fd) => Ok((streams, Some(take(fd, Sharing::Own)?))),
    }
}

fn read_image(file: &HostFile) -> Result<Vec<u8>, Report> {
    let failed = |errno: abi::Errno| Report::new("read the image", errno.to_string());
    let size = file.size().map_err(failed)?;
    let len = usize::try_from(size.min(IMAGE_MAX_BYTES)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    let count = file.read_at(&mut bytes, 0).map_err(failed)?;
    bytes.truncate(count);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A contradiction in the list would fail every save, and be named there.
    #[test]
    fn the_list_of_types_does_not_contradict_itself() {
        let root = Arc::new(auth::Credentials::root());
        let image = state::save(&registry(), &root).unwrap();
        let back: Arc<auth::Credentials> = state::load(&registry(), &image).unwrap();
        assert_eq!(back, root);
    }
}

//! Saving and loading: a new session takes the place of the old one, and files in use are opened
//! again by their names.

use std::{
    collections::BTreeMap,
    fmt,
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use abi::{Errno, Timespec};
use host::Reactor;
use p9::OpenFlags;
use sched::{Fiber, Mutex};
use state::{Error, Load, Reader, Result, Save, Schema, Writer, print};
use vfs::Name;

use super::{
    client::{Client, Opened},
    fs::Tree,
    handle::Handle,
    inode::{Node, ROOT_FID},
};

/// Runs work on a fiber and waits for it; for a host thread that loads.
pub trait OnFiber: Send + Sync {
    /// Runs `work`, and returns when it is done.
    fn run(&self, work: Box<dyn FnOnce(&Fiber<'_>) + Send>);
}

/// Sessions with the new Gofers, in the order of the trees; given to a load.
pub struct Sessions {
    runner: Arc<dyn OnFiber>,
    clients: Vec<Arc<Client>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("clients", &self.clients.len()).finish_non_exhaustive()
    }
}

/// What tells a file from another one with the same name.
type Identity = (u64, u64, Timespec);

impl Sessions {
    /// Starts sessions over `sockets`.
    ///
    /// # Errors
    ///
    /// `EPROTO` if a Gofer does not speak our language, `EIO` if it is gone.
    pub fn start(
        runner: Arc<dyn OnFiber>,
        reactor: &Arc<Reactor>,
        sockets: Vec<OwnedFd>,
    ) -> std::result::Result<Self, Errno> {
        let mut clients = Vec::new();
        for socket in sockets {
            let reactor = Arc::clone(reactor);
            let started = on_fiber(&*runner, move |fiber| Client::start(fiber, &reactor, socket));
            clients.push(started.ok_or(Errno::EIO)??.0);
        }
        Ok(Self { runner, clients })
    }

    fn client(&self, number: usize) -> Result<Arc<Client>> {
        let client = self.clients.get(number).cloned();
        client.ok_or_else(|| Error::cannot_load(format!("no gofer for tree {number}")))
    }

    /// Opens the file at `path` of tree `number` again; it must be the one that was saved.
    fn open(
        &self,
        number: usize,
        path: &[Name],
        (reads, writes): (bool, bool),
        saved: Identity,
    ) -> Result<(Arc<Client>, Opened)> {
        let client = self.client(number)?;
        let (names, asked) = (path.to_vec(), Arc::clone(&client));
        let opened = on_fiber(&*self.runner, move |fiber| {
            let walked = asked.walk(fiber, ROOT_FID, &names)?;
            if walked.reached.len() != names.len() {
                return Err(walked.error.unwrap_or(Errno::ENOENT));
            }
            // Without names it is the root itself: a file mounted alone.
            let fid = walked.reached.last().map_or(ROOT_FID, |(_, fid)| *fid);
            let attr = asked.attributes(fiber, fid)?;
            let flags = match (reads, writes) {
                (true, true) => OpenFlags::RDWR,
                (false, true) => OpenFlags::WRONLY,
                _ => OpenFlags::empty(),
            };
            let opened = asked.open(fiber, fid, flags)?;
            for (_, fid) in &walked.reached {
                asked.forget(*fid, false);
            }
            let nsec = i64::try_from(attr.mtime.nsec).unwrap_or(0);
            let mtime = Timespec { sec: attr.mtime.sec, nsec };
            Ok((opened, (attr.qid.path, attr.size, mtime)))
        });
        let shown = || shown(path);
        let (opened, found) = opened
            .unwrap_or(Err(Errno::EIO))
            .map_err(|errno| Error::cannot_load(format!("{}: {errno}", shown())))?;
        if found != saved {
            return Err(Error::cannot_load(format!("{} is another file now", shown())));
        }
        Ok((client, opened))
    }
}

fn shown(path: &[Name]) -> String {
    let names = path.iter().map(|name| String::from_utf8_lossy(name.as_bytes()));
    names.fold(String::new(), |text, name| text + "/" + &name)
}

fn on_fiber<R: Send + 'static>(
    runner: &dyn OnFiber,
    work: impl FnOnce(&Fiber<'_>) -> R + Send + 'static,
) -> Option<R> {
    let place = Arc::new(Mutex::new(None));
    let result = Arc::clone(&place);
    runner.run(Box::new(move |fiber| {
        let value = work(fiber);
        *result.lock() = Some(value);
    }));
    place.lock().take()
}

impl Tree {
    /// See [`crate::Shared::prepare_save`].
    pub(crate) fn prepare_save(&self) -> Result<()> {
        self.recent.clear();
        self.open.lock().clear();
        let nodes: Vec<Arc<Node>> = self.nodes.lock().values().filter_map(Weak::upgrade).collect();
        nodes.iter().for_each(|node| node.close_idle());
        // Files with several names may be known by another one than their place was.
        let mut names = BTreeMap::new();
        for dir in nodes.iter().filter(|node| node.is_dir()) {
            for (name, child) in dir.names.lock().living() {
                names.insert(child.ino(), (Arc::clone(dir), name));
            }
        }
        for node in nodes.iter().filter(|node| node.is_bound()) {
            match node.place().or_else(|| names.remove(&node.ino())) {
                Some((dir, name)) => node.unbind(dir, name),
                None => {
                    let why = format!("inode {} of a host's tree has no name any more", node.ino());
                    return Err(Error::cannot_save(why));
                }
            }
        }
        Ok(())
    }
}

impl Schema for Tree {
    const NAME: &'static str = "gofer::Tree";
}

/// The session is not saved: a load brings a new one.
impl Save for Tree {
    const PRINT: u64 = print::text("number, shared, dev, caching, recent; nodes");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        self.number.save(w)?;
        self.shared.save(w)?;
        self.dev.save(w)?;
        self.caching.save(w)?;
        self.recent.save(w)
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        self.nodes.save_late(w)
    }
}

impl Load for Tree {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let number = usize::load(r)?;
        Ok(Self {
            number,
            client: r.given::<Sessions>()?.client(number)?,
            shared: Arc::load(r)?,
            dev: u64::load(r)?,
            caching: Load::load(r)?,
            nodes: Mutex::default(),
            recent: Load::load(r)?,
            open: Mutex::default(),
        })
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        self.nodes.fill(r)
    }
}

impl Schema for Handle {
    const NAME: &'static str = "gofer::Handle";
}

/// Opened again by its name, if it is the same file still.
impl Save for Handle {
    const PRINT: u64 = print::text("tree, path, identity, reads, writes; mapped, node");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        let node = self.node().lock().upgrade();
        let node = node.ok_or_else(|| Error::cannot_save("an open file of the host is gone"))?;
        let path = node.path();
        let known = node.last_known();
        let (size, mtime) = match self.file() {
            Some(file) => {
                let status = file
                    .status()
                    .map_err(|errno| Error::cannot_save(format!("{}: {errno}", shown(&path))))?;
                (status.size, status.mtime)
            }
            None => (known.size, known.mtime),
        };
        let identity: Identity = (node.ino(), size, mtime);
        node.tree.number.save(w)?;
        path.save(w)?;
        identity.save(w)?;
        (self.reads, self.writes).save(w)
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        self.mapped.save_late(w)?;
        self.node().save_late(w)
    }
}

impl Load for Handle {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let number = usize::load(r)?;
        let path = <Vec<Name>>::load(r)?;
        let identity = Identity::load(r)?;
        let rights = <(bool, bool)>::load(r)?;
        let sessions: Arc<Sessions> = r.given()?;
        let (client, opened) = sessions.open(number, &path, rights, identity)?;
        Ok(Self::from_parts(client, opened, rights))
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        self.mapped.fill(r)?;
        self.node().fill(r)
    }
}

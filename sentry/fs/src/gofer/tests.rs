//! Against our own Gofer, in this process.

use std::{
    fs,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::Path as HostPath,
    sync::{Arc, mpsc::channel},
};

use abi::{
    Errno,
    fs::open::{O_CREAT, O_RDWR, O_WRONLY},
};
use host::MemoryObject;
use mm::{Charge, Memory};
use rustix::fs::{CWD, Mode, OFlags, openat};
use sched::Sched;
use vfs::{NewNode, RenameFlags};

use super::{
    Caching,
    inode::{Fid, Node},
    mount,
};
use crate::{
    Shared,
    base::generic,
    testing::{Names, World, contents, find, list, open, put, read, try_open, write},
};

fn path_fd(path: &HostPath) -> OwnedFd {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Serves `dir`, speaking the plain dialect only if `plain`.
fn serve(dir: &HostPath, readonly: bool, plain: bool) -> OwnedFd {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let proc_fd = openat(CWD, "/proc/self/fd", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let attach =
        gofer::Attach { name: String::new(), root: path_fd(dir), readonly, socket: theirs.into() };
    let config = gofer::Config {
        attaches: vec![attach],
        proc_fd: proc_fd.unwrap(),
        limits: gofer::Limits::default(),
        confine: false,
    };
    std::thread::spawn(move || gofer::serve(config));
    if plain { through_plain(ours) } else { ours.into() }
}

/// Stands between: tells the server that the client knows no extension.
fn through_plain(server: UnixStream) -> OwnedFd {
    use std::io::{Read, Write};
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut from, mut to) = (theirs.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let mut size = [0; 4];
        from.read_exact(&mut size).unwrap();
        let mut hello = vec![0; usize::try_from(u32::from_le_bytes(size)).unwrap() - 4];
        from.read_exact(&mut hello).unwrap();
        let hello = p9::Tversion {
            msize: 65536,
            version: p9::Str::new(p9::Dialect::Plain.version().as_bytes()).unwrap(),
        };
        let mut frame = Vec::new();
        p9::TMessage::from(hello).encode(p9::NOTAG, &mut frame).unwrap();
        to.write_all(&frame).unwrap();
        let _ = std::io::copy(&mut from, &mut to);
    });
    let (mut from, mut to) = (server, theirs);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    ours.into()
}

fn world(socket: OwnedFd, caching: Caching) -> World {
    let memory = Memory::new(Arc::new(MemoryObject::new(1 << 28).unwrap()), 1 << 28);
    let shared = Shared::new(&memory, &Charge::new(u64::MAX));
    let (sender, receiver) = channel();
    let setup = World::new();
    let (parts, sched): (_, Arc<Sched>) = (shared.clone(), setup.sched.clone());
    setup.run(move |cx, _| {
        let mounted = mount(cx.fiber, &parts, sched.reactor(), socket, caching);
        sender.send(mounted.unwrap()).unwrap();
    });
    let (fs, root) = receiver.recv().unwrap();
    World::on(setup.sched, shared, fs, root)
}

/// A sandbox on a tree of the host that nobody else changes.
pub(crate) fn world_on(dir: &HostPath) -> World {
    world(serve(dir, false, false), Caching::Exclusive)
}

/// A tree of the host, and a sandbox on it.
fn tree(caching: Caching, prepare: impl FnOnce(&HostPath)) -> (tempfile::TempDir, World) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    prepare(dir.path());
    let world = world(serve(dir.path(), false, false), caching);
    (dir, world)
}

#[test]
fn a_tree_behaves_as_every_tree() {
    for caching in [Caching::Exclusive, Caching::Shared] {
        let (dir, world) = tree(caching, |_| {});
        world.run(|cx, _| generic::all(cx));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

/// Serves `dir` with another implementation's server, which knows no extension.
fn serve_by_peer(dir: &HostPath) -> OwnedFd {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        let server = p9_peer::Server::new(dir, Default::default(), Default::default());
        let (mut server, mut answers) = (server.unwrap(), theirs.try_clone().unwrap());
        let mut questions = std::io::BufReader::new(theirs);
        while server.handle_message(&mut questions, &mut answers).is_ok() {}
    });
    ours.into()
}

#[test]
fn plain_peers_serve_as_well() {
    let serve_plain: [fn(&HostPath) -> OwnedFd; 2] = [|dir| serve(dir, false, true), serve_by_peer];
    for serve in serve_plain {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "from the host").unwrap();
        // The other implementation makes no links itself.
        std::os::unix::fs::symlink("f", dir.path().join("l")).unwrap();
        let world = world(serve(dir.path()), Caching::Exclusive);
        world.run(|cx, _| {
            assert_eq!(contents(cx, "/f").unwrap(), b"from the host");
            put(cx, "/new", &[7; 200_000]);
            assert_eq!(contents(cx, "/new").unwrap(), vec![7; 200_000]);
            cx.make(cx.root, b"/d", NewNode::Dir, 0o750).unwrap();
            assert_eq!(contents(cx, "/l").unwrap(), b"from the host");
            assert_eq!(list(cx, "/"), ["d", "f", "l", "new"]);
            let (from, to) = ((cx.root, &b"/new"[..]), (cx.root, &b"/d/old"[..]));
            cx.rename(from, to, RenameFlags::default()).unwrap();
            assert_eq!(list(cx, "/d"), ["old"]);
            assert_eq!(find(cx, "/d").unwrap().inode().metadata(cx).unwrap().mode & 0o7777, 0o750);
            assert!(open(cx, "/f", 0).file().mappable(cx, false).is_err());
        });
    }
}

#[test]
fn what_others_change_is_seen_in_a_shared_tree() {
    let (dir, world) = tree(Caching::Shared, |dir| fs::write(dir.join("f"), "one").unwrap());
    let host = dir.path().to_owned();
    world.run(move |cx, _| {
        let wait = || {
            let until = host::clock::monotonic_ns() + 2_000_000;
            while host::clock::monotonic_ns() < until {
                cx.fiber.yield_now();
            }
        };
        assert_eq!(contents(cx, "/f").unwrap(), b"one");
        assert_eq!(find(cx, "/g").unwrap_err(), Errno::ENOENT);
        let kept = open(cx, "/f", 0);
        fs::write(host.join("f"), "another").unwrap();
        fs::write(host.join("g"), "new").unwrap();
        wait();
        assert_eq!(contents(cx, "/f").unwrap(), b"another");
        assert_eq!(kept.metadata(cx).unwrap().size, 7);
        assert_eq!(contents(cx, "/g").unwrap(), b"new");
        fs::remove_file(host.join("g")).unwrap();
        wait();
        assert_eq!(try_open(cx, "/g", 0).unwrap_err(), Errno::ENOENT);
        assert_eq!(list(cx, "/"), ["f"]);
    });
}

#[test]
fn an_exclusive_tree_remembers_what_is_and_what_is_not_there() {
    let (dir, world) = tree(Caching::Exclusive, |dir| {
        fs::create_dir_all(dir.join("a/b/c")).unwrap();
        fs::write(dir.join("a/b/c/f"), "deep").unwrap();
    });
    let host = dir.path().to_owned();
    world.run(move |cx, _| {
        assert_eq!(contents(cx, "/a/b/c/f").unwrap(), b"deep");
        assert_eq!(find(cx, "/a/b/x/y").unwrap_err(), Errno::ENOENT);
        assert_eq!(list(cx, "/a/b/c"), ["f"]);
        // Behind its back: by contract nobody does that, so nobody asks.
        fs::create_dir(host.join("a/b/x")).unwrap();
        fs::write(host.join("a/b/c/g"), "").unwrap();
        assert_eq!(find(cx, "/a/b/x").unwrap_err(), Errno::ENOENT);
        assert_eq!(list(cx, "/a/b/c"), ["f"]);
        put(cx, "/a/b/c/h", b"");
        assert_eq!(list(cx, "/a/b/c"), ["f", "h"]);
        cx.remove(cx.root, b"/a/b/c/f", false).unwrap();
        assert_eq!(list(cx, "/a/b/c"), ["h"]);
    });
}

#[test]
fn what_is_written_reaches_the_host_and_what_a_listing_told_is_used() {
    let (dir, world) = tree(Caching::Exclusive, |dir| {
        for n in 0..300 {
            fs::write(dir.join(format!("f{n}")), format!("{n}")).unwrap();
        }
        fs::hard_link(dir.join("f7"), dir.join("other")).unwrap();
    });
    let host = dir.path().to_owned();
    world.run(move |cx, _| {
        let dir = open(cx, "/", 0);
        let mut names = Names { room: usize::MAX, ..Names::default() };
        dir.read_dir(cx, &mut names).unwrap();
        assert_eq!(names.found.len(), 303);
        for (name, ino) in names.found.iter().filter(|(name, _)| !name.starts_with('.')) {
            let meta = find(cx, &format!("/{name}")).unwrap().inode().metadata(cx).unwrap();
            assert_eq!(meta.ino, *ino);
        }
        assert_eq!(contents(cx, "/f8").unwrap(), b"8");
        put(cx, "/f7", b"changed by one name");
        assert_eq!(find(cx, "/other").unwrap().inode().metadata(cx).unwrap().size, 19);
        assert_eq!(fs::read(host.join("other")).unwrap(), b"changed by one name");
        cx.remove(cx.root, b"/f7", false).unwrap();
        assert_eq!(find(cx, "/other").unwrap().inode().metadata(cx).unwrap().nlink, 1);
        let kept = find(cx, "/f9").unwrap();
        cx.remove(cx.root, b"/f9", false).unwrap();
        assert_eq!(kept.inode().metadata(cx).unwrap().nlink, 0);
    });
}

#[test]
fn owner_and_mode_are_what_the_gofer_says_also_while_the_file_is_open() {
    let (dir, world) = tree(Caching::Exclusive, |_| {});
    let host = dir.path().join("f");
    world.run(move |cx, _| {
        let file = open(cx, "/f", O_CREAT | O_RDWR);
        let place = find(cx, "/f").unwrap();
        cx.change_owner(&place, Some(12), Some(13)).unwrap();
        cx.change_mode(&place, 0o604).unwrap();
        fs::set_permissions(&host, fs::Permissions::from_mode(0o600)).unwrap();
        let meta = file.metadata(cx).unwrap();
        assert_eq!((meta.uid, meta.gid, meta.mode & 0o7777), (12, 13, 0o600));
        // The Sentry sees other owners than the Gofer: what it sees must not count.
        std::os::unix::fs::chown(&host, Some(20), Some(20)).unwrap();
        write(cx, &file, b"x").unwrap();
        let meta = file.metadata(cx).unwrap();
        assert_eq!((meta.uid, meta.gid, meta.size), (12, 13, 1));
    });
}

#[test]
fn a_directory_has_the_times_of_the_host_as_soon_as_its_entries_change() {
    use std::os::unix::fs::MetadataExt;
    let (dir, world) = tree(Caching::Exclusive, |_| {});
    let host = dir.path().to_owned();
    world.run(move |cx, _| {
        let root = find(cx, "/").unwrap().inode().clone();
        let check = |what: &str| {
            let (ours, theirs) = (root.metadata(cx).unwrap(), fs::metadata(&host).unwrap());
            assert_eq!((ours.mtime.sec, ours.mtime.nsec), (theirs.mtime(), theirs.mtime_nsec()));
            assert_eq!((ours.ctime.sec, ours.ctime.nsec), (theirs.ctime(), theirs.ctime_nsec()));
            assert_eq!(u64::from(ours.nlink), theirs.nlink(), "{what}");
        };
        put(cx, "/f", b"");
        check("a new file");
        cx.make(cx.root, b"/d", NewNode::Dir, 0o755).unwrap();
        check("a new directory");
        cx.rename((cx.root, b"/f"), (cx.root, b"/d/f"), RenameFlags::default()).unwrap();
        check("a move");
        cx.remove(cx.root, b"/d/f", false).unwrap();
        cx.remove(cx.root, b"/d", true).unwrap();
        check("a removal");
    });
}

#[test]
fn a_read_only_tree_refuses_changes() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "x").unwrap();
    let world = world(serve(dir.path(), true, false), Caching::Exclusive);
    world.run(|cx, _| {
        assert_eq!(contents(cx, "/f").unwrap(), b"x");
        assert_eq!(try_open(cx, "/f", O_WRONLY).unwrap_err(), Errno::EROFS);
        assert_eq!(try_open(cx, "/g", O_CREAT | O_RDWR).unwrap_err(), Errno::EROFS);
        assert_eq!(cx.remove(cx.root, b"/f", false), Err(Errno::EROFS));
        let mapped = open(cx, "/f", 0).file().mappable(cx, false).unwrap();
        assert!(!mapped.translate(0, 4096, false).unwrap().writable);
        assert_eq!(mapped.translate(4096, 4096, false).unwrap_err(), mm::MapError::BeyondEnd);
    });
}

#[test]
fn many_fibers_ask_at_the_same_time() {
    let (_dir, world) = tree(Caching::Shared, |dir| {
        for n in 0..20 {
            fs::write(dir.join(format!("f{n}")), vec![n; 5000]).unwrap();
        }
    });
    let jobs: Vec<_> = (0..20_u8)
        .map(|n| {
            world.start(auth::Credentials::root(), move |cx, _| {
                for _ in 0..20 {
                    assert_eq!(contents(cx, &format!("/f{n}")).unwrap(), vec![n; 5000]);
                    put(cx, &format!("/own{n}"), &[n; 100]);
                }
            })
        })
        .collect();
    jobs.into_iter().for_each(crate::testing::Running::join);
}

#[test]
fn a_lost_gofer_is_an_error_not_a_hang() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let setup = World::new();
    setup.run(move |cx, world| {
        let reactor = world.sched.reactor();
        let lost = mount(cx.fiber, &world.shared, reactor, ours.into(), Caching::Shared);
        assert_eq!(lost.map(drop).unwrap_err(), Errno::EIO);
    });
}

#[test]
fn a_fifo_of_the_tree_is_a_pipe_of_the_sandbox() {
    let (_dir, world) = tree(Caching::Exclusive, |_| {});
    world.run(|cx, _| {
        cx.make(cx.root, b"/p", NewNode::Fifo, 0o600).unwrap();
        let both = open(cx, "/p", O_RDWR);
        write(cx, &both, b"inside").unwrap();
        assert_eq!(read(cx, &both, 10).unwrap(), b"inside");
    });
}

/// An inode keeps the directories above it; a fiber's stack is small.
#[test]
fn a_deep_tree_goes_without_recursion() {
    let (_dir, world) = tree(Caching::Exclusive, |_| {});
    world.run(|cx, _| {
        let any: Arc<dyn std::any::Any + Send + Sync> = cx.root.inode().clone();
        let mut here: Arc<Node> = any.downcast().unwrap();
        let (tree, name) = (here.tree.clone(), vfs::Name::new(b"d").unwrap());
        for number in 0..100_000 {
            let qid = p9::Qid { path: 1 << 40 | number, ..p9::Qid::default() };
            let attr = p9::Attr { mode: abi::fs::mode::S_IFDIR, qid, ..p9::Attr::default() };
            let next = tree.node(&attr, Fid::Named(here.clone(), name.clone()), 0);
            next.settle(here, &name);
            here = next;
        }
        tree.recent.clear();
        assert_eq!(Arc::strong_count(&here), 1);
        drop(here);
        assert!(tree.nodes.lock().len() < 10);
    });
}

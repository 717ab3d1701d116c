//! What is special to tmpfs; the rest is in `base/generic.rs`.

use abi::{
    Errno,
    fs::open::{O_CREAT, O_WRONLY},
};
use auth::Credentials;
use mm::{Charge, Memory};
use vfs::{Name, NewNode, RenameFlags};

use super::{Options, Tmpfs};
use crate::{
    Shared,
    base::generic,
    testing::{World, find, open, put, run, try_open, write},
};

#[test]
fn a_tree_behaves_as_every_tree() {
    run(|cx, world| {
        let usage = || world.shared.charge().usage();
        let before = usage().total;
        generic::all(cx);
        assert_eq!(usage().total, before, "what was removed is not paid for");
    });
}

#[test]
fn contents_are_bound_by_the_size_and_inodes_by_their_number() {
    let world = {
        let world = World::new();
        let options = Options::parse("size=64k,nr_inodes=3").unwrap();
        let (fs, root) = Tmpfs::new(&world.shared, options).unwrap();
        World::with_root(world.shared, fs, root)
    };
    world.run(|cx, _| {
        let file = open(cx, "/a", O_CREAT | O_WRONLY);
        assert_eq!(write(cx, &file, &[1; 100_000]), Ok(65536));
        assert_eq!(write(cx, &file, b"x"), Err(Errno::ENOSPC));
        let stat = find(cx, "/").unwrap().inode().stat_fs(cx).unwrap();
        assert_eq!((stat.blocks, stat.blocks_free, stat.files_free), (16, 0, 1));
        put(cx, "/b", b"");
        assert_eq!(try_open(cx, "/c", O_CREAT | O_WRONLY).unwrap_err(), Errno::ENOSPC);
        cx.remove(cx.root, b"/b", false).unwrap();
        cx.truncate(&find(cx, "/a").unwrap(), 0).unwrap();
        put(cx, "/c", b"x");
    });
}

#[test]
fn inodes_are_bound_by_the_memory_of_the_sandbox() {
    World::limited(100 * 1024).run(|cx, _| {
        let made = (0..1000)
            .take_while(|n| {
                cx.make(cx.root, format!("/{n}").as_bytes(), NewNode::Dir, 0o755).is_ok()
            })
            .count();
        assert_eq!(made, 99);
    });
}

#[test]
fn a_tree_as_deep_as_an_application_likes_is_dropped() {
    run(|cx, world| {
        let (_, root) = Tmpfs::new(&world.shared, Options::default()).unwrap();
        let name = Name::new(b"d").unwrap();
        let mut here = root.clone();
        for _ in 0..100_000 {
            here = here.create(cx, &name, NewNode::Dir, 0o755).unwrap();
        }
        drop(root);
    });
}

#[test]
fn two_renames_cannot_close_a_circle() {
    run(|cx, world| {
        let (_, root) = Tmpfs::new(&world.shared, Options::default()).unwrap();
        let [a, b, x] = [b"a", b"b", b"x"].map(|name| Name::new(name).unwrap());
        let plain = RenameFlags::default();
        let in_a = root.create(cx, &a, NewNode::Dir, 0o755).unwrap();
        let in_b = root.create(cx, &b, NewNode::Dir, 0o755).unwrap();
        // Two callers looked before either acted: the file system itself must refuse the second.
        root.rename(cx, &a, &in_b, &x, plain).unwrap();
        assert_eq!(root.rename(cx, &b, &in_a, &x, plain), Err(Errno::EINVAL));
    });
}

#[test]
fn a_user_without_rights_sees_no_trusted_attributes_and_loses_set_id_bits() {
    let world = World::new();
    world.run(|cx, _| {
        put(cx, "/f", b"");
        let place = find(cx, "/f").unwrap();
        place.inode().set_xattr(cx, b"trusted.t", b"1", Default::default()).unwrap();
        cx.change_mode(&place, 0o6777).unwrap();
    });
    world
        .start(Credentials::user(7, 7), |cx, _| {
            let inode = find(cx, "/f").unwrap().inode().clone();
            assert_eq!(inode.get_xattr(cx, b"trusted.t"), Err(Errno::ENODATA));
            assert!(inode.list_xattr(cx).unwrap().is_empty());
            let flags = Default::default();
            assert_eq!(inode.set_xattr(cx, b"trusted.t", b"1", flags), Err(Errno::EPERM));
            assert_eq!(inode.set_xattr(cx, b"system.x", b"1", flags), Err(Errno::EOPNOTSUPP));
            let file = open(cx, "/f", O_WRONLY);
            write(cx, &file, b"x").unwrap();
            assert_eq!(file.metadata(cx).unwrap().mode & 0o7777, 0o777);
        })
        .join();
}

#[test]
fn options_are_read_as_mount_gets_them() {
    let options = Options::parse("size=2m,mode=755,uid=1,nr_inodes=1k").unwrap();
    assert_eq!((options.size, options.mode, options.uid), (Some(2 << 20), 0o755, 1));
    assert_eq!(options.inodes, Some(1024));
    assert_eq!(Options::parse("").unwrap(), Options::default());
    assert_eq!(Options::parse("size=50%").unwrap().size_percent, Some(50));
    for bad in ["size=", "size=5q", "mode=9", "colour=red", "size=99999999999999999999", "size=x%"]
    {
        assert_eq!(Options::parse(bad), Err(Errno::EINVAL), "{bad}");
    }
    let object = std::sync::Arc::new(host::MemoryObject::new(1 << 20).unwrap());
    let shared = Shared::new(&Memory::new(object, 1 << 20), &Charge::new(0));
    assert_eq!(Tmpfs::new(&shared, options).unwrap_err(), Errno::ENOSPC);
}

//! What every file system with changeable trees must do: one body, run over each of them.

use abi::{
    Errno,
    fs::{
        mode::{S_IFDIR, S_ISGID},
        open::{O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY},
    },
};
use vfs::{BytesSrc, Ctx, NewNode, RenameFlags, SetTime, XattrFlags};

use crate::testing::{Names, contents, find, list, open, put, read, try_open, write};

/// Runs all of it in the root directory, which must be empty.
pub(crate) fn all(cx: &Ctx<'_>) {
    create_and_remove(cx);
    contents_and_size(cx);
    links(cx);
    renames(cx);
    directories(cx);
    listing_while_changing(cx);
    unlinked_while_open(cx);
    attributes(cx);
    nodes(cx);
    xattrs(cx);
}

fn mkdir(cx: &Ctx<'_>, path: &str) {
    cx.make(cx.root, path.as_bytes(), NewNode::Dir, 0o755).unwrap();
}

fn rename(cx: &Ctx<'_>, from: &str, to: &str, flags: RenameFlags) -> Result<(), Errno> {
    cx.rename((cx.root, from.as_bytes()), (cx.root, to.as_bytes()), flags)
}

fn remove(cx: &Ctx<'_>, path: &str) -> Result<(), Errno> {
    cx.remove(cx.root, path.as_bytes(), false)
}

fn rmdir(cx: &Ctx<'_>, path: &str) -> Result<(), Errno> {
    cx.remove(cx.root, path.as_bytes(), true)
}

fn nlink(cx: &Ctx<'_>, path: &str) -> u32 {
    find(cx, path).unwrap().inode().metadata(cx).unwrap().nlink
}

fn create_and_remove(cx: &Ctx<'_>) {
    put(cx, "/a", b"1");
    assert_eq!(try_open(cx, "/a", O_CREAT | O_EXCL | O_WRONLY).unwrap_err(), Errno::EEXIST);
    assert_eq!(contents(cx, "/a").unwrap(), b"1");
    assert_eq!(try_open(cx, "/a/b", 0).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(try_open(cx, "/a", O_DIRECTORY).unwrap_err(), Errno::ENOTDIR);
    remove(cx, "/a").unwrap();
    assert_eq!(try_open(cx, "/a", 0).unwrap_err(), Errno::ENOENT);
    assert_eq!(remove(cx, "/a"), Err(Errno::ENOENT));
}

fn contents_and_size(cx: &Ctx<'_>) {
    let file = open(cx, "/f", O_CREAT | O_RDWR);
    assert_eq!(write(cx, &file, b"hello"), Ok(5));
    assert_eq!(file.write_at(cx, &mut BytesSrc(b"!"), 9999), Ok(1));
    assert_eq!(file.metadata(cx).unwrap().size, 10_000);
    assert_eq!(file.seek(cx, 3, 0), Ok(3));
    assert_eq!(read(cx, &file, 4).unwrap(), b"lo\0\0");
    let place = find(cx, "/f").unwrap();
    cx.truncate(&place, 3).unwrap();
    cx.truncate(&place, 6).unwrap();
    assert_eq!(contents(cx, "/f").unwrap(), b"hel\0\0\0");
    let log = open(cx, "/f", O_WRONLY | O_APPEND);
    write(cx, &log, b"end").unwrap();
    assert_eq!(contents(cx, "/f").unwrap(), b"hel\0\0\0end");
    file.remove_user(cx);
    log.remove_user(cx);
    open(cx, "/f", O_WRONLY | O_TRUNC).remove_user(cx);
    assert_eq!(contents(cx, "/f").unwrap(), b"");
    let large: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    put(cx, "/f", &large);
    assert_eq!(contents(cx, "/f").unwrap(), large);
    remove(cx, "/f").unwrap();
}

fn links(cx: &Ctx<'_>) {
    put(cx, "/a", b"x");
    let place = find(cx, "/a").unwrap();
    cx.link(&place, cx.root, b"/b").unwrap();
    assert_eq!(cx.link(&place, cx.root, b"/b"), Err(Errno::EEXIST));
    assert_eq!(nlink(cx, "/a"), 2);
    let (a, b) = (find(cx, "/a").unwrap(), find(cx, "/b").unwrap());
    assert_eq!(a.inode().metadata(cx).unwrap().ino, b.inode().metadata(cx).unwrap().ino);
    put(cx, "/b", b"both");
    assert_eq!(contents(cx, "/a").unwrap(), b"both");
    remove(cx, "/a").unwrap();
    assert_eq!(nlink(cx, "/b"), 1);
    cx.make(cx.root, b"/l", NewNode::Symlink(b"b"), 0).unwrap();
    assert_eq!(contents(cx, "/l").unwrap(), b"both");
    assert_eq!(find(cx, "/l").unwrap().inode().read_link(cx).unwrap(), b"b");
    remove(cx, "/b").unwrap();
    remove(cx, "/l").unwrap();
}

fn renames(cx: &Ctx<'_>) {
    let plain = RenameFlags::default();
    put(cx, "/a", b"a");
    put(cx, "/b", b"b");
    mkdir(cx, "/d");
    let keep = RenameFlags { no_replace: true, ..plain };
    assert_eq!(rename(cx, "/a", "/b", keep), Err(Errno::EEXIST));
    rename(cx, "/a", "/b", RenameFlags { exchange: true, ..plain }).unwrap();
    assert_eq!(contents(cx, "/a").unwrap(), b"b");
    rename(cx, "/b", "/d/c", plain).unwrap();
    assert_eq!(contents(cx, "/d/c").unwrap(), b"a");
    rename(cx, "/a", "/d/c", plain).unwrap();
    assert_eq!(contents(cx, "/d/c").unwrap(), b"b");
    assert_eq!(rename(cx, "/d/c", "/d", plain), Err(Errno::ENOTEMPTY));
    mkdir(cx, "/e");
    assert_eq!(rename(cx, "/d/c", "/e", plain), Err(Errno::EISDIR));
    assert_eq!(rename(cx, "/e", "/d/c", plain), Err(Errno::ENOTDIR));
    assert_eq!(rename(cx, "/e", "/d", plain), Err(Errno::ENOTEMPTY));
    rename(cx, "/d", "/e", plain).unwrap();
    assert_eq!(list(cx, "/e"), ["c"]);
    mkdir(cx, "/e/sub");
    assert_eq!(rename(cx, "/e", "/e/sub/x", plain), Err(Errno::EINVAL));
    remove(cx, "/e/c").unwrap();
    rmdir(cx, "/e/sub").unwrap();
    rmdir(cx, "/e").unwrap();
    assert!(list(cx, "/").is_empty());
}

fn directories(cx: &Ctx<'_>) {
    mkdir(cx, "/d");
    assert_eq!(nlink(cx, "/d"), 2);
    mkdir(cx, "/d/one");
    mkdir(cx, "/d/two");
    assert_eq!(nlink(cx, "/d"), 4);
    assert_eq!(rmdir(cx, "/d"), Err(Errno::ENOTEMPTY));
    assert_eq!(remove(cx, "/d"), Err(Errno::EISDIR));
    let gone = open(cx, "/d/one", O_DIRECTORY);
    rmdir(cx, "/d/one").unwrap();
    let place = gone.path().unwrap();
    let late = cx.make(place, b"late", NewNode::Dir, 0o755);
    assert_eq!(late.unwrap_err(), Errno::ENOENT);
    gone.remove_user(cx);
    rmdir(cx, "/d/two").unwrap();
    assert_eq!(nlink(cx, "/d"), 2);
    rmdir(cx, "/d").unwrap();
}

fn listing_while_changing(cx: &Ctx<'_>) {
    mkdir(cx, "/d");
    for n in 0..200 {
        put(cx, &format!("/d/old{n}"), b"");
    }
    let dir = open(cx, "/d", O_DIRECTORY);
    let mut found = Vec::new();
    loop {
        let mut names = Names { room: 7, ..Names::default() };
        dir.read_dir(cx, &mut names).unwrap();
        if names.found.is_empty() {
            break;
        }
        for (name, _) in names.found {
            if name.starts_with("old") {
                rename(
                    cx,
                    &format!("/d/{name}"),
                    &format!("/d/new-{name}"),
                    RenameFlags::default(),
                )
                .unwrap();
            }
            found.push(name);
        }
        assert!(found.len() < 2000, "the listing meets its own changes for ever");
    }
    for n in 0..200 {
        let name = format!("old{n}");
        assert_eq!(found.iter().filter(|f| **f == name).count(), 1, "{name} seen once");
        remove(cx, &format!("/d/new-old{n}")).unwrap();
    }
    dir.remove_user(cx);
    rmdir(cx, "/d").unwrap();
}

fn unlinked_while_open(cx: &Ctx<'_>) {
    let file = open(cx, "/u", O_CREAT | O_RDWR);
    write(cx, &file, b"still here").unwrap();
    remove(cx, "/u").unwrap();
    assert_eq!(file.metadata(cx).unwrap().nlink, 0);
    file.seek(cx, 0, 0).unwrap();
    assert_eq!(read(cx, &file, 99).unwrap(), b"still here");
    write(cx, &file, b"!").unwrap();
    assert_eq!(file.metadata(cx).unwrap().size, 11);
    put(cx, "/u", b"another");
    assert_eq!(contents(cx, "/u").unwrap(), b"another");
    file.remove_user(cx);
    remove(cx, "/u").unwrap();

    let file = open(cx, "/", O_TMPFILE | O_RDWR);
    write(cx, &file, b"unnamed").unwrap();
    assert!(list(cx, "/").is_empty());
    cx.link(file.path().unwrap(), cx.root, b"/named").unwrap();
    assert_eq!(contents(cx, "/named").unwrap(), b"unnamed");
    assert_eq!(nlink(cx, "/named"), 1);
    file.remove_user(cx);
    remove(cx, "/named").unwrap();
}

fn attributes(cx: &Ctx<'_>) {
    put(cx, "/a", b"x");
    let place = find(cx, "/a").unwrap();
    let before = place.inode().metadata(cx).unwrap();
    cx.change_mode(&place, 0o4711).unwrap();
    let then = abi::Timespec { sec: 1_000_000, nsec: 5 };
    cx.change_times(&place, Some(SetTime::To(then)), Some(SetTime::To(then))).unwrap();
    let after = place.inode().metadata(cx).unwrap();
    assert_eq!((after.mode & 0o7777, after.atime, after.mtime), (0o4711, then, then));
    assert!(after.ctime >= before.ctime);
    contents(cx, "/a").unwrap();
    put(cx, "/a", b"y");
    assert!(place.inode().metadata(cx).unwrap().mtime > then);
    remove(cx, "/a").unwrap();

    cx.make(cx.root, b"/g", NewNode::Dir, 0o755).unwrap();
    let dir = find(cx, "/g").unwrap();
    cx.change_mode(&dir, 0o2775).unwrap();
    mkdir(cx, "/g/sub");
    let sub = find(cx, "/g/sub").unwrap().inode().metadata(cx).unwrap();
    assert_eq!(sub.mode & (S_IFDIR | S_ISGID), S_IFDIR | S_ISGID);
    rmdir(cx, "/g/sub").unwrap();
    rmdir(cx, "/g").unwrap();
}

fn nodes(cx: &Ctx<'_>) {
    let stat = |path: &str| find(cx, path).unwrap().inode().metadata(cx).unwrap();
    cx.make(cx.root, b"/fifo", NewNode::Fifo, 0o600).unwrap();
    cx.make(cx.root, b"/socket", NewNode::Socket, 0o600).unwrap();
    assert_eq!(stat("/fifo").kind(), abi::fs::mode::S_IFIFO);
    assert_eq!(stat("/socket").kind(), abi::fs::mode::S_IFSOCK);
    assert_eq!(try_open(cx, "/socket", 0).unwrap_err(), Errno::ENXIO);
    let both = open(cx, "/fifo", O_RDWR);
    write(cx, &both, b"through").unwrap();
    assert_eq!(read(cx, &both, 99).unwrap(), b"through");
    both.remove_user(cx);
    remove(cx, "/fifo").unwrap();
    remove(cx, "/socket").unwrap();
}

fn xattrs(cx: &Ctx<'_>) {
    put(cx, "/x", b"");
    let inode = find(cx, "/x").unwrap().inode().clone();
    let (create, replace) =
        (XattrFlags { create: true, replace: false }, XattrFlags { create: false, replace: true });
    if inode.set_xattr(cx, b"user.a", b"1", XattrFlags::default()) == Err(Errno::EOPNOTSUPP) {
        // The host's file system has none.
        return remove(cx, "/x").unwrap();
    }
    assert_eq!(inode.get_xattr(cx, b"user.a").unwrap(), b"1");
    assert_eq!(inode.set_xattr(cx, b"user.a", b"2", create), Err(Errno::EEXIST));
    assert_eq!(inode.set_xattr(cx, b"user.b", b"2", replace), Err(Errno::ENODATA));
    inode.set_xattr(cx, b"user.a", b"22", replace).unwrap();
    assert!(inode.list_xattr(cx).unwrap().contains(&b"user.a".to_vec()));
    inode.remove_xattr(cx, b"user.a").unwrap();
    assert_eq!(inode.get_xattr(cx, b"user.a"), Err(Errno::ENODATA));
    remove(cx, "/x").unwrap();
}

//! An overlay over a tmpfs that nobody changes.

use std::sync::{Arc, mpsc::channel};

use abi::{
    Errno,
    fs::{
        mode::S_IFCHR,
        open::{O_CREAT, O_RDWR, O_TRUNC, O_WRONLY},
    },
};
use auth::Credentials;
use vfs::{Ctx, Inode, Name, NewNode, RenameFlags, SetAttr, XattrFlags};

use super::mount;
use crate::{
    base::generic,
    testing::{self, World, contents, find, list, open, put, read, try_open, write},
};

/// The inodes below an overlay: of the lower tree, and of the upper one.
struct Below {
    lower: Arc<dyn Inode>,
    upper: Arc<dyn Inode>,
}

/// Makes a sandbox on an overlay, whose lower tree `prepare` fills as the root of another one.
fn overlay(prepare: impl FnOnce(&Ctx<'_>) + Send + 'static) -> (World, Below) {
    let base = World::new();
    let (lower_fs, lower) = testing::memory(&base.shared);
    let (_, memory) = testing::memory(&base.shared);
    let below = World::on(base.sched.clone(), base.shared.clone(), lower_fs, lower.clone());
    below.run(move |cx, _| prepare(cx));
    let (sender, receiver) = channel();
    let (shared, given, memory_root) = (base.shared.clone(), lower.clone(), memory.clone());
    base.run(move |cx, _| {
        let mounted = mount(cx.fiber, &shared, given, &memory_root).unwrap();
        let upper = memory_root.lookup(cx, &Name::new(b"upper").unwrap()).unwrap();
        sender.send((mounted, upper)).unwrap();
    });
    let ((fs, root), upper) = receiver.recv().unwrap();
    (World::on(base.sched, base.shared, fs, root), Below { lower, upper })
}

fn ino(cx: &Ctx<'_>, path: &str) -> u64 {
    find(cx, path).unwrap().inode().metadata(cx).unwrap().ino
}

fn mkdir(cx: &Ctx<'_>, path: &str) {
    cx.make(cx.root, path.as_bytes(), NewNode::Dir, 0o755).unwrap();
}

fn rename(cx: &Ctx<'_>, from: &str, to: &str) -> Result<(), Errno> {
    let (from, to) = ((cx.root, from.as_bytes()), (cx.root, to.as_bytes()));
    cx.rename(from, to, RenameFlags::default())
}

fn child(cx: &Ctx<'_>, dir: &Arc<dyn Inode>, name: &str) -> Result<Arc<dyn Inode>, Errno> {
    dir.lookup(cx, &Name::new(name.as_bytes()).unwrap())
}

#[test]
fn a_tree_behaves_as_every_tree() {
    let (world, _) = overlay(|_| {});
    world.run(|cx, _| generic::all(cx));
}

#[test]
fn a_tree_behaves_so_where_all_names_are_hidden_ones() {
    const FILES: [&str; 10] =
        ["/a", "/b", "/f", "/l", "/u", "/x", "/fifo", "/socket", "/named", "/e"];
    let (world, _) = overlay(|cx| {
        FILES.iter().for_each(|path| put(cx, path, b"below"));
        mkdir(cx, "/d");
        mkdir(cx, "/g");
        put(cx, "/d/c", b"below");
        put(cx, "/g/sub", b"below");
    });
    world.run(|cx, _| {
        for path in FILES.iter().chain(&["/d/c", "/g/sub"]) {
            cx.remove(cx.root, path.as_bytes(), false).unwrap();
        }
        cx.remove(cx.root, b"/d", true).unwrap();
        cx.remove(cx.root, b"/g", true).unwrap();
        assert!(list(cx, "/").is_empty());
        generic::all(cx);
        generic::all(cx);
    });
}

#[test]
fn a_write_copies_and_the_lower_tree_stays() {
    let (world, below) = overlay(|cx| {
        mkdir(cx, "/d");
        mkdir(cx, "/d/e");
        put(cx, "/d/e/f", &[7; 300_000]);
        let place = find(cx, "/d/e/f").unwrap();
        place.inode().set_xattr(cx, b"user.k", b"v", XattrFlags::default()).unwrap();
        cx.change_owner(&place, Some(5), Some(6)).unwrap();
        cx.change_mode(&place, 0o640).unwrap();
    });
    world.run(move |cx, _| {
        let (dir, file) = (ino(cx, "/d/e"), ino(cx, "/d/e/f"));
        let before = find(cx, "/d/e").unwrap().inode().metadata(cx).unwrap();
        let reader = open(cx, "/d/e/f", 0);
        assert!(child(cx, &below.upper, "d").is_err(), "reading copies nothing");
        let writer = open(cx, "/d/e/f", O_RDWR);
        assert_eq!(writer.write_at(cx, &mut vfs::BytesSrc(b"new"), 100), Ok(3));
        assert_eq!((ino(cx, "/d/e"), ino(cx, "/d/e/f")), (dir, file));
        let after = find(cx, "/d/e").unwrap().inode().metadata(cx).unwrap();
        assert_eq!((after.mtime, after.mode), (before.mtime, before.mode));
        let meta = writer.metadata(cx).unwrap();
        assert_eq!((meta.uid, meta.gid, meta.mode & 0o7777, meta.size), (5, 6, 0o640, 300_000));
        let inode = find(cx, "/d/e/f").unwrap().inode().clone();
        assert_eq!(inode.get_xattr(cx, b"user.k").unwrap(), b"v");
        assert_eq!(inode.list_xattr(cx).unwrap(), [b"user.k".to_vec()]);
        let mut expected = vec![7; 300_000];
        expected[100..103].copy_from_slice(b"new");
        assert_eq!(contents(cx, "/d/e/f").unwrap(), expected);
        // As on Linux: who opened it before to read keeps what was.
        assert_eq!(read(cx, &reader, 300_000).unwrap(), vec![7; 300_000]);
        // Also when nobody holds the inode any more, it has the number that it had.
        drop((reader, writer, inode));
        assert_eq!(ino(cx, "/d/e/f"), file);
        let lower = child(cx, &child(cx, &below.lower, "d").unwrap(), "e").unwrap();
        assert_eq!(child(cx, &lower, "f").unwrap().metadata(cx).unwrap().size, 300_000);
    });
}

#[test]
fn changes_of_metadata_and_links_copy_too() {
    let (world, below) = overlay(|cx| {
        put(cx, "/f", b"contents");
        put(cx, "/g", b"longer contents");
        cx.make(cx.root, b"/s", NewNode::Symlink(b"f"), 0).unwrap();
    });
    world.run(move |cx, _| {
        cx.change_mode(&find(cx, "/f").unwrap(), 0o600).unwrap();
        assert_eq!(contents(cx, "/f").unwrap(), b"contents");
        assert!(child(cx, &below.upper, "f").is_ok());
        cx.link(&find(cx, "/s").unwrap(), cx.root, b"/t").unwrap();
        assert_eq!(contents(cx, "/t").unwrap(), b"contents");
        cx.link(&find(cx, "/g").unwrap(), cx.root, b"/h").unwrap();
        assert_eq!(ino(cx, "/g"), ino(cx, "/h"));
        put(cx, "/h", b"by the other name");
        assert_eq!(contents(cx, "/g").unwrap(), b"by the other name");
        assert_eq!(find(cx, "/g").unwrap().inode().metadata(cx).unwrap().nlink, 2);
        open(cx, "/f", O_WRONLY | O_TRUNC);
        assert_eq!(contents(cx, "/f").unwrap(), b"");
    });
}

#[test]
fn a_cut_copies_only_what_is_left() {
    let (world, _) = overlay(|cx| put(cx, "/large", &vec![1; 1 << 20]));
    world.run(|cx, world| {
        let used = || world.shared.charge().usage().shmem;
        let before = used();
        open(cx, "/large", O_WRONLY | O_TRUNC);
        assert_eq!(used(), before);
        assert_eq!(contents(cx, "/large").unwrap(), b"");
    });
}

#[test]
fn what_is_removed_stays_removed_and_can_be_made_again() {
    let (world, below) = overlay(|cx| {
        mkdir(cx, "/d");
        put(cx, "/d/old", b"old");
        put(cx, "/f", b"below");
    });
    world.run(move |cx, _| {
        let kept = open(cx, "/f", 0);
        cx.remove(cx.root, b"/f", false).unwrap();
        assert_eq!(try_open(cx, "/f", 0).unwrap_err(), Errno::ENOENT);
        assert_eq!(kept.metadata(cx).unwrap().nlink, 0);
        assert_eq!(read(cx, &kept, 99).unwrap(), b"below");
        let whiteout = child(cx, &below.upper, "f").unwrap().metadata(cx).unwrap();
        assert_eq!((whiteout.kind(), whiteout.rdev), (S_IFCHR, 0));
        put(cx, "/f", b"above");
        assert_eq!(contents(cx, "/f").unwrap(), b"above");
        assert_eq!(cx.remove(cx.root, b"/d", true), Err(Errno::ENOTEMPTY));
        cx.remove(cx.root, b"/d/old", false).unwrap();
        put(cx, "/d/x", b"");
        assert_eq!(list(cx, "/d"), ["x"]);
        cx.remove(cx.root, b"/d/x", false).unwrap();
        cx.remove(cx.root, b"/d", true).unwrap();
        assert_eq!(list(cx, "/"), ["f"]);
        mkdir(cx, "/d");
        assert!(list(cx, "/d").is_empty(), "a new directory hides the old one");
        assert_eq!(find(cx, "/d").unwrap().inode().list_xattr(cx), Ok(Vec::new()));
        assert_eq!(try_open(cx, "/d/old", 0).unwrap_err(), Errno::ENOENT);
        assert_eq!(cx.make(cx.root, b"/w", NewNode::CharDevice(0), 0).map(drop), Err(Errno::EPERM));
    });
}

#[test]
fn a_removed_file_that_is_open_is_copied_to_no_name() {
    let (world, below) = overlay(|cx| put(cx, "/f", b"below"));
    world.run(move |cx, _| {
        let kept = find(cx, "/f").unwrap().inode().clone();
        cx.remove(cx.root, b"/f", false).unwrap();
        kept.set_attr(cx, &SetAttr { mode: Some(0o600), ..SetAttr::default() }).unwrap();
        assert_eq!(kept.metadata(cx).unwrap().mode & 0o7777, 0o600);
        assert_eq!(try_open(cx, "/f", 0).unwrap_err(), Errno::ENOENT);
        let whiteout = child(cx, &below.upper, "f").unwrap();
        assert_eq!(whiteout.metadata(cx).unwrap().kind(), S_IFCHR);
    });
}

#[test]
fn files_move_and_lower_directories_do_not() {
    let (world, _) = overlay(|cx| {
        mkdir(cx, "/low");
        put(cx, "/low/f", b"f");
        put(cx, "/g", b"g");
        put(cx, "/h", b"h");
    });
    world.run(|cx, _| {
        assert_eq!(rename(cx, "/low", "/else"), Err(Errno::EXDEV));
        mkdir(cx, "/low/new");
        assert_eq!(rename(cx, "/low", "/else"), Err(Errno::EXDEV));
        let number = ino(cx, "/low/f");
        rename(cx, "/low/f", "/low/new/f").unwrap();
        assert_eq!(ino(cx, "/low/new/f"), number);
        assert_eq!(list(cx, "/low"), ["new"]);
        rename(cx, "/g", "/h").unwrap();
        assert_eq!(contents(cx, "/h").unwrap(), b"g");
        assert_eq!(try_open(cx, "/g", 0).unwrap_err(), Errno::ENOENT);
        rename(cx, "/low/new", "/g").unwrap();
        assert_eq!(contents(cx, "/g/f").unwrap(), b"f");
        rename(cx, "/g/f", "/g/i").unwrap();
        rename(cx, "/g", "/low/back").unwrap();
        assert_eq!(list(cx, "/low/back"), ["i"]);
        assert_eq!(list(cx, "/"), ["h", "low"]);
        put(cx, "/z", b"z");
        let flags = RenameFlags { exchange: true, ..RenameFlags::default() };
        cx.rename((cx.root, b"/z"), (cx.root, b"/h"), flags).unwrap();
        assert_eq!(contents(cx, "/z").unwrap(), b"g");
        assert_eq!(contents(cx, "/h").unwrap(), b"z");
    });
}

#[test]
fn a_moved_directory_hides_the_lower_one_of_its_new_name() {
    let (world, _) = overlay(|cx| {
        mkdir(cx, "/d");
        put(cx, "/d/below", b"");
        mkdir(cx, "/empty");
    });
    world.run(|cx, _| {
        mkdir(cx, "/n");
        put(cx, "/n/above", b"");
        assert_eq!(rename(cx, "/n", "/d"), Err(Errno::ENOTEMPTY));
        cx.remove(cx.root, b"/d/below", false).unwrap();
        rename(cx, "/n", "/d").unwrap();
        assert_eq!(list(cx, "/d"), ["above"]);
        rename(cx, "/d", "/empty").unwrap();
        assert_eq!(list(cx, "/empty"), ["above"]);
        assert_eq!(list(cx, "/"), ["empty"]);
    });
}

#[test]
fn a_user_copies_what_it_may_write_and_owns_what_it_makes() {
    let (world, _) = overlay(|cx| {
        put(cx, "/shared", b"x");
        cx.change_mode(&find(cx, "/shared").unwrap(), 0o666).unwrap();
        mkdir(cx, "/tmp");
        cx.change_mode(&find(cx, "/tmp").unwrap(), 0o1777).unwrap();
        put(cx, "/tmp/gone", b"x");
        cx.change_owner(&find(cx, "/tmp/gone").unwrap(), Some(7), Some(7)).unwrap();
    });
    world
        .start(Credentials::user(7, 7), |cx, _| {
            let file = open(cx, "/shared", O_WRONLY);
            write(cx, &file, b"y").unwrap();
            assert_eq!(file.metadata(cx).unwrap().uid, 0);
            cx.remove(cx.root, b"/tmp/gone", false).unwrap();
            put(cx, "/tmp/gone", b"again");
            put(cx, "/tmp/new", b"");
            for path in ["/tmp/gone", "/tmp/new"] {
                let meta = find(cx, path).unwrap().inode().metadata(cx).unwrap();
                assert_eq!((meta.uid, meta.mode & 0o7777), (7, 0o644), "{path}");
            }
            assert_eq!(try_open(cx, "/x", O_CREAT | O_WRONLY).unwrap_err(), Errno::EACCES);
        })
        .join();
}

#[test]
fn listings_show_each_name_once_with_its_number() {
    let (world, _) = overlay(|cx| {
        for n in 0..50 {
            put(cx, &format!("/f{n}"), b"x");
        }
        mkdir(cx, "/d");
    });
    world.run(|cx, _| {
        put(cx, "/f7", b"copied");
        put(cx, "/d/made", b"");
        put(cx, "/new", b"");
        cx.remove(cx.root, b"/f8", false).unwrap();
        let dir = open(cx, "/", 0);
        let mut names = testing::Names { room: usize::MAX, ..Default::default() };
        dir.read_dir(cx, &mut names).unwrap();
        names.found.retain(|(name, _)| !name.starts_with('.'));
        assert_eq!(names.found.len(), 51);
        for (name, number) in names.found {
            assert_eq!(ino(cx, &format!("/{name}")), number, "{name}");
        }
    });
}

#[test]
fn many_fibers_copy_the_same_file_once() {
    let (world, _) = overlay(|cx| {
        mkdir(cx, "/d");
        mkdir(cx, "/d/e");
        put(cx, "/d/e/f", &[0; 10]);
    });
    let jobs: Vec<_> = (0..16_u8)
        .map(|n| {
            world.start(Credentials::root(), move |cx, _| {
                let file = open(cx, "/d/e/f", O_RDWR);
                file.write_at(cx, &mut vfs::BytesSrc(&[n + 1]), u64::from(n)).unwrap();
                put(cx, &format!("/d/e/own{n}"), b"");
                cx.remove(cx.root, format!("/d/e/own{n}").as_bytes(), false).unwrap();
            })
        })
        .collect();
    jobs.into_iter().for_each(testing::Running::join);
    world.run(|cx, _| {
        let expected: Vec<u8> = (1..=16).collect();
        assert_eq!(contents(cx, "/d/e/f").unwrap(), expected);
        assert_eq!(list(cx, "/d/e"), ["f"]);
    });
}

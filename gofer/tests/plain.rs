//! Plain 9P2000.L: alone, and side by side with another implementation's server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a step that fails ends the test")]

mod client;

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use client::{Client, ROOT, connect, errno, text};
use p9::{
    Data, Dialect, NOFID, NOTAG, OpenFlags, QidKind, RMessage, SetAttr, SetAttrMask, TMessage,
    Tattach, Tclunk, Tfsync, Tgetattr, Time, Tlcreate, Tlink, Tlopen, Tmkdir, Tmknod, Tread,
    Treaddir, Treadlink, Tremove, Trenameat, Tsetattr, Tstatfs, Tsymlink, Tunlinkat, Tversion,
    Twalk, Twrite, Txattrcreate, Txattrwalk,
};

const CREATE: OpenFlags = OpenFlags::RDWR.union(OpenFlags::CREATE).union(OpenFlags::EXCL);

fn plain(root: &Path) -> Client {
    connect(root, Dialect::Plain)
}

fn create(client: &mut Client, fid: u32, name: &str) {
    client.walk(fid, "");
    client.done(Tlcreate { fid, name: text(name), flags: CREATE, mode: 0o640, gid: 0 });
}

#[test]
fn a_file_is_made_written_read_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut client = plain(dir.path());
    create(&mut client, 1, "file");
    assert_eq!(fs::metadata(&path).unwrap().mode(), 0o100_640);
    client.done(Twrite { fid: 1, offset: 2, data: Data(b"hello".to_vec()) });
    assert_eq!(fs::read(&path).unwrap(), b"\0\0hello");
    let RMessage::Read(read) = client.done(Tread { fid: 1, offset: 3, count: 100 }) else {
        panic!("no data")
    };
    assert_eq!(&*read.data, b"ello");
    client.done(Tfsync { fid: 1, datasync: 0 });
    client.done(Tclunk { fid: 1 });
    assert_eq!(client.refused(Tclunk { fid: 1 }), errno::EBADF);
    client.done(Tunlinkat { dirfid: ROOT, name: text("file"), flags: 0 });
    assert!(!path.exists());
}

#[test]
fn names_are_linked_moved_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "x").unwrap();
    let mut client = plain(dir.path());
    client.done(Tmkdir { dfid: ROOT, name: text("d"), mode: 0o1777, gid: 0 });
    assert_eq!(fs::metadata(dir.path().join("d")).unwrap().mode(), 0o41777);
    client.walk(1, "d");
    client.walk(2, "a");
    client.done(Tlink { dfid: 1, fid: 2, name: text("b") });
    assert_eq!(client.attr(2).nlink, 2);
    let (oldname, newname) = (text("a"), text("c"));
    client.done(Trenameat { olddirfid: ROOT, oldname, newdirfid: 1, newname });
    client.done(Tsymlink { fid: ROOT, name: text("s"), symtgt: text("d/c"), gid: 0 });
    assert_eq!(fs::read(dir.path().join("s")).unwrap(), b"x");
    client.walk(3, "s");
    let RMessage::Readlink(link) = client.done(Treadlink { fid: 3 }) else { panic!("no link") };
    assert_eq!(&*link.target, b"d/c");
    // A link to a link is a link to the link itself.
    client.done(Tlink { dfid: ROOT, fid: 3, name: text("t") });
    assert_eq!(fs::read_link(dir.path().join("t")).unwrap(), Path::new("d/c"));
    assert_eq!(client.refused(Treadlink { fid: 2 }), errno::EINVAL);
    assert_ne!(client.refused(Tunlinkat { dirfid: ROOT, name: text("d"), flags: 0 }), 0);
    for name in ["b", "c"] {
        client.done(Tunlinkat { dirfid: 1, name: text(name), flags: 0 });
    }
    client.done(Tunlinkat { dirfid: ROOT, name: text("d"), flags: 0x200 });
    assert!(!dir.path().join("d").exists());
    assert_eq!(client.refused(Tremove { fid: 2 }), errno::EOPNOTSUPP);
    assert_eq!(client.refused(Tclunk { fid: 2 }), errno::EBADF, "Tremove forgets the fid");
}

#[test]
fn attributes_are_set_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "0123456789").unwrap();
    let mut client = plain(dir.path());
    client.walk(1, "f");
    let attr = SetAttr {
        valid: SetAttrMask::SIZE
            | SetAttrMask::MODE
            | SetAttrMask::UID
            | SetAttrMask::GID
            | SetAttrMask::MTIME
            | SetAttrMask::MTIME_SET,
        mode: 0o6755,
        uid: 1234,
        gid: 4321,
        size: 4,
        atime: Time::default(),
        mtime: Time { sec: -7, nsec: 5 },
    };
    client.done(Tsetattr { fid: 1, attr });
    let host = fs::symlink_metadata(&path).unwrap();
    assert_eq!((host.mode(), host.len()), (0o106_755, 4), "owner first, or bits are lost");
    assert_eq!((host.uid(), host.gid(), host.mtime(), host.mtime_nsec()), (1234, 4321, -7, 5));
    let told = client.attr(1);
    assert_eq!((told.mode, told.uid, told.gid, told.size), (0o106_755, 1234, 4321, 4));
    assert_eq!((told.mtime, told.qid.path), (attr.mtime, host.ino()));
    assert_eq!(told.ctime.sec, host.ctime());

    let before = told.qid.version;
    let attr = SetAttr { valid: SetAttrMask::ATIME, ..SetAttr::default() };
    client.done(Tsetattr { fid: 1, attr });
    assert!(client.attr(1).atime.sec > 1_600_000_000, "the server's now");
    assert_ne!(client.attr(1).qid.version, before, "a change is a new version");
    let valid = SetAttrMask::ATIME | SetAttrMask::ATIME_SET;
    let atime = Time { sec: 0, nsec: 1_000_000_000 };
    let attr = SetAttr { valid, atime, ..SetAttr::default() };
    assert_eq!(client.refused(Tsetattr { fid: 1, attr }), errno::EINVAL);
}

#[test]
fn attributes_of_a_link_are_its_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    std::os::unix::fs::symlink("f", dir.path().join("l")).unwrap();
    let mut client = plain(dir.path());
    client.walk(1, "l");
    assert_eq!(client.attr(1).qid.kind, QidKind::SYMLINK);
    let valid = SetAttrMask::UID | SetAttrMask::MTIME | SetAttrMask::MTIME_SET;
    let mtime = Time { sec: 99, nsec: 0 };
    client.done(Tsetattr { fid: 1, attr: SetAttr { valid, uid: 77, mtime, ..SetAttr::default() } });
    let link = fs::symlink_metadata(dir.path().join("l")).unwrap();
    assert_eq!((link.uid(), link.mtime()), (77, 99));
    assert_ne!(fs::metadata(dir.path().join("f")).unwrap().uid(), 77);
    assert_eq!(client.refused(Tlopen { fid: 1, flags: OpenFlags::empty() }), errno::ELOOP);
    let attr = SetAttr { valid: SetAttrMask::SIZE, ..SetAttr::default() };
    assert_eq!(client.refused(Tsetattr { fid: 1, attr }), errno::ELOOP);
}

#[test]
fn extended_attributes_are_set_by_the_clunk() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    let mut client = plain(dir.path());
    let set = |client: &mut Client, pieces: &[&[u8]], size: u64| {
        client.walk(1, "f");
        client.done(Txattrcreate { fid: 1, name: text("user.k"), attr_size: size, flags: 0 });
        let mut offset = 0;
        for piece in pieces {
            client.done(Twrite { fid: 1, offset, data: Data(piece.to_vec()) });
            offset += piece.len() as u64;
        }
    };
    set(&mut client, &[b"val", b"ue"], 5);
    let more = Twrite { fid: 1, offset: 5, data: Data(b"!".to_vec()) };
    assert_eq!(client.refused(more), errno::EINVAL);
    client.done(Tclunk { fid: 1 });

    client.walk(1, "f");
    let RMessage::Xattrwalk(found) =
        client.done(Txattrwalk { fid: 1, newfid: 2, name: text("user.k") })
    else {
        panic!("no size")
    };
    assert_eq!(found.size, 5);
    let RMessage::Read(read) = client.done(Tread { fid: 2, offset: 1, count: 100 }) else {
        panic!("no value")
    };
    assert_eq!(&*read.data, b"alue");
    client.done(Txattrwalk { fid: 1, newfid: 3, name: text("") });
    let RMessage::Read(read) = client.done(Tread { fid: 3, offset: 0, count: 100 }) else {
        panic!("no names")
    };
    assert_eq!(&*read.data, b"user.k\0");
    client.done(Tclunk { fid: 1 });

    set(&mut client, &[b"va"], 5);
    assert_eq!(client.refused(Tclunk { fid: 1 }), errno::EINVAL, "a value that is not whole");
    set(&mut client, &[], 0);
    client.done(Tclunk { fid: 1 });
    client.walk(1, "f");
    let gone = Txattrwalk { fid: 1, newfid: 4, name: text("user.k") };
    assert_eq!(client.refused(gone), errno::ENODATA);
    let huge = Txattrcreate { fid: 1, name: text("user.k"), attr_size: u64::MAX, flags: 0 };
    assert_eq!(client.refused(huge), errno::E2BIG);
}

#[test]
fn a_directory_is_listed_in_pieces_and_again() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..500 {
        fs::write(dir.path().join(format!("file-{i:04}")), "").unwrap();
    }
    let mut client = plain(dir.path());
    client.walk(1, "");
    assert_eq!(client.refused(Treaddir { fid: 1, offset: 0, count: 4096 }), errno::EBADF);
    client.done(Tlopen { fid: 1, flags: OpenFlags::DIRECTORY });
    for _ in 0..2 {
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let RMessage::Readdir(list) = client.done(Treaddir { fid: 1, offset, count: 1000 })
            else {
                panic!("no entries")
            };
            let Some(last) = list.entries.last() else { break };
            offset = last.offset;
            names.extend(list.entries.0.into_iter().map(|e| e.name.into_bytes()));
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 502);
        assert_eq!(names[0], b".");
        assert_eq!(names[501], b"file-0499");
    }
    assert_eq!(client.refused(Treaddir { fid: 1, offset: 0, count: 5 }), errno::EINVAL);
}

#[test]
fn pipes_sockets_and_whiteouts_are_made_and_devices_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = plain(dir.path());
    let node = |name: &str, mode, major, minor| Tmknod {
        dfid: ROOT,
        name: text(name),
        mode,
        major,
        minor,
        gid: 0,
    };
    client.done(node("fifo", 0o010_622, 0, 0));
    client.done(node("socket", 0o140_700, 0, 0));
    client.done(node("whiteout", 0o020_000, 0, 0));
    assert_eq!(fs::metadata(dir.path().join("fifo")).unwrap().mode(), 0o010_622);
    assert_eq!(client.refused(node("null", 0o020_666, 1, 3)), errno::EPERM);
    assert_eq!(client.refused(node("disk", 0o060_666, 8, 0)), errno::EPERM);
    assert_eq!(client.refused(node("d", 0o040_755, 0, 0)), errno::EINVAL);
    for (fid, name) in [(1, "fifo"), (2, "socket"), (3, "whiteout")] {
        client.walk(fid, name);
        let flags = OpenFlags::RDWR;
        assert_eq!(client.refused(Tlopen { fid, flags }), errno::ENXIO, "{name} is never opened");
    }
}

#[test]
fn a_create_without_excl_opens_what_is_there_unless_it_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "old").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("l")).unwrap();
    let mut client = plain(dir.path());
    let flags = OpenFlags::RDWR | OpenFlags::CREATE;
    client.walk(1, "");
    client.done(Tlcreate { fid: 1, name: text("f"), flags, mode: 0o600, gid: 99 });
    let host = fs::metadata(dir.path().join("f")).unwrap();
    assert_eq!((host.len(), host.gid()), (3, 0), "what was there stays as it was");
    client.walk(2, "");
    let mut create = Tlcreate { fid: 2, name: text("l"), flags, mode: 0o600, gid: 0 };
    assert_eq!(client.refused(create.clone()), errno::ELOOP);
    create.flags = CREATE;
    assert_eq!(client.refused(create), errno::EEXIST);
}

#[test]
fn a_single_file_can_be_a_root() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    fs::write(&path, "localhost").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut client = plain(&path);
    assert_eq!(client.attr(ROOT).mode, 0o100_644);
    let wnames = vec![text("x")];
    assert_eq!(client.refused(Twalk { fid: ROOT, newfid: 1, wnames }), errno::ENOTDIR);
    client.walk(1, "");
    client.done(Tlopen { fid: 1, flags: OpenFlags::empty() });
    let RMessage::Read(read) = client.done(Tread { fid: 1, offset: 0, count: 100 }) else {
        panic!("no data")
    };
    assert_eq!(&*read.data, b"localhost");
}

/// Two servers over two equal trees: this crate's, and another implementation's.
struct Both {
    ours: Client,
    theirs: p9_peer::Server,
}

impl Both {
    fn over(one: &Path, two: &Path) -> Self {
        let theirs = p9_peer::Server::new(two, Default::default(), Default::default()).unwrap();
        let mut both = Self { ours: plain(one), theirs };
        let version = text(Dialect::Plain.version());
        both.theirs(Tversion { msize: p9::DEFAULT_MSIZE, version });
        both.theirs(Tattach { fid: ROOT, afid: NOFID, ..Tattach::default() });
        both
    }

    fn theirs(&mut self, question: impl Into<TMessage>) -> RMessage {
        let question = question.into();
        let tag = if matches!(question, TMessage::Version(_)) { NOTAG } else { 1 };
        let (mut frame, mut answer) = (Vec::new(), Vec::new());
        question.encode(tag, &mut frame).unwrap();
        self.theirs.handle_message(&mut Cursor::new(frame), &mut answer).unwrap();
        RMessage::decode(&answer).unwrap().1
    }

    /// Both answer alike, apart from what differs between two files.
    fn alike(&mut self, question: impl Into<TMessage>) {
        let question = question.into();
        let ours = comparable(self.ours.ask(question.clone()));
        let theirs = comparable(self.theirs(question.clone()));
        assert_eq!(ours, theirs, "to {question:?}");
    }
}

/// Leaves out identities, times and the order of entries.
fn comparable(mut answer: RMessage) -> RMessage {
    let nameless = |qid: &mut p9::Qid| (qid.path, qid.version) = (0, 0);
    match &mut answer {
        RMessage::Walk(a) => a.wqids.iter_mut().for_each(nameless),
        RMessage::Lopen(a) => nameless(&mut a.qid),
        RMessage::Lcreate(a) => nameless(&mut a.qid),
        RMessage::Mkdir(a) => nameless(&mut a.qid),
        RMessage::Statfs(a) => {
            (a.stat.bfree, a.stat.bavail, a.stat.ffree) = (0, 0, 0);
            // The other server leaves this out.
            a.stat.fsid = 0;
        }
        RMessage::Readdir(a) => {
            a.entries.0.sort_by_key(|entry| entry.name.clone());
            for entry in &mut a.entries.0 {
                (entry.offset, entry.qid) = (0, p9::Qid::default());
            }
        }
        RMessage::Getattr(a) => {
            let attr = &mut a.attr;
            nameless(&mut attr.qid);
            attr.valid = p9::AttrMask::empty();
            for time in [&mut attr.atime, &mut attr.mtime, &mut attr.ctime, &mut attr.btime] {
                *time = Time::default();
            }
        }
        _ => {}
    }
    answer
}

#[test]
fn another_implementation_answers_alike() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&one, &two] {
        fs::write(dir.path().join("a"), "contents").unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("s")).unwrap();
    }
    let mut both = Both::over(one.path(), two.path());
    let walk = |newfid, names: &[&str]| Twalk {
        fid: ROOT,
        newfid,
        wnames: names.iter().map(|name| text(name)).collect(),
    };
    both.alike(walk(1, &["a"]));
    both.alike(walk(2, &["d"]));
    both.alike(walk(3, &["d", "absent"]));
    both.alike(walk(3, &["absent", "x"]));
    both.alike(walk(3, &["a", "x"]));
    both.alike(walk(1, &["d"]));
    both.alike(walk(4, &["s"]));
    both.alike(Treadlink { fid: 4 });
    for fid in [ROOT, 1, 2, 4, 99] {
        both.alike(Tgetattr { fid, request_mask: p9::AttrMask::BASIC });
    }
    both.alike(Tread { fid: 1, offset: 0, count: 10 });
    both.alike(Tlopen { fid: 1, flags: OpenFlags::RDWR });
    both.alike(Tread { fid: 1, offset: 3, count: 10 });
    both.alike(Tread { fid: 1, offset: 300, count: 10 });
    both.alike(Twrite { fid: 1, offset: 8, data: Data(b"!".to_vec()) });
    let attr = SetAttr { valid: SetAttrMask::SIZE, size: 3, ..SetAttr::default() };
    both.alike(Tsetattr { fid: 1, attr });
    both.alike(Tfsync { fid: 1, datasync: 1 });
    both.alike(Tgetattr { fid: 1, request_mask: p9::AttrMask::BASIC });
    both.alike(Tclunk { fid: 1 });
    both.alike(Tclunk { fid: 1 });
    both.alike(Tmkdir { dfid: 2, name: text("e"), mode: 0o750, gid: 0 });
    both.alike(Tmkdir { dfid: 2, name: text("e"), mode: 0o750, gid: 0 });
    both.alike(walk(5, &["d", "e"]));
    both.alike(Tlcreate { fid: 5, name: text("n"), flags: CREATE, mode: 0o604, gid: 0 });
    both.alike(Tgetattr { fid: 5, request_mask: p9::AttrMask::BASIC });
    let (oldname, newname) = (text("a"), text("b"));
    both.alike(Trenameat { olddirfid: ROOT, oldname, newdirfid: 2, newname });
    both.alike(walk(6, &["d", "b"]));
    both.alike(Tlink { dfid: ROOT, fid: 6, name: text("c") });
    both.alike(Tunlinkat { dirfid: 2, name: text("b"), flags: 0 });
    both.alike(Tunlinkat { dirfid: 2, name: text("b"), flags: 0 });
    both.alike(Tunlinkat { dirfid: 2, name: text("e"), flags: 0x200 });
    both.alike(Tlopen { fid: 2, flags: OpenFlags::DIRECTORY });
    both.alike(Treaddir { fid: 2, offset: 0, count: 8000 });
    both.alike(Tstatfs { fid: ROOT });
    both.alike(Tremove { fid: 6 });
}

//! A client that means harm, and a host where others change names at the same time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a step that fails ends the test")]

mod client;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use client::{Client, ROOT, connect, donate, errno, text, walkx};
use gofer::Limits;
use p9::{
    Data, Dialect, NOFID, OpenFlags, RMessage, SetAttr, Str, TMessage, Tattach, Tcreatex, Tgetattr,
    Tlcreate, Tlink, Tlopen, Tmkdir, Tmkdirx, Topenx, Tread, Treaddirx, Trenameat, Tsetattr,
    Tsymlink, Tunlinkat, Tversion, Twalk, Twrite, WalkStep,
};

const BAD_NAMES: [&str; 7] = ["..", ".", "", "/", "../etc", "a/../..", "/etc/passwd"];

#[test]
fn no_name_leads_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    let mut client = connect(dir.path(), Dialect::Extended);
    client.walkx(1, "a", None);
    for bad in BAD_NAMES {
        let name = || text(bad);
        let einval = errno::EINVAL;
        let walk = |name| Twalk { fid: 1, newfid: 2, wnames: vec![name] };
        assert_eq!(client.refused(walk(name())), einval, "{bad:?}");
        let steps = vec![WalkStep { name: name(), newfid: 2 }];
        let RMessage::Walkx(answer) = client.done(p9::Twalkx { fid: 1, steps, open: None }) else {
            panic!("no walk")
        };
        assert_eq!((answer.attrs.len(), answer.ecode), (0, einval));
        assert_eq!(client.refused(Tmkdir { dfid: 1, name: name(), mode: 0, gid: 0 }), einval);
        let symtgt = text("x");
        assert_eq!(client.refused(Tsymlink { fid: 1, name: name(), symtgt, gid: 0 }), einval);
        assert_eq!(client.refused(Tlink { dfid: 1, fid: 1, name: name() }), einval);
        assert_eq!(client.refused(Tunlinkat { dirfid: 1, name: name(), flags: 0 }), einval);
        let flags = OpenFlags::RDWR;
        assert_eq!(
            client.refused(Tlcreate { fid: 1, name: name(), flags, mode: 0, gid: 0 }),
            einval
        );
        let (olddirfid, newdirfid) = (1, 1);
        let to = Trenameat { olddirfid, oldname: text("x"), newdirfid, newname: name() };
        assert_eq!(client.refused(to), einval);
        let from = Trenameat { olddirfid, oldname: name(), newdirfid, newname: text("x") };
        assert_eq!(client.refused(from), einval);
        let create = Tcreatex {
            dfid: 1,
            name: name(),
            newfid: NOFID,
            open: donate(flags),
            ..Tcreatex::default()
        };
        assert_eq!(client.refused(create), einval);
    }
    let nul = Str::new(*b"a\0b").unwrap();
    assert_eq!(client.refused(Twalk { fid: 1, newfid: 2, wnames: vec![nul] }), errno::EINVAL);
    let long = Str::new(vec![b'a'; 256]).unwrap();
    assert_eq!(
        client.refused(Twalk { fid: 1, newfid: 2, wnames: vec![long] }),
        errno::ENAMETOOLONG
    );
}

#[test]
fn a_link_is_never_followed_by_any_request() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), dir.path().join("l")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("f")).unwrap();
    let mut client = connect(dir.path(), Dialect::Extended);
    client.walkx(1, "l", None);
    client.walkx(2, "f", None);
    let wnames = vec![text("secret")];
    assert_eq!(client.refused(Twalk { fid: 1, newfid: 3, wnames }), errno::ENOTDIR);
    assert_eq!(
        client.refused(Tmkdir { dfid: 1, name: text("x"), mode: 0, gid: 0 }),
        errno::ENOTDIR
    );
    assert_eq!(client.refused(Topenx { fid: 2, open: donate(OpenFlags::empty()) }), errno::ELOOP);
    assert_eq!(client.refused(Topenx { fid: 1, open: donate(OpenFlags::DIRECTORY) }), errno::ELOOP);
    assert_eq!(client.refused(Treaddirx { fid: 1, offset: 0, count: 999 }), errno::ENOTDIR);
    let valid = p9::SetAttrMask::MODE;
    let chmod = Tsetattr { fid: 2, attr: SetAttr { valid, mode: 0o777, ..SetAttr::default() } };
    client.ask(chmod);
    let host = fs::metadata(outside.path().join("secret")).unwrap();
    assert_ne!(host.mode() & 0o777, 0o777);
    let set = p9::Tsetxattrx { fid: 2, name: text("user.a"), value: Data::default(), flags: 0 };
    assert_eq!(client.refused(set), errno::EOPNOTSUPP);
}

/// Somebody on the host swaps a directory for a link to the outside, over and over.
#[test]
fn a_race_of_names_never_leads_out() {
    let top = tempfile::tempdir().unwrap();
    let (root, outside) = (top.path().join("root"), top.path().join("outside"));
    for dir in [&root, &outside] {
        fs::create_dir_all(dir.join("d/e")).unwrap();
    }
    fs::write(root.join("d/e/f"), "inside").unwrap();
    fs::write(outside.join("d/e/f"), "outside").unwrap();
    symlink(outside.join("d"), root.join("link")).unwrap();
    let stop = AtomicBool::new(false);
    let mut client = connect(&root, Dialect::Extended);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let at = rustix::fs::CWD;
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(at, root.join("d"), at, root.join("link"), exchange)
                    .unwrap();
            }
        });
        let (mut inside, mut links) = (0, 0);
        // Until both sides of the race were seen often, or long enough.
        for _ in 0..200_000 {
            race_once(&mut client, &root, &mut inside, &mut links);
            if inside > 500 && links > 500 {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(inside > 0 && links > 0, "{inside} times inside, {links} times at the link");
    });
    assert_eq!(fs::read(outside.join("d/e/f")).unwrap(), b"outside");
    assert_eq!(fs::read_dir(outside.join("d/e")).unwrap().count(), 1);
}

fn race_once(client: &mut Client, root: &Path, inside: &mut u32, links: &mut u32) {
    let answer = client.walkx(NOFID, "d/e/f", Some(donate(OpenFlags::empty())));
    if answer.opened.is_some_and(|opened| opened.fd) {
        let mut contents = String::new();
        client.donated().read_to_string(&mut contents).unwrap();
        assert_eq!(contents, "inside", "left {}", root.display());
        *inside += 1;
    } else {
        assert!(!answer.target.is_empty(), "{answer:?}");
        *links += 1;
    }
    // A change by way of a fid that was a directory when it was walked to.
    let steps = ["d", "e"].iter().zip([NOFID, 5]);
    let steps = steps.map(|(name, newfid)| WalkStep { name: text(name), newfid }).collect();
    let RMessage::Walkx(answer) = client.done(p9::Twalkx { fid: ROOT, steps, open: None }) else {
        panic!("no walk")
    };
    if answer.attrs.len() == 2 && answer.target.is_empty() {
        let (name, newfid, mode) = (text("new"), NOFID, 0o755);
        let mkdir = Tmkdirx { dfid: 5, name, newfid, mode, uid: 0, gid: 0 };
        client.done(mkdir);
        client.done(Tunlinkat { dirfid: 5, name: text("new"), flags: 0x200 });
        client.done(p9::Tclunk { fid: 5 });
    }
}

#[test]
fn fids_that_nobody_bound_are_refused_by_every_request() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path(), Dialect::Extended);
    for (kind, name) in TMessage::KINDS {
        // An all-zero body is a message with fid 0; fid 0 is not bound any more.
        let question = (0..200).find_map(|len| {
            let mut frame = vec![0; len + 7];
            frame[4] = *kind;
            let size = u32::try_from(frame.len()).unwrap();
            frame[..4].copy_from_slice(&size.to_le_bytes());
            TMessage::decode(&frame).ok().map(|(_, message)| message)
        });
        let question = question.unwrap_or_else(|| panic!("no zero {name}"));
        match question {
            TMessage::Version(_) | TMessage::Flush(_) | TMessage::Attach(_) => continue,
            TMessage::Clunkx(_) => continue,
            _ => {}
        }
        // Gone after the first time.
        client.ask(p9::Tclunk { fid: ROOT });
        assert_ne!(client.refused(question), 0, "{name}");
    }
}

#[test]
fn huge_counts_and_offsets_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), vec![1; 3 << 20]).unwrap();
    let mut client = connect(dir.path(), Dialect::Extended);
    client.walkx(1, "f", Some(client::as_fid(2, OpenFlags::RDWR)));
    let RMessage::Read(read) = client.done(Tread { fid: 2, offset: 0, count: u32::MAX }) else {
        panic!("no data")
    };
    assert_eq!(read.data.len(), usize::try_from(client.msize - p9::IO_HEADER).unwrap());
    assert_eq!(client.refused(Tread { fid: 2, offset: u64::MAX, count: 1 }), errno::EINVAL);
    let data = Data(vec![0; 10]);
    assert_eq!(client.refused(Twrite { fid: 2, offset: u64::MAX - 1, data }), errno::EINVAL);
    let attr = SetAttr { valid: p9::SetAttrMask::SIZE, size: u64::MAX, ..SetAttr::default() };
    assert_eq!(client.refused(Tsetattr { fid: 2, attr }), errno::EINVAL);
    assert_eq!(
        client.refused(Treaddirx { fid: ROOT, offset: u64::MAX, count: 999 }),
        errno::EINVAL
    );
    let steps = vec![WalkStep { name: text("f"), newfid: NOFID }; 65];
    assert_eq!(client.refused(p9::Twalkx { fid: ROOT, steps, open: None }), errno::EINVAL);
    let wnames = vec![text("f"); 17];
    assert_eq!(client.refused(Twalk { fid: ROOT, newfid: 9, wnames }), errno::EINVAL);
}

#[test]
fn a_malformed_body_is_an_error_and_a_malformed_frame_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path(), Dialect::Extended);
    // Framing intact: type unknown, body cut, body too long.
    for (frame, expected) in [
        (&[7, 0, 0, 0, 250, 9, 0][..], errno::EOPNOTSUPP),
        (&[9, 0, 0, 0, 120, 9, 0, 1, 0], errno::EBADMSG),
        (&[12, 0, 0, 0, 120, 9, 0, 1, 0, 0, 0, 0], errno::EBADMSG),
    ] {
        client.socket.write_all(frame).unwrap();
        assert_eq!(client.receive(), Some((9, RMessage::error(expected))));
    }
    client.attr(ROOT);
    client.socket.write_all(&[3, 0, 0, 0]).unwrap();
    assert_eq!(client.receive(), None);
}

#[test]
fn a_frame_larger_than_agreed_ends_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, server) = client::start(dir.path(), false, Limits::default());
    let mut client = Client::raw(socket, Some(server));
    client.begin(Dialect::Extended, 8192);
    assert_eq!(client.msize, 8192);
    client.socket.write_all(&8193_u32.to_le_bytes()).unwrap();
    assert_eq!(client.receive(), None);
}

#[test]
fn nothing_goes_before_the_version_and_a_new_one_forgets_all() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, server) = client::start(dir.path(), false, Limits::default());
    let mut client = Client::raw(socket, Some(server));
    let attach = |aname: &str| Tattach { aname: text(aname), ..Tattach::default() };
    assert_eq!(client.refused(attach("")), errno::EPROTO);
    let version = |version: &str, msize| Tversion { msize, version: text(version) };
    for (asked, msize) in [("9P2000.u", 8192), ("9P2000.L", 100)] {
        let RMessage::Version(answer) = client.done(version(asked, msize)) else {
            panic!("no version")
        };
        assert_eq!(&*answer.version, b"unknown");
    }
    assert_eq!(client.refused(attach("")), errno::EPROTO);
    let RMessage::Version(answer) = client.done(version("9P2000.L.other", 8192)) else {
        panic!("no version")
    };
    assert_eq!(&*answer.version, b"9P2000.L");
    assert_eq!(client.refused(attach("/elsewhere")), errno::ENOENT);
    client.done(attach("/data"));
    assert_eq!(client.refused(attach("/data")), errno::EBADF, "the fid is taken");
    let extension = Topenx { fid: ROOT, open: donate(OpenFlags::empty()) };
    assert_eq!(client.refused(extension), errno::EOPNOTSUPP, "not agreed on");
    client.done(version("9P2000.L.runsc1", 8192));
    let mask = p9::AttrMask::ALL;
    assert_eq!(client.refused(Tgetattr { fid: ROOT, request_mask: mask }), errno::EBADF);
}

#[test]
fn descriptors_of_forgotten_fids_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    let mut client = connect(dir.path(), Dialect::Extended);
    for round in 0..2000 {
        let answer = client.walkx(1, "f", Some(client::as_fid(2, OpenFlags::empty())));
        assert_eq!(answer.opened.map(|opened| opened.ecode), Some(0), "round {round}");
        client.done(p9::Tclunkx { fids: vec![1, 2] });
        client.ask(walkx(1, "none", None));
        client.refused(Tlopen { fid: 9, flags: OpenFlags::empty() });
    }
    // 2,000 rounds that kept one each would show here; the tests beside this one have some too.
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 1000, "{open} descriptors");
}

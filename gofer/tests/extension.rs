//! The extended dialect: fewer round trips, and descriptors that come with answers.
#![expect(clippy::panic, reason = "a step that fails ends the test")]

mod client;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use client::{Client, ROOT, as_fid, connect, donate, errno, text, walkx};
use gofer::Limits;
use p9::{
    Attr, Data, Dialect, NOFID, OpenFlags, OpenHow, QidKind, RMessage, Tallocatex, Tclunk, Tclunkx,
    Tcreatex, Tgetxattrx, Tlink, Tlistxattrx, Tmkdirx, Tmknodx, Topenx, Tread, Treaddirx,
    Tremovexattrx, Trenamex, Tsetxattrx, Tsymlinkx, Twalkx, Twrite, WalkStep,
};

const READ: OpenFlags = OpenFlags::empty();

fn extended(root: &Path) -> Client {
    connect(root, Dialect::Extended)
}

fn creation(name: &str, open: OpenHow) -> Tcreatex {
    Tcreatex { dfid: ROOT, name: text(name), newfid: NOFID, mode: 0o644, uid: 10, gid: 20, open }
}

#[test]
fn one_round_trip_walks_tells_attributes_and_opens() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/b/f"), "contents").unwrap();
    let mut client = extended(dir.path());
    let open = OpenHow { newfid: 9, flags: READ, donate: true };
    let answer = client.walkx(5, "a/b/f", Some(open));
    assert_eq!((answer.attrs.len(), answer.ecode, answer.target.len()), (3, 0, 0));
    assert_eq!(answer.attrs[1].qid.kind, QidKind::DIR);
    assert_eq!(answer.attrs[2].size, 8);
    let opened = answer.opened.unwrap();
    assert_eq!((opened.ecode, opened.fd), (0, true));
    let mut contents = String::new();
    let mut file = client.donated();
    file.read_to_string(&mut contents).unwrap();
    assert_eq!(contents, "contents");
    assert!(file.write_all(b"x").is_err(), "it was asked for reading only");
    // The fids work too.
    let RMessage::Read(read) = client.done(Tread { fid: 9, offset: 0, count: 4 }) else {
        panic!("no data")
    };
    assert_eq!(&*read.data, b"cont");
    assert_eq!(client.attr(5).qid, answer.attrs[2].qid);
    client.done(Tclunkx { fids: vec![5, 9] });
    assert_eq!(client.refused(Tclunkx { fids: vec![5] }), errno::EBADF);
}

#[test]
fn every_step_can_have_a_fid_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
    let mut client = extended(dir.path());
    let steps = ["a", "b", "c", "d"].iter().zip(11..);
    let steps = steps.map(|(name, newfid)| WalkStep { name: text(name), newfid }).collect();
    let RMessage::Walkx(answer) = client.done(Twalkx { fid: ROOT, steps, open: None }) else {
        panic!("no walk")
    };
    assert_eq!((answer.attrs.len(), answer.ecode), (3, errno::ENOENT));
    for (fid, attr) in (11..).zip(&answer.attrs) {
        assert_eq!(client.attr(fid), *attr);
    }
    assert_eq!(client.refused(Tclunk { fid: 14 }), errno::EBADF, "not reached");
}

#[test]
fn a_walk_stops_at_a_link_and_says_where_it_leads() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    symlink("../etc/passwd", dir.path().join("d/l")).unwrap();
    let mut client = extended(dir.path());
    for path in ["d/l/x", "d/l"] {
        let answer = client.walkx(NOFID, path, Some(donate(READ)));
        assert_eq!((answer.attrs.len(), answer.ecode), (2, 0));
        assert_eq!(answer.attrs[1].qid.kind, QidKind::SYMLINK);
        assert_eq!(&*answer.target, b"../etc/passwd");
        assert_eq!(answer.opened, None);
    }
}

#[test]
fn a_walk_that_ends_early_says_why() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    let mut client = extended(dir.path());
    let answer = client.walkx(1, "f/x", None);
    assert_eq!((answer.attrs.len(), answer.ecode), (1, errno::ENOTDIR));
    let answer = client.walkx(1, "none", Some(donate(READ)));
    assert_eq!((answer.attrs.len(), answer.ecode, answer.opened), (0, errno::ENOENT, None));
    let answer = client.walkx(1, "f", Some(donate(OpenFlags::DIRECTORY)));
    assert_eq!(answer.opened.unwrap().ecode, errno::ENOTDIR);
    assert_eq!(client.attr(1).size, 0, "reached, though not opened");
    let taken =
        Twalkx { fid: ROOT, steps: vec![WalkStep { name: text("f"), newfid: 1 }], open: None };
    assert_eq!(client.refused(taken), errno::EBADF);
    let twice = vec![WalkStep { name: text("f"), newfid: 2 }; 2];
    assert_eq!(client.refused(Twalkx { fid: ROOT, steps: twice, open: None }), errno::EBADF);
    assert_eq!(client.refused(Twalkx { fid: ROOT, steps: vec![], open: None }), errno::EINVAL);
}

#[test]
fn an_open_donates_without_touching_the_fid() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "0123456789").unwrap();
    let mut client = extended(dir.path());
    client.walkx(1, "f", None);
    for _ in 0..3 {
        let RMessage::Openx(answer) = client.done(Topenx { fid: 1, open: donate(OpenFlags::RDWR) })
        else {
            panic!("not open")
        };
        assert!(answer.opened.fd);
        assert_eq!(answer.attr.size, 10);
        client.donated().write_all_at(b"ab", 3).unwrap();
    }
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"012ab56789");
    let RMessage::Openx(cut) =
        client.done(Topenx { fid: 1, open: as_fid(2, OpenFlags::RDWR | OpenFlags::TRUNC) })
    else {
        panic!("not open")
    };
    assert_eq!((cut.attr.size, cut.opened.fd), (0, false));
    client.done(Twrite { fid: 2, offset: 0, data: Data(b"new".to_vec()) });
    client.done(Tallocatex { fid: 2, mode: 0, offset: 0, length: 100 });
    assert_eq!(fs::metadata(dir.path().join("f")).unwrap().len(), 100);
    assert_eq!(client.refused(Topenx { fid: 1, open: as_fid(2, READ) }), errno::EBADF);
}

#[test]
fn a_file_is_opened_after_its_name_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "still here").unwrap();
    let mut client = extended(dir.path());
    client.walkx(1, "f", None);
    fs::remove_file(dir.path().join("f")).unwrap();
    fs::write(dir.path().join("f"), "another").unwrap();
    client.done(Topenx { fid: 1, open: donate(READ) });
    let mut contents = String::new();
    client.donated().read_to_string(&mut contents).unwrap();
    assert_eq!(contents, "still here");
}

#[test]
fn directories_are_never_donated() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut client = extended(dir.path());
    let answer = client.walkx(1, "d", Some(OpenHow { newfid: 2, flags: READ, donate: true }));
    let opened = answer.opened.unwrap();
    assert_eq!((opened.ecode, opened.fd), (0, false));
    let RMessage::Readdirx(list) = client.done(Treaddirx { fid: 2, offset: 0, count: 4096 }) else {
        panic!("no list")
    };
    assert_eq!(list.entries.len(), 0);
    assert_eq!(client.refused(Topenx { fid: 1, open: donate(OpenFlags::RDWR) }), errno::EISDIR);
}

#[test]
fn a_new_file_has_the_owner_and_the_mode_that_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = extended(dir.path());
    let open = OpenHow { newfid: NOFID, flags: OpenFlags::RDWR | OpenFlags::EXCL, donate: true };
    let mut create = creation("f", open);
    create.mode = 0o6711;
    create.newfid = 3;
    let RMessage::Createx(answer) = client.done(create.clone()) else { panic!("not made") };
    assert!(answer.created && answer.opened.fd);
    assert_eq!((answer.attr.mode, answer.attr.uid, answer.attr.gid), (0o106_711, 10, 20));
    client.donated().write_all(b"x").unwrap();
    let host = fs::metadata(dir.path().join("f")).unwrap();
    assert_eq!((host.uid(), host.gid(), host.len()), (10, 20, 1));
    assert_eq!(client.attr(3).size, 1);
    create.newfid = NOFID;
    assert_eq!(client.refused(create), errno::EEXIST);
    let RMessage::Createx(found) = client.done(creation("f", donate(READ))) else {
        panic!("not found")
    };
    assert!(!found.created);
    drop(client.donated());
}

#[test]
fn a_create_that_meets_a_link_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/etc/passwd", dir.path().join("l")).unwrap();
    let mut client = extended(dir.path());
    let RMessage::Createx(found) = client.done(creation("l", donate(OpenFlags::RDWR))) else {
        panic!("not found")
    };
    assert_eq!((found.created, found.opened.ecode, found.opened.fd), (false, errno::ELOOP, false));
    assert_eq!(found.attr.qid.kind, QidKind::SYMLINK);
}

#[test]
fn a_file_without_a_name_gets_one_by_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = extended(dir.path());
    let flags = OpenFlags::RDWR | OpenFlags::TMPFILE | OpenFlags::DIRECTORY;
    let mut create = creation("", donate(flags));
    create.newfid = 1;
    client.done(create);
    client.donated().write_all(b"quiet").unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    client.done(Tlink { dfid: ROOT, fid: 1, name: text("loud") });
    assert_eq!(fs::read(dir.path().join("loud")).unwrap(), b"quiet");
    assert_eq!(client.refused(creation("name", donate(flags))), errno::EINVAL);
}

#[test]
fn directories_links_and_pipes_are_made_for_their_owner() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = extended(dir.path());
    let (dfid, uid, gid) = (ROOT, 10, 20);
    let mkdir = Tmkdirx { dfid, name: text("d"), newfid: 1, mode: 0o3775, uid, gid };
    let RMessage::Mkdirx(made) = client.done(mkdir) else { panic!("not made") };
    assert_eq!((made.attr.mode, made.attr.uid, made.attr.gid), (0o043_775, 10, 20));
    let link = Tsymlinkx { dfid: 1, name: text("l"), newfid: 2, symtgt: text("x"), uid, gid };
    let RMessage::Symlinkx(made) = client.done(link) else { panic!("not made") };
    assert_eq!((made.attr.mode & 0o170_000, made.attr.uid), (0o120_000, 10));
    let (major, minor) = (0, 0);
    let mode = 0o010_604;
    let pipe = Tmknodx { dfid, name: text("p"), newfid: 3, mode, major, minor, uid, gid };
    let RMessage::Mknodx(made) = client.done(pipe) else { panic!("not made") };
    assert_eq!((made.attr.mode, made.attr.gid), (0o010_604, 20));
    for (fid, attr_uid) in [(1, 10), (2, 10), (3, 10)] {
        assert_eq!(client.attr(fid).uid, attr_uid);
    }
    let host = fs::symlink_metadata(dir.path().join("d/l")).unwrap();
    assert_eq!((host.uid(), host.gid()), (10, 20));
}

#[test]
fn three_thousand_entries_come_with_their_attributes_in_few_answers() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..3000 {
        fs::write(dir.path().join(format!("file-{i:04}")), vec![b'x'; i % 7]).unwrap();
    }
    symlink("nowhere", dir.path().join("link")).unwrap();
    let mut client = extended(dir.path());
    client.walkx(1, "file-0000", None);
    assert_eq!(client.refused(Treaddirx { fid: 1, offset: 0, count: 9999 }), errno::ENOTDIR);
    let (mut found, mut offset, mut answers) = (BTreeMap::<Vec<u8>, Attr>::new(), 0, 0);
    loop {
        let list = client.done(Treaddirx { fid: ROOT, offset, count: u32::MAX });
        let RMessage::Readdirx(list) = list else { panic!("no list") };
        let Some(last) = list.entries.last() else { break };
        offset = last.offset;
        answers += 1;
        for entry in list.entries.0 {
            assert!(found.insert(entry.name.into_bytes(), entry.attr).is_none(), "told twice");
        }
    }
    assert_eq!(found.len(), 3001);
    assert!(answers <= 3, "{answers} answers");
    assert_eq!(found[&b"file-0006"[..]].size, 6);
    assert_eq!(found[&b"link"[..]].qid.kind, QidKind::SYMLINK);
    assert_eq!(found[&b"file-0000"[..]], client.attr(1));
}

#[test]
fn moves_can_refuse_to_replace_or_exchange() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "a").unwrap();
    fs::write(dir.path().join("b"), "b").unwrap();
    let mut client = extended(dir.path());
    let rename = |flags| Trenamex {
        olddirfid: ROOT,
        oldname: text("a"),
        newdirfid: ROOT,
        newname: text("b"),
        flags,
    };
    assert_eq!(client.refused(rename(1)), errno::EEXIST);
    client.done(rename(2));
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"b");
    assert_eq!(client.refused(rename(4)), errno::EINVAL);
    assert_eq!(client.refused(rename(0x8000_0000)), errno::EINVAL);
    client.done(rename(0));
    assert!(!dir.path().join("a").exists());
}

#[test]
fn extended_attributes_take_one_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = extended(dir.path());
    let name = || text("user.key");
    let (fid, flags) = (ROOT, 0);
    client.done(Tsetxattrx { fid, name: name(), value: Data(b"value".to_vec()), flags });
    let RMessage::Getxattrx(got) = client.done(Tgetxattrx { fid, name: name() }) else {
        panic!("no value")
    };
    assert_eq!(&*got.value, b"value");
    let RMessage::Listxattrx(list) = client.done(Tlistxattrx { fid }) else { panic!("no names") };
    assert_eq!(list.names, [name()]);
    let exists = Tsetxattrx { fid, name: name(), value: Data::default(), flags: 1 };
    assert_eq!(client.refused(exists), errno::EEXIST);
    client.done(Tremovexattrx { fid, name: name() });
    assert_eq!(client.refused(Tgetxattrx { fid, name: name() }), errno::ENODATA);
    let hidden = text("trusted.overlay.opaque");
    assert_eq!(client.refused(Tgetxattrx { fid, name: hidden }), errno::EOPNOTSUPP);
}

#[test]
fn a_read_only_tree_refuses_every_change() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "x").unwrap();
    let mut client = client::connect_readonly(dir.path(), Dialect::Extended);
    let answer = client.walkx(1, "f", Some(donate(READ)));
    assert!(answer.opened.unwrap().fd);
    let mut file = client.donated();
    assert!(file.write_all(b"y").is_err());
    file.seek(SeekFrom::Start(0)).unwrap();
    let answer = client.walkx(NOFID, "f", Some(donate(OpenFlags::WRONLY)));
    assert_eq!(answer.opened.unwrap().ecode, errno::EROFS);
    let flags = OpenFlags::TRUNC;
    assert_eq!(client.refused(Topenx { fid: 1, open: donate(flags) }), errno::EROFS);
    let (uid, gid, mode, newfid, dfid) = (0, 0, 0o644, NOFID, ROOT);
    let (name, symtgt) = (|| text("n"), text("t"));
    assert_eq!(client.refused(creation("n", donate(READ))), errno::EROFS);
    assert_eq!(
        client.refused(Tmkdirx { dfid, name: name(), newfid, mode, uid, gid }),
        errno::EROFS
    );
    let link = Tsymlinkx { dfid, name: name(), newfid, symtgt, uid, gid };
    assert_eq!(client.refused(link), errno::EROFS);
    let attr = p9::SetAttr::default();
    assert_eq!(client.refused(p9::Tsetattr { fid: 1, attr }), errno::EROFS);
    assert_eq!(client.refused(Tlink { dfid, fid: 1, name: name() }), errno::EROFS);
    let unlink = p9::Tunlinkat { dirfid: ROOT, name: text("f"), flags: 0 };
    assert_eq!(client.refused(unlink), errno::EROFS);
    let (oldname, newname) = (text("f"), name());
    let rename = Trenamex { olddirfid: ROOT, oldname, newdirfid: ROOT, newname, flags: 0 };
    assert_eq!(client.refused(rename), errno::EROFS);
    let set = Tsetxattrx { fid: 1, name: text("user.a"), value: Data::default(), flags: 0 };
    assert_eq!(client.refused(set), errno::EROFS);
    assert_eq!(client.refused(Tremovexattrx { fid: 1, name: text("user.a") }), errno::EROFS);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"x");
}

#[test]
fn answers_to_pipelined_requests_keep_their_order_and_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..50 {
        fs::write(dir.path().join(format!("f{i}")), format!("{i}")).unwrap();
    }
    let mut client = extended(dir.path());
    for i in 0..50_u16 {
        client.send(i, walkx(NOFID, &format!("f{i}"), Some(donate(READ))));
    }
    for i in 0..50_u16 {
        let (tag, answer) = client.receive().unwrap();
        assert_eq!(tag, i);
        assert!(answer.carries_fd());
        let mut contents = String::new();
        client.donated().read_to_string(&mut contents).unwrap();
        assert_eq!(contents, format!("{i}"));
    }
}

#[test]
fn fids_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    let limits = Limits { fids: 3, ..Limits::default() };
    let (socket, server) = client::start(dir.path(), false, limits);
    let mut client = Client::on(socket, Some(server), Dialect::Extended);
    client.walkx(1, "f", None);
    client.walkx(2, "f", None);
    assert_eq!(client.refused(walkx(3, "f", None)), errno::EMFILE);
    client.done(Tclunk { fid: 1 });
    client.walkx(3, "f", None);
}

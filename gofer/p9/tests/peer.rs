//! Another implementation of 9P2000.L understands our questions, and we its answers.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

use std::fs;
use std::io::Cursor;

use p9::{
    Attr, AttrMask, Data, Dialect, Header, MIN_MSIZE, NOFID, NOTAG, OpenFlags, QidKind, RMessage,
    SetAttr, SetAttrMask, Str, TMessage, Tattach, Tauth, Tclunk, Tflush, Tfsync, Tgetattr,
    Tlcreate, Tlink, Tlopen, Tmkdir, Tread, Treaddir, Treadlink, Trenameat, Tsetattr, Tstatfs,
    Tsymlink, Tunlinkat, Tversion, Twalk, Twrite,
};

const ROOT: u32 = 0;
const FILE: u32 = 1;
const DIR: u32 = 2;

struct Peer(p9_peer::Server);

impl Peer {
    fn start(root: &std::path::Path) -> Self {
        let server = p9_peer::Server::new(root, Default::default(), Default::default()).unwrap();
        let mut peer = Self(server);
        let version = text(Dialect::Plain.version());
        let RMessage::Version(agreed) = peer.ask(Tversion { msize: 8192, version }) else {
            unreachable!("no version")
        };
        assert_eq!(Dialect::agreed(&agreed.version), Some(Dialect::Plain));
        assert!((MIN_MSIZE..=8192).contains(&agreed.msize));
        let (uname, aname) = (text("root"), text("/"));
        let attach = Tattach { fid: ROOT, afid: NOFID, uname, aname, n_uname: 0 };
        let RMessage::Attach(root) = peer.ask(attach) else { unreachable!("no root") };
        assert_eq!(root.qid.kind, QidKind::DIR);
        peer
    }

    fn ask(&mut self, question: impl Into<TMessage>) -> RMessage {
        let question = question.into();
        let tag = if matches!(question, TMessage::Version(_)) { NOTAG } else { 77 };
        let mut frame = Vec::new();
        question.encode(tag, &mut frame).unwrap();
        let mut answer = Vec::new();
        self.0.handle_message(&mut Cursor::new(frame), &mut answer).unwrap();
        let (back, message) = RMessage::decode(&answer).unwrap();
        assert_eq!(back, tag);
        let kind = Header::of(&answer).unwrap().kind;
        assert!(kind == question.kind() + 1 || kind == 7, "{message:?} to {question:?}");
        message
    }

    fn done(&mut self, question: impl Into<TMessage>) -> RMessage {
        let answer = self.ask(question);
        assert!(!matches!(answer, RMessage::Lerror(_)), "{answer:?}");
        answer
    }

    fn attr(&mut self, fid: u32) -> Attr {
        match self.done(Tgetattr { fid, request_mask: AttrMask::BASIC }) {
            RMessage::Getattr(answer) => answer.attr,
            other => unreachable!("{other:?}"),
        }
    }
}

fn text(text: &str) -> Str {
    Str::new(text).unwrap()
}

#[test]
fn a_session_with_another_implementation_means_the_same_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let mut peer = Peer::start(dir.path());
    peer.done(Twalk { fid: ROOT, newfid: FILE, wnames: vec![] });
    let flags = OpenFlags::RDWR | OpenFlags::CREATE | OpenFlags::EXCL;
    peer.done(Tlcreate { fid: FILE, name: text("file"), flags, mode: 0o640, gid: 0 });
    let data = Data(b"hello".to_vec());
    let RMessage::Write(written) = peer.done(Twrite { fid: FILE, offset: 3, data }) else {
        unreachable!("no count")
    };
    assert_eq!(written.count, 5);
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"\0\0\0hello");
    let RMessage::Read(read) = peer.done(Tread { fid: FILE, offset: 4, count: 100 }) else {
        unreachable!("no data")
    };
    assert_eq!(&*read.data, b"ello");
    peer.done(Tfsync { fid: FILE, datasync: 1 });

    let attr = SetAttr { valid: SetAttrMask::SIZE, size: 2, ..SetAttr::default() };
    peer.done(Tsetattr { fid: FILE, attr });
    let attr = peer.attr(FILE);
    assert_eq!((attr.size, attr.nlink, attr.mode & 0o170_000), (2, 1, 0o100_000));
    assert!(attr.valid.contains(AttrMask::BASIC) && attr.mtime.sec > 1_000_000_000);
    peer.done(Tclunk { fid: FILE });
}

#[test]
fn names_of_another_implementation_mean_the_same() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "").unwrap();
    let mut peer = Peer::start(dir.path());
    peer.done(Tmkdir { dfid: ROOT, name: text("d"), mode: 0o755, gid: 0 });
    std::os::unix::fs::symlink("d/b", dir.path().join("s")).unwrap();
    let wnames = vec![text("d")];
    peer.done(Twalk { fid: ROOT, newfid: DIR, wnames });
    let (oldname, newname) = (text("a"), text("b"));
    peer.done(Trenameat { olddirfid: ROOT, oldname, newdirfid: DIR, newname });
    let RMessage::Walk(walked) =
        peer.done(Twalk { fid: ROOT, newfid: FILE, wnames: vec![text("d"), text("b")] })
    else {
        unreachable!("no walk")
    };
    assert_eq!(walked.wqids.len(), 2);
    peer.done(Tlink { dfid: DIR, fid: FILE, name: text("c") });
    peer.done(Tunlinkat { dirfid: DIR, name: text("b"), flags: 0 });
    peer.done(Tlopen { fid: DIR, flags: OpenFlags::DIRECTORY });
    let RMessage::Readdir(list) = peer.done(Treaddir { fid: DIR, offset: 0, count: 4096 }) else {
        unreachable!("no entries")
    };
    let mut names: Vec<&[u8]> = list.entries.iter().map(|entry| &*entry.name).collect();
    names.sort_unstable();
    assert_eq!(names.last(), Some(&&b"c"[..]));
    peer.done(Twalk { fid: ROOT, newfid: 9, wnames: vec![text("s")] });
    let RMessage::Readlink(link) = peer.done(Treadlink { fid: 9 }) else { unreachable!("no link") };
    assert_eq!(&*link.target, b"d/b");
    let RMessage::Statfs(figures) = peer.done(Tstatfs { fid: ROOT }) else {
        unreachable!("no figures")
    };
    assert_eq!(figures.stat.namelen, 255);
}

#[test]
fn refusals_of_another_implementation_are_errors_here() {
    let dir = tempfile::tempdir().unwrap();
    let mut peer = Peer::start(dir.path());
    peer.done(Tflush { oldtag: 3 });
    let auth = Tauth { afid: 8, uname: text("root"), aname: text("/"), n_uname: 0 };
    assert_eq!(peer.ask(auth), RMessage::error(95));
    // That server makes no links.
    let link = Tsymlink { fid: ROOT, name: text("s"), symtgt: text("d/b"), gid: 0 };
    assert_eq!(peer.ask(link), RMessage::error(13));
    let wnames = vec![text("absent")];
    assert_eq!(peer.ask(Twalk { fid: ROOT, newfid: 5, wnames }), RMessage::error(2));
    let extension = p9::Topenx { fid: ROOT, ..Default::default() };
    assert!(matches!(peer.ask(extension), RMessage::Lerror(_)));
}

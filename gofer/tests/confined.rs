//! The Gofer as it is run: in a process of its own, without capabilities and behind its filter.
//!
//! Run without arguments this program is the tests; it starts itself again as the Gofer, whose socket
//! is its standard input.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a step that fails ends the test")]

mod client;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use client::{Client, ROOT, donate, text};
use gofer::Limits;
use p9::{
    Data, Dialect, NOFID, NOTAG, OpenFlags, OpenHow, RMessage, SetAttr, SetAttrMask, Tallocatex,
    Tcreatex, Tfsync, Tlink, Tlopen, Tmkdirx, Tmknodx, Topenx, Tread, Treaddir, Treaddirx,
    Tremovexattrx, Trenamex, Tsetattr, Tsetxattrx, Tstatfs, Tsymlinkx, Tunlinkat, Tversion, Twrite,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(Path::new(&arguments[1])),
        Some("misbehave") => misbehave(&arguments[1]),
        _ => tests(&arguments),
    }
}

/// The tests, reported as the usual harness does.
fn tests(arguments: &[String]) -> ExitCode {
    let tests: [(&str, fn()); 3] = [
        ("every_kind_of_request_passes_the_filter", every_kind_of_request_passes_the_filter),
        (
            "a_call_that_is_not_on_the_list_ends_the_process",
            a_call_that_is_not_on_the_list_ends_the_process,
        ),
        (
            "a_confined_process_has_no_more_rights_than_it_needs",
            a_confined_process_has_no_more_rights_than_it_needs,
        ),
    ];
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", tests.len());
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    println!(
        "\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        tests.len()
    );
    ExitCode::SUCCESS
}

/// Is the Gofer.
fn serve(root: &Path) -> ExitCode {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut config = client::config(root, false, Limits::default(), socket);
    config.confine = true;
    gofer::serve(config).unwrap();
    ExitCode::from(42)
}

/// Is a Gofer that somebody has taken over.
fn misbehave(how: &str) -> ExitCode {
    gofer::filters::install().unwrap();
    match how {
        "socket" => drop(UnixStream::pair()),
        "open" => drop(fs::File::open("/etc/passwd")),
        "run" => drop(Command::new("/bin/true").status()),
        "thread" => drop(std::thread::Builder::new().spawn(|| {})),
        "device" => {
            let dir = rustix::fs::ABS;
            let device = rustix::fs::makedev(1, 3);
            let kind = rustix::fs::FileType::CharacterDevice;
            rustix::fs::mknodat(dir, "/tmp/no", kind, 0o666.into(), device).unwrap();
        }
        "nothing" => {}
        _ => panic!("{how}"),
    }
    ExitCode::from(42)
}

struct Gofer {
    client: Client,
    child: Child,
}

fn start(root: &Path) -> Gofer {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .arg("serve")
        .arg(root)
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    Gofer { client: Client::on(ours, None, Dialect::Extended), child }
}

fn every_kind_of_request_passes_the_filter() {
    let dir = tempfile::tempdir().unwrap();
    let Gofer { mut client, mut child } = start(dir.path());
    make_files(&mut client);
    change_files(&mut client);
    list_and_remove(&mut client);
    drop(client);
    assert_eq!(child.wait().unwrap().code(), Some(42), "it leaves when its client does");
}

fn make_files(client: &mut Client) {
    let (dfid, uid, gid, mode) = (ROOT, 10, 20, 0o644);
    let open = OpenHow { newfid: 2, flags: OpenFlags::RDWR, donate: true };
    let create = Tcreatex { dfid, name: text("f"), newfid: 1, mode: 0o4755, uid, gid, open };
    client.done(create);
    client.donated().write_all(b"donated").unwrap();
    let flags = OpenFlags::RDWR | OpenFlags::TMPFILE;
    let create =
        Tcreatex { dfid, name: text(""), newfid: NOFID, mode, uid, gid, open: donate(flags) };
    client.done(create);
    drop(client.donated());
    client.done(Tmkdirx { dfid, name: text("d"), newfid: 3, mode: 0o755, uid, gid });
    client.done(Tsymlinkx { dfid, name: text("l"), newfid: 4, symtgt: text("f"), uid, gid });
    for (name, mode) in [("p", 0o010_600), ("w", 0o020_000), ("s", 0o140_600), ("r", 0o100_600)] {
        let (major, minor) = (0, 0);
        client.done(Tmknodx {
            dfid,
            name: text(name),
            newfid: NOFID,
            mode,
            major,
            minor,
            uid,
            gid,
        });
    }
    client.done(Tlink { dfid: 3, fid: 1, name: text("hard") });
}

fn change_files(client: &mut Client) {
    let data = Data(b"by the server".to_vec());
    client.done(Twrite { fid: 2, offset: 0, data });
    let RMessage::Read(read) = client.done(Tread { fid: 2, offset: 3, count: 3 }) else {
        panic!("no data")
    };
    assert_eq!(&*read.data, b"the");
    client.done(Tallocatex { fid: 2, mode: 0, offset: 0, length: 50 });
    for datasync in [0, 1] {
        client.done(Tfsync { fid: 2, datasync });
        client.done(Tfsync { fid: 3, datasync });
    }
    let valid = SetAttrMask::SIZE | SetAttrMask::MODE | SetAttrMask::UID | SetAttrMask::ATIME;
    let attr = SetAttr { valid, mode: 0o600, uid: 7, size: 5, ..SetAttr::default() };
    client.done(Tsetattr { fid: 1, attr });
    assert_eq!((client.attr(1).uid, client.attr(1).mode), (7, 0o100_600));
    // Somebody else's file that nobody may read is opened all the same.
    client.done(Topenx { fid: 1, open: donate(OpenFlags::RDWR) });
    drop(client.donated());
    let name = || text("user.k");
    let value = Data(b"v".to_vec());
    client.done(Tsetxattrx { fid: 1, name: name(), value, flags: 0 });
    client.done(p9::Tgetxattrx { fid: 1, name: name() });
    client.done(p9::Tlistxattrx { fid: 1 });
    client.done(Tremovexattrx { fid: 1, name: name() });
}

fn list_and_remove(client: &mut Client) {
    assert_eq!(&*client.walkx(NOFID, "l", None).target, b"f");
    client.done(Tlopen { fid: 3, flags: OpenFlags::DIRECTORY });
    client.done(Treaddir { fid: 3, offset: 0, count: 4096 });
    let RMessage::Readdirx(list) = client.done(Treaddirx { fid: ROOT, offset: 0, count: 8192 })
    else {
        panic!("no list")
    };
    assert_eq!(list.entries.len(), 7);
    client.done(Tstatfs { fid: ROOT });
    let (oldname, newname) = (text("f"), text("g"));
    client.done(Trenamex { olddirfid: ROOT, oldname, newdirfid: 3, newname, flags: 1 });
    client.done(Tunlinkat { dirfid: 3, name: text("g"), flags: 0 });
    client.done(Tunlinkat { dirfid: 3, name: text("hard"), flags: 0 });
    client.done(Tunlinkat { dirfid: ROOT, name: text("d"), flags: 0x200 });
    // A large message, for which the heap has to grow, and the largest answer.
    let open = OpenHow { newfid: 30, flags: OpenFlags::RDWR, donate: false };
    client.walkx(NOFID, "r", Some(open));
    let data = Data(vec![5; 200_000]);
    client.done(Twrite { fid: 30, offset: 0, data });
    client.done(Tread { fid: 30, offset: 0, count: u32::MAX });
    client.send(NOTAG, Tversion { msize: 8192, version: text("9P2000.L") });
    assert!(matches!(client.receive(), Some((NOTAG, RMessage::Version(_)))));
}

fn a_call_that_is_not_on_the_list_ends_the_process() {
    const SIGSYS: i32 = 31;
    let run = |how: &str| {
        let this = std::env::current_exe().unwrap();
        Command::new(this).args(["misbehave", how]).status().unwrap()
    };
    assert_eq!(run("nothing").code(), Some(42));
    for how in ["socket", "open", "run", "thread", "device"] {
        let status = run(how);
        assert_eq!((status.signal(), status.code()), (Some(SIGSYS), None), "{how}");
    }
}

fn a_confined_process_has_no_more_rights_than_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let Gofer { client, mut child } = start(dir.path());
    let mut status = String::new();
    let path = format!("/proc/{}/status", child.id());
    fs::File::open(path).unwrap().read_to_string(&mut status).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    let capabilities = |name| u64::from_str_radix(&field(name), 16).unwrap();
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, SETFCAP.
    let kept = 0x1f | 1 << 31;
    assert_eq!(capabilities("CapPrm:") & !kept, 0);
    assert_eq!(capabilities("CapBnd:") & !kept, 0);
    assert_eq!(capabilities("CapInh:") | capabilities("CapAmb:"), 0);
    assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
    drop(client);
    assert_eq!(child.wait().unwrap().code(), Some(42));
}

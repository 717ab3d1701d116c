//! Devices by number and by name.

use abi::{
    Errno,
    fs::{
        make_dev,
        open::{O_RDWR, O_WRONLY},
    },
};
use vfs::NewNode;

use super::{populate, register};
use crate::testing::{contents, find, list, open, read, run, try_open, write};

#[test]
fn the_usual_names_lead_to_the_memory_devices() {
    run(|cx, world| {
        register(&world.shared);
        populate(cx, find(cx, "/").unwrap().inode(), true).unwrap();
        populate(cx, find(cx, "/").unwrap().inode(), true).unwrap();
        let all = "console fd full mqueue null ptmx pts random shm stderr stdin stdout tty \
                   urandom zero";
        assert_eq!(list(cx, "/").join(" "), all);
        assert_eq!(contents(cx, "/null").unwrap(), b"");
        let null = open(cx, "/null", O_WRONLY);
        assert_eq!(write(cx, &null, &[1; 100_000]), Ok(100_000));
        let zero = open(cx, "/zero", O_RDWR);
        assert_eq!(read(cx, &zero, 100_000).unwrap(), vec![0; 100_000]);
        let mapped = zero.file().mappable(cx, true).unwrap();
        assert!(mapped.translate(1 << 40, 4096, true).unwrap().writable);
        let full = open(cx, "/full", O_RDWR);
        assert_eq!(write(cx, &full, b"x"), Err(Errno::ENOSPC));
        assert_eq!(read(cx, &full, 3).unwrap(), [0; 3]);
        let random = open(cx, "/urandom", 0);
        assert_ne!(read(cx, &random, 32).unwrap(), read(cx, &random, 32).unwrap());
        assert_eq!(find(cx, "/ptmx").unwrap().inode().read_link(cx).unwrap(), b"pts/ptmx");
        let shm = find(cx, "/shm").unwrap().inode().metadata(cx).unwrap();
        assert_eq!(shm.mode & 0o7777, 0o1777);
    });
}

#[test]
fn a_device_file_anywhere_leads_to_its_driver_and_without_one_nowhere() {
    run(|cx, world| {
        register(&world.shared);
        cx.make(cx.root, b"/mine", NewNode::CharDevice(make_dev(1, 7)), 0o600).unwrap();
        let full = open(cx, "/mine", O_WRONLY);
        assert_eq!(write(cx, &full, b"x"), Err(Errno::ENOSPC));
        assert_eq!(full.metadata(cx).unwrap().rdev, make_dev(1, 7));
        cx.make(cx.root, b"/tty", NewNode::CharDevice(make_dev(5, 0)), 0o600).unwrap();
        assert_eq!(try_open(cx, "/tty", 0).unwrap_err(), Errno::ENXIO);
        cx.make(cx.root, b"/block", NewNode::BlockDevice(make_dev(1, 3)), 0o600).unwrap();
        assert_eq!(try_open(cx, "/block", 0).unwrap_err(), Errno::ENXIO);
    });
}

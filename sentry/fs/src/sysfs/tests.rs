use crate::testing::{contents, list, run};

#[test]
fn programs_learn_how_many_cpus_there_are() {
    run(|cx, _| {
        super::populate(cx, cx.root.inode(), 2).unwrap();
        assert_eq!(contents(cx, "/devices/system/cpu/online").unwrap(), b"0-1\n");
        assert!(list(cx, "/devices/system/cpu").contains(&"cpu1".to_owned()));
        assert_eq!(list(cx, "/fs/cgroup"), Vec::<String>::new());
    });
}

//! Graphs come back as they were; what can't come back is refused when saving, by name.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use crate::kernel::{Directory, FdTable, File, Kernel, Pipe, Restart, Task, registry, sample};
use state::{Load, Object, Registry, Save, load, save};

#[test]
fn sharing_cycles_and_trait_objects_come_back() {
    let image = save(&registry(), &sample()).unwrap();
    let kernel: Arc<Kernel> = load(&registry(), &image).unwrap();
    let tasks = kernel.tasks.lock().unwrap();
    let [first, second] = &tasks[..] else { panic!("two tasks") };

    assert!(Arc::ptr_eq(&first.group, &second.group));
    assert!(Arc::ptr_eq(first.group.leader.get().unwrap(), first));
    assert!(std::ptr::eq(first.group.tasks.lock().unwrap()[1].as_ptr(), &raw const **second));
    assert!(Arc::ptr_eq(&first.fds.lock().unwrap(), &second.fds.lock().unwrap()));
    assert!(Arc::ptr_eq(&first.file(3), &second.file(4)));
    assert_eq!(first.file(3).content(), b"in the pipe");
    assert_eq!(first.file(3).type_name(), "Pipe");
    assert_eq!(first.file(0).type_name(), "Null");
    let pipe = first.file(3).any().downcast::<Pipe>().unwrap();
    pipe.data.lock().unwrap().clear();
    assert_eq!(second.file(4).content(), b"");

    assert_eq!(*first.restart.lock().unwrap(), Restart::Read { fd: 3, left: 6 });
    let before = sample();
    let regs = before.tasks.lock().unwrap()[0].regs.lock().unwrap().clone();
    assert_eq!(*first.regs.lock().unwrap(), regs);
    assert_eq!(kernel.hosts, [7, 300]);
    let mounts = kernel.mounts.read().unwrap();
    assert!(Arc::ptr_eq(mounts["/tmp"].parent.as_ref().unwrap(), &mounts["/"]));
}

#[test]
fn weak_references_live_or_dead_come_back() {
    let image = save(&registry(), &sample()).unwrap();
    let kernel: Arc<Kernel> = load(&registry(), &image).unwrap();
    let task = Arc::clone(&kernel.tasks.lock().unwrap()[0]);
    let fds = Arc::clone(&task.fds.lock().unwrap());
    let watched = fds.watched.lock().unwrap();
    assert!(Arc::ptr_eq(&watched[0].upgrade().unwrap(), &task.file(3)));
    assert!(watched[1].upgrade().is_none());
}

#[test]
fn each_object_is_checked_once_after_loading() {
    let image = save(&registry(), &sample()).unwrap();
    let kernel: Arc<Kernel> = load(&registry(), &image).unwrap();
    for task in &*kernel.tasks.lock().unwrap() {
        assert_eq!(task.checked.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn a_failed_check_fails_the_load() {
    let kernel = sample();
    kernel.tasks.lock().unwrap()[0].group.tasks.lock().unwrap().truncate(1);
    let image = save(&registry(), &kernel).unwrap();
    let error = load::<Kernel>(&registry(), &image).err().unwrap();
    assert_eq!(error.to_string(), "cannot load: task 2 is not in its group");
}

#[test]
fn what_was_loaded_saves_to_the_same_bytes() {
    let image = save(&registry(), &sample()).unwrap();
    let kernel: Arc<Kernel> = load(&registry(), &image).unwrap();
    assert_eq!(save(&registry(), &kernel).unwrap(), image);
}

#[test]
fn any_object_may_be_the_root_but_it_is_loaded_as_what_it_is() {
    let pipe = Arc::new(Pipe::default());
    let image = save(&registry(), &pipe).unwrap();
    assert!(load::<Pipe>(&registry(), &image).is_ok());
    let error = load::<Kernel>(&registry(), &image).err().unwrap();
    assert!(error.to_string().contains("the root is of another type"), "{error}");
}

/// An object held by nothing but a `Weak` is alive while saving if somebody else holds it.
#[test]
fn what_only_a_weak_reference_names_is_gone_after_the_load() {
    let (kernel, pipe) = (sample(), Arc::new(Pipe::default()));
    let fds = Arc::clone(&kernel.tasks.lock().unwrap()[0].fds.lock().unwrap());
    let file: Arc<dyn File> = pipe;
    fds.watched.lock().unwrap().push(Arc::downgrade(&file));
    let image = save(&registry(), &kernel).unwrap();
    let kernel: Arc<Kernel> = load(&registry(), &image).unwrap();
    let fds = Arc::clone(&kernel.tasks.lock().unwrap()[0].fds.lock().unwrap());
    let watched = fds.watched.lock().unwrap();
    assert_eq!(watched.iter().map(Weak::strong_count).collect::<Vec<_>>(), [2, 0, 0]);
}

/// A small image, byte for byte: who changes the format raises the version of all images.
#[test]
fn the_format_is_pinned() {
    let root = Arc::new(Directory { name: "/".into(), parent: None });
    let directory = Arc::new(Directory { name: "tmp".into(), parent: Some(root) });
    let image = save(&registry(), &directory).unwrap();
    let parts = [
        &b"RUNSCIMG"[..],
        b"\x01\0\0\0",
        // One type and its print; two objects of that type, the younger one is the root.
        b"\x18\0\0\0\0\0\0\0",
        b"\xdf\xcc\x18Y",
        b"\x01\x09Directory\n\x94\xe7\xad\xcb\x1d)*",
        b"\x02\x01\0\0\0",
        // The early parts: name, parent.
        b"\x0b\0\0\0\0\0\0\0",
        b"\xfd\x18\xe7\x96",
        b"\x03\x01/\0",
        b"\x06\x03tmp\x01\x02",
        // The late parts: none.
        b"\x02\0\0\0\0\0\0\0",
        b"\x8cHAH",
        b"\0\0",
    ];
    assert_eq!(image.escape_ascii().to_string(), parts.concat().escape_ascii().to_string());
}

/// Saves `root`, which must fail, and gives the message.
fn refusal<T: Object>(registry: &Registry, root: &Arc<T>) -> String {
    save(registry, root).unwrap_err().to_string()
}

#[test]
fn a_held_lock_is_refused_not_waited_for() {
    let kernel = sample();
    let task = Arc::clone(&kernel.tasks.lock().unwrap()[0]);
    let _guard = task.regs.lock();
    assert_eq!(refusal(&registry(), &kernel), "Task.regs: cannot save: a lock is held");
}

#[test]
fn a_type_that_is_not_registered_is_named_with_who_names_it() {
    let registry = Registry::new(1).object::<Kernel>().object::<Directory>();
    let message = "Kernel.tasks: cannot save: type Task is not registered";
    assert_eq!(refusal(&registry, &sample()), message);
}

#[test]
fn an_object_behind_a_trait_that_it_is_not_registered_for_is_named() {
    #[derive(Save, Load)]
    struct Other;
    impl File for Other {
        fn content(&self) -> Vec<u8> {
            vec![]
        }
    }
    let kernel = sample();
    let task = Arc::clone(&kernel.tasks.lock().unwrap()[0]);
    task.fds.lock().unwrap().files.lock().unwrap().insert(9, Arc::new(Other));
    let message = refusal(&registry().object::<Other>(), &kernel);
    assert!(message.starts_with("FdTable.files: cannot save: Other is not registered as dyn "));
}

#[test]
fn a_dead_reference_to_a_trait_of_no_registered_type_is_refused() {
    let registry = Registry::new(1).object::<FdTable>();
    let table = Arc::new(FdTable::default());
    table.watched.lock().unwrap().push(Weak::<Pipe>::new());
    let message = refusal(&registry, &table);
    assert!(message.starts_with("FdTable.watched: cannot save: no type is registered as dyn "));
}

#[test]
fn a_cycle_outside_locks_is_named() {
    #[derive(Save, Load)]
    struct Narcissus {
        me: Weak<Narcissus>,
    }
    let narcissus = Arc::new_cyclic(|me| Narcissus { me: Weak::clone(me) });
    let message = refusal(&Registry::new(1).object::<Narcissus>(), &narcissus);
    let expected = "cannot save: fields outside locks form a cycle: Narcissus -> Narcissus";
    assert_eq!(message, expected);
    assert!(narcissus.me.upgrade().is_some());
}

#[test]
fn the_same_in_a_cell_that_is_set_later_comes_back() {
    #[derive(Save, Load, Default)]
    struct Narcissus {
        me: OnceLock<Weak<Narcissus>>,
    }
    let registry = Registry::new(1).object::<Narcissus>();
    let narcissus = Arc::<Narcissus>::default();
    narcissus.me.set(Arc::downgrade(&narcissus)).unwrap();
    let image = save(&registry, &narcissus).unwrap();
    let loaded: Arc<Narcissus> = load(&registry, &image).unwrap();
    assert!(std::ptr::eq(loaded.me.get().unwrap().as_ptr(), &raw const *loaded));
}

#[test]
fn two_types_of_one_name_are_refused() {
    mod other {
        #[derive(state::Save, state::Load)]
        pub(super) struct Task;
    }
    let registry = Registry::new(1).object::<Task>().object::<other::Task>();
    let message = refusal(&registry, &Arc::new(other::Task));
    assert_eq!(message, "cannot save: type registry: two types are named Task");
}

#[test]
fn a_view_before_its_object_is_refused() {
    let registry = Registry::new(1).view::<Pipe, dyn File>(|weak| weak).object::<Pipe>();
    let message = refusal(&registry, &Arc::new(Pipe::default()));
    assert!(message.contains("object::<Pipe>() comes before view::<Pipe, _>()"), "{message}");
}

#[test]
fn locks_within_locks_come_back() {
    #[derive(Save, Load, Default)]
    struct Outer {
        inner: Mutex<Vec<Mutex<Option<Arc<Outer>>>>>,
    }
    let registry = Registry::new(1).object::<Outer>();
    let outer = Arc::<Outer>::default();
    let empty = Mutex::new(None);
    outer.inner.lock().unwrap().extend([Mutex::new(Some(Arc::clone(&outer))), empty]);
    let image = save(&registry, &outer).unwrap();
    let loaded: Arc<Outer> = load(&registry, &image).unwrap();
    let mut inner = loaded.inner.lock().unwrap();
    assert!(Arc::ptr_eq(inner[0].lock().unwrap().as_ref().unwrap(), &loaded));
    assert!(inner[1].lock().unwrap().is_none());
    inner.clear();
    outer.inner.lock().unwrap().clear();
}

#[test]
fn what_is_given_is_in_no_image_and_comes_from_the_loading_program() {
    trait Host: Send + Sync {
        fn name(&self) -> &'static str;
    }
    struct Here(&'static str);
    impl Host for Here {
        fn name(&self) -> &'static str {
            self.0
        }
    }
    #[derive(Save, Load)]
    struct Guest {
        #[state(given)]
        host: Arc<dyn Host>,
        number: u32,
    }
    let registry = Registry::new(1).object::<Guest>();
    let guest = Arc::new(Guest { host: Arc::new(Here("old")), number: 7 });
    let image = save(&registry, &guest).unwrap();
    let Err(error) = load::<Guest>(&registry, &image) else { unreachable!("nothing was given") };
    assert!(error.to_string().contains("Host is given"), "{error}");
    let registry = registry.give::<dyn Host>(Arc::new(Here("new")));
    let loaded: Arc<Guest> = load(&registry, &image).unwrap();
    assert_eq!((loaded.host.name(), loaded.number), ("new", 7));
}

#[test]
fn a_type_that_cannot_be_saved_is_named() {
    struct Camera;
    state::cannot_save!(Camera);
    #[derive(Save, Load)]
    struct Room(Arc<Camera>);
    let registry = Registry::new(1).object::<Room>();
    let message = refusal(&registry, &Arc::new(Room(Arc::new(Camera))));
    assert!(message.contains("Camera"), "{message}");
    let registry = registry.object::<Camera>();
    let message = refusal(&registry, &Arc::new(Room(Arc::new(Camera))));
    assert!(message.contains("Camera"), "{message}");
}

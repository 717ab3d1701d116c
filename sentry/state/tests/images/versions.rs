//! Older images load; newer ones and forgotten changes are refused.

use std::sync::{Arc, Mutex};

use state::{Cause, Object, Registry, load, save};

mod v1 {
    use std::sync::Mutex;

    use state::{Load, Save};

    #[derive(Save, Load)]
    pub(crate) struct Task {
        pub(crate) tid: u32,
        pub(crate) restart: Mutex<Vec<Restart>>,
    }

    #[derive(Save, Load, Debug, PartialEq)]
    pub(crate) enum Restart {
        Again,
        Read { left: u64 },
    }
}

mod v2 {
    use std::sync::{Arc, Mutex};

    use state::{Load, Save};

    #[derive(Save, Load)]
    pub(crate) struct Task {
        #[state(since = 2)]
        pub(crate) nice: Mutex<i32>,
        pub(crate) tid: u32,
        #[state(since = 2)]
        pub(crate) parent: Option<Arc<Task>>,
        #[state(early, since = 2)]
        pub(crate) weight: Mutex<u8>,
        pub(crate) restart: Mutex<Vec<Restart>>,
    }

    #[derive(Save, Load, Debug, PartialEq)]
    pub(crate) enum Restart {
        Again,
        Read {
            left: u64,
            #[state(since = 2)]
            fd: u32,
        },
        #[state(since = 2)]
        Wait(u32),
    }
}

/// What was changed without `since`.
mod careless {
    use std::sync::Mutex;

    use state::{Load, Save};

    pub(crate) mod field {
        use super::{Load, Mutex, Save};

        #[derive(Save, Load)]
        pub(crate) struct Task {
            pub(crate) id: u32,
            pub(crate) restart: Mutex<Vec<super::super::v1::Restart>>,
        }
    }

    pub(crate) mod nested {
        use super::{Load, Mutex, Save};

        #[derive(Save, Load)]
        pub(crate) struct Task {
            pub(crate) tid: u32,
            pub(crate) restart: Mutex<Vec<Restart>>,
        }

        #[derive(Save, Load)]
        pub(crate) enum Restart {
            Never,
            Again,
            Read { left: u64 },
        }
    }
}

fn old_image() -> Vec<u8> {
    let restart = Mutex::new(vec![v1::Restart::Read { left: 6 }, v1::Restart::Again]);
    save(&Registry::new(1).object::<v1::Task>(), &Arc::new(v1::Task { tid: 9, restart })).unwrap()
}

fn new_registry() -> Registry {
    Registry::new(2).object::<v2::Task>()
}

#[test]
fn an_older_image_loads_with_defaults_for_what_it_lacks() {
    let task: Arc<v2::Task> = load(&new_registry(), &old_image()).unwrap();
    assert_eq!((task.tid, *task.nice.lock().unwrap()), (9, 0));
    assert!(task.parent.is_none());
    assert_eq!(*task.weight.lock().unwrap(), 0);
    let restart = task.restart.lock().unwrap();
    assert_eq!(restart[..], [v2::Restart::Read { left: 6, fd: 0 }, v2::Restart::Again]);
}

#[test]
fn the_newer_layout_comes_back_whole() {
    let make = |tid, parent| {
        let restart = vec![v2::Restart::Wait(3), v2::Restart::Read { left: 1, fd: 2 }];
        let (nice, restart) = (Mutex::new(-5), Mutex::new(restart));
        Arc::new(v2::Task { nice, tid, parent, weight: Mutex::new(3), restart })
    };
    let image = save(&new_registry(), &make(2, Some(make(1, None)))).unwrap();
    let task: Arc<v2::Task> = load(&new_registry(), &image).unwrap();
    assert_eq!(task.parent.as_ref().map(|parent| parent.tid), Some(1));
    assert_eq!((*task.nice.lock().unwrap(), *task.weight.lock().unwrap()), (-5, 3));
    assert_eq!(task.restart.lock().unwrap()[0], v2::Restart::Wait(3));
}

#[test]
fn an_older_program_refuses_a_newer_image() {
    let task = v2::Task {
        nice: Mutex::default(),
        tid: 1,
        parent: None,
        weight: Mutex::default(),
        restart: Mutex::default(),
    };
    let image = save(&new_registry(), &Arc::new(task)).unwrap();
    let error = load::<v1::Task>(&Registry::new(1).object::<v1::Task>(), &image).err().unwrap();
    assert_eq!(error.cause(), &Cause::TooNew { found: 2, known: 1 });
}

/// Loads the old image as the changed type `T`, which must be refused.
fn assert_other_fields<T>()
where
    T: Object + state::Save + state::Load + state::Schema,
{
    let error = load::<T>(&Registry::new(2).object::<T>(), &old_image()).err().unwrap();
    assert_eq!(error.cause(), &Cause::OtherFields("Task".into()));
}

#[test]
fn a_change_without_since_is_refused() {
    assert_other_fields::<careless::field::Task>();
    let _ = |task: careless::field::Task| (task.id, task.restart);
}

#[test]
fn a_change_of_a_nested_value_without_since_is_refused() {
    use careless::nested::{Restart, Task};
    assert_other_fields::<Task>();
    let _ = |task: Task| (task.tid, task.restart, [Restart::Never, Restart::Again]);
}

#[test]
fn a_variant_of_a_newer_layout_in_an_older_image_is_damage() {
    use v2::Restart;
    let restart = Mutex::new(vec![Restart::Wait(1)]);
    let task = v2::Task {
        nice: Mutex::default(),
        tid: 1,
        parent: None,
        weight: Mutex::default(),
        restart,
    };
    // The program that writes it knows the variant, but says version 1.
    let registry = Registry::new(1).object::<v2::Task>();
    let image = save(&registry, &Arc::new(task)).unwrap();
    let error = load::<v2::Task>(&registry, &image).err().unwrap();
    assert!(!matches!(error.cause(), Cause::TooNew { .. }), "{error}");
}

#[test]
fn an_unknown_type_is_named() {
    let registry = Registry::new(1);
    let error = load::<v1::Task>(&registry, &old_image()).err().unwrap();
    assert_eq!(error.cause(), &Cause::UnknownType("Task".into()));
}

#[test]
fn a_list_of_prints_for_golden_tests_is_by_name() {
    let registry = Registry::new(1).object::<v2::Task>();
    let old = Registry::new(1).object::<v1::Task>();
    assert_ne!(registry.prints().next().unwrap().1, 0);
    // Fields that were added with `since` leave the print as it was.
    assert_eq!(registry.prints().collect::<Vec<_>>(), old.prints().collect::<Vec<_>>());
}

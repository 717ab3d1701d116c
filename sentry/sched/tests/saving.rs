//! Locks in a checkpoint: made empty, filled when every object exists.

use std::sync::{Arc, Weak};

use state::{Load, Registry, Save};

use sched::{Mutex, RwLock};

#[derive(Save, Load)]
#[state(name = "sched-test-parent")]
struct Parent {
    name: RwLock<String>,
    children: Mutex<Vec<Arc<Child>>>,
}

#[derive(Save, Load)]
#[state(name = "sched-test-child")]
struct Child {
    parent: Mutex<Weak<Parent>>,
}

#[test]
fn a_cycle_through_locks_is_saved_and_loaded() {
    let child = Arc::new(Child { parent: Mutex::default() });
    let children = Mutex::new(vec![Arc::clone(&child), Arc::clone(&child)]);
    let parent = Arc::new(Parent { name: RwLock::new("it".to_owned()), children });
    *child.parent.lock() = Arc::downgrade(&parent);
    let registry = Registry::new(1).object::<Parent>().object::<Child>();
    let image = state::save(&registry, &parent).unwrap();
    let loaded: Arc<Parent> = state::load(&registry, &image).unwrap();
    assert_eq!(*loaded.name.read(), "it");
    let children = loaded.children.lock();
    assert!(Arc::ptr_eq(&children[0], &children[1]));
    assert!(children[0].parent.lock().ptr_eq(&Arc::downgrade(&loaded)));
}

#[test]
fn a_lock_that_is_held_fails_the_save() {
    let parent = Arc::new(Parent { name: RwLock::default(), children: Mutex::default() });
    let registry = Registry::new(1).object::<Parent>().object::<Child>();
    let _guard = parent.children.lock();
    assert!(state::save(&registry, &parent).is_err());
}

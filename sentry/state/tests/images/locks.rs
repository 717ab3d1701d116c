//! A lock type of another crate, made savable by the macro; counters; implementations by hand.

use std::sync::{Arc, MutexGuard};

use state::live::{self, Live};
use state::{Error, Load, Reader, Registry, Save, Writer, load, print, save};

/// As a scheduler's lock may look.
#[derive(Default)]
struct Lock<T>(std::sync::Mutex<T>);

impl<T> Lock<T> {
    fn new(content: T) -> Self {
        Self(std::sync::Mutex::new(content))
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

state::savable_lock!(Lock, Lock::try_lock, Lock::try_lock);

#[derive(Save, Load)]
struct Owner {
    later: Lock<Vec<Arc<Owner>>>,
    #[state(early)]
    now: Lock<Box<Item>>,
    #[state(early)]
    both: Lock<(u8, Lock<u8>)>,
}

/// No `Default`; by hand.
struct Item(u64);

impl Save for Item {
    const PRINT: u64 = print::text("Item, hexadecimal");

    fn save(&self, w: &mut Writer<'_>) -> state::Result<()> {
        format!("{:x}", self.0).save(w)
    }
}

impl Load for Item {
    fn load(r: &mut Reader<'_>) -> state::Result<Self> {
        let text = String::load(r)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(|_| r.bad("not a hexadecimal number"))
    }
}

fn owner() -> Arc<Owner> {
    let (now, both) = (Lock::new(Box::new(Item(0xbeef))), Lock::new((1, Lock::new(2))));
    Arc::new(Owner { later: Lock::default(), now, both })
}

#[test]
fn another_crates_lock_is_late_or_early() {
    let registry = Registry::new(1).object::<Owner>();
    let before = owner();
    before.later.try_lock().unwrap().push(Arc::clone(&before));
    let image = save(&registry, &before).unwrap();
    before.later.try_lock().unwrap().clear();

    let after: Arc<Owner> = load(&registry, &image).unwrap();
    let me = after.later.try_lock().unwrap().pop().unwrap();
    assert!(Arc::ptr_eq(&me, &after));
    assert_eq!(after.now.try_lock().unwrap().0, 0xbeef);
    let both = after.both.try_lock().unwrap();
    assert_eq!((both.0, *both.1.try_lock().unwrap()), (1, 2));
}

#[test]
fn a_held_early_lock_is_refused_too() {
    let before = owner();
    let _guard = before.both.try_lock();
    let error = save(&Registry::new(1).object::<Owner>(), &before).unwrap_err();
    assert_eq!(error, Error::cannot_save("a lock is held").within("Owner.both"));
}

#[derive(Save, Load)]
#[state(name = "counted thing", after_load = Thing::check)]
struct Thing {
    sound: bool,
    #[state(skip)]
    _live: Live<Self>,
}

impl Thing {
    fn check(&self) -> state::Result<()> {
        if self.sound { Ok(()) } else { Err(Error::cannot_load("unsound")) }
    }
}

#[test]
fn loaded_objects_are_counted_and_those_of_a_failed_load_are_gone() {
    let alive = || live::totals().find(|total| total.0 == "counted thing").unwrap().1;
    let registry = Registry::new(1).object::<Thing>();
    let [sound, unsound] = [true, false].map(|sound| Thing { sound, _live: Live::new() });
    let images = [sound, unsound].map(|thing| save(&registry, &Arc::new(thing)).unwrap());
    assert_eq!(alive(), 0);
    let loaded: Arc<Thing> = load(&registry, &images[0]).unwrap();
    assert_eq!(alive(), 1);
    assert!(load::<Thing>(&registry, &images[1]).is_err());
    assert_eq!(alive(), 1);
    drop(loaded);
    assert_eq!(alive(), 0);
}

#[test]
fn registering_a_type_again_changes_nothing() {
    let twice = Registry::new(1).object::<Thing>().object::<Thing>();
    assert_eq!(twice.prints().count(), 1);
    assert!(save(&twice, &Arc::new(Thing { sound: true, _live: Live::new() })).is_ok());
}

//! Long chains and many objects: neither saving nor loading nor dropping recurses.

use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use crate::kernel::{Directory, registry};
use state::{Load, Registry, Save, load, save};

const LINKS: u32 = 100_000;

/// Runs `test` on a stack that a recursion over the chain would burst.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(test);
    thread.unwrap().join().unwrap();
}

fn chain() -> Arc<Directory> {
    let link = |parent, n: u32| Some(Arc::new(Directory { name: n.to_string(), parent }));
    (0..LINKS).fold(None, link).unwrap()
}

#[test]
fn a_chain_of_100_000_directories_comes_back() {
    on_a_small_stack(|| {
        let image = save(&registry(), &chain()).unwrap();
        let last: Arc<Directory> = load(&registry(), &image).unwrap();
        let names = std::iter::successors(Some(&last), |directory| directory.parent.as_ref());
        assert!(names.map(|directory| &directory.name).eq(chain_names().iter()));
    });
}

fn chain_names() -> Vec<String> {
    (0..LINKS).rev().map(|n| n.to_string()).collect()
}

#[test]
fn a_load_that_fails_at_the_end_of_a_chain_drops_it_without_recursion() {
    /// Has no `Drop` of its own: what the load has made is dropped by the load.
    #[derive(Save, Load)]
    #[state(after_load = Link::check)]
    struct Link {
        next: Option<Arc<Link>>,
    }
    impl Link {
        fn check(&self) -> state::Result<()> {
            Err(state::Error::cannot_load("never"))
        }
    }
    on_a_small_stack(|| {
        let registry = Registry::new(1).object::<Link>();
        let mut all: Vec<Arc<Link>> = vec![];
        for _ in 0..LINKS {
            all.push(Arc::new(Link { next: all.last().cloned() }));
        }
        let image = save(&registry, &all[all.len() - 1]).unwrap();
        assert!(load::<Link>(&registry, &image).is_err());
        while all.pop().is_some() {}
    });
}

#[test]
fn a_chain_through_locks_comes_back() {
    #[derive(Save, Load, Default)]
    struct Link {
        next: Mutex<Option<Arc<Link>>>,
    }
    impl Drop for Link {
        fn drop(&mut self) {
            let take = |link: &mut Link| link.next.get_mut().unwrap().take();
            state::drop_linked(take(self), take);
        }
    }
    on_a_small_stack(|| {
        let registry = Registry::new(1).object::<Link>();
        let link = |next| Some(Arc::new(Link { next: Mutex::new(next) }));
        let first = (0..LINKS).fold(None, |next, _| link(next)).unwrap();
        let image = save(&registry, &first).unwrap();
        let loaded: Arc<Link> = load(&registry, &image).unwrap();
        assert_eq!(save(&registry, &loaded).unwrap(), image);
    });
}

/// An object as a kernel has many: a name, one early and two late references.
#[derive(Save, Load)]
struct Node {
    name: String,
    owner: Option<Arc<Node>>,
    friends: Mutex<(Weak<Node>, Weak<Node>)>,
}

fn nodes(count: usize) -> Vec<Arc<Node>> {
    let mut all: Vec<Arc<Node>> = vec![];
    for n in 0..count {
        let (owner, friends) = (all.get(n / 2).cloned(), Mutex::default());
        all.push(Arc::new(Node { name: format!("node {n}"), owner, friends }));
    }
    for (n, node) in all.iter().enumerate() {
        let friend = |step: usize| Arc::downgrade(&all[(n * step + 1) % count]);
        *node.friends.lock().unwrap() = (friend(7), friend(31));
    }
    all
}

#[derive(Save, Load, Default)]
struct Nodes {
    all: Mutex<Vec<Arc<Node>>>,
}

#[test]
#[ignore = "a measurement: run it with --release -- --ignored --nocapture"]
fn measure_100_000_objects() {
    let registry = Registry::new(1).object::<Nodes>().object::<Node>();
    let nodes = Arc::new(Nodes { all: Mutex::new(nodes(100_000)) });
    for _ in 0..5 {
        let start = Instant::now();
        let image = save(&registry, &nodes).unwrap();
        let saved = start.elapsed();
        let loaded = load::<Nodes>(&registry, &image).unwrap();
        let both = start.elapsed();
        assert_eq!(loaded.all.lock().unwrap().len(), 100_000);
        println!("save {saved:?}, load {:?}, {} bytes", both - saved, image.len());
    }
}

//! What the derives accept.
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use state::live::Live;

#[derive(state::Save, state::Load, Default)]
struct Task {
    tid: u32,
    words: Mutex<BTreeMap<u64, Vec<u8>>>,
    me: OnceLock<Weak<Task>>,
    files: Mutex<Vec<Arc<dyn File>>>,
    #[state(skip)]
    live: Live<Self>,
    pair: Pair<u8>,
    kind: Kind,
}
#[derive(state::Save, state::Load, Default)]
struct Pair<T>(T, T);
#[derive(state::Save, state::Load, Default)]
struct Unit;
#[derive(state::Save, state::Load, Default)]
enum Kind { #[default] A, B(u8, #[state(skip)] u16), #[state(since = 3)] C { r#type: Unit, #[state(early)] l: Mutex<Arc<Task>> } }
trait File: state::Object {}
#[derive(state::Save, state::Load, Default)]
#[state(name = "pipe", after_load = Pipe::check)]
struct Pipe { n: AtomicU32 }
impl Pipe { fn check(&self) -> state::Result<()> { Ok(()) } }
impl File for Pipe {}

#[test]
fn all_shapes_compile() {
    let r = state::Registry::new(1).object::<Task>().object::<Pipe>().view::<Pipe, dyn File>(|w| w);
    println!("{r:?} {:?}", r.prints().collect::<Vec<_>>());
    let k = Kind::B(1, 2);
    let _ = Kind::C { r#type: Unit, l: Mutex::new(Arc::default()) };
}

//! Every value that can be saved comes back equal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use state::{Cause, Load, Registry, Save, load, save};

#[derive(Save, Load)]
struct Holder<T> {
    value: T,
}

/// Saves and loads a value.
fn through<T: Save + Load + Send + Sync + 'static>(value: T) -> T {
    let registry = Registry::new(1).object::<Holder<T>>();
    let image = save(&registry, &Arc::new(Holder { value })).unwrap();
    let loaded = load::<Holder<T>>(&registry, &image).unwrap();
    Arc::into_inner(loaded).unwrap().value
}

fn same<T>(values: impl IntoIterator<Item = T>)
where
    T: Save + Load + Send + Sync + Clone + PartialEq + Debug + 'static,
{
    for value in values {
        assert_eq!(through(value.clone()), value);
    }
}

#[test]
fn numbers() {
    same([0, 1, 127, 128, u8::MAX]);
    same([0, 127, 128, u16::MAX]);
    same([0, 1 << 7, 1 << 14, u32::MAX]);
    same([0, 1 << 63, (1 << 63) - 1, u64::MAX]);
    same([0, usize::MAX]);
    same([0, -1, i8::MIN, i8::MAX]);
    same([i16::MIN, -64, 63, 64, i16::MAX]);
    same([i32::MIN, i32::MAX]);
    same([i64::MIN, -1, 0, 1, i64::MAX]);
    same([isize::MIN, isize::MAX]);
    same([true, false]);
    same(['a', '\0', char::MAX]);
    same([NonZeroU32::MIN, NonZeroU32::MAX]);
    same([NonZeroU64::MIN, NonZeroU64::MAX]);
    same([Duration::ZERO, Duration::MAX]);
}

#[test]
fn text_and_collections() {
    same([String::new(), "grüße".into()]);
    same([Box::<str>::from("a"), "".into()]);
    same([Arc::<str>::from("a")]);
    same([Box::<[u32]>::from([1, 300])]);
    same([vec![], vec![String::new(), "b".into()]]);
    same([(0..=u8::MAX).collect::<Vec<_>>()]);
    same([VecDeque::from([3_u8, 2, 1]), VecDeque::new()]);
    same([BTreeSet::from([-3_i64, 2])]);
    same([BTreeMap::from([(1_u8, vec![(2_u16, 'x')]), (9, vec![])])]);
}

#[test]
fn a_ring_that_wraps_comes_back_in_order() {
    let mut ring = VecDeque::from([1_u32, 2, 3]);
    ring.rotate_left(1);
    ring.push_back(300);
    ring.push_front(0);
    same([ring]);
}

#[test]
fn wrappers() {
    same([None, Some(Box::new(5_u32))]);
    same([[1_u8, 2, 200]]);
    same([[[0_u64; 0]; 3]]);
    same([(1_u8, -1_i8, 'c', true, String::new(), [7_u16])]);
    same([((), PhantomData::<str>)]);
}

#[test]
fn elements_that_take_no_bytes_are_counted_right() {
    same([vec![(), (), ()]]);
    same([BTreeSet::from([()])]);
    same([BTreeMap::from([((), ())])]);
    let locks = through(vec![Mutex::new(1_u32), Mutex::new(2)]);
    let values: Vec<_> = locks.into_iter().map(|lock| lock.into_inner().unwrap()).collect();
    assert_eq!(values, [1, 2]);
}

#[test]
fn locks_and_atomics() {
    assert_eq!(through(Mutex::new(7_u8)).into_inner().unwrap(), 7);
    assert_eq!(through(RwLock::new("x".to_owned())).into_inner().unwrap(), "x");
    assert_eq!(through(OnceLock::from(8_u64)).into_inner(), Some(8));
    assert_eq!(through(OnceLock::<u64>::new()).into_inner(), None);
    assert!(through(AtomicBool::new(true)).load(Ordering::Relaxed));
    assert_eq!(through(AtomicU8::new(200)).load(Ordering::Relaxed), 200);
    assert_eq!(through(AtomicI64::new(-5)).load(Ordering::Relaxed), -5);
    assert_eq!(through(AtomicUsize::new(1 << 40)).load(Ordering::Relaxed), 1 << 40);
}

#[test]
fn types_of_the_abi() {
    same([abi::UserAddr::new(u64::MAX)]);
    same([abi::AddrRange { start: abi::UserAddr::new(1), end: abi::UserAddr::new(1 << 47) }]);
    same([abi::Errno::EINTR, abi::Errno::EPERM]);
    same([abi::Timespec { sec: -1, nsec: 999_999_999 }]);
    same([abi::SigAction { handler: 1, flags: u64::MAX, restorer: 2, mask: 1 << 63 }]);
    same([abi::Registers { rip: u64::MAX, gs: 1, ..abi::Registers::for_exec(1, 2) }]);
    same([abi::SigSet(u64::MAX)]);
    same([abi::Signal::SIGHUP, abi::Signal::new(64).unwrap()]);
    let mut fpu = abi::FpuState::initial(832);
    fpu.as_bytes_mut()[831] = 1;
    same([fpu, abi::FpuState::default()]);
    let fault = abi::SigInfo::fault(abi::Signal::SIGSEGV, 1, 0x1234);
    assert_eq!(through(fault).to_bytes(), fault.to_bytes());
}

#[derive(Save, Load, Debug, PartialEq, Clone, Default)]
struct Tree {
    name: String,
    child: Option<Box<Tree>>,
}

/// A chain of trees, `depth` boxes deep.
fn tree(depth: usize) -> Tree {
    (0..depth).fold(Tree::default(), |child, _| Tree {
        name: String::new(),
        child: Some(Box::new(child)),
    })
}

#[test]
fn recursive_values_may_be_64_deep_and_no_deeper() {
    same([tree(64)]);
    let registry = Registry::new(1).object::<Holder<Tree>>();
    let error = save(&registry, &Arc::new(Holder { value: tree(65) })).unwrap_err();
    assert_eq!(error.cause(), &Cause::CannotSave("a value is nested too deeply".into()));
    assert_eq!(error.path().next(), Some("Holder.value"));
}

/// Loads, as a `Wide`, what `Narrow` has written: forms and names agree, ranges don't.
fn reinterpret<Narrow, Wide>(value: Narrow) -> state::Result<Wide>
where
    Narrow: Save + Load + Send + Sync + 'static,
    Wide: Save + Load + Send + Sync + 'static,
{
    let image = save(&Registry::new(1).object::<Holder<Narrow>>(), &Arc::new(Holder { value }))?;
    let loaded = load::<Holder<Wide>>(&Registry::new(1).object::<Holder<Wide>>(), &image)?;
    Ok(Arc::into_inner(loaded).unwrap().value)
}

#[test]
fn values_out_of_range_are_refused_with_the_field() {
    let error = reinterpret::<u64, u32>(1 << 32).unwrap_err();
    assert!(error.to_string().starts_with("Holder.value: damaged image: number too large"));
    assert!(reinterpret::<i64, i8>(-129).is_err());
    assert!(reinterpret::<u32, char>(0xd800).is_err());
    assert!(reinterpret::<u32, NonZeroU32>(0).is_err());
    assert!(reinterpret::<(u64, u32), Duration>((u64::MAX, 1_000_000_000)).is_err());
    assert!(reinterpret::<u16, abi::Errno>(0).is_err());
    assert!(reinterpret::<u8, abi::Signal>(65).is_err());
    assert_eq!(reinterpret::<u16, u64>(300).unwrap(), 300);
}

#[test]
fn values_of_another_form_are_refused() {
    let error = reinterpret::<u64, i64>(1).unwrap_err();
    assert_eq!(error.cause(), &Cause::OtherFields("Holder".into()));
    assert!(reinterpret::<Vec<u8>, String>(vec![]).is_err());
    assert!(reinterpret::<Vec<u64>, Vec<u8>>(vec![]).is_err());
    assert!(reinterpret::<(u8, u16), (u16, u8)>((1, 1)).is_err());
    assert!(reinterpret::<Mutex<u8>, u8>(Mutex::new(1)).is_err());
    assert!(reinterpret::<[u8; 2], [u8; 3]>([0; 2]).is_err());
}

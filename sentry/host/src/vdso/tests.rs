//! Calls the functions, as an application does: from a page that lies above a data page.

use std::{ffi::c_void, mem::transmute, ptr};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::*;

const PAGE: usize = 4096;

/// Two pages: data and code.
struct Image(*mut u8);

type ClockGettime = extern "C" fn(i32, *mut [i64; 2]) -> i32;
type GetTimeOfDay = extern "C" fn(*mut [i64; 2], *mut [i32; 2]) -> i32;
type Time = extern "C" fn(*mut i64) -> i64;
type GetCpu = extern "C" fn(*mut u32, *mut u32, *mut c_void) -> i64;

impl Image {
    fn new() -> Self {
        let flags = MapFlags::PRIVATE;
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: fresh memory at an address that the host chooses.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), 2 * PAGE, rights, flags) }.unwrap();
        let image = Self(start.cast());
        image.put(PAGE, code());
        let rights = MprotectFlags::READ | MprotectFlags::EXEC;
        // SAFETY: within our own pages.
        let second = unsafe { start.byte_add(PAGE) };
        // SAFETY: one of our own pages; nothing but code is in it.
        unsafe { mprotect(second, PAGE, rights) }.unwrap();
        image
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= 2 * PAGE);
        // SAFETY: within our own pages (checked above).
        let to = unsafe { self.0.add(at) };
        // SAFETY: as above; `bytes` lies elsewhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// All clocks go on from `base` plus their number, with `multiplier`, for `valid` ticks.
    fn set_clocks(&self, counter: u64, multiplier: u64, valid: u64, base: u64) {
        self.put(data::CLOCKS, &0xff_u32.to_le_bytes());
        self.put(data::COUNTER, &counter.to_le_bytes());
        self.put(data::MULTIPLIER, &multiplier.to_le_bytes());
        self.put(data::VALID, &valid.to_le_bytes());
        for clock in 0..8 {
            self.put(data::BASES + 8 * clock, &(base + clock as u64).to_le_bytes());
        }
    }

    fn entry(&self, function: usize) -> *const u8 {
        // SAFETY: within our own pages.
        unsafe { self.0.add(PAGE + entries()[function]) }
    }

    fn clock_gettime(&self, clock: i32) -> (i32, [i64; 2]) {
        // SAFETY: the code at this entry has this signature.
        let function: ClockGettime = unsafe { transmute(self.entry(0)) };
        let mut time = [-1; 2];
        let result = function(clock, &raw mut time);
        (result, time)
    }

    fn get_time_of_day(&self, tv: *mut [i64; 2], tz: *mut [i32; 2]) -> i32 {
        // SAFETY: the code at this entry has this signature.
        let function: GetTimeOfDay = unsafe { transmute(self.entry(1)) };
        function(tv, tz)
    }

    fn time(&self, to: *mut i64) -> i64 {
        // SAFETY: the code at this entry has this signature.
        let function: Time = unsafe { transmute(self.entry(2)) };
        function(to)
    }

    fn get_cpu(&self, cpu: *mut u32, node: *mut u32) -> i64 {
        // SAFETY: the code at this entry has this signature.
        let function: GetCpu = unsafe { transmute(self.entry(3)) };
        function(cpu, node, ptr::null_mut())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: our own pages, which nobody uses any more.
        unsafe { munmap(self.0.cast(), 2 * PAGE) }.unwrap();
    }
}

/// 1,000,000,000 seconds and 123,456,789 nanoseconds.
const BASE: u64 = 1_000_000_000_123_456_789;

#[test]
fn a_counter_that_stands_still_gives_the_base_of_each_clock() {
    let image = Image::new();
    image.set_clocks(crate::tsc::read(), 0, u64::MAX, BASE);
    for clock in 0..8 {
        let expected = [1_000_000_000, 123_456_789 + i64::from(clock)];
        assert_eq!(image.clock_gettime(clock), (0, expected));
    }
    let (mut tv, mut tz) = ([-1; 2], [-1; 2]);
    assert_eq!(image.get_time_of_day(&raw mut tv, &raw mut tz), 0);
    assert_eq!((tv, tz), ([1_000_000_000, 123_456], [0, 0]));
    assert_eq!(image.get_time_of_day(ptr::null_mut(), ptr::null_mut()), 0);
    let mut seconds = 0;
    assert_eq!(image.time(&raw mut seconds), 1_000_000_000);
    assert_eq!(seconds, 1_000_000_000);
    assert_eq!(image.time(ptr::null_mut()), 1_000_000_000);
}

#[test]
fn ticks_are_scaled() {
    let image = Image::new();
    // Half a nanosecond a tick, and a base that is a second of ticks old.
    let counter = crate::tsc::read() - 2_000_000_000;
    image.set_clocks(counter, 1 << 31, u64::MAX, 0);
    let before = crate::tsc::read() - counter;
    let (_, [seconds, rest]) = image.clock_gettime(1);
    let after = crate::tsc::read() - counter;
    let found = (seconds * 1_000_000_000 + rest).cast_unsigned();
    assert!((before / 2..=after / 2 + 1).contains(&found), "{before} {found} {after}");
}

/// The real system call shows another time than the data page.
#[test]
fn what_is_not_valid_is_asked_of_the_kernel() {
    let image = Image::new();
    let real = || crate::clock::realtime_ns() / 1_000_000_000;
    let is_real = |seconds: i64| real().abs_diff(seconds.cast_unsigned()) < 100;
    let now = crate::tsc::read();
    // No clocks at all; too old; from the future.
    for (counter, valid) in [(now, 0), (now + (1 << 50), 1 << 40)] {
        image.set_clocks(counter, 0, valid, BASE);
        assert!(is_real(image.clock_gettime(0).1[0]));
        assert!(is_real(image.time(ptr::null_mut())));
        let mut tv = [0; 2];
        assert_eq!(image.get_time_of_day(&raw mut tv, ptr::null_mut()), 0);
        assert!(is_real(tv[0]));
    }
    image.set_clocks(now, 0, u64::MAX, BASE);
    image.put(data::CLOCKS, &0_u32.to_le_bytes());
    assert!(is_real(image.clock_gettime(0).1[0]));
    image.put(data::CLOCKS, &0xff_u32.to_le_bytes());
    assert_eq!(image.clock_gettime(11).0, 0);
    for clock in [1000, -1] {
        assert_eq!(image.clock_gettime(clock).0, -libc::EINVAL, "{clock}");
    }
}

#[test]
fn the_cpu_is_looked_up_in_the_map() {
    let image = Image::new();
    let (mut cpu, mut node) = (99, 99);
    assert_eq!(image.get_cpu(&raw mut cpu, &raw mut node), 0);
    assert!(cpu < 99 && node < 99);
    if !crate::tsc::tells_cpu() {
        return;
    }
    image.put(data::CPU_MAP, &[7, 0].repeat(data::CPU_COUNT));
    image.put(data::CPUS, &1_u32.to_le_bytes());
    assert_eq!(image.get_cpu(&raw mut cpu, &raw mut node), 0);
    assert_eq!((cpu, node), (7, 0));
    assert_eq!(image.get_cpu(ptr::null_mut(), ptr::null_mut()), 0);
    image.put(data::CPU_MAP, &[0xff; 2 * data::CPU_COUNT]);
    assert_eq!(image.get_cpu(&raw mut cpu, &raw mut node), 0);
    assert_ne!(cpu, 7);
}

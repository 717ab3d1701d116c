//! The vDSO: clocks and the CPU number without a system call (vdso(7)).
//!
//! Two pages of the memory object that all processes map: `[vvar]`, which only the Sentry writes,
//! and `[vdso]`, a shared object of our own whose code (`host::vdso`) reads it.
//!
//! The clocks are the host's, extrapolated by the time stamp counter. A scale holds for at most a
//! second; then the code makes the real call, whose handler comes to [`Vdso::read`], which
//! calibrates anew. So a sandbox that asks for no time is not woken for it, and one that asks all
//! the time makes one call a second. Where the host's counter is no clock, or RDTSC could mean
//! another counter, each call is a real one.

mod image;
mod scale;
mod unwind;

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE, UserAddr};
use host::vdso::data;
use mm::{
    Charge, Frames, Identity, Kind, MapError, MapRequest, Mappable, MappingHandle, Memory,
    MemoryManager, Translation,
};
use platform::{Backing, Protection};
use sched::Mutex;

use self::scale::{Calibration, Sample, Scale};

/// Bit N: clock N is served. REALTIME, MONOTONIC, `MONOTONIC_RAW` (the same inside), the two coarse
/// ones (here as exact as the others), BOOTTIME.
const CLOCKS: u32 = (1 << 0) | (1 << 1) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7);

/// Is the counter of this host a clock?
#[derive(Clone, Copy, Debug)]
struct Steady(bool);

impl Default for Steady {
    fn default() -> Self {
        Self(host::tsc::is_steady())
    }
}

/// The pages that every program gets for calls without a system call.
#[derive(Debug, state::Save, state::Load)]
#[state(after_load = Vdso::loaded)]
pub struct Vdso {
    pages: Arc<Frames>,
    /// The counter of this host is a clock.
    #[state(skip)]
    steady: Steady,
    #[state(skip)]
    calibration: Mutex<Calibration>,
}

impl Vdso {
    /// Makes the pages. Called at start: looks at a file of the host.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(memory: &Arc<Memory>, charge: &Arc<Charge>) -> Result<Arc<Self>, Errno> {
        let pages = Arc::new(memory.allocate(2, charge, Kind::Shmem)?);
        let image = image::build();
        if pages.write(PAGE_SIZE, &image) != image.len() {
            return Err(Errno::ENOMEM);
        }
        let (steady, calibration) = (Steady::default(), Mutex::default());
        Ok(Arc::new(Self { pages, steady, calibration }))
    }

    /// After a load: the counter is perhaps another one, so programs ask until it is calibrated.
    fn loaded(&self) -> state::Result<()> {
        self.publish(None);
        self.put(data::CPUS, &0_u32.to_le_bytes());
        Ok(())
    }

    /// Says that executor N, and all application code that it runs, stays on CPU `cpus[N]` of the
    /// host: from then on getcpu(2) needs no call.
    pub fn set_cpus(&self, cpus: &[usize]) {
        let mut map = [u16::MAX; data::CPU_COUNT];
        for (executor, cpu) in cpus.iter().enumerate() {
            match (map.get_mut(*cpu), u16::try_from(executor)) {
                (Some(slot), Ok(executor)) if *slot == u16::MAX => *slot = executor,
                // Two executors on one CPU can't be told apart.
                _ => return,
            }
        }
        if host::tsc::tells_cpu() {
            let map: Vec<u8> = map.iter().flat_map(|number| number.to_le_bytes()).collect();
            self.put(data::CPU_MAP, &map);
            self.put(data::CPUS, &1_u32.to_le_bytes());
        }
    }

    /// Nanoseconds of clock `number` (`clock_gettime(2)`), exactly as programs read it in the page;
    /// calibrates if it is time. `None` for a clock that is not served here.
    #[must_use]
    pub fn read(&self, number: u32) -> Option<u64> {
        if number > 7 || CLOCKS & (1 << number) == 0 {
            return None;
        }
        if !self.steady.0 {
            return Some(host_clock(number));
        }
        let mut calibration = self.calibration.lock();
        if let Some(now) = now(calibration.scale(), number) {
            return Some(now);
        }
        if calibration.learn(Sample::take()) {
            self.publish(calibration.scale());
        }
        Some(now(calibration.scale(), number).unwrap_or_else(|| host_clock(number)))
    }

    /// Maps both pages into a new program; returns where the shared object lies.
    pub(super) fn map(&self, mm: &Arc<MemoryManager>) -> Result<UserAddr, Errno> {
        let start = mm.map(MapRequest::anonymous(2 * PAGE_SIZE, Protection::NONE))?;
        let code = start.checked_add(PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let (vvar, vdso) = (self.page(0, "[vvar]"), self.page(1, "[vdso]"));
        let vvar = MapRequest::file(vvar, 0, PAGE_SIZE, Protection::READ);
        let vvar = MapRequest { max_protection: Protection::READ, ..vvar.at(start) };
        mm.map(vvar.named("[vvar]"))?;
        let vdso = MapRequest::file(vdso, 0, PAGE_SIZE, Protection::READ_EXECUTE);
        mm.map(vdso.at(code).named("[vdso]"))?;
        Ok(code)
    }

    fn page(&self, page: u64, name: &str) -> Arc<dyn Mappable> {
        Arc::new(Page { pages: self.pages.clone(), page, name: name.to_owned() })
    }

    /// Lets programs read a new scale, or none. One at a time: the caller holds the lock.
    fn publish(&self, scale: Option<&Scale>) {
        self.bump();
        let clocks = if scale.is_some() { CLOCKS } else { 0 };
        if let Some(scale) = scale {
            self.put(data::COUNTER, &scale.counter.to_le_bytes());
            self.put(data::MULTIPLIER, &scale.multiplier.to_le_bytes());
            self.put(data::VALID, &scale.valid.to_le_bytes());
            for (clock, at) in (0..).zip((data::BASES..).step_by(8)).take(8) {
                self.put(at, &from_monotonic(scale, clock, scale.monotonic_ns).to_le_bytes());
            }
        }
        self.put(data::CLOCKS, &clocks.to_le_bytes());
        self.bump();
    }

    /// Increments the sequence number, in one store: copies of bytes are not atomic, but their
    /// order is kept.
    fn bump(&self) {
        let at = self.pages.offset() + data::SEQUENCE as u64;
        let object = self.pages.memory().object();
        let old = object.load_u32(at);
        let _ = object.compare_exchange_u32(at, old, old.wrapping_add(1));
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        let written = self.pages.write(at as u64, bytes);
        debug_assert_eq!(written, bytes.len());
    }
}

fn now(scale: Option<&Scale>, number: u32) -> Option<u64> {
    let scale = scale?;
    let monotonic = scale.monotonic_at(host::tsc::read())?;
    Some(from_monotonic(scale, number, monotonic))
}

/// Another clock, from `CLOCK_MONOTONIC`.
fn from_monotonic(scale: &Scale, number: u32, monotonic_ns: u64) -> u64 {
    match number {
        0 | 5 => monotonic_ns.wrapping_add(scale.realtime_offset),
        7 => monotonic_ns.wrapping_add(scale.boottime_offset),
        _ => monotonic_ns,
    }
}

fn host_clock(number: u32) -> u64 {
    match number {
        0 | 5 => host::clock::realtime_ns(),
        7 => host::clock::boottime_ns(),
        _ => host::clock::monotonic_ns(),
    }
}

/// One of the two pages.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "vdso::Page")]
pub(crate) struct Page {
    pages: Arc<Frames>,
    page: u64,
    name: String,
}

impl Mappable for Page {
    fn translate(&self, offset: u64, _len: u64, _write: bool) -> Result<Translation, MapError> {
        if offset != 0 {
            return Err(MapError::BeyondEnd);
        }
        let offset = self.pages.offset() + self.page * PAGE_SIZE;
        Ok(Translation { backing: Backing::Memory { offset }, len: PAGE_SIZE, writable: false })
    }

    // Nothing is ever taken away, so nobody has to be told.
    fn add_mapping(&self, _mapping: &MappingHandle) {}

    fn remove_mapping(&self, _mapping: &MappingHandle) {}

    fn identity(&self) -> Identity {
        Identity::default()
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vdso() -> Arc<Vdso> {
        let object = Arc::new(host::MemoryObject::new(1 << 20).unwrap());
        Vdso::new(&Memory::new(object, 1 << 20), &Charge::new(u64::MAX)).unwrap()
    }

    fn word(vdso: &Vdso, at: usize) -> u64 {
        let mut bytes = [0; 8];
        assert_eq!(vdso.pages.read(at as u64, &mut bytes), 8);
        u64::from_le_bytes(bytes)
    }

    #[test]
    fn clocks_follow_those_of_the_host_and_do_not_go_back() {
        let vdso = vdso();
        let end = host::clock::monotonic_ns() + 200_000_000;
        let mut last = [0; 8];
        while last[1] < end {
            for number in [0, 1, 4, 5, 6, 7] {
                let before = host_clock(number);
                let now = vdso.read(number).unwrap();
                let after = host_clock(number);
                assert!(now >= last[number as usize], "clock {number}");
                assert!(before < now + 5_000 && now < after + 5_000, "{before} {now} {after}");
                last[number as usize] = now;
            }
        }
        for number in [2, 3, 8, 11, u32::MAX] {
            assert_eq!(vdso.read(number), None, "clock {number}");
        }
    }

    #[test]
    fn the_data_page_holds_the_scale_once_it_is_measured() {
        let vdso = vdso();
        if !vdso.steady.0 {
            return;
        }
        assert_eq!(word(&vdso, data::CLOCKS) & 0xffff_ffff, 0);
        let deadline = host::clock::monotonic_ns() + 10_000_000_000;
        while vdso.calibration.lock().scale().is_none() {
            assert!(host::clock::monotonic_ns() < deadline);
            let _ = vdso.read(1);
        }
        let scale = *vdso.calibration.lock().scale().unwrap();
        assert_eq!(word(&vdso, data::CLOCKS) & 0xffff_ffff, u64::from(CLOCKS));
        assert_eq!(word(&vdso, data::SEQUENCE) & 0xffff_ffff, 2);
        assert_eq!(word(&vdso, data::MULTIPLIER), scale.multiplier);
        assert_eq!(word(&vdso, data::BASES + 8), scale.monotonic_ns);
        let realtime = scale.monotonic_ns + scale.realtime_offset;
        assert_eq!(word(&vdso, data::BASES), realtime);
    }

    #[test]
    fn cpus_that_can_not_be_told_apart_are_not_mapped() {
        let vdso = vdso();
        for cpus in [&[3, 3][..], &[data::CPU_COUNT], &[usize::MAX]] {
            vdso.set_cpus(cpus);
            assert_eq!(word(&vdso, data::CPUS) & 1, 0, "{cpus:?}");
        }
        if host::tsc::tells_cpu() {
            vdso.set_cpus(&[3, 1]);
            assert_eq!(word(&vdso, data::CPUS) & 1, 1);
            assert_eq!(word(&vdso, data::CPU_MAP), 0x0000_ffff_0001_ffff);
        }
    }
}

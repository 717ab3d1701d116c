//! Resource limits (getrlimit(2)).

/// `RLIM_INFINITY`.
const INFINITY: u64 = u64::MAX;

/// A limited resource, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the resource of its name, getrlimit(2)")]
pub enum Resource {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Locks = 10,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}

/// A soft and a hard limit.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
    state::Save,
    state::Load,
)]
#[repr(C)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// How far the soft limit may be raised.
    pub hard: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { soft: INFINITY, hard: INFINITY };

    const fn new(soft: u64, hard: u64) -> Self {
        Self { soft, hard }
    }
}

/// The sixteen limits of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub struct Limits([Limit; 16]);

impl Default for Limits {
    /// What Linux gives its first process, with the descriptor limits of a container.
    fn default() -> Self {
        let mut limits = Self([Limit::NONE; 16]);
        limits.set(Resource::Stack, Limit::new(8 << 20, INFINITY));
        limits.set(Resource::Core, Limit::new(0, INFINITY));
        limits.set(Resource::Nofile, Limit::new(1024, 1 << 20));
        limits.set(Resource::Memlock, Limit::new(8 << 20, 8 << 20));
        limits.set(Resource::Sigpending, Limit::new(31_000, 31_000));
        limits.set(Resource::Msgqueue, Limit::new(819_200, 819_200));
        limits.set(Resource::Nice, Limit::new(0, 0));
        limits.set(Resource::Rtprio, Limit::new(0, 0));
        limits
    }
}

impl Limits {
    /// The limit of `resource`.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Limit {
        self.0.get(resource as usize).copied().unwrap_or(Limit::NONE)
    }

    /// The limit of resource number `number`; `None` if there is none.
    #[must_use]
    pub fn by_number(&self, number: u64) -> Option<Limit> {
        self.0.get(usize::try_from(number).ok()?).copied()
    }

    /// Sets a limit.
    pub fn set(&mut self, resource: Resource, limit: Limit) {
        let _ = self.set_by_number(resource as u64, limit);
    }

    /// Sets the limit of resource number `number`; false if there is none.
    pub fn set_by_number(&mut self, number: u64, limit: Limit) -> bool {
        match usize::try_from(number).ok().and_then(|n| self.0.get_mut(n)) {
            Some(slot) => {
                *slot = limit;
                true
            }
            None => false,
        }
    }

    /// The soft limit of `resource`.
    #[must_use]
    pub fn soft(&self, resource: Resource) -> u64 {
        self.get(resource).soft
    }
}

//! Which ports are in use, and by whom.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use abi::Errno;
use sched::Mutex;

use super::local::Local;

/// Ports given to sockets that ask for none (`/proc/sys/net/ipv4/ip_local_port_range`).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// The ports of one protocol. `T` is what receives.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Ports<T: state::Object>(Mutex<Table<T>>);

#[derive(Debug, state::Save, state::Load)]
struct Table<T: state::Object> {
    ports: BTreeMap<u16, Port<T>>,
    next_ephemeral: u16,
    last_claim: u64,
}

#[derive(Debug, state::Save, state::Load)]
struct Port<T: state::Object> {
    owners: Vec<Owner<T>>,
    /// Connections that were accepted at this port.
    accepted: usize,
    /// Until when a closed connection keeps the port (TIME-WAIT), `CLOCK_MONOTONIC`.
    quiet_until_ns: u64,
    /// All connections, living and closed, had `SO_REUSEADDR`.
    reusable: bool,
}

/// What somebody who binds wants.
#[derive(Clone, Copy, Debug, state::Save, state::Load)]
pub(crate) struct Wish {
    pub(super) local: Local,
    /// `SO_REUSEADDR`.
    pub(super) reuse: bool,
    /// `SO_REUSEPORT`.
    pub(super) share: bool,
    pub(super) uid: u32,
}

#[derive(Debug, state::Save, state::Load)]
struct Owner<T: state::Object> {
    claim: u64,
    wish: Wish,
    listening: bool,
    receiver: Weak<T>,
    remote: Option<SocketAddr>,
}

/// A port that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(crate) struct Claim {
    number: u64,
    pub(super) port: u16,
}

impl<T: state::Object> Port<T> {
    fn new() -> Self {
        Self { owners: Vec::new(), accepted: 0, quiet_until_ns: 0, reusable: true }
    }

    /// True if nobody uses it, but perhaps a closed connection.
    fn is_idle(&self) -> bool {
        self.owners.is_empty() && self.accepted == 0
    }

    fn is_free(&self, now_ns: u64) -> bool {
        self.is_idle() && self.quiet_until_ns <= now_ns
    }

    /// May somebody with this wish have it too?
    fn admits(&self, wish: &Wish, now_ns: u64) -> bool {
        let kept = self.accepted > 0 || self.quiet_until_ns > now_ns;
        if kept && !(wish.reuse && self.reusable) && !self.owners.iter().any(|o| o.shares(wish)) {
            return false;
        }
        self.owners.iter().all(|owner| owner.admits(wish))
    }

    fn remove(&mut self, claim: u64) -> Option<Owner<T>> {
        let at = self.owners.iter().position(|owner| owner.claim == claim)?;
        Some(self.owners.remove(at))
    }
}

impl<T: state::Object> Owner<T> {
    /// `SO_REUSEPORT` on both, of the same user (socket(7)).
    fn shares(&self, wish: &Wish) -> bool {
        self.wish.share && wish.share && self.wish.uid == wish.uid
    }

    fn admits(&self, wish: &Wish) -> bool {
        !self.wish.local.overlaps(wish.local)
            || self.shares(wish)
            || (self.wish.reuse && wish.reuse && !self.listening)
    }
}

impl<T: state::Object> Default for Table<T> {
    fn default() -> Self {
        Self { ports: BTreeMap::new(), next_ephemeral: *EPHEMERAL.start(), last_claim: 0 }
    }
}

impl<T: state::Object> Ports<T> {
    pub(crate) fn new() -> Self {
        let mut random = [0; 2];
        host::random(&mut random);
        let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        let next_ephemeral = EPHEMERAL.start() + u16::from_ne_bytes(random) % count;
        Self(Mutex::new(Table { ports: BTreeMap::new(), next_ephemeral, last_claim: 0 }))
    }

    /// bind(2): holds `port`, or any free one if it is 0. Packets go to `receiver`.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`.
    pub(super) fn bind(
        &self,
        wish: Wish,
        port: u16,
        now_ns: u64,
        receiver: Weak<T>,
    ) -> Result<Claim, Errno> {
        let mut table = self.0.lock();
        let port = match port {
            0 => table.ephemeral(|port| port.is_free(now_ns)).ok_or(Errno::EADDRINUSE)?,
            port => port,
        };
        let admitted = table.ports.get(&port).is_none_or(|port| port.admits(&wish, now_ns));
        if admitted { Ok(table.add(port, wish, receiver)) } else { Err(Errno::EADDRINUSE) }
    }

    /// Holds a port for one who connects. That of a closed connection will do if there is no
    /// other, since nothing of an old connection can come late here.
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL`.
    pub(super) fn bind_to_connect(&self, wish: Wish, now_ns: u64) -> Result<Claim, Errno> {
        let mut table = self.0.lock();
        let port = table
            .ephemeral(|port| port.is_free(now_ns))
            .or_else(|| table.ephemeral(Port::is_idle))
            .ok_or(Errno::EADDRNOTAVAIL)?;
        Ok(table.add(port, wish, Weak::new()))
    }

    /// listen(2).
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` if somebody else listens.
    pub(super) fn listen(&self, claim: Claim, receiver: &Arc<T>) -> Result<(), Errno> {
        let mut table = self.0.lock();
        let port = table.ports.get_mut(&claim.port).ok_or(Errno::EINVAL)?;
        let mut own = port.remove(claim.number).ok_or(Errno::EINVAL)?;
        let clash = port.owners.iter().any(|owner| owner.listening && !owner.admits(&own.wish));
        if !clash {
            own.listening = true;
            own.receiver = Arc::downgrade(receiver);
        }
        port.owners.push(own);
        if clash { Err(Errno::EADDRINUSE) } else { Ok(()) }
    }

    /// Who holds the port listens no more.
    pub(super) fn stop_listening(&self, claim: Claim) {
        self.change(claim, |owner| {
            owner.listening = false;
            owner.receiver = Weak::new();
        });
    }

    /// connect(2): nobody else may be connected from and to the same.
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL`.
    pub(super) fn set_remote(&self, claim: Claim, remote: Option<SocketAddr>) -> Result<(), Errno> {
        if remote.is_some() {
            let table = self.0.lock();
            let others = table.ports.get(&claim.port).map_or(&[][..], |port| &port.owners);
            let same = |o: &Owner<T>| o.claim != claim.number && o.remote == remote;
            if others.iter().any(same) {
                return Err(Errno::EADDRNOTAVAIL);
            }
        }
        self.change(claim, |owner| owner.remote = remote);
        Ok(())
    }

    fn change(&self, claim: Claim, change: impl FnOnce(&mut Owner<T>)) {
        let mut table = self.0.lock();
        let owners = table.ports.get_mut(&claim.port).map(|port| &mut port.owners);
        if let Some(owner) =
            owners.and_then(|all| all.iter_mut().find(|owner| owner.claim == claim.number))
        {
            change(owner);
        }
    }

    /// Gives the port back; a closed connection keeps it until `quiet_until_ns`.
    pub(super) fn release(&self, claim: Claim, quiet_until_ns: u64) {
        let mut table = self.0.lock();
        let Some(port) = table.ports.get_mut(&claim.port) else { return };
        if let Some(owner) = port.remove(claim.number) {
            port.keep(quiet_until_ns, owner.wish.reuse);
        }
        table.forget(claim.port);
    }

    /// A connection was made at a listener's port.
    pub(super) fn accepted(&self, number: u16, reuse: bool) {
        let mut table = self.0.lock();
        let port = table.ports.entry(number).or_insert_with(Port::new);
        port.reusable &= reuse;
        port.accepted += 1;
    }

    /// Such a connection is closed.
    pub(super) fn closed(&self, number: u16, quiet_until_ns: u64, reuse: bool) {
        let mut table = self.0.lock();
        let Some(port) = table.ports.get_mut(&number) else { return };
        port.accepted = port.accepted.saturating_sub(1);
        port.keep(quiet_until_ns, reuse);
        table.forget(number);
    }

    /// Who receives what `from` sends to `to`.
    pub(super) fn find(&self, to: SocketAddr, from: SocketAddr) -> Option<Arc<T>> {
        let table = self.0.lock();
        let rank = |owner: &Owner<T>| {
            let connected = match owner.remote {
                Some(remote) if remote != from => return None,
                remote => u32::from(remote.is_some()) * 4,
            };
            let receives = owner.wish.local.has(to.ip()) && owner.receiver.strong_count() > 0;
            receives.then(|| connected + owner.wish.local.precision())
        };
        let owners = &table.ports.get(&to.port())?.owners;
        let best = owners.iter().filter_map(rank).max()?;
        let all: Vec<_> = owners.iter().filter(|owner| rank(owner) == Some(best)).collect();
        // Those that share get each their part; of others, the last one gets all.
        let at = match all.as_slice() {
            [first, ..] if first.wish.share => usize::from(from.port()) % all.len(),
            all => all.len() - 1,
        };
        all.get(at)?.receiver.upgrade()
    }
}

impl<T: state::Object> Port<T> {
    fn keep(&mut self, quiet_until_ns: u64, reuse: bool) {
        if quiet_until_ns > 0 {
            self.quiet_until_ns = self.quiet_until_ns.max(quiet_until_ns);
            self.reusable &= reuse;
        }
        if self.accepted == 0 && self.quiet_until_ns == 0 {
            self.reusable = true;
        }
    }
}

impl<T: state::Object> Table<T> {
    fn add(&mut self, number: u16, wish: Wish, receiver: Weak<T>) -> Claim {
        self.last_claim += 1;
        let claim = self.last_claim;
        let port = self.ports.entry(number).or_insert_with(Port::new);
        if port.is_idle() {
            port.quiet_until_ns = if wish.reuse { port.quiet_until_ns } else { 0 };
        }
        port.owners.push(Owner { claim, wish, listening: false, receiver, remote: None });
        Claim { number: claim, port: number }
    }

    /// The next port that is not in use, or that `will_do`.
    fn ephemeral(&mut self, will_do: impl Fn(&Port<T>) -> bool) -> Option<u16> {
        for _ in EPHEMERAL {
            let number = self.next_ephemeral;
            self.next_ephemeral =
                if number >= *EPHEMERAL.end() { *EPHEMERAL.start() } else { number + 1 };
            if self.ports.get(&number).is_none_or(&will_do) {
                return Some(number);
            }
        }
        None
    }

    fn forget(&mut self, number: u16) {
        if self.ports.get(&number).is_some_and(|port| port.is_free(0)) {
            self.ports.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who receives.
    #[derive(Debug, PartialEq)]
    struct Receiver(u8);
    state::cannot_save!(Receiver);

    fn wish(local: Local, reuse: bool, share: bool) -> Wish {
        Wish { local, reuse, share, uid: 0 }
    }

    fn one(ip: &str) -> Local {
        Local::One(ip.parse().unwrap())
    }

    #[test]
    fn a_port_is_held_by_one_unless_both_reuse_or_share_it() {
        let ports = Ports::<Receiver>::new();
        let plain = wish(Local::Any4, false, false);
        let first = ports.bind(plain, 80, 0, Weak::new()).unwrap();
        assert_eq!(ports.bind(plain, 80, 0, Weak::new()), Err(Errno::EADDRINUSE));
        assert!(ports.bind(wish(Local::Any6, false, false), 80, 0, Weak::new()).is_ok());
        let dual = wish(Local::AnyDual, true, true);
        assert_eq!(ports.bind(dual, 80, 0, Weak::new()), Err(Errno::EADDRINUSE));
        ports.release(first, 0);
        let share = wish(one("127.0.0.1"), false, true);
        ports.bind(share, 80, 0, Weak::new()).unwrap();
        ports.bind(share, 80, 0, Weak::new()).unwrap();
        let other_user = Wish { uid: 5, ..share };
        assert_eq!(ports.bind(other_user, 80, 0, Weak::new()), Err(Errno::EADDRINUSE));
        assert!(ports.bind(wish(one("127.0.0.2"), false, false), 80, 0, Weak::new()).is_ok());
    }

    #[test]
    fn two_that_reuse_may_bind_but_one_listens() {
        let ports = Ports::new();
        let wish = wish(Local::Any4, true, false);
        let receiver = Arc::new(Receiver(0));
        let first = ports.bind(wish, 80, 0, Weak::new()).unwrap();
        let second = ports.bind(wish, 80, 0, Weak::new()).unwrap();
        ports.listen(first, &receiver).unwrap();
        assert_eq!(ports.listen(second, &receiver), Err(Errno::EADDRINUSE));
        assert_eq!(ports.bind(wish, 80, 0, Weak::new()), Err(Errno::EADDRINUSE));
        ports.stop_listening(first);
        assert_eq!(ports.listen(second, &receiver), Ok(()));
    }

    #[test]
    fn a_closed_connection_keeps_the_port_for_a_while() {
        let ports = Ports::<Receiver>::new();
        let plain = wish(Local::Any4, false, false);
        for (reused, before, again) in
            [(false, false, false), (true, false, false), (true, true, true)]
        {
            let listener = ports.bind(plain, 80, 1000, Weak::new()).unwrap();
            ports.accepted(80, before);
            ports.release(listener, 0);
            ports.closed(80, 900, before);
            let wish = wish(Local::Any4, reused, false);
            let result = ports.bind(wish, 80, 100, Weak::new());
            assert_eq!(result.is_ok(), again, "{reused} {before}");
            if let Ok(claim) = result {
                ports.release(claim, 0);
            }
            let late = ports.bind(plain, 80, 1000, Weak::new()).unwrap();
            ports.release(late, 0);
        }
    }

    #[test]
    fn every_ephemeral_port_is_given_once() {
        let ports = Ports::<Receiver>::new();
        let wish = wish(Local::Any4, true, true);
        let mut seen = std::collections::BTreeSet::new();
        for _ in EPHEMERAL {
            let claim = ports.bind(wish, 0, 0, Weak::new()).unwrap();
            assert!(EPHEMERAL.contains(&claim.port));
            assert!(seen.insert(claim.port));
        }
        assert_eq!(ports.bind(wish, 0, 0, Weak::new()), Err(Errno::EADDRINUSE));
        assert_eq!(ports.bind_to_connect(wish, 0), Err(Errno::EADDRNOTAVAIL));
    }

    #[test]
    fn the_closest_match_receives() {
        let ports = Ports::new();
        let (any, exact, connected) =
            (Arc::new(Receiver(1)), Arc::new(Receiver(2)), Arc::new(Receiver(3)));
        let from: SocketAddr = "127.0.0.1:999".parse().unwrap();
        let to: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let reuse = |local| wish(local, true, false);
        ports.bind(reuse(Local::AnyDual), 80, 0, Arc::downgrade(&any)).unwrap();
        assert_eq!(ports.find(to, from).as_deref(), Some(&Receiver(1)));
        ports.bind(reuse(one("127.0.0.1")), 80, 0, Arc::downgrade(&exact)).unwrap();
        assert_eq!(ports.find(to, from).as_deref(), Some(&Receiver(2)));
        let claim = ports.bind(reuse(Local::Any4), 80, 0, Arc::downgrade(&connected)).unwrap();
        ports.set_remote(claim, Some(from)).unwrap();
        assert_eq!(ports.find(to, from).as_deref(), Some(&Receiver(3)));
        let other = "127.0.0.1:998".parse().unwrap();
        assert_eq!(ports.find(to, other).as_deref(), Some(&Receiver(2)));
        assert_eq!(ports.find("[::1]:80".parse().unwrap(), other).as_deref(), Some(&Receiver(1)));
        assert_eq!(ports.find("[::1]:81".parse().unwrap(), other).as_deref(), None);
    }
}

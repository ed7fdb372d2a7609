//! The addresses of one subnet.
//!
//! ```text
//!   fresh ──offer──▶ Offered ──bind──▶ Bound ──expire, release──▶ Free (remembers its client)
//!                       │  expire                                   │ same client: Offered
//!                       └───────────────▶ Free or forgotten         │ pool is short: another client, oldest first
//!   Bound ──decline──▶ Declined ──expire──▶ forgotten
//! ```
//!
//! Invariants: an address has one entry at most; a client has one entry at most; `expiry` holds exactly the entries that are
//! Offered, Bound or Declined, `free` exactly those that are Free.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use crate::HwAddr;
use crate::config::{Limits, Subnet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Offered,
    Bound,
    Declined,
    Free,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) hw: HwAddr,
    pub(crate) state: State,
    /// End of the state; for Free, when it became so.
    pub(crate) until_ms: u64,
    /// Whether this client ever held a lease here: it may use the reserve.
    pub(crate) known: bool,
    /// Relay port, hashed; 0 for none.
    pub(crate) circuit: u64,
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAddress {
    Exhausted,
    Quota,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) subnet: Subnet,
    entries: HashMap<Ipv4Addr, Entry>,
    by_hw: HashMap<HwAddr, Ipv4Addr>,
    expiry: BTreeSet<(u64, Ipv4Addr)>,
    free: BTreeSet<(u64, Ipv4Addr)>,
    circuits: HashMap<u64, usize>,
    /// Next address of the pool that was never used.
    fresh: u32,
    offered: usize,
    declined: usize,
    max_offered: usize,
    max_declined: usize,
    reserve: usize,
    max_per_circuit: usize,
    size: usize,
    /// Never handed out dynamically: reservations, the server itself, the router.
    taken: BTreeSet<Ipv4Addr>,
}

impl Pool {
    pub(crate) fn new(subnet: Subnet, limits: &Limits, taken: impl Iterator<Item = Ipv4Addr>) -> Self {
        let span = subnet.last.to_bits().saturating_sub(subnet.first.to_bits()).saturating_add(1);
        let mut taken: BTreeSet<Ipv4Addr> = taken.filter(|a| subnet.net.contains(*a)).collect();
        taken.extend(subnet.router);
        taken.insert(subnet.net.broadcast());
        taken.insert(Ipv4Addr::from_bits(subnet.net.address.to_bits() & subnet.net.mask().to_bits()));
        let inside = taken.range(subnet.first..=subnet.last).count();
        let size = (span as usize).saturating_sub(inside);
        let share = |permille: u32| size.saturating_mul(permille as usize).checked_div(1000).unwrap_or(0);
        Self {
            fresh: subnet.first.to_bits(),
            // A small pool must still be usable as a whole.
            max_offered: share(limits.max_offered_permille).max(16),
            max_declined: share(limits.max_declined_permille).max(1),
            reserve: share(limits.known_permille),
            max_per_circuit: limits.max_per_circuit,
            size,
            taken,
            subnet,
            entries: HashMap::new(),
            by_hw: HashMap::new(),
            expiry: BTreeSet::new(),
            free: BTreeSet::new(),
            circuits: HashMap::new(),
            offered: 0,
            declined: 0,
        }
    }

    pub(crate) fn of(&self, hw: &HwAddr) -> Option<(Ipv4Addr, Entry)> {
        let address = *self.by_hw.get(hw)?;
        Some((address, *self.entries.get(&address)?))
    }

    pub(crate) fn at(&self, address: Ipv4Addr) -> Option<&Entry> {
        self.entries.get(&address)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (Ipv4Addr, &Entry)> {
        self.entries.iter().map(|(address, entry)| (*address, entry))
    }

    /// Finds an address for a client and marks it offered. `wanted` is what it asked for; `circuit` its relay port.
    pub(crate) fn offer(
        &mut self,
        hw: HwAddr,
        wanted: Option<Ipv4Addr>,
        circuit: u64,
        until_ms: u64,
    ) -> Result<Ipv4Addr, NoAddress> {
        if let Some((address, entry)) = self.of(&hw) {
            if entry.state != State::Bound {
                self.put(address, Entry { state: State::Offered, until_ms, circuit, ..entry });
            }
            return Ok(address);
        }
        if self.offered >= self.max_offered || self.in_use() >= self.size.saturating_sub(self.reserve) {
            return Err(NoAddress::Quota);
        }
        if circuit != 0 && self.circuits.get(&circuit).copied().unwrap_or(0) >= self.max_per_circuit {
            return Err(NoAddress::Quota);
        }
        let address = wanted
            .filter(|address| self.in_pool(*address) && !self.entries.contains_key(address))
            .or_else(|| self.next_fresh())
            .or_else(|| self.free.first().map(|(_, address)| *address))
            .ok_or(NoAddress::Exhausted)?;
        self.put(address, Entry { hw, state: State::Offered, until_ms, known: false, circuit });
        Ok(address)
    }

    /// Binds `address` to `hw`, whatever was there: the caller has checked.
    pub(crate) fn bind(&mut self, hw: HwAddr, address: Ipv4Addr, circuit: u64, until_ms: u64) {
        self.put(address, Entry { hw, state: State::Bound, until_ms, known: true, circuit });
    }

    /// The client no longer wants it.
    pub(crate) fn release(&mut self, address: Ipv4Addr, now_ms: u64) {
        if let Some(entry) = self.entries.get(&address).copied() {
            self.set_free(address, entry, now_ms);
        }
    }

    /// Somebody else sits there. `false` if too many addresses rest already.
    pub(crate) fn decline(&mut self, address: Ipv4Addr, until_ms: u64) -> bool {
        let Some(entry) = self.entries.get(&address).copied() else { return false };
        if self.declined >= self.max_declined {
            return false;
        }
        self.put(address, Entry { state: State::Declined, until_ms, ..entry });
        // The client must be able to get another address.
        self.by_hw.remove(&entry.hw);
        true
    }

    /// Ends what is over.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        while let Some((until, address)) = self.expiry.first().copied() {
            if until > now_ms {
                return;
            }
            match self.entries.get(&address).copied() {
                Some(entry) if entry.known && entry.state != State::Declined => {
                    self.set_free(address, entry, until)
                }
                _ => self.forget(address),
            }
        }
    }

    fn set_free(&mut self, address: Ipv4Addr, entry: Entry, since_ms: u64) {
        if entry.known {
            self.put(address, Entry { state: State::Free, until_ms: since_ms, circuit: 0, ..entry });
        } else {
            self.forget(address);
        }
    }

    /// Removes an entry. An address of the pool goes back as the oldest free one, with nobody's name on it.
    fn forget(&mut self, address: Ipv4Addr) {
        let Some(entry) = self.entries.get(&address).copied() else { return };
        self.take(address);
        if self.in_pool(address) && address.to_bits() < self.fresh {
            let nobody = Entry { known: false, state: State::Free, until_ms: 0, circuit: 0, ..entry };
            self.entries.insert(address, nobody);
            self.free.insert((0, address));
        }
    }

    /// Addresses that a new client cannot have.
    fn in_use(&self) -> usize {
        self.expiry.len()
    }

    fn in_pool(&self, address: Ipv4Addr) -> bool {
        (self.subnet.first..=self.subnet.last).contains(&address) && !self.taken.contains(&address)
    }

    fn next_fresh(&mut self) -> Option<Ipv4Addr> {
        while self.fresh <= self.subnet.last.to_bits() {
            let address = Ipv4Addr::from_bits(self.fresh);
            self.fresh = self.fresh.checked_add(1)?;
            if self.in_pool(address) && !self.entries.contains_key(&address) {
                return Some(address);
            }
        }
        None
    }

    /// Replaces the entry of an address, keeping all indexes in step.
    fn put(&mut self, address: Ipv4Addr, entry: Entry) {
        self.take(address);
        // A client has one address: the one it has now.
        if let Some(old) = self.by_hw.get(&entry.hw).copied().filter(|old| *old != address) {
            self.forget(old);
        }
        self.by_hw.insert(entry.hw, address);
        match entry.state {
            State::Free => {
                self.free.insert((entry.until_ms, address));
            }
            State::Offered | State::Bound | State::Declined => {
                self.expiry.insert((entry.until_ms, address));
            }
        }
        self.offered = self.offered.saturating_add(usize::from(entry.state == State::Offered));
        self.declined = self.declined.saturating_add(usize::from(entry.state == State::Declined));
        if entry.circuit != 0 {
            let count = self.circuits.entry(entry.circuit).or_default();
            *count = count.saturating_add(1);
        }
        self.entries.insert(address, entry);
    }

    fn take(&mut self, address: Ipv4Addr) {
        let Some(entry) = self.entries.remove(&address) else { return };
        if self.by_hw.get(&entry.hw) == Some(&address) {
            self.by_hw.remove(&entry.hw);
        }
        self.expiry.remove(&(entry.until_ms, address));
        self.free.remove(&(entry.until_ms, address));
        self.offered = self.offered.saturating_sub(usize::from(entry.state == State::Offered));
        self.declined = self.declined.saturating_sub(usize::from(entry.state == State::Declined));
        if entry.circuit != 0
            && let Some(count) = self.circuits.get_mut(&entry.circuit)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.circuits.remove(&entry.circuit);
            }
        }
    }
}

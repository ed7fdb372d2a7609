//! Who watches which page of the guest's tables.
//!
//! A watched page is read-only in the nested tables, for all vCPUs of the node. The first store that faults, the
//! monitor's own writes, and the loss of the page to another node end the watch: each vCPU that watched learns of
//! it at its next flush. That is early enough, since x86 promises nothing about a changed entry before a flush.
//!
//! Making a page read-only takes effect on another processor only when that one has flushed. A [`Stamp`] says
//! from when on; until it has settled, the page counts as one that may change unseen.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use weft_types::Gpa;

/// A moment in the life of the nested tables: their generation when a page became read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

/// What the shadow tables of one vCPU ask of their surroundings.
pub trait Tracker {
    /// Takes the right to write to a page from all vCPUs of this node, and remembers that this vCPU wants to know
    /// when it is written or lost.
    fn watch(&mut self, page: Gpa) -> Stamp;
    /// Whether no other processor can still write by a translation older than the stamp.
    fn settled(&self, stamp: Stamp) -> bool;
    /// The next page that was written or lost since it was watched. Each is told once.
    fn take_lost(&mut self) -> Option<Gpa>;
    /// This vCPU watches nothing any more.
    fn release(&mut self);
}

/// Watches of all vCPUs of a guest on this node. Bounded by the frames of their pools.
#[derive(Debug, Default)]
pub struct WriteTracker {
    /// One bit for each vCPU that watches.
    pages: BTreeMap<u64, u64>,
    lost: Vec<Vec<Gpa>>,
}

impl WriteTracker {
    /// Nothing is watched. At most 64 vCPUs.
    pub fn new(vcpus: usize) -> Self {
        Self { pages: BTreeMap::new(), lost: alloc::vec![Vec::new(); vcpus.min(64)] }
    }

    /// Number of pages that are watched.
    pub fn watched(&self) -> usize {
        self.pages.len()
    }

    /// Whether a page must stay read-only in the nested tables.
    pub fn is_watched(&self, page: Gpa) -> bool {
        self.pages.contains_key(&page.page().0)
    }

    /// Adds a vCPU to those that watch a page; `true` when nobody did before, so that the page must be made
    /// read-only now.
    pub fn watch(&mut self, page: Gpa, vcpu: usize) -> bool {
        let users = self.pages.entry(page.page().0).or_insert(0);
        let first = *users == 0;
        *users |= 1u64.checked_shl(vcpu as u32).unwrap_or(0);
        first
    }

    /// A page is about to be written, or has been taken away. `true` when it was watched.
    pub fn lose(&mut self, page: Gpa) -> bool {
        let Some(users) = self.pages.remove(&page.page().0) else { return false };
        for (vcpu, lost) in self.lost.iter_mut().enumerate() {
            if users >> vcpu & 1 == 1 {
                lost.push(page.page());
            }
        }
        true
    }

    /// The next page that a vCPU watched and that is lost.
    pub fn take_lost(&mut self, vcpu: usize) -> Option<Gpa> {
        self.lost.get_mut(vcpu)?.pop()
    }

    /// A vCPU watches nothing any more. Pages that nobody watches stay read-only until they are next written.
    pub fn release(&mut self, vcpu: usize) {
        let bit = 1u64.checked_shl(vcpu as u32).unwrap_or(0);
        self.pages.retain(|_page, users| {
            *users &= !bit;
            *users != 0
        });
    }
}

//! Shadow page tables of one vCPU: guest virtual to guest physical, walked by the processor instead of the
//! guest's own tables, over nested tables that carry guest physical to host physical.
//!
//! Why: the processor's walk of *guest* tables counts as a write at the nested level, whatever the access. Shadow
//! tables are private to the node, so that no page of the guest is written by a mere walk.
//!
//! ```text
//!   guest's tables (read, by the monitor)        shadow tables (walked, by the processor)
//!   level 4 at gpa A ───────────────────────────▶ frame of key (A, 4)
//!     level 3 at gpa B ─────────────────────────▶   frame of key (B, 3)   one frame for each pair of
//!       level 2 at gpa C ───────────────────────▶     frame of key (C, 2)   guest page and level, whatever
//!         level 1 at gpa D ─────────────────────▶       frame of key (D, 1)   number of roots lead to it
//! ```
//!
//! Invariants:
//! - A shadow entry is what its guest entry was at some moment since the last flush that x86 demands for its
//!   address: the shadow is one large TLB. An entry is made from a guest entry only with A set, writable only
//!   with D set, so that the guest finds both bits as a processor would leave them.
//! - No leaf names an address beyond the guest's physical width, so none names the window in which the shadow
//!   tables themselves lie: such guest entries have reserved bits set and fault.
//! - A frame whose guest page may have changed unseen is in `unsynced`; every other frame's page is watched by the
//!   [`Tracker`], which tells when it changes.
//! - [`Shadow::generation`] grows with every entry that is removed or narrowed and with every change of root: the
//!   processor must flush before it runs again.
//! - Nothing blocks: where a page is elsewhere, a fault returns `Need` before any effect, and a flush drops the
//!   entries instead of asking for the page.
//! - The pool of frames is fixed. When it is used up, everything is dropped and built again on demand.
//!
//! - [`entry`]: one entry; [`pool`]: frames and their keys; [`fill`]: page faults; [`sync`]: flushes;
//!   [`tracker`]: who watches which page of the guest.
//!
//! Source: APM volume 2, 5.5 (TLB, what is flushed when), 15.25 (nested paging).

use alloc::vec::Vec;
use weft_platform::{FrameStore, GuestMemory};
use weft_types::Gpa;
use weft_x86defs::bits::PTE_ADDRESS;

mod entry;
mod fill;
mod pool;
mod sync;
mod tracker;

pub use fill::{Access, Fault, Filled};
pub use pool::{Pool, PoolError};
pub use tracker::{Stamp, Tracker, WriteTracker};

use pool::{Frame, Owner};

/// What the tables of a vCPU work on.
pub struct Context<'a> {
    /// Frames of the tables.
    pub store: &'a mut dyn FrameStore,
    /// The guest's memory.
    pub mem: &'a dyn GuestMemory,
    /// Who tells of changes to the guest's tables.
    pub tracker: &'a mut dyn Tracker,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Faults that the guest never saw: an entry was made.
    pub fills: u64,
    /// Faults that are the guest's own.
    pub reflected: u64,
    /// Pages of tables that were read again at a flush.
    pub resyncs: u64,
    /// Entries that a flush removed or narrowed.
    pub dropped: u64,
    /// Loads of a root.
    pub roots: u64,
    /// Loads of a root that found its tables in the pool.
    pub root_hits: u64,
    /// Single addresses flushed.
    pub invalidations: u64,
    /// Pages of tables whose watch began.
    pub protected: u64,
    /// Pages of tables that changed while watched.
    pub lost: u64,
    /// Times the pool was used up and everything dropped.
    pub overflows: u64,
}

/// The shadow tables of one vCPU.
#[derive(Debug)]
pub struct Shadow {
    pool: Pool,
    /// Frames whose page may have changed unseen.
    unsynced: Vec<Frame>,
    root: Option<Frame>,
    /// The guest's root page, as it was loaded last.
    guest_root: Gpa,
    generation: u64,
    counters: Counters,
    /// Times that frames were reached from a new place.
    rounds: u64,
    /// Where a page of the guest's tables is read to.
    scratch: Vec<u8>,
}

impl Shadow {
    /// Empty tables over a pool of frames.
    pub fn new(pool: Pool) -> Self {
        Self {
            pool,
            unsynced: Vec::new(),
            root: None,
            guest_root: Gpa(0),
            generation: 0,
            counters: Counters::default(),
            rounds: 0,
            scratch: Vec::new(),
        }
    }

    /// Address of the top table within the window, for the control block's CR3. `None` before the first
    /// [`Shadow::load_root`].
    pub fn root(&self) -> Option<Gpa> {
        self.root.map(|frame| self.pool.window_address(frame))
    }

    /// Grows whenever the processor must flush; see the module's invariants.
    pub fn generation(&self) -> u64 {
        self.generation + self.pool.erasures()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Frames in use, of how many.
    pub fn frames(&self) -> (usize, usize) {
        self.pool.used()
    }

    /// MOV to CR3: translations that are not global are forgotten. The tables of a root that was loaded before
    /// are found again, and what changed in them since is read again.
    pub fn load_root(&mut self, context: &mut Context<'_>, cr3: u64) {
        self.counters.roots += 1;
        self.generation += 1;
        self.guest_root = Gpa(cr3 & PTE_ADDRESS);
        self.note_losses(context.tracker);
        if self.ensure_root(context) {
            self.counters.root_hits += 1;
        }
        self.synchronise(context, false);
    }

    /// Everything is forgotten: the formula of entries changed (EFER.NXE), or the tables are to be given back.
    pub fn drop_all(&mut self, context: &mut Context<'_>) {
        self.pool.clear();
        self.unsynced.clear();
        self.root = None;
        self.generation += 1;
        context.tracker.release();
        while context.tracker.take_lost().is_some() {}
    }

    /// Every translation of the current root that changed is forgotten, global ones too (CR4.PGE changed).
    pub fn flush_all(&mut self, context: &mut Context<'_>) {
        self.generation += 1;
        self.note_losses(context.tracker);
        self.synchronise(context, true);
    }

    /// The processor must flush before it runs again, though no entry changed.
    pub fn flush_processor(&mut self) {
        self.generation += 1;
    }

    /// Makes sure that the root has a frame; says whether it was there.
    fn ensure_root(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(frame) = self.pool.find(self.guest_root, 4) {
            self.root = Some(frame);
            return true;
        }
        let made = self.pool.take(context.store, self.guest_root, 4).or_else(|| {
            self.counters.overflows += 1;
            self.drop_all(context);
            self.pool.take(context.store, self.guest_root, 4)
        });
        if let Some(frame) = made {
            self.pool.meta_mut(frame).owner = Owner::Root(frame);
            self.watch(context.tracker, frame);
        }
        self.root = made;
        false
    }

    /// Begins to watch the page behind a new frame.
    fn watch(&mut self, tracker: &mut dyn Tracker, frame: Frame) {
        self.counters.protected += 1;
        let stamp = tracker.watch(self.pool.meta(frame).page);
        let meta = self.pool.meta_mut(frame);
        meta.watched = Some(stamp);
        // Another processor may write by an old translation until it has flushed: what is read now may change
        // unseen, and is read once more at the next flush.
        if !tracker.settled(stamp) {
            self.unsync(frame);
        }
    }

    fn unsync(&mut self, frame: Frame) {
        let meta = self.pool.meta_mut(frame);
        meta.clean = 0;
        if !meta.unsynced {
            meta.unsynced = true;
            self.unsynced.push(frame);
        }
    }

    /// Takes over which pages changed.
    fn note_losses(&mut self, tracker: &mut dyn Tracker) {
        while let Some(page) = tracker.take_lost() {
            self.counters.lost += 1;
            for level in 1..=4 {
                if let Some(frame) = self.pool.find(page, level) {
                    self.pool.meta_mut(frame).watched = None;
                    self.unsync(frame);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

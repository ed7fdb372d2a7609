//! Flushes: what changed in the guest's tables is read again, or dropped where the page is elsewhere.

use super::pool::{Frame, Owner};
use super::{Context, Shadow, entry};
use alloc::vec::Vec;
use weft_types::{Gpa, Gva};
use weft_x86defs::bits::{PTE_A, PTE_ADDRESS, PTE_P, PTE_PS};

/// Flushes that must find a page unchanged before it is watched again. A watch costs an exit at the next write;
/// reading costs a little at each flush.
const CLEAN_BEFORE_WATCH: u8 = 3;
const ENTRY_BYTES: usize = 8;

impl Shadow {
    /// INVLPG: the translation of one address is forgotten, and what was remembered of tables above leaves.
    pub fn invalidate(&mut self, context: &mut Context<'_>, gva: Gva) {
        self.counters.invalidations += 1;
        self.generation += 1;
        self.note_losses(context.tracker);
        self.synchronise_where(context, |shadow, frame| {
            shadow.pool.meta(frame).level > 1 && shadow.is_reachable(frame)
        });
        let Some(mut frame) = self.root else { return };
        for level in (1..=4u32).rev() {
            let place = (gva.0 >> (12 + 9 * (level - 1)) & 511) as usize;
            let old = self.pool.entry(context.store, frame, place);
            if entry::names_table(old, level) {
                match self.pool.at_window(Gpa(old & PTE_ADDRESS)) {
                    Some(next) => frame = next,
                    None => return,
                }
                continue;
            }
            if old & PTE_P != 0 {
                let page = self.pool.meta(frame).page;
                let guest = context.mem.read_u64(Gpa(page.0 + (ENTRY_BYTES * place) as u64)).unwrap_or(0);
                let new = self.renewed(level, old, guest);
                if new != old {
                    self.counters.dropped += 1;
                    self.pool.set_entry(context.store, frame, place, new);
                }
            }
            return;
        }
    }

    /// Brings a frame that will be reached from a new place, and all below it, up to date.
    pub(super) fn freshen(&mut self, context: &mut Context<'_>, frame: Frame) {
        self.rounds += 1;
        self.freshen_below(context, frame);
    }

    /// Each frame once in a round, however many entries lead to it; the depth is that of levels.
    fn freshen_below(&mut self, context: &mut Context<'_>, frame: Frame) {
        let round = self.rounds;
        if core::mem::replace(&mut self.pool.meta_mut(frame).round, round) == round {
            return;
        }
        if self.pool.meta(frame).unsynced {
            self.counters.resyncs += 1;
            self.compare(context, frame);
        }
        let meta = *self.pool.meta(frame);
        if meta.level == 1 {
            return;
        }
        for place in meta.first..=meta.last {
            let value = self.pool.entry(context.store, frame, usize::from(place));
            if entry::names_table(value, meta.level)
                && let Some(below) = self.pool.at_window(Gpa(value & PTE_ADDRESS))
            {
                self.freshen_below(context, below);
            }
        }
    }

    /// Brings up to date what the current root leads to; with `everything`, what any root leads to.
    pub(super) fn synchronise(&mut self, context: &mut Context<'_>, everything: bool) {
        self.synchronise_where(context, |shadow, frame| everything || shadow.is_reachable(frame));
    }

    fn is_reachable(&self, frame: Frame) -> bool {
        match self.pool.meta(frame).owner {
            Owner::Nobody => false,
            Owner::Root(root) => Some(root) == self.root,
            Owner::Several => true,
        }
    }

    fn synchronise_where(&mut self, context: &mut Context<'_>, wanted: impl Fn(&Self, Frame) -> bool) {
        let list = core::mem::take(&mut self.unsynced);
        let mut kept = Vec::with_capacity(list.len());
        for frame in list {
            if wanted(self, frame) && self.read_again(context, frame) {
                self.pool.meta_mut(frame).unsynced = false;
            } else {
                kept.push(frame);
            }
        }
        // Nothing is added while the list is worked on: watching a page again happens within it.
        assert!(self.unsynced.is_empty(), "a page became unsynchronised during a flush");
        self.unsynced = kept;
    }

    /// Compares a frame with its page; `true` when the frame is in step from now on.
    fn read_again(&mut self, context: &mut Context<'_>, frame: Frame) -> bool {
        self.counters.resyncs += 1;
        // First the watch, then the reading: what changes after it is told.
        let meta = *self.pool.meta(frame);
        let watched = match meta.watched {
            Some(stamp) => Some(stamp),
            None if meta.clean >= CLEAN_BEFORE_WATCH => {
                self.counters.protected += 1;
                Some(context.tracker.watch(meta.page))
            }
            None => None,
        };
        let settled = watched.is_some_and(|stamp| context.tracker.settled(stamp));
        let changed = self.compare(context, frame);
        let meta = self.pool.meta_mut(frame);
        meta.watched = watched;
        meta.clean = if changed { 0 } else { meta.clean.saturating_add(1) };
        settled
    }

    /// Renews or drops each entry whose guest entry is another now; `true` when there was one.
    fn compare(&mut self, context: &mut Context<'_>, frame: Frame) -> bool {
        let meta = *self.pool.meta(frame);
        if meta.first > meta.last {
            return false;
        }
        let (first, count) = (usize::from(meta.first), usize::from(meta.last - meta.first) + 1);
        let mut bytes = core::mem::take(&mut self.scratch);
        bytes.clear();
        bytes.resize(count * ENTRY_BYTES, 0);
        // A page that is elsewhere is not asked for: its entries go, and whoever needs one faults for it.
        let here = context.mem.read(Gpa(meta.page.0 + (first * ENTRY_BYTES) as u64), &mut bytes).is_ok();
        let mut changed = false;
        for (at, chunk) in bytes.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
            let place = first + at;
            let old = self.pool.entry(context.store, frame, place);
            if old & PTE_P == 0 {
                continue;
            }
            let guest = if here { u64::from_le_bytes(*chunk) } else { 0 };
            let new = self.renewed(meta.level, old, guest);
            if new != old {
                changed = true;
                self.counters.dropped += 1;
                self.pool.set_entry(context.store, frame, place, new);
            }
        }
        self.scratch = bytes;
        if changed {
            self.generation += 1;
        }
        changed
    }

    /// What an entry becomes, given the guest's entry now: itself, a leaf with the rights of now, or nothing.
    fn renewed(&self, level: u32, old: u64, guest: u64) -> u64 {
        if entry::names_table(old, level) {
            let below = Gpa(old & PTE_ADDRESS);
            let same = guest & PTE_P != 0
                && guest & PTE_A != 0
                && guest & PTE_PS == 0
                && self.pool.at_window(below).is_some_and(|frame| {
                    let meta = self.pool.meta(frame);
                    meta.page.0 == guest & PTE_ADDRESS && meta.level + 1 == level
                });
            // Rights may have changed while the table stayed.
            return if same { entry::table(guest, below) } else { 0 };
        }
        let still_a_leaf = level == 1 || guest & PTE_PS != 0;
        // Another page is walked for, with all its checks, when it is wanted.
        if still_a_leaf && (old ^ guest) & PTE_ADDRESS == 0 { entry::leaf(guest) } else { 0 }
    }
}

//! A test of patience: a guest of one node whose pages behave as if they were on others.
//!
//! A page that is touched for the first time may be elsewhere: it comes after a while, and who wants it waits.
//! Pages that are here are lost again, or lose the right to be written, at random. Their bytes stay where they
//! are, so that nothing but patience is tested: everything that reaches guest memory must take `Need` for an
//! answer, leave no trace, and try again. `pages=late` on the monitor's command line.
//!
//! ```text
//!   unknown ─┬─▶ coming (0.1–2 ms, waiters) ─▶ here for at least a moment ─▶ lost: unknown
//!            └─▶ here at once                                              └▶ read-only
//! ```

use super::memory::DEVICES;
use super::processors::Processors;
use crate::shadow::{ShadowPaging, Tables};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Mutex;
use weft_hal::frames::TableFrames;
use weft_hal::{cpu, time};
use weft_paging::Rights;
use weft_platform::Access;
use weft_types::{Gpa, PAGE_SIZE};

/// How long a page takes to come.
const LEAST_NS: u64 = 100_000;
const MOST_NS: u64 = 2_000_000;
/// How long a page stays at least: what asked for it has to run again, perhaps after further pages.
const STAY_NS: u64 = 20_000_000;
/// One in so many pages that are wanted comes late.
const LATE: u64 = 4;
/// One page is lost for so many that come.
const COMING_FOR_A_LOSS: u64 = 3;

enum Page {
    Coming { due_ns: u64, waiters: u64, access: Access },
    Here { until_ns: u64, write: bool },
}

/// See the module.
pub(crate) struct Delay {
    pages: Mutex<Pages>,
    random: AtomicU64,
    late: AtomicU64,
    lost: AtomicU64,
    tables: Arc<Tables>,
    processors: Arc<Processors>,
    shadow: Arc<ShadowPaging>,
}

struct Pages {
    known: BTreeMap<u64, Page>,
    /// Pages that are coming.
    coming: BTreeSet<u64>,
    /// Pages that came and for which none was lost yet.
    came: u64,
}

impl Delay {
    /// Everything is elsewhere.
    pub(crate) fn new(tables: Arc<Tables>, processors: Arc<Processors>, shadow: Arc<ShadowPaging>) -> Self {
        Self {
            pages: Mutex::new(Pages { known: BTreeMap::new(), coming: BTreeSet::new(), came: 0 }),
            random: AtomicU64::new(cpu::rdtsc()),
            late: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            tables,
            processors,
            shadow,
        }
    }

    /// Pages that came late, and that were lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.late.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    /// Whether a page may be used; if not, `waiter` is parked until it is there.
    pub(crate) fn want(&self, waiter: u16, gpa: Gpa, access: Access) -> bool {
        let (page, now, write) = (gpa.page().0, time::now_ns(), access == Access::Write);
        let mut pages = self.pages.lock();
        match pages.known.get_mut(&page) {
            Some(Page::Here { write: may_write, .. }) if *may_write || !write => return true,
            Some(Page::Coming { waiters, access: wanted, .. }) => {
                *waiters |= self.park(waiter);
                if write {
                    *wanted = Access::Write;
                }
                return false;
            }
            Some(Page::Here { .. }) | None => {}
        }
        pages.came += 1;
        if !self.draw().is_multiple_of(LATE) {
            pages.known.insert(page, Page::Here { until_ns: now + STAY_NS, write });
            return true;
        }
        self.late.fetch_add(1, Ordering::Relaxed);
        let due_ns = now + LEAST_NS + self.draw() % (MOST_NS - LEAST_NS);
        let waiters = self.park(waiter);
        pages.known.insert(page, Page::Coming { due_ns, waiters, access });
        pages.coming.insert(page);
        false
    }

    /// Lets pages come and go. Called often, from one processor at a time.
    pub(crate) fn poll(&self) {
        let now = time::now_ns();
        let mut guard = self.pages.lock();
        let Pages { known, coming, came } = &mut *guard;
        let mut woken = 0;
        coming.retain(|at| match known.get_mut(at) {
            Some(Page::Coming { due_ns, .. }) if *due_ns > now => true,
            Some(page) => {
                if let Page::Coming { waiters, access, .. } = page {
                    woken |= *waiters;
                    *page = Page::Here { until_ns: now + STAY_NS, write: *access == Access::Write };
                }
                false
            }
            None => false,
        });
        while *came >= COMING_FOR_A_LOSS {
            *came -= COMING_FOR_A_LOSS;
            self.lose_one(known, now);
        }
        drop(guard);
        (0..64).filter(|vcpu| woken >> vcpu & 1 == 1).for_each(|vcpu| self.processors.unpark(vcpu));
    }

    /// Takes a page away, or the right to write it.
    fn lose_one(&self, known: &mut BTreeMap<u64, Page>, now: u64) {
        let Some((last, _)) = known.last_key_value() else { return };
        let from = self.draw() % (last + PAGE_SIZE);
        let Some((at, page)) = known.range_mut(from..).next() else { return };
        let at = Gpa(*at);
        let Page::Here { until_ns, write } = page else { return };
        if *until_ns > now {
            return;
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
        let mut tables = self.tables.lock();
        let Some(nested) = tables.as_mut() else { return };
        let mapped = nested.query(&TableFrames, at).is_some();
        if *write && self.draw().is_multiple_of(2) {
            *write = false;
            if mapped {
                let done = nested.protect(&mut TableFrames, at, Rights::READ_ONLY);
                assert!(done.is_ok(), "a leaf that was there");
            }
            return;
        }
        self.shadow.lose(at);
        if mapped {
            let done = nested.unmap(&mut TableFrames, at);
            assert!(done.is_ok(), "a leaf that was there");
        }
        known.remove(&at.0);
    }

    /// Parks a waiter and returns its bit. Devices are asked again without being woken.
    fn park(&self, waiter: u16) -> u64 {
        if waiter == DEVICES {
            return 0;
        }
        self.processors.park(usize::from(waiter));
        1u64.checked_shl(u32::from(waiter)).unwrap_or(0)
    }

    fn draw(&self) -> u64 {
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

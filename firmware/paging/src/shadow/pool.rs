//! Frames of shadow tables and the guest pages that they stand for.
//!
//! A frame is named by its number in the pool; the processor reaches frame *n* at `window + n * 4096`, by leaves that only the
//! nested root with the window has. Frames are never given back one by one: [`Pool::clear`] forgets all.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::tracker::Stamp;
use weft_platform::FrameStore;
use weft_types::{Gpa, Hpa, PAGE_SIZE};

/// Least frames of a pool: a path from a root to a leaf, several times over.
const LEAST: usize = 8;
/// Most frames of a pool.
const MOST: usize = 1 << 15;

/// Number of a frame in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame(u16);

impl Frame {
    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Which roots lead to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// None yet.
    Nobody,
    /// One.
    Root(Frame),
    /// More than one.
    Several,
}

/// What is known of a frame in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    /// The guest's table.
    pub(super) page: Gpa,
    /// Its level: 4 is the top.
    pub(super) level: u32,
    /// Since when the page is watched, while it is.
    pub(super) watched: Option<Stamp>,
    /// In the list of pages that may have changed.
    pub(super) unsynced: bool,
    /// Flushes in a row that found nothing changed.
    pub(super) clean: u8,
    /// Who leads here.
    pub(super) owner: Owner,
    /// The last round in which it was freshened.
    pub(super) round: u64,
    /// First and last place that may hold an entry; nothing while `first > last`.
    pub(super) first: u16,
    /// See `first`.
    pub(super) last: u16,
}

const UNUSED: Meta = Meta {
    page: Gpa(0),
    level: 0,
    watched: None,
    unsynced: false,
    clean: 0,
    owner: Owner::Nobody,
    round: 0,
    first: 512,
    last: 0,
};

/// Why a pool was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// Fewer frames than tables need, or more than can be numbered.
    Size {
        /// Frames offered.
        frames: usize,
    },
    /// The window does not begin at a page, or does not fit below 2^52.
    Window {
        /// Its first address.
        window: Gpa,
    },
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { frames } => write!(f, "a pool cannot have {frames} frames"),
            Self::Window { window } => write!(f, "no window can be at {window:?}"),
        }
    }
}

impl core::error::Error for PoolError {}

/// A fixed number of frames.
#[derive(Debug)]
pub struct Pool {
    frames: Vec<Hpa>,
    window: Gpa,
    /// One for each frame; those from `used` on may still hold entries of an earlier use in their range.
    meta: Vec<Meta>,
    used: usize,
    /// Frames whose entries of an earlier use were erased.
    erasures: u64,
    by_key: BTreeMap<u64, Frame>,
}

fn key(page: Gpa, level: u32) -> u64 {
    page.page().0 | u64::from(level)
}

impl Pool {
    /// A pool of zeroed `frames`, seen by the processor in a row from `window` on. The frames stay the caller's
    /// to give back.
    pub fn new(frames: Vec<Hpa>, window: Gpa) -> Result<Self, PoolError> {
        let count = frames.len();
        if !(LEAST..=MOST).contains(&count) {
            return Err(PoolError::Size { frames: count });
        }
        let end = window.checked_add(count as u64 * PAGE_SIZE).map_or(u64::MAX, |end| end.0);
        if window.page_offset() != 0 || end > 1 << 52 {
            return Err(PoolError::Window { window });
        }
        Ok(Self {
            frames,
            window,
            meta: alloc::vec![UNUSED; count],
            used: 0,
            erasures: 0,
            by_key: BTreeMap::new(),
        })
    }

    /// The frames, for giving them back.
    pub fn frames(&self) -> &[Hpa] {
        &self.frames
    }

    pub(super) fn used(&self) -> (usize, usize) {
        (self.used, self.frames.len())
    }

    /// Grows when entries of a former use are erased.
    pub(super) fn erasures(&self) -> u64 {
        self.erasures
    }

    pub(super) fn find(&self, page: Gpa, level: u32) -> Option<Frame> {
        self.by_key.get(&key(page, level)).copied()
    }

    /// An empty frame for a page and level that have none yet; `None` when the pool is used up.
    pub(super) fn take(&mut self, store: &mut dyn FrameStore, page: Gpa, level: u32) -> Option<Frame> {
        let at = self.used;
        let (meta, address) = (self.meta.get_mut(at)?, *self.frames.get(at)?);
        self.erasures += u64::from(meta.first <= meta.last);
        for place in meta.first..=meta.last {
            store.set_entry(address, usize::from(place), 0);
        }
        *meta = Meta { page: page.page(), level, ..UNUSED };
        let frame = Frame(u16::try_from(at).ok()?);
        self.used += 1;
        let before = self.by_key.insert(key(page, level), frame);
        assert!(before.is_none(), "two shadow tables for one page and level");
        Some(frame)
    }

    /// Forgets all frames.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.by_key.clear();
    }

    pub(super) fn meta(&self, frame: Frame) -> &Meta {
        &self.meta[frame.index()]
    }

    pub(super) fn meta_mut(&mut self, frame: Frame) -> &mut Meta {
        &mut self.meta[frame.index()]
    }

    /// Where the processor finds a frame.
    pub(super) fn window_address(&self, frame: Frame) -> Gpa {
        Gpa(self.window.0 + u64::from(frame.0) * PAGE_SIZE)
    }

    /// The frame that an entry names.
    pub(super) fn at_window(&self, address: Gpa) -> Option<Frame> {
        let number = address.0.checked_sub(self.window.0)? / PAGE_SIZE;
        let frame = Frame(u16::try_from(number).ok()?);
        (frame.index() < self.used).then_some(frame)
    }

    pub(super) fn entry(&self, store: &dyn FrameStore, frame: Frame, place: usize) -> u64 {
        store.entry(self.frames[frame.index()], place)
    }

    pub(super) fn set_entry(&mut self, store: &mut dyn FrameStore, frame: Frame, place: usize, value: u64) {
        store.set_entry(self.frames[frame.index()], place, value);
        if value != 0 {
            let meta = &mut self.meta[frame.index()];
            meta.first = meta.first.min(place as u16);
            meta.last = meta.last.max(place as u16);
        }
    }
}

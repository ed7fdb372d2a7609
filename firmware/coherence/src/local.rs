//! One byte for each guest page: what this member has of it.

use alloc::vec;
use alloc::vec::Vec;

use crate::types::Right;

/// The low two bits: no right, reading, writing, writing though nobody here has written yet.
const RIGHT: u8 = 3;
const READ: u8 = 1;
const WRITE: u8 = 2;
const UNWRITTEN: u8 = 3;
/// The locator takes this member for the page's owner.
pub(crate) const OWNER: u8 = 4;
/// The guest reaches the page.
pub(crate) const MAPPED: u8 = 8;
/// The node has a frame for the page, perhaps with old contents.
pub(crate) const FRAME: u8 = 16;
/// The page is the shared frame of zeros.
pub(crate) const ZERO: u8 = 32;
/// There is a record of a transfer.
pub(crate) const ACTIVE: u8 = 64;
/// It was fetched before anybody asked, and nobody has asked yet.
pub(crate) const EARLY: u8 = 128;

/// All pages, by their dense number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Local {
    pages: Vec<u8>,
    frames: u64,
    clean: u64,
    writable: u64,
    readable: u64,
}

impl Local {
    pub(crate) fn new(pages: usize) -> Self {
        Self { pages: vec![0; pages], frames: 0, clean: 0, writable: 0, readable: 0 }
    }

    fn raw(&self, index: usize) -> u8 {
        self.pages.get(index).copied().unwrap_or(0)
    }

    fn store(&mut self, index: usize, value: u8) {
        let Some(byte) = self.pages.get_mut(index) else { return };
        let old = *byte;
        *byte = value;
        let count = |total: &mut u64, was: bool, is: bool| match (was, is) {
            (false, true) => *total = total.saturating_add(1),
            (true, false) => *total = total.saturating_sub(1),
            (false, false) | (true, true) => {}
        };
        let clean = |v: u8| v & RIGHT != 0 && v & OWNER == 0 && v & FRAME != 0;
        count(&mut self.frames, old & FRAME != 0, value & FRAME != 0);
        count(&mut self.clean, clean(old), clean(value));
        let readable = |v: u8| v & RIGHT == READ;
        let writable = |v: u8| v & WRITE != 0;
        count(&mut self.readable, readable(old), readable(value));
        count(&mut self.writable, writable(old), writable(value));
    }

    pub(crate) fn right(&self, index: usize) -> Option<Right> {
        match self.raw(index) & RIGHT {
            READ => Some(Right::Read),
            WRITE | UNWRITTEN => Some(Right::Write),
            _ => None,
        }
    }

    /// Whether the page may be written and nobody here has done so since it came.
    pub(crate) fn is_unwritten(&self, index: usize) -> bool {
        self.raw(index) & RIGHT == UNWRITTEN
    }

    /// A page that was granted to write to somebody who reads: nobody has written it yet.
    pub(crate) fn set_unwritten(&mut self, index: usize) {
        self.store(index, self.raw(index) | UNWRITTEN);
    }

    pub(crate) fn set_right(&mut self, index: usize, right: Option<Right>) {
        let bits = match right {
            None => 0,
            Some(Right::Read) => READ,
            Some(Right::Write) => WRITE,
        };
        self.store(index, self.raw(index) & !RIGHT | bits);
    }

    pub(crate) fn has(&self, index: usize, flag: u8) -> bool {
        self.raw(index) & flag != 0
    }

    pub(crate) fn set(&mut self, index: usize, flag: u8, on: bool) {
        let old = self.raw(index);
        self.store(index, if on { old | flag } else { old & !flag });
    }

    /// Frames of pages, twins apart.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Copies that may be dropped without telling anybody.
    pub(crate) fn clean(&self) -> u64 {
        self.clean
    }

    /// Pages that may be written.
    pub(crate) fn writable(&self) -> u64 {
        self.writable
    }

    /// Pages that may be read and not written.
    pub(crate) fn readable(&self) -> u64 {
        self.readable
    }

    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_counted_as_they_come_and_go() {
        let mut local = Local::new(4);
        let mut counts = Vec::new();
        let mut note = |local: &Local| counts.push((local.readable(), local.writable()));
        local.set_right(0, Some(Right::Read));
        local.set_right(1, Some(Right::Write));
        local.set_right(9, Some(Right::Write));
        note(&local);
        local.set_right(0, Some(Right::Write));
        local.set_unwritten(0);
        local.set(0, OWNER, true);
        note(&local);
        local.set_right(1, Some(Right::Read));
        note(&local);
        local.set_right(0, None);
        local.set_right(1, None);
        note(&local);
        assert_eq!(counts, [(1, 1), (0, 2), (1, 1), (0, 0)], "pages outside are not counted");
    }
}

//! Test doubles: frames in a map, guest memory in a vector with a hole and a page that is elsewhere.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use weft_platform::{Access, FrameStore, GuestMemory, MemError};
use weft_types::{Gpa, Hpa, PAGE_SIZE};

/// Frames, each a table of 512 entries.
pub(crate) struct Frames {
    frames: BTreeMap<u64, [u64; 512]>,
    free: Vec<u64>,
}

impl Frames {
    pub(crate) fn new(count: u64) -> Self {
        let free = (0..count).map(|n| 0x100_0000 + n * PAGE_SIZE).collect();
        Self { frames: BTreeMap::new(), free }
    }

    pub(crate) fn used(&self) -> usize {
        self.frames.len()
    }
}

impl FrameStore for Frames {
    fn alloc(&mut self) -> Option<Hpa> {
        let at = self.free.pop()?;
        self.frames.insert(at, [0; 512]);
        Some(Hpa(at))
    }

    fn free(&mut self, frame: Hpa) {
        self.frames.remove(&frame.0).expect("frame freed twice");
        self.free.push(frame.0);
    }

    fn entry(&self, frame: Hpa, index: usize) -> u64 {
        self.frames[&frame.0][index]
    }

    fn set_entry(&mut self, frame: Hpa, index: usize, value: u64) {
        self.frames.get_mut(&frame.0).unwrap()[index] = value;
    }
}

/// Guest memory; pages in `missing` answer `Need`.
pub(crate) struct Memory {
    bytes: RefCell<Vec<u8>>,
    pub(crate) missing: BTreeSet<u64>,
}

impl Memory {
    pub(crate) fn new(size: usize) -> Self {
        Self { bytes: RefCell::new(vec![0; size]), missing: BTreeSet::new() }
    }

    pub(crate) fn put(&self, at: u64, bytes: &[u8]) {
        let at = at as usize;
        self.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The 8 bytes at an address, wherever the page is.
    pub(crate) fn peek(&self, at: u64) -> u64 {
        let at = at as usize;
        u64::from_le_bytes(self.bytes.borrow()[at..at + 8].try_into().unwrap())
    }

    fn check(&self, gpa: Gpa, len: usize, access: Access) -> Result<usize, MemError> {
        let end = gpa.0.checked_add(len as u64).ok_or(MemError::Unbacked { gpa })?;
        if end > self.bytes.borrow().len() as u64 {
            return Err(MemError::Unbacked { gpa });
        }
        for page in gpa.0 / PAGE_SIZE..end.div_ceil(PAGE_SIZE) {
            if self.missing.contains(&(page * PAGE_SIZE)) {
                return Err(MemError::Need { gpa: Gpa(page * PAGE_SIZE), access });
            }
        }
        Ok(gpa.0 as usize)
    }
}

impl GuestMemory for Memory {
    fn read(&self, gpa: Gpa, out: &mut [u8]) -> Result<(), MemError> {
        let at = self.check(gpa, out.len(), Access::Read)?;
        out.copy_from_slice(&self.bytes.borrow()[at..at + out.len()]);
        Ok(())
    }

    fn write(&self, gpa: Gpa, data: &[u8]) -> Result<(), MemError> {
        self.check(gpa, data.len(), Access::Write)?;
        self.put(gpa.0, data);
        Ok(())
    }

    fn compare_exchange_u64(&self, gpa: Gpa, old: u64, new: u64) -> Result<u64, MemError> {
        self.check(gpa, 8, Access::Write)?;
        let was = self.read_u64(gpa)?;
        if was == old {
            self.put(gpa.0, &new.to_le_bytes());
        }
        Ok(was)
    }
}

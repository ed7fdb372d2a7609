//! Guest memory for tests: bytes in a vector, and pages that answer `Need` the first time they are
//! wanted, chosen by a seed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use weft_platform::{Access, GuestMemory, MemError};
use weft_types::{Gpa, PAGE_SIZE};

/// A generator of numbers that look random and are the same at each run (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Guest memory from address zero.
pub(crate) struct Memory {
    bytes: RefCell<Vec<u8>>,
    delay: RefCell<Option<Random>>,
    /// Pages that are held, and whether for writing.
    held: RefCell<BTreeMap<u64, bool>>,
    /// How often `Need` was answered.
    pub(crate) needs: Cell<u64>,
}

impl Memory {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            bytes: RefCell::new(vec![0; size]),
            delay: RefCell::new(None),
            held: RefCell::new(BTreeMap::new()),
            needs: Cell::new(0),
        }
    }

    /// From now on pages must be asked for, and are lost again now and then.
    pub(crate) fn delay(&self, seed: u64) {
        *self.delay.borrow_mut() = Some(Random(seed));
    }

    /// Grants what an operation asked for.
    pub(crate) fn grant(&self, gpa: Gpa, access: Access) {
        let mut held = self.held.borrow_mut();
        // A grant of one page sometimes costs another one, as a page that a peer asks for does.
        if let Some(random) = self.delay.borrow_mut().as_mut()
            && random.below(4) == 0
            && held.len() > 8
        {
            let victim = random.below(held.len() as u64) as usize;
            let page = *held.keys().nth(victim).unwrap();
            held.remove(&page);
        }
        let write = access == Access::Write || held.get(&gpa.page().0) == Some(&true);
        held.insert(gpa.page().0, write);
    }

    pub(crate) fn put(&self, at: u64, bytes: &[u8]) {
        let at = at as usize;
        self.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn get(&self, at: u64, count: usize) -> Vec<u8> {
        let at = at as usize;
        self.bytes.borrow()[at..at + count].to_vec()
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    fn check(&self, gpa: Gpa, len: usize, access: Access) -> Result<(), MemError> {
        let end = gpa.0.checked_add(len as u64).ok_or(MemError::Unbacked { gpa })?;
        if end > self.bytes.borrow().len() as u64 {
            return Err(MemError::Unbacked { gpa });
        }
        if self.delay.borrow().is_none() {
            return Ok(());
        }
        for page in gpa.0 / PAGE_SIZE..end.div_ceil(PAGE_SIZE) {
            let page = page * PAGE_SIZE;
            let held = self.held.borrow().get(&page).copied();
            if held.is_none() || (access == Access::Write && held == Some(false)) {
                self.needs.set(self.needs.get() + 1);
                return Err(MemError::Need { gpa: Gpa(page), access });
            }
        }
        Ok(())
    }
}

impl GuestMemory for Memory {
    fn read(&self, gpa: Gpa, out: &mut [u8]) -> Result<(), MemError> {
        self.check(gpa, out.len(), Access::Read)?;
        let at = gpa.0 as usize;
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
        let was = u64::from_le_bytes(self.get(gpa.0, 8).try_into().unwrap());
        if was == old {
            self.put(gpa.0, &new.to_le_bytes());
        }
        Ok(was)
    }
}

/// Runs `operation` again for each page that it needs, granting the page; fails if it never ends.
pub(crate) fn with_pages<T>(mem: &Memory, mut operation: impl FnMut() -> Result<T, MemError>) -> T {
    for _ in 0..100_000 {
        match operation() {
            Ok(value) => return value,
            Err(MemError::Need { gpa, access }) => mem.grant(gpa, access),
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("no progress")
}

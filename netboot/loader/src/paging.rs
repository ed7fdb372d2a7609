//! First page tables, built in a byte slice that will be physical memory. APM volume 2, section 5.3.
//!
//! Four levels. A large page is used for the identity and the physical map, 4 KiB pages for the
//! DVMM. Intermediate entries are present and writable; a leaf alone takes rights away, except that
//! no table is shared between two mappings of different rights.

use weft_types::PAGE_SIZE;
use weft_x86defs::bits::{PTE_ADDRESS, PTE_NX, PTE_P, PTE_PS, PTE_W};

/// Size of a leaf page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageSize {
    /// 4 KiB.
    Small,
    /// 2 MiB.
    Large,
    /// 1 GiB.
    Huge,
}

impl PageSize {
    /// Bytes.
    pub const fn bytes(self) -> u64 {
        1 << self.shift()
    }

    const fn shift(self) -> u32 {
        match self {
            Self::Small => 12,
            Self::Large => 21,
            Self::Huge => 30,
        }
    }
}

/// Rights of a mapping. Reading is always allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

/// The slice was too small, or an address was already mapped or misaligned. Both are defects of the
/// caller's plan, yet they end in a refusal, not in a wild write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagingError {
    /// No page left for a table.
    Full,
    /// Virtual or physical address off its page size.
    Misaligned,
    /// Something is mapped there already.
    Occupied,
}

/// Page tables under construction.
pub struct Tables<'a> {
    memory: &'a mut [u8],
    base: u64,
    used: usize,
}

const PAGE: usize = PAGE_SIZE as usize;

impl<'a> Tables<'a> {
    /// Begins with an empty root in the first page of `memory`, which is zeroed and lies at the
    /// physical address `base`, a multiple of the page size.
    pub fn new(base: u64, memory: &'a mut [u8]) -> Result<Self, PagingError> {
        if !base.is_multiple_of(PAGE_SIZE) {
            return Err(PagingError::Misaligned);
        }
        if memory.len() < PAGE {
            return Err(PagingError::Full);
        }
        memory.fill(0);
        Ok(Self { memory, base, used: 1 })
    }

    /// Physical address of the root.
    pub fn root(&self) -> u64 {
        self.base
    }

    /// Pages taken so far.
    pub fn used_pages(&self) -> usize {
        self.used
    }

    fn slot(&mut self, table: usize, index: usize) -> Result<&mut [u8], PagingError> {
        let at = table * PAGE + index * 8;
        self.memory.get_mut(at..at + 8).ok_or(PagingError::Full)
    }

    fn get(&mut self, table: usize, index: usize) -> Result<u64, PagingError> {
        let bytes: &[u8] = self.slot(table, index)?;
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| PagingError::Full)?))
    }

    fn set(&mut self, table: usize, index: usize, value: u64) -> Result<(), PagingError> {
        self.slot(table, index)?.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    /// The table below `entry`, made if there is none.
    fn child(&mut self, table: usize, index: usize) -> Result<usize, PagingError> {
        let entry = self.get(table, index)?;
        if entry & PTE_P != 0 {
            if entry & PTE_PS != 0 {
                return Err(PagingError::Occupied);
            }
            let offset = (entry & PTE_ADDRESS).wrapping_sub(self.base);
            return usize::try_from(offset / PAGE_SIZE).map_err(|_| PagingError::Full);
        }
        let child = self.used;
        if (child + 1) * PAGE > self.memory.len() {
            return Err(PagingError::Full);
        }
        self.used += 1;
        self.set(table, index, (self.base + (child * PAGE) as u64) | PTE_P | PTE_W)?;
        Ok(child)
    }

    /// Maps one page.
    pub fn map(&mut self, va: u64, pa: u64, size: PageSize, rights: Rights) -> Result<(), PagingError> {
        if !va.is_multiple_of(size.bytes()) || !pa.is_multiple_of(size.bytes()) {
            return Err(PagingError::Misaligned);
        }
        let index = |shift: u32| (va >> shift) as usize & 511;
        let mut table = 0;
        let mut shift = 39;
        while shift > size.shift() {
            table = self.child(table, index(shift))?;
            shift -= 9;
        }
        if self.get(table, index(shift))? & PTE_P != 0 {
            return Err(PagingError::Occupied);
        }
        let mut entry = (pa & PTE_ADDRESS) | PTE_P;
        if size != PageSize::Small {
            entry |= PTE_PS;
        }
        if rights.write {
            entry |= PTE_W;
        }
        if !rights.execute {
            entry |= PTE_NX;
        }
        self.set(table, index(shift), entry)
    }

    /// Maps `bytes` from `va` to `pa` with pages of one size; the last page may reach further.
    pub fn map_range(
        &mut self,
        va: u64,
        pa: u64,
        bytes: u64,
        size: PageSize,
        rights: Rights,
    ) -> Result<(), PagingError> {
        for page in 0..bytes.div_ceil(size.bytes()) {
            let offset = page * size.bytes();
            let va = va.checked_add(offset).ok_or(PagingError::Misaligned)?;
            let pa = pa.checked_add(offset).ok_or(PagingError::Misaligned)?;
            self.map(va, pa, size, rights)?;
        }
        Ok(())
    }

    /// Where `va` leads: the physical address and the rights; `None` where nothing is mapped.
    pub fn walk(&mut self, va: u64) -> Option<(u64, Rights)> {
        let mut table = 0;
        let mut shift = 39;
        loop {
            let entry = self.get(table, (va >> shift) as usize & 511).ok()?;
            if entry & PTE_P == 0 {
                return None;
            }
            if shift == 12 || entry & PTE_PS != 0 {
                let offset = va & ((1 << shift) - 1);
                let rights = Rights { write: entry & PTE_W != 0, execute: entry & PTE_NX == 0 };
                return Some(((entry & PTE_ADDRESS) + offset, rights));
            }
            table = usize::try_from((entry & PTE_ADDRESS).wrapping_sub(self.base) / PAGE_SIZE).ok()?;
            shift -= 9;
        }
    }
}

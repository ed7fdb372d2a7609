//! The memory that one machine would have: every store is applied here too, at the moment at which it takes
//! effect, and every load is compared.

use std::collections::BTreeMap;

use weft_coherence::Page;
use weft_coherence::content::PAGE_BYTES;

/// Pages that were written; all others are zero.
#[derive(Clone, Default, Debug)]
pub struct Memory {
    pages: BTreeMap<Page, Box<[u8; PAGE_BYTES]>>,
}

/// The page and the offset of an address.
pub fn split(address: u64) -> (Page, usize) {
    (Page(address / PAGE_BYTES as u64), usize::try_from(address % PAGE_BYTES as u64).unwrap_or(0))
}

impl Memory {
    /// One byte.
    pub fn byte(&self, address: u64) -> u8 {
        let (page, offset) = split(address);
        self.pages.get(&page).map_or(0, |bytes| bytes[offset])
    }

    /// Stores one byte.
    pub fn set_byte(&mut self, address: u64, value: u8) {
        let (page, offset) = split(address);
        self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE_BYTES]))[offset] = value;
    }

    /// Eight bytes, little-endian.
    pub fn word(&self, address: u64) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|i| self.byte(address + i as u64)))
    }

    /// A page's bytes.
    pub fn page(&self, page: Page) -> Box<[u8; PAGE_BYTES]> {
        self.pages.get(&page).cloned().unwrap_or_else(|| Box::new([0; PAGE_BYTES]))
    }
}

//! A spanning guest's memory before its start: pages come into being as they are written.

use super::member::pieces;
use spin::Mutex;
use weft_hal::sparse_ram::SparseRam;
use weft_platform::{GuestMemory, MemError};
use weft_types::Gpa;

/// See the module.
pub(super) struct Filler<'a> {
    ram: Mutex<&'a mut SparseRam>,
}

impl<'a> Filler<'a> {
    /// Over the frames of this node.
    pub(super) fn new(ram: &'a mut SparseRam) -> Self {
        Self { ram: Mutex::new(ram) }
    }
}

impl GuestMemory for Filler<'_> {
    fn read(&self, gpa: Gpa, out: &mut [u8]) -> Result<(), MemError> {
        let mut ram = self.ram.lock();
        let mut rest = out;
        for (at, length) in pieces(gpa, rest.len()) {
            let (now, later) = rest.split_at_mut(length);
            ram.take(at).map_err(|_| MemError::Unbacked { gpa: at })?;
            ram.read(at, now);
            rest = later;
        }
        Ok(())
    }

    fn write(&self, gpa: Gpa, data: &[u8]) -> Result<(), MemError> {
        let mut ram = self.ram.lock();
        let mut rest = data;
        for (at, length) in pieces(gpa, rest.len()) {
            let (now, later) = rest.split_at(length);
            ram.take(at).map_err(|_| MemError::Unbacked { gpa: at })?;
            ram.write(at, now);
            rest = later;
        }
        Ok(())
    }

    fn compare_exchange_u64(&self, gpa: Gpa, old: u64, new: u64) -> Result<u64, MemError> {
        let mut ram = self.ram.lock();
        ram.take(gpa).map_err(|_| MemError::Unbacked { gpa })?;
        ram.compare_exchange(gpa, old, new).ok_or(MemError::Unbacked { gpa })
    }
}

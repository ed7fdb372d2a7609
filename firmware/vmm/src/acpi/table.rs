//! A table under construction: header, fields, length and checksum.
//!
//! Source: ACPI 6.4, section 5.2.6 (header) and 5.2.3.2 (generic address structure).

use alloc::vec::Vec;

const HEADER_BYTES: usize = 36;
const LENGTH: usize = 4;
const CHECKSUM: usize = 9;
const OEM_ID: &[u8; 6] = b"WEFT  ";
const OEM_TABLE_ID: &[u8; 8] = b"WEFTVS  ";
const CREATOR_ID: &[u8; 4] = b"WEFT";

/// The byte that makes the sum of `bytes` zero.
pub(super) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

/// A system description table.
pub(super) struct Table(Vec<u8>);

impl Table {
    /// Header alone.
    pub(super) fn new(signature: &[u8; 4], revision: u8) -> Self {
        let mut table = Self(Vec::with_capacity(HEADER_BYTES));
        table.bytes(signature);
        table.u32(0);
        table.u8(revision);
        table.u8(0);
        table.bytes(OEM_ID);
        table.bytes(OEM_TABLE_ID);
        table.u32(1);
        table.bytes(CREATOR_ID);
        table.u32(1);
        table
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Fills with zeros up to position `end`, which is not behind.
    pub(super) fn zeros_to(&mut self, end: usize) {
        assert!(end >= self.0.len(), "a field of a fixed table is out of order");
        self.0.resize(end, 0);
    }

    /// A byte-wide port as a generic address.
    pub(super) fn port(&mut self, port: u16) {
        const SYSTEM_IO: u8 = 1;
        const BYTE_ACCESS: u8 = 1;
        self.bytes(&[SYSTEM_IO, 8, 0, BYTE_ACCESS]);
        self.u64(u64::from(port));
    }

    /// The finished table.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut bytes = self.0;
        let length = bytes.len() as u32;
        bytes[LENGTH..LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        bytes[CHECKSUM] = checksum(&bytes);
        bytes
    }
}

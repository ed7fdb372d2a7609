//! Reading physical memory that somebody else filled.

/// Memory by physical address. The entries read it through their identity map, tests fake it.
pub trait PhysRead {
    /// `len` bytes at `address`, or `None` where they are out of reach.
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]>;

    /// Little-endian 16-bit value.
    fn u16(&self, address: u64) -> Option<u16> {
        self.bytes(address, 2)?.try_into().ok().map(u16::from_le_bytes)
    }

    /// Little-endian 32-bit value.
    fn u32(&self, address: u64) -> Option<u32> {
        self.bytes(address, 4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// Little-endian 64-bit value.
    fn u64(&self, address: u64) -> Option<u64> {
        self.bytes(address, 8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

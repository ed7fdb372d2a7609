//! The low 4 GiB as the prologue mapped them, and what the image brought along.

use core::slice;

use weft_loader::phys::PhysRead;

const LIMIT: u64 = 4 << 30;

/// What `weft_netboot::assemble::bios` wrote: tag, then address and length of the monitor and of the
/// root set.
#[repr(C)]
struct Payload {
    tag: [u8; 16],
    dvmm: [u32; 2],
    root_set: [u32; 2],
}

unsafe extern "C" {
    static weft_payload: Payload;
    static image_end: u8;
}

/// Physical memory below 4 GiB through the prologue's identity map.
pub(crate) struct LowMemory(());

impl LowMemory {
    /// The map, once.
    ///
    /// # Safety
    /// The prologue's page tables must be active, and nothing may write what is read while it is
    /// borrowed: no interrupts, no other processor, no device.
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }
}

impl PhysRead for LowMemory {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(u64::try_from(len).ok()?)?;
        if address == 0 || end > LIMIT {
            return None;
        }
        // SAFETY: the range is mapped (below 4 GiB), not null, and by the contract of `new` nobody
        // writes it. Bytes have no invalid values.
        Some(unsafe { slice::from_raw_parts(address as usize as *const u8, len) })
    }
}

/// The parts of the image beside this program: monitor and root set.
pub(crate) fn embedded(memory: &LowMemory) -> Option<(&[u8], &[u8])> {
    // SAFETY: the symbol is defined in `entry` with this layout and never changes at run time.
    let payload = unsafe { &*(&raw const weft_payload) };
    let part = |[address, len]: [u32; 2]| memory.bytes(u64::from(address), usize::try_from(len).ok()?);
    if payload.tag != *b"weft-bios-v1\0\0\0\0" || payload.dvmm[1] == 0 {
        return None;
    }
    Some((part(payload.dvmm)?, part(payload.root_set)?))
}

/// First and past-the-last byte of this program and what was embedded.
pub(crate) fn own_range(memory: &LowMemory) -> (u64, u64) {
    let mut end = (&raw const image_end) as usize as u64;
    if let Some((dvmm, root_set)) = embedded(memory) {
        for part in [dvmm, root_set] {
            end = end.max(part.as_ptr() as usize as u64 + part.len() as u64);
        }
    }
    (0x10_0000, end)
}

/// Physical memory for the monitor, as a slice.
///
/// # Safety
/// The range must lie below 4 GiB in usable memory that nothing else uses, not this program either.
pub(crate) unsafe fn arena(base: u64, len: usize) -> &'static mut [u8] {
    // SAFETY: by the caller's contract the range is ours alone and mapped; any bytes are valid.
    unsafe { slice::from_raw_parts_mut(base as usize as *mut u8, len) }
}

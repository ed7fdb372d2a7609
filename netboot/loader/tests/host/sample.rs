//! ELF files to take apart.

use weft_types::handoff::DVMM_BASE;

pub(crate) const R: u32 = 4;
pub(crate) const RX: u32 = 5;
pub(crate) const RW: u32 = 6;

/// A program header.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) vaddr: u64,
    pub(crate) contents: Vec<u8>,
    pub(crate) mem_size: u64,
}

pub(crate) fn load(flags: u32, offset: u64, contents: &[u8], mem_size: u64) -> Load {
    Load { kind: 1, flags, vaddr: DVMM_BASE + offset, contents: contents.to_vec(), mem_size }
}

/// Code, constants and data with zeroed memory behind it, as our linker script gives.
pub(crate) fn usual() -> Vec<Load> {
    vec![
        load(RX, 0, &[0x90; 0x1800], 0x1800),
        load(R, 0x2000, b"constants", 9),
        load(RW, 0x3000, b"data", 0x5000),
    ]
}

pub(crate) fn elf(entry_offset: u64, loads: &[Load]) -> Vec<u8> {
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [DVMM_BASE + entry_offset, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend([0, 0, 0, 0, 64, 0, 56, 0]);
    out.extend((loads.len() as u16).to_le_bytes());
    out.extend([0; 6]);
    let mut offset = 64 + 56 * loads.len() as u64;
    for load in loads {
        out.extend(load.kind.to_le_bytes());
        out.extend(load.flags.to_le_bytes());
        let size = load.contents.len() as u64;
        for word in [offset, load.vaddr, load.vaddr, size, load.mem_size, 4096] {
            out.extend(word.to_le_bytes());
        }
        offset += size;
    }
    for load in loads {
        out.extend(&load.contents);
    }
    out
}

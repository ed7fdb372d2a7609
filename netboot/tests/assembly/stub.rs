//! A PE program of the shape that our linker gives.

pub(crate) const COFF: usize = 0x84;
pub(crate) const OPTIONAL: usize = COFF + 20;
pub(crate) const SECTIONS: usize = OPTIONAL + 240;

/// Headers of 1 KiB and two sections; `room` section headers more are free.
pub(crate) fn stub() -> Vec<u8> {
    let mut file = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(60, &0x80_u32.to_le_bytes());
    put(0x80, b"PE\0\0\x64\x86\x02\0");
    put(COFF + 16, &[240, 0, 0x22, 0]);
    put(OPTIONAL, &[0x0b, 0x02]);
    let words = [(8, 512_u32), (32, 4096), (36, 512), (56, 0x3000), (60, 0x400), (108, 16)];
    for (offset, value) in words {
        put(OPTIONAL + offset, &value.to_le_bytes());
    }
    put(OPTIONAL + 68, &[10, 0]);
    let sections =
        [(".text", 0x321_u32, 0x1000_u32, 0x400_u32, 0x400_u32), (".data", 0x800, 0x2000, 0x200, 0x800)];
    for (index, (name, memory, address, size, position)) in sections.into_iter().enumerate() {
        let at = SECTIONS + index * 40;
        put(at, name.as_bytes());
        for (offset, value) in [(8, memory), (12, address), (16, size), (20, position)] {
            put(at + offset, &value.to_le_bytes());
        }
    }
    file.resize(0xa00, 0xcc);
    file
}

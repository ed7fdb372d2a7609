//! What must hold for any bytes at all. Run by the fuzz targets and, over the corpus and seeded
//! mutations of it, by `tests/assembly/corpus.rs`.
//!
//! A check returns whether the bytes were accepted, so that the test can tell that the good ones are.

use weft_format::pe::{MANIFEST_SECTION, PAYLOAD_SECTION, ROOTS_SECTION, find_section, section_data};
use weft_loader::elf::{Dvmm, MAX_SPAN};
use weft_loader::image::loaded_section;
use weft_loader::load::{Inputs, Plan, load};
use weft_loader::multiboot::Info;
use weft_loader::phys::PhysRead;
use weft_loader::regions::RegionSet;
use weft_loader::tables;
use weft_netboot::assemble;
use weft_types::handoff::{DVMM_BASE, MANIFEST_SIZE, MAX_REGIONS, Region};

/// A monitor that parses can be loaded, and its segments lie where they were promised.
pub(crate) fn elf(data: &[u8]) -> bool {
    let Ok(dvmm) = Dvmm::parse(data) else {
        return false;
    };
    assert!(dvmm.span_bytes <= MAX_SPAN);
    if dvmm.span_bytes > 1 << 20 {
        return true;
    }
    let inputs = Inputs {
        dvmm: &dvmm,
        manifest: &[1; MANIFEST_SIZE],
        root_set: &[2],
        top: 0,
        huge_pages: true,
        jump_code: 0,
    };
    let plan = Plan::new(&inputs).expect("a plan");
    let mut arena = vec![0xaa; usize::try_from(plan.size_bytes).expect("small")];
    let loaded = load(&inputs, &plan, 0x10_0000, &mut arena).expect("as planned");
    assert_eq!(loaded.dvmm_size, dvmm.span_bytes);
    for segment in dvmm.segments() {
        let contents = dvmm.contents(segment).expect("checked by the parser");
        let start = usize::try_from(segment.vaddr - DVMM_BASE).expect("small");
        assert_eq!(&arena[start..start + contents.len()], contents);
    }
    true
}

/// Memory that starts at `BASE` with the fuzzer's bytes.
struct Memory<'a>(&'a [u8]);

const BASE: u64 = 0x1000;

impl PhysRead for Memory<'_> {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(BASE)?).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

/// Whatever a boot loader left, what is read of it is bounded and what comes out is in order.
pub(crate) fn multiboot(data: &[u8]) -> bool {
    let memory = Memory(data);
    assert_eq!(
        tables::rsdp(&memory).and_then(|at| memory.bytes(at, 8)),
        tables::rsdp(&memory).map(|_| &b"RSD PTR "[..])
    );
    let Ok(info) = Info::new(&memory, BASE) else {
        return false;
    };
    let cmdline = info.cmdline();
    let mut modules_fit = true;
    for index in 0..info.module_count().unwrap_or(0) {
        let bytes = info.module(index).and_then(|module| info.module_bytes(module, MANIFEST_SIZE));
        modules_fit &= bytes.is_ok_and(|bytes| bytes.len() <= MANIFEST_SIZE);
    }
    let mut regions = RegionSet::new();
    if info.memory_map(&mut regions).is_err() {
        return false;
    }
    let mut out = [Region { base: 0, size: 0, kind: 0, reserved: 0 }; MAX_REGIONS];
    let Ok(count) = regions.resolve(&mut out) else {
        return false;
    };
    for pair in out[..count].windows(2) {
        assert!(pair[0].base + pair[0].size <= pair[1].base && pair[1].size > 0);
    }
    if let Some(place) = regions.place(0x4000, 1 << 32) {
        let holds = |r: &&Region| r.base <= place && place + 0x4000 <= r.base + r.size;
        assert_eq!(out[..count].iter().find(holds).map(|r| r.kind), Some(1), "usable memory");
    }
    cmdline.is_ok() && modules_fit
}

/// The smallest monitor: one page of code.
pub(crate) fn monitor() -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0];
    for word in [DVMM_BASE, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [120, DVMM_BASE, DVMM_BASE, 2, 2, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0xeb, 0xfe]);
    file
}

/// A root set of RFC 8032's first test key.
pub(crate) fn root_set() -> Vec<u8> {
    let key = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e,
        0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ];
    let set = weft_format::RootSet::new(1, 1, &[key], true).expect("a root set");
    set.encode(&mut [0; weft_format::roots::MAX_ROOT_SET]).to_vec()
}

/// An image as firmware lays it out in memory.
fn laid_out(file: &[u8], size: usize) -> Vec<u8> {
    let mut memory = vec![0; size];
    let headers = file.len().min(4096).min(size);
    memory[..headers].copy_from_slice(&file[..headers]);
    for name in [PAYLOAD_SECTION, MANIFEST_SECTION, ROOTS_SECTION] {
        let section = find_section(file, name).expect("appended");
        let start = usize::try_from(section.virtual_address).expect("small");
        let contents = section_data(file, name).expect("appended");
        memory[start..start + contents.len()].copy_from_slice(contents);
    }
    memory
}

/// A stub that is accepted gives an image whose sections read back, from the file and from memory.
pub(crate) fn assembly(data: &[u8]) -> bool {
    let (monitor, roots) = (monitor(), root_set());
    let Ok(file) = assemble::uefi(data, &monitor, &roots) else {
        return false;
    };
    assert_eq!(assemble::uefi(data, &monitor, &roots).ok().as_ref(), Some(&file), "deterministic");
    assert_eq!(file.len() % 512, 0);
    assert_eq!(section_data(&file, PAYLOAD_SECTION), Ok(monitor.as_slice()));
    assert_eq!(section_data(&file, MANIFEST_SECTION), Ok([0; MANIFEST_SIZE].as_slice()));
    assert_eq!(section_data(&file, ROOTS_SECTION), Ok(roots.as_slice()));
    let last = find_section(&file, ROOTS_SECTION).expect("appended");
    let size = usize::try_from(last.virtual_address).expect("u32") + 4096;
    if size < 16 << 20 {
        let memory = laid_out(&file, size);
        assert_eq!(loaded_section(&memory, PAYLOAD_SECTION), Ok(monitor.as_slice()));
    }
    true
}

//! Multiboot information and firmware tables in a made-up memory.

use weft_loader::multiboot::{Info, Module, MultibootError};
use weft_loader::phys::PhysRead;
use weft_loader::regions::RegionSet;
use weft_loader::tables;
use weft_types::handoff::{MAX_REGIONS, Region};

pub(crate) struct Memory(pub(crate) Vec<u8>);

impl PhysRead for Memory {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(address).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

impl Memory {
    fn new() -> Self {
        Self(vec![0; 1 << 20])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn words(&mut self, at: usize, words: &[u32]) -> &mut Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(at, &bytes)
    }
}

const INFO: u64 = 0x1000;

fn information() -> Memory {
    let mut memory = Memory::new();
    memory.words(0x1000, &[0b100_1100, 0, 0, 0, 0x2000, 2, 0x3000]);
    memory.words(0x1000 + 44, &[2 * 24, 0x4000]);
    memory.put(0x2000, b"weft.bios server=10.0.0.1\0rest");
    memory.words(0x3000, &[0x5000, 0x5003, 0, 0, 0x6000, 0x6000, 0, 0]).put(0x5000, b"abc");
    memory.words(0x4000, &[20, 0, 0, 0x9f000, 0, 1, 20, 0x10_0000, 0, 0x70_0000, 1, 1]);
    memory
}

#[test]
fn command_line_modules_and_memory_are_read() {
    let memory = information();
    let info = Info::new(&memory, INFO).expect("information");
    assert_eq!(info.cmdline(), Ok(b"weft.bios server=10.0.0.1".as_slice()));
    assert_eq!(info.module_count(), Ok(2));
    let module = info.module(0).expect("a module");
    assert_eq!(module, Module { start: 0x5000, size: 3 });
    assert_eq!(info.module_bytes(module, 3), Ok(b"abc".as_slice()));
    assert_eq!(info.module_bytes(module, 2), Err(MultibootError::Unreadable), "over the limit");
    let mut regions = RegionSet::new();
    info.memory_map(&mut regions).expect("a map");
    let mut out = [Region { base: 0, size: 0, kind: 0, reserved: 0 }; MAX_REGIONS];
    assert_eq!(regions.resolve(&mut out), Ok(2));
    assert_eq!((out[1].base, out[1].size), (0x10_0000, 0x1_0070_0000), "above 4 GiB");
}

#[test]
fn what_the_flags_do_not_promise_is_not_read() {
    let mut memory = information();
    memory.words(0x1000, &[0]);
    let info = Info::new(&memory, INFO).expect("information");
    assert_eq!(info.cmdline(), Ok([].as_slice()));
    assert_eq!(info.module_count(), Ok(0));
    assert_eq!(info.memory_map(&mut RegionSet::new()), Err(MultibootError::NoMemoryMap));
}

#[test]
fn lies_in_the_information_are_refused() {
    assert!(Info::new(&Memory::new(), 0xffff_fffe).is_err());
    let changes: [(usize, u32, &str); 5] = [
        (0x1000 + 16, 0xffff_0000, "command line out of reach"),
        (0x3000 + 4, 0x4fff, "module that ends before it begins"),
        (0x1000 + 44, 1 << 20, "map without end"),
        (0x4000, 0, "map entry without size"),
        (0x1000 + 48, 0xfff0_0000, "map out of reach"),
    ];
    for (at, value, what) in changes {
        let mut memory = information();
        memory.words(at, &[value]);
        let info = Info::new(&memory, INFO).expect("information");
        let refused = info.cmdline().is_err()
            || info.module(0).is_err()
            || info.memory_map(&mut RegionSet::new()).is_err();
        assert!(refused, "{what}");
    }
}

#[test]
fn a_command_line_without_end_is_cut() {
    let mut memory = information();
    memory.put(0x2000, &[b'x'; 4096]);
    let info = Info::new(&memory, INFO).expect("information");
    assert_eq!(info.cmdline().map(<[u8]>::len), Ok(512));
}

/// A table with a checksum byte that makes `sum_over` bytes add up to zero.
fn summed(anchor: &[u8], size: usize, checksum_at: usize) -> Vec<u8> {
    let mut table = anchor.to_vec();
    table.resize(size, 0x11);
    table[checksum_at] = 0;
    let sum = table.iter().fold(0_u8, |a, b| a.wrapping_add(*b));
    table[checksum_at] = 0_u8.wrapping_sub(sum);
    table
}

#[test]
fn the_rsdp_is_found_in_ebda_or_bios_area_by_its_checksum() {
    let rsdp = summed(b"RSD PTR ", 20, 8);
    let mut memory = Memory::new();
    assert_eq!(tables::rsdp(&memory), None);
    memory.put(0xe_1230, b"RSD PTR ").put(0xf_5ad0, &rsdp);
    assert_eq!(tables::rsdp(&memory), Some(0xf_5ad0), "the first has no checksum");
    memory.put(0x40e, &[0xc0, 0x9f]).put(0x9_fc10, &rsdp);
    assert_eq!(tables::rsdp(&memory), Some(0x9_fc10));
}

#[test]
fn the_64_bit_smbios_entry_is_preferred() {
    let mut memory = Memory::new();
    let mut old = b"_SM_\0\x1f".to_vec();
    old = summed(&old, 0x1f, 4);
    memory.put(0xf_1000, &old);
    assert_eq!(tables::smbios(&memory), Some(0xf_1000));
    let new = summed(b"_SM3_\0\x18", 0x18, 5);
    memory.put(0xf_8000, &new);
    assert_eq!(tables::smbios(&memory), Some(0xf_8000));
    memory.put(0xf_8006, &[0]).put(0xf_1005, &[3]);
    assert_eq!(tables::smbios(&memory), None, "lengths that cannot be");
}

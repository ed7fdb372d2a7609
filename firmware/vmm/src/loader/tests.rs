//! Tests of loading, with an image made here and hostile ones derived from it.

use super::*;
use crate::fake::{Memory, Random};
use std::vec;
use std::vec::Vec;
use weft_paging::{Privilege, WalkAccess, WalkState};
use weft_types::Gva;

const RAM: u64 = 64 << 20;
const LOAD: u64 = 0x100_0000;

/// A bzImage of one setup sector whose payload is a pattern.
fn image() -> Vec<u8> {
    let mut image = vec![0u8; 1024];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&0xaa55u16.to_le_bytes());
    image[0x201] = 0x6a;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    image[0x211] = 1;
    image[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    image[0x236..0x238].copy_from_slice(&0x7fu16.to_le_bytes());
    image[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
    image[0x258..0x260].copy_from_slice(&LOAD.to_le_bytes());
    image[0x260..0x264].copy_from_slice(&0x20_0000u32.to_le_bytes());
    let payload: Vec<u8> = (0..9000u32).map(|n| (n % 251) as u8).collect();
    image[0x1f4..0x1f8].copy_from_slice(&(payload.len() as u32).div_ceil(16).to_le_bytes());
    image.extend(payload);
    image
}

fn config<'a>(kernel: &'a dyn Source, initrd: Option<&'a dyn Source>) -> LoadConfig<'a> {
    LoadConfig { ram_bytes: RAM, kernel, initrd, command_line: b"console=ttyS0", acpi: b"RSD PTR tables" }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn everything_lies_where_the_zero_page_says() {
    let mem = Memory::new(RAM as usize);
    let image = image();
    let initrd = vec![0x5a; 5000];
    let state = load(&mem, &config(&image.as_slice(), Some(&initrd.as_slice()))).unwrap();
    assert_eq!((state.rip, state.rsi), (LOAD + 0x200, 0x7000));
    assert_eq!(mem.get(LOAD, 9000), image[1024..]);
    let page = mem.get(state.rsi, 4096);
    assert_eq!(&page[0x202..0x206], b"HdrS");
    assert_eq!(page[0x210], 0xff);
    assert_eq!(mem.get(u64::from(u32_at(&page, 0x228)), 14), b"console=ttyS0\0");
    let at = u64::from(u32_at(&page, 0x218));
    assert_eq!(u32_at(&page, 0x21c), 5000);
    assert_eq!(at, RAM - 8192);
    assert_eq!(mem.get(at, 5000), initrd);
    assert_eq!(u32_at(&page, 0x70), 0xe_0000);
    assert_eq!(mem.get(0xe_0000, 14), b"RSD PTR tables");
}

#[test]
fn the_memory_map_has_ram_and_tables_and_no_overlap() {
    for (ram, expected) in [(RAM, 3), (5 << 30, 4)] {
        let map: Vec<_> = bootparams::memory_map(ram).collect();
        assert_eq!(map.len(), expected);
        let usable: u64 =
            map.iter().filter(|(_, _, kind)| *kind == bootparams::E820Kind::Ram).map(|(_, n, _)| n).sum();
        assert_eq!(usable, ram - 0x6_0000);
        for pair in map.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0);
        }
    }
}

#[test]
fn the_entry_tables_map_every_byte_of_four_gib_to_itself() {
    let mem = Memory::new(1 << 20);
    entry::write(&mem).unwrap();
    let state = entry::state(Gpa(LOAD));
    let walk = WalkState {
        cr0: state.cr0,
        cr3: state.cr3,
        cr4: state.cr4,
        efer: state.efer,
        alignment_check: false,
        physical_bits: 40,
    };
    for address in [0, 0x7000, LOAD + 0x200, 0xbfff_ffff, 0xffff_ffff] {
        let found =
            weft_paging::translate(&mem, &walk, Gva(address), WalkAccess::Write, Privilege::Supervisor);
        assert_eq!(found.unwrap().gpa, Gpa(address));
    }
    let past = weft_paging::translate(&mem, &walk, Gva(1 << 32), WalkAccess::Read, Privilege::Supervisor);
    assert!(past.is_err());
    assert_eq!((state.cs.attrib, state.data.attrib), (0xa9b, 0xc93));
    assert_eq!(mem.get(state.gdt_base + 0x10, 8), 0x00af_9b00_0000_ffffu64.to_le_bytes());
}

#[test]
fn images_that_cannot_start_are_refused_with_the_reason() {
    let good = image();
    let parse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        KernelHeader::read(&bytes.as_slice())
    };
    assert!(parse(&|_| {}).is_ok());
    assert_eq!(parse(&|b| b.truncate(100)), Err(HeaderError::Short { bytes: 100 }));
    assert_eq!(parse(&|b| b[0x1fe] = 0), Err(HeaderError::NotLinux));
    assert_eq!(parse(&|b| b[0x202] = b'h'), Err(HeaderError::NotLinux));
    assert_eq!(parse(&|b| b[0x206] = 0x0b), Err(HeaderError::Protocol { version: 0x20b }));
    assert_eq!(parse(&|b| b[0x211] = 0), Err(HeaderError::Not64Bit));
    assert_eq!(parse(&|b| b[0x236] = 0x7e), Err(HeaderError::Not64Bit));
    assert_eq!(parse(&|b| b[0x201] = 0xff), Err(HeaderError::HeaderLength { end: 0x301 }));
    assert!(matches!(parse(&|b| b.truncate(9000)), Err(HeaderError::Payload { .. })));
    assert!(matches!(parse(&|b| b[0x1f1] = 40), Err(HeaderError::Payload { .. })));
    assert!(matches!(parse(&|b| b[0x1f4..0x1f8].fill(0xff)), Err(HeaderError::Payload { .. })));
    assert!(matches!(parse(&|b| b[0x258..0x260].fill(0)), Err(HeaderError::LoadAddress { .. })));
    assert!(matches!(parse(&|b| b[0x258..0x260].fill(0xff)), Err(HeaderError::LoadAddress { .. })));
    assert!(matches!(parse(&|b| b[0x260..0x264].fill(0)), Err(HeaderError::MemoryBytes { .. })));
    assert!(matches!(parse(&|b| b[0x260..0x264].fill(0xff)), Err(HeaderError::MemoryBytes { .. })));
}

#[test]
fn what_does_not_fit_is_refused_before_memory_is_touched() {
    let mem = Memory::new(RAM as usize);
    let image = image();
    let kernel: &dyn Source = &image.as_slice();
    let attempt = |config: LoadConfig<'_>| load(&mem, &config).unwrap_err();
    let base = || config(kernel, None);
    assert_eq!(attempt(LoadConfig { ram_bytes: 4096, ..base() }), LoadError::RamSize { bytes: 4096 });
    let long = vec![b'x'; 2048];
    let got = attempt(LoadConfig { command_line: &long, ..base() });
    assert_eq!(got, LoadError::CommandLine { bytes: 2048, limit: 2047 });
    assert!(matches!(attempt(LoadConfig { command_line: b"a\0b", ..base() }), LoadError::CommandLine { .. }));
    let tables = vec![0; 0x2_0001];
    assert_eq!(attempt(LoadConfig { acpi: &tables, ..base() }), LoadError::Acpi { bytes: 0x2_0001 });
    let initrd = vec![0; 47 << 20];
    let source: &dyn Source = &initrd.as_slice();
    assert!(matches!(
        attempt(LoadConfig { initrd: Some(source), ..base() }),
        LoadError::InitrdTooLarge { .. }
    ));
    let mut large = image.clone();
    large[0x260..0x264].copy_from_slice(&0x3000_1000u32.to_le_bytes());
    assert!(matches!(attempt(config(&large.as_slice(), None)), LoadError::KernelTooLarge { .. }));
    assert!(mem.snapshot().iter().all(|byte| *byte == 0));
}

#[test]
fn loading_that_is_interrupted_for_pages_ends_the_same() {
    let image = image();
    let initrd = Random(7).bytes(20_000);
    let plain = Memory::new(RAM as usize);
    let (kernel, disk) = (image.as_slice(), initrd.as_slice());
    let config = config(&kernel, Some(&disk));
    let expected = load(&plain, &config).unwrap();
    let slow = Memory::new(RAM as usize);
    slow.delay(3);
    let state = crate::fake::with_pages(&slow, || match load(&slow, &config) {
        Err(LoadError::Memory(error)) => Err(error),
        other => Ok(other.unwrap()),
    });
    assert_eq!(state, expected);
    assert!(slow.needs.get() > 10);
    assert!(slow.snapshot() == plain.snapshot());
}

#[test]
fn random_headers_never_panic_and_never_load_outside_memory() {
    let good = image();
    let mut random = Random(11);
    let mem = Memory::new(RAM as usize);
    let mut loaded = 0;
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(4) {
            let at = 0x1f1 + random.below(0x80) as usize;
            bytes[at] = random.next() as u8;
        }
        // `Unbacked` from the fake memory would be a write outside it.
        match load(&mem, &config(&bytes.as_slice(), None)) {
            Ok(_) => loaded += 1,
            Err(LoadError::Memory(error)) => panic!("{error:?}"),
            Err(_) => {}
        }
    }
    assert!(loaded > 100);
}

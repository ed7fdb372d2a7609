use core::mem::offset_of;

use weft_loader::elf::Dvmm;
use weft_loader::handoff::{cmdline_ipv4, cmdline_mac, empty, encode, set_cmdline};
use weft_loader::load::{Inputs, LoadError, Loaded, MAX_ROOT_SET, Plan, STACK_SIZE, load};
use weft_loader::paging::{PageSize, PagingError, Rights, Tables};
use weft_types::handoff::{BootPath, DVMM_BASE, HANDOFF_MAGIC, Handoff, MAX_CMDLINE, PHYSMAP_BASE, Region};

use crate::sample::{elf, usual};

const BASE: u64 = 0x1234_5000;
const GIB: u64 = 1 << 30;

struct Loading {
    loaded: Loaded,
    arena: Vec<u8>,
    plan: Plan,
}

fn inputs<'a>(dvmm: &'a Dvmm<'a>, top: u64, huge_pages: bool, jump_code: u64) -> Inputs<'a> {
    Inputs { dvmm, manifest: &[7; 4096], root_set: b"roots", top, huge_pages, jump_code }
}

fn loaded(top: u64, huge_pages: bool, jump_code: u64) -> Loading {
    let file = elf(0, &usual());
    let dvmm = Dvmm::parse(&file).expect("a monitor");
    let inputs = inputs(&dvmm, top, huge_pages, jump_code);
    let plan = Plan::new(&inputs).expect("a plan");
    let mut arena = vec![0xaa; plan.size_bytes as usize];
    let loaded = load(&inputs, &plan, BASE, &mut arena).expect("loaded");
    Loading { loaded, arena, plan }
}

impl Loading {
    fn at(&self, physical: u64) -> &[u8] {
        &self.arena[(physical - BASE) as usize..]
    }

    /// Walks the tables as a processor does.
    fn walk(&self, va: u64) -> Option<(u64, Rights)> {
        let mut table = self.loaded.page_table;
        for shift in [39, 30, 21, 12] {
            let index = (va >> shift & 511) as usize * 8;
            let entry = u64::from_le_bytes(self.at(table)[index..index + 8].try_into().ok()?);
            if entry & 1 == 0 {
                return None;
            }
            let address = entry & 0x000f_ffff_ffff_f000;
            if shift == 12 || entry & 0x80 != 0 {
                let rights = Rights { write: entry & 2 != 0, execute: entry >> 63 == 0 };
                return Some((address + (va & ((1 << shift) - 1)), rights));
            }
            assert_eq!(entry >> 63, 0, "an upper table takes no right away");
            table = address;
        }
        None
    }
}

const RW: Rights = Rights { write: true, execute: false };
const RWX: Rights = Rights { write: true, execute: true };

#[test]
fn segments_lie_where_the_file_says_and_the_rest_is_zero() {
    let l = loaded(0, true, 0);
    assert_eq!(l.loaded.dvmm_base, BASE);
    assert_eq!(&l.at(BASE)[..0x1800], [0x90; 0x1800]);
    assert_eq!(&l.at(BASE)[0x1800..0x2000], [0; 0x800]);
    assert_eq!(&l.at(BASE)[0x2000..0x2009], b"constants");
    assert_eq!(&l.at(BASE)[0x3004..0x8000], [0; 0x4ffc]);
    assert_eq!(&l.at(l.loaded.manifest)[..4096], [7; 4096]);
    assert_eq!(&l.at(l.loaded.root_set)[..6], b"roots\0");
}

#[test]
fn the_monitor_is_mapped_with_the_rights_of_its_segments() {
    let l = loaded(0, true, 0);
    let rights = |write, execute| Rights { write, execute };
    assert_eq!(l.walk(DVMM_BASE + 0x1fff), Some((BASE + 0x1fff, rights(false, true))));
    assert_eq!(l.walk(DVMM_BASE + 0x2000), Some((BASE + 0x2000, rights(false, false))));
    assert_eq!(l.walk(DVMM_BASE + 0x7fff), Some((BASE + 0x7fff, rights(true, false))));
    assert_eq!(l.walk(DVMM_BASE + 0x8000), None);
}

#[test]
fn the_physical_map_reaches_the_top_of_memory_and_is_not_executable() {
    for huge_pages in [true, false] {
        let l = loaded(6 * GIB + 1, huge_pages, 0);
        for physical in [0, 0xfee0_0000, 5 * GIB, 7 * GIB - 1] {
            assert_eq!(l.walk(PHYSMAP_BASE + physical), Some((physical, RW)), "{physical:#x}");
        }
        assert_eq!(l.walk(PHYSMAP_BASE + 7 * GIB), None);
        let small = loaded(GIB, huge_pages, 0);
        assert_eq!(small.walk(PHYSMAP_BASE + 4 * GIB - 1), Some((4 * GIB - 1, RW)), "4 GiB at least");
    }
}

#[test]
fn the_identity_covers_the_low_4_gib_and_the_jump() {
    for huge_pages in [true, false] {
        let l = loaded(0, huge_pages, 0x12_3456);
        assert_eq!(l.walk(4 * GIB - 1), Some((4 * GIB - 1, RWX)));
        assert_eq!(l.walk(4 * GIB), None);
        for jump in [9 * GIB + 0x1f_fff0, 600 * GIB] {
            let l = loaded(0, huge_pages, jump);
            assert_eq!(l.walk(jump), Some((jump, RWX)));
            assert_eq!(l.walk(jump + 64), Some((jump + 64, RWX)), "code over a page's end");
        }
    }
}

#[test]
fn memory_of_a_terabyte_fits_its_plan_without_huge_pages() {
    let l = loaded(1024 * GIB, false, 0);
    assert_eq!(l.walk(PHYSMAP_BASE + 1024 * GIB - 1), Some((1024 * GIB - 1, RW)));
    assert!(l.plan.size_bytes < 8 << 20, "{}", l.plan.size_bytes);
}

#[test]
fn the_stack_is_in_the_arena_and_aligned_as_after_a_call() {
    let l = loaded(0, true, 0);
    let physical = l.loaded.stack_pointer - PHYSMAP_BASE;
    assert_eq!(l.loaded.stack_pointer % 16, 8);
    assert!(physical - BASE > STACK_SIZE && physical < l.loaded.handoff);
}

#[test]
fn a_wrong_arena_is_refused() {
    let file = elf(0, &usual());
    let dvmm = Dvmm::parse(&file).expect("a monitor");
    let inputs = inputs(&dvmm, 0, true, 0);
    let plan = Plan::new(&inputs).expect("a plan");
    let mut arena = vec![0; plan.size_bytes as usize];
    for base in [BASE + 1, 4 * GIB - 0x1000, u64::MAX - 0xfff] {
        assert_eq!(load(&inputs, &plan, base, &mut arena).err(), Some(LoadError::Arena), "{base:#x}");
    }
    let short = arena.len() - 4096;
    assert_eq!(load(&inputs, &plan, BASE, &mut arena[..short]).err(), Some(LoadError::Arena));
    let more = Inputs { top: 9 * GIB, huge_pages: false, ..inputs };
    assert_eq!(load(&more, &plan, BASE, &mut arena).err(), Some(LoadError::Arena), "another plan");
}

#[test]
fn too_long_inputs_are_refused() {
    let file = elf(0, &usual());
    let dvmm = Dvmm::parse(&file).expect("a monitor");
    let inputs = inputs(&dvmm, 0, true, 0);
    assert_eq!(Plan::new(&Inputs { manifest: &[0; 4097], ..inputs }), Err(LoadError::Inputs));
    let roots = vec![0; MAX_ROOT_SET + 1];
    assert_eq!(Plan::new(&Inputs { root_set: &roots, ..inputs }), Err(LoadError::Inputs));
}

#[test]
fn page_tables_refuse_a_second_mapping_a_misfit_and_a_lack_of_room() {
    let mut memory = vec![0; 4 * 4096];
    let mut tables = Tables::new(0x1000, &mut memory).expect("tables");
    assert_eq!(tables.map(0, 0, PageSize::Huge, RW), Ok(()));
    assert_eq!(tables.map(0, 0, PageSize::Huge, RW), Err(PagingError::Occupied));
    assert_eq!(tables.map(0x1000, 0, PageSize::Small, RW), Err(PagingError::Occupied));
    assert_eq!(tables.map(GIB + 0x1000, 0, PageSize::Large, RW), Err(PagingError::Misaligned));
    assert_eq!(tables.map(GIB, 0x1000, PageSize::Large, RW), Err(PagingError::Misaligned));
    assert_eq!(tables.map(GIB, 0, PageSize::Small, RW), Ok(()));
    assert_eq!(tables.map(2 * GIB, 0, PageSize::Small, RW), Err(PagingError::Full));
    assert_eq!(Tables::new(0x800, &mut memory).err(), Some(PagingError::Misaligned));
    assert_eq!(Tables::new(0, &mut memory[..4095]).err(), Some(PagingError::Full));
}

#[test]
fn a_handoff_is_written_field_by_field_at_its_offsets() {
    let mut handoff = empty(BootPath::Bios);
    handoff.boot_counter = 0x1122_3344_5566_7788;
    handoff.node_key = [9; 32];
    handoff.screen.width = 1280;
    handoff.boot_server = [10, 0, 0, 1];
    handoff.region_count = 2;
    handoff.regions[1] = Region { base: 0x1000, size: 0x2000, kind: 1, reserved: 0 };
    set_cmdline(&mut handoff, b"server=10.0.0.1");
    let mut bytes = vec![0xff; size_of::<Handoff>()];
    encode(&handoff, &mut bytes).expect("room");
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!(u64_at(0), HANDOFF_MAGIC);
    assert_eq!(u64_at(offset_of!(Handoff, boot_counter)), handoff.boot_counter);
    assert_eq!(bytes[offset_of!(Handoff, node_key)..][..32], [9; 32]);
    assert_eq!(bytes[offset_of!(Handoff, screen) + 16..][..4], 1280_u32.to_le_bytes());
    assert_eq!(bytes[offset_of!(Handoff, boot_server)..][..4], [10, 0, 0, 1]);
    assert_eq!(bytes[offset_of!(Handoff, cmdline_len)..][..2], [15, 0]);
    assert_eq!(&bytes[offset_of!(Handoff, cmdline)..][..15], b"server=10.0.0.1");
    assert_eq!(u64_at(offset_of!(Handoff, regions) + 24 + 8), 0x2000);
    let short = bytes.len() - 1;
    assert!(encode(&handoff, &mut bytes[..short]).is_err());
}

#[test]
fn a_long_command_line_is_cut() {
    let mut handoff = empty(BootPath::Bios);
    set_cmdline(&mut handoff, &[b'x'; MAX_CMDLINE + 1]);
    assert_eq!(usize::from(handoff.cmdline_len), MAX_CMDLINE);
}

#[test]
fn command_line_values_are_read_strictly() {
    let line = b"weft.bios xserver=9.9.9.9 server=10.7.0.1 mac=02:00:00:00:00:0a server=1.1.1.1";
    assert_eq!(cmdline_ipv4(line, "server"), Some([10, 7, 0, 1]));
    assert_eq!(cmdline_mac(line, "mac"), Some([2, 0, 0, 0, 0, 10]));
    for bad in ["server=10.7.0", "server=10.7.0.256", "server=", "server", "server=10.7.0.1x"] {
        assert_eq!(cmdline_ipv4(bad.as_bytes(), "server"), None, "{bad}");
    }
    for bad in ["mac=02:00:00:00:00", "mac=02:00:00:00:00:0a:0b", "mac=2:0:0:0:0:a", "mac=02:00:00:00:00:gg"]
    {
        assert_eq!(cmdline_mac(bad.as_bytes(), "mac"), None, "{bad}");
    }
}

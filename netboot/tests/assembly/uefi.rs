use weft_format::pe::{MANIFEST_SECTION, PAYLOAD_SECTION, ROOTS_SECTION, find_section, image_digest};
use weft_loader::elf::Dvmm;
use weft_netboot::assemble::{BiosError, UefiError, bios, loadable, uefi};
use weft_netboot::image::{MAX_BOOT_FILE, check_size};

use crate::checks::{monitor, root_set};
use crate::stub::{COFF, OPTIONAL, SECTIONS, stub};

fn word(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"))
}

#[test]
fn sections_are_appended_in_order_with_right_sizes() {
    let file = uefi(&stub(), &monitor(), &root_set()).expect("an image");
    assert_eq!(file[COFF + 2], 5);
    assert_eq!(word(&file, OPTIONAL + 56), 0x6000, "SizeOfImage");
    assert_eq!(word(&file, OPTIONAL + 8), 512 + 512 + 4096 + 512, "SizeOfInitializedData");
    let places = [
        (PAYLOAD_SECTION, 0x3000, 0xa00),
        (MANIFEST_SECTION, 0x4000, 0xc00),
        (ROOTS_SECTION, 0x5000, 0x1c00),
    ];
    for (name, address, position) in places {
        let section = find_section(&file, name).expect("appended");
        assert_eq!((section.virtual_address, section.file_offset), (address, position), "{name}");
    }
    assert_eq!(file.len(), 0x1e00);
    assert_eq!(&file[0x400..0xa00], &stub()[0x400..], "the stub itself is untouched");
}

#[test]
fn the_checksum_is_that_of_the_format() {
    let file = uefi(&stub(), &monitor(), &root_set()).expect("an image");
    // The definition, said another way: add up with the field as zero, fold, add the length.
    let words = file
        .chunks(2)
        .enumerate()
        .filter(|(index, _)| !(OPTIONAL + 64..OPTIONAL + 68).contains(&(index * 2)));
    let mut sum: u64 = words.map(|(_, pair)| u64::from(pair[0]) | u64::from(pair[1]) << 8).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    assert_eq!(u64::from(word(&file, OPTIONAL + 64)), sum + file.len() as u64);
}

#[test]
fn the_same_inputs_give_the_same_image_and_others_another() {
    let digest = |monitor: &[u8]| image_digest(&uefi(&stub(), monitor, &root_set()).expect("an image"));
    assert_eq!(digest(&monitor()), digest(&monitor()));
    let mut other = monitor();
    *other.last_mut().expect("bytes") ^= 1;
    assert_ne!(digest(&monitor()), digest(&other));
}

#[test]
fn a_stub_of_another_shape_is_refused_not_repaired() {
    let changes: [(usize, u8, &str); 12] = [
        (0, 0, "signature"),
        (COFF, 0x4c, "another machine"),
        (COFF + 4, 1, "time stamp"),
        (COFF + 16, 224, "optional header"),
        (OPTIONAL + 33, 0, "section alignment"),
        (OPTIONAL + 37, 0, "file alignment"),
        (OPTIONAL + 68, 11, "a driver"),
        (OPTIONAL + 108, 15, "directories"),
        (OPTIONAL + 112 + 32, 1, "certificates"),
        (OPTIONAL + 112 + 48, 1, "debug directory"),
        (SECTIONS + 13, 0x20, "order in memory"),
        (SECTIONS + 40 + 21, 9, "order in the file"),
    ];
    for (at, value, what) in changes {
        let mut bad = stub();
        assert_ne!(bad[at], value, "{what}");
        bad[at] = value;
        assert!(matches!(uefi(&bad, &monitor(), &root_set()), Err(UefiError::Shape(_))), "{what}");
    }
    let trailing = [stub(), vec![0]].concat();
    assert!(matches!(uefi(&trailing, &monitor(), &root_set()), Err(UefiError::Shape(_))));
    let mut full = stub();
    full[SECTIONS + 80] = 1;
    assert!(matches!(uefi(&full, &monitor(), &root_set()), Err(UefiError::Shape(_))), "no room");
}

#[test]
fn every_truncation_of_the_stub_is_refused() {
    let whole = stub();
    for len in 0..whole.len() {
        assert!(uefi(&whole[..len], &monitor(), &root_set()).is_err(), "{len}");
    }
}

#[test]
fn a_monitor_or_root_set_that_a_node_would_refuse_is_not_assembled() {
    let no_monitor = uefi(&stub(), b"no monitor", &root_set());
    assert!(matches!(no_monitor, Err(UefiError::Monitor(_))));
    let trailing = [root_set(), vec![0]].concat();
    assert!(matches!(uefi(&stub(), &monitor(), &trailing), Err(UefiError::Roots(_))));
    assert!(matches!(bios(b"", b"no monitor", &root_set()), Err(BiosError::Monitor(_))));
    assert!(matches!(bios(b"", &monitor(), &trailing), Err(BiosError::Roots(_))));
    assert!(matches!(bios(&monitor(), &monitor(), &root_set()), Err(BiosError::Shape(_))), "no BIOS entry");
}

#[test]
fn symbols_and_section_headers_are_not_shipped() {
    let linked = with_symbols();
    let shipped = loadable(&linked).expect("a monitor");
    assert_eq!(shipped.len(), monitor().len());
    assert_eq!(shipped[40..48], [0; 8], "no section header table");
    assert_eq!(shipped[58..64], [0; 6], "no section headers");
    let (before, after) = (Dvmm::parse(&linked).expect("loads"), Dvmm::parse(&shipped).expect("loads"));
    assert_eq!((before.entry, before.span_bytes), (after.entry, after.span_bytes));
    for (one, other) in before.segments().iter().zip(after.segments()) {
        assert_eq!(before.contents(one), after.contents(other));
    }
    assert_eq!(loadable(&shipped), Ok(shipped.clone()), "nothing is left to cut");
}

/// The monitor as a linker leaves it: names and section headers behind what is loaded.
fn with_symbols() -> Vec<u8> {
    let mut linked = [monitor(), b"_ZN4weft5names17h0123456789abcdefE\0".repeat(9)].concat();
    linked[40..48].copy_from_slice(&(monitor().len() as u64).to_le_bytes());
    linked[58..64].copy_from_slice(&[64, 0, 8, 0, 6, 0]);
    linked
}

#[test]
fn a_boot_file_over_the_limit_is_refused_with_its_size() {
    assert!(check_size("weft.efi", MAX_BOOT_FILE).is_ok());
    let refused = check_size("weft.efi", MAX_BOOT_FILE + 5).expect_err("too large");
    assert_eq!(
        refused.to_string(),
        "weft.efi is 1048581 bytes, 5 over the limit of 1048576: see \"Size\" in docs/boot.md"
    );
}

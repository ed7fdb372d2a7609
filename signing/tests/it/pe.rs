//! PE files that must be refused, each for its own reason.

use crate::common::{blank_image, pe_file, with_certificates};
use proptest::prelude::*;
use weft_format::pe::{self, PeError};
use weft_format::sha256;

/// Positions in the files that `pe_file` makes.
const COFF: usize = 64 + 4;
const OPTIONAL: usize = COFF + 20;
const TABLE: usize = OPTIONAL + 240;

fn two_sections() -> Vec<u8> {
    pe_file(&[(".one", b"first"), (".two", &[2; 600])])
}

fn put(file: &mut [u8], place: usize, value: u32) {
    file[place..place + 4].copy_from_slice(&value.to_le_bytes());
}

fn refused(change: impl FnOnce(&mut Vec<u8>)) -> PeError {
    let mut file = two_sections();
    change(&mut file);
    pe::find_section(&file, ".two").expect_err("refused")
}

#[test]
fn a_section_is_found_with_its_bytes() {
    let file = two_sections();
    let section = pe::find_section(&file, ".two").expect("found");
    assert_eq!((section.virtual_size, section.file_size), (600, 1024));
    assert_eq!(pe::section_data(&file, ".one"), Ok(&b"first"[..]));
    assert_eq!(pe::section_data(&file, ".two"), Ok(&[2; 600][..]));
    assert_eq!(pe::section_data(&file, ".tw"), Err(PeError::Missing));
    assert_eq!(pe::section_data(&file, ""), Err(PeError::Missing));
}

#[test]
fn headers_that_are_not_ours_are_refused() {
    assert_eq!(refused(|file| file[0] = b'N'), PeError::Signature);
    assert_eq!(refused(|file| file[64] = b'N'), PeError::Signature);
    assert_eq!(refused(|file| put(file, 60, u32::MAX)), PeError::Short);
    assert_eq!(refused(|file| file[OPTIONAL] = 0x07), PeError::OptionalHeader);
    assert_eq!(refused(|file| put(file, OPTIONAL + 108, 4)), PeError::OptionalHeader);
    assert_eq!(refused(|file| file[COFF + 16] = 100), PeError::OptionalHeader);
    assert_eq!(refused(|file| file[COFF + 2] = 97), PeError::Sections(97));
}

#[test]
fn sections_out_of_bounds_are_refused() {
    // Virtual size at 8, file size at 16, file offset at 20 of each entry.
    let second = TABLE + 40;
    assert_eq!(refused(|file| put(file, second + 20, u32::MAX)), PeError::Short);
    assert_eq!(refused(|file| put(file, second + 16, u32::MAX)), PeError::Short);
    assert_eq!(refused(|file| put(file, second + 8, 1025)), PeError::VirtualSize);
    assert_eq!(refused(|file| put(file, second + 8, 0)), PeError::VirtualSize);
    assert_eq!(refused(|file| put(file, second + 20, 0)), PeError::Overlap);
    assert_eq!(refused(|file| put(file, second + 20, 512)), PeError::Overlap);
    assert_eq!(refused(|file| file.copy_within(second..second + 8, TABLE)), PeError::Twice);
}

#[test]
fn certificates_must_end_the_file() {
    let entry = OPTIONAL + 112 + 32;
    let len = u32::try_from(two_sections().len()).expect("small");
    let certificates = |start, size| {
        refused(|file| {
            put(file, entry, start);
            put(file, entry + 4, size);
        })
    };
    assert_eq!(certificates(len, 8), PeError::Certificates);
    assert_eq!(certificates(len - 4, 4), PeError::Certificates);
    assert_eq!(certificates(len, 0), PeError::Certificates);
    assert_eq!(certificates(u32::MAX - 7, 8), PeError::Certificates);
    // They would cover the second section.
    assert_eq!(certificates(len - 1024, 1024), PeError::Short);
}

#[test]
fn every_truncation_is_refused() {
    let file = two_sections();
    for len in 0..file.len() {
        assert!(pe::find_section(&file[..len], ".two").is_err(), "{len}");
    }
}

#[test]
fn the_image_digest_is_the_files_with_the_manifest_zeroed() {
    let blank = blank_image(b"payload");
    assert_eq!(pe::image_digest(&blank), Ok(sha256(&blank)));
    let mut filled = blank.clone();
    let place = pe::find_section(&blank, pe::MANIFEST_SECTION)
        .and_then(|section| section.content_range())
        .expect("section");
    filled[place].fill(0x5a);
    assert_eq!(pe::image_digest(&filled), Ok(sha256(&blank)));
    assert_eq!(pe::image_digest(&with_certificates(&filled)), Ok(sha256(&blank)));
    assert_eq!(pe::image_size(&with_certificates(&filled)), pe::image_size(&blank));
    assert_eq!(pe::payload_digest(&blank), Ok(sha256(b"payload")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_sections_come_back(contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..2000), 1..12)) {
        let names: Vec<String> = (0..contents.len()).map(|number| format!(".s{number}")).collect();
        let sections: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
        let file = pe_file(&sections);
        for (name, content) in sections {
            prop_assert_eq!(pe::section_data(&file, name), Ok(content));
        }
    }

    #[test]
    fn no_change_of_the_headers_reaches_past_the_file(place in 0usize..TABLE + 80, value: u8) {
        let mut file = two_sections();
        file[place] = value;
        if let Ok(data) = pe::section_data(&file, ".two") {
            prop_assert!(data.len() <= file.len());
        }
    }
}

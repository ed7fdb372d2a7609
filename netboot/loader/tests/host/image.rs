use weft_format::pe::PeError;
use weft_loader::image::loaded_section;

/// A loaded image: headers in the first page, then one page per section.
fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut image = vec![0; 4096 * (sections.len() + 1)];
    image[..2].copy_from_slice(b"MZ");
    image[60] = 0x80;
    image[0x80..0x84].copy_from_slice(b"PE\0\0");
    image[0x86] = sections.len() as u8;
    image[0x94] = 240;
    for (index, (name, contents)) in sections.iter().enumerate() {
        let header = 0x80 + 24 + 240 + index * 40;
        let address = 4096 * (index + 1);
        image[header..header + name.len()].copy_from_slice(name.as_bytes());
        image[header + 8..header + 12].copy_from_slice(&(contents.len() as u32).to_le_bytes());
        image[header + 12..header + 16].copy_from_slice(&(address as u32).to_le_bytes());
        image[address..address + contents.len()].copy_from_slice(contents);
    }
    image
}

#[test]
fn sections_are_found_by_their_whole_name() {
    let image = image(&[(".text", b"code"), (".dvmm", b"monitor"), (".dvmm2", b"other")]);
    assert_eq!(loaded_section(&image, ".dvmm"), Ok(b"monitor".as_slice()));
    assert_eq!(loaded_section(&image, ".dvm"), Err(PeError::Missing));
}

#[test]
fn a_section_that_stands_twice_or_is_empty_is_refused() {
    assert_eq!(loaded_section(&image(&[(".a", b"1"), (".a", b"2")]), ".a"), Err(PeError::Twice));
    assert_eq!(loaded_section(&image(&[(".a", b"")]), ".a"), Err(PeError::Missing));
}

#[test]
fn lies_in_the_headers_are_refused() {
    let good = image(&[(".a", b"1")]);
    let header = 0x80 + 24 + 240;
    for (at, bytes) in [
        (0, [0; 4]),
        (60, [0xff; 4]),
        (0x80, [0; 4]),
        (header + 8, [0xff; 4]),
        (header + 12, [0xff; 4]),
        (0x86, [0xff; 4]),
    ] {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&bytes);
        assert!(loaded_section(&bad, ".a").is_err(), "{at:#x}");
    }
    for len in 0..header + 40 {
        assert!(loaded_section(&good[..len], ".a").is_err(), "{len}");
    }
}

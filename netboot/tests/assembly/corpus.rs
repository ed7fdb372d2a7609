//! The fuzz targets' checks over the committed corpus and over seeded mutations of it.
//!
//! Files that open with `good-` must be accepted, files that open with `bad-` refused. The corpus is what
//! the code here writes; `WEFT_WRITE_CORPUS=1` writes it anew after a change on purpose.
//! `WEFT_MUTATIONS` sets the mutations per file.

use std::path::PathBuf;
use std::{env, fs};

use crate::checks::{assembly, elf, monitor, multiboot};
use crate::stub::stub;

type Check = fn(&[u8]) -> bool;

const TARGETS: [(&str, Check); 3] = [("elf", elf), ("multiboot", multiboot), ("assembly", assembly)];

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Multiboot information at 0x1000 with a command line, a module and a memory map behind it.
fn information() -> Vec<u8> {
    let mut words = vec![0b100_1100, 0, 0, 0, 0x1080, 1, 0x1070, 0, 0, 0, 0, 48, 0x1040, 0, 0, 0];
    words.extend([20, 0, 0, 0x9_f000, 0, 1, 20, 0x10_0000, 0, 0x70_0000, 1, 1]);
    words.extend([0x10a0, 0x10a8, 0, 0]);
    let mut bytes: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
    bytes.extend(b"weft.bios server=10.0.0.1\0\0\0\0\0\0\0manifest");
    bytes
}

fn changed(mut bytes: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    bytes[at] = value;
    bytes
}

/// The stub with another name for its first section.
fn named(mut stub: Vec<u8>, name: &[u8; 8]) -> Vec<u8> {
    let at = crate::stub::SECTIONS;
    stub[at..at + 8].copy_from_slice(name);
    stub
}

fn written() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let far = changed(information(), 0x33, 0xff);
    vec![
        ("elf", "good-monitor", monitor()),
        ("elf", "bad-short", monitor()[..100].to_vec()),
        ("elf", "bad-writable-code", changed(monitor(), 68, 7)),
        ("multiboot", "good-information", information()),
        ("multiboot", "bad-map-out-of-reach", far),
        ("multiboot", "bad-no-map", changed(information(), 0, 0x0c)),
        ("assembly", "good-stub", stub()),
        ("assembly", "bad-short", stub()[..0x300].to_vec()),
        ("assembly", "bad-section-of-ours", named(stub(), b".dvmm\0\0\0")),
        ("assembly", "bad-time-stamp", changed(stub(), crate::stub::COFF + 4, 1)),
    ]
}

#[test]
fn the_corpus_is_judged_as_its_names_say() {
    for (target, name, bytes) in written() {
        let file = folder(target).join(name);
        if env::var_os("WEFT_WRITE_CORPUS").is_some() {
            fs::create_dir_all(folder(target)).expect("a folder");
            fs::write(&file, &bytes).expect("a file");
        }
        let committed = fs::read(&file).expect("committed");
        assert!(committed == bytes, "{target}/{name} differs from what the code writes");
        let (_, check) = TARGETS.into_iter().find(|(known, _)| *known == target).expect("a target");
        assert_eq!(check(&committed), name.starts_with("good-"), "{target}/{name}");
    }
}

/// A xorshift generator: the same mutations on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % bound.max(1)
    }

    /// Bits flipped, edge values written, pieces cut or doubled.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().min(768));
            let end = bytes.len().min(at + 1 + self.below(64));
            match self.below(4) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => {
                    let edge = [[0; 4], [0xff; 4], [0, 0, 0, 0x80], [1, 0, 0, 0]][self.below(4)];
                    for (slot, value) in bytes.iter_mut().skip(at).zip(edge) {
                        *slot = value;
                    }
                }
                2 => drop(bytes.drain(at..end)),
                _ => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
    }
}

#[test]
fn no_mutation_of_the_corpus_breaks_a_check() {
    let count = env::var("WEFT_MUTATIONS").map_or(500, |text| text.parse().expect("a number"));
    let mut random = Random(0x5eed_b007);
    for (target, check) in TARGETS {
        let mut accepted = 0_u32;
        for (_, _, bytes) in written().into_iter().filter(|(known, _, _)| *known == target) {
            for _ in 0..count {
                let mut bytes = bytes.clone();
                random.mutate(&mut bytes);
                accepted += u32::from(check(&bytes));
            }
        }
        assert!(accepted > 0, "{target}: mutations never get past the first test");
    }
}

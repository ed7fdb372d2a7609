//! The fuzz targets over their corpus and over seeded random input: the same at each run.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the same file is a library for the fuzzer")]
mod targets;

use std::path::{Path, PathBuf};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

fn run<T>(name: &str, target: fn(&[u8]) -> T, rounds: u64, longest: u64) {
    let corpus = corpus(name);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        target(&input);
        // Each file also with every byte changed a little, and cut short.
        for at in 0..input.len().min(256) {
            let mut changed = input.clone();
            changed[at] ^= 1 << (at % 8);
            target(&changed);
            target(&input[..at]);
        }
        replayed += 1;
    }
    assert!(replayed > 0, "no corpus in {}", corpus.display());
    for seed in 0..rounds {
        let mut random = Random(seed);
        let length = random.next() % longest;
        let input: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        target(&input);
    }
}

#[test]
fn the_decoder_takes_any_bytes() {
    run("decoder", targets::decoder, 200_000, 20);
}

#[test]
fn the_loader_takes_any_image() {
    assert!(targets::bzimage(&std::fs::read(corpus("bzimage/good")).unwrap()), "the good one loads");
    run("bzimage", targets::bzimage, 2000, 2048);
}

#[test]
fn the_queues_take_any_rings() {
    assert_eq!(targets::virtqueue(&std::fs::read(corpus("virtqueue/print")).unwrap()), 40);
    run("virtqueue", targets::virtqueue, 2000, 2000);
}

#[test]
fn the_registers_take_any_accesses() {
    run("registers", targets::registers, 1000, 2000);
}
